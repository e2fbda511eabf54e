"""What a rule says: events and their order, phase ends, signals, lanes, units, functions, named rules, Kernels."""

import numpy as np
import pytest
from brian2 import Clock, Hz, Network, NetworkOperation, Quantity, check_units, ms, mV, nS, second, volt
from brian2.core.base import BrianObjectException
from numba import njit
from wiring import cells, show

from neurosim import EquationError, Kernel, ParameterError, Population, Presentation, Projection, Uniform
from neurosim.connectivity import Masked
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.plasticity.library import Rule

LANES = [1, 3]
DT = 1e-4
ELECTRIC = NeuronType("s : 1\nu : volt\ng : siemens\ndrive : amp", spike="s")
RATED = NeuronType("r : 1\ntarget : 1\nrho : 1\nfree : 1\ndrive : 1\nu : volt\npsi = r * (1 - r) : 1")


def join(rule=None, lanes=1, replicas=1, sizes=(4, 3), weights=None, transmit="drive_post = w * m_pre",
         dtype=np.float64, **more):  # fmt: skip
    """A projection between two populations; without weights given they start at 0."""
    a, b = cells(sizes[0], 0, lanes, replicas, dtype), cells(sizes[1], 1, lanes, replicas, dtype)
    weights = np.zeros(sizes) if weights is None else weights
    return Projection(a, b, transmit, rule=rule, weights=weights, **more)


def spike(p, pre=1, post=1):
    """Let all neurons of the source, and of the target, spike in every step."""
    p.source.view("s")[...], p.target.view("s")[...] = pre, post


def run(p, steps=1, *more):
    network = Network(p.source, p.target, p, *more)
    network.run(steps * p.clock.dt)
    return network


# Statements, events and their order


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(("pre", "post", "result"), [(1, 1, 18**2), (0, 1, 14**2), (1, 0, 8**2), (0, 0, 4**2)])
def test_events_of_a_step_follow_one_another_rate_step_pre_post_end(lanes, pre, post, result):
    """No two of these operations may be exchanged; each sees what the one before has left."""
    a, b = cells(4, 0, lanes), cells(3, 1, lanes)
    shown = Presentation(a.clock.dt, clock=a.clock)
    shown.show(np.zeros((1, lanes), int))
    events = {
        shown.end("presentation"): "q = q**2",
        "post": "q = q + 10",
        "pre": "q = 2 * q",
        "step": "q : 1\nq = q + 1\ndq/dt = (3 + q) / dt",
    }
    p = Projection(a, b, "drive_post = w * m_pre", rule=events, weights=np.zeros((4, 3)))
    spike(p, pre, post)
    run(p, 1, shown)
    np.testing.assert_allclose(p.view("q"), result)


@pytest.mark.parametrize("lanes", LANES)
def test_statements_see_what_those_before_them_did(lanes):
    p = join("q : 1\nr : 1\nq = m_pre\nr = q * v_post\nq = q - r\nw += q + r", lanes)
    given = show([p], steps=1).given
    a, b = (given[population][x][0] for population, x in ((p.source, "m"), (p.target, "v")))
    product = np.einsum("rli,rlj->rlij", a, b)
    np.testing.assert_allclose(p.w, (a[..., None] + 0 * product).sum(axis=1), atol=1e-12)


@pytest.mark.parametrize("lanes", LANES)
def test_rates_are_taken_together_from_the_values_before(lanes):
    """A rotation by forward Euler: x' = -y, y' = x; one after the other it would be another map."""
    p = join("dx/dt = -y / (1*ms) : 1\ndy/dt = x / (1*ms) : 1\nw += x - x", lanes)
    p.view("x")[...] = 1
    run(p, 30)
    turned = np.linalg.matrix_power(np.array([[1, -0.1], [0.1, 1]]), 30) @ [1, 0]
    np.testing.assert_allclose(p.view("x"), turned[0], atol=1e-12)
    np.testing.assert_allclose(p.view("y"), turned[1], atol=1e-12)


