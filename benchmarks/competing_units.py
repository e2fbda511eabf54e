"""One batch of the competing hidden units of Krotov & Hopfield 2019, against PyTorch (CPU) loops that do the same.

    python benchmarks/competing_units.py [--quick] [--rounds 15] [--p 4]

784 inputs, 2000 hidden units, batches of 100 random images with as many dark pixels as those of MNIST, in one process
with as many threads on both sides. Timed in turn are the part without labels, a batch of the top layer on features that
were computed before, and end to end training; printed are medians and quartiles of the time of a batch, of an epoch of
60,000 images from it, and the ratio. Without labels PyTorch has two loops: all weights of all units, as in the authors'
notebook but with its buffers made once, and only the units that some image has chosen. All start from the same weights,
and it is checked that they end at the same. The goals: an epoch within 10 s, and to be quicker than PyTorch.
"""

import argparse
import gc
import time

import brian2
import numba
import numpy as np
from machine import print_machine

from neurosim.data import DataSet
from neurosim_models.krotov_2019.fast import BACKPROP
from neurosim_models.krotov_2019.mnist import MNIST

IMAGES, BATCH = 60_000, 100
DARK = 0.81  # fraction of MNIST's pixels
BATCHES = 20  # of a timing


def images(count):
    """Return random images with dark pixels."""
    draw = np.random.default_rng(1)
    return (draw.random((count, 784)) * (draw.random((count, 784)) > DARK)).astype(np.float32)


class Ours:
    """A circuit in one of its parts."""

    def __init__(self, part, shown, hidden, p):
        settings = {"hidden": str(hidden), "epochs": "4", "unsupervised": "0.5", "p": str(p)}
        values = MNIST.resolve("mnist", settings)
        if part == BACKPROP:
            values |= {"algorithm": BACKPROP, "n": 1.0, "m": 4.0}
        labels = np.arange(len(shown)) % 10
        data = DataSet("random", shown, labels, shown[:10], labels[:10], 10, (28, 28), "random")
        self.circuit = MNIST.build(values, data, 1)
        self.circuit.set_training(True)
        self.circuit.schedule(1 if part == "unsupervised" else 3)
        self.circuit.feed(shown, labels)
        self.circuit.readout.expect(labels)
        self.size = len(shown) // BATCH
        self.w = self.circuit.projections["W"].w[0].copy()
        self.run(0)

    def fields(self):
        """Return the fields of all images, from which features are made."""
        shown = next(each for each in self.circuit.network.objects if each.name == "fields")
        return shown.values[0]

    def run(self, batches):
        """Show so many batches; return the time that it took."""
        shown = self.circuit.presentation
        shown.show(np.resize(np.arange(self.size * BATCH), (batches, 1, BATCH)))
        began = time.perf_counter()
        self.circuit.network.run(shown.remaining, namespace={})
        return time.perf_counter() - began

    def seconds(self):
        """Return the time of a batch; what starting a run costs is left out, as a run covers an epoch."""
        return (self.run(BATCHES + 1) - self.run(1)) / BATCHES


