"""Figures of this paper's networks: how W and R come to point the same way, and filters of untied convolutions."""

import numpy as np

from neurosim.errors import ParameterError
from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, plot_band


def feedback_angles(run):
    """Angle between the weights of W and R of each layer over epochs, of every condition with random feedback."""
    metrics = run.metrics()
    columns = [name for name in metrics if name.startswith("angle_")]
    shown = {
        condition: [c for c in columns if np.isfinite(over_epochs(run, metrics, condition, "train", column=c)[1]).any()]
        for condition in dict.fromkeys(metrics["condition"])
    }
    shown = {condition: found for condition, found in shown.items() if found}
    if not shown:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has random feedback")
    figure = new_figure(run, 7.2, 3.6, "Feedback that learns turns towards the forward weights")
    ax = figure.subplots()
    for k, (condition, found) in enumerate(shown.items()):
        for column, style in zip(found, ("-", "--", ":", "-.") * len(found), strict=False):
            epochs, values = over_epochs(run, metrics, condition, "train", column=column)
            label = f"{in_words(condition)}, {column.removeprefix('angle_')}"
            plot_band(ax, epochs, values, label, condition_color(condition, k), within=(0, 180), linestyle=style)
    ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
    ax.set_ylim(0, 105)
    ax.set_yticks(range(0, 106, 15))
    ax.set_xlabel("epoch")
    ax.set_ylabel("angle between W and Rᵀ (degrees)")
    ax.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def filters(run):
    """Filters of untied synapses at four places of the image, side by side: alike, though each learned by itself."""
    for condition in run.record["conditions"]:
        try:
            found, _ = run.of_condition("traces.npz", condition)["measures/filters_c1"]
            break
        except (ParameterError, KeyError):
            continue
    else:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has untied convolutions")
    last = found[-1][0]  # of the first replica: (places, height, width, below, channels)
    figure = new_figure(
        run, 6.0, 4.4, f"Filters of the first layer at four places of the image ({in_words(condition)})"
    )
    axes = figure.subplots(last.shape[-1], len(last), squeeze=False)
    for channel, row in enumerate(axes):
        limit = np.abs(last[..., channel]).max() or 1
        for place, ax in enumerate(row):
            ax.imshow(_as_picture(last[place, ..., channel] / limit), interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            if channel == 0:
                ax.set_title(f"place {place + 1}", fontsize=8)
        row[0].set_ylabel(f"channel {channel + 1}", fontsize=8)
    figure.supxlabel(
        "grey is 0; red, green and blue are the weights from the three colours, one scale a row", fontsize=8
    )
    return figure


def _as_picture(weights):
    """Return weights (height, width, below) between -1 and 1 as colours, or as grey where there are not three below."""
    picture = 0.5 + 0.5 * weights
    return picture if weights.shape[2] == 3 else np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
