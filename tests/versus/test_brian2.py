"""Projections against brian2's own Synapses: the same spikes, the same weights, to rounding."""

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, SpikeGeneratorGroup, StateMonitor, Synapses, defaultclock, ms

from neurosim import Population, Projection
from neurosim.neurons import NeuronType

LEAKY = """
dv/dt = (drive - v) / tau : 1
drive : 1
p : 1
m : 1
psi = p * (1 - p) : 1
"""
UPDATE = "p = 1 / (1 + exp(-v))\nm = sin(3 * v)"
TAU = {"tau": 0.7 * ms}
STEPS, N_PRE, N_POST, REPLICAS = 80, 9, 5, 2
SWEEP = [
    "start",
    "thresholds",
    "synapses",
    "groups",
    "learning",
    "end",
]  # spikes arrive in the step in which they are drawn


@pytest.fixture
def case():
    """Spikes (steps, replicas, lanes, n_pre) and weights (replicas, n_pre, n_post)."""
    draw = np.random.default_rng(11)
    spikes = draw.random((STEPS, REPLICAS, 1, N_PRE)) < 0.3
    return spikes, draw.normal(size=(REPLICAS, N_PRE, N_POST))


def brian2_network(spikes, weights, on_pre, rates=""):
    """Run one replica in brian2: spikes drive leaky neurons through Synapses; return v after each step, and w.

    A step is: spikes, deliver, integrate, learn. ``drive`` is what arrived in this step, so it starts at 0.
    """
    dt = defaultclock.dt
    steps, indices = np.nonzero(spikes)
    source = SpikeGeneratorGroup(N_PRE, indices, steps * dt)
    target = NeuronGroup(N_POST, LEAKY, method="exact", namespace=TAU)
    target.run_regularly(UPDATE, when="groups", order=1)
    target.run_regularly("drive = 0", when="start")
    synapses = Synapses(source, target, "w : 1", on_pre=on_pre)
    synapses.connect()
    synapses.w = weights.ravel()
    if "learn" in on_pre:
        synapses.learn.when, synapses.learn.order = "learning", 1
    if rates:
        synapses.run_regularly(rates, when="learning", order=0)
    monitor = StateMonitor(target, "v", record=True, when="end")
    network = Network(source, target, synapses, monitor)
    network.schedule = SWEEP
    network.run(STEPS * dt)
    w = np.empty((N_PRE, N_POST))
    w[synapses.i, synapses.j] = synapses.w
    return monitor.v.T, w


def our_network(given, play, every_step, spikes, weights, rule, dtype=np.float64):
    """Run all replicas and lanes; return v after each step, and w."""
    settings = dict(replicas=spikes.shape[1], lanes=spikes.shape[2], dtype=dtype)
    source = given(N_PRE, **settings)
    target = Population(N_POST, NeuronType(LEAKY, UPDATE), order=1, namespace=TAU, **settings)
    p = Projection(source, target, "drive_post = w * s_pre", rule=rule, weights=weights)
    look, seen = every_step(source.clock, lambda: target.view("v").copy())
    play([source, target, p, look], [(source, "s", spikes)])
    return np.array(seen), p.w


@pytest.mark.parametrize(
    ("rule", "on_pre", "rates"),
    [
        (None, {"deliver": "drive_post += w"}, ""),
        ("w += 0.1 * s_pre * psi_post * m_post", {"learn": "w += 0.1 * psi_post * m_post"}, ""),
        (
            "w += 0.1 * s_pre * psi_post * m_post - 0.02 * w",
            {"learn": "w += 0.1 * psi_post * m_post"},
            "w = w - 0.02 * w",
        ),
        ("w += 0.1 * s_pre * v_post - 0.05 * v_post", {"learn": "w += 0.1 * v_post"}, "w += -0.05 * v_post"),
    ],
    ids=["transmit", "three_factors", "decay", "depression_without_spikes"],
)
def test_given_spikes_and_a_rule_equal_synapses_over_many_steps(given, play, every_step, case, rule, on_pre, rates):
    """Potentials and weights in double precision, each replica against a brian2 network of its own.

    The decay comes first in brian2's network: both take it from the weight before the step.
    """
    spikes, weights = case
    v, w = our_network(given, play, every_step, spikes, weights, rule)
    for r in range(REPLICAS):
        on = {"deliver": "drive_post += w", **on_pre}
        plain_v, plain_w = brian2_network(spikes[:, r, 0], weights[r], on, rates)
        np.testing.assert_allclose(v[:, r, 0], plain_v, rtol=0, atol=1e-10)
        np.testing.assert_allclose(w[r], plain_w, rtol=0, atol=1e-10)
        assert (rule is None) == np.array_equal(w[r], weights[r])


