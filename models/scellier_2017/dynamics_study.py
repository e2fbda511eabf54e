"""One small network relaxing: its energy, the nudge that travels down, and weights that change while it does."""

from dataclasses import replace

import numpy as np

from neurosim import data
from neurosim.neurons import NeuronType
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.gradient_study import DEPTHS, QUICK, Example, choose, steps_to_rest
from neurosim_models.scellier_2017.probe import Probe, learned
from neurosim_models.scellier_2017.theory import Chain

SPEED = """
    now : 1
    before : 1
    mid = 0.5 * (s + before) : 1
    drho = (s - before) / dt : Hz
"""
SPEED_SYMBOLS = {
    "now": "s at the end of this time step (1)",
    "before": "s at the end of the time step before (1)",
    "mid": "activity halfway between both (1)",
    "drho": "change of activity, drho/dt (Hz)",
}
CONSTANT = """
    before = rho : 1
    mid = rho : 1
    drho = 0 * rho * Hz : Hz
"""


def moving(kind):
    """Return a type of neurons that settle with the rate at which their activity changes."""
    return replace(
        kind, equations=kind.equations + SPEED, update=f"{kind.update}\nbefore = now\nnow = s",
        symbols=kind.symbols | SPEED_SYMBOLS,
    )  # fmt: skip


def holding(kind):
    """Return a type of neurons that hold still, likewise."""
    return NeuronType(
        kind.equations + CONSTANT, symbols=kind.symbols | SPEED_SYMBOLS | {"now": "not there"}, source=kind.source
    )


STDP = "dw/dt = eta / beta * (drho_pre * mid_post + mid_pre * drho_post)"
COMPARED = """dhalfway/dt = (drho_pre * mid_post + mid_pre * drho_post) / beta : 1 (shared)
    dbehind/dt = (drho_pre * before_post + before_pre * drho_post) / beta : 1 (shared)"""
FORMS = ("halfway", "behind")


def cells(rule, precision=np.float32):
    """Return the cells of a network whose synapses learn in every step of the nudged phase."""
    return network.Cells(
        hidden=moving(network.UNIT), output=moving(network.OUTPUT), input=holding(network.CLAMPED),
        bias=holding(network.ON), rule=rule, precision=precision,
    )  # fmt: skip


DEPTH, EXAMPLES, LANES, AMONG = 3, 1400, 6, 100
SOON, MOST = 0.9, 10_000  # what is left of a move after a step of 0.5; steps to rest
BETA = 0.5
FREE, NUDGED = 150, 60  # steps that are drawn
SHORT = 0.05  # an epsilon close to continuous time
MOVED = 1e-9  # of a unit that has moved
GAINS, EPSILONS = (1.0, 2.0, 4.0), (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
TIME, LADDER = 10, (0.5, 0.25, 0.1, 0.05, 0.02)  # of the nudged phase (tau), and its epsilons
ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1)
SIGNS = (BETA, -BETA)


def study(values, seed):
    """Return what dynamics_figures draw: arrays with units by name."""
    digits = data.load("digits").limit(EXAMPLES)
    hidden, alpha, epochs = DEPTHS[DEPTH]
    chain = learned(digits, hidden, alpha, epochs, seed, **QUICK)
    batch = choose([Example(chain, digits, k) for k in range(AMONG)], answers, LANES)
    epsilon = values["epsilon"]
    found = relaxation(chain, digits, batch, epsilon) | rises(chain, digits, batch)
    found |= movement(chain, digits, batch, epsilon) | weight_changes(chain, digits, batch, epsilon)
    return {name: (np.asarray(value), unit(name)) for name, value in found.items()}


def unit(name):
    """Return the unit of an array of the study."""
    return "tau" if name.endswith("time") else "1"


def answers(example):
    """Say whether the nudge of an example moves units of every layer, and it comes to rest soon."""
    soon = example.chain.rate(example.s, 0.5) < SOON
    return soon and min(np.abs(first_moves(example, 1.0, 1.0)).max(axis=1)) > 0.01


def first_moves(example, epsilon, beta):
    """Return by how much units move when the nudge first reaches them, (layers, n), the output first.

    epsilon 2 beta (d - y) in the output, epsilon W of that below it, and so on: k steps later and epsilon as often.
    Units at a border stay there.
    """
    chain, s = example.chain, example.s
    a, free, outputs = chain.matrix(), ~chain.still(s), chain.outputs()
    layer = np.repeat(np.arange(len(chain.sizes)), chain.sizes)
    move = np.zeros(len(s))
    move[outputs] = 2 * beta * epsilon * (example.target - s[outputs])
    found = [move * free]
    for k in range(len(chain.sizes) - 2, -1, -1):
        found.append(-epsilon * (a @ found[-1]) * free * (layer == k))
    return np.array(found)


def examples(batch):
    """Return the numbers of examples."""
    return [each.example for each in batch]


