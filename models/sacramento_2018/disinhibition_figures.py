"""Figures of a run of ``disinhibition``: what was cleaned and made, how well, and how silent apical dendrites were."""

import numpy as np

from neurosim.errors import ParameterError
from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, plot_band
from neurosim_models.sacramento_2018.disinhibition_study import LASTING, NOISE, SETTLING

KINDS = tuple(dict.fromkeys(kind for kind, _ in NOISE))
LEVELS = {"gaussian": "standard deviation (pixels 0 to 1)", "salt and pepper": "pixels black or white (fraction)",
          "hidden rows": "rows hidden (fraction)"}  # fmt: skip
SHOWN = (("gaussian", 0.4), ("gaussian", 0.8), ("salt and pepper", 0.2), ("hidden rows", 0.5))
FLOOR = 2e-3  # less, as at the start, is drawn there
LIMITS = (0.25, 1.02)
REFERENCE = dict(color="0.5", linewidth=1.0)


def measured(run, condition=None):
    """Return (name of a condition, its measures when images were cleaned last, by name); the first if none is named."""
    for name in [condition] if condition else run.record["conditions"]:
        try:
            found = run.of_condition("traces.npz", name)
        except ParameterError:
            continue
        found = {k.removeprefix("measures/"): array for k, (array, _) in found.items() if k.startswith("measures/")}
        when = np.flatnonzero(found["correlation"].any(axis=(1, 2, 3))) if "correlation" in found else []
        if len(when):
            return name, found["epochs"][when[-1]], {k: array[when[-1]] for k, array in found.items()}
    raise NothingToDrawError(f"{run.folder}: no images have been cleaned yet")


def shares(run):
    """Return the shares of the basal conductance, and a colour for each."""
    values = run.record["parameters"]["shares"]["value"]
    return values, [f"C{k}" for k in range(len(values))]


