"""A rule's text means the same before and after planning, and a slow decay is not lost in single precision."""

import numpy as np
import pytest
import sympy
from brian2 import Hz, Network, ms, mV, second, volt
from brian2.parsing.sympytools import str_to_sympy
from brian2.units.fundamentalunits import DIMENSIONLESS, get_dimensions, get_unit_for_display

from neurosim import EquationError, ParameterError, Population, Projection
from neurosim.neurons import NeuronType
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.parse import Scope, split, statements
from neurosim.plasticity.plan import ONE, separate, side

NAMES = ("a_pre", "b_pre", "c_pre", "x_post", "y_post", "z_post", "eta", "k", "w")
PRE = ("a_pre", "b_pre**2", "exp(-c_pre)", "(a_pre + 2*b_pre)", "1/(1 + c_pre)", "tanh(a_pre*b_pre)")
POST = ("x_post", "y_post**2", "exp(-z_post)", "(x_post - 3*y_post)", "1/(1 + z_post)", "cos(x_post*y_post)")
CONSTANT = ("eta", "k**2", "2", "(-0.5)", "(eta + 3*k)")
MIXED = ("(a_pre + x_post)", "(w - b_pre)*y_post", "(x_post + 2*w)", "(a_pre*x_post - k)", "exp(b_pre + x_post)")


ANYTHING = Scope({}, {}, {}, {"eta": 1.0, "k": 1.0}, {"w": DIMENSIONLESS})


def read(text, scope, where):
    return statements(split(text, where), scope, where)


def value(expr, at):
    """Evaluate an expression at the values of the names."""
    expr = sympy.sympify(expr)
    return float(expr.subs({s: at[s.name] for s in expr.free_symbols}))


def random_text(draw):
    terms = []
    for _ in range(draw.integers(1, 6)):
        factors = [draw.choice(CONSTANT), draw.choice(PRE), draw.choice(POST)]
        factors += list(draw.choice(MIXED, draw.integers(0, 3))) + ["w"] * draw.integers(0, 2)
        terms.append("*".join(draw.permutation(factors)))
    return " - ".join(terms)


@pytest.mark.parametrize("seed", range(25))
def test_separate_terms_add_up_to_the_text_and_keep_the_sides_apart(seed):
    """Random sums of products, some to be multiplied out, agree with their terms at random values."""
    draw = np.random.default_rng(seed)
    text = random_text(draw)
    expr = str_to_sympy(text)
    terms = separate(expr, ANYTHING)
    for term in terms:
        assert not side(term.coefficient, ANYTHING) and side(term.pre, ANYTHING) <= {"pre"}
        assert side(term.post, ANYTHING) <= {"post"} and side(term.weight, ANYTHING) <= {"w"}
    for _ in range(3):
        at = dict(zip(NAMES, draw.uniform(0.2, 1.5, len(NAMES)), strict=True))
        parts = [np.prod([value(f, at) for f in (t.coefficient, t.weight, t.pre, t.post, t.mixed)]) for t in terms]
        assert sum(parts) == pytest.approx(value(expr, at), rel=1e-9, abs=1e-9 * np.abs(parts).max()), text


@pytest.mark.parametrize(
    ("text", "products"),
    [
        ("a_pre * x_post", 1),
        ("eta * a_pre * (x_post + y_post)", 1),
        ("a_pre * x_post + a_pre * y_post", 1),
        ("a_pre * x_post + b_pre * x_post", 1),
        ("a_pre * x_post - eta * a_pre * y_post + 2 * a_pre * z_post", 1),
        ("a_pre * x_post + b_pre * y_post", 2),
        ("(a_pre + b_pre) * (x_post + y_post)", 1),
        ("a_pre * x_post - eta * w - k * w", 2),
        ("(a_pre + x_post) * (b_pre + y_post)", 4),
        ("a_pre * (x_post - w)", 2),
    ],
)
def test_terms_with_a_common_factor_cost_one_product(text, products):
    terms = separate(str_to_sympy(text), ANYTHING)
    assert len(terms) == products and all(term.mixed == ONE for term in terms)


@pytest.mark.parametrize(
    "text",
    ["tanh(a_pre * x_post)", "1 / (a_pre + x_post)", "sqrt(a_pre + x_post) * (b_pre + y_post)", "clip(a_pre - w, 0, 1)",
     "exp((a_pre + x_post)**2)", "x_post * int(a_pre > x_post)"],
)  # fmt: skip
def test_what_does_not_separate_is_kept_as_a_mixed_factor(text):
    assert any(len(side(term.mixed, ANYTHING)) > 1 for term in separate(str_to_sympy(text), ANYTHING))