@pytest.mark.parametrize("lanes", LANES)
def test_bounds_are_kept_after_each_event(lanes):
    p = join({"step": "w += 5 / lanes", "pre": "w -= 0.25 / lanes", "post": "w -= 5 / lanes"}, lanes, bounds=(-1, 1))
    spike(p, post=0)
    network = run(p)
    assert np.array_equal(p.w, np.full(p.w.shape, 0.75)), "clipped to 1 before the spike"
    spike(p)
    network.run(p.clock.dt)
    assert np.array_equal(p.w, np.full(p.w.shape, -1))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("store", ["matrix", "list"])
def test_weights_of_a_source_never_cross_zero(lanes, store):
    """Dale's sign: two sources excite, two inhibit; bounds hold beside it."""
    signs = np.array([1, -1, 1, -1])
    start = 0.1 * signs[:, None] * np.ones((4, 3))
    p = join("w += 0.5 * v_post", lanes, weights=start, dale=signs, bounds=(-0.3, 0.2),
             connectivity=Masked(np.ones((4, 3), bool), store))  # fmt: skip
    network = run(p)
    for value in (-1, 1, -1):
        p.target.view("v")[...] = value
        network.run(p.clock.dt)
        expected = np.where(signs > 0, max(value, 0) * 0.2, min(value, 0) * 0.3)
        np.testing.assert_allclose(p.matrix()[0], np.repeat(expected[:, None], 3, axis=1), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("w += 3", 5), ("w -= 3", -1), ("w *= 3", 6), ("w /= 4", 0.5), ("w = 3", 3), ("w = -w", -2),
        ("w += 3  # w -= 9", 5), ("w += (1 +\n 2) * (  # twice\n 1)", 5), ("\n\n  w += 1 \n\n w += 2\n", 5),
        ("w = clip(w + 9, 0, 4)", 4), ("w = clip(w, -1, inf)", 2), ("w+=1", 3), ("w = int(w > 1)", 1),
        ("w = w**2 % 3 + w // 2", 2), ("w += exp(log(w)) - sqrt(w**2)", 2), ("w = e**0 * pi", np.pi),
        ("w = floor(w + 0.5) + ceil(0.2) + sign(-3) + abs(-4)", 6), ("w = int(w > 1 and not w > 5 or w == 7)", 1),
    ],
)  # fmt: skip
def test_forms_of_a_statement(text, result):
    p = join(text, weights=np.full((4, 3), 2.0))
    p.learning()
    np.testing.assert_allclose(p.w, result, rtol=1e-12)


@pytest.mark.parametrize("lanes", LANES)
def test_clip_of_the_weight_and_a_change_adds_the_lanes_up_before_it_clips(lanes):
    p = join("w = clip(w + v_post, -0.5, 0.75)", lanes)
    total = show([p], steps=1).given[p.target]["v"][0].sum(axis=1)
    np.testing.assert_allclose(p.w[0], np.clip(np.repeat(total, 4, axis=0), -0.5, 0.75), atol=1e-12)


@pytest.mark.parametrize("lanes", LANES)
def test_lanes_is_the_number_of_lanes(lanes):
    p = join("w += (1 + v_post) / lanes", lanes)
    mean = show([p], steps=1).given[p.target]["v"][0].mean(axis=1)
    np.testing.assert_allclose(p.w[0], np.repeat(1 + mean, 4, axis=0), atol=1e-12)


@pytest.mark.parametrize("lanes", LANES)
def test_named_expressions_stand_for_their_text_in_rules_and_transmits(lanes):
    """Nested, with the weight and a variable of the synapse in them; the transmit has names of its own."""
    texts = (
        "trace : 1\nhebb = m_pre * m_post : 1\nboth = hebb + w * trace : 1\ntrace += hebb\nw += 0.1 * both",
        "trace : 1\ntrace += m_pre * m_post\nw += 0.1 * (m_pre * m_post + w * trace)",
    )
    named, plain = (join(text, lanes, weights=np.ones((4, 3))) for text in texts)
    plain = Projection(named.source, named.target, "also_post = tanh(w * m_pre + 1)", rule=texts[1],
                       weights=np.ones((4, 3)))  # fmt: skip
    nested = "inner = w * m_pre : 1\nouter = tanh(inner + 1) : 1\nthird_post = outer"
    third = Projection(named.source, named.target, nested, rule=texts[0], weights=np.ones((4, 3)))
    result = show([named, plain, third], steps=3)
    np.testing.assert_allclose(named.w, plain.w, atol=1e-12)
    np.testing.assert_allclose(third.w, plain.w, atol=1e-12)
    np.testing.assert_allclose(result.drive[third], result.drive[plain], atol=1e-12)


