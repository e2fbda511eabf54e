"""The dendritic microcircuit (Sacramento et al. 2018) against PyTorch (CPU) loops that do the same work.

    python benchmarks/microcircuit.py [--quick] [--rounds 5] [--batches 300] [--conditions microcircuit,backprop]

Batches of 10 of random images with MNIST's shape, mean and share of zeros, in 784-500-500-10 in the steady state: two
sweeps, then W, b, IP and b^I learn. PyTorch has buffers made once and products in place. Both are timed in turn, in one
process and with as many threads, and learn the same from the same weights. Printed are medians and quartiles of the
time of a batch (with one thread the processor's), an epoch of 60,000 images from it, and the ratio. The goal is an
epoch within 30 s.
"""

import argparse
import time

import brian2
import numba
import numpy as np
from machine import print_machine

from neurosim.data import DataSet
from neurosim_models.sacramento_2018 import steady
from neurosim_models.sacramento_2018.mnist import CONDITIONS, MNIST

EXAMPLES = 60_000  # of an epoch
BATCH = 10
KNOWN = 2000  # images that are drawn


def clock():
    """Return the time: that of the processor where there is one thread, which other programs do not disturb."""
    return time.process_time() if numba.get_num_threads() == 1 else time.perf_counter()


def drawn():
    """Return images with MNIST's mean, 0.13, and share of pixels that are not 0, 0.19; and labels."""
    draw = np.random.default_rng(1)
    images = np.clip(draw.normal(0.69, 0.3, (KNOWN, 784)), 0, 1) * (draw.random((KNOWN, 784)) < 0.19)
    return images.astype(np.float32), np.arange(KNOWN) % 10


class Ours:
    """A circuit that learns from one batch after another."""

    def __init__(self, condition):
        self.values = {**MNIST.resolve("mnist", {"lanes": str(BATCH), "replicas": "1"}), **CONDITIONS[condition]}
        images, self.labels = drawn()
        data = DataSet("random", images, self.labels, images[:BATCH], self.labels[:BATCH], 10, (28, 28), "random")
        self.circuit = MNIST.build(self.values, data, 1)
        self.circuit.set_training(True)
        self.circuit.feed(images, self.labels)
        self.order = np.random.default_rng(2)
        self.seconds(5)

    def run(self, batches):
        """Return the time of a run."""
        shown = self.circuit.presentation
        self.circuit.readout.expect(self.labels)
        shown.show(self.order.integers(0, KNOWN, (batches, 1, BATCH)))
        began = clock()
        self.circuit.network.run(shown.remaining, namespace={})
        return clock() - began

    def seconds(self, batches):
        """Return the time of a batch; what starting a run costs is left out, as a run covers an epoch."""
        short = self.run(1)
        return (self.run(1 + batches) - short) / batches


