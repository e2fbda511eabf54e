"""Experiment  symmetry (ours: the paper's weights are symmetric, which synapses would have to become)
            Forward and backward synapses start apart, and each learns by its own local rule: do the two ways come to
            agree, does the network still settle, what does it cost? With one and two hidden layers (deep).
Equations   tau ds/dt = W^T rho_below + R^T rho_above + b - s + 2 beta (d - s)    s <- clip(s, 0, 1)    rho(s) = s
            dW_ij = alpha / beta <rho_i^nudged rho_j^nudged - rho_i^free rho_j^free> - decay W_ij
            dR_ji the same with R_ji (apart: decay 0, apart_decay), or 0 (fixed), or R = W^T (symmetric)
Symbols     s state, rho activity, W weights from the layer below, R from the layer above, b biases, d target, beta
            nudge, alpha learning rate, <.> mean over a batch; decay is that of a presentation
Theory      - dW = dR^T, so W - R^T stays what it was at the start, and with decay shrinks by the factor 1 - decay in
              every presentation (Kolen, Pollack 1994). The angle of W and R^T has the cosine
              (|W|^2 + |R|^2 - |W - R^T|^2) / (2 |W| |R|): near 90 degrees at the start, where the squares cancel;
              without decay it falls only as far as weights grow: to 60 degrees where their squares have doubled.
            - Without symmetry no energy needs to fall. Of units within the borders a deviation from a fixed point is
              multiplied by 1 - epsilon + epsilon mu in a step, mu the eigenvalues of their couplings: between two
              layers of n and m units +-sqrt(eigenvalues of W R). If symmetric they are real, at the start up to
              sqrt(2 / (n + m)) (sqrt(n) + sqrt(m)), 1.8 for 100 and 10: above 1 units run to their borders, near 1
              they creep. Apart they are complex, of size sqrt(2 / (n + m)) (n m)^(1/4), 0.76: ripples that are gone
              within a few steps. An oscillation that is to grow needs a mu near sqrt(3) i at epsilon = 1/2. So these
              networks should settle, at first sooner than symmetric ones.
Found       In trained networks the largest multipliers are 0.9 to 1, imaginary parts up to 0.15 (one hidden layer) and
            0.9 (two): what has not settled after 100 steps creeps, with symmetric weights as without. Given 1500 steps
            157 of 160 presentations settle. On digits no condition ends lower than another, fixed backward weights
            included: forward weights turn towards them (61 degrees), as in feedback alignment.
Departures  - Another network than the paper's, which is the condition `symmetric`.
            - A nudge of one sign, beta 1: with a random sign two hidden layers as small as these fall silent.
Expect      digits, means over 5 replicas after 20 epochs: at most 7 % with one hidden layer, 9 % with two
"""

import numpy as np
from matplotlib.ticker import NullLocator

from neurosim import plots
from neurosim.experiment import Comparison, Expect, Experiment, Preset
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.figures import saved
from neurosim_models.scellier_2017.network import APART, FIXED, POSITIVE, SYMMETRIC

SECTION = "ours"
DEEP = {"hidden": (100, 100), "alpha": (0.2, 0.1, 0.05)}
CONDITIONS = {
    "symmetric": {"weights": SYMMETRIC, "decay": 0.0},
    "apart": {"weights": APART, "decay": 0.0},
    "apart_decay": {"weights": APART, "decay": 1e-3},
    "fixed": {"weights": FIXED, "decay": 0.0},
}
CONDITIONS |= {f"{name}_deep": own | DEEP for name, own in CONDITIONS.items()}
COLORS = {"symmetric": "k", "apart": "C0", "apart_decay": "C2", "fixed": "C3"}


def build(values, data, seed):
    """Return the circuit; where R has synapses of its own, it measures |W - R^T|, 1 at the start, beside the angle."""
    circuit = network.build(values, data, seed)
    if values["weights"] == SYMMETRIC:
        return circuit
    layers = list(circuit.populations)[1:]
    for below, here in zip(layers, layers[1:], strict=False):
        w, r = circuit.projections[f"W_{here}"], circuit.projections[f"R_{below}"]
        start = difference(w, r)
        circuit.measures[f"difference_{below}_{here}"] = (
            lambda w=w, r=r, start=start: difference(w, r) / start, "1",
        )  # fmt: skip
    return circuit


def difference(forward, backward):
    """Return |W - R^T|, (replicas,), the Frobenius norm."""
    apart = forward.copy_of_weights() - np.swapaxes(backward.copy_of_weights(), 1, 2)
    return np.linalg.norm(apart.astype(float), axis=(1, 2))


def shrinking(decay, presentations):
    """Return the share of the difference W - R^T that is left after some presentations, see Theory."""
    return (1 - decay) ** np.asarray(presentations)


