"""Figures of the full dynamics: relaxing units, how many stay active, the ranking beside them, the sphere."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, study_of

BORDER = dict(color="0.6", linewidth=0.8, linestyle=":")
SMALL = dict(textcoords="offset points", fontsize=7)


def relaxing(run):
    """Activities of 100 competing units while two images are held, for three strengths of inhibition."""
    found = study_of(run)
    time, h, rest = 1e3 * found["relaxing/time"], found["relaxing/h"], found["relaxing/rest"]
    figure = new_figure(run, 8.6, 3.3, "Hidden units relax under global inhibition: an image is held, then another")
    axes = figure.subplots(1, 3, sharey=True)
    titles = ("several stay active", "two of them", "one, which keeps what it has won")
    switch = 0.5 * time[-1]
    lowest = np.quantile(h[10:], 0.02)
    for k, (ax, w_inh, words) in enumerate(zip(axes, found["relaxing/w_inh"], titles, strict=True)):
        traces = h[:, k]
        marked = np.unique(np.argsort(rest[:, k], axis=1)[:, -3:])
        ax.plot(time, np.delete(traces, marked, axis=1), color="0.8", linewidth=0.5)
        for c, unit in enumerate(marked):
            ax.plot(time, traces[:, unit], color=f"C{c}", linewidth=1.4)
            for last, level in zip((switch, time[-1]), rest[:, k, unit], strict=True):
                ax.plot([last - 0.16 * switch, last], [level, level], color=f"C{c}", linewidth=4, alpha=0.35)
        ax.axvline(switch, **BORDER)
        ax.axhline(0, color="k", linewidth=0.6)
        ax.set_title(f"w_inh = {w_inh:g}:\n{words}", fontsize=8)
        ax.set_xlabel("time (ms)")
    axes[0].set_ylim(max(lowest, -1.6), 1.05 * max(h.max(), rest.max()))
    axes[0].set_ylabel("activity h (1)")
    figure.supxlabel(
        "colours: the three largest currents of either image; wide: the exact state of rest, from h = 0", fontsize=7
    )
    return figure


SETS = {
    "learned": ("C0", "learned weights"),
    "start": ("C1", "weights at the start"),
    "normal": ("0.4", "normal currents"),
}


def active(run):
    """How many units stay active against the strength of inhibition, and which of them win where one stays."""
    found = study_of(run)
    strengths, fine = found["active/w_inh"], found["active/fine"]
    figure = new_figure(run, 8.2, 3.5, "The stronger the inhibition, the fewer stay active; beyond 1 the past decides")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for name, (color, words) in SETS.items():
        counts = found[f"active/{name}"]
        low, high = np.percentile(counts, [10, 90], axis=1)
        left.fill_between(strengths, low, high, color=color, alpha=0.15, linewidth=0)
        left.plot(strengths, counts.mean(axis=1), "o", color=color, markersize=4)
        left.plot(fine, found[f"active/{name}/exact"], color=color, linewidth=1, label=words)
    large = found["active/large_n"]
    left.plot(fine[large > 1], large[large > 1], color="0.4", linestyle="--", linewidth=1, label="the same, large n")
    left.set(yscale="log", xlabel="inhibition w_inh (1)", ylabel="active units of 100 (1)", ylim=(0.9, 110))
    left.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    left.minorticks_off()
    left.legend(
        frameon=False, fontsize=7, loc="lower left", title_fontsize=7,
        title="dots: simulated, lines: theory,\nbands: 10 to 90 % of images",
    )  # fmt: skip
    at = found["winners/w_inh"]
    for name, color, words in (
        ("rest", "C2", "from rest"),
        ("anywhere", "C4", "from random activity"),
        ("other", "C3", "after another image"),
    ):
        right.plot(at, 100 * found[f"winners/{name}"], "o-", color=color, markersize=4, linewidth=0.8, label=words)
    above = found["winners/above"]
    right.plot(above, 100 * found["winners/keep"], "k:", linewidth=1.2, label="theory: the old winner stays")
    right.axvline(1, **BORDER)
    for x, can in zip(above, found["winners/can"], strict=True):
        right.annotate(f"{can:.1f}", (x, 3), xytext=(0, 0), ha="center", **SMALL)
    right.annotate("units that could win (mean):", (at[0], 12), xytext=(0, 0), **SMALL)
    right.set(xlabel="inhibition w_inh (1)", ylabel="images for which the\nlargest current wins (%)", ylim=(0, 104))
    right.legend(frameon=False, fontsize=7, loc="center left")
    return figure


MAPS = {
    "same": "g of all units is the ranking's",
    "winner": "the largest current has g = 1",
    "away": "units with g = −Δ",
}
SCALES = {"same": (100, 40, "images (%)"), "winner": (100, 100, "images (%)"), "away": (1, 6, "units (1)")}


def ranking(run):
    """How often ranking by currents gives what the settled dynamics give, against inhibition and threshold."""
    found = study_of(run)
    w_inh, theta = found["ranking/w_inh"], found["ranking/theta"]
    figure = new_figure(
        run, 8.8, 5.2, "The shortcut: 1 for the largest current, −Δ for the second, 0 else; and what the dynamics give"
    )
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (weights, words) in zip(
        axes, (("start", "weights at the start"), ("learned", "learned weights")), strict=True
    ):
        for ax, (name, title) in zip(row, MAPS.items(), strict=True):
            values = found[f"ranking/{weights}/{name}"]
            scale, most, unit = SCALES[name]
            image = ax.pcolormesh(w_inh, theta, scale * values.T, shading="nearest", cmap="viridis", vmin=0, vmax=most)
            if name == "same":
                i, j = np.unravel_index(values.argmax(), values.shape)
                ax.plot(w_inh[i], theta[j], "r+", markersize=8)
                words_at = f"{100 * values[i, j]:.0f} % at most"
                ax.annotate(words_at, (w_inh[i], theta[j]), xytext=(-4, 7), color="w", ha="right", **SMALL)
            if name == "away":
                ax.contour(w_inh, theta, values.T, levels=[2.5], colors="w", linewidths=1)
            ax.axhline(found[f"ranking/{weights}/largest"], color="w", linestyle=":", linewidth=1)
            ax.set_yscale("log")
            ax.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
            if ax in axes[0]:
                ax.set_title(title, fontsize=8)
            if ax in axes[1]:
                ax.set_xlabel("inhibition w_inh (1)")
            figure.colorbar(image, ax=ax, pad=0.01, label=unit)
        row[0].set_ylabel(f"{words}\nθ = h* / mean |v|ₚ (1)")
    figure.supxlabel("dotted: the median of the largest current; white line, right: 1/Δ = 2.5 units", fontsize=7)
    return figure


def sphere(run):
    """Units by themselves: p-norms go to R, the Lyapunov function rises, Oja's rule is p = 2."""
    found = study_of(run)
    exponents, starts = found["sphere/p"], found["sphere/starts"]
    figure = new_figure(run, 8.8, 3.3, "The plasticity rule alone (equations 2, 3, 5): lines simulated, dashes theory")
    first, second, third = figure.subplots(1, 3)
    for k, p in enumerate(exponents):
        norms, theory = found[f"sphere/norm {k}"], found[f"sphere/norm theory {k}"]
        for each, wanted in zip(norms.T, theory.T, strict=True):
            (line,) = first.plot(each, color=f"C{k}", linewidth=1.4)
            first.plot(wanted, "k--", linewidth=0.7, dashes=(4, 4))
        line.set_label(f"p = {p:g}")
        L, wanted = found[f"sphere/L {k}"], found[f"sphere/L theory {k}"]
        second.plot(L, color=f"C{k}", linewidth=1.4)
        second.plot(wanted, "k--", linewidth=0.7, dashes=(4, 4))
    first.axhline(1, **BORDER)
    first.set(yscale="log", xlabel="time (ms); another image in each", ylabel="p-norm of the weights (1)")
    first.set_yticks([*starts, 1], [*(f"{each:g}" for each in starts), "R = 1"])
    first.minorticks_off()
    first.legend(frameon=False, fontsize=7, loc="upper right")
    first.set_title("g = Q", fontsize=8)
    second.set(xlabel="time (ms)", ylabel="L, sum over 100 images (1)")
    second.set_title("g = 1 above a threshold, −Δ below it:\nL never falls", fontsize=8)
    for name, color, words in (("eq 2", "C0", "equation 2, p = 2, g = Q"), ("rule", "C3", "Oja's rule")):
        third.plot(found[f"sphere/oja/{name}"], color=color, label=words)
    third.set(xlabel="time (ms)", ylabel="angle to the principal\ncomponent (degrees)")
    third.legend(frameon=False, fontsize=7)
    lengths = found["sphere/oja/lengths"]
    third.set_title(f"start: |W| = {lengths[0, 0]:.1f}, and Oja's\ng is |W| times as large", fontsize=8)
    return figure


