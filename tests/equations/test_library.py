"""Every named rule does what it is known for; here those that need no error: Hebb's kin, spike times, traces.

``per_step(x)`` is the rate that changes by x in a time step of brian2's default clock.
"""

import numpy as np
import pytest
from brian2 import DEFAULT_FUNCTIONS, Network, SpikeGeneratorGroup, Synapses, defaultclock, ms, mV, second
from brian2.utils.stringtools import get_identifiers
from scipy.signal import lfilter

from neurosim import EquationError, Population, Projection, neurons
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.plasticity.parse import split

GIVEN = NeuronType("r : 1\ndrive : 1")
LINEAR = NeuronType("drive : 1\nr : 1", update="r = drive")
WEIGHTED_SUM = "drive_post = w * r_pre"
DOUBLE = dict(dtype=np.float64)


def per_step(x):
    return x / defaultclock.dt


def run(steps, *objects):
    Network(*objects).run(steps * defaultclock.dt, namespace={})


def angle(a, b):
    """Angle between two directions in degrees, whichever way each points."""
    return np.degrees(np.arccos(min(1, abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))))


def texts(rule):
    """A rule's texts by event; the end of a phase, which needs a presentation, as "step"."""
    given = {rule.when: rule.events} if isinstance(rule.events, str) else rule.events
    return {"step" if event == "end" else event: text for event, text in given.items()}


def names(rule):
    """Return (variables of the neurons without their suffix, variables of the synapse, constants and signals)."""
    lines = [line for text in texts(rule).values() for line in split(text, rule.name)]
    found = set().union(*(get_identifiers(line.expression) for line in lines)) - set(DEFAULT_FUNCTIONS)
    synapse = {line.target for line in lines}
    suffixed = {name for name in found if name.endswith(("_pre", "_post"))}
    return {name.rpartition("_")[0] for name in suffixed}, synapse, found - synapse - suffixed - {"w"}


def test_library_lists_every_rule_once():
    assert set(map(id, library.RULES)) == {id(v) for v in vars(library).values() if isinstance(v, library.Rule)}
    assert len({rule.name for rule in library.RULES}) == len(library.RULES)


@pytest.mark.parametrize("rule", library.RULES, ids=lambda rule: rule.name)
def test_symbols_are_those_that_the_text_names(rule):
    """All that is named has its line, and only that (and w); the source says at least a year."""
    documented = {name for name, line in rule.symbols.items() if line.strip()}
    assert set().union(*names(rule)) | {"w"} == documented | {"w"}
    assert any(character.isdigit() for character in rule.source)


@pytest.mark.parametrize("rule", library.RULES, ids=lambda rule: rule.name)
def test_text_takes_the_units_that_its_symbols_state(rule):
    """A line with "(s)" is of a time, one with "(1/s)" of a rate, all else a number; mV in its place is refused."""
    of_neurons, _, others = names(rule)
    variables = "\n".join(f"{name} : 1" for name in of_neurons | {"spike", "a", "b"})
    pre, post = (Population(2, NeuronType(variables, spike="spike"), order=k) for k in range(2))
    signals = {"reward": (Population(1, GIVEN, order=0), "r")} if "reward" in others else {}
    constants = {}
    for name in others - set(signals):
        line = rule.symbols[name]
        constants[name] = 2 * second if "(s)" in line else 2 / second if "(1/s)" in line else 2

    def build(**wrong):
        Projection(
            pre, post, "b_post = w * a_pre", texts(rule), weights=np.ones((2, 2)), namespace=constants | wrong,
            signals=signals,
        )  # fmt: skip

    build()
    for name in set(constants) - {"p"}:  # brian2 does not look at the unit of an exponent
        with pytest.raises(EquationError):
            build(**{name: 2 * mV})


# Three factors
LOGISTIC = NeuronType("drive : 1\nheard : 1\nm : 1\np : 1\npsi = p * (1 - p) : 1", update="p = 1 / (1 + exp(-drive))")


