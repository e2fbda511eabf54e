"""Krotov & Hopfield 2019, the fast algorithm: the published update, norms, the top layer and its gradients."""

import inspect

import numpy as np
import pytest

from neurosim import ParameterError, training
from neurosim.checkpoint import network_state, set_network_state
from neurosim.data import DataSet
from neurosim_models.krotov_2019 import fast, top
from neurosim_models.krotov_2019.fields import Encoder
from neurosim_models.krotov_2019.mnist import MNIST
from neurosim_models.krotov_2019.power import POWER, POWERS

SMALL = {"hidden": "12", "lanes": "10", "epochs": "4", "unsupervised": "0.5", "replicas": "2"}


@pytest.fixture(scope="module")
def images():
    """Forty and fifteen images of 6 x 6 pixels, some dark, of four classes."""
    draw = np.random.default_rng(3)
    x = draw.random((55, 36)) * (draw.random((55, 36)) < 0.5)
    labels = np.arange(55) % 4
    return DataSet(
        "tiny", x[:40].astype(np.float32), labels[:40], x[40:].astype(np.float32), labels[40:], 4, (6, 6), ""
    )


@pytest.fixture
def circuit(images):
    """Return a builder of small circuits: (circuit, values)."""

    def make(experiment=MNIST, seed=1, **settings):
        settings = SMALL | settings
        values = experiment.resolve("mnist", settings)
        values |= {"algorithm": settings.get("algorithm", fast.COMPETING)} if experiment is MNIST else {}
        return experiment.build(values, images, seed), values

    return make


def shown(circuit, images, order, epoch):
    """Show examples, (replicas, presentations x lanes), as an epoch does."""
    circuit.schedule(epoch)
    circuit.set_training(True)
    training.prepare(circuit, images.train_images, images.train_labels, order)
    training.run_presentations(circuit)


# Features


def published(w, v, p, k, delta, epsilon):
    """One batch of the authors' notebook: w (units, inputs), v (batch, inputs)."""
    currents = np.sign(w) * np.abs(w) ** (p - 1) @ v.T
    order = np.argsort(currents, axis=0)
    g = np.zeros_like(currents)
    batch = np.arange(len(v))
    g[order[-1], batch] = 1
    g[order[-k], batch] = -delta
    change = g @ v - np.sum(g * currents, axis=1)[:, None] * w
    return w + epsilon * change / np.abs(change).max()


@pytest.mark.parametrize(("p", "k"), [(2, 2), (3, 7), (4, 2), (2.5, 3), (1, 2)])
def test_a_batch_changes_the_weights_as_the_published_program_does(p, k, circuit, images):
    """Two replicas, two batches, every one other images; in single precision."""
    made, values = circuit(p=str(p), k=str(k), hidden="12")
    w = made.projections["W"].w.astype(float)
    order = np.random.default_rng(0).permutation(40)[:40].reshape(2, 20)
    shown(made, images, order, 1)
    for r in range(2):
        mine = w[r].T
        for batch in order[r].reshape(2, 10):
            mine = published(mine, images.train_images[batch].astype(float), p, k, values["delta"], values["epsilon0"])
        assert np.allclose(made.projections["W"].w[r], mine.T, rtol=0, atol=3e-6)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_norms_of_units_that_win_go_to_one(p, circuit, images):
    """With g >= 0 the sum of |W|^p goes to R^p = 1, from above (first replica) and from below (second)."""
    made, _ = circuit(p=str(p), delta="0", unsupervised="1", lanes="40", hidden="4")
    w = made.projections["W"]
    w.w[1] *= 0.1
    start = fast.p_norms(w, p)
    assert start[0].min() > 5 and start[1].max() < 0.9
    for size in (0.05, 0.01, 0.002):
        before = w.w.copy()
        made.schedule(1)
        w.largest_change = size
        training.prepare(made, images.train_images, images.train_labels, np.tile(np.arange(40), (2, 200)))
        training.run_presentations(made)
    won = (w.w != before).any(axis=1)
    norms = fast.p_norms(w, p)
    assert won.any(axis=1).all() and np.allclose(norms[won], 1, atol=0.02), norms


def test_powers_of_weights_are_multiplications(circuit):
    """No power function in the kernel for a whole p; one for p = 2.5."""
    for p, has in (("4", False), ("3", False), ("2", False), ("2.5", True)):
        part = circuit(p=p)[0].projections["W"].transmission.parts[0]
        assert ("**" in inspect.getsource(part.kernel.serial.py_func)) == has


