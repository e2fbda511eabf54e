"""Figures of this paper's networks: how W and R come to point the same way, and filters of untied convolutions."""

import textwrap

import numpy as np

from neurosim.errors import ParameterError
from neurosim.plots import NothingToDrawError, in_words, new_figure, over_epochs, plot_band


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
    layers = list(dict.fromkeys(column for found in shown.values() for column in found))
    width = max(5.0, 1.6 + 1.9 * len(shown))
    figure = new_figure(run, width, 3.4, "Feedback that learns turns towards the forward weights")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for ax, (condition, found) in zip(axes, shown.items(), strict=True):
        for column in found:
            epochs, values = over_epochs(run, metrics, condition, "train", column=column)
            label, color = column.removeprefix("angle_"), f"C{layers.index(column)}"
            plot_band(ax, epochs, values, label, color, within=(0, 180))
        ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
        ax.set_title(textwrap.fill(in_words(condition), 18), fontsize=8)
        ax.set_xlabel("epoch")
    axes[0].set_ylim(0, 105)
    axes[0].set_yticks(range(0, 106, 15))
    axes[0].set_ylabel("angle between W and Rᵀ (degrees)")
    axes[-1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), title="into", title_fontsize=7)
    return figure


def filters(run):
    """Filters of untied synapses at four places of the image, side by side: alike, though each learned by itself."""
    for condition in run.record["conditions"]:
        try:
            traces = run.of_condition("traces.npz", condition)
            found, _ = traces["measures/filters"]
            break
        except (ParameterError, KeyError):
            continue
    else:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has untied convolutions")
    alike = [values for name, (values, _) in traces.items() if name.startswith("measures/similarity_")][0][-1][0]
    last = found[-1][0]  # of the first replica: (places, height, width, below, channels)
    told = f"Filters of the first untied layer at four places of the image ({in_words(condition)})"
    figure = new_figure(run, 6.0, 4.6, f"{told}\nmean cosine between two places, over all channels: {alike:.4f}")
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