def test_expressions_and_constants_of_the_populations_may_be_named():
    @check_units(x=1, result=1)
    def twice(x):
        return 2 * x

    model = NeuronType("m : 1\ndrive : 1\nslope = gain * m : 1\nother = twice(slope) + gain : 1")
    space = {"twice": twice}
    a, b = (Population(2, model, order=k, namespace=space | {"gain": k + 3.0}, dtype=np.float64) for k in range(2))
    p = Projection(
        a, b, "drive_post = w * slope_pre", rule="w += other_pre * slope_post * gain_post", weights=np.ones((2, 2))
    )
    a.view("m")[...], b.view("m")[...] = 0.5, 0.25
    Network(a, b, p).run(a.clock.dt)
    np.testing.assert_allclose(b.view("drive"), 2 * 3 * 0.5)
    np.testing.assert_allclose(p.w, 1 + (2 * 3 * 0.5 + 3) * (4 * 0.25) * 4)


# The end of a phase


def late(rule, phase, lanes=1, **more):
    """A projection that learns at the end of a phase, and the presentation, of 3 free and 2 nudged steps, twice."""
    a, b = cells(4, 0, lanes), cells(3, 1, lanes)
    shown = phases(a.clock, lanes=lanes)
    p = Projection(a, b, "drive_post = w * m_pre", rule=rule, when=shown.end(phase), weights=np.zeros((4, 3)), **more)
    return p, shown


def phases(clock, free=3, nudged=2, presentations=2, lanes=1):
    shown = Presentation({"free": free * clock.dt, "nudged": nudged * clock.dt}, clock=clock)
    shown.show(np.zeros((presentations, lanes), int))
    return shown


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(
    ("phase", "at"), [("free", [2, 7]), ("nudged", [4, 9])]
)  # of 3 and 2 steps in two presentations
def test_end_of_a_phase_is_its_last_step_once_a_presentation(phase, at, lanes, every_step):
    p, shown = late("w += 1 / lanes", phase, lanes)
    look, seen = every_step(p.clock, lambda: p.w[0, 0, 0])
    Network(p.source, p.target, p, shown, look).run(shown.remaining)
    expected = np.zeros(10)
    for step in at:
        expected[step:] += 1
    np.testing.assert_allclose(seen, expected, atol=1e-12)


def test_phases_of_one_step_and_presentations_without_named_phases_end_too(every_step):
    a, b = cells(4), cells(3, 1)
    one = phases(a.clock, free=1, nudged=1)
    whole = Presentation(4 * a.clock.dt, clock=a.clock)
    whole.show([[0]])
    rule = {one.end("free"): "w += 1", one.end("nudged"): "w += 10", whole.end("presentation"): "w += 100"}
    p = Projection(a, b, "drive_post = w * m_pre", rule=rule, weights=np.zeros((4, 3)))
    look, seen = every_step(a.clock, lambda: p.w[0, 0, 0])
    Network(a, b, p, one, whole, look).run(whole.remaining)
    assert seen == [1, 11, 12, 122]


def test_lines_with_a_rate_run_in_every_step_also_in_a_rule_for_the_end_of_a_phase():
    p, shown = late("dq/dt = 1 / dt : 1\nw += q", "free")
    Network(p.source, p.target, p, shown).run(shown.remaining)
    np.testing.assert_allclose(p.view("q"), 10)
    np.testing.assert_allclose(p.w, 3 + 8)


def test_gate_closes_the_end_of_a_phase_too():
    p, shown = late("w += 1", "free")
    shown.gate(p, "nudged")
    Network(p.source, p.target, p, shown).run(shown.remaining)
    assert not p.w.any()


