"""The networks of Amit 2018 learn by the gradient, or by updated and fixed random feedback: against slow NumPy."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from neurosim import ParameterError, Projection
from neurosim.analysis import angle
from neurosim.connectivity import Transposed
from neurosim.data import DataSet
from neurosim.runs import Run
from neurosim.simulate import resume, simulate
from neurosim.training import evaluate, train
from neurosim_models.amit_2018 import layers
from neurosim_models.amit_2018.cifar import SIMPNET
from neurosim_models.amit_2018.layers import (
    AFTER,
    BACKPROP,
    FIRST,
    FIXED,
    HINGE,
    PRINTED,
    SLOPED,
    SOFTMAX,
    UNTIED,
    UPDATED,
    Conv,
    Full,
    Pool,
    Sum,
)

ETA, CLASSES, IMAGE = 0.1, 3, (6, 6, 3)
ALGORITHMS = (BACKPROP, UPDATED, FIXED)
FLAT = (Full(9), Full(7))
SIMPLE = (Conv(4, 3), Pool(3, 2), Full(7))
SUMMED = (Conv(3, 3), Conv(3, 2), Sum(), Pool(2, 2), Conv(4, 3), Full(6))
ARCHITECTURES = {"full": FLAT, "pool": SIMPLE, "sum and pool": SUMMED}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def pictures(train=12, test=7, image=IMAGE, seed=0):
    """Random images of three classes in turn."""
    draw = np.random.default_rng(seed)
    images = [draw.uniform(size=(count, int(np.prod(image)))).astype(np.float32) for count in (train, test)]
    labels = [np.arange(count) % CLASSES for count in (train, test)]
    return DataSet("tiny", images[0], labels[0], images[1], labels[1], CLASSES, image, "drawn")


def network(architecture, algorithm=BACKPROP, data=None, seed=1, lanes=4, replicas=2, **more):
    """Return a circuit of these layers with wide weights, so that some units are beyond the borders."""
    values = {p.name: p.value for p in layers.parameters("", eta=ETA, source="")}
    values |= {"algorithm": algorithm, "lanes": lanes, "replicas": replicas, "scale": 1.5, "chain": PRINTED}
    assert set(more) <= {*values, "connections", "tied_epochs", "eta_tied", "frozen"}
    return layers.build(values | more, data or pictures(), seed, architecture)


def weights(circuit):
    return {name: p.copy_of_weights().astype(float) for name, p in circuit.projections.items()}


def step(circuit, data, first=0):
    """Show every lane of every replica another image while the network learns; return images, labels and changes."""
    before, shape = weights(circuit), (circuit.replicas, circuit.lanes)
    shown = (first + np.arange(np.prod(shape)).reshape(shape)) % len(data.train_labels)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show(shown[None])
    circuit.set_training(True)
    circuit.network.run(circuit.presentation.remaining, namespace={})
    after = weights(circuit)
    changes = {name: after[name] - before[name] for name in before}
    return before, changes, data.train_images[shown].astype(float), data.train_labels[shown]


# The reference: one replica, loops, double precision


class Reference:
    """A network of these layers in NumPy; ``kept`` holds factors of dropout by name."""

    def __init__(self, architecture, image=IMAGE, gain=1.0, margin=1.0, mu=1.0, loss=HINGE):
        self.gain, self.margin, self.mu, self.loss = gain, margin, mu / (CLASSES - 1), loss
        self.layers, count = [], {}
        for layer in architecture:
            letter = type(layer).__name__[0].lower()
            count[letter] = count.get(letter, 0) + 1
            image = {
                "f": lambda layer: None,
                "c": lambda layer, image=image: (*image[:2], layer.channels),
                "p": lambda layer, image=image: (*(-(-n // layer.stride) for n in image[:2]), image[2]),
                "s": lambda layer, image=image: image,
            }[letter](layer)
            self.layers.append((f"{letter}{count[letter]}", layer, image))
        self.layers.append(("y", Full(CLASSES), None))

    def windows(self, flat, image, size):
        """Return windows of an image, (lanes, positions, taps), and where their taps lie: -1 beyond the edge."""
        height, width, channels = image
        places = np.full((height, width, size, size, channels), -1)
        for y, x, dy, dx in np.ndindex(*places.shape[:4]):
            row, column = y + dy - (size - 1) // 2, x + dx - (size - 1) // 2
            if 0 <= row < height and 0 <= column < width:
                places[y, x, dy, dx] = (row * width + column) * channels + np.arange(channels)
        places = places.reshape(height * width, -1)
        return np.where(places >= 0, flat[:, places], 0), places

    def pools(self, image, layer):
        """Return, for each window and channel, the indices of its pixels."""
        height, width, channels = image
        reach = [max((-(-n // layer.stride) - 1) * layer.stride + layer.size - n, 0) // 2 for n in image[:2]]
        for y, x, c in np.ndindex(-(-height // layer.stride), -(-width // layer.stride), channels):
            rows, columns = (
                [k for k in range(at * layer.stride - over, at * layer.stride - over + layer.size) if 0 <= k < n]
                for at, over, n in ((y, reach[0], height), (x, reach[1], width))
            )
            yield [(row * width + column) * channels + c for row in rows for column in columns]

    def forward(self, w, x, kept=None):
        """Return fields and activities, from the input up."""
        fields, activities, below = [None], [x], IMAGE
        for name, layer, image in self.layers:
            a = activities[-1]
            if isinstance(layer, Full):
                h = a @ w[f"W_{name}"]
            elif isinstance(layer, Conv):
                kernel = w[f"W_{name}"].reshape(-1, layer.channels)
                h = (self.windows(a, below, layer.kernel)[0] @ kernel).reshape(len(a), -1)
            elif isinstance(layer, Pool):
                h = np.stack([a[:, pixels].max(axis=1) for pixels in self.pools(below, layer)], axis=1)
            else:
                h = a + activities[-2]
            r = np.clip(self.gain * h, -1, 1) if isinstance(layer, (Full, Conv)) else h
            fields.append(h)
            activities.append(r * (kept or {}).get(name, 1))
            below = image
        return fields, activities

    def lost(self, w, x, labels):
        """Return the loss, the mean over lanes."""
        h, shown = self.forward(w, x)[0][-1], np.eye(CLASSES, dtype=bool)[labels]
        if self.loss == SOFTMAX:
            return np.mean(np.log(np.exp(h).sum(axis=1)) - h[shown])
        missed = np.where(shown, np.maximum(0, self.margin - h), self.mu * np.maximum(0, self.margin + h))
        return missed.sum(axis=1).mean()

    def error(self, h, labels):
        """Return what the output sends back, equation 5."""
        shown = np.eye(CLASSES, dtype=bool)[labels]
        if self.loss == SOFTMAX:
            return shown - np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
        return np.where(shown, 1.0 * (h < self.margin), -self.mu * (h > -self.margin))

    def changes(self, w, x, labels, eta, algorithm, chain=PRINTED, learns=AFTER, kept=None):
        """Return the changes of all weights in a step, and the signals that came back."""
        (fields, activities), kept = self.forward(w, x, kept), kept or {}
        back = [np.zeros_like(a) for a in activities]
        back[-1], change = self.error(fields[-1], labels), {}
        for place in range(len(self.layers), 0, -1):
            name, layer, _ = self.layers[place - 1]
            below, a, d = self.layers[place - 2][2] if place > 1 else IMAGE, activities[place - 1], back[place]
            m = sent = d * kept.get(name, 1)
            if isinstance(layer, (Full, Conv)) and name != "y":
                m = m * self.gain * (np.abs(self.gain * fields[place]) < 1)
                sent = m if algorithm == BACKPROP or chain == SLOPED else sent
            if isinstance(layer, Sum):
                back[place - 1] += sent
                back[place - 2] += sent
            elif isinstance(layer, Pool):
                for k, pixels in enumerate(self.pools(below, layer)):
                    largest = a[:, pixels] >= a[:, pixels].max(axis=1, keepdims=True)
                    back[place - 1][:, pixels] += sent[:, k : k + 1] * largest
            elif isinstance(layer, Full):
                dw = change[f"W_{name}"] = eta / len(x) * a.T @ m
                if place > 1:
                    r = self.feedback(w, change, name, dw.T, algorithm, learns)
                    back[place - 1] += sent @ (w[f"W_{name}"].T if algorithm == BACKPROP else r)
            else:
                seen, places = self.windows(a, below, layer.kernel)
                signal = m.reshape(len(x), -1, layer.channels)
                shape = w[f"W_{name}"].shape
                dw = change[f"W_{name}"] = eta / len(x) * np.einsum("lpt,lpc->tc", seen, signal).reshape(shape)
                if place > 1:
                    r = self.feedback(w, change, name, dw, algorithm, learns)
                    r = (w[f"W_{name}"] if algorithm == BACKPROP else r).reshape(-1, layer.channels)
                    returned = sent.reshape(len(x), -1, layer.channels) @ r.T
                    for position, tap in np.argwhere(places >= 0):
                        back[place - 1][:, places[position, tap]] += returned[:, position, tap]
        return change, dict(zip([name for name, *_ in self.layers], back[1:], strict=True))

    def feedback(self, w, change, name, same, algorithm, learns):
        """Note how R changes, and return the R along which errors are carried."""
        if algorithm == BACKPROP:
            return None
        change[f"R_{name}"] = same * (algorithm == UPDATED)
        return w[f"R_{name}"] + (change[f"R_{name}"] if learns == FIRST else 0)

    def clear_of_kinks(self, w, x):
        """Say how far the nearest field is from a border, a margin, or another one as large in a pooling window."""
        fields, activities = self.forward(w, x)
        gaps = [
            np.abs(np.abs(self.gain * h) - 1).min()
            for (_, layer, _), h in zip(self.layers, fields[1:], strict=True)
            if isinstance(layer, (Full, Conv))
        ]
        if self.loss == HINGE:
            gaps.append(np.abs(np.abs(fields[-1]) - self.margin).min())
        for place, (_, layer, _) in enumerate(self.layers[1:], start=2):
            if isinstance(layer, Pool):
                for pixels in self.pools(self.layers[place - 2][2], layer):
                    ordered = np.sort(activities[place - 1][:, pixels], axis=1)
                    gap = ordered[:, -1] - ordered[:, -2]
                    gaps.append(gap[ordered[:, -1] < 1].min(initial=1))
        return min(gaps)


def of_replica(arrays, replica):
    return {name: array[replica].copy() for name, array in arrays.items()}


def same_changes(changes, expected, tolerance=2e-5):
    """Compare changes of weights, to a part of the largest of each projection."""
    assert changes.keys() == expected.keys()
    for name, values in expected.items():
        scale = np.abs(values).max()
        assert scale > 1e-4, f"{name} should learn"
        np.testing.assert_allclose(changes[name], values, rtol=0, atol=tolerance * scale + 3e-7, err_msg=name)


def kinkless(reference, architecture, algorithm, data, **more):
    """Return a network, and what a step in it gave, of the first seed whose fields keep away from kinks."""
    for seed in range(1, 60):
        circuit = network(architecture, algorithm, data, seed, **more)
        w, shape = weights(circuit), (circuit.replicas, circuit.lanes, -1)
        x = data.train_images[: np.prod(shape[:2])].astype(float).reshape(shape)
        if min(reference.clear_of_kinks(of_replica(w, r), x[r]) for r in range(len(x))) > 2e-5:
            return circuit, step(circuit, data)
    raise AssertionError("no seed")


# Backprop


OTHER = {"gain": 0.5, "mu": 0.6, "margin": 0.7}


@pytest.mark.parametrize(("loss", "more"), [(HINGE, {}), (HINGE, OTHER), (SOFTMAX, {})])
@every_architecture
def test_backprop_is_a_step_down_the_gradient(architecture, loss, more):
    """dW = -eta dL/dW: of all weights by the chain rule, and of some by central differences."""
    data, draw = pictures(), np.random.default_rng(3)
    reference = Reference(architecture, loss=loss, **more)
    circuit, (before, changes, x, labels) = kinkless(reference, architecture, BACKPROP, data, loss=loss, **more)
    beyond = 0
    for r in range(circuit.replicas):
        w = of_replica(before, r)
        expected, _ = reference.changes(w, x[r], labels[r], ETA, BACKPROP)
        same_changes(of_replica(changes, r), expected)
        for name, array in w.items():
            chosen = [tuple(index) for index in draw.integers(0, array.shape, (12, array.ndim))]
            for index in chosen:
                middle, ends = array[index], []
                for h in (1e-7, -1e-7):
                    array[index] = middle + h
                    ends.append(reference.lost(w, x[r], labels[r]))
                array[index] = middle
                slope = (ends[0] - ends[1]) / 2e-7
                assert expected[name][index] == pytest.approx(-ETA * slope, abs=1e-8), name
        fields = reference.forward(w, x[r])[0][1:-1]
        beyond += sum((np.abs(reference.gain * h) > 1).sum() for h in fields)
    assert beyond, "slopes of 0 should occur"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("loss", [HINGE, SOFTMAX])
def test_weights_are_transported_by_backprop_alone(algorithm, loss):
    circuit = network(SUMMED, algorithm, loss=loss)
    every = [o for each in (circuit, circuit.tester) for o in each.network.objects if isinstance(o, Projection)]
    backwards = {p.name for p in every if isinstance(p.connectivity, Transposed)}
    assert len(every) > 10
    assert backwards == ({"W_c2_T", "W_c3_T", "W_f1_T", "W_y_T"} if algorithm == BACKPROP else set())
    assert {name for name in circuit.projections if name[0] == "R"} == (
        set() if algorithm == BACKPROP else {"R_c2", "R_c3", "R_f1", "R_y"}
    )


# Updated and fixed random feedback


@pytest.mark.parametrize(
    ("chain", "learns", "loss"),
    [(PRINTED, AFTER, HINGE), (PRINTED, FIRST, HINGE), (SLOPED, AFTER, SOFTMAX), (SLOPED, FIRST, HINGE)],
)
@pytest.mark.parametrize("algorithm", [UPDATED, FIXED])
@pytest.mark.parametrize("architecture", [FLAT, SUMMED], ids=["full", "sum and pool"])
def test_random_feedback_is_its_formulas(architecture, algorithm, chain, learns, loss):
    """Equations 6 and 7 in two steps; where R learns first, errors come along R as it is then, and W as it was."""
    data, more = pictures(24), {"loss": loss, "gain": 0.5 if loss == SOFTMAX else 1.0}
    reference = Reference(architecture, **more)
    circuit = network(architecture, algorithm, data, eta=0.2, chain=chain, feedback_learns=learns, **more)
    for first in (0, 8):
        before, changes, x, labels = step(circuit, data, first)
        for r in range(circuit.replicas):
            w = of_replica(before, r)
            expected, returned = reference.changes(w, x[r], labels[r], 0.2, algorithm, chain, learns)
            found = of_replica(changes, r)
            for name in [name for name in found if name.startswith("R_") and algorithm == FIXED]:
                assert not found.pop(name).any() and not expected.pop(name).any()
            same_changes(found, expected, 1e-4)
            for name, d in returned.items():
                if name != "y":
                    arrived = circuit.populations[name].view("d")[r]
                    np.testing.assert_allclose(arrived, d, rtol=0, atol=1e-5 * np.abs(d).max() + 1e-7, err_msg=name)


@pytest.mark.parametrize("learns", [AFTER, FIRST])
def test_updated_feedback_and_forward_weights_undergo_the_same_changes(learns):
    """R - W^T stays as it was, but for rounding, through two epochs; the measured angle is that between them."""
    data = pictures(40)
    circuit = network(SUMMED, UPDATED, data, eta=0.3, feedback_learns=learns)
    before = weights(circuit)
    *_, epoch = train(circuit, data, 2, 1)
    after = weights(circuit)
    for name in ("c2", "c3", "f1", "y"):
        w, r = f"W_{name}", f"R_{name}"
        turn = (lambda a: np.swapaxes(a, 1, 2)) if name[0] in "fy" else (lambda a: a)
        assert np.abs(after[w] - before[w]).max() > 0.02
        np.testing.assert_allclose(after[r] - turn(after[w]), before[r] - turn(before[w]), rtol=0, atol=2e-6)
        flat = turn(after[w]).reshape(2, -1), after[r].reshape(2, -1)
        np.testing.assert_allclose(epoch.measures[f"angle_{name}"], angle(*flat), rtol=1e-4)


def test_fixed_feedback_stays_to_the_bit_while_all_else_learns():
    data = pictures(40)
    circuit = network(SUMMED, FIXED, data)
    before = weights(circuit)
    for _ in train(circuit, data, 1, 1):
        pass
    after = weights(circuit)
    assert {name for name in after if (after[name] == before[name]).all()} == {"R_c2", "R_c3", "R_f1", "R_y"}


def test_updated_feedback_that_is_sloped_and_starts_as_the_transposed_weights_is_backprop():
    """With slopes on the way back; without them, as printed, it is not."""
    data, found = pictures(), {}
    exact = network(SUMMED, BACKPROP, data)
    _, expected, _, _ = step(exact, data)
    for chain in (SLOPED, PRINTED):
        taught = network(SUMMED, UPDATED, data, chain=chain)
        for name in ("c2", "c3", "f1", "y"):
            w = taught.projections[f"W_{name}"].w
            taught.projections[f"R_{name}"].w[...] = w if name[0] == "c" else np.swapaxes(w, 1, 2)
        found[chain] = step(taught, data)[1]
    same_changes({name: found[SLOPED][name] for name in expected}, expected)
    assert not np.allclose(found[PRINTED]["W_c1"], expected["W_c1"], rtol=0.01)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_of_one_name_start_alike_whatever_the_algorithm_and_w_and_r_apart(algorithm):
    first, second = weights(network(SUMMED)), weights(network(SUMMED, algorithm, loss=SOFTMAX))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        assert (array[0] != array[1]).any(), "replicas are networks of their own"
    for name in [name for name in second if name.startswith("R_")]:
        w, r = second[f"W_{name[2:]}"], second[name]
        both = np.corrcoef(w.ravel(), (r if r.ndim == 5 else np.swapaxes(r, 1, 2)).ravel())[0, 1]
        assert abs(both) < 5 / np.sqrt(w.size)
        assert np.abs(r).max() == pytest.approx(np.abs(w).max(), rel=0.2), "of one width"
    for name, fans in {"W_c1": (27, 27), "W_c3": (27, 36), "W_f1": (36, 6), "W_y": (6, 3)}.items():
        width = 1.5 * np.sqrt(6 / sum(fans))
        assert 0.8 * width < np.abs(second[name]).max() <= width * (1 + 1e-6), name


# Half of the synapses


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_synapses_that_are_removed_stay_removed_and_those_of_the_output_are_all_there(algorithm):
    data = pictures(30)
    circuit = network((Conv(8, 3), Conv(8, 3), Pool(3, 2), Full(20), Full(15)), algorithm, data, density=0.5)
    there = {name: array != 0 for name, array in weights(circuit).items()}
    step(circuit, data)
    before = weights(circuit)
    for _ in train(circuit, data, 1, 1):
        pass
    after = weights(circuit)
    for name, mask in there.items():
        if name.endswith("_y"):
            assert mask.all()
            continue
        assert stats.binomtest(int(mask.sum()), mask.size, 0.5).pvalue > 1e-4
        assert not after[name][~mask].any()
        assert (after[name] == before[name]).all() == (name[0] == "R" and algorithm == FIXED)
        if name in circuit.tester.projections:
            np.testing.assert_array_equal(circuit.tester.projections[name].copy_of_weights(), after[name])
    for name in [name for name in there if name[0] == "R" and name != "R_y"]:
        r = there[name] if name[2] == "c" else np.swapaxes(there[name], 1, 2)
        both = int((there[f"W_{name[2:]}"] & r).sum())
        assert stats.binomtest(both, r.size, 0.25).pvalue > 1e-4, "W and R are drawn apart"


def test_step_with_half_of_the_synapses_is_that_of_the_reference_where_they_are():
    data = pictures()
    circuit = network(SIMPLE, UPDATED, data, density=0.5)
    before, changes, x, labels = step(circuit, data)
    for r in range(2):
        w = of_replica(before, r)
        expected, _ = Reference(SIMPLE).changes(w, x[r], labels[r], ETA, UPDATED)
        same_changes(of_replica(changes, r), {name: change * (w[name] != 0) for name, change in expected.items()})


@pytest.mark.parametrize("architecture", [(Full(1), Full(30)), (Conv(1, 3), Conv(30, 1))])
def test_unit_that_is_left_without_input_is_refused(architecture):
    """Each of the 30 units keeps its one input with probability 1/2."""
    name = "c2" if isinstance(architecture[0], Conv) else "f2"
    with pytest.raises(ParameterError, match=rf"density: \d+ units of {name} are left without input, the first is"):
        network(architecture, UPDATED, pictures(image=(6, 6, 1)) if name == "c2" else None, seed=3, density=0.5)


# Dropout


DROPPING = (Conv(6, 3), Pool(3, 2, drop=0.8), Full(40, drop=0.3))


def kept_of(circuit):
    return {name: circuit.populations[name].view("kept").copy() for name in ("p1", "f1")}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("chain", [PRINTED, SLOPED])
def test_step_with_dropout_is_that_of_the_network_of_the_units_that_take_part(algorithm, chain):
    data = pictures()
    circuit = network(DROPPING, algorithm, data, chain=chain)
    for first in (0, 5):
        before, changes, x, labels = step(circuit, data, first)
        kept = kept_of(circuit)
        for r in range(2):
            now = {name: k[r].astype(float) for name, k in kept.items()}
            expected, _ = Reference(DROPPING).changes(
                of_replica(before, r), x[r], labels[r], ETA, algorithm, chain, kept=now
            )
            found = of_replica(changes, r)
            if algorithm == FIXED:
                for name in ("R_f1", "R_y"):
                    assert not found.pop(name).any() and not expected.pop(name).any()
            same_changes(found, expected, 1e-4)


def test_units_that_drop_out_are_as_many_as_the_fraction_says_and_the_others_make_up_for_them(every_step):
    circuit = network(DROPPING, UPDATED, pictures(200), lanes=10)
    observer, seen = every_step(circuit.presentation.clock, lambda: kept_of(circuit))
    circuit.network.add(observer)
    for _ in train(circuit, pictures(200), 1, 1):
        pass
    assert len(seen) == 20
    for name, drop in (("p1", 0.8), ("f1", 0.3)):
        kept = np.stack([each[name] for each in seen])
        dropped = kept == 0
        np.testing.assert_allclose(kept[~dropped], 1 / (1 - drop), rtol=1e-6)
        assert stats.binomtest(int(dropped.sum()), dropped.size, drop).pvalue > 1e-4
        for axis in (0, 1, 2):
            one, other = dropped.take(0, axis), dropped.take(1, axis)
            both = int((one & other).sum())
            assert stats.binomtest(both, one.size, drop**2).pvalue > 1e-4, "steps, replicas and lanes draw apart"
        assert abs(kept.mean() - 1) < 5 * np.sqrt(drop / (1 - drop) / kept.size), "the mean activity stays"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_of_units_that_drop_out_do_not_change_in_that_step(algorithm):
    """In one lane: what leads to them, what leaves them, and the feedback beside both."""
    data = pictures()
    circuit = network(DROPPING, algorithm, data, lanes=1, eta=1.0)
    _, changes, _, _ = step(circuit, data)
    kept = kept_of(circuit)
    for r in range(2):
        into, out, pooled = changes["W_f1"][r], changes["W_y"][r], kept["p1"][r, 0] > 0
        there = kept["f1"][r, 0] > 0
        assert not into[:, ~there].any() and not out[~there].any() and not into[~pooled].any()
        assert into[pooled][:, there].any() and out[there].any()
        if algorithm == UPDATED:
            np.testing.assert_allclose(changes["R_f1"][r], into.T, atol=1e-6)
            assert not changes["R_f1"][r][~there].any() and not changes["R_y"][r][:, ~there].any()


def test_copy_in_which_tests_run_drops_nothing():
    data = pictures(20)
    circuit = network(DROPPING, UPDATED, data)
    for name in ("p1", "f1"):
        assert "kept" in circuit.populations[name].state_variables
        assert "kept" not in circuit.tester.populations[name].state_variables
    for _ in train(circuit, data, 1, 1):
        pass
    w = weights(circuit)
    answers = [np.argmax(Reference(DROPPING).forward(of_replica(w, r), data.test_images.astype(float))[0][-1], axis=1)
               for r in range(2)]  # fmt: skip
    np.testing.assert_allclose(
        circuit.tester.readout.error, [np.mean(each != data.test_labels) for each in answers], atol=1e-6
    )


# Untied convolutions


FREE = dict(connections=UNTIED, tied_epochs=1, eta_tied=0.02, frozen=0)
TWO = (Conv(4, 3), Conv(4, 3), Sum(), Pool(3, 2), Full(7))
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def pass_only(circuit, data):
    """Show images without learning; return fields of the output and the signals that came back."""
    circuit.set_training(False)
    step_shape = (1, circuit.replicas, circuit.lanes)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show(np.arange(np.prod(step_shape)).reshape(step_shape))
    circuit.network.run(circuit.presentation.remaining, namespace={})
    returned = {name: circuit.populations[name].view("d").copy() for name in ("c1", "c2", "p1", "f1")}
    return circuit.populations["y"].view("v").copy(), returned


@every_algorithm
def test_tied_passes_are_those_of_a_tied_network_with_the_smaller_step(algorithm):
    data = pictures(30)
    untied, tied = network(TWO, algorithm, data, **FREE), network(TWO, algorithm, data, eta=FREE["eta_tied"])
    before = weights(tied)
    (_, free), (_, whole) = (list(train(each, data, 1, 1)) for each in (untied, tied))
    after, expected = weights(untied), weights(tied)
    assert set(after) - set(expected) == {f"{name}_untied" for name in expected if name[2] == "c"}
    for name, values in expected.items():
        assert np.abs(values - before[name]).max() > 1e-3 or (name[0] == "R" and algorithm == FIXED)
        np.testing.assert_allclose(after[name], values, rtol=0, atol=2e-6, err_msg=name)
    np.testing.assert_array_equal(free.test_error, whole.test_error)
    assert all((free.measures[f"similarity_{name}"] == 1).all() for name in ("c1", "c2"))


@pytest.mark.parametrize(("algorithm", "frozen"), [(BACKPROP, 0), (UPDATED, 0), (FIXED, 1)])
def test_network_computes_the_same_when_its_convolutions_are_untied(algorithm, frozen):
    """Output and, but for the larger step, errors; all of that from the untied synapses: the tied ones are off."""
    data = pictures(30)
    circuit = network(TWO, algorithm, data, **FREE | {"frozen": frozen})
    for _ in train(circuit, data, 1, 1):
        pass
    fields, returned = pass_only(circuit, data)
    circuit.schedule(2)
    on = {name: p.active for name, p in circuit.projections.items()}
    assert on["W_c2_untied"] and not on["W_c2"] and on["W_c1"] == bool(frozen)
    fields_too, returned_too = pass_only(circuit, data)
    np.testing.assert_allclose(fields_too, fields, rtol=0, atol=1e-5)
    for name, d in returned.items():
        assert np.abs(d).max() > 1e-4
        np.testing.assert_allclose(returned_too[name] * 0.2, d, rtol=0, atol=1e-5 * np.abs(d).max(), err_msg=name)
    circuit.projections["W_c2_untied"].w[...] = 0
    assert not np.allclose(pass_only(circuit, data)[0], fields, atol=1e-3)


@every_algorithm
def test_changes_of_untied_weights_add_up_to_that_of_the_tied_one(algorithm):
    """In the first step after the switch, over positions; also of R."""
    data = pictures(30)
    tied, untied = network(TWO, algorithm, data), network(TWO, algorithm, data, **FREE | {"tied_epochs": 0})
    untied.schedule(1)
    _, expected, _, _ = step(tied, data)
    before, found, _, _ = step(untied, data)
    for name, change in expected.items():
        if name[2] != "c":
            np.testing.assert_allclose(found[name], change, rtol=0, atol=1e-6, err_msg=name)
            continue
        assert not found[name].any(), "the tied one rests"
        tap = untied.projections[f"{name}_untied"].layout.tap
        flat = change.reshape(2, -1)
        for r in range(2):
            summed = np.bincount(tap, found[f"{name}_untied"][r], minlength=flat.shape[1])
            np.testing.assert_allclose(summed, flat[r], rtol=0, atol=1e-4 * np.abs(flat[r]).max() + 1e-6, err_msg=name)
        assert (np.abs(found[f"{name}_untied"]).max() > 1e-5) == (name[0] == "W" or algorithm == UPDATED)


@every_algorithm
@pytest.mark.parametrize("frozen", [0, 1])
def test_positions_go_their_own_ways_once_they_are_untied_and_frozen_convolutions_rest(algorithm, frozen):
    data, seen = pictures(40), {}
    circuit = network(TWO, algorithm, data, **FREE | {"frozen": frozen})
    for epoch in train(circuit, data, 3, 1):
        seen[epoch.number] = weights(circuit), epoch
    assert ("W_c1_untied" in circuit.projections) == (not frozen) and "W_c2_untied" in circuit.projections
    for name in ("W_c2_untied", *([] if frozen else ["W_c1_untied"])):
        likeness = [seen[k][1].measures[f"similarity_{name[2:4]}"] for k in (0, 1, 2, 3)]
        assert (likeness[0] == 1).all() and (likeness[1] == 1).all()
        assert all(((0.5 < each) & (each < 1 - 1e-6)).all() for each in likeness[2:])
        taps = circuit.projections[name].layout.tap
        assert np.mean([np.ptp(seen[3][0][name][:, taps == k], axis=1).max() > 1e-4 for k in range(30)]) > 0.8
        np.testing.assert_array_equal(seen[2][0][name[:4]], seen[1][0][name[:4]])  # the tied one rests
    moved = np.abs(seen[3][0]["W_c1"] - seen[1][0]["W_c1"]).max()
    assert moved == 0 and np.abs(seen[1][0]["W_c1"] - seen[0][0]["W_c1"]).max() > 0, "it learned while all were tied"
    circuit.schedule(4)
    for name, array in weights(circuit).items():
        np.testing.assert_array_equal(array, seen[3][0][name], err_msg="they are untied once")
    if algorithm != BACKPROP:
        r = "R_c2_untied"
        assert (np.abs(seen[3][0][r] - seen[2][0][r]).max() > 1e-4) == (algorithm == UPDATED)


@every_algorithm
def test_fields_and_errors_travel_along_untied_weights_that_have_gone_their_own_ways(algorithm):
    """Of backprop along the untied weights themselves, read backwards, and not along the tied ones, which rest."""
    data = pictures(40)
    circuit = network(TWO, algorithm, data, **FREE | {"tied_epochs": 0}, eta=0.3)
    for _ in train(circuit, data, 2, 1):
        pass
    pass_only(circuit, data)
    v, d = ({p: circuit.populations[p].view(name).astype(float) for p in ("c1", "c2", "s1")} for name in "vd")
    w = circuit.projections["W_c2_untied"].matrix().astype(float)
    tied = circuit.projections["W_c2"].matrix()
    assert np.abs(w - tied).max() > 0.01 and (np.abs(v["c2"]) > 1).any()
    np.testing.assert_allclose(v["c2"], np.clip(v["c1"], -1, 1) @ w, rtol=0, atol=1e-5)
    if algorithm == BACKPROP:
        back = (d["c2"] * (np.abs(v["c2"]) < 1)) @ w.transpose(0, 2, 1)
    else:
        back = d["c2"] @ circuit.projections["R_c2_untied"].matrix()
    np.testing.assert_allclose(d["c1"], d["s1"] + back, rtol=0, atol=1e-5)


def test_untied_feedback_and_forward_weights_undergo_the_same_changes():
    """Synapse by synapse: R - W of every pair of neurons stays; the measured angle is that of these pairs."""
    data = pictures(40)
    circuit = network(TWO, UPDATED, data, **FREE)
    matrices = []
    for epoch in train(circuit, data, 2, 1):
        if epoch.number == 1:
            circuit.schedule(2)
        w, r = (circuit.projections[f"{kind}_c2_untied"].matrix() for kind in "WR")
        matrices.append(r.transpose(0, 2, 1) - w)
    np.testing.assert_allclose(matrices[-1], matrices[-2], rtol=0, atol=2e-6)
    there = w[0] != 0
    measured = angle(w[:, there], r.transpose(0, 2, 1)[:, there])
    np.testing.assert_allclose(epoch.measures["angle_c2"], measured, rtol=1e-4)


def test_similarity_is_the_mean_cosine_of_the_filters_of_all_pairs_of_positions():
    """Of the positions whose windows lie within the image."""
    data = pictures(40)
    circuit = network(TWO, UPDATED, data, **FREE)
    *_, epoch = train(circuit, data, 2, 1)
    matrix = circuit.projections["W_c1_untied"].matrix()
    for r in range(2):
        cosines = []
        for c in range(4):
            filters = []
            for y, x in np.ndindex(4, 4):
                image = matrix[r, :, ((y + 1) * 6 + x + 1) * 4 + c].reshape(6, 6, 3)
                filters.append(image[y : y + 3, x : x + 3].ravel())
            unit = np.array(filters) / np.linalg.norm(filters, axis=1, keepdims=True)
            cosines.append((unit @ unit.T)[np.triu_indices(16, 1)].mean())
        assert epoch.measures["similarity_c1"][r] == pytest.approx(np.mean(cosines), rel=1e-5)


@every_algorithm
def test_tester_is_untied_with_the_network(algorithm):
    """The errors of the last test are those of the network itself."""
    data = pictures(30, test=50)
    circuit = network(TWO, algorithm, data, **FREE)
    *_, epoch = train(circuit, data, 2, 1)
    evaluate(circuit, data.test_images, data.test_labels)
    np.testing.assert_array_equal(circuit.readout.error, epoch.test_error)


# Interrupted

SMALL = dict(lanes="5", replicas="2", epochs="3", tied_epochs="1")


@pytest.fixture(scope="module")
def free_experiment():
    """simpnet with fewer units; three epochs show images 4 + 3 (12 + 4) times, tests among them."""
    architecture = Conv(4, 3), Conv(4, 3), Pool(3, 2, drop=0.5), Full(7, drop=0.3)
    only = {name: SIMPNET.conditions[name] for name in ("updated_feedback_untied",)}
    return replace(
        SIMPNET, build=lambda values, data, seed: layers.build(values, data, seed, architecture), conditions=only
    )


def carry_out(experiment, folder, at=None):
    """Carry out a run; interrupt it after so many times of showing images."""
    data, told = pictures(60, 20), []

    def tell(*arguments):
        told.append(1)
        if len(told) == at:
            signal.raise_signal(signal.SIGINT)

    values = experiment.resolve("cifar10", SMALL)
    conditions = experiment.choose(values, SMALL)
    return simulate("amit_2018.simpnet", experiment, data, values, 3, folder, conditions=conditions,
                    checkpoint_every=1e-9, tell=tell)  # fmt: skip


@pytest.fixture(scope="module")
def whole(free_experiment, tmp_path_factory):
    """A run that was not interrupted."""
    run = carry_out(free_experiment, tmp_path_factory.mktemp("whole") / "run")
    assert run.record["status"] == "finished"
    return run


@pytest.mark.parametrize(("at", "where"), [(10, "tied"), (24, "untied"), (35, "test")])
def test_untied_network_that_is_interrupted_and_resumed_gives_the_same(at, where, free_experiment, whole, tmp_path):
    folder = tmp_path / "run"
    assert carry_out(free_experiment, folder, at).record["status"] == "interrupted"
    run = resume(Run.open(folder), free_experiment, pictures(60, 20), checkpoint_every=1e-9)
    assert (run.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()
    for file in ("weights.npz", "traces.npz"):
        mine, theirs = run.arrays(file), whole.arrays(file)
        assert mine.keys() == theirs.keys()
        for key, (values, _) in mine.items():
            np.testing.assert_array_equal(values, theirs[key][0], err_msg=key)
    assert any("untied" in key for key in mine) or any("similarity" in key for key in mine)


# What is refused


@pytest.mark.parametrize("mu", [2.0, 5])
def test_classes_not_shown_that_outweigh_the_one_shown_are_refused(mu):
    with pytest.raises(ParameterError, match=r"mu: mu / \(classes - 1\) must be less than 1.*, got [25] / 2"):
        network(FLAT, mu=mu)


@pytest.mark.parametrize("name", ["mu", "margin", "density", "gain", "scale"])
def test_parameters_that_must_be_above_zero_refuse_zero(name):
    (parameter,) = [p for p in layers.parameters("", eta=ETA, source="") if p.name == name]
    with pytest.raises(ParameterError, match=name):
        parameter.check(0.0)
    assert parameter.check(0.5) == 0.5


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ((Full(5), Conv(3, 3)), "Conv needs an image below it"),
        ((Full(5), Pool(2, 2)), "Pool needs an image below it"),
        ((Conv(2, 3), Conv(3, 3), Sum()), "Sum needs two layers of one shape"),
        ((Conv(2, 3), Pool(2, 2), Sum()), "Sum needs two layers of one shape"),
        ((Sum(),), "Sum needs two layers"),
    ],
)
def test_layers_that_do_not_fit_are_refused(architecture, words):
    with pytest.raises(ParameterError, match=f"architecture: {words}"):
        network(architecture)
