"""Target propagation (Bartunov et al. 2018) against PyTorch (CPU) loops that do the same work.

    python benchmarks/target_propagation.py [--quick] [--rounds 5] [--batches 40] [--networks fc,local,cifar]

fc: a batch of 100 of difference target propagation, parallel, in 784-240x7-10. local, cifar: the layers of mnist_local
and cifar_local, local receptive fields in which every synapse has a weight of its own; each delivers along W and back
along V, and both learn. PyTorch keeps buffers, makes one product for the signals that travel side by side, and for
local layers one batched product over positions. Images are random. Both are timed in turn, in one process and with as
many threads, and learn the same from the same weights (fc without noise). Printed are medians and quartiles of the
time of a batch (with one thread the processor's), an epoch from it, nanoseconds for a connection, of W and of V, and
an image, and the ratio.
"""

import argparse
import time

import brian2
import numba
import numpy as np
from brian2 import Clock, Network, ms
from machine import print_machine

from neurosim import Population, Presentation, Projection, Uniform
from neurosim.connectivity import Backward, Local
from neurosim.data import DataSet
from neurosim.neurons import NeuronType
from neurosim_models.bartunov_2018 import network
from neurosim_models.bartunov_2018.cifar import LOCAL_LAYERS as CIFAR_LOCAL
from neurosim_models.bartunov_2018.local import LAYERS as MNIST_LOCAL

LANES = 100
KNOWN = 2000  # images that are drawn
SIZES = (784, *[240] * 7, 10)
ETA, ETA_INVERSE, ALPHA, SIGMA = 0.01, 0.001, 0.2, 0.2


def clock():
    """Return the time: that of the processor where there is one thread, which other programs do not disturb."""
    return time.process_time() if numba.get_num_threads() == 1 else time.perf_counter()


def drawn():
    """Return images of MNIST's shape, mean and share of zeros; and labels."""
    draw = np.random.default_rng(1)
    images = np.clip(draw.normal(0.69, 0.3, (KNOWN, 784)), 0, 1) * (draw.random((KNOWN, 784)) < 0.19)
    return images.astype(np.float32), np.arange(KNOWN) % 10


def timed(run, batches):
    """Return the time of a batch; what starting a run costs is left out, as a run covers an epoch."""
    short = run(1)
    return (run(1 + batches) - short) / batches


class Ours:
    """Difference target propagation in 784-240x7-10."""

    def __init__(self, sigma):
        chosen = dict(eta=ETA, eta_inverse=ETA_INVERSE, alpha=ALPHA, sigma=sigma)
        values = {p.name: p.value for p in network.parameters(**chosen, source="here")}
        images, self.labels = drawn()
        data = DataSet("random", images, self.labels, images[:LANES], self.labels[:LANES], 10, (28, 28), "random")
        architecture = [network.Full(n) for n in SIZES[1:-1]]
        self.circuit = network.build(values | {"lanes": LANES, "replicas": 1}, data, 1, architecture)
        self.circuit.set_training(True)
        self.circuit.feed(images, self.labels)
        self.order = np.random.default_rng(2)
        self.run(2)

    def run(self, batches):
        """Return the time of a run."""
        shown = self.circuit.presentation
        self.circuit.readout.expect(self.labels)
        shown.show(self.order.integers(0, KNOWN, (batches, 1, LANES)))
        began = clock()
        self.circuit.network.run(shown.remaining, namespace={})
        return clock() - began

    def weights(self):
        """Return W and b from the input up, and V and c into hidden layers from the first up."""
        names = [f"h{k}" for k in range(1, 8)]
        found = self.circuit.projections
        take = lambda kind, layers: [np.array(found[f"{kind}_{name}"].w[0]) for name in layers]  # noqa: E731
        return take("W", [*names, "y"]), take("b", [*names, "y"]), take("V", names[:-1]), take("c", names[:-1])