@pytest.fixture
def scope():
    """A scope with potentials on both sides, a transfer function of the target, and two constants."""
    volts = get_dimensions(volt)
    return Scope(
        pre={"s": DIMENSIONLESS, "v": volts},
        post={"s": DIMENSIONLESS, "v": volts, "psi": DIMENSIONLESS, "drive": volts},
        expressions={"psi_post": str_to_sympy("s_post*(1 - s_post)")},
        constants={"eta": 3 * Hz, "u": 2 * mV, "tau_post": 5 * ms},
        synapse={"w": volts},
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dw/dt = eta * s_pre * gain_post", ["gain_post", "s_pre, v_pre, drive_post, psi_post, s_post, v_post", "eta"]),
        ("dw/dt = eta * s_pre * v", ["'v'", "v_pre"]),
        ("dw/dt = eta * w * i", ["'i'", "never an index"]),
        ("dw/dt = eta * w[j] * s_pre", ["cannot read"]),
        ("w += j * v_pre", ["'j'", "never an index"]),
        ("q_post = w * s_pre", ["'q_post'"]),
        ("dw/dt += eta * w", ["'='"]),
        ("w += u * s_pre w += u", ["cannot read"]),
        ("w += u * (s_pre", ["cannot read"]),
        ("eta * s_pre", ["variable = expression"]),
        ("w += reward * s_pre * u", ["'reward'", "signals={'reward'"]),
        ("", ["no statement"]),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_the_place_and_what_exists(scope, text, words):
    with pytest.raises(EquationError) as caught:
        read(text, scope, "Projection(x, h).rule")
    assert str(caught.value).startswith("Projection(x, h).rule: ")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("dw/dt = eta * s_pre", volt / second, Hz),
        ("dw/dt = u * s_pre", volt / second, volt),
        ("w += eta * s_pre * u", volt, volt / second),
        ("drive_post = w * v_pre", volt, volt**2),
    ],
)
def test_sides_of_different_dimension_are_refused_with_both_units(scope, text, left, right):
    with pytest.raises(EquationError) as caught:
        statements(split(text, "here"), scope, "here", delivers="_post" in text.split("=")[0])
    left, right = (get_unit_for_display(get_dimensions(unit)) for unit in (left, right))
    assert f"the left side has the unit {left}, the right side {right}" in str(caught.value)


def test_sum_of_different_dimensions_is_refused_with_both_units(scope):
    with pytest.raises(EquationError, match=r"^here: .*'eta \* s_pre' has unit Hz; 'u' has unit V"):
        read("w += eta * s_pre + u", scope, "here")


def test_function_of_a_quantity_with_a_unit_is_refused(scope):
    with pytest.raises(EquationError, match="here"):
        read("w += u * exp(v_pre)", scope, "here")


def test_factor_is_the_numpy_value_of_its_text_and_the_live_array_for_a_bare_variable(given):
    population = given(3, replicas=2, lanes=4, dtype=np.float64)
    population.view("m")[...] = m = np.random.default_rng(0).uniform(0.1, 2, population.shape)
    population.view("s")[...] = s = np.random.default_rng(1).integers(0, 2, population.shape)
    none = Scope({}, {}, {"slope_pre": str_to_sympy("m_pre*(2 - m_pre)")}, {"k": 3.0, "tau_pre": 5 * ms}, {})

    def factor(text):
        return Factor(str_to_sympy(text), population, "_pre", none)

    assert np.shares_memory(factor("m_pre")(), population.view("m"))
    for text, expected in {
        "k*exp(-m_pre)/tau_pre": 3 * np.exp(-m) / 5e-3,
        "slope_pre*s_pre": m * (2 - m) * s,
        "clip(m_pre, 0.5, 1)": np.clip(m, 0.5, 1),
        "sign(m_pre - 1)*abs(m_pre)": np.sign(m - 1) * m,
        "int(m_pre > 1)": (m > 1).astype(float),
        "sqrt(m_pre) + log(m_pre) + arctan(m_pre)": np.sqrt(m) + np.log(m) + np.arctan(m),
        "exprel(m_pre)*pi": np.expm1(m) / m * np.pi,
        "2*k": np.full(m.shape, 6.0),
    }.items():
        result = factor(text)()
        assert result.shape == population.shape and result.dtype == np.float64
        np.testing.assert_allclose(result, expected, rtol=1e-12, err_msg=text)


@pytest.mark.parametrize(
    "rule",
    [
        "w += int(m_post > 0.5) * s_pre + clip(m_post, 0, inf) * sin(pi * m_pre)",
        "w += rand() * s_pre",
        "w += int(m_post > 0.5 and m_post < 2) * s_pre",
        "w += late_post * s_pre",
    ],
)
def test_rule_is_refused_at_once_or_runs(given, rule):
    """No error of Python's or NumPy's in the middle of a run: ``late`` names the time step, which only brian2 knows."""
    late = NeuronType("drive : 1\nm : 1\nlate = m * dt / ms : 1")
    source, target = given(2), Population(2, late, order=1, namespace={"ms": ms})
    try:
        p = Projection(source, target, transmit="drive_post = w * s_pre", rule=rule, weights=np.eye(2))
    except EquationError:
        return
    p._learn()