def test_rate_equation_of_the_weights_equals_a_clock_driven_synapse(given, play, every_step, case):
    """dw/dt = eta s m - decay w with brian2's Euler method, the rates in 1/s."""
    spikes, weights = case
    rule = "dw/dt = eta * s_pre * m_post - decay * w"
    dt = defaultclock.dt
    spikes_per_dt = "w += 0.3 * m_post"
    rates = {"eta": 0.3 / dt, "decay": 0.01 / dt}
    source = given(N_PRE, dtype=np.float64)
    target = Population(N_POST, NeuronType(LEAKY, UPDATE), order=1, namespace=TAU, dtype=np.float64)
    p = Projection(source, target, "drive_post = w * s_pre", rule=rule, weights=weights[0], namespace=rates)
    play([source, target, p], [(source, "s", spikes[:, :1])])
    _, plain = brian2_network(
        spikes[:, 0, 0], weights[0], {"deliver": "drive_post += w", "learn": spikes_per_dt}, "w = w * (1 - 0.01)"
    )
    np.testing.assert_allclose(p.w[0], plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("lanes", [1, 3])
def test_recurrent_rate_network_equals_a_summed_variable(every_step, lanes):
    """tau dv/dt = W^T tanh(v) + u - v among twelve neurons, chaotic at this gain: each reads what the others were."""
    n = 12
    equations, update = "dv/dt = (drive + u - v) / tau : 1\ndrive : 1\nu : 1\nr : 1", "r = tanh(v)"
    draw = np.random.default_rng(4)
    w = draw.normal(size=(n, n)) * 2 / np.sqrt(n)
    start, u = draw.normal(size=(lanes, n)), draw.normal(size=n)
    ours = Population(n, NeuronType(equations, update), order=0, lanes=lanes, namespace=TAU, dtype=np.float64)
    ours.view("v")[0], ours.view("u")[0] = start, u
    p = Projection(ours, ours, "drive_post = w * r_pre", weights=w)
    Network(ours, p).run(STEPS * ours.clock.dt)
    for lane in range(lanes):
        plain = NeuronGroup(n, equations, method="exact", namespace=TAU)
        plain.run_regularly(update, when="groups", order=1)
        synapses = Synapses(plain, plain, "w : 1\ndrive_post = w * r_pre : 1 (summed)")
        synapses.connect()
        synapses.w[:] = w[np.asarray(synapses.i), np.asarray(synapses.j)]
        plain.v, plain.u = start[lane], u
        Network(plain, synapses).run(STEPS * defaultclock.dt)
        np.testing.assert_allclose(ours.view("v")[0, lane], plain.v[:], rtol=0, atol=1e-10)


def test_single_precision_network_follows_the_double_precision_one(given, play, every_step, case):
    """The same spikes and learning rule: float32 stays within its rounding over all steps."""
    spikes, weights = case
    rule = "w += 0.1 * s_pre * psi_post * m_post - 0.02 * w"
    (v64, w64), (v32, w32) = (
        our_network(given, play, every_step, spikes, weights, rule, dtype) for dtype in (np.float64, np.float32)
    )
    assert v32.dtype == w32.dtype == np.float32
    np.testing.assert_allclose(v32, v64, rtol=0, atol=2e-5)
    np.testing.assert_allclose(w32, w64, rtol=0, atol=2e-5)


def test_feedforward_pass_equals_matrix_products(given, play):
    """A deep linear network in one step of the sweep is a product of matrices."""
    relay = NeuronType("drive : 1\nr : 1", "r = drive")
    draw = np.random.default_rng(2)
    sizes, lanes = (4, 6, 3, 5), 3
    x = given(sizes[0], lanes=lanes, dtype=np.float64)
    layers = [Population(n, relay, order=k, lanes=lanes, dtype=np.float64) for k, n in enumerate(sizes[1:], start=1)]
    weights = [draw.normal(size=(m, n)) for m, n in zip(sizes, sizes[1:], strict=False)]
    texts = ["drive_post = w * m_pre", *["drive_post = w * r_pre"] * 2]
    links = [
        Projection(a, b, text, weights=w) for a, b, text, w in zip([x, *layers], layers, texts, weights, strict=False)
    ]
    inputs = draw.normal(size=(1, 1, lanes, sizes[0]))
    play([x, *layers, *links], [(x, "m", inputs)])
    np.testing.assert_allclose(layers[-1].view("r")[0], np.linalg.multi_dot([inputs[0, 0], *weights]), rtol=1e-12)
