"""Parts of the algorithm by themselves: units that relax, how many stay active, ranking beside them, the sphere.

Currents are those of digits, 8x8, in 100 units of p = 4, with weights as drawn, or as ranking has learned them.
"""

import numpy as np
from brian2 import Clock, Network, ms, second

from neurosim import data
from neurosim.competition import Ranking
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.weights import Normal
from neurosim_models.krotov_2019.competing import (
    COMPETING,
    CURRENT,
    INPUT,
    active_of_normal,
    inhibit,
    possible_winners,
    steady_state,
)
from neurosim_models.krotov_2019.sphere import DELTA, DT, sphere, watch

HIDDEN, P = 100, 4.0
PASSES = 100  # through the digits, by which the features have been learned
LANES = 100  # images side by side
TAU = 10 * ms


def features(seed):
    """Return (images, weights at the start, weights learned by ranking), of the digits; weights (inputs, units)."""
    images = data.load("digits").train_images
    passes, lanes = PASSES, LANES
    clock = Clock(DT)
    shape = dict(lanes=lanes, clock=clock)
    x = Population(images.shape[1], INPUT, order=0, **shape)
    h = Population(HIDDEN, NeuronType("drive : 1\ng : 1"), order=1, **shape)
    w = Projection(
        x, h, CURRENT, library.COMPETITIVE, weights=Normal(1), seed=seed, largest_change=0.04,
        namespace={"p": P, "R": 1, "tau_L": DT},
    )  # fmt: skip
    shown = Presentation(DT, clock=clock)
    shown.clamp(x, "v", images)
    start, generator = w.w[0].copy(), np.random.default_rng(seed)
    groups = len(images) // lanes
    order = [generator.permutation(len(images))[: groups * lanes] for _ in range(passes)]
    shown.show(np.reshape(order, (-1, lanes)))

    def decline():
        w.largest_change = 0.04 * (1 - shown.index / (passes * groups))

    network = Network(x, h, w, Ranking(h, "drive", "g", 2, DELTA), shown, watch(clock, decline))
    network.run(shown.remaining, namespace={})
    return images, start.astype(float), w.w[0].astype(float)


def currents_of(weights, images, p=P):
    """Return the currents <W, v>, (images, units)."""
    return images @ (np.sign(weights) * np.abs(weights) ** (p - 1))


class Bench:
    """Hidden units of equation 4 with given currents: many images in lanes, every strength of inhibition a replica.

    Parameters
    ----------
    currents : array (lanes, n)
        I, the same for all strengths.
    w_inh : array (replicas,)
        Strengths.
    tau, dt : Quantity
        Time constant and step.
    """

    def __init__(self, currents, w_inh, tau=TAU, dt=DT):
        w_inh = np.atleast_1d(np.asarray(w_inh, float))
        lanes, n = np.shape(currents)
        self.units = Population(
            n, COMPETING, order=1, replicas=len(w_inh), lanes=lanes, clock=Clock(dt), dtype=np.float64,
            namespace={"tau": tau, "h_star": 0.0, "delta": DELTA},
        )  # fmt: skip
        self.network = Network(self.units, inhibit(self.units, w_inh))
        self.show(currents)

    def show(self, currents):
        """Set the currents; the activity stays as it is."""
        self.units.view("drive")[...] = currents

    @property
    def h(self):
        """Activities, a live array (replicas, lanes, n)."""
        return self.units.view("h")

    def run(self, time, look=None):
        """Simulate; call ``look`` in every step; return the activities."""
        observer = watch(self.units.clock, look) if look else []
        self.network.add(observer)
        self.network.run(time, namespace={})
        self.network.remove(observer)
        return self.h.copy()


def relaxing(images, learned):
    """Return traces of two images shown one after the other, for three strengths of inhibition.

    Of each image two units are active at w_inh = 0.9; the second wins another one, unless the first keeps what it has.
    """
    strengths = np.array([0.6, 0.9, 1.2])
    currents = currents_of(learned, images[:LANES])
    two = (steady_state(currents, 0.9) > 0).sum(axis=1) == 2
    best, can = currents.argmax(axis=1), possible_winners(currents, 1.2)
    pairs = np.argwhere(two[:, None] & two & (best[:, None] != best) & can[:, best].T)
    shown = currents[pairs[0] if len(pairs) else [0, 1]]
    bench, traces = Bench(shown[:1], strengths), []
    for currents in shown:
        bench.show(currents)
        bench.run(300 * ms, lambda: traces.append(bench.h[:, 0].copy()))
    rest = np.array([[steady_state(each, w) for w in strengths] for each in shown])
    return {
        "relaxing/time": (float(DT) * np.arange(1, len(traces) + 1), "second"),
        "relaxing/w_inh": (strengths, "1"),
        "relaxing/h": (np.array(traces), "1"),
        "relaxing/rest": (rest, "1"),
    }