def test_each_part_learns_in_its_own_epochs_and_the_largest_change_falls(circuit, images):
    made, values = circuit(epochs="6")
    w, s = made.projections["W"], made.projections["S"]
    sizes, kept = [], []
    for epoch in training.train(made, images, 6, 1):
        sizes.append(w.largest_change)
        kept.append((w.w.copy(), s.w.copy()))
        assert epoch.measures["p_norms"].shape == (2, 5) and epoch.measures["border"].shape == (2,)
    moved = [[bool((a[i] != b[i]).any()) for i in (0, 1)] for a, b in zip(kept, kept[1:], strict=False)]
    assert moved == [[True, False]] * 3 + [[False, True]] * 3
    assert np.allclose(sizes[1:4], values["epsilon0"] * np.array([1, 2 / 3, 1 / 3]))


def test_conditions_start_from_the_same_weights(circuit):
    assert np.array_equal(circuit(p="2")[0].projections["W"].w, circuit(p="4")[0].projections["W"].w)


def test_the_border_of_an_image():
    assert fast.at_border((28, 28)).sum() == 28**2 - 24**2
    assert fast.at_border((8, 8, 3)).sum() == 3 * (64 - 36)


# The top layer


def test_fields_are_those_of_frozen_weights_in_units_of_the_mean_largest(circuit, images):
    """More images than lanes, the last group incomplete; the scale is that of the training images for all others."""
    made, _ = circuit()
    w = made.projections["W"].w.astype(float)
    many = np.resize(images.test_images, (33, 36))
    encoder = Encoder(made.projections["W"], images.train_images[:7], name="another")
    v = np.einsum("rio,li->rlo", w, images.train_images[:7])
    scale = v.max(axis=2).mean(axis=1)[:, None, None]
    assert np.allclose(encoder.fields(many), np.einsum("rio,li->rlo", w, many) / scale, atol=1e-5)
    assert encoder.fields(images.train_images[:7]).max(axis=2).mean() == pytest.approx(1, abs=0.5)
    kept = encoder.fields(many)
    assert encoder.fields(many) is kept
    encoder.forget()
    assert encoder.fields(many) is not kept


def loss(s, features, targets, beta, m):
    return (np.abs(np.tanh(beta * features @ s) - targets) ** m).sum()


def slope(function, array, places, h=1e-5):
    """Return the slopes of a function of an array at some places, by central differences."""
    found = []
    for place in places:
        up, down = array.copy(), array.copy()
        up[place] += h
        down[place] -= h
        found.append((function(up) - function(down)) / (2 * h))
    return np.array(found)


def test_the_top_layer_goes_down_the_slope_of_its_loss_by_adam(circuit, images):
    """G is minus the slope, by finite differences; four steps are Kingma & Ba's in NumPy."""
    made, values = circuit(unsupervised="0", epochs="1", m="3", beta="4")
    w, s = made.projections["W"].w[1].astype(float), made.projections["S"]
    assert not s.w.any()
    s.w[1] = np.random.default_rng(1).normal(size=s.w[1].shape)
    mine = s.w[1].astype(float)
    before = mine.copy()
    order = np.stack([np.arange(40), np.arange(40)[::-1]])
    fields = images.train_images @ w
    features = np.maximum(fields / fields.max(axis=1).mean(), 0) ** values["n"]
    gain = 4 / features.sum(axis=1).mean()
    targets = 2 * np.eye(4)[images.train_labels] - 1
    first, second, places = 0, 0, [(1, 0), (5, 2), (11, 3)]
    for k, batch in enumerate(order[1].reshape(4, 10), start=1):
        c = np.tanh(gain * features[batch] @ mine)
        error = c - targets[batch]
        gradient = features[batch].T @ (3 * error**2 * np.sign(error) * gain * (1 - c**2))
        told = slope(lambda array, b=batch: loss(array, features[b], targets[b], gain, 3), mine, places)
        assert np.abs(told).max() > 0
        assert np.allclose([gradient[place] for place in places], told, rtol=1e-5, atol=1e-8)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mine -= values["eta"] * np.sqrt(1 - 0.999**k) / (1 - 0.9**k) * first / (np.sqrt(second) + 1e-8)
    shown(made, images, order, 1)
    assert np.allclose(s.view("G")[1], -gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())
    assert np.allclose(s.w[1] - before, mine - before, rtol=0, atol=2e-3 * values["eta"])


@pytest.mark.parametrize("n", [1, 2])
def test_end_to_end_the_features_go_down_the_slope_as_well(n, circuit, images):
    made, values = circuit(algorithm=fast.BACKPROP, n=str(n), m="4", beta="0.5")
    made.populations["h"].view("v")[...] = 0
    w, s = (made.projections[name].w[0].astype(float) for name in ("W", "S"))
    batch = np.arange(10)
    v, targets = images.train_images[batch].astype(float), 2 * np.eye(4)[images.train_labels[batch]] - 1
    shown(made, images, np.stack([batch, batch]), 1)
    for name, at, function in (
        ("W", w, lambda array: loss(s, np.maximum(v @ array, 0) ** n, targets, 0.5, 4)),
        ("S", s, lambda array: loss(array, np.maximum(v @ w, 0) ** n, targets, 0.5, 4)),
    ):
        places = list(zip(*np.nonzero(np.abs(at) > np.quantile(np.abs(at), 0.9)), strict=True))
        told = slope(function, at, places, 1e-4)
        mine = np.array([made.projections[name].view("G")[0][place] for place in places])
        assert np.abs(told).max() > 0 and np.allclose(-mine, told, rtol=1e-3, atol=1e-4 * np.abs(told).max())