def test_three_factor_rule_follows_the_probability_of_a_spike_in_the_mean():
    """Expected change: eta p_pre psi m, summed over the lanes; within 5 standard deviations of the draws.

    Intensities from 0.1 to 1, the last of which spikes with p_max = 0.95. Potentials are given, so that slopes are
    known. The largest change is over 40 standard deviations: a wrong sign or a forgotten slope shows.
    """
    draw = np.random.default_rng(0)
    lanes, steps, eta = 20, 1000, 1e-3
    source = Population(4, neurons.BERNOULLI_INPUT, order=0, lanes=lanes, namespace={"p_max": 0.95}, **DOUBLE)
    target = Population(3, LOGISTIC, order=1, lanes=lanes, **DOUBLE)
    p = Projection(
        source, target, "heard_post = w * s_pre", library.THREE_FACTOR, weights=np.zeros((4, 3)),
        namespace={"eta": per_step(eta), "decay": per_step(0)},
    )  # fmt: skip
    x, m, drive = np.array([0.1, 0.4, 0.7, 1]), draw.normal(1, 1, (lanes, 3)), draw.normal(size=(lanes, 3))
    source.view("x")[...], target.view("m")[...], target.view("drive")[...] = x, m, drive
    run(steps, source, target, p)
    spikes = np.minimum(x, 0.95)
    factors = m * np.exp(-drive) / (1 + np.exp(-drive)) ** 2
    expected = eta * steps * np.outer(spikes, factors.sum(axis=0))
    deviation = eta * np.sqrt(steps * np.outer(spikes * (1 - spikes), (factors**2).sum(axis=0)))
    assert np.abs((p.w[0] - expected) / deviation).max() < 5 and np.abs(expected / deviation).max() > 40


@pytest.mark.parametrize("lanes", [1, 3])
def test_three_factor_rule_without_a_third_factor_forgets_exponentially(lanes):
    """w falls as exp(-decay t), in n lanes with decay / n: by Euler (1 - 0.01) a step, 1.2 % below after 250 steps."""
    source = Population(2, neurons.BERNOULLI_INPUT, order=0, lanes=lanes, namespace={"p_max": 1}, **DOUBLE)
    target = Population(3, LOGISTIC, order=1, lanes=lanes, **DOUBLE)
    start = np.random.default_rng(0).normal(size=(2, 3))
    p = Projection(
        source, target, "heard_post = w * s_pre", library.THREE_FACTOR, weights=start,
        namespace={"eta": per_step(1), "decay": per_step(0.01 / lanes)},
    )  # fmt: skip
    source.view("x")[...] = 1
    run(250, source, target, p)
    np.testing.assert_allclose(p.w[0], start * 0.99**250, rtol=1e-12)
    np.testing.assert_allclose(p.w[0], start * np.exp(-2.5), rtol=0.013)


# Hebb's kin
def linear(rule, lanes, start, eta):
    """Return inputs, linear neurons r = sum of w r_pre, and the projection that learns by a rule."""
    source = Population(start.shape[0], GIVEN, order=0, lanes=lanes, **DOUBLE)
    target = Population(start.shape[1], LINEAR, order=1, lanes=lanes, **DOUBLE)
    p = Projection(source, target, WEIGHTED_SUM, rule, weights=start, namespace={"eta": per_step(eta)})
    return source, target, p


def principal_axes(patterns):
    """Eigenvalues of the patterns' correlation matrix, largest first, and its eigenvectors as columns."""
    values, vectors = np.linalg.eigh(patterns.T @ patterns)
    return values[::-1], vectors[:, ::-1]


def test_hebb_adds_up_the_outer_products_of_both_activities(play):
    """30 steps of 2 lanes of any activity on both sides."""
    draw = np.random.default_rng(0)
    pre, post, start = draw.normal(size=(30, 1, 2, 3)), draw.normal(size=(30, 1, 2, 4)), draw.normal(size=(3, 4))
    source, target = (Population(n, GIVEN, order=k, lanes=2, **DOUBLE) for k, n in enumerate((3, 4)))
    p = Projection(source, target, WEIGHTED_SUM, library.HEBB, weights=start, namespace={"eta": per_step(0.1)})
    play([source, target, p], [(source, "r", pre), (target, "r", post)])
    np.testing.assert_allclose(p.w[0] - start, 0.1 * np.einsum("trli,trlj->ij", pre, post), rtol=1e-10)


def test_hebb_grows_along_the_leading_eigenvector_of_the_inputs_correlations():
    """Linear neurons, 50 patterns as lanes: every step multiplies w by 1 + eta C, most along C's first eigenvector."""
    draw = np.random.default_rng(0)
    patterns, start = draw.normal(size=(50, 3)) * [1.5, 1, 0.5], draw.normal(size=(3, 2))
    source, target, p = linear(library.HEBB, 50, start, 1e-3)
    source.view("r")[...] = patterns
    run(100, source, target, p)
    growth = np.linalg.matrix_power(np.eye(3) + 1e-3 * patterns.T @ patterns, 100)
    np.testing.assert_allclose(p.w[0], growth @ start, rtol=1e-9)
    values, axes = principal_axes(patterns)
    for before, after in zip(start.T, p.w[0].T, strict=True):
        assert angle(after, axes[:, 0]) < 2 < angle(before, axes[:, 0])
        assert after @ axes[:, 0] / (before @ axes[:, 0]) == pytest.approx((1 + 1e-3 * values[0]) ** 100)


