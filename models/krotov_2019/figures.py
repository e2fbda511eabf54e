"""Figures of features learned without labels: weights as images, their norms, errors over epochs and powers."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from neurosim.errors import ParameterError
from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, plot_band

LOWEST = 0.05  # per cent of error that is drawn
SHOWN = 20  # units whose weights are drawn of every condition
QUANTILE_STYLES = (("1 and 99 %", ":"), ("25 and 75 %", "--"), ("median", "-"), ("", "--"), ("", ":"))


def _conditions(run, name):
    """Yield (condition, array) of those conditions that have such an array among their weights or traces."""
    for condition in run.record["conditions"]:
        for file in ("weights.npz", "traces.npz"):
            try:
                yield condition, run.of_condition(file, condition)[name][0]
            except (ParameterError, KeyError):
                continue


def feature_images(run):
    """Weights of twenty units as images, red positive and blue negative, of every condition (Figs 3, 5)."""
    found = dict(_conditions(run, "W"))
    if not found:
        raise NothingToDrawError(f"{run.folder}: no weights of features yet")
    shape = _image_shape(next(iter(found.values())).shape[1])
    title = "Features: weights of 20 units drawn at random (Figs 3, 5); colours end where half of them reach"
    figure = new_figure(run, 7.2, 0.5 + 2.0 * len(found), title)
    for part, (condition, w) in zip(np.atleast_1d(figure.subfigures(len(found), 1)), found.items(), strict=True):
        w = w[0].T  # of the first replica: (units, pixels)
        units = np.sort(np.random.default_rng(0).choice(len(w), min(SHOWN, len(w)), replace=False))
        some = w[units].reshape(len(units), *shape)
        limit = np.median(np.abs(some.reshape(len(some), -1)).max(axis=1)) or 1
        axes = part.subplots(2, -(-len(units) // 2), squeeze=False).ravel()
        for ax in axes:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        for ax in axes[:: len(axes) // 2]:
            ax.set_ylabel("weights", fontsize=8)
        for ax, image in zip(axes, some, strict=False):
            if len(shape) == 3:
                ax.imshow(np.clip(0.5 + 0.5 * image / limit, 0, 1), interpolation="nearest")
            else:
                shown = ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        told = f"{in_words(condition)}: largest {w.max():.2f}, most negative {w.min():.2f}"
        part.suptitle(f"{told}; mean |w| {np.abs(w).mean():.2g}, at the border {_border(w, shape):.2g}", fontsize=8)
        if len(shape) == 2:
            bar = part.colorbar(shown, ax=list(axes), aspect=12, pad=0.01, extend="both", label="weight (1)")
            bar.ax.tick_params(labelsize=7)
    return figure


def _border(w, shape):
    from neurosim_models.krotov_2019.fast import at_border

    return np.abs(w[:, at_border(shape)]).mean()


def _image_shape(pixels):
    """Return the shape of square images with so many values: of one channel, or of three colours."""
    for channels in (1, 3):
        side = round((pixels / channels) ** 0.5)
        if channels * side * side == pixels:
            return (side, side) if channels == 1 else (side, side, 3)
    return (1, pixels)


def norms_of_units(run):
    """Sum of |W|^p over each unit's weights while W learns: quantiles over units, of every condition that competes."""
    found = dict(_conditions(run, "measures/p_norms"))
    if not found:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has units that compete")
    figure = new_figure(run, 6.6, 3.6, "The weights of the units come to the unit sphere of their norm")
    ax = figure.subplots()
    for k, (condition, values) in enumerate(found.items()):
        epochs = run.of_condition("traces.npz", condition)["measures/epochs"][0]
        moving = 1 + int(np.flatnonzero(np.any(values[1:] != values[:-1], axis=(1, 2))).max(initial=0)) + 1
        for q, (words, style) in enumerate(QUANTILE_STYLES):
            label = f"{in_words(condition)}, {words}" if k == 0 and q < 3 else in_words(condition) if q == 2 else None
            color = condition_color(condition, k)
            ax.plot(epochs[:moving], values[:moving, :, q].mean(axis=1), style, color=color, label=label, linewidth=1.2)
    ax.axhline(1, color="k", linewidth=0.8)
    ax.set_yscale("log")
    ax.set_xlabel("epoch without labels (passes)")
    ax.set_ylabel("sum of |W|^p of a unit (1)")
    ax.legend(
        frameon=False, fontsize=7, title="quantiles over units", title_fontsize=7, loc="upper left",
        bbox_to_anchor=(1, 1),
    )  # fmt: skip
    return figure


def named(run):
    """Error on the training and the test images over the epochs with labels, of every condition (Fig. 3, right)."""
    metrics = run.metrics()
    figure = new_figure(run, 6.4, 3.6, "Error while the top layer learns (Fig. 3, right)")
    ax = figure.subplots()
    for k, condition in enumerate(dict.fromkeys(metrics["condition"])):
        for split, style in (("test", "-"), ("train", ":")):
            epochs, values = over_epochs(run, metrics, condition, split)
            learning = epochs > _without_labels(run, condition)
            words = f"{in_words(condition)}, {split}"
            plot_band(
                ax, epochs[learning] - _without_labels(run, condition), values[learning], words,
                condition_color(condition, k), scale=100, within=(0, 100), linestyle=style, band=split == "test",
            )  # fmt: skip
    ax.set_yscale("log", nonpositive="clip")
    ax.set_ylim(bottom=LOWEST)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("epoch with labels (passes)")
    ax.set_ylabel("error (%)")
    bands = f"bands: 95 % intervals of {replicas} replicas" if (replicas := len(set(metrics["replica"]))) > 1 else None
    ax.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), title=bands, title_fontsize=7)
    return figure


def _without_labels(run, condition):
    values = {name: each["value"] for name, each in run.record["parameters"].items()}
    values |= run.record["conditions"][condition]
    return 0 if values["algorithm"] != "competing" else round(values["unsupervised"] * values["epochs"])


def powers(run):
    """Error on the training and the test images against the power n of the features (Fig. 4)."""
    metrics = run.metrics()
    columns = [name for name in metrics if name.startswith("test_error_")]
    if not columns:
        raise NothingToDrawError(f"{run.folder}: this run has one power of the features only")
    powers = {float(name.removeprefix("test_error_S_").replace("_", ".")): name for name in columns}
    figure = new_figure(run, 5.0, 3.6, "Error against the power of the features (Fig. 4)")
    ax = figure.subplots()
    condition = metrics["condition"][0]
    for split, color in (("train", "C0"), ("test", "C3")):
        last = []
        for _, name in sorted(powers.items()):
            _, values = over_epochs(run, metrics, condition, "train", column=name.replace("test", split, 1))
            last.append(values[-1])
        words = "training" if split == "train" else split
        plot_band(ax, sorted(powers), np.array(last), words, color, scale=100, within=(0, 100))
    ax.set_xlabel("power n of the features (1)")
    ax.set_ylabel("error (%)")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    return figure