class Torch:
    """The same in PyTorch: signals that travel side by side are rows of one matrix, results are written in place."""

    def __init__(self, weights, sigma):
        import torch

        torch.manual_seed(1)
        torch.set_num_threads(numba.get_num_threads())
        torch.set_grad_enabled(False)
        self.torch, self.sigma = torch, sigma
        self.W, self.b, self.V, self.c = ([torch.from_numpy(w.copy()) for w in each] for each in weights)
        images, labels = drawn()
        self.images, self.targets = torch.from_numpy(images), torch.eye(10)[torch.from_numpy(labels)]
        self.up = [torch.zeros(2 * LANES, n) for n in SIZES[1:]]  # activity; with noise in the layer below
        self.noisy = [torch.zeros(2 * LANES, n) for n in SIZES[1:-1]]  # activity; activity with noise
        self.down = [torch.zeros(3 * LANES, n) for n in SIZES[1:-1]]  # activity, target, f: what goes back
        self.back = [torch.zeros(3 * LANES, n) for n in SIZES[1:-1]]  # reconstructions of the three
        self.order = torch.Generator().manual_seed(2)
        self.run(2)

    def present(self, chosen):
        """Show a batch and learn."""
        torch, n = self.torch, LANES
        image, wanted = self.images[chosen], self.targets[chosen]
        below, last = image, len(self.W) - 1
        for k, (w, b) in enumerate(zip(self.W, self.b, strict=True)):
            field = self.up[k] if 0 < k < last else self.up[k][:n]
            torch.addmm(b, below, w, out=field)
            if k == last:
                y = torch.softmax(field, 1)
                break
            h = field.tanh_()[:n]
            if k < last - 1:
                self.noisy[k][:n] = h
                torch.randn(n, h.shape[1], out=self.noisy[k][n:]).mul_(self.sigma).add_(h)
            below = self.noisy[k] if k < last - 1 else h
        error = wanted - y
        told = torch.addmm(self.up[last - 1][:n], error, self.W[last].T, alpha=ALPHA)
        learn = [(last, self.up[last - 1][:n], error)]
        for k in range(last - 1, -1, -1):
            h = self.up[k][:n]
            learn.append((k, self.up[k - 1][:n] if k else image, (told - h) * (1 - h * h)))
            if k == 0:
                break
            signals, found = self.down[k], self.back[k - 1]
            signals[:n], signals[n : 2 * n], signals[2 * n :] = h, told, self.up[k][n:]
            torch.addmm(self.c[k - 1], signals, self.V[k - 1], out=found)
            found.tanh_()
            lower, q = self.up[k - 1][:n], found[2 * n :]
            told = lower - found[:n] + found[n : 2 * n]
            miss = (lower - q) * (1 - q * q)
            self.V[k - 1].addmm_(signals[2 * n :].T, miss, alpha=ETA_INVERSE / n)
            self.c[k - 1].add_(miss.sum(0), alpha=ETA_INVERSE / n)
        for k, sent, m in learn:
            self.W[k].addmm_(sent.T, m, alpha=ETA / n)
            self.b[k].add_(m.sum(0), alpha=ETA / n)

    def run(self, batches):
        """Return the time of a run."""
        began = clock()
        for _ in range(batches):
            self.present(self.torch.randint(0, KNOWN, (LANES,), generator=self.order))
        return clock() - began


def difference():
    """Show both a batch from the same weights, without noise; return how far apart they learn, of the change."""
    ours = Ours(0.0)
    start = ours.weights()
    peer = Torch(start, 0.0)
    peer.W, peer.b, peer.V, peer.c = ([peer.torch.from_numpy(w.copy()) for w in each] for each in start)
    ours.run(1)
    peer.present(peer.torch.from_numpy(ours.circuit.presentation.examples[0, 0].copy()))
    pairs = zip(sum(start, []), sum(ours.weights(), []), [*peer.W, *peer.b, *peer.V, *peer.c], strict=True)
    return max(np.linalg.norm(a - b.numpy()) / np.linalg.norm(a - before) for before, a, b in pairs)


UNIT = NeuronType(
    "r : 1\nv : 1\nm : 1\nu : 1"
)  # what it sends; what arrives from below; error; what arrives from above