def relaxation(chain, data, batch, epsilon):
    """Return states, energies and costs along both phases, from the state in which all units are 0."""
    probe = Probe(chain, data, examples(batch), [BETA], epsilon=epsilon, free_steps=FREE, nudged_steps=NUDGED)
    states = np.concatenate([np.zeros((1, 1, len(batch), sum(chain.sizes))), probe.states()])[:, 0]
    energy = lambda s, each, beta: chain.energy(s, each.x, each.target, beta)  # noqa: E731
    lanes = range(len(batch))
    return {
        "sizes": chain.sizes, "beta": BETA, "epsilon": epsilon, "states": states[:, 0], "target": batch[0].target,
        "E": [[energy(s[k], batch[k], 0.0) for k in lanes] for s in states[: FREE + 1]],
        "F": [[energy(s[k], batch[k], BETA) for k in lanes] for s in states[FREE:]],
        "C": [[chain.cost(s[k], batch[k].target) for k in lanes] for s in states],
    }  # fmt: skip


def rises(chain, data, batch):
    """Return the largest rise of the energy in a step, for steps of several lengths and weights made stronger."""
    rise, longest, moves = [], [], []
    for gain in GAINS:
        strong = Chain([gain * w for w in chain.weights], [gain * b for b in chain.biases])
        for epsilon in EPSILONS:
            probe = Probe(strong, data, examples(batch), [BETA], epsilon=epsilon, free_steps=FREE, nudged_steps=1)
            states = probe.states()[:FREE, 0]
            energy = [[strong.energy(s, each.x) for s, each in zip(row, batch, strict=True)] for row in states]
            rise.append(np.diff(energy, axis=0).max())
            moves.append(np.abs(states[-1] - states[-2]).max())
            longest.append(strong.longest_step())
    shape = len(GAINS), len(EPSILONS)
    found = {"rise": rise, "longest steps": longest, "still moves": moves}
    return {"gains": GAINS, "epsilons": EPSILONS} | {name: np.reshape(each, shape) for name, each in found.items()}


def movement(chain, data, batch, epsilon):
    """Return how far units of each layer are from where they were, in the steps of the nudged phase."""
    found = {}
    for words, step in (("coarse", epsilon), ("fine", SHORT)):
        rest, count = steps_to_rest(batch, step, MOST), int(np.ceil(6 / step))
        states = Probe(
            chain, data, examples(batch), [BETA], epsilon=step, free_steps=rest, nudged_steps=count
        ).states()[rest - 1 :, 0]
        moved = np.abs(states - states[0])
        layers = np.split(moved, np.cumsum(chain.sizes)[:-1], axis=-1)[::-1]  # the output first
        largest = np.array([each.max(axis=-1) for each in layers])  # layers, steps, lanes
        found |= {
            f"{words}/time": step * np.arange(count + 1), f"{words}/moved": largest,
            f"{words}/first": (largest > MOVED).argmax(axis=1),
            f"{words}/reached": [[largest[k, k + 1, n] for k in range(len(layers))] for n in range(len(batch))],
            f"{words}/predicted": [np.abs(first_moves(each, step, BETA)).max(axis=1) for each in batch],
        }  # fmt: skip
    return found


def weight_changes(chain, data, batch, epsilon):
    """Return the change that the rule of every step gives, beside the contrastive update of the same two phases."""
    shown, found = examples(batch), {"ladder": LADDER, "alphas": ALPHAS}
    for step in LADDER:
        steps = dict(epsilon=step, free_steps=steps_to_rest(batch, step, MOST), nudged_steps=round(TIME / step))
        contrast = Probe(chain, data, shown, [BETA], **steps).update()[0]
        every = Probe(chain, data, shown, [BETA], cells=cells(COMPARED, np.float64), **steps)
        every.show()
        for form in FORMS:
            change = summed(every, form) / len(batch)
            found.setdefault(f"{form} error", []).append(np.linalg.norm(change - contrast) / np.linalg.norm(contrast))
    steps = dict(epsilon=epsilon, free_steps=steps_to_rest(batch, epsilon), nudged_steps=round(TIME / epsilon))
    contrast = Probe(chain, data, shown, SIGNS, **steps).update()
    for alpha in ALPHAS:
        rates = (alpha,) * len(chain.sizes)
        change = Probe(chain, data, shown, SIGNS, cells=cells(STDP, np.float64), alpha=rates, **steps).update()
        error = np.linalg.norm(change / alpha - contrast, axis=1) / np.linalg.norm(contrast, axis=1)
        found.setdefault("online error", []).append(error)
    return found | traces_of_changes(chain, data, batch, steps)


def traces_of_changes(chain, data, batch, steps):
    """Return the change of the synapse of each matrix that changes most while nudged, and the update at the end."""
    probe = Probe(chain, data, examples(batch), [BETA], cells=cells(COMPARED, np.float64), **steps)
    seen = []
    probe.show(lambda: seen.append(summed(probe, FORMS[0]) / len(batch)))
    contrast = Probe(chain, data, examples(batch), [BETA], **steps).update()[0]
    ends = np.cumsum([0, *(array[0].size for array in probe.given.values())])
    chosen = [low + np.abs(contrast[low:high]).argmax() for low, high in zip(ends, ends[1:], strict=False)]
    found = {"changes names": list(probe.given)}
    nudged = np.array(seen)[steps["free_steps"] - 1 :][:, chosen]
    return found | {
        "changes": nudged,
        "changes time": steps["epsilon"] * np.arange(len(nudged)),
        "update": contrast[chosen],
    }


def summed(probe, name):
    """Return a variable of all synapses of the first replica, (synapses,), in the order of Probe.update."""
    return np.concatenate([probe.circuit.projections[each].view(name)[0].ravel() for each in probe.given])
