"""Rules and transmits drawn from the grammar do what the slow interpreter of ``reference.py`` says.

Every example builds one projection between populations whose values are set from outside, runs six steps, and
compares what was delivered in each, the weights and all per-synapse variables.
"""

from dataclasses import replace

import numpy as np
import pytest
from cases import Case, compare, interpret, simulate
from grammar import NAMESPACE, rules, transmits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference import Reference

from neurosim import EquationError

RANDOM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
PRECISIONS = st.sampled_from((np.float32, np.float64))
DECLARED = {}, {}, {"q": False}, {"q": True}, {"q": False, "g": False}, {"q": False, "g": True}  # name to "is shared"
KINDS = "dense", "dense", "masked", "replicas", "list", "one_to_one"


@st.composite
def shapes(draw, kinds=KINDS):
    """Replicas, lanes, sizes, the kind of connectivity, and whether the target is the source."""
    replicas, lanes = draw(st.integers(1, 2)), draw(st.sampled_from((1, 1, 2, 3, 4)))
    n_pre, n_post = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    kind = draw(st.sampled_from(kinds))
    recurrent = draw(st.sampled_from((False, False, False, True)))
    if kind in ("one_to_one", "copy") or recurrent:
        n_post = n_pre
    return {"shape": (replicas, lanes, n_pre, n_post), "kind": kind, "recurrent": recurrent}


@st.composite
def learning(draw, plain=False):
    """A projection with a rule, and a transmit that may read the rule's variables."""
    sizes = draw(shapes(("dense", "dense", "dense", "masked", "list") if plain else KINDS))
    weight, unit, of_weight = draw(
        st.sampled_from((("w", 1.0, ""), ("w", 1.0, ""), ("(w/u)", float(NAMESPACE["u"]), "u*")))
    )
    shared = {} if plain else draw(st.sampled_from(DECLARED))
    rule, when = draw(rules(weight, of_weight, shared, lanes=sizes["shape"][1], plain=plain))
    return Case(
        transmit=draw(transmits(weight, tuple(shared) if draw(st.booleans()) else (), plain=plain)),
        rule=rule,
        when=when,
        dtype=draw(PRECISIONS),
        unit=unit,
        bounds=draw(st.sampled_from((*[None] * (4 if plain else 2), (-0.5, 0.5), (0, None), (None, 0.4)))),
        dale=not plain and draw(st.sampled_from((False, False, True))),
        seed=draw(st.integers(0, 1000)),
        **sizes,
    )


@st.composite
def delivering(draw):
    """A projection without a rule: weights that stay, fixed maps of the same form, or one-to-one without weights."""
    weight, unit = draw(st.sampled_from((("w", 1.0), ("w", 1.0), ("(w/u)", float(NAMESPACE["u"])), ("", 1.0))))
    sizes = draw(shapes(KINDS if weight else (*KINDS[1:], "copy", "copy")))
    text = transmits(weight) if weight else transmits("eta", needs_weight=False, mixed=sizes["kind"] != "copy")
    return Case(
        draw(text), dtype=draw(PRECISIONS), unit=unit, seed=draw(st.integers(0, 1000)), initial=bool(weight), **sizes
    )


@settings(RANDOM, max_examples=80)
@given(learning())
def test_random_rules_and_transmits_equal_the_interpreter(case):
    expected, largest = interpret(case)
    assume(largest < 30)
    compare(case, expected)


@settings(RANDOM, max_examples=40)
@given(learning(plain=True))
def test_random_sums_of_products_equal_the_interpreter(case):
    """What becomes outer products, rows of spikes and one factor for all weights."""
    expected, largest = interpret(case)
    assume(largest < 30)
    compare(case, expected)


@settings(RANDOM, max_examples=50)
@given(delivering())
def test_random_transmits_without_a_rule_equal_the_interpreter(case):
    compare(case, interpret(case)[0])