class OursLocal:
    """One layer of local receptive fields: W up, V back, both learn; what cells send changes in every step."""

    def __init__(self, window):
        steps = Clock(1 * ms)
        shapes = dict(x=np.prod(window.image), y=np.prod(window.output))
        self.x, self.y = (Population(int(n), UNIT, order=k, lanes=LANES, clock=steps, name=f"{name}*")
                          for k, (name, n) in enumerate(shapes.items()))  # fmt: skip
        both = dict(weights=Uniform(0.1), namespace={"eta": 1e-4}, rule="w += eta * r_pre * m_post")
        self.W = Projection(self.x, self.y, "v_post = w * r_pre", connectivity=window, seed=1, **both)
        self.V = Projection(self.y, self.x, "u_post = w * r_pre", connectivity=Backward(window), seed=2, **both)
        draw = np.random.default_rng(1)
        self.given = {
            (p, name): draw.normal(size=p.shape).astype(np.float32) for p in (self.x, self.y) for name in "rm"
        }
        for (population, name), values in self.given.items():
            population.view(name)[...] = values
        self.shown = Presentation(1 * ms, clock=steps)
        self.shown.show(np.zeros((1, LANES), int))
        self.network = Network(self.x, self.y, self.W, self.V, self.shown)
        self.run(2)

    def run(self, batches):
        """Return the time of a run."""
        self.shown.show(np.zeros((batches, LANES), int))
        began = clock()
        self.network.run(self.shown.remaining, namespace={})
        return clock() - began


class TorchLocal:
    """The same in PyTorch: positions first, windows copied, one batched product over positions, and added up again.

    Of the ways tried the quickest: torch's own unfold and fold, and their permutations, take more than the products.
    """

    def __init__(self, window, ours):
        import torch

        torch.set_num_threads(numba.get_num_threads())
        torch.set_grad_enabled(False)
        self.torch, self.window = torch, window
        (height, width, depth), (top, left), step = window.image, window.over, window.stride
        rows, columns, channels = window.output
        self.shape = max((rows - 1) * step + window.kernel[0], top + height), max(
            (columns - 1) * step + window.kernel[1], left + width), LANES, depth  # fmt: skip
        self.inside = slice(top, top + height), slice(left, left + width)
        self.r_x, self.m_x, self.whole = (torch.zeros(self.shape) for _ in range(3))
        for here, name in ((self.r_x, "r"), (self.m_x, "m")):
            image = torch.from_numpy(ours.given[ours.x, name][0].reshape(LANES, height, width, depth))
            here[self.inside] = image.permute(1, 2, 0, 3)
        windows = (torch.from_numpy(ours.given[ours.y, name][0].reshape(LANES, -1, channels)) for name in "rm")
        self.r_y, self.m_y = (each.permute(1, 0, 2).contiguous() for each in windows)
        taps = np.prod(window.kernel) * depth
        self.W, self.V = torch.zeros(rows * columns, taps, channels), torch.zeros(rows * columns, channels, taps)
        self.seen = torch.empty(rows, columns, LANES, *window.kernel, depth)
        self.sent, self.v = torch.empty(len(self.W), LANES, taps), torch.empty(len(self.W), LANES, channels)
        self.run(2)

    def windows(self, image):
        """Return the windows of images, (positions, lanes, taps)."""
        a, b, c, d = image.stride()
        step = self.window.stride
        self.seen.copy_(image.as_strided(self.seen.shape, (step * a, step * b, c, a, b, d)))
        return self.seen.view(len(self.W), LANES, -1)

    def fold(self, sent):
        """Add up what windows send, (positions, lanes, taps), where they lie."""
        (rows, columns, _), step, each = self.window.output, self.window.stride, sent.view(self.seen.shape)
        self.whole.zero_()
        for y, x in np.ndindex(*self.window.kernel):
            self.whole[y : y + step * rows : step, x : x + step * columns : step] += each[:, :, :, y, x]
        return self.whole[self.inside]

    def run(self, batches):
        """Return the time of a run."""
        torch = self.torch
        began = clock()
        for _ in range(batches):
            seen = self.windows(self.r_x)
            torch.bmm(seen, self.W, out=self.v)
            self.W.baddbmm_(seen.transpose(1, 2), self.m_y, alpha=1e-4)
            torch.bmm(self.r_y, self.V, out=self.sent)
            self.u = self.fold(self.sent)
            self.V.baddbmm_(self.r_y.transpose(1, 2), self.windows(self.m_x), alpha=1e-4)
        return clock() - began


