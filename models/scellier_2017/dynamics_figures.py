"""Figures of a run of ``dynamics``: energy, units and weights while a network settles."""

import math

import numpy as np

from neurosim.plots import NothingToDrawError, new_figure, study_of
from neurosim_models.scellier_2017.gradient_figures import THEORY

LAYERS = ("y", "h3", "h2", "h1")  # from the output down
COLORS = {"y": "k", "h3": "C3", "h2": "C1", "h1": "C0"}
NUDGED = dict(color="0.92", linewidth=0, zorder=0)
ROUNDING, LEAST = 1e-12, 1e-16  # energies that rise by no more than rounding are drawn at the bottom, kinds apart


def energy(run):
    """Energy along the free phase and F = E + beta C along the nudged one: both fall, and so does the cost."""
    found = study_of(run)
    free = len(found["E"]) - 1
    nudged = free + np.arange(len(found["F"]))
    figure = new_figure(
        run, 9.6, 3.3, "The energy falls in both phases, and a nudge brings the output nearer the target"
    )
    one, two, three, four = figure.subplots(1, 4)
    for k, (e, f, c) in enumerate(zip(found["E"].T, found["F"].T, found["C"].T, strict=True)):
        color = f"C{k}"
        one.plot(e, color=color)
        two.plot(nudged, f - f[0], color=color)
        three.plot(c, color=color)
    one.set(xlabel="free phase (steps)", ylabel="energy E (1)", xscale="symlog")
    two.set(xlabel="time (steps)", ylabel="F less that at the start (1)")
    two.set_title(f"nudged, β = {float(found['beta']):g}", fontsize=8)
    three.set(xlabel="time (steps)", ylabel="cost C = |y − d|² (1)")
    three.axvspan(free, nudged[-1], **NUDGED)
    three.set_title("grey: nudged", fontsize=8)
    for gain, marker, rise, longest in zip(found["gains"], "o^s", found["rise"], found["longest steps"], strict=False):
        told = f"weights × {gain:g}"
        four.plot(
            found["epsilons"] / longest,
            np.where(rise > ROUNDING, rise, LEAST * gain**2),
            marker,
            markersize=4,
            label=told,
        )
    four.axvline(1, **THEORY)
    four.set_yscale("log")
    four.set(xlabel="ε Λ / 2 (1)", ylabel="largest rise of E in a step (1)", ylim=(LEAST / 10, 100))
    four.set_yticks([LEAST, 1e-4, 1], ["none", "1e−4", "1"])
    four.set_title("theory: none left of the line", fontsize=8)
    four.legend(frameon=False, fontsize=7, loc="center right", bbox_to_anchor=(1, 0.4))
    figure.supxlabel("one colour: one example; a network with 3 hidden layers of 32 units", fontsize=8)
    return figure


def nudge(run):
    """All units of one network along both phases, and how far the nudge moves them: less in each layer further down."""
    found = study_of(run)
    free, states = len(found["E"]) - 1, found["states"]
    layers = np.split(states, np.cumsum(found["sizes"])[:-1], axis=1)[::-1]
    figure = new_figure(
        run, 7.6, 6.0, "One example: units settle, then the output is nudged and takes the others along"
    )
    axes = figure.subplots(len(layers), 2, sharex="col")
    for (left, right), name, values in zip(axes, LAYERS, layers, strict=True):
        moved = values[free:] - values[free]
        for k, unit in enumerate(values.T):
            shown = name == "y" and found["target"][k] == 1
            style = dict(color="C2" if shown else COLORS[name], linewidth=1.6 if shown else 0.7)
            left.plot(unit, **style)
            right.plot(moved[:, k], **style)
        left.axvspan(free, len(states) - 1, **NUDGED)
        left.set(ylabel=f"{name}\nactivity (1)", ylim=(-0.05, 1.05))
        right.set(ylabel="moved by (1)")
    axes[0, 0].set_title("both phases; grey: nudged; green: the class shown", fontsize=8)
    axes[0, 1].set_title("from the start of the nudged phase", fontsize=8)
    axes[-1, 0].set_xlabel("time (steps)")
    axes[-1, 1].set_xlabel("nudged phase (steps)")
    return figure


def first_movement(run):
    """Step in which units of each layer first move once the output is nudged, and by how far: the nudge goes down."""
    found = study_of(run)
    figure = new_figure(
        run, 9.2, 3.5, "The nudge travels down one layer a step; with short steps moves grow as t, t², t³, t⁴"
    )
    coarse, fine, first, reached = figure.subplots(1, 4)
    for ax, words in ((coarse, "coarse"), (fine, "fine")):
        time = found[f"{words}/time"]
        step = time[1]
        for k, (name, moved) in enumerate(zip(LAYERS, found[f"{words}/moved"], strict=True)):
            moved = np.where(moved[1:] > 1e-10, moved[1:], np.nan)
            ax.plot(
                time[1:] / (step if words == "coarse" else 1),
                moved[:, 0],
                ".-",
                color=COLORS[name],
                label=name,
                markersize=4,
            )
            if words == "fine":
                count = np.arange(k + 1, 12)
                ways = np.array([math.comb(n, k + 1) for n in count])  # of k + 1 moves in n steps
                ax.plot(step * count, found["fine/predicted"][0, k] * ways, color="0.4", linewidth=0.8, linestyle="--")
        ax.set_yscale("log")
        ax.set_ylim(1e-9, 2)
        ax.set_title(f"ε = {step:g}" + (", dashed: theory" if words == "fine" else ", one example"), fontsize=8)
    fine.set_xscale("log")
    coarse.set(xlabel="nudged phase (steps)", ylabel="largest move of a unit (1)")
    fine.set(xlabel="nudged phase (τ)")
    coarse.legend(frameon=False, fontsize=7, loc="lower right")
    steps = found["coarse/first"]
    below = np.arange(len(steps))
    first.plot(below, below + 1, **THEORY)
    first.plot(np.repeat(below, steps.shape[1]), steps.ravel(), "o", color="C3", markersize=5)
    first.set_xticks(below, LAYERS)
    first.set(ylabel="first move (steps)", ylim=(0, len(steps) + 0.5), xlabel="layer")
    first.set_title(f"{steps.shape[1]} examples; line: theory", fontsize=8)
    wanted, got = found["fine/predicted"], found["fine/reached"]
    for k, name in enumerate(LAYERS):
        reached.plot(wanted[:, k], got[:, k], "o", color=COLORS[name], markersize=4)
    ends = np.array([wanted[wanted > 0].min() / 3, 3 * wanted.max()])
    reached.plot(ends, ends, **THEORY)
    reached.set(xscale="log", yscale="log", xlabel="first move, theory (1)", ylabel="simulated (1)")
    return figure