def one_synapse(rule, w=1.0, lanes=1, steps=1, ended=(), **values):
    """Run the interpreter on one synapse between two neurons: values are one number, or one for every lane."""
    kept = {name: values.pop(name) for name in ("when", "bounds", "dale", "constants") if name in values}
    reference = Reference([[[w]]], lanes, rule=rule, dt=0.1, **kept)
    now = {name: np.broadcast_to(np.reshape(value, (1, -1, 1)), (1, lanes, 1)) for name, value in values.items()}
    for _ in range(steps):
        reference.learn(now, ended)
    return {name: state.ravel().tolist() for name, state in reference.state.items()}


@pytest.mark.parametrize(
    ("rule", "settings", "expected"),
    [
        ("w += a_pre * b_post", {"a_pre": [1, 2, 3], "b_post": [4, 5, -6], "lanes": 3}, {"w": [1 + 4 + 10 - 18]}),
        ("w += -0.1 * w", {"lanes": 3}, {"w": [1 - 0.3]}),
        ("w -= a_pre / lanes", {"a_pre": [1, 3], "lanes": 2}, {"w": [-1]}),
        ("w *= 3\nw /= 4", {}, {"w": [0.75]}),
        ("w = a_pre", {"a_pre": [1, 3], "lanes": 2}, {"w": [4]}),
        ("w = 0.5*w + a_pre", {"a_pre": 3}, {"w": [3.5]}),
        ("w = clip(w + a_pre, 0, 2)", {"a_pre": [1.5, -1], "lanes": 2}, {"w": [1.5]}),
        ("w = clip(a_pre + w, -inf, 2)", {"a_pre": [1.5, 1], "lanes": 2}, {"w": [2]}),
        ("w += 2\nw -= 2", {"bounds": (None, 1.5)}, {"w": [1]}),
        ({"step": "w += 2", "pre": "w -= 2"}, {"bounds": (None, 1.5), "s_pre": 1}, {"w": [-0.5]}),
        ("w -= 3", {"dale": 1}, {"w": [0]}),
        ("w += 3", {"dale": -1, "w": -1}, {"w": [0]}),
        ("w += a_pre", {"when": "pre", "s_pre": [1, 0], "a_pre": [3, 5], "lanes": 2}, {"w": [4]}),
        ("w += a_pre", {"when": "post", "s_post": [0, 1], "a_pre": [3, 5], "lanes": 2}, {"w": [6]}),
        ("w += 1", {"when": "late"}, {"w": [1]}),
        ("w += 1", {"when": "late", "ended": ("late",)}, {"w": [2]}),
        ("dw/dt = e\nde/dt = w : 1", {"steps": 2}, {"w": [1 + 0.01], "e": [0.2]}),
        ("dw/dt = e\nde/dt = 1 : 1", {"steps": 2, "lanes": 2}, {"w": [1.02], "e": [0.2, 0.2]}),
        ("e : 1\ne = x\nw += e\nx = 2*a_pre : 1 # twice", {"a_pre": [1, 2], "lanes": 2}, {"w": [7], "e": [2, 4]}),
        ("g : 1 (shared)\ng = a_pre\nw += g", {"a_pre": [1, 2], "lanes": 2}, {"w": [7], "g": [3]}),
        ("e : 1\ne += 1\nw += (e\n  + a_pre)", {"a_pre": 1, "steps": 2}, {"w": [6], "e": [2]}),
        ({"post": "w *= 2", "pre": "w += e", "step": "e : 1\ne += 1"}, {"s_pre": 1, "s_post": 1}, {"w": [4], "e": [1]}),
        ("w += int(a_pre > 0.5) * sign(-a_pre) + clip(a_pre, 0, 0.5)", {"a_pre": 2}, {"w": [0.5]}),
    ],
)
def test_reference_gives_what_is_computed_by_hand(rule, settings, expected):
    state = one_synapse(rule, **settings)
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert state[name] == pytest.approx(value)


