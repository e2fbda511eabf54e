"""What ``spiking_network.py`` times in turn: ours, plain Synapses, bare products, a copy; each can ``measure()``."""

import os
import statistics
import time
from types import SimpleNamespace

import brian2
import numpy as np
from plain_synapses import PlainNetwork

from neurosim_models.lillicrap_2016 import SPIKING

CLASSES = 10
EXAMPLES = 2000
DROPPED = 3  # first steps of every run that are not counted: caches and thread pools are cold


class Stamp(brian2.core.base.BrianObject):
    """Notes the time at the end of every step, then calls a function outside the time counted."""

    add_to_magic_network = False

    def __init__(self, clock, call=lambda: None):
        super().__init__(clock=clock, when="end", order=1000, name="stamp*")
        self.call, self.begins, self.ends = call, [], []

    def run(self):
        self.ends.append(time.perf_counter())
        self.call()
        self.begins.append(time.perf_counter())

    def take(self):
        """Return the milliseconds that each step after the first ones took, and forget them."""
        times = 1e3 * (np.array(self.ends[DROPPED:]) - np.array(self.begins[DROPPED - 1 : -1]))
        self.begins, self.ends = [], []
        return list(times)


def read_images(inputs):
    """Return (images, labels, where they are from)."""
    if os.environ.get("NEUROSIM_DATA"):
        from neurosim.data import load

        mnist = load("mnist")
        images, labels = mnist.train_images[:EXAMPLES], mnist.train_labels[:EXAMPLES]
        if inputs == 196:
            images = images.reshape(-1, 28, 28)[:, ::2, ::2].reshape(-1, inputs)
        if images.shape[1] == inputs:
            return images, labels, "MNIST"
    generator = np.random.default_rng(0)
    images = (generator.random((EXAMPLES, inputs)) < 0.19) * generator.uniform(0.37, 1, (EXAMPLES, inputs))
    return images.astype(np.float32), generator.integers(0, CLASSES, EXAMPLES), "synthetic"


def build(sizes, lanes, images, **changed):
    """Return (circuit, values by name)."""
    values = SPIKING.resolve("mnist", {"lanes": str(lanes)})
    values.update(hidden=sizes["hidden"], output=sizes["output"], **changed)
    circuit = SPIKING.build(values, SimpleNamespace(train_images=images, n_classes=CLASSES, name="benchmark"), 1)
    circuit.alignment.is_open = False
    return circuit, values


def layers(circuit):
    return [name.removeprefix("W_") for name in circuit.projections if name.startswith("W_")]


class Ours:
    """The model at so many lanes, ready to be timed."""

    def __init__(self, sizes, lanes, images, labels):
        self.lanes, self.labels = lanes, labels
        self.circuit, self.values = build(sizes, lanes, images)
        self.circuit.feed(images, labels)
        self.spikes = {name: [] for name in ["x", *layers(self.circuit)]}
        self.stamp = Stamp(self.circuit.presentation.clock, self._count)
        self.circuit.network.add(self.stamp)
        self.steps = DROPPED + (17 if lanes < 100 else 7)
        self.generator = np.random.default_rng(lanes)

    def _count(self):
        for name, counts in self.spikes.items():
            counts.append(len(self.circuit.populations[name].spikes) / self.lanes)

    def measure(self):
        shown = self.circuit.presentation
        self.circuit.readout.expect(self.labels)
        shown.show(self.generator.integers(0, len(self.labels), (-(-self.steps // shown.steps), 1, self.lanes)))
        self.circuit.network.run(self.steps * self.values["dt"], namespace={})
        return self.stamp.take()


class Plain:
    """The network in plain Synapses, ready to be timed."""

    def __init__(self, circuit, values, images, labels):
        started = time.perf_counter()
        self.plain, self.dt = PlainNetwork(circuit, values), values["dt"]
        self.images, self.labels, self.next = images, labels, 0
        self.classes = np.repeat(np.eye(CLASSES), values["output"] // CLASSES, axis=1)
        self.stamp = Stamp(self.plain.x.clock)
        self.plain.network.add(self.stamp)
        self.plain.clamp(images[0], self.classes[labels[0]])
        self.plain.network.run(self.dt, namespace={})
        self.build_time = time.perf_counter() - started

    def measure(self):
        self.plain.clamp(self.images[self.next], self.classes[self.labels[self.next]])
        self.next += 1
        self.stamp.begins, self.stamp.ends = [], []
        self.plain.network.run((DROPPED + 17) * self.dt, namespace={})
        return self.stamp.take()


class Products:
    """The matrix products of one step with NumPy, on arrays of its own."""

    def __init__(self, circuit, lanes):
        generator = np.random.default_rng(0)
        self.jobs, self.split = [], {"forward": [], "feedback": [], "weight change": []}
        for name, projection in circuit.projections.items():
            if name.startswith("b_"):
                continue
            weights = projection.w[0].copy()
            spikes = (generator.random((lanes, len(weights))) < 0.5).astype(np.float32)
            out = np.empty((lanes, weights.shape[1]), np.float32)
            if name.startswith("B_"):
                self.jobs.append(("feedback", spikes - np.float32(0.3), weights, out))
            else:
                signal = generator.standard_normal(out.shape, dtype=np.float32)
                self.jobs.append(("forward", spikes, weights, out))
                self.jobs.append(("weight change", spikes.T, signal, np.empty_like(weights)))
        self.jobs.sort(key=lambda job: list(self.split).index(job[0]))
        self.repeats = 17 if lanes < 100 else 7

    def measure(self):
        steps = []
        for k in range(2 + self.repeats):
            times = dict.fromkeys(self.split, 0.0)
            for kind, a, b, out in self.jobs:
                started = time.perf_counter()
                np.matmul(a, b, out=out)
                times[kind] += 1e3 * (time.perf_counter() - started)
            if k >= 2:
                steps.append(sum(times.values()))
                for kind, spent in times.items():
                    self.split[kind].append(spent)
        return steps


class Copy:
    """np.copyto of the weights touched in a step of one lane: rows of neurons that spiked, and all feedback rows."""

    def __init__(self, circuit, spikes, often):
        names = layers(circuit)
        below = dict(zip(names, ["x", *names], strict=False))
        rows = {name: round(statistics.fmean(spikes[below[name]])) for name in names}
        forward = [circuit.projections[f"W_{name}"].w[0][: rows[name]].copy() for name in names]
        feedback = [p.w[0].copy() for name, p in circuit.projections.items() if name.startswith("B_")]
        sources = forward + feedback + forward[: len(forward) * (often - 1)]
        self.pairs = [(source, np.zeros_like(source)) for source in sources]
        self.bytes = sum(source.nbytes for source in sources)

    def measure(self):
        steps = []
        for _ in range(2 + 17):
            started = time.perf_counter()
            for source, target in self.pairs:
                np.copyto(target, source)
            steps.append(1e3 * (time.perf_counter() - started))
        return steps[2:]
