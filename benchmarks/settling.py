"""Networks that settle (Scellier, Bengio 2017), net1 and net2, against PyTorch (CPU) loops that do the same work.

    python benchmarks/settling.py [--quick] [--rounds 5] [--presentations 100] [--networks net1,net2]

Images are random, of MNIST's shape, mean and share of zeros, shown in batches of 20 in a new order every time. Both
sides keep a state an example and start from it, take all steps of both phases, deliver the clamped input once a
presentation, draw the sign of beta, and learn weights and biases after the nudged phase. They are timed in turn, in one
process and with as many threads; printed are medians and quartiles of the time of a presentation, an epoch of 60,000
examples from it, and the ratio. The goal is that ours is not slower. A line beside it has free phases that end as soon
as they have settled.
"""

import argparse
import time

import brian2
import numba
import numpy as np
from machine import print_machine

from neurosim.data import DataSet
from neurosim.settling import Persistence
from neurosim_models.scellier_2017.mnist import CONDITIONS, MNIST

EXAMPLES = 60_000  # of an epoch
BATCH = 20
KNOWN = 2000  # examples that are drawn


def drawn():
    """Return images with MNIST's mean, 0.13, and share of pixels that are not 0, 0.19; and labels."""
    draw = np.random.default_rng(1)
    images = np.clip(draw.normal(0.69, 0.3, (KNOWN, 784)), 0, 1) * (draw.random((KNOWN, 784)) < 0.19)
    return images.astype(np.float32), np.arange(KNOWN) % 10


class Ours:
    """A circuit that learns from one batch after another."""

    def __init__(self, name, tolerance):
        asked = {"lanes": str(BATCH), "replicas": "1", "tolerance": str(tolerance)}
        values = {**MNIST.resolve("mnist", asked), **CONDITIONS[name], "tolerance": tolerance}
        images, labels = drawn()
        data = DataSet("random", images, labels, images[:BATCH], labels[:BATCH], 10, (28, 28), "random")
        self.circuit = MNIST.build(values, data, 1)
        self.circuit.set_training(True)
        self.circuit.feed(images, labels)
        self.labels, self.order = labels, np.random.default_rng(2)
        self.seconds(5)

    def run(self, presentations):
        """Return the time of a run."""
        shown = self.circuit.presentation
        self.circuit.readout.expect(self.labels)
        shown.show(self.order.integers(0, KNOWN, (presentations, 1, BATCH)))
        began = time.perf_counter()
        self.circuit.network.run(shown.remaining, namespace={})
        return time.perf_counter() - began

    def seconds(self, presentations):
        """Return the time of a presentation; what starting a run costs is left out, as a run covers an epoch."""
        short = self.run(1)
        self.circuit.settling.begin()
        return (self.run(1 + presentations) - short) / presentations

    @property
    def steps(self):
        """Time steps of the free phase, on average."""
        return self.circuit.settling.steps / self.circuit.settling.presentations


