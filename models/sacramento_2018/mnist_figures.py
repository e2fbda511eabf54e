"""Figures of the circuit at rest: whether interneurons follow what they predict, and whether weights align."""

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, plot_band

STYLES = ("-", "--", ":")  # of areas, from the input up


def _measured(run, prefix):
    """Return {condition: {area: (epochs, values (epochs, replicas))}} of the measures that begin so."""
    metrics, found = run.metrics(), {}
    for condition in dict.fromkeys(metrics["condition"]):
        for name in metrics:
            area = name.removeprefix(prefix)
            if name == area or area.startswith("no_target"):
                continue
            epochs, values = over_epochs(run, metrics, condition, "train", column=name)
            if np.isfinite(values).any():
                found.setdefault(condition, {})[area] = (epochs, values)
    return found


def _lines(ax, run, measured, within=(0, np.inf)):
    """Draw a line for each condition and hidden area; return what the legend says of replicas."""
    conditions = list(dict.fromkeys(run.metrics()["condition"]))
    several = sum(map(len, measured.values())) > len(STYLES)
    for condition, areas in measured.items():
        color = condition_color(condition, conditions.index(condition))
        for k, (area, (epochs, values)) in enumerate(areas.items()):
            label, style = f"{in_words(condition)}, {area}", STYLES[k % len(STYLES)]
            plot_band(ax, epochs, values, label, color, within=within, linestyle=style, band=not several)
    ax.set_xlabel("epoch")
    replicas = len(set(run.metrics()["replica"]))
    if replicas == 1:
        return "one replica"
    return f"means of {replicas} replicas" if several else f"mean, band: 95 % interval\nof {replicas} replicas"


def following(run):
    """How self-predicting the circuit stays while it learns: what interneurons miss, in weights and in potentials."""
    lateral, no_target, target = (_measured(run, name) for name in ("lateral_", "apical_no_target_", "apical_"))
    if not lateral:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has interneurons")
    missed = {
        condition: {area: (epochs[1:], 100 * values[1:]) for area, (epochs, values) in areas.items()}
        for condition, areas in lateral.items()
    }
    share = {
        condition: {
            area: (epochs[1:], 100 * values[1:] / target[condition][area][1][1:])
            for area, (epochs, values) in areas.items()
        }
        for condition, areas in no_target.items()
    }
    figure = new_figure(
        run, 8.8, 3.6, "How well interneurons follow the forward weights, and what they leave unexplained"
    )
    left, right = figure.subplots(1, 2)
    _lines(left, run, missed)
    left.set_ylabel("distance of IP from W\nof the area above (% of W)")
    told = _lines(right, run, share)
    right.set_ylabel("apical potential without a target\n(% of that with it, while learning)")
    for ax in (left, right):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    right.legend(frameon=False, fontsize=7, title=told, title_fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def aligning(run):
    """Angle between forward weights, transposed, and the top-down weights that carry errors back, over epochs."""
    angles = _measured(run, "angle_")
    if not angles:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has top-down weights of its own")
    figure = new_figure(run, 6.4, 3.6, "Forward weights align with top-down weights")
    ax = figure.subplots()
    told = _lines(ax, run, angles, within=(0, 180))
    ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
    ax.set_ylim(0, 105)
    ax.set_yticks(range(0, 106, 15))
    ax.set_ylabel("angle between W^T and TD (degrees)\n90: what chance gives")
    ax.legend(frameon=False, fontsize=7, title=told, title_fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