class Torch:
    """The same in PyTorch."""

    def __init__(self, condition, values):
        import torch

        torch.manual_seed(1)
        torch.set_num_threads(numba.get_num_threads())
        torch.set_grad_enabled(False)
        self.torch, self.values, self.local = torch, values, condition != "backprop"
        self.mix = [values[f"mixing_{name}"] for name in ("hidden", "interneuron", "output")]
        self.rates = [float(rate) / BATCH for rate in steady.rates(values)]
        images, labels = drawn()
        high, low = (np.log(rate / (1 - rate)) for rate in (values["rate_shown"], values["rate_others"]))
        self.images = torch.from_numpy(images)
        self.targets = (low + (high - low) * torch.eye(10))[torch.from_numpy(labels)]
        sizes = (*values["hidden"], 10)
        self.v = [torch.zeros(BATCH, n) for n in sizes]
        self.v_I, self.v_A = ([torch.zeros(BATCH, n) for n in each] for each in (sizes[1:], sizes[:-1]))

    def take(self, ours):
        """Take over the weights of a circuit of ours."""
        found = {name: self.torch.from_numpy(np.array(p.w[0])) for name, p in ours.circuit.projections.items()}
        names = list(ours.circuit.populations)[1 : 1 + len(self.v)]
        self.w, self.b = [found[f"W_{name}"] for name in names], [found[f"b_{name}"][0] for name in names]
        if self.local:
            self.ip, self.td, self.pi = (
                [found[f"{kind}_{name}"] for name in names[:-1]] for kind in ("IP", "TD", "PI")
            )
            self.b_i = [found[f"b_i{k}"][0] for k in range(1, len(names))]

    def batch(self, chosen):
        """Show a batch and learn from it."""
        torch, v = self.torch, self.v
        x, t, top = self.images[chosen], self.targets[chosen], len(v) - 1
        predicted = [x]
        for k in range(top + 1):
            torch.addmm(self.b[k], predicted[k], self.w[k], out=v[k])
            predicted.append(torch.sigmoid(v[k]))
        (self._down if self.local else self._back)(x, t, predicted, top)

    def _down(self, x, t, predicted, top):
        torch, v, (hidden, inter, output) = self.torch, self.v, self.mix
        u = [None] * top + [torch.lerp(v[top], t, output)]
        r = [None] * top + [torch.sigmoid(u[top])]
        missed = [None] * top
        for k in range(top - 1, -1, -1):
            v_I, v_A = self.v_I[k], self.v_A[k]
            torch.addmm(self.b_i[k], predicted[k + 1], self.ip[k], out=v_I)
            r_I = torch.sigmoid(torch.lerp(v_I, u[k + 1], inter))
            missed[k] = r_I - torch.sigmoid(v_I)
            torch.mm(r[k + 1], self.td[k], out=v_A).addmm_(r_I, self.pi[k])
            u[k] = torch.add(v[k], v_A, alpha=hidden)
            r[k] = torch.sigmoid(u[k])
        for k, below in enumerate([x, *r[:-1]]):
            self._learn(self.w[k], self.b[k], below, r[k] - predicted[k + 1], self.rates[k])
        for k in range(top):
            rate = self.values["following"] * self.rates[k + 1] / inter
            self._learn(self.ip[k], self.b_i[k], r[k], missed[k], rate)

    def _back(self, x, t, predicted, top):
        error = [None] * top + [(t - self.v[top]) * predicted[-1] * (1 - predicted[-1])]
        for k in range(top - 1, -1, -1):
            self.torch.mm(error[k + 1], self.w[k + 1].T, out=self.v_A[k])
            error[k] = self.v_A[k] * predicted[k + 1] * (1 - predicted[k + 1])
        for k in range(top + 1):
            self._learn(self.w[k], self.b[k], predicted[k], error[k], self.rates[k])

    def _learn(self, w, b, below, error, rate):
        w.addmm_(below.T, error, alpha=rate)
        b.add_(error.sum(0), alpha=rate)

    def seconds(self, batches):
        """Return the time of a batch."""
        order = self.torch.randint(0, KNOWN, (batches, BATCH))
        began = clock()
        for chosen in order:
            self.batch(chosen)
        return (clock() - began) / batches


def difference(ours, peer):
    """Show both the same batch, from the same weights; return how far apart they learn, of the change."""
    peer.take(ours)
    before = {name: p.w[0].copy() for name, p in ours.circuit.projections.items()}
    ours.run(1)
    peer.batch(peer.torch.from_numpy(ours.circuit.presentation.examples[0, 0].copy()))
    names = list(ours.circuit.populations)[1 : 1 + len(peer.v)]
    pairs = [(f"W_{name}", w) for name, w in zip(names, peer.w, strict=True)]
    if peer.local:
        pairs += [(f"IP_{name}", w) for name, w in zip(names[:-1], peer.ip, strict=True)]
    now = {name: p.w[0] for name, p in ours.circuit.projections.items()}
    return max(
        np.linalg.norm(now[name] - w.numpy()) / np.linalg.norm(now[name] - before[name]) for name, w in pairs
    )  # fmt: skip


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few batches, to see that the script works")
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--conditions", default="microcircuit,backprop")
    chosen = parser.parse_args()
    batches, rounds = (5, 2) if chosen.quick else (chosen.batches, chosen.rounds)
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    print(f"\n{f'batches of {BATCH}':34}{'ms a batch':>12}{'quartiles':>16}{'s an epoch':>12}{'PyTorch / ours':>16}")
    for name in chosen.conditions.split(","):
        contestants = {"ours": Ours(name)}
        try:
            contestants["PyTorch"] = Torch(name, contestants["ours"].values)
            apart = difference(contestants["ours"], contestants["PyTorch"])
            print(f"{name}: from the same weights both learn the same, but for {apart:.1g} of the change")
            contestants["PyTorch"].seconds(5)
        except ImportError:
            print("PyTorch is not installed: pip install .[torch]")
        times = {c: [] for c in contestants}
        for _ in range(rounds):
            for c, contestant in contestants.items():
                times[c].append(contestant.seconds(batches))
        for c, found in times.items():
            low, middle, high = 1e3 * np.percentile(found, [25, 50, 75])
            ratio = note = ""
            if c == "ours" and "PyTorch" in times:
                ratio = f"{np.median(np.array(times['PyTorch']) / found):.2f}"
            if c == "ours" and name == "microcircuit":
                note = "   goal: an epoch within 30 s"
            epoch, quartiles = middle * EXAMPLES / BATCH / 1e3, f"{low:.2f} to {high:.2f}"
            print(f"{name + ', ' + c:34}{middle:12.2f}{quartiles:>16}{epoch:12.1f}{ratio:>16}{note}")


if __name__ == "__main__":
    main()
