"""The spiking network of Lillicrap et al. 2016 does what its equations say, neuron by neuron and synapse by synapse."""

from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import Network

from neurosim import Population, Projection
from neurosim.neurons import NeuronType

A, ETA, GAMMA, G = 0.9, 0.3, 0.004, 2.0  # a, eta, gamma, g of the paper; larger than its own, so that every term shows


def sigma(v):
    return 1 / (1 + np.exp(-v))


def phi(d):
    return G * (sigma(d) - 0.5)


class Twin:
    """The paper's equations in plain Python, one neuron at a time, for one replica: all its lanes, one set of weights.

    ``W[l][i][j]`` and ``b[l][j]`` lead into forward layer l, ``B[l][k][j]`` into the feedback neurons of layer l.
    """

    def __init__(self, W, b, B, lanes):
        self.W, self.b, self.B = (
            [w.astype(float) for w in W],
            [c.astype(float) for c in b],
            [c.astype(float) for c in B],
        )
        self.V = [np.zeros((lanes, w.shape[1])) for w in W]
        self.D = [np.zeros_like(v) for v in self.V]
        self.lanes = lanes

    def step(self, spikes, target):
        """One time step; ``spikes[l][lane][i]`` are those that were drawn, ``target[lane][k]`` is clamped."""
        top = len(self.W) - 1
        for lane in range(self.lanes):
            for layer, W in enumerate(self.W):
                for j in range(W.shape[1]):
                    drive = self.b[layer][j]
                    for i in range(W.shape[0]):
                        drive += W[i, j] * spikes[layer][lane][i]
                    self.V[layer][lane, j] = (1 - A) * self.V[layer][lane, j] + A * drive
            for k in range(len(self.D[top][lane])):
                self.D[top][lane, k] = target[lane][k] - sigma(self.V[top][lane, k])
            for layer in reversed(range(top)):
                for j in range(len(self.D[layer][lane])):
                    drive = 0.0
                    for k in range(len(self.D[layer + 1][lane])):
                        drive += self.B[layer][k, j] * phi(self.D[layer + 1][lane, k])
                    self.D[layer][lane, j] = (1 - A) * self.D[layer][lane, j] + A * drive
        for layer, W in enumerate(self.W):
            W_before, b_before = W.copy(), self.b[layer].copy()
            for lane in range(self.lanes):
                for j in range(W.shape[1]):
                    p = sigma(self.V[layer][lane, j])
                    change = ETA * p * (1 - p) * phi(self.D[layer][lane, j])
                    self.b[layer][j] += change - GAMMA * b_before[j]
                    for i in range(W.shape[0]):
                        W[i, j] += spikes[layer][lane][i] * change - GAMMA * W_before[i, j]


def small(lillicrap, tiny_data, **settings):
    """Return data and a circuit of 5-4-3-4 neurons."""
    data = tiny_data(n_inputs=5, n_classes=2, train=20)
    rates = {
        "integration": A,
        "eta": ETA,
        "gamma": GAMMA,
        "phi_gain": G,
        "phi_slope": 1.0,
        "w_width": 1.0,
        "b_width": 1.0,
    }
    return data, lillicrap(data, hidden=(4, 3), output=4, steps=3, **{**rates, **settings})


def look(circuit):
    """Everything that the twin needs or predicts, copied; weights as they are without reading (and so folding) them."""
    state = {name: p.view(v).copy() for name, (p, v) in variables(circuit).items()}
    return state | {name: p.stored * p.scale for name, p in circuit.projections.items()}


def variables(circuit):
    p = circuit.populations
    named = {f"{name}.{v}": (p[name], v) for name in ("h1", "h2", "y") for v in ("v", "p", "m", "s")}
    named |= {f"feedback_{name}.{v}": (p[f"feedback_{name}"], v) for name in ("h1", "h2") for v in ("d", "m")}
    return named | {"x.s": (p["x"], "s"), "error.m": (p["error"], "m"), "error.target": (p["error"], "target")}


def run(circuit, data, every_step, presentations):
    """Show random examples while learning; return the weights at the start and the state after every step."""
    shape = (presentations, circuit.replicas, circuit.lanes)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show(np.random.default_rng(0).integers(0, len(data.train_labels), shape))
    observer, seen = every_step(circuit.presentation.clock, lambda: look(circuit))
    circuit.network.add(observer)
    start = look(circuit)
    circuit.network.run(circuit.presentation.remaining, namespace={})
    return start, seen


