"""Local and CIFAR networks of Bartunov et al. 2018: published sizes, images changed in training, ImageNet's cost."""

import re
from pathlib import Path

import numpy as np
import pytest

from neurosim import ParameterError
from neurosim.data import DataSet
from neurosim.training import train
from neurosim_models.bartunov_2018 import cifar, imagenet, local, network
from neurosim_models.bartunov_2018.network import Full, LocalLayer

DOCS = Path(__file__).parents[2] / "docs"


def pictures(image, count=8):
    """Return images, of one random pattern and its shifted copies, that differ between the splits."""
    draw = np.random.default_rng(0)
    images = draw.uniform(0.1, 1, (2, count, int(np.prod(image))))
    labels = np.arange(count) % 2
    return DataSet("drawn", images[0], labels, images[1], labels, 2, image, "drawn")


def values_of(experiment, condition, **more):
    values = experiment.resolve(next(iter(experiment.presets)), {"lanes": "4", "replicas": "2", "epochs": "1"})
    return values | experiment.conditions[condition] | more


# Sizes


def test_networks_have_the_published_layers():
    """Heights, widths and channels by hand: stride 2 halves, valid 3x3 takes 2 off."""
    shapes = [each.shape for each in imagenet.count((28, 28, 1), local.LAYERS, 10)]
    assert shapes == [(14, 14, 32), (14, 14, 16), (14, 14, 16), (12, 12, 10), (10,)]
    shapes = [each.shape for each in imagenet.count((32, 32, 3), cifar.LOCAL_LAYERS, 10)]
    assert shapes == [(16, 16, 32), (8, 8, 32), (8, 8, 16), (4, 4, 16), (4, 4, 10), (10,)]
    shapes = [each.shape for each in imagenet.count()]
    assert [shape[0] for shape in shapes] == [56, 28, 28, 14, 14, 7, 7, 1000]


def test_connections_of_a_layer_counted_by_hand():
    """3x3 windows, stride 1, on 5 x 5 pixels of 2 channels: (3 x 3 + 4 x 3 x 2 + 4 x 4) x ... at the edges cut."""
    seen = sum(min(y + 2, 5) - max(y - 1, 0) for y in range(5)) ** 2  # pixels of all windows: rows times columns
    first, output = imagenet.count((5, 5, 2), [LocalLayer(3, 3)], 7)
    assert first.up == seen * 2 * 3 and output.up == 5 * 5 * 3 * 7


@pytest.mark.parametrize("algorithm", ["dtp", "bp"])
def test_counts_are_those_of_the_networks_that_are_built(algorithm):
    """Weights, and how often a batch uses each: lines of transmits and rules of all that leads along W and V."""
    layers = LocalLayer(4, 3, 2), LocalLayer(3, 3), Full(6)
    values = values_of(cifar.CIFAR_LOCAL, {"dtp": "dtp_parallel", "bp": "bp"}[algorithm])
    built = network.Layers(values, pictures((6, 6, 3)), 1, layers, np.float32, False)
    circuit, counts = built.circuit(), imagenet.count((6, 6, 3), layers, 2, algorithm)
    size = {name: p.layout.synapses(1) for name, p in circuit.projections.items()}
    names = ["h1", "h2", "h3", "y"]
    assert [size[f"W_{name}"] for name in names] == [each.up for each in counts]
    assert [size.get(f"V_{name}", 0) for name in names[:-1]] == [each.back for each in counts[1:]]
    used = dict.fromkeys(size, 0)
    for projection in circuit.network.objects:
        origin = getattr(getattr(projection, "connectivity", None), "projection", projection).name
        if origin in used:
            used[origin] += len(projection.transmissions) + (projection.name in size)
    assert [used[f"W_{name}"] for name in names] == [each.products for each in counts]
    assert [used.get(f"V_{name}", 0) for name in names[:-1]] == [each.products_back for each in counts[1:]]


# Images that are changed


@pytest.mark.parametrize("augment", [cifar.NONE, cifar.CROPS])
def test_images_are_changed_while_the_network_learns_and_never_in_tests(augment):
    values = values_of(cifar.CIFAR_FC, "dtp_parallel", augment=augment, pad=2, hidden=(6, 5))
    data = pictures((5, 4, 3))
    circuit = cifar.CIFAR_FC.build(values, data, 3)
    shown = {"train": [], "test": []}

    def tell(phase, epoch, readout):
        network = circuit if phase == "train" else circuit.tester
        shown[phase].append(network.populations["x"].view("h").reshape(-1, 60).copy())

    list(train(circuit, data, 3, 3, tell))
    train_images, test_images = (np.concatenate(shown[phase]) for phase in ("train", "test"))
    known = data.train_images.astype(np.float32)
    as_they_are = (train_images[:, None] == known).all(axis=2).any(axis=1)
    assert as_they_are.all() if augment == cifar.NONE else as_they_are.mean() < 0.2  # 1 of 50 is neither
    assert np.isin(train_images, np.append(known, 0)).all()
    known = data.test_images.astype(np.float32)
    assert (test_images[:, None] == known).all(axis=2).any(axis=1).all()


def test_a_border_as_wide_as_the_image_is_refused_with_its_name():
    values = values_of(cifar.CIFAR_FC, "bp_augmented", pad=4, hidden=(6,))
    with pytest.raises(ParameterError, match="CropsAndFlips.pad.*0 to 3"):
        cifar.CIFAR_FC.build(values, pictures((5, 4, 3)), 1)


# ImageNet


def test_what_the_page_on_imagenet_says_follows_from_its_constants():
    """Every number in the page's tables, computed anew."""
    text = (DOCS / "imagenet.md").read_text()
    costs = {name: float(value) for name, value in re.findall(r"\| (ours|PyTorch)[^|]*\| ([\d.]+) ns", text)}
    counts = imagenet.count()
    up, back, work = imagenet.totals(counts)
    bp = imagenet.totals(imagenet.count(algorithm="bp"))[2]
    for words in (
        f"{up / 1e6:.0f} million", f"{back / 1e6:.0f} million", f"{2 * work / 1e9:.2f} GFLOP",
        f"{2 * bp / 1e9:.2f} GFLOP", f"{imagenet.memory(counts, False) / 1e9:.1f} GB",
        f"{imagenet.memory(counts, True) / 1e9:.1f} GB",
    ):  # fmt: skip
        assert words in text, words
    assert len(costs) == 2
    for name, cost in costs.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
        assert f"| {imagenet.days(counts, cost):.2f} | {imagenet.days(counts, cost, imagenet.PASSES):.0f} |" in row