def test_reference_sums_over_the_synapses_that_exist():
    """Two sources, two targets, one synapse missing: w[0, 1]."""
    w, exists = np.array([[[1.0, 5], [2, 3]]]), np.array([[True, False], [True, True]])
    reference = Reference(w, 2, "drive_post = w*a_pre + b_post\nalso_post = 1", "w += a_pre", exists=exists)
    values = {"a_pre": np.array([[[1, 10], [2, 20]]]), "b_post": np.array([[[0.5, 0.25], [0, 0]]])}
    delivered = reference.deliver(values)
    assert delivered["drive"].tolist() == [[[1 + 20 + 1, 30.25], [2 + 40, 60]]]
    assert delivered["also"].tolist() == [[[2, 1], [2, 1]]]
    reference.learn(values)
    assert reference.w.tolist() == [[[4, 0], [32, 33]]]


@pytest.mark.parametrize("kind", ["dense", "masked", "list"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_tiles_and_threads_equal_the_interpreter(monkeypatch, kind, lanes):
    """Fifty sources take several tiles of products; every kernel is handed to the threads, of any size."""
    monkeypatch.setattr("neurosim.plasticity.passover.SCRATCH", 1)
    monkeypatch.setattr("neurosim.plasticity.deliver.SCRATCH", 1)
    monkeypatch.setattr("neurosim.plasticity.compile.PARALLEL_FROM", 0)
    monkeypatch.setattr("neurosim.plasticity.kernels.PARALLEL_FROM", 0)
    case = Case(
        transmit="drive_post = w*s_pre + 0.1*tanh(w)*m_pre - 0.2*tanh(w - m_post)*v_pre\nalso_post = w*m_pre",
        rule="dq/dt = -q/tau + rate*m_pre*v_post : 1\nw += 0.1*q*s_post - 0.1*w**2*m_pre*psi_post + 0.05*m_pre*m_post",
        shape=(2, lanes, 50, 7),
        kind=kind,
        bounds=(-0.8, 0.9),
    )
    compare(case, interpret(case)[0])


@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["tables", "lists"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spikes_of_many_lanes_equal_the_interpreter(monkeypatch, sparse, dtype):
    """What replaces a product of spikes with weights in networks too large for the interpreter, on a small one."""
    monkeypatch.setattr("neurosim.plasticity.spikes.MANY", 2)
    monkeypatch.setattr("neurosim.plasticity.spikes.LARGE", 0)
    monkeypatch.setattr("neurosim.plasticity.spikes.SPARSE", sparse)
    case = Case("drive_post = w*s_pre", "w += 0.1*s_pre*m_post - 0.01*w", dtype=dtype, shape=(2, 3, 70, 35))
    assert "tables" in simulate(case)[0].explain()
    compare(case, interpret(case)[0])


@pytest.mark.parametrize(
    ("rule", "when", "words"),
    [
        ("w = 0.5*w + m_post", "step", "sets what is shared by 2 lanes from itself"),
        ("w *= 0.5", "step", "sets what is shared by 2 lanes from itself"),
        ("half = 0.5*w : 1\nw = half", "step", "sets what is shared by 2 lanes from itself"),
        ("q : 1 (shared)\nq = q - m_pre", "step", "sets what is shared by 2 lanes from itself"),
        ("w = m_post", "pre", "sets what is shared by 2 lanes on a spike"),
        ("q : 1 (shared)\nq = m_post", "post", "sets what is shared by 2 lanes on a spike"),
    ],
)
def test_assignment_without_a_meaning_in_many_lanes_is_refused_there_only(rule, when, words):
    """In one lane the same text runs, and gives what the interpreter gives."""
    case = Case("drive_post = w*m_pre", rule, when, shape=(1, 1, 3, 2))
    compare(case, interpret(case)[0])
    with pytest.raises(EquationError, match=words):
        simulate(replace(case, shape=(1, 2, 3, 2)))