STARTS = np.array([[0.05, -0.05, 0.02, 2.0], [0.1, 0.02, -0.01, -1.0], [-0.1, 0.1, 0.1, 3.0]])  # small, and one large


def test_oja_in_lanes_converges_to_the_first_principal_component():
    """All 50 patterns at once, in lanes: the fixed point is the leading eigenvector with norm 1.

    Neurons that start small grow to it, one that starts with norm 3.7 shrinks; each keeps the sign of its overlap.
    """
    patterns = np.random.default_rng(0).normal(size=(50, 3)) * [1.5, 1, 0.5]
    source, target, p = linear(library.OJA, 50, STARTS, 5e-4)
    source.view("r")[...] = patterns
    run(1500, source, target, p)
    first = principal_axes(patterns)[1][:, 0]
    np.testing.assert_allclose(p.w[0], np.outer(first, np.sign(first @ STARTS)), atol=1e-6)


def test_oja_in_one_lane_converges_to_the_first_principal_component(play):
    """One pattern of a 50 a step, drawn at random, along no axis of the inputs: within 5 degrees, norm within 5 %.

    Steps of eta = 2e-3 leave fluctuations of about sqrt(eta) = 4 % (2.6 degrees).
    """
    draw = np.random.default_rng(0)
    rotation = np.linalg.qr(draw.normal(size=(3, 3)))[0]
    patterns = draw.normal(size=(50, 3)) * [1.5, 1, 0.5] @ rotation
    source, target, p = linear(library.OJA, 1, STARTS, 2e-3)
    play([source, target, p], [(source, "r", patterns[draw.integers(0, 50, 6000)][:, None, None])])
    first = principal_axes(patterns)[1][:, 0]
    for before, after in zip(STARTS.T, p.w[0].T, strict=True):
        assert angle(after, first) < 5 and np.linalg.norm(after) == pytest.approx(1, abs=0.05)
        assert np.sign(after @ first) == np.sign(before @ first)


BCM_NEURON = NeuronType("dtheta/dt = (r**2 - theta) / tau : 1\ndrive : 1\nr : 1", update="r = drive")


def test_bcm_neurons_choose_one_pattern_and_answer_it_with_one_over_its_probability(play):
    """Patterns a, b, a, c in turn, neither orthogonal nor of one length; 8 neurons with random weights.

    At the fixed point r = theta = E[r^2] for one pattern of probability P and r = 0 for the others, so r = 1 / P: 2 for
    a, 4 for b and c (Intrator & Cooper 1992). A threshold that looks back over 100 steps ripples, which adds less than
    2 %; it must be faster than the weights, or these oscillate.
    """
    draw = np.random.default_rng(3)
    patterns = np.array([[1, 0.2, 0.1], [0.1, 0.8, 0.3], [0.2, 0.1, 0.9]])
    source = Population(3, GIVEN, order=0, **DOUBLE)
    target = Population(8, BCM_NEURON, order=1, namespace={"tau": 100 * defaultclock.dt}, **DOUBLE)
    p = Projection(
        source, target, WEIGHTED_SUM, library.BCM, weights=draw.uniform(0.2, 1.2, (3, 8)),
        namespace={"eta": per_step(4e-3)},
    )  # fmt: skip
    play([source, target, p], [(source, "r", patterns[np.resize([0, 1, 0, 2], 12000)][:, None, None])])
    answers = patterns @ p.w[0]
    chosen = answers.argmax(axis=0)
    assert set(chosen) == {0, 1, 2}
    expected = np.array([2, 4, 4])[chosen] * (np.arange(3)[:, None] == chosen)
    np.testing.assert_allclose(answers, expected, rtol=0.02, atol=0.01)


WINNERS = NeuronType("drive : 1\ng : 1", update="g = clip(drive, 0, inf)")


