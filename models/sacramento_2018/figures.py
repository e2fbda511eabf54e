"""Figures of the circuit in time: apical potentials over learning, traces of compartments, lateral weights."""

import numpy as np

from neurosim.plots import (
    NothingToDrawError,
    condition_color,
    in_words,
    mark_presentations,
    new_figure,
    over_epochs,
    plot_band,
    window,
)
from neurosim_models.sacramento_2018.network import attenuation


def hidden_areas(metrics, prefix):
    """Return the hidden areas of which a measure was kept, from the input up."""
    return sorted(name.removeprefix(prefix) for name in metrics if name.startswith(prefix) and "no_target" not in name)


def series(run, column, split="train"):
    """Yield (condition, its number, epochs, values (epochs, replicas)) of a measure."""
    metrics = run.metrics()
    if column not in metrics:
        raise NothingToDrawError(f"{run.folder}: {column} was not measured")
    for k, condition in enumerate(dict.fromkeys(metrics["condition"])):
        yield condition, k, *over_epochs(run, metrics, condition, split, column=column)


def above_zero(values):
    """Return values for a logarithmic axis, nan where there is nothing above 0, and the range of their bands."""
    values = np.where(values > 0, values, np.nan)
    means = values[np.isfinite(values).any(axis=1)].mean(axis=1)
    return values, (0.3 * means.min(initial=1), np.inf)


def apical(run):
    """Apical potentials of the hidden areas over learning, with noise and targets while learning and without them."""
    areas = hidden_areas(run.metrics(), "apical_")
    figure = new_figure(run, 3.9 * (1 + len(areas)), 3.3, "What is not explained away: potential of apical dendrites")
    axes = figure.subplots(1, 2 * len(areas), sharey=True, squeeze=False)[0]
    for k, area in enumerate(areas):
        for ax, column, words in zip(
            axes[2 * k : 2 * k + 2], (f"apical_{area}", f"apical_{area}_no_target"),
            ("while it learns", "no target, no noise"), strict=True,
        ):  # fmt: skip
            for condition, place, epochs, values in series(run, column):
                values, within = above_zero(values)
                color = condition_color(condition, place)
                plot_band(ax, epochs, values, in_words(condition), color, within=within)
            ax.set(yscale="log", xlabel="epoch")
            ax.set_title(f"{area}: {words}", fontsize=9)
    axes[0].set_ylabel("root mean square of v_A (1)")
    axes[-1].legend(frameon=False, fontsize=8)
    return figure


def learned(run):
    """Error without noise and nudge, apical potentials while learning, and the angle of W^T to TD, over learning."""
    areas = hidden_areas(run.metrics(), "angle_")
    figure = new_figure(
        run, 9.4, 3.3, "Error of the output, apical potentials, and how forward weights align with top-down ones"
    )
    axes = figure.subplots(1, 3)
    shown = [
        (axes[0], "nse", "test", "normalised squared error (1)", "-"),
        *(
            (axes[1], f"apical_{area}", "train", "apical potential, root mean square (1)", k)
            for k, area in enumerate(areas)
        ),
        *((axes[2], f"angle_{area}", "train", "angle of W^T to TD (degrees)", k) for k, area in enumerate(areas)),
    ]
    for ax, column, split, words, _ in shown:
        for condition, place, epochs, values in series(run, column, split):
            color = condition_color(condition, place)
            values, within = (values, (0, 180)) if column.startswith("angle") else above_zero(values)
            plot_band(ax, epochs, values, in_words(condition), color, within=within)
        ax.set(xlabel="epoch", ylabel=words)
        if not column.startswith("angle"):
            ax.set_yscale("log")
    axes[2].axhline(90, color="0.6", linewidth=0.8, linestyle=":")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def lateral(run):
    """How far lateral weights are from the self-predicting state, over learning."""
    areas = hidden_areas(run.metrics(), "lateral_PI_")
    figure = new_figure(run, 7.4, 3.2 * len(areas), "Lateral weights beside the self-predicting state")
    for row, area in zip(figure.subplots(len(areas), 2, squeeze=False), areas, strict=True):
        for ax, name, words in zip(row, ("PI", "IP"), ("|PI + TD| / |TD|", "|IP - f W| / |f W|"), strict=True):
            for condition, place, epochs, values in series(run, f"lateral_{name}_{area}"):
                color = condition_color(condition, place)
                plot_band(ax, epochs, values, in_words(condition), color, within=(0, np.inf))
            ax.set(xlabel="epoch", ylabel=f"{words} (1)")
            ax.set_ylim(bottom=0)
            ax.set_title(
                f"{area}: " + ("inhibition of apical dendrites" if name == "PI" else "onto interneurons"), fontsize=9
            )
        row[-1].legend(frameon=False, fontsize=8)
    return figure