def test_kept_values_are_those_of_the_last_step_of_the_phase_and_there_before_its_rules(every_step):
    """rho counts the steps; at the end of the free phase free is what rho is, also for a rule of that moment."""
    a, b = (Population(2, RATED, order=k, dtype=np.float64) for k in range(2))
    shown = phases(a.clock)
    for population in (a, b):
        shown.keep(population, "rho", into="free", phase="free")
    rule = {
        shown.end("free"): "w += 100 * free_pre * free_post",
        shown.end("nudged"): "w += rho_pre * rho_post - free_pre * free_post",
    }
    p = Projection(a, b, "drive_post = w * r_pre", rule=rule, weights=np.zeros((2, 2)))
    steps = iter(range(1, 11))

    def count():
        a.view("rho")[...] = b.view("rho")[...] = next(steps)

    look, seen = every_step(a.clock, lambda: (b.view("free")[0, 0, 0], p.w[0, 0, 0]))
    Network(a, b, p, shown, NetworkOperation(count, clock=a.clock), look).run(shown.remaining)
    free, w = np.array(seen).T
    np.testing.assert_array_equal(free, [0, 0, 3, 3, 3, 3, 3, 8, 8, 8])
    np.testing.assert_array_equal(w, np.cumsum([0, 0, 900, 0, 25 - 9, 0, 0, 6400, 0, 100 - 64]))


def test_phase_ends_go_on_where_a_stored_network_was(every_step):
    p, shown = late("w += 1", "nudged")
    look, seen = every_step(p.clock, lambda: p.w[0, 0, 0])
    network = Network(p.source, p.target, p, shown, look)
    network.run(4 * p.clock.dt)
    network.store()
    network.run(6 * p.clock.dt)
    network.restore()
    network.run(6 * p.clock.dt)
    assert seen == [0, 0, 0, 0, *[1, 1, 1, 1, 1, 2] * 2]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda shown, a: shown.end("nugded"), ["Presentation.end", "'nugded'", "free, nudged"]),
        (lambda shown, a: shown.keep(a, "rho", "free", "late"), ["Presentation.keep", "'late'", "free, nudged"]),
        (lambda shown, a: shown.keep(a, "u", "free", "free"), ["Presentation.keep", "u", "V", "free", "1"]),
        (lambda shown, a: shown.keep(a, "rh", "free", "free"), ["'rh'", "rho"]),
        (lambda shown, a: shown.keep(a, "rho", "psi", "free"), ["'psi'", "rho"]),
        (lambda shown, a: shown.keep(cells(2, clock=Clock(1 * ms)), "m", "v", "free"), ["another clock"]),
    ],
)
def test_phases_and_variables_that_do_not_exist_are_refused(wrong, words):
    a = Population(2, RATED, order=0)
    with pytest.raises(ParameterError) as caught:
        wrong(phases(a.clock), a)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# Signals, units, functions


@pytest.mark.parametrize("lanes", LANES)
def test_signal_is_one_number_for_all_neurons_of_a_lane_and_replica(lanes):
    reward = cells(1, 2, lanes, 2)
    reward.view("m")[...] = np.arange(1.0, 2 * lanes + 1).reshape(2, lanes, 1)
    p = join("w += reward * m_pre * v_post + reward", lanes, replicas=2, transmit="drive_post = w * m_pre * reward",
             weights=np.ones((4, 3)), signals={"reward": (reward, "m")})  # fmt: skip
    result = show([p], steps=1, more=[reward])
    a, b = (result.given[population][x][0] for population, x in ((p.source, "m"), (p.target, "v")))
    r = reward.view("m")
    np.testing.assert_allclose(p.w, 1 + np.einsum("rli,rlj,rlk->rij", a, b, r) + r.sum(axis=1)[..., None], atol=1e-12)
    np.testing.assert_allclose(result.drive[p][0], a.sum(axis=2, keepdims=True) * r * np.ones(3), atol=1e-12)


def test_signals_of_one_name_in_two_projections_are_two_signals():
    first, second = cells(1, 2), cells(1, 2)
    first.view("m")[...], second.view("m")[...] = 1, 10
    a, b = cells(2), cells(2, 1)
    b.view("m")[...] = 1
    both = [
        Projection(a, b, "drive_post = w * m_pre", rule=rule, weights=np.zeros((2, 2)), signals={"r": (signal, "m")})
        for rule in ("w += r * m_post", "w += tanh(r * m_post) + w * r")
        for signal in (first, second)
    ]
    Network(a, b, first, second, *both).run(a.clock.dt)
    assert [p.w[0, 0, 0] for p in both] == [1, 10, np.tanh(1), np.tanh(10)]