def weight_changes(run):
    """Weights that change while the nudge travels, beside the contrastive update, and how far they are from it."""
    found = study_of(run)
    figure = new_figure(
        run, 8.6, 3.4, "dρ_pre ρ_post + ρ_pre dρ_post, summed up while nudged, is the contrastive update"
    )
    left, middle, right = figure.subplots(1, 3)
    time = found["changes time"]
    names = found["changes names"]
    for k, (name, trace, end) in enumerate(zip(names, found["changes"].T, found["update"], strict=True)):
        left.plot(time, trace, color=f"C{k}", linewidth=1, label=str(name).replace("_", " "))
        left.plot([1.04 * time[-1]], [end], "o", color=f"C{k}", markersize=4)
    left.set(xlabel="nudged phase (τ)", ylabel="change of a weight / α (1)")
    left.set_title("one synapse each, dots: contrastive update", fontsize=8)
    left.legend(frameon=False, fontsize=6, ncols=2, loc="center right")
    for form, color, words in (("behind", "C3", "ρ from before the step"), ("halfway", "C0", "ρ halfway")):
        middle.plot(found["ladder"], found[f"{form} error"], "o", color=color, markersize=4, label=words)
    behind = found["behind error"]
    middle.plot(found["ladder"], behind[-1] * found["ladder"] / found["ladder"][-1], **THEORY)
    middle.set(xscale="log", yscale="log", xlabel="step ε (τ)", ylabel="relative difference (1)", ylim=(1e-16, 10))
    middle.set_xticks(found["ladder"], [f"{each:g}" for each in found["ladder"]])
    middle.minorticks_off()
    middle.legend(frameon=False, fontsize=7, loc="center left")
    middle.set_title("line: slope 1", fontsize=8)
    for k, (sign, color) in enumerate((("+", "C3"), ("−", "C0"))):
        error = found["online error"][:, k]
        right.plot(found["alphas"], error, "o", color=color, markersize=4, label=f"{sign}β")
        right.plot(found["alphas"], error[0] * found["alphas"] / found["alphas"][0], **THEORY)
    right.set(xscale="log", yscale="log", xlabel="learning rate α (1)", ylabel="relative difference (1)")
    right.legend(frameon=False, fontsize=7, loc="upper left")
    right.set_title(f"weights change meanwhile, β = ±{float(found['beta']):g}", fontsize=8)
    return figure


def traces(run):
    """Units of every layer in the first and the last presentations of training; grey where the output is nudged."""
    condition = next(iter(run.record["conditions"]))
    kept = run.of_condition("traces.npz", condition)
    names = [name.removeprefix("first/") for name in kept if name.startswith("first/") and name.endswith(".s")][::-1]
    if not names or not len(kept["first/time"][0]):
        raise NothingToDrawError(f"{run.folder}: the run has no traces of units")
    nudged = run.record["parameters"]["nudged_steps"]["value"]
    steps = run.record["parameters"]["free_steps"]["value"] + nudged
    figure = new_figure(
        run, 7.4, 1.2 + 1.5 * len(names), "Units early and late in learning, two digits each; grey: nudged, by β or −β"
    )
    axes = figure.subplots(len(names), 2, sharex=True, sharey=True, squeeze=False)
    for column, when in zip(axes.T, ("first", "last"), strict=True):
        for ax, name in zip(column, names, strict=True):
            values = kept[f"{when}/{name}"][0]
            target = kept[f"{when}/y.target"][0] if name == "y.s" else None
            for k, unit in enumerate(values.T):
                ax.plot(np.arange(1, len(unit) + 1), unit, color="0.4" if name == "y.s" else f"C{k}", linewidth=0.9)
                if target is not None:
                    shown = np.where(target[:, k] == 1, unit, np.nan)
                    ax.plot(np.arange(1, len(unit) + 1), shown, color="C2", linewidth=1.8)
            for end in range(steps, len(values) + 1, steps):
                ax.axvspan(end - nudged + 0.5, end + 0.5, **NUDGED)
            ax.set_ylim(-0.05, 1.05)
        column[0].set_title("early" if when == "first" else "late", fontsize=9)
        column[-1].set_xlabel("time (steps)", fontsize=8)
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(
            f"{name.removesuffix('.s')}\nactivity (1)" + ("\ngreen: class shown" if name == "y.s" else ""), fontsize=8
        )
    return figure
