"""Figures of a run of ``gradient``: the forward plasticity beside theory and backprop."""

from matplotlib.ticker import MaxNLocator

from neurosim.plots import condition_color, in_words, new_figure, over_epochs, plot_band, study_of

WAYS = {"symmetric": ("o", "full"), "random": ("s", "none")}  # markers of TD
THEORY = dict(color="k", linewidth=0.9, zorder=1)
PUBLISHED = 0.42


def against_mixing(run):
    """Size of the change of every area, its distance from the leading term and its angle to the gradient, by lambda."""
    found = study_of(run)
    x, depths = found["lambdas"], [int(each) for each in found["depths"]]
    title = "At small mixing λ the forward rule is backprop, less by a factor of λ with every area"
    figure = new_figure(run, 3.2 * len(depths) + 1.2, 7.4, title)
    axes = figure.subplots(3, len(depths), sharex=True, sharey="row", squeeze=False)
    rows = {
        "factor": ("change / theory without F (1)", (1e-12, 3)),
        "error": ("relative error of theory (1)", (1e-5, 2)),
        "angle": ("angle to −dL/dW (degrees)", (5e-4, 180)),
    }
    for column, depth in zip(axes.T, depths, strict=True):
        for ax, (name, (label, limits)) in zip(column, rows.items(), strict=True):
            array = found[f"{depth}/{name}"]
            for area in range(depth + 1):
                color = f"C{depth - area}"  # of the distance from the output
                for k, (marker, fill) in enumerate(WAYS.values()):
                    ax.plot(x, array[:, k, area], marker, color=color, fillstyle=fill, markersize=4)
                if name == "factor":
                    ax.plot(x, x ** (depth - area + 1) * (1 - x) ** (depth - area), **THEORY)
            if name != "factor":
                ax.plot(x, array[len(x) // 3, 0, -1] * x / x[len(x) // 3], **THEORY)
            ax.axvline(PUBLISHED, color="0.8", linewidth=0.8, zorder=0)
            ax.set(xscale="log", yscale="log", ylim=limits)
            if ax in axes[:, 0]:
                ax.set_ylabel(label, fontsize=8)
        column[0].set_title(f"{depth} hidden area{'s' if depth > 1 else ''}", fontsize=9)
        column[-1].set_xlabel("mixing factor λ (1)")
    most = max(depths)
    words = {0: "output", 1: "hidden area below it"} | {k: f"{k} areas below it" for k in range(2, most + 1)}
    handles = [axes[0, 0].plot([], [], "o", color=f"C{k}", markersize=4, label=words[k])[0] for k in range(most + 1)]
    ways = {"symmetric": "TD in proportion to $W^T$", "random": "TD random"}
    handles += [
        axes[0, 0].plot([], [], marker, color="0.3", fillstyle=fill, markersize=4, label=ways[way])[0]
        for way, (marker, fill) in WAYS.items()
    ]
    handles.append(axes[0, 0].plot([], [], label="theory; below: slope 1", **THEORY)[0])
    axes[0, -1].legend(handles=handles, frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.supxlabel(f"grey: λ = {PUBLISHED} of the published conductances", fontsize=8)
    return figure


def angles_over_learning(run):
    """Angles of the change of the hidden weights to the gradient and to theory, and error, while a circuit learns."""
    metrics = run.metrics()
    figure = new_figure(run, 9.6, 3.4, "While it learns: angles of the change of the hidden weights, at rest")
    axes = figure.subplots(1, 3)
    panels = {
        "angle_of_update": ("train", "to −dL/dW (degrees)", 1, (0, 180)),
        "angle_to_theory": ("train", "to the leading term, with TD (degrees)", 1, (0, 180)),
        "error": ("test", "test error (%)", 100, (0, 100)),
    }
    for ax, (column, (split, label, scale, within)) in zip(axes, panels.items(), strict=True):
        for k, name in enumerate(dict.fromkeys(metrics["condition"])):
            epochs, values = over_epochs(run, metrics, name, split, column=column)
            plot_band(ax, epochs, values, in_words(name), condition_color(name, k), scale=scale, within=within)
        ax.set(xlabel="epoch", ylabel=label, ylim=(0, 100 if column == "error" else 150))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
