"""Figures of a run of the circuit: its regimes, its period, where it works, and what it does to learning."""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from neurosim.plots import condition_color, in_words, new_figure, over_epochs, plot_band, study_of
from neurosim_models.amit_2018 import circuit_cells as cells
from neurosim_models.amit_2018.circuit_cells import FORMS, SPIKING

LEVEL = dict(color="0.85", linewidth=0.6, zorder=0)
BORDER = dict(color="0.6", linewidth=0.8, linestyle=":")
SMALL = dict(textcoords="offset points", fontsize=7)


def regimes(run):
    """The four regimes of o and t: constant within the margin, a cycle beyond it, as map, leaky and spiking neurons."""
    found = study_of(run)
    mu, h = float(found["regimes/mu"]), found["regimes/h"]
    figure = new_figure(
        run, 7.6, 5.2,
        f"Within the margin o is constant, beyond it o and t chase each other (drawn with μ = {mu:g}, "
        f"ε = {float(found['regimes/map/eps']):g}, spikes {float(found['regimes/spiking/eps']):g})",
    )  # fmt: skip
    axes = figure.subplots(3, 4, sharex="row", sharey="row")
    for row, form in zip(axes, FORMS, strict=True):
        time, o, t = (found[f"regimes/{form}/{name}"] for name in ("time", "o", "tc"))
        eps = float(found[f"regimes/{form}/eps"])
        levels = {1: "1", 0: "0", -mu: "−μ", 1 + eps: "1+ε", -mu - eps: "−μ−ε"}
        if form == SPIKING:
            levels = {0: "0", 1: "1", 1 + eps: "1+ε", -1 - eps: "−1−ε"}
        for k, ax in enumerate(row):
            for level in levels:
                ax.axhline(level, **LEVEL)
            if form == SPIKING:
                ax.vlines(time, 0, o[:, k], color="C0", linewidth=0.8, label="spikes of o")
                ax.plot(time, found[f"regimes/{form}/z"][:, k], color="k", linewidth=1.2, label="recent mean of o")
            else:
                steps = dict(drawstyle="steps-mid")
                ax.plot(time, t[:, k], color="C3", linewidth=1.0, linestyle="--", label="t", **steps)
                ax.plot(time, o[:, k], color="C0", linewidth=1.4, label="o", **steps)
            ax.tick_params(labelsize=7)
        row[0].set_yticks(list(levels), levels.values())
        row[0].set_ylabel(f"{form} neurons\nactivity (1)")
        row[-1].legend(frameon=False, fontsize=7, loc="upper right", borderpad=0)
    for row in axes[:2]:
        row[0].set_ylim(-1.15, 1.8)
    for ax in axes[-1]:
        ax.set_xlabel("time (synaptic delays)", fontsize=8)
    titles = ("class shown, h < S", "class shown, h > S", "other shown, h > −S", "other shown, h < −S")
    for ax, title, field in zip(axes[0], titles, h, strict=True):
        ax.set_title(f"{title}\n(h = {field:g})".replace("-", "−"), fontsize=8)
    return figure


def period(run):
    """Period and mean of the cycle beyond the margin against the time constants: dots simulated, lines the formulas."""
    found = study_of(run)
    M, S, eps, h = (float(found[f"period/{name}"]) for name in ("M", "S", "eps", "h"))
    ratio = found["period/ratio"]
    fine = np.geomspace(ratio[0], ratio[-1], 200)
    slow_t, on = cells.period_of_slow_control(eps, fine, 1.0)
    slow_o, lowest, above = cells.period_of_slow_output(h, M, S, fine, 1.0)
    limit = cells.largest_tau_o(h, M, S, 1.0)
    figure = new_figure(run, 7.2, 3.6, f"The cycle slows with its neurons, and o is less and less silent (h = {h:g})")
    left, right = figure.subplots(1, 2)
    for name, color, line, word in (
        ("tau_o", "C0", slow_o, r"$\tau_o$ of o, t at once"),
        ("tau_t", "C3", slow_t, r"$\tau_t$ of t, o at once"),
    ):
        left.plot(ratio, found[f"period/{name}/period"], "o", color=color, markersize=3)
        left.plot(fine, line, color=color, linewidth=1, label=word)
        right.plot(ratio, found[f"period/{name}/mean"], "o", color=color, markersize=3)
    left.axhline(2, **BORDER)
    left.annotate("the map: 2", (ratio[-1], 2), xytext=(0, -9), ha="right", **SMALL)
    left.set_ylim(bottom=0)
    left.set_ylabel("period / delay of the loop (1)")
    left.legend(frameon=False, fontsize=8, title="dots: simulated, lines: formula", title_fontsize=7)
    right.plot(fine, on * (1 + eps), color="C3", linewidth=1)
    right.plot(fine[lowest > M], 1 + eps * above[lowest > M], color="C0", linewidth=1)
    right.axvspan(limit, ratio[-1], color="C0", alpha=0.1, linewidth=0)
    right.annotate("o never reaches 0\n(blue)", (limit, 0.53), xytext=(4, 0), color="C0", **SMALL)
    words = {(1 + eps) / 2: "the map: (1 + ε)/2", (3 + eps) / 4: "read as silence below", 1: "within the margin"}
    for level, word in words.items():
        right.axhline(level, **BORDER)
        right.annotate(word, (ratio[0], level), xytext=(0, 2), **SMALL)
    right.set_ylabel("mean of o over a cycle (1)")
    right.set_ylim(0.48, 1.08)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("time constant / delay of the loop (1)")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure


MAPS = {
    "times/cycling": "o itself: silent at times beyond the\nmargin, never within (dotted: theory)",
    "times/agreement": "sustained o, ε = {eps:g}:\nneurons quicker than the loop",
    "times_strong/agreement": "sustained o, ε = {strong:g}:\nt may be slow",
    "margin/agreement": "sustained o: noise in every step",
    "levels/agreement": "sustained o: ε near μ or 1 makes\na cycle's mean that of constant o",
    "spiking/agreement": "spikes, summed over 200 steps:\n−μ is seldom a spike",
}
AXES = {
    "tau_o / delay": r"$\tau_o$ / delay of the loop (1)",
    "tau_t / delay": r"$\tau_t$ / delay of the loop (1)",
    "S / M": "S / M (1)",
    "noise / M": "noise / M (1)",
    "eps": "ε (1)",
    "mu": "μ (1)",
    "tau_t / step": r"$\tau_t$ (steps)",
}


def region(run):
    """Where the circuit computes equation 4: fraction of random fields and classes, over pairs of its constants."""
    found = study_of(run)
    figure = new_figure(
        run,
        7.6,
        5.6,
        "Where the circuit computes equation 4: random fields in [−M, M] and classes that are right (white: 95 %)",
    )
    axes = figure.subplots(2, 3)
    M, S, eps, strong = (float(found[f"region/{name}"]) for name in ("M", "S", "eps", "strong"))
    for ax, (key, title) in zip(axes.flat, MAPS.items(), strict=True):
        name = key.split("/")[0]
        x, y = (found[f"region/{name}/{side}"] for side in "xy")
        right = 100 * found[f"region/{key}"]
        image = ax.pcolormesh(x, y, right, vmin=50, vmax=100, cmap="viridis", shading="nearest")
        if name != "spiking":
            ax.contour(x, y, right, levels=[95], colors="w", linewidths=0.9)
        for side, values in (("x", x), ("y", y)):
            getattr(ax, f"set_{side}label")(AXES[str(found[f"region/{name}/{side}label"])])
            if (values > 0).all():
                getattr(ax, f"set_{side}scale")("log")
        ax.set_title(title.format(eps=eps, strong=strong), fontsize=8)
    for share, words in ((0.95, "95 %"), (1 - (M - S) / (2 * M), "none")):
        h = M - 2 * M * (1 - share)  # beyond the margin o is silent for fields up to h
        at = cells.largest_tau_o(h, M, S, 1.0)
        axes[0, 0].axvline(at, color="w", linestyle=":", linewidth=1)
        axes[0, 0].annotate(words, (at, 9), xytext=(2, 0), va="top", rotation=90, color="w", **SMALL)
    figure.colorbar(image, ax=axes, label="right (%)", aspect=40, pad=0.01)
    return figure


def agreement(run):
    """What is read of o beside equation 5, and fields that leave [-M, M], over epochs, in every condition."""
    metrics = run.metrics()
    figure = new_figure(run, 7.6, 3.4, "What is read of o beside what equation 5 asks for")
    axes = figure.subplots(1, 3)
    panels = {
        "agreement": "agreement, fields in [−M, M] (%)",
        "drive_beyond": "mean read beyond the margin (% of 1 or −μ)",
        "outside_M": "fields outside [−M, M] (%)",
    }
    for ax, (column, label) in zip(axes, panels.items(), strict=True):
        for k, name in enumerate(dict.fromkeys(metrics["condition"])):
            epochs, values = over_epochs(run, metrics, name, "train", column=column)
            kept = epochs > 0
            color = condition_color(name, k)
            plot_band(ax, epochs[kept], values[kept], in_words(name), color, scale=100, within=(0, np.inf))
        ax.set_ylabel(label, fontsize=8)
        ax.set_xlabel("epoch")
        ax.set_ylim(bottom=-3)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