def test_units_of_weights_signals_variables_and_constants_are_checked_and_converted():
    """A conductance of 2 nS times 3 mV is 6 pA; the rule adds 1 nS for every mV and ms of the signal."""
    a, b = Population(2, ELECTRIC, order=0, dtype=np.float64), Population(2, ELECTRIC, order=1, dtype=np.float64)
    level = Population(1, ELECTRIC, order=0, dtype=np.float64)
    rule = """
    trace : second * volt
    trace += level * 2*ms
    w += trace * rate + 0 * nS
    dw/dt = 0.5*nS / ms * int(u_pre > 1*mV)
    """
    p = Projection(a, b, "drive_post = w * u_pre", rule=rule, weights=np.full((2, 2), 2.0) * nS,
                   bounds=(0 * nS, 9 * nS), signals={"level": (level, "u")},
                   namespace={"rate": 1 * nS / mV / ms})  # fmt: skip
    a.view("u")[...], level.view("u")[...] = 3e-3, 1e-3
    Network(a, b, level, p).run(a.clock.dt)
    np.testing.assert_allclose(b.view("drive"), 2 * 6e-12, rtol=1e-10)
    np.testing.assert_allclose(p.w, 2e-9 + 2e-9 + 0.05e-9, rtol=1e-10)
    with pytest.raises(EquationError, match=r"left side has the unit S, the right side"):
        Projection(a, b, "drive_post = w * u_pre", rule="w += level", weights=Uniform(1 * nS), seed=1,
                   signals={"level": (level, "u")})  # fmt: skip


def test_dt_is_the_time_step_and_a_clock_changed_later_is_refused():
    clock = Clock(0.5 * ms)
    a, b = cells(2, clock=clock), cells(2, 1, clock=clock)
    p = Projection(a, b, "drive_post = w * m_pre", rule="w += dt / ms\ndw/dt = 1 * Hz", weights=np.zeros((2, 2)))
    network = Network(a, b, p)
    network.run(1 * ms)
    np.testing.assert_allclose(p.w, 2 * (0.5 + 0.5e-3))
    clock.dt = 1 * ms
    with pytest.raises(BrianObjectException) as caught:
        network.run(1 * ms)
    assert isinstance(caught.value.__cause__, ParameterError) and "0.5 ms" in str(caught.value.__cause__)


@pytest.mark.parametrize("lanes", LANES)
def test_functions_with_units_are_called_for_every_synapse(lanes):
    @check_units(x=volt, y=1, result=1)
    def gate(x, y):
        if x > 0.5:
            return y
        return -2 * y

    @check_units(x=1, result=1)
    def gate_of_one(x):
        return x * x + 1

    space = {"gate": gate, "square": gate_of_one, "one": 1 * volt}
    rule = "w += gate(w * one, m_pre * v_post) + square(m_pre) * v_post"
    p = join(rule, lanes, weights=np.array([[0.0, 1, 0]] * 4), namespace=space)
    also = Projection(p.source, p.target, "also_post = gate(w * one, m_pre)", weights=p.w.copy(), namespace=space)
    start = p.w.copy()
    result = show([p, also], steps=1)
    a, b = result.given[p.source]["m"][0], result.given[p.target]["v"][0]
    product = np.einsum("rli,rlj->rlij", a, b)
    scale = np.where(start > 0.5, 1, -2)
    expected = start + (scale * product + np.einsum("rli,rlj->rlij", a**2 + 1, b)).sum(axis=1)
    np.testing.assert_allclose(p.w, expected, atol=1e-12)
    np.testing.assert_allclose(result.drive[also][0, 0], np.einsum("li,ij->lj", a[0], scale[0]), atol=1e-12)
    for wrong in ("w += gate(m_pre, w)", "w += gate(m_pre * one)", "dw/dt = gate(m_pre * one, w)"):
        with pytest.raises(EquationError, match="rule"):
            join(wrong, namespace=space)