def test_adam_s_step_falls_as_published_however_long_it_learns():
    mnist = {"eta": 1e-3, "decline": "mnist"}
    steps = [top.step_of_epoch(mnist, epoch, 300) for epoch in range(1, 301)]
    assert steps == pytest.approx([1e-3] * 100 + [5e-4] * 50 + [1e-4] * 50 + [5e-5] * 50 + [1e-5] * 50)
    cifar = {"eta": 4e-3, "decline": "cifar"}
    steps = [top.step_of_epoch(cifar, epoch, 500) for epoch in range(1, 501)]
    tail = [x for eta in (2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5) for x in [eta] * 50]
    assert steps == pytest.approx([4e-3] * 100 + tail)
    short = [top.step_of_epoch(mnist, epoch, 6) for epoch in range(1, 7)]
    assert short == pytest.approx([1e-3, 1e-3, 5e-4, 1e-4, 5e-5, 1e-5])


def test_several_powers_side_by_side_learn_what_each_learns_alone(circuit, images):
    """The top layer of power n is that of an experiment with this n and its beta: bit by bit, and so are its errors."""
    several, _ = circuit(POWER)
    last = [epoch for epoch in training.train(several, images, 4, 1)][-1]
    for n, name in (("4.5", "S_4_5"), ("2", "S_2")):
        alone, _ = circuit(n=n, beta=str(POWERS[float(n)]))
        own = [epoch for epoch in training.train(alone, images, 4, 1)][-1]
        assert np.array_equal(several.projections[name].w, alone.projections["S"].w)
        for split in ("train", "test"):
            assert np.array_equal(last.measures[f"{split}_error_{name}"], getattr(own, f"{split}_error"))


def test_a_run_that_goes_on_within_an_epoch_has_the_features_of_the_weights_that_it_goes_on_with(circuit, images):
    """The state is set after images are fed, as a resumed run does: features are computed when the run starts."""
    first, _ = circuit()
    for epoch in (1, 2):
        shown(first, images, np.tile(np.arange(40), (2, 1)), epoch)
    first.schedule(3)
    state, (second, _) = network_state(first.network), circuit(seed=2)
    assert not np.array_equal(first.projections["W"].w, second.projections["W"].w)
    for each in (first, second):
        each.schedule(3)
        each.set_training(True)
        training.prepare(each, images.train_images, images.train_labels, np.tile(np.arange(20), (2, 1)))
        set_network_state(each.network, state | {"presentation*/next": np.array(0)})
        training.run_presentations(each)
    assert np.array_equal(first.projections["S"].w, second.projections["S"].w) and first.projections["S"].w.any()


# What is refused


def test_settings_that_make_no_network_are_refused(circuit, images):
    with pytest.raises(ParameterError, match="p: must be >= 1, got 0.5"):
        circuit(p="0.5")
    with pytest.raises(ParameterError, match=r"competing units.k: a whole number from 2.* to 12.* got 13"):
        circuit(k="13")
    with pytest.raises(ParameterError, match="unsupervised: must be >= 0 and <= 1, got 2"):
        circuit(unsupervised="2")


def test_an_image_that_is_all_zero_has_no_direction(images):
    """It is named, with what would be right; other images have length 1."""
    dark = images.train_images.copy()
    dark[[3, 5]] = 0
    assert np.allclose(np.linalg.norm(fast.unit_length(images.train_images, "here"), axis=1), 1)
    with pytest.raises(ParameterError, match="tiny, train split: image 3 is all zero .2 of 40 are.*inputs=pixels"):
        fast.Inputs(fast.UNIT_LENGTH, DataSet("tiny", dark, images.train_labels, dark[:3], np.arange(3), 4, (6, 6), ""))


def test_weights_start_from_a_standard_normal_distribution(circuit):
    """Appendix B; a distribution of other tails ends elsewhere. Bounds: five standard errors of 1e5 draws."""
    w = circuit(hidden="1400")[0].projections["W"].w.astype(float)
    errors = 5 / np.sqrt(w.size)
    assert abs(w.mean()) < errors and abs(w.std() - 1) < errors
    assert abs((w**4).mean() - 3) < np.sqrt(96) * errors
