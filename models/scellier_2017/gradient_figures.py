"""Figures of a run of ``gradient``: the contrastive update beside the exact gradient."""

from matplotlib.ticker import MaxNLocator

from neurosim.plots import condition_color, in_words, new_figure, over_epochs, plot_band, study_of

SIDES = {"one-sided": "C3", "centred": "C0"}
THEORY = dict(color="k", linewidth=0.9, zorder=1)


def error_against_beta(run):
    """Relative error of the update against beta: dots simulated, lines the first terms of theory, of slope 1 and 2."""
    found = study_of(run)
    panels = [(f"{depth}/clear", f"{depth} hidden layer{'s' if depth > 1 else ''}") for depth in found["depths"]]
    panels.append(("2/first", "2 hidden layers,\nexamples not chosen"))
    figure = new_figure(
        run, 9.6, 3.5, "The update becomes the gradient as β goes to 0: one-sided with β, centred with β²"
    )
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
    betas = found["betas"]
    for ax, (key, words) in zip(axes, panels, strict=True):
        for side, color in SIDES.items():
            told = f"{side}, slope {found[f'{key}/{side}/slope']:.3f}"
            ax.plot(betas, found[f"{key}/{side}/double"], "o", color=color, markersize=4, label=told)
            if f"{key}/{side}/single" in found:
                ax.plot(
                    betas,
                    found[f"{key}/{side}/single"],
                    "x",
                    color=color,
                    markersize=4,
                    label=f"{side}, single precision",
                )
            ax.plot(betas, found[f"{key}/{side}/term"], **THEORY)
        leaves = betas[~found[f"{key}/holds"]]
        if len(leaves):
            ax.axvspan(leaves[0] / 1.5, 2 * betas[-1], color="0.92", zorder=0, linewidth=0)
        ax.set(xscale="log", yscale="log", ylim=(2e-8, 20), xlim=(betas[0] / 2, 2 * betas[-1]), xlabel="β (1)")
        ax.set_title(words, fontsize=8)
        ax.legend(frameon=False, fontsize=6, loc="upper left", handletextpad=0.1)
    axes[0].set_ylabel("|update − gradient| / |gradient| (1)")
    figure.supxlabel(
        "dots: simulated; lines: theory; grey: with this β or −β a unit crosses a border, and the expansion ends",
        fontsize=8,
    )
    return figure


def error_against_steps(run):
    """What the update lacks after few free or few nudged steps: geometric, with the rate of the slowest eigenvalue."""
    found = study_of(run)
    ladder, rate = found["ladder"], float(found["steps/rate"])
    figure = new_figure(run, 7.4, 3.6, "What is missing shrinks as the slowest mode does")
    axes = figure.subplots(1, 2, sharex=True)
    for ax, phase in zip(axes, ("free_steps", "nudged_steps"), strict=True):
        ends = []
        for side, color in SIDES.items():
            for k, beta in enumerate(found["step betas"]):
                error = found[f"steps/{side}/{phase}"][:, k]
                style = dict(color=color, marker="os"[k], markersize=4, linestyle="", fillstyle=("full", "none")[k])
                ax.plot(ladder, error, label=f"{side}, β = {beta:g}", **style)
                ends.append(error[-1])
        for end in ends:
            ax.plot(ladder, end * rate ** (ladder - ladder[-1]), **THEORY)
        ax.set(yscale="log", xlabel=f"{phase.partition('_')[0]} phase (steps)")
        ax.set_title(f"lines: {rate:.3f} a step", fontsize=8)
    axes[0].set_ylabel("|update − that at rest| / |gradient| (1)")
    axes[1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def angle_of_update(run):
    """Angle between the update and the exact gradient while a network learns, and examples without a gradient."""
    metrics = run.metrics()
    figure = new_figure(run, 9.0, 3.4, "A small β gives the gradient, but where outputs are silent there is none")
    axes = figure.subplots(1, 3)
    panels = {
        "angle_of_update": ("train", "angle of update and gradient (degrees)", 1, (0, 180)),
        "stuck": ("train", "not learned, without a gradient (%)", 100, (0, 100)),
        "error": ("test", "test error (%)", 100, (0, 100)),
    }
    for ax, (column, (split, label, scale, within)) in zip(axes, panels.items(), strict=True):
        for k, name in enumerate(dict.fromkeys(metrics["condition"])):
            epochs, values = over_epochs(run, metrics, name, split, column=column)
            color = condition_color(name, k)
            plot_band(ax, epochs, values, in_words(name), color, scale=scale, within=within, band=column == "error")
        ax.set(xlabel="epoch", ylabel=label, ylim=(0, 100))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