def test_functions_of_one_name_in_two_projections_are_two_functions():
    @check_units(x=1, result=1)
    def first(x):
        return x

    @check_units(x=1, result=1)
    def second(x):
        return 10 * x

    a, b = cells(2), cells(2, 1)
    a.view("m")[...] = b.view("m")[...] = 1
    both = [
        Projection(a, b, "drive_post = w * m_pre", rule=rule, weights=np.ones((2, 2)), namespace={"f": f})
        for rule in ("w += f(m_post) * m_pre", "w += f(w * m_post)")
        for f in (first, second)
    ]
    Network(a, b, *both).run(a.clock.dt)
    assert [p.w[0, 0, 0] for p in both] == [2, 11, 2, 11]


@pytest.mark.parametrize("name", ["s", "one", "first", "x0", "v0", "dot", "np", "range"])
def test_functions_may_have_any_name(name):
    """Also one that the kernel made from the text would use itself."""

    @check_units(x=1, result=1)
    def twice(x):
        return 2 * x

    p = join(f"w += {name}(w * m_pre + v_post)", weights=np.ones((4, 3)), namespace={name: twice})
    p.source.view("m")[...] = p.target.view("v")[...] = 1
    run(p)
    np.testing.assert_allclose(p.w, 5)


# Named rules


def test_named_rule_is_its_text_and_its_event():
    """Its symbols are documented, and it learns as its text does."""
    a, b = (Population(3, RATED, order=k, dtype=np.float64) for k in range(2))
    draw = np.random.default_rng(0)
    for population in (a, b):
        for variable in ("r", "rho", "free"):
            population.view(variable)[...] = draw.uniform(size=population.shape)
    shown = phases(a.clock, presentations=1)
    start, eta = draw.normal(size=(3, 3)), {"eta": 5 * Hz}
    settings = dict(transmit="drive_post = w * r_pre", weights=start)
    oja = Projection(a, b, rule=library.OJA, namespace=eta, **settings)
    text = Projection(a, b, rule=library.OJA.events, namespace=eta, **settings)
    late = {"eta": 0.1, "beta": 0.5}
    contrastive = Projection(a, b, rule=library.CONTRASTIVE, when=shown.end("free"), namespace=late, **settings)
    own = Projection(a, b, rule=Rule("ours", {"step": "w += 1"}), **settings)
    Network(a, b, oja, text, contrastive, own, shown).run(shown.remaining)
    np.testing.assert_array_equal(oja.w, text.w)
    x, y = a.view("r")[0, 0], b.view("r")[0, 0]
    w = start.copy()
    for _ in range(5):
        w += DT * 5 * y * (x[:, None] - y * w)
    np.testing.assert_allclose(oja.w[0], w, atol=1e-12)
    change = np.multiply.outer(a.view("rho").ravel(), b.view("rho").ravel())
    change -= np.multiply.outer(a.view("free").ravel(), b.view("free").ravel())
    np.testing.assert_allclose(contrastive.w[0], start + 0.2 * change, atol=1e-12)
    np.testing.assert_allclose(own.w[0], start + 5)
    assert "Oja's rule" in oja.explain() and "end of phase 'free'" in contrastive.explain()


def test_named_rule_for_the_end_of_a_phase_needs_to_be_told_which():
    a, b = (Population(2, RATED, order=k) for k in range(2))
    with pytest.raises(ParameterError, match=r"when: .*presentation\.end"):
        Projection(a, b, "drive_post = w * r_pre", rule=library.CONTRASTIVE, weights=np.zeros((2, 2)),
                   namespace={"eta": 1, "beta": 1})  # fmt: skip


def test_named_rule_with_texts_by_event():
    model = NeuronType("drecent/dt = -recent / (10*ms) : 1\ns : 1\ndrive : 1", update="recent += s", spike="s")
    a, b = (Population(2, model, order=k, dtype=np.float64) for k in range(2))
    p = Projection(a, b, "drive_post = w * s_pre", rule=library.STDP, weights=np.zeros((2, 2)),
                   namespace={"A_plus": 1.0, "A_minus": 2.0})  # fmt: skip
    a.view("s")[0, 0] = [1, 0]
    b.view("recent")[...] = 0.5
    Network(a, b, p).run(a.clock.dt)
    np.testing.assert_allclose(p.w[0, 0], -2 * 0.5 * np.exp(-0.01))
    assert not p.w[0, 1].any()