@pytest.mark.parametrize("name", ["s_pre", "m_post", "w", "i", "dt", "exp", "pi"])
def test_constant_with_the_name_of_something_else_is_refused(given, passive, name):
    with pytest.raises(ParameterError, match=rf"namespace: '{name}'"):
        Projection(given(2), passive(2), "drive_post = w * s_pre", weights=np.eye(2), namespace={name: 2})


def decaying(given, passive, dtype):
    """One projection that only decays, by 1e-8 a step."""
    return Projection(
        given(2, dtype=dtype), passive(2, dtype=dtype), transmit="drive_post = w * s_pre", rule="w += -gamma * w",
        weights=np.array([[1.0, -0.5], [0.3, 0.7]]), namespace={"gamma": 1e-8},
    )  # fmt: skip


def test_rules_see_their_own_factors_of_this_step_also_when_a_step_is_run_again(given, passive):
    """Three factors of one population that differ in text or constant; after a restore the same step, another value."""
    source, target = given(1), passive(1)
    source.view("s")[...] = 1
    expected = {
        ("exp(k*m_post)", 1.0): np.exp,
        ("exp(k*m_post)", -1.0): lambda m: np.exp(-m),
        ("cos(k*m_post)", 1.0): np.cos,
    }
    projections = [
        Projection(source, target, "drive_post = w * s_pre", f"w += s_pre * {text}", [[0.0]], namespace={"k": k})
        for text, k in expected
    ]
    network = Network(source, target, *projections)
    network.store()
    for m in (0.3, 1.0):
        network.restore()
        target.view("m")[...] = m
        network.run(source.clock.dt)
        assert [p.w.item() for p in projections] == pytest.approx([f(m) for f in expected.values()])


def test_slow_decay_over_a_million_steps_is_kept_in_single_precision(given, passive):
    """(1 - 1e-8)^1e6 = exp(-0.01), where float32 weights times float32(1 - 1e-8) stay as they are."""
    p = decaying(given, passive, np.float32)
    start = p.w.copy()
    assert (start * np.float32(1 - 1e-8) == start).all()
    for _ in range(1_000_000):
        p._learn()
    np.testing.assert_allclose(p.w, start * np.exp(-0.01), rtol=1e-6)
    assert (p.w < start)[start > 0].all()


def test_fast_decay_stays_exact_while_the_scale_is_folded_again_and_again(given, passive):
    """(1 - 0.3)^k and a growth by 1.5^k: the scale leaves (0.5, 2) every other step."""
    for rate, factor in (("-0.3 * w", 0.7), ("0.5 * w", 1.5)):
        p = Projection(
            given(2, dtype=np.float64), passive(2, dtype=np.float64), transmit="drive_post = w * s_pre",
            rule=f"w += {rate}", weights=np.array([[1.0, -0.5], [0.3, 0.7]]),
        )  # fmt: skip
        start = p.w.copy()
        for _ in range(30):
            p._learn()
            assert 0.5 <= p.scale <= 2
        np.testing.assert_allclose(p.w, start * factor**30, rtol=1e-12)


def test_reading_the_weights_after_every_step_does_not_stop_their_decay(given, passive):
    """What a step takes away is a fifth of what float32 can tell apart; rounding may cost a twentieth of the whole."""
    p = decaying(given, passive, np.float32)
    start = p.w.copy()
    for _ in range(1_000_000):
        p._learn()
        p.w  # noqa: B018
    np.testing.assert_allclose(p.w / start - 1, np.expm1(-0.01), rtol=0.05)


@pytest.mark.parametrize(
    ("settings", "text", "plan"),
    [
        ({}, "drive_post = w * s_pre", "event-driven"),
        ({}, "drive_post = w * m_pre", "matrix-vector product"),
        ({}, "drive_post = 2 * w * s_pre * s_pre", "matrix-vector product"),
        ({"lanes": 2}, "drive_post = w * s_pre", "matrix product over lanes"),
        ({}, "drive_post = m_pre", "one-to-one"),
    ],
)
def test_explain_names_the_plan_of_the_transmit(given, passive, settings, text, plan):
    source, target = given(3, name="x4", **settings), passive(3, name="h4", **settings)
    explained = Projection(source, target, text, weights=np.eye(3) if "w" in text else None).explain()
    assert "x4 -> h4" in explained and text in explained and plan in explained


def test_explain_names_the_plan_of_every_term_of_the_rule(given, passive):
    rule = "w += eta * s_pre * m_post - eta * m_pre * drive_post - decay * w"
    p = Projection(
        given(3),
        passive(3),
        "drive_post = w * s_pre",
        rule=rule,
        weights=np.eye(3),
        namespace={"eta": 0.1, "decay": 0.01},
    )
    spiking, dense, decay = p.explain().splitlines()[-3:]
    assert "s_pre" in spiking and "event-driven" in spiking
    assert "m_pre" in dense and "outer product" in dense
    assert "decay" in decay and "one factor for all weights" in decay