def local_difference(ours, peer):
    """Return how far apart what both deliver and learn in a step is, of what it is, from the same weights."""
    channels, sides = peer.window.channels, ((ours.W, ours.W.j), (ours.V, ours.V.i))

    def take(projection, units):
        full = np.zeros(peer.W.shape, np.float32)
        full[units // channels, projection.layout.tap // channels, units % channels] = projection.copy_of_weights()[0]
        return full

    before = [take(*side) for side in sides]
    peer.W.copy_(peer.torch.from_numpy(before[0]))
    peer.V.copy_(peer.torch.from_numpy(before[1]).transpose(1, 2))
    ours.run(1), peer.run(1)
    after = zip(before, (take(*side) for side in sides), (peer.W, peer.V.transpose(1, 2)), strict=True)
    pairs = [((a - w.numpy())[start != 0], a - start) for start, a, w in after]
    v, u = peer.v.permute(1, 0, 2).reshape(LANES, -1), peer.u.permute(2, 0, 1, 3).reshape(LANES, -1)
    pairs += [(a - b.numpy(), a) for a, b in ((ours.y.view("v")[0], v), (ours.x.view("u")[0], u))]
    return max(np.linalg.norm(apart) / np.linalg.norm(change) for apart, change in pairs)


def cases(names):
    """Yield (name, images of an epoch, connections, how to make ours, how to make PyTorch's, difference)."""
    if "fc" in names:
        count = sum(n * m for n, m in zip(SIZES[:-1], SIZES[1:], strict=True)) + 6 * 240**2
        peer = lambda ours: Torch(ours.weights(), SIGMA)  # noqa: E731
        yield "DTP 784-240x7-10", 60_000, count, lambda: Ours(SIGMA), peer, lambda *both: difference()
    for name, image, examples, layers in (
        ("local", (28, 28, 1), 60_000, MNIST_LOCAL), ("cifar", (32, 32, 3), 50_000, CIFAR_LOCAL),
    ):  # fmt: skip
        for k, layer in enumerate(layers if name in names else (), start=1):
            window = Local(image, layer.kernel, layer.channels, layer.stride, layer.padding)
            image, shape = window.output, "x".join(map(str, window.image))
            label = f"{name} {k}: {shape}, {layer.kernel}x{layer.kernel}, {layer.channels}"
            count = 2 * int((window.windows >= 0).sum()) * layer.channels
            make = lambda window=window: OursLocal(window)  # noqa: E731
            yield label, examples, count, make, lambda ours, window=window: TorchLocal(window, ours), local_difference


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few batches, to see that the script works")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default="fc,local,cifar")
    chosen = parser.parse_args()
    batches, rounds = (3, 2) if chosen.quick else (chosen.batches, chosen.rounds)
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    head = f"{'ms a batch':>12}{'quartiles':>16}{'s an epoch':>12}{'ns':>8}{'PyTorch / ours':>16}"
    print(f"\n{f'batches of {LANES}':34}{head}")
    for name, examples, connections, make, make_peer, differ in cases(chosen.networks.split(",")):
        contestants = {"": make()}
        try:
            contestants[", PyTorch"] = make_peer(contestants[""])
            apart = differ(*contestants.values())
            print(f"{name}: from the same weights both give the same, but for {apart:.1g} of the change")
        except ImportError:
            print("PyTorch is not installed: pip install .[torch]")
        times = {c: [] for c in contestants}
        for _ in range(rounds):
            for c, contestant in contestants.items():
                times[c].append(timed(contestant.run, batches))
        for c, found in times.items():
            low, middle, high = 1e3 * np.percentile(found, [25, 50, 75])
            epoch, each = middle * examples / LANES / 1e3, 1e6 * middle / LANES / connections
            ratio = f"{np.median(np.array(times[', PyTorch']) / found):.2f}" if not c and len(times) > 1 else ""
            quartiles = f"{low:.2f} to {high:.2f}"
            print(f"{name + c:34}{middle:12.2f}{quartiles:>16}{epoch:12.1f}{each:8.3f}{ratio:>16}")


if __name__ == "__main__":
    main()
