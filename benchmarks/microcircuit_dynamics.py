"""The microcircuit in time (Sacramento et al. 2018), 30-50-10, beside plain NumPy and PyTorch (CPU) of the same work.

    python benchmarks/microcircuit_dynamics.py [--quick] [--lanes 1,100] [--rounds 5] [--steps 3000] [--target numpy]

A step of all: somata with noise, rates, five sums of synapses, W, IP and PI with low-passed changes. Each contestant is
timed in turn, in one process, by the time that its process has had (other programs do not count); printed are medians
and quartiles of a step, and ratios. Before, all take over the weights of ours and run without noise: they must end with
the same potentials and weights. The goal is 20,000 steps a second with one lane, and a step of 100 lanes in 10 times
the time of one.
"""

import argparse
import gc
import time

import brian2
import numba
import numpy as np
from brian2 import ms, nS
from machine import print_machine

from neurosim.plasticity.blas import held
from neurosim.tasks import FunctionTask
from neurosim_models.sacramento_2018 import network

GOAL = 20_000  # steps a second
RATES = {"eta_W": (0.0011875, 0.0005), "eta_IP": (0.0011875,), "eta_PI": (0.0059375,)}
TRAINED = ("W_h1", "W_y", "IP_h1", "PI_h1")


class Ours:
    """The circuit of the models, all of it plastic but TD."""

    name = "ours"

    def __init__(self, lanes, sigma=0.3, faster=1):
        rates = {name: tuple(faster * each for each in own) for name, own in RATES.items()}
        chosen = {p.name: p.value for p in network.parameters(hidden=(50,), **rates, source="", sigma=sigma)}
        self.values = chosen | {"lanes": lanes, "replicas": 1}
        draw = lambda generator, count: generator.uniform(-1, 1, (count, 30))  # noqa: E731
        target = lambda generator: lambda x: generator.uniform(-1, 1, (len(x), 10))  # noqa: E731
        self.task = FunctionTask("random", 30, 10, draw, target, 20 * lanes, lanes, 1, "random")
        self.circuit = network.Layers(self.values, self.task, 1).circuit()
        self.inputs, self.targets = (each[0].astype(np.float32) for each in self.task.training(1, 1))
        self.circuit.feed(self.inputs, self.targets)
        self.circuit.readout.expect(self.targets)
        self.lanes = lanes

    def run(self, steps):
        """Take so many steps of the patterns; a pattern lasts 1000."""
        shown = self.circuit.presentation
        count = -(-steps // shown.steps)
        shown.show(np.arange(count * self.lanes).reshape(count, 1, self.lanes) % len(self.inputs))
        with held():
            self.circuit.network.run(steps * shown.clock.dt, namespace={})

    def states(self):
        """Return potentials and weights, by name."""
        found = {name: self.circuit.populations[name].view("u")[0].copy() for name in ("h1", "i1", "y")}
        return found | {name: self.circuit.projections[name].w[0].copy() for name in TRAINED}


class Loop:
    """The same work, array by array; ``library`` brings the arrays and makes the products."""

    def __init__(self, ours):
        values = ours.values
        self.lanes, self.sigma, self.inputs, self.targets = ours.lanes, values["sigma"], ours.inputs, ours.targets
        self.dt = values["dt"] / ms
        self.g = {name: float(values[name] / nS) for name in network.CONDUCTANCES}
        self.phi = [float(values[name]) for name in network.PHI]
        self.decay = {
            "x": float(-np.expm1(-values["dt"] / values["tau_0"])),
            "w": float(values["dt"] / values["tau_w"]),
        }
        self.rates = dict(zip(TRAINED, sum((values[name] for name in RATES), ()), strict=True))
        start = {name: p.w[0] for name, p in ours.circuit.projections.items()}
        self.w = {name: self.array(w) for name, w in start.items()}
        self.changes = {name: self.array(np.zeros_like(start[name])) for name in TRAINED}
        sizes = {"x": 30, "h": 50, "i": 10, "y": 10}
        zeros = lambda n: self.array(np.zeros((ours.lanes, n), np.float32))  # noqa: E731
        self.u, self.r = ({name: zeros(n) for name, n in sizes.items()} for _ in range(2))
        self.basal, self.dendrite, self.apical, self.top = zeros(50), zeros(10), zeros(50), zeros(10)
        self.taught = zeros(10)

    def rate(self, u):
        """Return phi(u)."""
        gamma, slope, theta = self.phi
        return gamma * self.log(1 + self.exp(slope * (u - theta)))

    def run(self, steps):
        """Take so many steps."""
        for step in range(steps):
            if step % 1000 == 0:
                first = step // 1000 * self.lanes % len(self.inputs)
                shown = self.array(self.inputs[first : first + self.lanes])
                target = self.array(self.targets[first : first + self.lanes])
            self.step(shown, target)

    def step(self, shown, target):
        """Take one step: somata, rates, sums of synapses, changes of weights."""
        g, u, r, w, dt = self.g, self.u, self.r, self.w, self.dt
        noise = self.sigma * dt**0.5
        pyramidal = g["g_B"] * self.basal + g["g_A"] * self.apical - (g["g_lk"] + g["g_B"] + g["g_A"]) * u["h"]
        beside = g["g_D"] * self.dendrite + g["g_som"] * self.taught - (g["g_lk"] + g["g_D"] + g["g_som"]) * u["i"]
        output = g["g_B"] * self.top + g["g_som"] * target - (g["g_lk"] + g["g_B"] + g["g_som"]) * u["y"]
        r["x"] += self.decay["x"] * (shown - r["x"])
        for name, current in (("h", pyramidal), ("i", beside), ("y", output)):
            u[name] += dt * current
            if noise:
                u[name] += noise * self.normal(u[name].shape)
            r[name] = self.rate(u[name])
        self.basal, self.dendrite = r["x"] @ w["W_h1"], r["h"] @ w["IP_h1"]
        self.top, self.taught = r["h"] @ w["W_y"], +u["y"]
        self.apical = r["y"] @ w["TD_h1"] + r["i"] @ w["PI_h1"]
        hidden, inner, top = g["g_lk"] + g["g_B"] + g["g_A"], g["g_lk"] + g["g_D"], g["g_lk"] + g["g_B"]
        errors = {
            "W_h1": ("x", r["h"] - self.rate(g["g_B"] / hidden * self.basal)),
            "W_y": ("h", r["y"] - self.rate(g["g_B"] / top * self.top)),
            "IP_h1": ("h", r["i"] - self.rate(g["g_D"] / inner * self.dendrite)),
            "PI_h1": ("i", -self.apical),
        }
        for name, (source, error) in errors.items():
            w[name] += dt * self.rates[name] * self.changes[name]
            self.changes[name] += self.decay["w"] * (r[source].T @ error - self.changes[name])

    def states(self):
        """Return potentials and weights, by name."""
        names = {"h1": "h", "i1": "i", "y": "y"}
        found = {name: np.asarray(self.u[own]) for name, own in names.items()}
        return found | {name: np.asarray(self.w[name]) for name in TRAINED}


class NumPy(Loop):
    """With NumPy, in single precision."""

    name = "NumPy"
    log, exp, array = staticmethod(np.log), staticmethod(np.exp), staticmethod(np.array)

    def __init__(self, ours):
        draw = np.random.Generator(np.random.SFC64(1))
        self.normal = lambda shape: draw.standard_normal(shape, dtype=np.float32)
        super().__init__(ours)


class Torch(Loop):
    """With PyTorch, on the CPU, eagerly."""

    name = "PyTorch"

    def __init__(self, ours):
        import torch

        torch.set_num_threads(numba.get_num_threads())
        torch.set_grad_enabled(False)
        self.log, self.exp, self.normal, self.torch = torch.log, torch.exp, torch.randn, torch
        super().__init__(ours)

    def array(self, values):
        """Return a tensor with these numbers."""
        return self.torch.from_numpy(np.array(values))


def check(contestants, lanes):
    """Print how far the others end from ours without noise, relative to the largest number of each array."""
    ours = Ours(lanes, sigma=0.0, faster=1000)
    others = [each(ours) for each in contestants]
    before = ours.states()
    for each in (ours, *others):
        each.run(1000)
    expected = ours.states()
    for each in others:
        found = each.states()
        far = max(np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max() for name in expected)
        moved = min(np.abs(expected[name] - before[name]).max() for name in TRAINED)
        print(f"checked, {lanes} lanes: {each.name} ends at {far:.1g} of ours (weights move by {moved:.2g})")
        assert far < 1e-3, each.name


def main():
    """Print steps a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps")
    parser.add_argument("--lanes", default="1,100")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--target", default="numpy", help="how brian2 runs neurons: numpy or cython")
    asked = parser.parse_args()
    brian2.prefs.codegen.target = asked.target
    brian2.BrianLogger.suppress_hierarchy("brian2")
    print_machine()
    rounds, steps = (2, 500) if asked.quick else (asked.rounds, asked.steps)
    contestants = [NumPy]
    try:
        import torch  # noqa: F401

        contestants.append(Torch)
    except ImportError:
        print("PyTorch is not installed")
    medians = {}
    for lanes in map(int, asked.lanes.split(",")):
        check(contestants, lanes)
        ours = Ours(lanes)
        timed = [ours, *(each(ours) for each in contestants)]
        for each in timed:
            each.run(100)
        gc.collect()
        gc.freeze()  # as training does: brian2 collects at the start of every run
        took = {each.name: [] for each in timed}
        for _ in range(rounds):
            for each in timed:
                took[each.name].append(seconds(each, steps))
        for name, found in took.items():
            low, middle, high = 1e6 * np.quantile(found, (0.25, 0.5, 0.75))
            medians[name, lanes] = middle
            ratio = middle / np.median(1e6 * np.array(took["ours"]))
            print(
                f"{lanes:4d} lanes, {name:8s} {middle:7.1f} us a step ({low:.1f} to {high:.1f}), "
                f"{1e6 / middle:7.0f} steps a second, {ratio:5.2f} of ours"
            )
    one = medians.get(("ours", 1))
    if one:
        print(f"goal, 1 lane: {GOAL} steps a second; {1e6 / one / GOAL:.2f} of it")
    if one and ("ours", 100) in medians:
        print(f"100 lanes: {medians['ours', 100] / one:.1f} times the step of one; goal: at most 10")


def seconds(contestant, steps):
    """Return the time of a step; what starting a run costs is left out, as a run covers an epoch."""
    began = time.process_time()
    contestant.run(1)
    short = time.process_time()
    contestant.run(1 + steps)
    return (time.process_time() - short - (short - began)) / steps


if __name__ == "__main__":
    main()