def competing(p, radius, start, tau):
    """Return inputs, neurons whose learning activation g is their drive where that is positive, and the projection."""
    source = Population(start.shape[0], NeuronType("v : 1"), order=0, **DOUBLE)
    target = Population(start.shape[1], WINNERS, order=1, **DOUBLE)
    projection = Projection(
        source, target, "drive_post = sign(w) * abs(w)**(p - 1) * v_pre", library.COMPETITIVE, weights=start,
        namespace={"p": p, "R": radius, "tau_L": tau * defaultclock.dt},
    )  # fmt: skip
    return source, target, projection


@pytest.mark.parametrize("p", [2, 3, 4])
def test_competitive_rule_brings_the_p_norm_of_every_weight_vector_to_the_radius(p, play):
    """One random pattern a step, a negative weight in every vector, norms that start below and above R = 1.5.

    d|W|^p/dt = p g <W, v> (R^p - |W|^p) / tau_L whatever is shown: only Euler's error is left, below 0.1 %.
    """
    draw = np.random.default_rng(0)
    start = draw.uniform(0.3, 0.7, (5, 4)) * [0.3, 0.7, 1.5, 3]
    start[0] *= -1
    source, target, projection = competing(p, 1.5, start, tau=1000)
    norms = (np.abs(start) ** p).sum(axis=0) ** (1 / p)
    assert norms.min() < 0.5 and norms.max() > 2
    play([source, target, projection], [(source, "v", draw.uniform(0, 1, (4000, 1, 1, 5)))])
    norms = (np.abs(projection.w[0]) ** p).sum(axis=0) ** (1 / p)
    np.testing.assert_allclose(norms, 1.5, rtol=1e-3)


def test_competitive_rule_of_p_2_and_radius_1_is_ojas_rule(play):
    """With g = r = <W, v>, 50 steps: dW/dt = r (v - r W) / tau_L."""
    draw = np.random.default_rng(0)
    start, patterns = draw.uniform(0.1, 1, (4, 3)), draw.uniform(0, 1, (50, 1, 1, 4))
    source, target, competitive = competing(2, 1, start, tau=20)
    play([source, target, competitive], [(source, "v", patterns)])
    source, target, oja = linear(library.OJA, 1, start, 1 / 20)
    play([source, target, oja], [(source, "r", patterns)])
    np.testing.assert_allclose(competitive.w, oja.w, rtol=1e-10)
    assert np.abs(oja.w[0] - start).max() > 0.1


# Spike times.
TRACED = NeuronType(
    """
    drecent/dt = -recent / tau : 1
    s : 1
    drive : 1
    """,
    update="recent += s",
    spike="s",
)
CHANGES = {"A_plus": 0.5, "A_minus": 0.3}
TAU_PRE, TAU_POST = 2 * ms, 3.4 * ms


def spike_pairs(play, of_source, of_target):
    """Return the weights, 0 at first, after spikes (steps, n_pre) of the sources and (steps, n_post) of the targets."""
    spikes = [np.asarray(s, float)[:, None, None] for s in (of_source, of_target)]
    source = Population(spikes[0].shape[-1], TRACED, order=0, namespace={"tau": TAU_PRE}, **DOUBLE)
    target = Population(spikes[1].shape[-1], TRACED, order=1, namespace={"tau": TAU_POST}, **DOUBLE)
    start = np.zeros((source.n, target.n))
    p = Projection(source, target, "drive_post = w * s_pre", library.STDP, weights=start, namespace=CHANGES)
    play([source, target, p], [(source, "s", spikes[0]), (target, "s", spikes[1])])
    return p.w[0]


def test_stdp_window_is_two_exponentials_of_the_time_between_the_spikes(play):
    """A source spikes in step 40, target k in step k: A_plus exp(-t / tau) after it, -A_minus exp(t / tau') before.

    Spikes of the same step pair both ways: A_plus - A_minus.
    """
    each_its_step = np.eye(81)
    w = spike_pairs(play, each_its_step[:, 40:41], each_its_step)[0]
    t = (np.arange(81) - 40) * defaultclock.dt
    window = np.where(t >= 0, 0.5 * np.exp(-t / TAU_PRE), 0) - np.where(t <= 0, 0.3 * np.exp(t / TAU_POST), 0)
    np.testing.assert_allclose(w, window, rtol=1e-10)