class Torch:
    """The part without labels in PyTorch: W is (units, inputs), as in the authors' notebook."""

    def __init__(self, ours, shown, p, chosen_units=False):
        import torch

        torch.set_num_threads(numba.get_num_threads())
        self.torch, self.p, self.chosen_units = torch, p, chosen_units
        self.values = {name: MNIST.parameters_for("mnist")[name].value for name in ("delta", "k", "epsilon0")}
        self.images = torch.from_numpy(shown)
        self.w = torch.from_numpy(ours.w.T.copy())
        self.powers, self.change = torch.empty_like(self.w), torch.empty_like(self.w)
        self.lanes = torch.arange(BATCH)
        self.at = 0

    def batch(self):
        """Learn from the next batch."""
        torch, w, p = self.torch, self.w, self.p
        v = self.images[self.at : self.at + BATCH].clone()
        self.at = (self.at + BATCH) % (len(self.images) // BATCH * BATCH)
        powers = w if p == 2 else torch.mul(w, w.abs() if p == 3 else w, out=self.powers)
        if p == 4:
            powers.mul_(w)
        elif p not in (2, 3):
            powers = w.sign() * w.abs().pow(p - 1)
        currents = v @ powers.T
        top = currents.topk(self.values["k"], dim=1).indices
        g = torch.zeros_like(currents)
        g[self.lanes, top[:, 0]] = 1.0
        g[self.lanes, top[:, -1]] = -self.values["delta"]
        pull = (g * currents).sum(0)
        if not self.chosen_units:
            change = torch.mul(w, -pull[:, None], out=self.change).addmm_(g.T, v)
            low, high = change.aminmax()
            w.add_(change, alpha=self.values["epsilon0"] / max(-float(low), float(high)))
            return
        units = top[:, [0, -1]].unique()
        change = torch.addmm(-pull[units, None] * w[units], g[:, units].T, v)
        low, high = change.aminmax()
        w.index_add_(0, units, change, alpha=self.values["epsilon0"] / max(-float(low), float(high)))

    def seconds(self):
        """Return the time of a batch."""
        began = time.perf_counter()
        for _ in range(BATCHES):
            self.batch()
        return (time.perf_counter() - began) / BATCHES


class TorchTaught(Torch):
    """The top layer on features that are there, or both layers end to end, in PyTorch, with its own Adam."""

    def __init__(self, shown, hidden, fields=None):
        import torch

        torch.manual_seed(1)
        torch.set_num_threads(numba.get_num_threads())
        self.torch, self.end_to_end, self.at = torch, fields is None, 0
        self.images = torch.from_numpy(shown if fields is None else fields)
        sizes = [(784, hidden), (hidden, 10)] if fields is None else [(hidden, 10)]
        self.weights = [torch.nn.Parameter((2 * torch.rand(s) - 1) * (6 / sum(s)) ** 0.5) for s in sizes]
        self.adam = torch.optim.Adam(self.weights, lr=1e-3, fused=True)
        self.targets = 2 * torch.nn.functional.one_hot(torch.arange(BATCH) % 10, 10).float() - 1
        self.batch()

    def batch(self):
        """Learn from the next batch."""
        torch = self.torch
        v = self.images[self.at : self.at + BATCH].clone()
        self.at = (self.at + BATCH) % (len(self.images) // BATCH * BATCH)
        f = torch.relu(v @ self.weights[0]) if self.end_to_end else v.clamp(min=0) ** 4.5
        c = torch.tanh(f @ self.weights[-1])
        loss = ((c - self.targets).abs() ** (4 if self.end_to_end else 10)).sum()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


def check_alike(ours, others, batches=3):
    """Raise where weights that learned from the same batches differ by more than rounding."""
    ours.run(batches)
    w = ours.circuit.projections["W"].w[0]
    for name, other in others.items():
        for _ in range(batches):
            other.batch()
        apart = np.abs(w - other.w.numpy().T).max() / np.abs(w - ours.w).max()
        print(f"{name}: after {batches} batches {apart:.1e} of the largest change apart from ours")
        if apart > 1e-3:
            raise AssertionError(f"{name} learns something else")


def main():
    """Time all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 units, to see that the script works")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--p", type=float, default=4)
    chosen = parser.parse_args()
    hidden = 100 if chosen.quick else 2000
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    shown = images(40 * BATCH)
    parts = {part: Ours(part, shown, hidden, chosen.p) for part in ("unsupervised", "supervised", BACKPROP)}
    peers = {}
    try:
        first = parts["unsupervised"]
        peers = {
            "unsupervised": {
                "PyTorch, all units": Torch(first, shown, chosen.p),
                "PyTorch, chosen units": Torch(first, shown, chosen.p, chosen_units=True),
            },
            "supervised": {"PyTorch": TorchTaught(shown, hidden, parts["supervised"].fields())},
            BACKPROP: {"PyTorch": TorchTaught(shown, hidden)},
        }
        check_alike(first, peers["unsupervised"])
    except ImportError:
        print("PyTorch is not installed: pip install .[torch]")
    gc.freeze()  # as in training: brian2 collects garbage at the start of every run
    print(f"\n{'batches of 100':36}{'ms a batch':>12}{'quartiles':>18}{'s an epoch':>12}{'PyTorch / ours':>16}")
    for part, ours in parts.items():
        contestants = {"ours": ours, **peers.get(part, {})}
        times = {name: [] for name in contestants}
        for _ in range(chosen.rounds):
            for name, each in contestants.items():
                times[name].append(each.seconds())
        for name, found in times.items():
            low, middle, high = 1e3 * np.percentile(found, [25, 50, 75])
            ratio = "" if name == "ours" else f"{np.median(np.array(found) / times['ours']):.2f}"
            goal = "   goal: more than 1" if ratio else ""
            epoch = middle * IMAGES / BATCH / 1e3
            print(
                f"{part + ', ' + name:36}{middle:12.2f}{f'{low:.2f} to {high:.2f}':>18}{epoch:12.1f}{ratio:>16}{goal}"
            )


if __name__ == "__main__":
    main()
