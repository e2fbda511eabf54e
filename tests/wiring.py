"""Populations whose values come from outside, and a network that shows them random ones, for tests of projections."""

from types import SimpleNamespace

import numpy as np
from brian2 import Network, NetworkOperation

from neurosim import Population, Presentation
from neurosim.neurons import NeuronType

CELL = NeuronType(
    equations="""
    s : 1
    m : 1
    v : 1
    drive : 1
    also : 1
    third : 1
    """,
    spike="s",
    symbols={"s": "spikes", "m, v": "values from outside", "drive, also, third": "what arrives"},
)


def cells(n, order=0, lanes=1, replicas=1, dtype=np.float64, **more):
    """Return a population of such cells."""
    return Population(n, CELL, order=order, lanes=lanes, replicas=replicas, dtype=dtype, **more)


def show(projections, steps=2, seed=0, more=()):
    """Run steps in which s, m and v of all populations are random and held from outside.

    Returns a namespace: ``given[population][variable]`` and ``drive[projection]``, what its variable of the target
    received: arrays (steps, replicas, lanes, n).
    """
    populations = list(dict.fromkeys(p for projection in projections for p in (projection.source, projection.target)))
    clock, draw = populations[0].clock, np.random.default_rng(seed)
    shown = Presentation(clock.dt, clock=clock)
    given = {}
    for population in populations:
        size = (steps, *population.shape)
        values = {"s": 1.0 * (draw.random(size) < 0.4), "m": draw.uniform(-1, 1, size), "v": draw.uniform(-1, 1, size)}
        given[population] = values
        for variable, value in values.items():
            shown.clamp(population, variable, value.reshape(-1, population.n))
    replicas, lanes, _ = populations[0].shape
    shown.show(np.arange(steps * replicas * lanes).reshape(steps, replicas, lanes))
    seen = {projection: [] for projection in projections}

    def look():
        for projection, values in seen.items():
            values.append(projection.target.view(projection.transmission.variable).copy())

    observer = NetworkOperation(look, clock=clock, when="end", order=9)
    Network(*populations, *projections, shown, observer, *more).run(shown.remaining)
    return SimpleNamespace(given=given, drive={p: np.array(values) for p, values in seen.items()})