# Kernels


@njit
def normalise(w, v_post, s_pre, level, total, lanes, dt):
    for replica in range(w.shape[0]):
        for j in range(w.shape[2]):
            w[replica, :, j] *= total / w[replica, :, j].sum()
            w[replica, :, j] += v_post[replica, 0, j] * lanes + s_pre[replica, 0, 0] + level[replica, 0, 0] + dt


NORMALISE = Kernel(normalise, reads=("v_post", "s_pre", "level", "total", "lanes", "dt"), writes=("w",))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_reads_what_it_names_and_writes_the_weights(dtype):
    level = cells(1, 2, 2, 2, dtype)
    level.view("m")[...] = 3
    start = np.random.default_rng(0).uniform(1, 2, (2, 4, 3))
    p = join(NORMALISE, lanes=2, replicas=2, dtype=dtype, weights=start, namespace={"total": 10 * second / second},
             signals={"level": (level, "m")})  # fmt: skip
    given = show([p], steps=1, more=[level]).given
    expected = start / start.sum(axis=1, keepdims=True) * 10 + 3 + DT
    expected += given[p.target]["v"][0, :, :1] * 2 + given[p.source]["s"][0, :, :1, :1]
    np.testing.assert_allclose(p.w, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert p.w.dtype == dtype and "normalise" in p.explain() and "reads v_post" in p.explain()


def test_kernel_of_a_list_gets_the_list_and_of_an_expression_its_values():
    @njit
    def add(w, psi_pre, r_post):
        for replica in range(w.shape[0]):
            for synapse in range(w.shape[1]):
                w[replica, synapse] += psi_pre[replica, 0, 0] + r_post[replica, 0, 1]

    a, b = (Population(2, RATED, order=k, dtype=np.float64) for k in range(2))
    a.view("r")[...], b.view("r")[...] = 0.5, 7
    p = Projection(a, b, "drive_post = w * r_pre", rule=Kernel(add, ("psi_pre", "r_post")), weights=[1, 2, 3],
                   connectivity=Masked(np.array([[True, True], [False, True]]), store="list"))  # fmt: skip
    Network(a, b, p).run(a.clock.dt)
    np.testing.assert_allclose(p.w, [[8.25, 9.25, 10.25]])


def test_kernel_cannot_write_what_it_only_reads():
    def spoil(w, v_post):
        v_post[0, 0, 0] = 5

    def spoil_weights(w, v_post):
        w[0, 0, 0] = 5

    p = join(Kernel(njit(spoil), reads=("v_post",)))
    with pytest.raises(Exception, match="(?i)read.?only|Cannot modify"):
        p.learning()
    p = join(Kernel(njit(spoil_weights), reads=("w", "v_post"), writes=()))
    with pytest.raises(Exception, match="(?i)read.?only|Cannot modify"):
        p.learning()
    assert not p.w.any() and not p.target.view("v").any()
    p.w[...] = 1
    p.target.view("v")[...] = 1


def test_kernel_runs_at_the_end_of_a_phase_and_keeps_bounds_sign_and_mask():
    @njit
    def grow(w):
        w += 1.0

    mask = np.random.default_rng(0).random((4, 3)) < 0.5
    p, shown = late(Kernel(grow, ()), "nudged", connectivity=Masked(mask), bounds=(None, 1.5))
    network = Network(p.source, p.target, p, shown)
    network.run(5 * p.clock.dt)
    np.testing.assert_array_equal(p.w[0], 1.0 * mask)
    network.run(5 * p.clock.dt)
    np.testing.assert_array_equal(p.w[0], 1.5 * mask)


def test_quantities_and_numbers_mean_the_same_in_a_namespace():
    for value in (2, 2.0, np.float32(2), np.int64(2), Quantity(2), True + 1):
        p = join("w += k * m_pre + k", namespace={"k": value})
        p.learning()
        np.testing.assert_allclose(p.w, 2)
