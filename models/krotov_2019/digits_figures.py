"""Figures of the full dynamics beside the ranking: features side by side, and how the units compete."""

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment

from neurosim.errors import ParameterError
from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, plot_band

SHOWN = 14  # pairs of features
NEAR = 0.1  # a unit is on the sphere if its p-norm lies as near to 1


def learned(weights, p):
    """Return units whose p-norm has come near to 1, but at least the nearest SHOWN, (units, inputs), and their part.

    ``weights`` has the shape (inputs, units).
    """
    away = np.abs((np.abs(weights) ** p).sum(axis=0) ** (1 / p) - 1)
    near = away < NEAR
    return weights.T[near if near.sum() >= SHOWN else np.argsort(away)[:SHOWN]], near.mean()


def matched(some, others):
    """Pair features one to one so that their cosines are largest in sum; return (rows, columns, cosines)."""
    unit = lambda w: w / np.linalg.norm(w, axis=1, keepdims=True)  # noqa: E731
    cosines = unit(some) @ unit(others).T
    rows, columns = linear_sum_assignment(-cosines)
    return rows, columns, cosines[rows, columns]


def side_by_side(run):
    """Features of the full dynamics above those of the ranking that are most alike, and how alike pairs are."""
    p = run.record["parameters"]["p"]["value"]
    try:
        weights = {name: run.of_condition("weights.npz", name)["W"][0] for name in ("full", "ranking")}
    except ParameterError as error:
        raise NothingToDrawError(str(error)) from None
    side = round(weights["full"].shape[1] ** 0.5)
    if side**2 != weights["full"].shape[1] or weights["full"].shape[2] < SHOWN:
        raise NothingToDrawError(f"{run.folder}: needs square images and {SHOWN} units or more")
    own = {name: [learned(each, p)[0] for each in found] for name, found in weights.items()}
    figure = new_figure(
        run, 8.8, 4.2, "Features of the full dynamics and of the shortcut, from the same weights, in pairs"
    )
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1))
    full, ranking = own["full"][0], own["ranking"][0]
    rows, columns, cosines = matched(full, ranking)
    chosen = np.argsort(-cosines)[np.linspace(0, len(cosines) - 1, SHOWN).astype(int)]
    limit = max(np.abs(full[rows[chosen]]).max(), np.abs(ranking[columns[chosen]]).max())
    axes = above.subplots(2, SHOWN)
    for pair, k in zip(axes.T, chosen, strict=True):
        for ax, image in zip(pair, (full[rows[k]], ranking[columns[k]]), strict=True):
            shown = ax.imshow(
                image.reshape(side, side), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
            )
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        pair[0].set_title(f"{cosines[k]:.2f}", fontsize=7)
    for ax, words in zip(axes[:, 0], ("full", "ranking"), strict=True):
        ax.set_ylabel(f"W, {words} (1)", rotation=0, ha="right", va="center", fontsize=8)
    above.colorbar(shown, ax=axes, aspect=14, pad=0.01, label="weight (1)").ax.tick_params(labelsize=7)
    above.suptitle("pairs from most to least alike, with their cosines; red positive, blue negative", fontsize=8)

    left, middle, right = below.subplots(1, 3)
    bins = np.linspace(-0.2, 1, 37)
    left.hist(cosines, bins, color="C0", alpha=0.6, density=True, label="full and ranking")
    if len(own["ranking"]) > 1:
        control = matched(ranking, own["ranking"][1])[2]
        left.hist(
            control, bins, color="k", histtype="step", density=True, label="ranking, another start\nand order of images"
        )
    left.set(xlabel="cosine of a pair (1)", ylabel="density (1)")
    left.set_ylim(top=1.5 * left.get_ylim()[1])
    left.legend(frameon=False, fontsize=6.5, loc="upper left")
    left.set_xlim(-0.2, 1.02)
    for k, (name, features) in enumerate((("full", full), ("ranking", ranking))):
        middle.hist(features.ravel(), np.linspace(-limit, limit, 61), color=f"C{k}", histtype="step", density=True)
        found = weights[name][0]
        norms = np.sort((np.abs(found) ** p).sum(axis=0) ** (1 / p))
        part = 100 * learned(found, p)[1]
        right.plot(norms, 100 * np.arange(1, len(norms) + 1) / len(norms), color=f"C{k}",
                   label=f"{name}: {part:.0f} % within 10 %")  # fmt: skip
        middle.plot([], color=f"C{k}", label=f"{name}: {features.min():.2f} to {features.max():.2f}")
    middle.set(xlabel="weight of units on the sphere (1)", ylabel="density (1)", yscale="log")
    middle.set_ylim(top=60)
    middle.legend(frameon=False, fontsize=6.5, loc="upper left")
    right.set(xscale="log", xlabel="p-norm (1)", ylabel="units up to it (%)", ylim=(0, 102))
    right.set_xticks([1, 2, 5], ["1", "2", "5"])
    right.minorticks_off()
    right.legend(frameon=False, fontsize=6.5, loc="lower right")
    return figure


def competition(run):
    """How the units of the full dynamics compete over the epochs without labels, and the error of both top layers."""
    metrics = run.metrics()
    if "pushed_towards" not in metrics or "full" not in run.record["conditions"]:
        raise NothingToDrawError(f"{run.folder}: no condition of this run has units that relax")
    values = {name: each["value"] for name, each in run.record["parameters"].items()}
    without = round(values["unsupervised"] * values["epochs"])
    figure = new_figure(run, 8.6, 3.3, "Competition without labels, then a top layer with labels")
    left, middle, right = figure.subplots(1, 3)
    panels = (
        (left, 1, {"active": "h > 0", "pushed_towards": "g = 1", "pushed_away": "g = −Δ"}),
        (middle, 100, {
            "winner": "largest current has g = 1", "as_ranking": "g of all is the ranking's",
            "unsettled": "not settled", "used": "units used",
        }),
    )  # fmt: skip
    for ax, scale, columns in panels:
        for k, (column, words) in enumerate(columns.items()):
            epochs, found = over_epochs(run, metrics, "full", "train", column=column)
            kept = (epochs > 0) & (epochs <= without)
            plot_band(ax, epochs[kept], found[kept], words, f"C{k}", scale=scale, within=(0, 100))
        ax.set_xlabel("epoch")
        ax.set_title("without labels", fontsize=8)
    left.set(ylabel="units an image (1)", ylim=(0, None))
    middle.set(ylabel="images, or units (%)", ylim=(-2, 104))
    for k, name in enumerate(run.record["conditions"]):
        for split, style in (("test", "-"), ("train", ":")):
            epochs, found = over_epochs(run, metrics, name, split)
            kept = epochs > without
            color = condition_color(name, k)
            plot_band(
                right, epochs[kept] - without, found[kept], f"{in_words(name)}, {split}", color, scale=100,
                within=(0, 100), linestyle=style, band=False,
            )  # fmt: skip
    right.set_title("with labels", fontsize=8)
    right.set(xlabel="epoch", ylabel="error (%)", yscale="log", ylim=(0.4, None))
    right.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    right.minorticks_off()
    for ax, place in ((left, "upper right"), (middle, "center"), (right, "upper right")):
        ax.legend(frameon=False, fontsize=7, loc=place)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