def check_against_twin(circuit, start, seen):
    layers = ("h1", "h2", "y")
    for r in range(circuit.replicas):
        twin = Twin(
            [start[f"W_{name}"][r] for name in layers], [start[f"b_{name}"][r, 0] for name in layers],
            [start[f"B_{name}"][r] for name in layers[:-1]], circuit.lanes,
        )  # fmt: skip
        for t, now in enumerate(seen):
            twin.step([now[f"{name}.s"][r] for name in ("x", "h1", "h2")], now["error.target"][r])
            expected = {"error.m": phi(twin.D[2])}
            for layer, name in enumerate(layers):
                expected |= {f"{name}.v": twin.V[layer], f"{name}.p": sigma(twin.V[layer])}
                expected |= {f"{name}.m": phi(twin.D[layer]), f"W_{name}": twin.W[layer], f"b_{name}": [twin.b[layer]]}
            for layer, name in enumerate(layers[:-1]):
                expected |= {f"feedback_{name}.d": twin.D[layer], f"feedback_{name}.m": phi(twin.D[layer])}
                expected |= {f"B_{name}": twin.B[layer]}
            for name, value in expected.items():
                np.testing.assert_allclose(now[name][r], value, rtol=1e-6, atol=1e-6, err_msg=f"{name}, step {t}")


def test_every_step_equals_the_papers_equations_with_the_spikes_that_were_drawn(
    lillicrap, tiny_data, every_step, target
):
    """Twelve steps over four examples, two replicas of two lanes, on both of brian2's targets."""
    data, circuit = small(lillicrap, tiny_data, lanes=2, replicas=2)
    start, seen = run(circuit, data, every_step, presentations=4)
    check_against_twin(circuit, start, seen)
    assert all(0.1 < np.mean([now[f"{name}.s"] for now in seen]) < 0.9 for name in ("x", "h1", "h2", "y"))
    assert np.abs(seen[-1]["W_h1"] - start["W_h1"]).max() > 0.05


@pytest.mark.parametrize(("lanes", "replicas"), [(1, 1), (1, 3), (4, 1)])
def test_event_driven_and_product_plans_both_equal_the_papers_equations(
    lillicrap, tiny_data, every_step, lanes, replicas
):
    data, circuit = small(lillicrap, tiny_data, lanes=lanes, replicas=replicas)
    plan = circuit.projections["W_h2"].explain()
    assert plan.count("event-driven") == (2 if lanes == 1 else 0)
    assert plan.count("matrix product over lanes") == (0 if lanes == 1 else 2)
    check_against_twin(circuit, *run(circuit, data, every_step, presentations=4))


def test_spikes_that_were_drawn_are_bernoulli_draws_of_the_probabilities(lillicrap, tiny_data, every_step):
    """sum (s - p) is 0 within 5 standard deviations sqrt(sum p (1 - p)), in every layer, for small p and for large."""
    data, circuit = small(lillicrap, tiny_data, lanes=20, replicas=5)
    _, seen = run(circuit, data, every_step, presentations=10)
    for name in ("h1", "h2", "y"):
        s, p = (np.ravel([now[f"{name}.{v}"] for now in seen]).astype(float) for v in "sp")
        for part in (p < 0.5, p >= 0.5):
            s_, p_ = s[part], p[part]
            assert abs(np.sum(s_ - p_)) < 5 * np.sqrt(np.sum(p_ * (1 - p_)))


def test_pixels_feed_their_copies_and_classes_their_output_neurons(lillicrap, tiny_data, every_step):
    """Example k of class c: input neurons 2i and 2i + 1 take pixel i, the two neurons of class c the target 1."""
    data, circuit = small(lillicrap, tiny_data, copies=2, lanes=3)
    _, seen = run(circuit, data, every_step, presentations=1)
    shown = circuit.presentation.examples[0, 0]
    pixels = circuit.populations["x"].view("x")[0]
    assert np.array_equal(pixels[:, ::2], data.train_images[shown]) and np.array_equal(pixels[:, 1::2], pixels[:, ::2])
    target = seen[0]["error.target"][0]
    assert np.array_equal(target.reshape(3, 2, 2), np.eye(2)[data.train_labels[shown]][:, :, None] * np.ones(2))


def test_frozen_network_changes_no_weight_and_no_bias(lillicrap, tiny_data, every_step):
    data, circuit = small(lillicrap, tiny_data, lanes=2)
    circuit.set_training(False)
    start, seen = run(circuit, data, every_step, presentations=2)
    assert all(np.array_equal(now[name], start[name]) for now in seen for name in circuit.projections)
    assert all(np.abs(now["feedback_h1.m"]).max() > 0 for now in seen)


