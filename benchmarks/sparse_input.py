"""Sparse input in many lanes: rows of spikes against the matrix product, for delivering and for learning.

    python benchmarks/sparse_input.py [--quick] [--size 784x1500] [--lanes 100] [--percent 1,2,5,10,20,50] [--rounds 5]

For the first projection of a network on MNIST, about a tenth of whose pixels spike in a step:

product     deliver: drive = S W by sgemm;                learn: W += S^T H by sgemm, in place
rows        deliver: sum the rows of W of the neurons     learn: to row i of W add the rows of H of the lanes in
            that spiked in a lane                         which neuron i spiked
lists       which neurons spiked in a lane, and in which lanes a neuron spiked: made once a step for both
ours        a Projection, which chooses by the share of spikes in the step

All are measured in turn, in one process; the table gives medians. What is printed below it is the share of spikes at
which rows and products take the same time.
"""

import argparse
import os
import statistics
import time

import by_hand
import numpy as np
from brian2 import Hz, Network
from contestants import read_images
from machine import print_machine
from rule_cases import DT, RuleCase, Values
from rule_contestants import PAUSE, Contestant, Neurons, Stopwatch
from scipy.linalg.blas import sgemm

from neurosim import Projection

CASE = RuleCase(
    "first projection",
    "dw/dt = eta * s_pre * m_post",
    pre={"s": None}, post={"m": (-1, 1)}, constants={"eta": 1 * Hz}, spikes=("pre",),
)  # fmt: skip
COLUMNS = ("lists", "product", "rows", "ours", "product ", "rows ", "ours ")  # deliver, then learn
APART = 1e-3


class Ours(Contestant):
    """A projection that delivers and learns; the time of both."""

    def __init__(self, values):
        neurons = Neurons(values)
        self.target = neurons.target
        self.projection = Projection(
            neurons.source, neurons.target, "drive_post = w * s_pre", rule=CASE.text, weights=values.weights,
            namespace=CASE.constants,
        )  # fmt: skip
        delivery, plasticity = self.projection.contained_objects
        self.watches = Stopwatch(delivery), Stopwatch(plasticity)
        self.network = Network(*neurons.all, self.projection)

    def measure(self, steps):
        self.step_for(steps)
        return [watch.take() for watch in self.watches]


def jobs(values, w, out):
    """Return the functions to be timed, by column."""
    spiked, change = values.pre["s"], values.post["m"] * np.float32(values.dt)
    lists = by_hand.neurons_of_lanes(spiked)
    back = by_hand.turned(*lists, values.n_pre)
    return {
        "lists": lambda: by_hand.turned(*by_hand.neurons_of_lanes(spiked), values.n_pre),
        "product": lambda: sgemm(1.0, w.T, spiked.T, beta=0.0, c=out.T, overwrite_c=1),
        "rows": lambda: by_hand.add_picked_rows(*lists, w, out, keep=False),
        "product ": lambda: by_hand.product(w, spiked, change, 1.0),
        "rows ": lambda: by_hand.add_picked_rows(*back, change, w),
    }


def check(functions, ours, values, w, out):
    """Raise SystemExit unless rows, products and ours deliver and learn the same."""
    spiked, change = values.pre["s"], values.post["m"] * np.float32(values.dt)
    ours.network.run(DT, namespace={})
    expected = {"drive": spiked @ values.weights, "weights": values.weights + spiked.T @ change}
    found = {"ours": (ours.target.view("drive")[0], ours.projection.w[0])}
    for deliver, learn in (("product", "product "), ("rows", "rows ")):
        w[...] = values.weights
        functions[deliver]()
        drive = out.copy()
        functions[learn]()
        found[deliver] = drive, w.copy()
    for name, (drive, weights) in found.items():
        for what, value in (("drive", drive), ("weights", weights)):
            apart = np.abs(value - expected[what]).max() / np.abs(expected[what]).max()
            if not apart < APART:
                raise SystemExit(f"{name}: the {what} differ by {apart:.2g}")


def measure(values, rounds, repeats):
    """Return the median milliseconds of each column."""
    w, out = values.new_weights(), np.zeros((values.lanes, values.n_post), np.float32)
    functions, ours = jobs(values, w, out), Ours(values)
    check(functions, ours, values, w, out)
    times = {name: [] for name in COLUMNS}
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(PAUSE)
            function()
            for _ in range(repeats):
                started = time.perf_counter()
                function()
                times[name].append(1e3 * (time.perf_counter() - started))
        time.sleep(PAUSE)
        for name, taken in zip(("ours", "ours "), ours.measure(repeats + 4), strict=True):
            times[name] += taken
    return {name: statistics.median(kept) for name, kept in times.items()}


def crossover(shares, ratios):
    """Return as text up to which share of spikes a ratio stays below 1."""
    above = [k for k, ratio in enumerate(ratios) if ratio >= 1]
    if not above:
        return "at all of these shares"
    if above[0] == 0:
        return "at none of these shares"
    k = above[0]
    along = (1 - ratios[k - 1]) / (ratios[k] - ratios[k - 1])
    return f"up to {shares[k - 1] + along * (shares[k] - shares[k - 1]):.0%}"


def spikes_of_images(values, generator):
    """Make the input spike as the pixels of MNIST's images do, if they can be read and fit; return whether."""
    if not os.environ.get("NEUROSIM_DATA") or values.n_pre != 784:
        return False
    images, _, source = read_images(values.n_pre)
    if source == "MNIST":
        chosen = images[generator.permutation(len(images))[: values.lanes]]
        values.pre["s"][...] = generator.random(chosen.shape) < np.clip(chosen, 0, 0.95)
    return source == "MNIST"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, for trying the script")
    parser.add_argument("--size", default="784x1500", help="n_pre x n_post")
    parser.add_argument("--lanes", type=int, default=100)
    parser.add_argument("--percent", default="1,2,5,10,15,20,25,30,40,50", help="of the input that spikes, by commas")
    parser.add_argument("--rounds", type=int, default=5, help="how often all are measured in turn")
    arguments = parser.parse_args()
    n_pre, n_post = map(int, ("120x150" if arguments.quick else arguments.size).split("x"))
    shares = sorted(float(p) / 100 for p in arguments.percent.split(","))

    print_machine()
    print(f"\n{n_pre}x{n_post}, {arguments.lanes} lanes, milliseconds\n")
    print("| spikes | lists | deliver: product | rows | ours | learn: product | rows | ours |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    ratios = {"deliver": [], "learn": [], "both, with lists": []}
    for share in [*shares, None]:
        values = Values(CASE.at(share or 0.0), n_pre, n_post, arguments.lanes)
        label = f"{100 * (share or 0):g} %"
        if share is None:
            if not spikes_of_images(values, np.random.default_rng(1)):
                print("\nMNIST is left out: NEUROSIM_DATA names no folder that has it, or the size is another")
                break
            label = f"MNIST, {100 * values.pre['s'].mean():.1f} %"
        t = measure(values, arguments.rounds, 15)
        print(f"| {label} | " + " | ".join(f"{t[name]:.3f}" for name in COLUMNS) + " |", flush=True)
        if share is not None:
            ratios["deliver"].append(t["rows"] / t["product"])
            ratios["learn"].append(t["rows "] / t["product "])
            both = t["lists"] + t["rows"] + t["rows "]
            ratios["both, with lists"].append(both / (t["product"] + t["product "]))
    print()
    for what, values in ratios.items():
        print(f"rows beat the product, {what}: {crossover(shares, values)}")


if __name__ == "__main__":
    main()
