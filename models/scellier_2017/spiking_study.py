"""What spikes do to the change of the weights by one batch: noise measured, predicted, and a figure; see spiking."""

import numpy as np
from matplotlib.ticker import NullLocator

from neurosim import plots
from neurosim.data import DataSet
from neurosim_models.scellier_2017.network import CENTRED, SYMMETRIC
from neurosim_models.scellier_2017.spiking_cells import RATES, SPIKES, build, variance

TIMES = (1, 3, 10, 30)  # tau_r / dt
NUDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
COPIES = 10  # replicas, alike but for the draws
LONG = 6  # phases, in units of tau_r, or of 10 steps
SMALLEST, LONGEST = 0.005, 400  # beta and steps of what is taken for the gradient


def _images(lanes, seed):
    """Return random images as sparse as digits, and labels."""
    draw = np.random.default_rng(seed)
    images = (draw.random((lanes, 64)) * (draw.random((lanes, 64)) < 0.5)).astype(np.float32)
    labels = np.arange(lanes) % 10
    return DataSet("drawn", images, labels, images, labels, 10, (8, 8), "drawn")


def changes(values, data, seed, nudges):
    """Return what one batch changes the weights by, divided by alpha: (nudges, replicas, synapses), and the states.

    All replicas have the same weights. The states are traces at the ends of the phases that are nudged by +beta and
    -beta, population to (raised, lowered).
    """
    circuit = build(values, data, seed)
    start = {name: p.w[:1].copy() for name, p in circuit.projections.items()}
    alphas = dict(zip(["h1", "y"], values["alpha"], strict=True))
    circuit.set_training(True)
    circuit.feed(data.train_images, data.train_labels)
    found, states = [], {}
    for beta in nudges:
        for name, projection in circuit.projections.items():
            projection.w[...] = start[name]
        circuit.network["teacher"].view("beta")[...] = circuit.populations["y"].view("beta")[...] = beta
        circuit.readout.expect(data.train_labels)
        circuit.presentation.show(np.arange(values["lanes"])[None])
        circuit.network.run(circuit.presentation.remaining, namespace={})
        moved = [(p.w - start[name]) / alphas[name.partition("_")[2]] for name, p in circuit.projections.items()]
        found.append(np.concatenate([each.reshape(len(each), -1) for each in moved], axis=1))
        for name, population in circuit.populations.items():
            lowered = population.view("rho").copy()
            states[beta, name] = (lowered if name == "x" else population.view("raised").copy()), lowered
    return np.array(found), states


def predicted_noise(values, states, beta):
    """Return the summed variance of the change of all weights by a batch, from the states of rates, see Theory."""
    total = 0.0
    for pre, post in (("x", "h1"), (None, "h1"), ("h1", "y"), (None, "y")):
        for phase in (0, 1):
            s_j = states[beta, post][phase][0].astype(float)
            s_i = np.ones((len(s_j), 1)) if pre is None else states[beta, pre][phase][0].astype(float)
            v_i, v_j = (variance(s, values["dt"], values["tau_r"]) for s in (s_i, s_j))
            total += sum((a.sum(axis=1) * b.sum(axis=1)).sum() for a, b in ((s_i**2, v_j), (v_i, s_j**2), (v_i, v_j)))
    return total / (4 * beta**2 * len(s_j) ** 2)


def study(values, seed):
    """Return how far the change by one batch is from that of rates, in units of its size: measured and predicted.

    Beside it is how far that of rates, settled, is from the gradient, the change for a small beta.
    """
    data = _images(values["lanes"], seed)
    own = {**values, "hidden": (50,), "alpha": (0.1, 0.1), "nudging": CENTRED, "decay": 0.0, "weights": SYMMETRIC}

    def changed(sends, time, steps, replicas=1, nudges=NUDGES):
        more = {"sends": sends, "tau_r": time * values["dt"], "replicas": replicas}
        chosen = own | more | {"free_steps": steps, "nudged_steps": steps}
        return chosen, *changes(chosen, data, seed, nudges)

    def size(change):
        return np.linalg.norm(change, axis=-1)

    measured, predicted = [], []
    for time in TIMES:
        steps = LONG * max(time, 10)
        chosen, rates, states = changed(RATES, time, steps)
        spikes = changed(SPIKES, time, steps, COPIES)[1]
        measured.append(size(spikes - rates) / size(rates))
        predicted.append([np.sqrt(predicted_noise(chosen, states, beta)) for beta in NUDGES] / size(rates)[:, 0])
    gradient = changed(RATES, 1, LONGEST, nudges=[SMALLEST])[1]
    bias = size(changed(RATES, 1, LONGEST)[1] - gradient) / size(gradient)
    found = {"measured": measured, "predicted": predicted, "bias": bias, "time": TIMES, "beta": NUDGES}
    return {f"noise/{name}": (np.array(each), "1") for name, each in found.items()}


def noise(run):
    """How far spikes move what one batch teaches, against the nudge and the time of traces; and the nudge's bias."""
    found = {name.partition("/")[2]: values for name, (values, _) in run.arrays("study.npz").items()}
    figure = plots.new_figure(
        run, 6.0, 3.8, "A stronger nudge, slower traces: less noise in what a batch of random images teaches"
    )
    ax = figure.subplots()
    for k, time in enumerate(found["time"]):
        label = f"traces of {time:g} step{'s' if time > 1 else ''}"
        plots.plot_band(ax, found["beta"], found["measured"][k], label, f"C{k}", within=(0, np.inf))
        ax.plot(found["beta"], found["predicted"][k], "--", color=f"C{k}", linewidth=0.9)
    ax.plot(found["beta"], found["bias"][:, 0], "k-", linewidth=1, label="rates, from the gradient")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(found["beta"], [f"{beta:g}" for beta in found["beta"]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("strength of the nudge β (1)")
    ax.set_ylabel("distance from the change by rates,\nrelative to its size (1)")
    ax.legend(
        frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), title_fontsize=7,
        title=f"spikes: mean and 95 % interval\nof {found['measured'].shape[-1]} draws; dashed: predicted",
    )  # fmt: skip
    return figure