class Torch:
    """The same in PyTorch: buffers made once, products, mixing and clipping in place."""

    def __init__(self, name):
        import torch

        torch.manual_seed(1)
        torch.set_num_threads(numba.get_num_threads())
        torch.set_grad_enabled(False)
        self.torch, own = torch, CONDITIONS[name]
        self.free, self.nudged, self.beta = own["free_steps"], own["nudged_steps"], own["beta"]
        self.rates = [alpha / BATCH for alpha in own["alpha"]]
        sizes = (784, *own["hidden"], 10)
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.w = [torch.empty(n, m).uniform_(-1, 1).mul_((6 / (n + m)) ** 0.5) for n, m in pairs]
        self.b = [torch.zeros(m) for m in sizes[1:]]
        images, labels = drawn()
        self.images, self.targets = torch.from_numpy(images), torch.eye(10)[torch.from_numpy(labels)]
        self.kept = [torch.zeros(KNOWN, m) for m in sizes[1:]]
        self.s, self.next, self.drive = ([torch.zeros(BATCH, m) for m in sizes[1:]] for _ in range(3))
        self.below = torch.zeros(BATCH, sizes[1])
        self.order = torch.Generator().manual_seed(2)
        self.seconds(5)

    def step(self, beta, target):
        """Euler's step of all layers, from the values before it."""
        torch, last = self.torch, len(self.s) - 1
        for k, (s, after, drive) in enumerate(zip(self.s, self.next, self.drive, strict=True)):
            if k == 0:
                drive.copy_(self.below)
            else:
                torch.addmm(self.b[k], self.s[k - 1], self.w[k], out=drive)
            if k < last:
                drive.addmm_(self.s[k + 1], self.w[k + 1].T)
            torch.lerp(s, drive, 0.5, out=after)
            if beta and k == last:
                after.add_(target, alpha=beta).sub_(s, alpha=beta)  # 2 beta (d - s), times epsilon = 1/2
            after.clamp_(0, 1)
        self.s, self.next = self.next, self.s

    def take(self, ours):
        """Take over weights and states of a circuit of ours."""
        copy = lambda array: self.torch.from_numpy(np.array(array[0]))  # noqa: E731
        names = list(ours.circuit.populations)[1:]
        self.w = [copy(ours.circuit.projections[f"W_{name}"].w) for name in names]
        self.b = [copy(ours.circuit.projections[f"b_{name}"].w)[0] for name in names]
        stores = next(each for each in ours.circuit.network.objects if isinstance(each, Persistence)).state()
        self.kept = [copy(stores[f"train {name} s"]) for name in names]

    def present(self, chosen=None, sign=None):
        """Show a batch, settle twice, learn; examples and the sign of beta are drawn unless given."""
        torch = self.torch
        if chosen is None:
            chosen = torch.randint(0, KNOWN, (BATCH,), generator=self.order)
        image, target = self.images[chosen], self.targets[chosen]
        for s, kept in zip(self.s, self.kept, strict=True):
            torch.index_select(kept, 0, chosen, out=s)
        torch.addmm(self.b[0], image, self.w[0], out=self.below)
        for _ in range(self.free):
            self.step(0, None)
        for s, kept in zip(self.s, self.kept, strict=True):
            kept[chosen] = s
        before = [s.clone() for s in self.s]
        sign = sign or (1 if torch.rand((), generator=self.order) < 0.5 else -1)
        beta = self.beta * sign
        for _ in range(self.nudged):
            self.step(beta, target)
        moved = [s - old for s, old in zip(self.s, before, strict=True)]
        for k, (w, b, eta) in enumerate(zip(self.w, self.b, self.rates, strict=True)):
            if k == 0:
                w.addmm_(image.T, moved[0], alpha=eta / beta)
            else:
                w.addmm_(self.s[k - 1].T, self.s[k], alpha=eta / beta)
                w.addmm_(before[k - 1].T, before[k], alpha=-eta / beta)
            b.add_(moved[k].sum(0), alpha=eta / beta)

    def seconds(self, presentations):
        """Return the time of a presentation."""
        began = time.perf_counter()
        for _ in range(presentations):
            self.present()
        return (time.perf_counter() - began) / presentations


def difference(ours, peer):
    """Show both the same batch, from the same weights and states; return how far apart they learn, of the change."""
    peer.take(ours)
    start = [w.numpy().copy() for w in peer.w]
    ours.run(1)
    shown = ours.circuit.presentation.examples[0, 0]
    sign = np.sign(ours.circuit.populations["y"].view("beta")[0, 0, 0])
    peer.present(peer.torch.from_numpy(np.array(shown)), float(sign))
    names = list(ours.circuit.populations)[1:]
    apart = [ours.circuit.projections[f"W_{n}"].w[0] - w.numpy() for n, w in zip(names, peer.w, strict=True)]
    change = [w.numpy() - before for w, before in zip(peer.w, start, strict=True)]
    return max(np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(apart, change, strict=True))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few presentations, to see that the script works")
    parser.add_argument("--presentations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default="net1,net2")
    chosen = parser.parse_args()
    presentations, rounds = (5, 2) if chosen.quick else (chosen.presentations, chosen.rounds)
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    print(f"\n{f'batches of {BATCH}':34}{'ms a batch':>12}{'quartiles':>16}{'s an epoch':>12}{'PyTorch / ours':>16}")
    for name in chosen.networks.split(","):
        contestants = {"ours": Ours(name, 0.0), "ours, tolerance 1e-4": Ours(name, 1e-4)}
        try:
            contestants["PyTorch"] = Torch(name)
            checked = difference(contestants["ours"], contestants["PyTorch"])
            print(f"{name}: from the same state both learn the same, but for {checked:.1g} of the change")
        except ImportError:
            print("PyTorch is not installed: pip install .[torch]")
        times = {c: [] for c in contestants}
        for _ in range(rounds):
            for c, contestant in contestants.items():
                times[c].append(contestant.seconds(presentations))
        for c, found in times.items():
            low, middle, high = 1e3 * np.percentile(found, [25, 50, 75])
            ratio = note = ""
            if c != "PyTorch":
                free = CONDITIONS[name]["free_steps"]
                note = "" if c == "ours" else f"   {contestants[c].steps:.1f} of {free} steps"
                if "PyTorch" in times:
                    ratio = f"{np.median(np.array(times['PyTorch']) / found):.2f}"
                    note = "   goal: at least 1" if c == "ours" else note
            epoch, quartiles = middle * EXAMPLES / BATCH / 1e3, f"{low:.2f} to {high:.2f}"
            print(f"{name + ', ' + c:34}{middle:12.2f}{quartiles:>16}{epoch:12.1f}{ratio:>16}{note}")


if __name__ == "__main__":
    main()
