"""What ``rules.py`` and ``sparse_input.py`` time: ours, plain Synapses, and functions called in a network's steps."""

import statistics
import time

import brian2
import numba
import numpy as np
from brian2 import Clock, Network
from rule_cases import DT
from rules_synapses import PlainSynapses
from threadpoolctl import threadpool_limits

from neurosim import Population, Projection
from neurosim.neurons import NeuronType

PAUSE = 0.2  # seconds between two measurements: threads of BLAS and OpenMP spin on for a while
DROPPED = 3  # first steps of a run, which are not counted


class Stopwatch:
    """The clock around what objects of a network do."""

    def __init__(self, *runners):
        self.times, self.count = [], len(runners)
        for runner in runners:
            runner.run = self._around(runner.run)

    def _around(self, inner):
        def run():
            started = time.perf_counter()
            inner()
            self.times.append(time.perf_counter() - started)

        return run

    def take(self):
        """Return the milliseconds of every step after the first ones, and forget them."""
        times = 1e3 * np.array(self.times).reshape(-1, self.count).sum(axis=1)
        self.times = []
        return list(times[DROPPED:])


class Call(brian2.core.base.BrianObject):
    """An object of a network that calls a function where rules learn."""

    add_to_magic_network = False

    def __init__(self, clock, function):
        super().__init__(clock=clock, when="synapses", order=0, name="call*")
        self.run = function


class Neurons:
    """The two populations of a case and its global neuron, each holding what is drawn for it."""

    def __init__(self, values):
        self.clock = Clock(DT)
        sides = ((values.n_pre, values.pre, 0), (values.n_post, {**values.post, "drive": None}, 1))
        self.source, self.target = (self._population(values, *side) for side in sides)
        self.extra = [self._population(values, 1, values.signal, 2)] if values.signal else []
        self.all = [self.source, self.target, *self.extra]

    def _population(self, values, n, held, order):
        model = NeuronType("\n".join(f"{name} : 1" for name in held), spike="s" if "s" in held else None)
        population = Population(n, model, order=order, lanes=values.lanes, clock=self.clock)
        for name, array in held.items():
            if array is not None:
                population.view(name)[0] = array
        return population


class Contestant:
    """Something that can take a step in a network; times of it, in milliseconds."""

    threads = None  # of BLAS; None leaves them as they are

    def step_for(self, steps):
        with threadpool_limits(self.threads, user_api="blas"), np.errstate(over="ignore"):  # brian2 compares with 1e50
            self.network.run(steps * DT, namespace={})

    def measure(self, steps):
        self.step_for(steps + DROPPED)
        return self.timed.take()


class Ours(Contestant):
    """A Projection with the rule's text; its delivery is switched off."""

    def __init__(self, values):
        case, neurons = values.case, Neurons(values)
        pre = next(iter(case.pre))
        self.projection = Projection(
            neurons.source, neurons.target, f"drive_post = w * {pre}_pre", rule=case.text, weights=values.weights,
            namespace=case.constants, bounds=case.bounds,
            signals={name: (neurons.extra[0], name) for name in case.signal} or None,
        )  # fmt: skip
        delivery, plasticity = self.projection.contained_objects
        delivery.active = False
        self.timed = Stopwatch(plasticity)
        self.network = Network(*neurons.all, self.projection)

    @property
    def w(self):
        return self.projection.w[0]


class Synaptic(Contestant):
    """Plain Synapses."""

    def __init__(self, values):
        self.plain = PlainSynapses(values)
        self.network = self.plain.network
        self.timed = Stopwatch(*self.plain.steps)

    @property
    def w(self):
        return self.plain.w


class Called(Contestant):
    """A function called in every step of a network of the same neurons."""

    def __init__(self, values, step, w, numba_threads=None, blas_threads=None):
        neurons = Neurons(values)
        self.w, self.threads, self.numba_threads = w, blas_threads, numba_threads
        call = Call(neurons.clock, step)
        self.timed = Stopwatch(call)
        self.network = Network(*neurons.all, call)

    def step_for(self, steps):
        before = numba.get_num_threads()
        numba.set_num_threads(self.numba_threads or before)
        super().step_for(steps)
        numba.set_num_threads(before)


def best(candidates):
    """Return the quickest of several contestants that do the same."""
    if len(candidates) == 1:
        return candidates[0]
    times = [[] for _ in candidates]
    for _ in range(3):
        for each, kept in zip(candidates, times, strict=True):
            kept += each.measure(10)
            time.sleep(PAUSE)
    return candidates[int(np.argmin([statistics.median(kept) for kept in times]))]
