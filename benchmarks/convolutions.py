"""One batch of the convolutional networks of Amit 2018, against a PyTorch (CPU) loop of the same network.

    python benchmarks/convolutions.py [--quick] [--batch 500] [--rounds 5] [--networks simpnet,deepernet_s]

Networks are trained in turn on random images of CIFAR-10's shape, in one process and with as many threads; printed are
medians and quartiles of the time of a batch, of an epoch of 50,000 images from it, and the ratio. PyTorch does backprop
with the hinge loss, in the order of pixels that is quicker for it (channels last); the goal is that our backprop is not
slower. Beside it are our updated feedback, which makes one more product a layer, and its untied form.
"""

import argparse
import time

import brian2
import numba
import numpy as np
from machine import print_machine

from neurosim.data import DataSet
from neurosim_models.amit_2018 import EXPERIMENTS, cifar
from neurosim_models.amit_2018.layers import Conv, Full, Pool, Sum

IMAGES = 50_000  # of an epoch of CIFAR-10
CONDITIONS = ("backprop", "updated_feedback", "updated_feedback_untied")


class Ours:
    """A circuit that shows one batch of random images after another and learns."""

    def __init__(self, experiment, condition, batch):
        values = experiment.resolve("cifar10", {"lanes": str(batch), "replicas": "1", "epochs": "2"})
        draw = np.random.default_rng(1)
        images, labels = draw.random((2 * batch, 3072), np.float32), np.arange(2 * batch) % 10
        data = DataSet("random", images, labels, images[:10], labels[:10], 10, (32, 32, 3), "random")
        self.batch = batch
        self.circuit = experiment.build({**values, **experiment.conditions[condition]}, data, 1)
        self.circuit.set_training(True)
        if self.circuit.schedule:
            self.circuit.schedule(2)  # convolutions are untied
        self.circuit.feed(images, labels)
        self.circuit.readout.expect(labels)
        self.seconds()

    def seconds(self):
        """Return the time of a batch; what starting a run costs is left out, as a run covers an epoch."""
        shown = self.circuit.presentation
        times = []
        for batches in (1, 3):
            shown.show(np.resize(np.arange(2 * self.batch), (batches, 1, self.batch)))
            began = time.perf_counter()
            self.circuit.network.run(shown.remaining, namespace={})
            times.append(time.perf_counter() - began)
        return (times[1] - times[0]) / 2


class Torch:
    """The same network in PyTorch: plain steps on the mean hinge loss, images side by side in channels-last order."""

    def __init__(self, architecture, batch):
        import torch
        from torch.nn import functional

        torch.manual_seed(1)
        torch.set_num_threads(numba.get_num_threads())
        self.torch, self.functional, self.architecture = torch, functional, architecture
        self.images = torch.rand(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        self.right = functional.one_hot(torch.arange(batch) % 10, 10).float()
        modules, channels, size = [], 3, 32
        for layer in architecture:
            if isinstance(layer, Conv):
                modules.append(torch.nn.Conv2d(channels, layer.channels, layer.kernel, padding="same", bias=False))
                channels = layer.channels
            elif isinstance(layer, Pool):
                size = -(-size // layer.stride)
            elif isinstance(layer, Full):
                modules.append(torch.nn.Linear(channels * size * size, layer.n, bias=False))
                channels, size = layer.n, 1
        modules.append(torch.nn.Linear(channels, 10, bias=False))
        self.modules = torch.nn.ModuleList(modules).to(memory_format=torch.channels_last)
        self.steps = torch.optim.SGD(self.modules.parameters(), lr=0.1)
        self.seconds()

    def forward(self, x):
        """Return the fields of the output."""
        functional, modules, before = self.functional, iter(self.modules), None
        for layer in self.architecture:
            if isinstance(layer, Sum):
                before, x = x, x + before
                continue
            before = x
            if isinstance(layer, Conv):
                x = functional.hardtanh(next(modules)(x))
            elif isinstance(layer, Pool):
                over = max((-(-x.shape[2] // layer.stride) - 1) * layer.stride + layer.size - x.shape[2], 0)
                x = functional.pad(x, (over // 2, over - over // 2) * 2, value=-1e9) if over else x
                x = functional.dropout(functional.max_pool2d(x, layer.size, layer.stride), layer.drop)
            else:
                x = functional.dropout(functional.hardtanh(next(modules)(x.flatten(1))), layer.drop)
        return next(modules)(x)

    def seconds(self):
        """Return the time of a batch."""
        torch = self.torch
        began = time.perf_counter()
        for _ in range(2):
            fields = self.forward(self.images)
            loss = torch.relu(1 - fields) * self.right + torch.relu(1 + fields) * (1 - self.right) / 9
            self.steps.zero_grad()
            loss.sum(1).mean().backward()
            self.steps.step()
        return (time.perf_counter() - began) / 2


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a batch of 20, to see that the script works")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default="simpnet,deepernet_s")
    chosen = parser.parse_args()
    batch = 20 if chosen.quick else chosen.batch
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    print(f"\n{f'batches of {batch}':42}{'ms a batch':>12}{'quartiles':>18}{'s an epoch':>12}{'PyTorch / ours':>16}")
    for name in chosen.networks.split(","):
        experiment = next(each for each in EXPERIMENTS if each.name == name)
        contestants = {c: Ours(experiment, c, batch) for c in CONDITIONS if c in experiment.conditions}
        try:
            values = experiment.resolve("cifar10", {})
            contestants["PyTorch, backprop"] = Torch(getattr(cifar, name)(values), batch)
        except ImportError:
            print("PyTorch is not installed: pip install .[torch]")
        times = {c: [] for c in contestants}
        for _ in range(chosen.rounds):
            for c, contestant in contestants.items():
                times[c].append(contestant.seconds())
        for c, found in times.items():
            low, middle, high = 1e3 * np.percentile(found, [25, 50, 75])
            peer = times.get("PyTorch, backprop")
            ratio = "" if peer is None or c.startswith("PyTorch") else f"{np.median(np.array(peer) / found):.2f}"
            goal = "   goal: at least 1" if ratio and c == "backprop" else ""
            quartiles = f"{low:.0f} to {high:.0f}"
            epoch = middle * IMAGES / batch / 1e3
            print(f"{name + ', ' + c:42}{middle:12.0f}{quartiles:>18}{epoch:12.0f}{ratio:>16}{goal}")


if __name__ == "__main__":
    main()