def ways(run):
    """Test error, angle and difference between forward and backward weights, and steps to settle, over epochs."""
    metrics = run.metrics()
    done = list(dict.fromkeys(metrics["condition"]))
    rows = {"one hidden layer": "", "two hidden layers": "_deep"}
    rows = {
        words: [name for name in done if name in CONDITIONS and name.endswith("_deep") == bool(suffix)]
        for words, suffix in rows.items()
    }
    rows = {words: names for words, names in rows.items() if names}
    if not rows:
        raise plots.NothingToDrawError(f"{run.folder}: none of the experiment's conditions was run")
    figure = plots.new_figure(run, 9.4, 0.8 + 2.5 * len(rows), "Forward and backward weights that learn apart")
    axes = figure.subplots(len(rows), 4, sharex=True, squeeze=False)
    for row, (words, names) in zip(axes, rows.items(), strict=True):
        for name in names:
            _draw(row, run, metrics, name)
        row[0].set_ylabel(f"{words}\ntest error (%)")
        row[0].set_yscale("log")
        row[0].yaxis.set_minor_locator(NullLocator())
        row[0].set_yticks([5, 10, 20, 50], ["5", "10", "20", "50"])
        row[1].axhline(90, color="k", linestyle=":", linewidth=0.8)
        row[1].set_ylim(0, 100)
        row[1].set_yticks(range(0, 91, 15))
        row[1].set_ylabel("angle of W and Rᵀ (degrees)")
        row[2].set_ylim(0, 1.2)
        row[2].set_ylabel("|W − Rᵀ|, 1 at the start")
        row[3].set_ylim(bottom=0)
        row[3].set_ylabel("free phase (steps)")
        row[0].legend(frameon=False, fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    axes[0, 0].set_title(f"means of {len(set(metrics['replica']))} replicas", fontsize=7)
    axes[-1, 1].set_title("solid: h1 and h2, dashed: h2 and y" if len(rows) > 1 else "h1 and y", fontsize=7)
    axes[0, 2].set_title("black dots: predicted", fontsize=7)
    axes[0, 3].set_title(f"at most {run.record['parameters']['free_steps']['value']}", fontsize=7)
    return figure


def _draw(row, run, metrics, name):
    """Draw one condition into a row of Axes."""
    short = name.removesuffix("_deep")
    color, label = COLORS[short], plots.in_words(short)
    epochs, errors = plots.over_epochs(run, metrics, name, "test")
    plots.plot_band(row[0], epochs, errors, label, color, scale=100, band=False)
    for ax, kind in ((row[1], "angle_"), (row[2], "difference_")):
        found = [plots.over_epochs(run, metrics, name, "train", column=c)[1] for c in metrics if c.startswith(kind)]
        for k, values in enumerate(each for each in found if np.isfinite(each).any()):
            plots.plot_band(ax, epochs, values, f"_{label}", color, within=(0, 180), linestyle="-" if k == 0 else "--")
    own = {name: each["value"] for name, each in run.record["parameters"].items()} | run.record["conditions"][name]
    if own["weights"] == APART:
        presentations = epochs * (run.record["data"]["train"] // own["lanes"])
        row[2].plot(epochs, shrinking(own["decay"], presentations), ".", color="k", markersize=4, zorder=4)
    plots.plot_band(
        row[3], epochs, plots.over_epochs(run, metrics, name, "train", column="free_steps")[1], f"_{label}", color
    )


SYMMETRY = Experiment(
    name="symmetry",
    title="forward and backward weights that start apart and learn alike",
    notes=__doc__,
    parameters=network.parameters(SECTION),
    presets={
        "digits": Preset(
            values={
                "hidden": ((100,), "ours: 64 pixels ask for less than 784"),
                "alpha": ((0.2, 0.1), "ours"),
                "beta": (1.0, "authors' code, net2"),
                "nudging": (POSITIVE, "ours: see Departures"),
                "free_steps": (100, "ours: ample, to see whether the network settles"),
                "nudged_steps": (12, "ours"),
                "tolerance": (1e-3, "ours"),
                "lanes": (20, "authors' code: batches of 20"),
                "replicas": (5, "ours"),
                "epochs": (20, "ours"),
            },
            inputs=64,
            duration="4 min",
            expect=tuple(
                Expect(0.09 if name.endswith("_deep") else 0.07, "digits are easy for all", name) for name in CONDITIONS
            ),
        ),
    },
    build=build,
    check=network.check,
    told=saved,
    conditions=CONDITIONS,
    factors=("weights", "decay", "hidden"),
    comparisons=tuple(
        Comparison(f"symmetric{deep}", name + deep, "ours: symmetry is not needed", alike=True)
        for deep in ("", "_deep")
        for name in ("apart", "apart_decay", "fixed")
    ),
    neurons=network.NEURONS,
    texts=network.TEXTS,
    figures=(ways, "final"),
)