def potentials(run):
    """Soma, basal and apical potentials of a hidden cell, and the cell that is taught, before and after learning."""
    traces = run.of_condition("traces.npz")
    steps = int(traces["steps"][0])
    condition = next(iter(run.record["conditions"]))
    values = {name: each["value"] for name, each in run.record["parameters"].items()}
    shares = attenuation(values | run.record["conditions"][condition])
    both = {"before learning": window(traces, "first"), "late in learning": window(traces, "last")}
    area = sorted(name[:-2] for name in both["late in learning"] if name.startswith("h") and name.endswith(".u"))[-1]
    taught = "y" if "y.target" in both["late in learning"] else f"i{area[1:]}"
    predicting = (area, "v_B", "hidden"), ("y", "v_B", "output"), (f"i{area[1:]}", "v_D", "interneuron")
    rows = {
        f"cell of {area}\npotential (1)": {
            f"{area}.predicted": ("basal, attenuated", "C2"),
            f"{area}.u": ("soma", "C0"),
        },
        "its apical dendrite\npotential (1)": {
            f"{area}.v_TD": ("from above", "C1"),
            f"{area}.v_PI": ("from interneurons", "C4"),
            "v_A": ("apical: both", "C3"),
        },
        f"cell of {'the output' if taught == 'y' else 'the interneurons'}\npotential (1)": {
            f"{taught}.predicted": ("basal, attenuated" if taught == "y" else "dendrite, attenuated", "C2"),
            f"{taught}.u": ("soma", "C0"),
            "y.target" if taught == "y" else "y.u": ("what it is taught", "k" if taught == "y" else "0.7"),
        },
    }  # fmt: skip
    figure = new_figure(
        run,
        8.6,
        5.6,
        f"Compartments of cells of {area} and of {taught} ({in_words(condition)}, first replica and lane)",
    )
    axes = figure.subplots(3, 2, sharex=True, sharey="row")
    for (title, arrays), column in zip(both.items(), axes.T, strict=True):
        arrays["v_A"] = arrays[f"{area}.v_TD"] + arrays[f"{area}.v_PI"]
        for owner, dendrite, share in predicting:
            arrays[f"{owner}.predicted"] = shares[share] * arrays[f"{owner}.{dendrite}"]
        for ax, (words, curves) in zip(column, rows.items(), strict=True):
            for name, (label, color) in curves.items():
                order = {"k": 3, "C2": 2.5, "0.7": 1}.get(color, 2)
                style = dict(color=color, zorder=order, linestyle=":" if color == "k" else "-")
                ax.plot(arrays["time"], arrays[name][:, 0], linewidth=1, label=label, **style)
            mark_presentations(ax, arrays["time"], steps)
            if ax in axes[:, 0]:
                ax.set_ylabel(words)
            else:
                ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        column[0].set_title(f"{title} (time 0 is {arrays['start']:.3g} s)", fontsize=9)
        column[-1].set_xlabel("time (ms); grey lines: a new presentation")
    return figure