def test_stdp_equals_synapses_for_random_spikes(play):
    """300 steps of 5 % spikes, some at once, against brian2's Synapses that keep the traces themselves.

    In a step both traces take its spikes before the weights change, for the source's spike and then for the target's.
    """
    draw = np.random.default_rng(0)
    spikes = [draw.random((300, n)) < 0.05 for n in (6, 5)]
    groups = []
    for each in spikes:
        steps, indices = np.nonzero(each)
        groups.append(SpikeGeneratorGroup(each.shape[1], indices, steps * defaultclock.dt))
    plain = Synapses(
        *groups,
        """w : 1
        da/dt = -a / tau_pre : 1 (event-driven)
        db/dt = -b / tau_post : 1 (event-driven)""",
        on_pre={"mark": "a += 1", "pre": "w -= A_minus * b"},
        on_post={"answer": "b += 1", "post": "w += A_plus * a"},
        namespace=CHANGES | {"tau_pre": TAU_PRE, "tau_post": TAU_POST},
    )
    plain.connect()
    for order, path in enumerate((plain.mark, plain.answer, plain.pre, plain.post)):
        path.order = order
    run(300, *groups, plain)
    w = spike_pairs(play, *spikes)
    expected = np.empty_like(w)
    expected[plain.i, plain.j] = plain.w
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-12)
    assert np.abs(w).max() > 1 and (spikes[0].T @ spikes[1]).any()


# Eligibility
LOW_PASSED = NeuronType("dx/dt = -x / tau : 1\ns : 1", update="x += s", spike="s")
LISTENER = NeuronType("psi : 1\nsignal : 1\ndrive : 1")
TAU_E, ETA = 30, 0.2  # in steps; a step


def credited(play, source, variable, values, psi, signal):
    """Return the projection after its source's variable, psi and the signal took these values (steps, lanes, n)."""
    target = Population(psi.shape[-1], LISTENER, order=1, lanes=psi.shape[1], **DOUBLE)
    p = Projection(
        source, target, f"drive_post = w * {variable}_pre", library.ELIGIBILITY,
        weights=np.zeros((source.n, target.n)), namespace={"tau_e": TAU_E * defaultclock.dt, "eta": per_step(ETA)},
    )  # fmt: skip
    given = [(source, variable, values), (target, "psi", psi), (target, "signal", signal)]
    play([source, target, p], [(population, name, value[:, None]) for population, name, value in given])
    return p


def test_signal_that_comes_late_finds_the_trace_decayed_exponentially(play):
    """x psi = 1 in step 0, the signal of target d in step d: eta / tau_e exp(-d / tau_e), exactly Euler's power of it.

    The trace of a step is what the steps before it left, so that a signal in step 0 comes too early.
    """
    source = Population(1, NeuronType("x : 1"), order=0, **DOUBLE)
    first = np.eye(91)[:, :1, None]
    w = credited(play, source, "x", first, first * np.ones(91), np.eye(91)[:, None]).w[0, 0]
    d = np.arange(1, 91)
    assert w[0] == 0
    np.testing.assert_allclose(w[1:], ETA / TAU_E * (1 - 1 / TAU_E) ** (d - 1), rtol=1e-10)
    np.testing.assert_allclose(w[1:], ETA / TAU_E * np.exp(-d / TAU_E), rtol=d[-1] / TAU_E**2)


def test_late_credit_adds_up_as_a_convolution_in_every_lane(play):
    """Random spikes, low-passed by their neurons, slopes, signals; 3 lanes: each lane's own trace times its signal.

    Change: eta sum over lanes and steps of signal(t) (k * (x psi))(t), k(d) = (1 - 1/tau_e)^(d-1) / tau_e for d >= 1.
    The signal of one lane reaches no trace of another: with a trace of all lanes the sum would be another.
    """
    draw = np.random.default_rng(0)
    steps, lanes = 200, 3
    s = 1.0 * (draw.random((steps, lanes, 4)) < 0.1)
    psi, signal = draw.uniform(0, 1, (steps, lanes, 2)), draw.normal(size=(steps, lanes, 2))
    source = Population(4, LOW_PASSED, order=0, lanes=lanes, namespace={"tau": 2 * ms}, **DOUBLE)
    p = credited(play, source, "s", s, psi, signal)
    x = lfilter([1], [1, -np.exp(-defaultclock.dt / (2 * ms))], s, axis=0)
    trace = lfilter([0, 1 / TAU_E], [1, 1 / TAU_E - 1], np.einsum("tli,tlj->tlij", x, psi), axis=0)
    np.testing.assert_allclose(p.w[0], ETA * np.einsum("tlij,tlj->ij", trace, signal), rtol=1e-9)
    one_trace = ETA * np.einsum("tij,tj->ij", trace.sum(axis=1), signal.sum(axis=1))
    assert np.abs(p.w[0] - one_trace).max() > 0.1