def norms(run):
    """p-norms of units that win, over epochs, and how many units are active, in every condition."""
    metrics = run.metrics()
    traces = {}
    for name in dict.fromkeys(metrics["condition"]):
        arrays = run.of_condition("traces.npz", name)
        if "measures/p_norms" in arrays:
            traces[name] = arrays["measures/epochs"][0], arrays["measures/p_norms"][0]
    if not traces:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has measured p-norms")
    figure = new_figure(run, 8.6, 3.4, "The full dynamics: weights of units that win go to the sphere of radius R")
    axes = figure.subplots(1, 3)
    for k, (name, (epochs, quantiles)) in enumerate(traces.items()):
        color = condition_color(name, k)
        low, middle, high = quantiles.mean(axis=1).T
        axes[0].plot(epochs, middle, color=color, label=in_words(name))
        axes[0].fill_between(epochs, low, high, color=color, alpha=0.15, linewidth=0)
        for ax, columns in ((axes[1], ("pushed_towards", "pushed_away")), (axes[2], ("winner", "as_ranking", "used"))):
            for column, style in zip(columns, ("-", "--", ":"), strict=False):
                at, values = over_epochs(run, metrics, name, "train", column=column)
                kept = at > 0
                label = None if k else in_words(column)
                scale = 1 if ax is axes[1] else 100
                ax.plot(at[kept], scale * values[kept].mean(axis=1), style, color=color, label=label)
    axes[0].axhline(1, **BORDER)
    axes[0].set(yscale="log", ylabel="p-norm: median, 5 to 95 % (1)")
    axes[0].set_yticks([1, 2, 5], ["1", "2", "5"])
    axes[0].minorticks_off()
    axes[1].set(ylabel="units an image (1)", ylim=(0, None))
    axes[2].set(ylabel="images, or units (%)", ylim=(0, 103))
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, fontsize=7)
    return figure
