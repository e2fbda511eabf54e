"""The rate networks of Lillicrap et al. 2016 learn by the gradient, or by what the paper puts in its place."""

from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import ms

from neurosim import Projection, neurons, training
from neurosim.analysis import angle
from neurosim.connectivity import Transposed
from neurosim.training import evaluate, train
from neurosim_models.lillicrap_2016 import LINEAR, MNIST, PHASES, rates
from neurosim_models.lillicrap_2016.rates import ALIGNMENT, BACKPROP, PERTURBATION, SHALLOW, SLOPED

ETA = 0.1
ALGORITHMS = (BACKPROP, ALIGNMENT, SHALLOW, PERTURBATION)
FUNCTIONS = {
    "linear": (neurons.LINEAR, lambda v: v, lambda v: np.ones_like(v)),
    "tanh": (neurons.TANH, np.tanh, lambda v: 1 - np.tanh(v) ** 2),
    "logistic": (neurons.LOGISTIC, lambda v: 1 / (1 + np.exp(-v)), lambda v: np.exp(-v) / (1 + np.exp(-v)) ** 2),
}


def network(algorithm, hidden="tanh", output="linear", sizes=(4, 5, 3, 2), lanes=3, replicas=2, **more):
    """Return a circuit of these layers with wide weights, every one of which counts."""
    values = {
        "algorithm": algorithm, "hidden": sizes[1:-1], "eta": ETA, "w_width": 0.8, "b_width": 0.8, "dt": 1 * ms,
        "lanes": lanes, "replicas": replicas, "sigma": 0.01,
    }  # fmt: skip
    data = SimpleNamespace(inputs=sizes[0], outputs=sizes[-1])
    return rates.build(values | more, data, 1, FUNCTIONS[hidden][0], FUNCTIONS[output][0])


def examples(circuit, same=False):
    """Return inputs and targets (replicas, lanes, dimension); the same in all lanes if asked for."""
    draw = np.random.default_rng(5)
    shape = (circuit.replicas, 1 if same else circuit.lanes)
    found = (draw.normal(size=(*shape, circuit.populations[name].n)) for name in ("x", "error"))
    return tuple(np.broadcast_to(array, (circuit.replicas, circuit.lanes, array.shape[-1])) for array in found)


def weights(circuit):
    return {name: p.w.astype(float) for name, p in circuit.projections.items()}


def step(circuit, inputs, targets):
    """Show one example in every lane while the network learns; return weights before, and their changes."""
    before = weights(circuit)
    flat = [array.reshape(-1, array.shape[-1]) for array in (inputs, targets)]
    circuit.feed(*flat)
    circuit.readout.expect(flat[1])
    circuit.presentation.show(np.arange(len(flat[0])).reshape(1, circuit.replicas, circuit.lanes))
    circuit.set_training(True)
    circuit.network.run(circuit.presentation.remaining, namespace={})
    return before, {name: after - before[name] for name, after in weights(circuit).items()}


def pass_forward(w, x, hidden, output):
    """Return potentials and activities of one replica's layers, from the input up, in double precision."""
    names = [name.removeprefix("W_") for name in w if name.startswith("W_")]
    potentials, activities = [], [x]
    for name in names:
        potentials.append(activities[-1] @ w[f"W_{name}"] + w[f"b_{name}"])
        activities.append(FUNCTIONS[output if name == "y" else hidden][1](potentials[-1]))
    return names, potentials, activities


def of_replica(arrays, replica):
    return {name: array[replica].copy() for name, array in arrays.items()}


def same_changes(changes, expected):
    """Compare changes of weights to one part in ten thousand of the largest of each projection."""
    for name, values in expected.items():
        scale = np.abs(values).max()
        assert scale > 1e-4, f"{name} should learn"
        np.testing.assert_allclose(changes[name], values, rtol=1e-4, atol=1e-5 * scale + 2e-7, err_msg=name)


# Backprop