STRENGTHS = np.array([0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95])
FINE = np.linspace(0, 0.99, 100)
ALONE_WINS = np.array([0.9, 0.95, 1.05, 1.1, 1.2, 1.35, 1.5])
LONG = 1.0 * second  # 5 tau / (1 - 0.95)


def active(images, start, learned, seed):
    """Return how many units stay active against w_inh, simulated and exact; and which win where w_inh is above 1."""
    generator = np.random.default_rng(seed)
    sets = {"normal": generator.standard_normal((LANES, HIDDEN))}
    sets |= {name: currents_of(w, images[:LANES]) for name, w in (("start", start), ("learned", learned))}
    found = {"active/w_inh": (STRENGTHS, "1"), "active/fine": (FINE, "1")}
    for name, currents in sets.items():
        counts = (Bench(currents, STRENGTHS).run(LONG) > 0).sum(axis=2)
        exact = [(steady_state(currents, w) > 0).sum(axis=1).mean() for w in FINE]
        found |= {f"active/{name}": (counts, "1"), f"active/{name}/exact": (np.array(exact), "1")}
    found["active/large_n"] = (np.array([active_of_normal(w, HIDDEN) for w in FINE]), "1")
    return found | winners(sets["learned"], generator)


def winners(currents, generator):
    """Return how often the largest current wins: from rest, from anywhere, and after another image."""
    largest = currents.argmax(axis=1)
    bench = Bench(currents, ALONE_WINS)
    after_rest = bench.run(LONG).argmax(axis=2) == largest
    before = bench.h.argmax(axis=2)
    other = np.roll(np.arange(len(currents)), 1)
    bench.show(currents[other])
    after_other = bench.run(LONG).argmax(axis=2) == largest[other]
    bench.show(currents)
    bench.h[...] = generator.uniform(0, 1, bench.h.shape) * currents.max(axis=1)[:, None]
    from_anywhere = bench.run(LONG).argmax(axis=2) == largest
    above = ALONE_WINS[ALONE_WINS > 1]
    can = np.array([possible_winners(currents, w).sum(axis=1).mean() for w in above])
    keep = [
        1 - np.mean([possible_winners(currents[o], w)[b] and b != largest[o] for b, o in zip(then, other, strict=True)])
        for w, then in zip(above, before[ALONE_WINS > 1], strict=True)
    ]
    return {
        "winners/w_inh": (ALONE_WINS, "1"),
        "winners/rest": (after_rest.mean(axis=1), "1"),
        "winners/other": (after_other.mean(axis=1), "1"),
        "winners/anywhere": (from_anywhere.mean(axis=1), "1"),
        "winners/above": (above, "1"),
        "winners/can": (can, "1"),
        "winners/keep": (np.array(keep), "1"),
    }


GRID = 40  # points along each side of a map


def agreement(currents, w_inh, h_star):
    """Return how the settled dynamics compare with the ranking by currents, k = 2; maps (w_inh, h_star).

    Returns
    -------
    same, winner, towards, away : arrays (len(w_inh), len(h_star))
        Part of the inputs for which g is the same for all units; for which the unit with the largest current has g = 1;
        mean numbers of units with g = 1 and with g = -Delta.
    """
    maps = np.zeros((4, len(w_inh), len(h_star)))
    for row, w in enumerate(w_inh):
        h = -np.sort(-steady_state(currents, w), axis=1)[:, :, None]  # units in the order of their currents
        won, lost = h > h_star, (h > 0) & (h <= h_star)
        same = won[:, 0] & ~won[:, 1:].any(axis=1) & lost[:, 1] & ~lost[:, 2:].any(axis=1)
        maps[:, row] = [each.mean(axis=0) for each in (same, won[:, 0], won.sum(axis=1), lost.sum(axis=1))]
    return maps


def ranking(images, start, learned):
    """Return the maps of :func:`agreement`, for the weights at the start and those learned."""
    largest = (np.abs(images) ** P).sum(axis=1) ** (1 / P)
    w_inh, theta = np.linspace(0.5, 0.995, GRID), np.geomspace(0.03, 30, GRID)
    found = {"ranking/w_inh": (w_inh, "1"), "ranking/theta": (theta, "1")}
    for name, weights in (("start", start), ("learned", learned)):
        currents = currents_of(weights, images)
        maps = agreement(currents, w_inh, theta * largest.mean())
        kinds = ("same", "winner", "towards", "away")
        found |= {f"ranking/{name}/{kind}": (each, "1") for kind, each in zip(kinds, maps, strict=True)}
        found[f"ranking/{name}/largest"] = (np.median(currents.max(axis=1)) / largest.mean(), "1")
    return found


SHOWN = 400  # time steps for which units by themselves are shown images


def study(values, seed):
    """Return all of it, by name: arrays with units, see :class:`neurosim.experiment.Experiment`."""
    images, start, learned = features(seed)
    images = images.astype(float)
    found = relaxing(images, learned) | active(images, start, learned, seed)
    return found | ranking(images, start, learned) | sphere(images, seed, SHOWN, LANES)
