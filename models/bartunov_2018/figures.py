"""Figures of target propagation: how near targets are to the gradient, and what the way back misses, layer by layer."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from neurosim.plots import NothingToDrawError, in_words, new_figure, over_epochs, plot_band, study_of

COLUMNS = 5  # panels side by side
MOST = 30  # variance missed that is drawn: where activities hardly differ any more, there is no end to it
WIDTH, HEIGHT = 1.75, 1.9  # of a panel, inches


def angles_to_backprop(run):
    """Angle between what each layer learns from and what backprop would send it, over epochs, layer by layer."""
    figure, axes = _by_layer(
        run,
        "angle",
        "angle to backprop (degrees)",
        (0, 180),
        "What layers learn from turns towards minus the gradient",
    )
    for ax in axes:
        ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
        ax.set(ylim=(0, 105), yticks=range(0, 106, 15))
    return figure


def reconstruction(run):
    """What the learned inverses miss of each layer's activity over epochs, as a fraction of its variance."""
    figure, axes = _by_layer(
        run,
        "missed",
        "variance missed (1)",
        (0, np.inf),
        "The way back learns to reconstruct what the way up came from",
    )
    for ax in axes:
        ax.set_yscale("log")
        ax.axhline(1, color="k", linestyle="--", linewidth=0.8)
    axes[0].set_ylim(top=min(axes[0].get_ylim()[1], MOST))
    return figure


def angle_of_an_inverse(run):
    """Angle between what one learning inverse sends back and the gradient, simulated and by theory, against steps."""
    found = study_of(run)
    steps, many = found["steps"], found["angle"].shape[1]
    title = "An inverse turns to the gradient while it learns,\nand away from it as it becomes exact (linear units)"
    figure = new_figure(run, 6.0, 3.5, title)
    left, right = figure.subplots(1, 2, sharex=True)
    for ax, name in ((left, "angle"), (right, "missed")):
        ax.plot(steps, found[f"{name} by theory"], "k-", linewidth=1, label="theory")
        ax.plot(steps, found[name].mean(axis=1), "o", color="C2", markersize=3, label=f"simulated, mean of {many}")
    left.axhline(90, color="k", linestyle="--", linewidth=0.8)
    left.set(ylim=(40, 95), ylabel="angle to the gradient (degrees)")
    right.set(yscale="log", ylabel="variance missed (1)")
    right.legend(frameon=False, fontsize=7)
    for ax in (left, right):
        ax.set_xlabel("steps of the inverse (batches)")
    return figure


def _by_layer(run, measure, label, within, title):
    """Return a figure with a panel for every condition that has the measure, a line for every layer, and its panels."""
    metrics = run.metrics()
    columns = [name for name in metrics if name.startswith(f"{measure}_h")]
    shown = {
        condition: [c for c in columns if np.isfinite(over_epochs(run, metrics, condition, "train", column=c)[1]).any()]
        for condition in dict.fromkeys(metrics["condition"])
    }
    shown = {condition: found for condition, found in shown.items() if found}
    if not shown:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has {measure} of its layers")
    layers = sorted({c.removeprefix(f"{measure}_h") for found in shown.values() for c in found}, key=int)
    wide = min(COLUMNS, len(shown))
    high = -(-len(shown) // wide)
    figure = new_figure(run, 1.6 + WIDTH * max(wide, 2), 0.9 + HEIGHT * high, title)
    axes = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).ravel()
    colors = {k: to_hex(c) for k, c in zip(layers, colormaps["viridis"](np.linspace(0, 0.9, len(layers))), strict=True)}
    handles = {}
    for ax, (condition, found) in zip(axes, shown.items(), strict=False):
        for column in found:
            layer = column.removeprefix(f"{measure}_h")
            epochs, values = over_epochs(run, metrics, condition, "train", column=column)
            plot_band(ax, epochs, values, f"h{layer}", colors[layer], within=within)
            handles.setdefault(layer, ax.lines[-1])
        ax.set_title(in_words(condition), fontsize=8)
    for ax in axes[len(shown) :]:
        ax.remove()
    for ax in axes[::wide][:high]:
        ax.set_ylabel(label)
    for k, ax in enumerate(axes[: len(shown)]):
        if k + wide >= len(shown):
            ax.set_xlabel("epoch")
            ax.xaxis.set_tick_params(labelbottom=True)
    figure.legend([handles[layer] for layer in layers], [f"h{layer}" for layer in layers], frameon=False, fontsize=7,
                  loc="outside right upper", title="layer, from\nthe input up", title_fontsize=7)  # fmt: skip
    return figure, axes[: len(shown)]