@pytest.mark.parametrize(("hidden", "output"), [("tanh", "linear"), ("logistic", "logistic"), ("linear", "tanh")])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_backprop_is_a_step_down_the_gradient(hidden, output, decay):
    """dW = -eta dL/dW of L = sum over lanes of |e|^2 / 2, by central differences, minus the decay of every lane."""
    circuit = network(BACKPROP, hidden, output, decay=decay)
    inputs, targets = examples(circuit)
    before, changes = step(circuit, inputs, targets)
    for r in range(circuit.replicas):
        w, expected = of_replica(before, r), {}

        def loss(w=w, r=r):
            return 0.5 * np.sum((targets[r] - pass_forward(w, inputs[r], hidden, output)[2][-1]) ** 2)

        for name, array in w.items():
            gradient, h = np.empty_like(array), 1e-5
            for where in np.ndindex(array.shape):
                middle = array[where]
                array[where] = middle + h
                high = loss()
                array[where] = middle - h
                gradient[where] = (high - loss()) / (2 * h)
                array[where] = middle
            expected[name] = -ETA * gradient - circuit.lanes * decay * array
        assert set(expected) == {f"{kind}_{name}" for kind in "Wb" for name in ("h1", "h2", "y")}
        same_changes(of_replica(changes, r), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_are_transported_by_backprop_alone(algorithm):
    """Only there some projection reads another one's weights backwards."""
    circuit = network(algorithm)
    every = [o for each in (circuit, circuit.tester) for o in each.network.objects if isinstance(o, Projection)]
    backwards = {p.name for p in every if isinstance(p.connectivity, Transposed)}
    assert len(every) > 10
    assert backwards == ({"WT_h1", "WT_h2"} if algorithm == BACKPROP else set())


# Feedback alignment


@pytest.mark.parametrize("signal", ["error", SLOPED])
@pytest.mark.parametrize(("hidden", "output"), [("tanh", "linear"), ("logistic", "logistic")])
def test_feedback_alignment_is_its_formulas(hidden, output, signal):
    """d = e B or (e . f'(v_y)) B, then d = d B without slopes; dW = eta r (f'(v) . d), and B stays."""
    circuit = network(ALIGNMENT, hidden, output, signal=signal)
    inputs, targets = examples(circuit)
    before, changes = step(circuit, inputs, targets)
    for r in range(circuit.replicas):
        w = of_replica(before, r)
        names, v, activity = pass_forward(w, inputs[r], hidden, output)
        slopes = [FUNCTIONS[output if name == "y" else hidden][2](each) for name, each in zip(names, v, strict=True)]
        e = targets[r] - activity[-1]
        d2 = (e * slopes[-1] if signal == SLOPED else e) @ w["B_h2"]
        d1 = d2 @ w["B_h1"]
        expected = {}
        for name, below, slope, d in zip(names, activity, slopes, (d1, d2, e), strict=False):
            expected[f"W_{name}"] = ETA * below.T @ (slope * d)
            expected[f"b_{name}"] = ETA * (slope * d).sum(axis=0, keepdims=True)
        same_changes(of_replica(changes, r), expected)
        assert not changes["B_h1"][r].any() and not changes["B_h2"][r].any()


@pytest.mark.parametrize(("hidden", "sizes"), [("tanh", (4, 6, 3)), ("linear", (4, 5, 3, 2))])
def test_feedback_alignment_with_transposed_weights_is_backprop(hidden, sizes):
    """With B = W^T and linear output; several hidden layers must be linear too, for B knows no slopes on its way."""
    taught = network(ALIGNMENT, hidden, sizes=sizes)
    layers = [f"h{k}" for k in range(1, len(sizes) - 1)] + ["y"]
    for here, above in zip(layers, layers[1:], strict=False):
        taught.projections[f"B_{here}"].w[...] = np.swapaxes(taught.projections[f"W_{above}"].w, 1, 2)
    exact = network(BACKPROP, hidden, sizes=sizes)
    _, expected = step(exact, *examples(exact))
    _, changes = step(taught, *examples(taught))
    same_changes(changes, expected)


def test_random_feedback_is_not_backprop():
    """The control of the test above: with B as drawn, the hidden layers' changes are others, the output's are not."""
    taught, exact = network(ALIGNMENT), network(BACKPROP)
    _, changes = step(taught, *examples(taught))
    _, expected = step(exact, *examples(exact))
    same_changes(changes, {name: expected[name] for name in ("W_y", "b_y")})
    assert all(
        (angle(changes[name].reshape(2, -1), expected[name].reshape(2, -1)) > 20).all() for name in ("W_h1", "W_h2")
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_of_one_name_start_alike_whatever_the_algorithm(algorithm):
    first, second = weights(network(BACKPROP)), weights(network(algorithm))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        assert (array[0] != array[1]).any(), "replicas are networks of their own"


# The others


def test_shallow_learning_changes_the_output_weights_only():
    shallow, exact = network(SHALLOW, decay=0.01), network(BACKPROP, decay=0.01)
    _, changes = step(shallow, *examples(shallow))
    _, expected = step(exact, *examples(exact))
    same_changes(changes, {name: expected[name] for name in ("W_y", "b_y")})
    assert {name for name, change in changes.items() if change.any()} == {"W_y", "b_y"}


def test_node_perturbation_is_the_gradient_on_average():
    """The mean over 20,000 draws of one example's step: backprop's for small sigma; for the output, in every draw.

    One draw's change of a hidden layer with n neurons scatters around the gradient g with a variance of about
    n |g|^2, so that the angle of the mean over N of them is near sqrt(n / N): 8 / 20000, 1.1 degrees.
    """
    lanes = 20_000
    noisy, exact = (network(algorithm, lanes=lanes, eta=ETA / lanes) for algorithm in (PERTURBATION, BACKPROP))
    inputs, targets = examples(noisy, same=True)
    _, changes = step(noisy, inputs, targets)
    _, expected = step(exact, inputs, targets)
    same_changes(changes, {name: expected[name] for name in ("W_y", "b_y")})
    for name in ("W_h1", "b_h1", "W_h2", "b_h2"):
        flat, gradient = changes[name].reshape(2, -1), expected[name].reshape(2, -1)
        assert (angle(flat, gradient) < 4).all(), name
        np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.linalg.norm(gradient, axis=1), rtol=0.07)
    np.testing.assert_allclose(noisy.readout.error, exact.readout.error, rtol=1e-4)  # read without the noise


def test_node_perturbation_of_one_draw_is_its_formula(every_step):
    """dW = eta (L - L_xi) xi / sigma^2 r with the very noise that was drawn; L_xi has it added to hidden potentials."""
    circuit = network(PERTURBATION, lanes=2, sigma=0.3)
    inputs, targets = examples(circuit)
    h1, h2, x = (circuit.populations[name] for name in ("h1", "h2", "x"))
    observer, seen = every_step(
        circuit.presentation.clock, lambda: (h1.view("kick").copy(), h2.view("kick").copy(), x.view("r").copy())
    )
    circuit.network.add(observer)
    before, changes = step(circuit, inputs, targets)
    assert len(seen) == 2 and not seen[1][0].any() and not seen[1][1].any(), "first with noise, then without"
    for r in range(circuit.replicas):
        w = of_replica(before, r)
        _, _, activity = pass_forward(w, inputs[r], "tanh", "linear")
        noise1, noise2 = (noise[r].astype(float) for noise in seen[0][:2])
        kicked1 = np.tanh(inputs[r] @ w["W_h1"] + w["b_h1"] + noise1)
        kicked2 = np.tanh(kicked1 @ w["W_h2"] + w["b_h2"] + noise2)
        kicked = kicked2 @ w["W_y"] + w["b_y"]
        gain = 0.5 * ((targets[r] - activity[-1]) ** 2 - (targets[r] - kicked) ** 2).sum(axis=1, keepdims=True)
        expected = {}
        for name, below, noise in (("h1", activity[0], noise1), ("h2", activity[1], noise2)):
            expected[f"W_{name}"] = ETA / 0.3**2 * below.T @ (gain * noise)
            expected[f"b_{name}"] = ETA / 0.3**2 * (gain * noise).sum(axis=0, keepdims=True)
        same_changes(of_replica(changes, r), expected)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_layers_are_the_lowest_and_do_not_learn(frozen):
    circuit = network(ALIGNMENT, frozen=frozen)
    _, changes = step(circuit, *examples(circuit))
    learned = {name for name, change in changes.items() if change.any()}
    assert learned == {f"{kind}_{name}" for kind in "Wb" for name in ("h1", "h2", "y")[frozen:]}


def test_density_removes_synapses_of_output_and_feedback_independently():
    """Half of W and of B, five standard deviations of a fair coin allowed; what is absent stays absent."""
    sizes = (4, 10, 50, 30)
    circuit = network(ALIGNMENT, sizes=sizes, density=0.5, lanes=4)
    before, changes = step(circuit, *examples(circuit))
    spread = 5 * 0.5 / np.sqrt(50 * 30)
    there = {name: before[name] != 0 for name in before}
    for r in range(circuit.replicas):
        w, b = there["W_y"][r], there["B_h2"][r].T
        assert abs(w.mean() - 0.5) < spread and abs(b.mean() - 0.5) < spread
        assert abs((w == b).mean() - 0.5) < spread
        assert not changes["W_y"][r][~w].any() and changes["W_y"][r][w].all()
    for name in set(there) - {"W_y", "B_h2"}:
        assert there[name].all(), f"{name} is whole"


# Around the network


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tester_finds_what_the_network_itself_would(algorithm):
    """The normalised squared error of 331 examples, which neither 3 nor the tester's lanes divide, after learning."""
    settings = {"inputs": "6", "outputs": "4", "hidden": "5", "examples": "30", "tests": "331", "replicas": "2"}
    values = LINEAR.resolve("linear", settings | {"lanes": "3"}) | {"algorithm": algorithm}
    task = LINEAR.presets["linear"].task(values, 4)
    circuit = LINEAR.build(values, task, 4)
    epochs = list(train(circuit, task, 2, 4))
    assert [epoch.number for epoch in epochs] == [0, 1, 2]
    found = circuit.tester.readout.error
    np.testing.assert_array_equal(found, epochs[-1].test_error)
    evaluate(circuit, *task.testing(2))
    np.testing.assert_allclose(circuit.readout.error, found, rtol=1e-5)
    assert (found != epochs[0].test_error).all()


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_tester_names_the_classes_that_the_network_itself_would(tiny_data, density):
    data = tiny_data(n_inputs=6, n_classes=3, train=30, test=17)
    values = MNIST.resolve("digits", {"hidden": "8", "lanes": "2", "replicas": "2"}) | {"density": density}
    circuit = MNIST.build(values, data, 4)
    for _ in train(circuit, data, 1, 4):
        pass
    training.test(circuit, data)
    found = circuit.tester.readout.confusion
    evaluate(circuit, data.test_images, data.test_labels)
    np.testing.assert_array_equal(circuit.readout.confusion, found)
    assert (found.sum(axis=(1, 2)) == 17).all()


def small(experiment, **settings):
    """Return values, data and circuit of an experiment with few neurons and examples."""
    given = {"inputs": "6", "outputs": "4", "examples": "20", "tests": "30", "replicas": "2", "lanes": "5"}
    (name,) = experiment.presets
    values = experiment.resolve(name, given | settings)
    task = experiment.presets[name].task(values, 4)
    return values, task, experiment.build(values, task, 4)


def test_phases_change_one_layer_at_a_time():
    """Phases of 1, 2 and 1 epochs: W_h1 and b_h1, then W_y and b_y, then W_h1 and b_h1 again; B never."""
    _, task, circuit = small(PHASES, hidden="7", phases="1,2,1", epochs="4")
    before, learned = weights(circuit), []
    for epoch in train(circuit, task, 4, 4):
        now = weights(circuit)
        if epoch.number:
            learned.append({name for name in now if (now[name] != before[name]).any()})
        before = now
    assert learned == [{"W_h1", "b_h1"}, {"W_y", "b_y"}, {"W_y", "b_y"}, {"W_h1", "b_h1"}]


def test_together_means_without_phases():
    _, task, circuit = small(PHASES, hidden="7", schedule="together")
    before = weights(circuit)
    for _ in train(circuit, task, 1, 4):
        pass
    after = weights(circuit)
    assert {name for name in after if (after[name] != before[name]).any()} == {"W_h1", "b_h1", "W_y", "b_y"}


def test_angles_of_weights_are_those_of_their_matrices():
    """In phases: unit by unit, flattened, and B against the pseudoinverse of W, for every replica."""
    _, task, circuit = small(PHASES, hidden="7")
    *_, epoch = train(circuit, task, 1, 4)
    now = weights(circuit)
    for r in range(2):
        w, b = now["W_y"][r], now["B_h1"][r]  # (hidden, outputs) and (outputs, hidden)

        def between(one, other):
            return np.degrees(np.arccos(np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other)))

        found = epoch.measures["angle_units"][r]
        np.testing.assert_allclose(found, [between(w[j], b[:, j]) for j in range(7)], rtol=1e-4)
        assert epoch.measures["angle_W_B"][r] == pytest.approx(between(w.T, b), rel=1e-4)
        # y = W^T h: a change of h that carries the error e to the output is pinv(W^T) e, feedback's is B^T e
        assert epoch.measures["angle_pinv"][r] == pytest.approx(between(np.linalg.pinv(w.T), b.T), rel=1e-4)