def _picture(ax, image, low=0.0, high=1.0):
    side = int(np.sqrt(len(image)))
    ax.imshow(image.reshape(side, -1), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _range(image):
    """Return the limits of an image of rates, which without inhibition or input may be far from 0 and 1."""
    return image.min(), max(image.max(), image.min() + 1e-6)


def cleaned_images(run):
    """Test images with noise, and what the visible cells make of them with inhibition and without."""
    name, epoch, found = measured(run)
    rows = ["clean", "noisy", "inhibited", *(f"released, s = {s:g}" for s in shares(run)[0])]
    examples = found["examples"][:, :, :3]
    count = examples.shape[2]
    title = f"Rates of the visible cells once inhibition is removed ({in_words(name)}, epoch {epoch})"
    figure = new_figure(run, 1.2 + 0.62 * len(SHOWN) * count, 0.62 * len(rows) + 0.9, title)
    axes = figure.subplots(len(rows), len(SHOWN) * count, squeeze=False)
    for column, (kind, level) in enumerate(SHOWN):
        part = axes[:, column * count : (column + 1) * count]
        part[0, count // 2].set_title(f"{kind}, {level:g}", fontsize=8)
        for row, line in enumerate(part):
            for ax, image in zip(line, examples[row, NOISE.index((kind, level))], strict=True):
                _picture(ax, image, *((0, 1) if row < 2 else _range(image)))
    for ax, words in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def correlation(run):
    """Correlation of the visible cells' rates with the clean image against noise, with inhibition and without."""
    name, epoch, found = measured(run)
    values, colors = shares(run)
    figure = new_figure(
        run,
        9.6,
        5.6,
        f"What removing inhibition does to noisy images; s: basal conductance left ({in_words(name)}, epoch {epoch})",
    )
    above, below = figure.subplots(2, 3)
    for ax, kind in zip(above, KINDS, strict=True):
        chosen = [k for k, each in enumerate(NOISE) if each[0] == kind]
        x = [NOISE[k][1] for k in chosen]
        pick = lambda array, chosen=chosen: array[:, chosen].T  # noqa: E731
        ax.plot(x, pick(found["correlation_noisy"])[:, 0], "--", label="noisy image", **REFERENCE)
        if kind == "gaussian":
            ax.plot(x, pick(found["correlation_linear"])[:, 0], ":", label="best linear estimate", **REFERENCE)
        plot_band(ax, x, pick(found["correlation"][:, 0]), "inhibited", "k", within=(-1, 1))
        for k, (share, color) in enumerate(zip(values, colors, strict=True), start=1):
            plot_band(ax, x, pick(found["correlation"][:, k]), f"released, s = {share:g}", color, within=(-1, 1))
        ax.set(xlabel=LEVELS[kind], ylim=LIMITS, title=kind)
    above[0].set_ylabel("correlation with the clean image (1)")
    above[0].legend(frameon=False, fontsize=6.5, loc="lower left")
    gaussian = [k for k, each in enumerate(NOISE) if each[0] == "gaussian"]
    levels = [NOISE[k][1] for k in gaussian]
    _passes(below[0], found, gaussian, levels, values[-1], colors[-1])
    _course(below[1], run, found, colors)
    _named(below[2], found, gaussian, levels, values, colors)
    return figure


def _passes(ax, found, gaussian, levels, share, color):
    """Draw for the last share what a single pass gives, and the apical potential alone, beside the settled soma."""
    drawn = {
        "soma, settled": ("-", found["correlation"][:, -1]),
        "soma after one pass": ("--", found["correlation_once"][:, -1]),
        "apical, settled": (":", found["correlation_apical"][:, -1]),
    }
    for words, (style, values) in drawn.items():
        plot_band(ax, levels, values[:, gaussian].T, words, color, linestyle=style, band=False)
    ax.set(xlabel=LEVELS["gaussian"], ylim=LIMITS, title=f"settling, s = {share:g}")
    ax.set_ylabel("correlation with the clean image (1)")
    ax.legend(frameon=False, fontsize=6.5, loc="lower left", handlelength=4)


def _course(ax, run, found, colors):
    """Draw the correlation against time, before and after inhibition is removed."""
    dt = 1e3 * run.record["parameters"]["dt"]["value"]
    k = NOISE.index(("gaussian", 0.8))
    course = found["course"][:, :, k]
    released = course.shape[-1] * SETTLING / (SETTLING + LASTING)
    time = dt * (np.arange(1, course.shape[-1] + 1) - released)
    for color, mean in zip(colors, course.mean(axis=0), strict=True):
        ax.plot(time, mean, color=color)
    ax.axvline(0, color="k", linewidth=0.7)
    at = dict(xytext=(4, 0), textcoords="offset points", xycoords=("data", "axes fraction"), fontsize=7)
    ax.annotate("inhibition\nremoved", (0, 0.05), **at)
    ax.set(xlabel="time (ms)", ylabel="correlation with the clean image (1)", title="gaussian, 0.8")


def _named(ax, found, gaussian, levels, values, colors):
    """Draw how many images the output names wrongly."""
    plot_band(ax, levels, 100 * found["named_wrongly"][:, 0, gaussian].T, None, "k", within=(0, 100))
    for k, (_, color) in enumerate(zip(values, colors, strict=True), start=1):
        plot_band(ax, levels, 100 * found["named_wrongly"][:, k, gaussian].T, None, color, within=(0, 100))
    ax.set(xlabel=LEVELS["gaussian"], ylabel="images named wrongly (%)", ylim=(0, 92), title="the network's own output")


def generated(run):
    """What a nudged class makes of the visible cells without any input, below the means of the classes."""
    name, epoch, found = measured(run)
    values, _ = shares(run)
    images, alike, named = found["generated"][0], found["generated_correlation"], found["generated_named"]
    classes = np.arange(images.shape[1])
    title = f"Images made from a class, and their correlation with its mean ({in_words(name)}, epoch {epoch})"
    figure = new_figure(run, 8.8, 0.82 * (len(values) + 1) + 0.8, title)
    axes = figure.subplots(len(values) + 1, len(classes), squeeze=False)
    for ax, image in zip(axes[0], found["class_means"][0], strict=True):
        _picture(ax, image)
    axes[0, 0].set_ylabel("mean of the class", rotation=0, ha="right", va="center", fontsize=7)
    for k, (share, line) in enumerate(zip(values, axes[1:], strict=True)):
        own = np.diagonal(alike[:, k], axis1=1, axis2=2)
        nearest, right = (np.mean(each == classes) for each in (alike[:, k].argmax(axis=-1), named[:, k]))
        for c, ax in enumerate(line):
            _picture(ax, images[k, c], *_range(images[k, c]))
            ax.set_xlabel(f"{own[0, c]:.2f}", fontsize=7)
        told = f"s = {share:g}, mean {own.mean():.2f}\nnearest mean: {nearest:.0%} right\nnetwork: {right:.0%} right"
        line[0].set_ylabel(told, rotation=0, ha="right", va="center", fontsize=7)
    return figure


def silence(run):
    """Apical potentials while synapses learn beside the top-down input that inhibition cancels."""
    names = list(run.record["conditions"])
    figure = new_figure(run, 8.4, 3.4, "Inhibition tracks the top-down synapses while both learn")
    axes = figure.subplots(1, 2, sharey=True)
    drawn = False
    for k, name in enumerate(names):
        try:
            found = run.of_condition("traces.npz", name)
        except ParameterError:
            continue
        epochs = found["measures/epochs"][0]
        for ax, area, words in zip(axes, ("v", "h1"), ("visible area", "first hidden area"), strict=True):
            color = condition_color(name, k)
            for key, style in (("apical", "-"), ("top_down", ":")):
                values = found[f"measures/{key}_{area}_test"][0]
                label = in_words(name) if style == "-" else None
                plot_band(
                    ax,
                    epochs,
                    np.maximum(values, FLOOR),
                    label,
                    color,
                    within=(FLOOR, np.inf),
                    linestyle=style,
                    band=False,
                )
            ax.set(xlabel="epoch", yscale="log", title=words)
        drawn = True
    if not drawn:
        raise NothingToDrawError(f"{run.folder}: no epoch is over yet")
    for style, words in (("-", "apical potential"), (":", "top-down input alone")):
        axes[1].plot([], [], style, color="0.3", label=words)
    axes[0].set_ylabel("root mean square, test images (1)")
    axes[1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