# Gradient descent. Rate neurons without memory (p = sigma(drive)), error m = target - p, feedback m = drive; what a
# feedback neuron sends down is m psi, with the psi of the forward neuron beside it.
RATE = NeuronType(
    equations="""
    drive : 1
    p : 1
    m : 1
    psi = p * (1 - p) : 1
    """,
    update="p = 1 / (1 + exp(-drive))",
)
SOURCE = NeuronType(equations="p : 1")
DELTA = NeuronType(
    equations="""
    drive : 1
    guess : 1
    slope : 1
    m : 1
    """,
    update="m = drive - guess",
)


@pytest.fixture
def backprop():
    """A network of 3-4-5-2 rate neurons in double precision whose feedback weights are the transposed forward ones."""
    sizes, replicas, lanes = (3, 4, 5, 2), 2, 3
    draw = np.random.default_rng(0)
    same = dict(replicas=replicas, lanes=lanes, dtype=np.float64)
    x = Population(sizes[0], SOURCE, order=0, **same)
    one = Population(1, SOURCE, order=0, **same)
    forward = [Population(n, RATE, order=k, **same) for k, n in enumerate(sizes[1:], start=1)]
    feedback = [Population(n, DELTA, order=7 - k, **same) for k, n in enumerate(sizes[1:], start=1)]
    W = [draw.normal(size=(replicas, m, n)) for m, n in zip(sizes, sizes[1:], strict=False)]
    b = [draw.normal(size=(replicas, 1, n)) for n in sizes[1:]]
    learns = dict(
        transmit="drive_post = w * p_pre", rule="w += eta * p_pre * psi_post * m_post", namespace={"eta": 0.25}
    )
    pairs = list(zip([x, *forward], forward, strict=False))
    weights = [Projection(pre, post, weights=w, **learns) for (pre, post), w in zip(pairs, W, strict=True)]
    biases = [Projection(one, post, weights=c, **learns) for post, c in zip(forward, b, strict=True)]
    relays = [Projection(forward[-1], feedback[-1], "guess_post = p_pre")]
    for below, above, w in zip(feedback, feedback[1:], W[1:], strict=False):
        relays.append(Projection(above, below, "drive_post = w * m_pre * slope_pre", weights=w.swapaxes(1, 2)))
    for f, d in zip(forward, feedback, strict=True):
        relays += [Projection(f, d, "slope_post = psi_pre"), Projection(d, f, "m_post = m_pre")]
    inputs, targets = draw.normal(size=(replicas, lanes, 3)), draw.uniform(size=(replicas, lanes, 2))
    one.view("p")[...] = 1
    x.view("p")[...] = inputs
    feedback[-1].view("drive")[...] = targets
    network = Network(x, one, *forward, *feedback, *weights, *biases, *relays)
    return SimpleNamespace(
        network=network, dt=x.clock.dt, W=W, b=b, weights=weights, biases=biases, inputs=inputs, targets=targets
    )


def loss(W, b, inputs, targets):
    """L = 1/2 sum over lanes and outputs of (target - p)^2, for one replica."""
    p = inputs
    for w, c in zip(W, b, strict=True):
        p = sigma(p @ w + c)
    return 0.5 * np.sum((targets - p) ** 2)


def test_feedback_with_transposed_weights_is_gradient_descent(backprop):
    """One step is -eta dL/dW and -eta dL/db in every layer, with dL from finite differences of L.

    Logistic units expose a forgotten slope, sizes 3-4-5-2 a transposed index, lanes a mean in place of a sum.
    """
    n = backprop
    n.network.run(n.dt)
    h = 1e-5
    for r in range(2):
        W, b = [w[r].copy() for w in n.W], [c[r, 0].copy() for c in n.b]
        groups = [(W, [p.w[r] for p in n.weights]), (b, [p.w[r, 0] for p in n.biases])]
        for arrays, learned in groups:
            for array, after in zip(arrays, learned, strict=True):
                before = array.copy()
                gradient = np.empty_like(array)
                for where in np.ndindex(array.shape):
                    array[where] = before[where] + h
                    high = loss(W, b, n.inputs[r], n.targets[r])
                    array[where] = before[where] - h
                    low = loss(W, b, n.inputs[r], n.targets[r])
                    array[where] = before[where]
                    gradient[where] = (high - low) / (2 * h)
                np.testing.assert_allclose(after - before, -0.25 * gradient, rtol=1e-5, atol=1e-9)
                assert np.abs(gradient).max() > 1e-3


def test_gradient_descent_brings_the_loss_down(backprop):
    """A hundred steps: the loss falls all the time and at least halves."""
    n = backprop
    losses = []
    for _ in range(5):
        losses.append(loss([p.w[0] for p in n.weights], [p.w[0, 0] for p in n.biases], n.inputs[0], n.targets[0]))
        n.network.run(25 * n.dt)
    assert all(np.diff(losses) < 0) and losses[-1] < losses[0] / 2
