"""Borders that equations give are never crossed; where they prove a sign, it is the sign."""

import math

import numpy as np
import pytest
from audited import FORWARD, VALUES, examined, found, said, toy, toy_data
from brian2 import NetworkOperation
from brian2.parsing.sympytools import str_to_sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import exprel

from neurosim import Population, Projection, neurons
from neurosim.audit.criteria import CRITERIA
from neurosim.audit.signs import Borders, interval
from neurosim.audit.wiring import Wiring
from neurosim.neurons import NeuronType
from neurosim.weights import Uniform

NAMES = "a", "b", "c"
LEAVES = (*NAMES, *NAMES, "0.5", "2.0", "1.0", "(-0.3)")
FORMS = (
    "({0} + {1})", "({0} - {1})", "({0} - {1} + {2})", "{0}*{1}", "{0}*{1}", "(1 - {0}**2)", "({0})**3", "(-{0})",
    "{0}/(1 + ({1})**2)", "{0}/(2 + {1})", "1/({0})", "({0})**(-2)", "({0})**(-3)", "abs({0})**0.5", "abs({0})**1.5",
    "abs({0})**(-0.5)", "sqrt(abs({0}))", "abs({0})", "sign({0})", "tanh({0})", "exp({0})", "exp(-({0})**2)",
    "expm1({0})", "exprel({0})", "log(abs({0}))", "log1p(abs({0}))", "arctan({0})", "sin({0})", "cos({0})",
    "cosh({0})", "sinh({0})", "floor({0})", "ceil({0})", "int({0})", "int({0} > {1})", "int({0} <= 0.3)",
    "clip({0}, {1}, {2})", "clip({0}, 0, inf)", "clip({0}, -0.4, 0.6)", "2**({0})",
    "sign({0})*abs({1})**1.5", "0.5*(1 + tanh(0.5*({0})))",
)  # fmt: skip
FUNCTIONS = {
    "abs": np.abs, "sqrt": np.sqrt, "sign": np.sign, "tanh": np.tanh, "exp": np.exp, "expm1": np.expm1,
    "exprel": exprel, "log": np.log, "log1p": np.log1p, "arctan": np.arctan, "sin": np.sin, "cos": np.cos,
    "cosh": np.cosh, "sinh": np.sinh, "floor": np.floor, "ceil": np.ceil, "clip": np.clip, "inf": np.inf,
    "int": lambda x: np.trunc(np.asarray(x, float)),
}  # fmt: skip


def texts():
    """Expressions in the language of equations, of a, b and c."""
    return st.recursive(
        st.sampled_from(LEAVES),
        lambda inner: st.builds(
            lambda form, *parts: form.format(*(f"({part})" if part[0] == "-" else part for part in parts)),
            st.sampled_from(FORMS), inner, inner, inner,
        ),
        max_leaves=7,
    )  # fmt: skip


numbers = st.one_of(st.sampled_from((-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 3.0)), st.floats(-4, 4, width=32)).map(
    lambda x: x + 0.0
)
ranges = st.tuples(numbers, numbers).map(sorted)


def values_of(text, borders, count=300):
    """Return values of an expression for values within borders, their ends among them."""
    draw = np.random.default_rng(0)
    drawn = {name: draw.uniform(low, high, count) for name, (low, high) in borders.items()}
    for name, (low, high) in borders.items():
        ends = draw.random(count)
        drawn[name][ends < 0.3], drawn[name][ends > 0.8] = low, high
    with np.errstate(all="ignore"):
        return np.broadcast_to(eval(text, {"__builtins__": {}}, FUNCTIONS | drawn), count)


@settings(max_examples=200, deadline=None)
@given(texts(), st.fixed_dictionaries(dict.fromkeys(NAMES, ranges)))
def test_interval_holds_all_values(text, borders):
    low, high = interval(str_to_sympy(text), {name: tuple(each) for name, each in borders.items()})
    assert low <= high  # and neither is nan
    values = values_of(text, borders)
    values = values[np.isfinite(values)]
    slack = 1e-9 * (1 + np.abs(values))
    assert ((values >= low - slack) & (values <= high + slack)).all(), (low, high, values.min(), values.max())


@pytest.mark.parametrize(
    ("text", "a", "borders"),
    [
        ("clip(a, 0, inf)", (-math.inf, math.inf), (0, math.inf)),
        ("0.5 * (1 + tanh(0.5 * a))", (-math.inf, math.inf), (0, 1)),
        ("1 - tanh(a)**2", (-math.inf, math.inf), (0, 1)),
        ("a * (1 - a)", (0, 1), (0, 1)),
        ("exp(-a**2)", (-math.inf, math.inf), (0, 1)),
        ("int(rand() < a)", (0, 1), (0, 1)),
        ("int(a > 0.5 and not a > 0.7)", (0, 1), (0, 1)),
        ("0.3 * randn()", (0, 1), (-math.inf, math.inf)),
        ("tanh(a)", (0, math.inf), (0, 1)),
        ("clip(a, -inf, 0.5)", (-2, 3), (-2, 0.5)),
        ("clip(a, 0, a)", (-1, 1), (-1, 1)),  # an upper border below the lower one wins
        ("1 / a", (0, 2), (0.5, math.inf)),
        ("1 / a", (-2, 0), (-math.inf, math.inf)),  # 1 / 0 is inf
        ("1 / a", (-2, 1), (-math.inf, math.inf)),
        ("a**(-2)", (-1, 3), (1 / 9, math.inf)),
        ("a**3", (-1e200, 2), (-math.inf, 8)),
        ("log(a)", (0, 1), (-math.inf, 0)),
        ("exp(a)", (0, 1e4), (1, math.inf)),
        ("own(a)", (0, 1), (-math.inf, math.inf)),
    ],
)
def test_signs_that_usual_equations_have_are_proved(text, a, borders):
    assert interval(str_to_sympy(text), {"a": a}) == pytest.approx(borders)


# Borders of what a network has

ALONE = NeuronType("r : 1")
SET = NeuronType("v : 1\nm : 1\noffset : 1\nr = tanh(v) + offset : 1")
LOOP = NeuronType("v : 1\nm : 1\ns : 1\nr = clip(s, 0, inf) : 1", update="s = 0.5 * s + v")
RATE = NeuronType("v : 1\nm : 1\nr = clip(v, 0, 1) : 1")


def borders_of(experiment, population, variable):
    """Return what the borders of a variable are, before anything was shown but the data."""
    circuit = experiment.build(VALUES, toy_data(), 1)
    circuit.feed(toy_data().train_images, toy_data().train_labels)
    wiring = Wiring(circuit)
    return Borders(wiring).of(wiring.populations[population], variable)


def test_borders_follow_the_way_from_the_data_through_weights():
    images = toy_data().train_images
    assert borders_of(toy(), "x", "r") == pytest.approx((0, images.max()))  # 0 before the first is shown
    assert borders_of(toy(), "h", "v") == (-math.inf, math.inf)
    excites = {"weights": np.full((6, 5), 0.1), "bounds": (0, None)}
    assert borders_of(toy(hidden=excites), "h", "v") == (0, math.inf)
    assert borders_of(toy(hidden=excites), "h", "r") == (0, 1)
    inhibits = {"weights": np.full((6, 5), -0.1), "dale": -1}
    assert borders_of(toy(hidden=inhibits), "h", "r") == (-1, 0)
    fixed = {"rule": None, "namespace": {}, "weights": np.full((6, 5), 0.1)}
    assert borders_of(toy(hidden=fixed), "h", "r") == (0, 1)
    assert borders_of(toy(h=neurons.LOGISTIC), "h", "r") == (0, 1)
    assert borders_of(toy(h=LOOP), "h", "r") == (0, math.inf)
    assert borders_of(toy(h=LOOP), "h", "s") == (-math.inf, math.inf)
    assert borders_of(toy(), "error", "d") == (-math.inf, math.inf)


def test_borders_of_what_a_presentation_sets():
    def plant(parts):
        parts.shown.keep(parts.h, "rate", "before", "free")
        parts.shown.recall(parts.h, "again", "before", "nudged")
        parts.shown.by_phase(parts.h, "on", {"free": -2.0, "nudged": 3.0})
        parts.shown.draw([(parts.h, "drawn")], [-0.5, 0.5], 1)
        return []

    kind = NeuronType(
        "v : 1\nm : 1\nbefore : 1\nagain : 1\non : 1\ndrawn : 1\nrate : 1\nr = rate : 1", "rate = tanh(v)"
    )
    network = toy(plant, phases={"free": 2, "nudged": 2}, h=kind)
    expected = {"before": (-1, 1), "again": (-1, 1), "on": (-2, 3), "drawn": (-0.5, 0.5)}
    assert {name: borders_of(network, "h", name) for name in expected} == expected


def set_offset(parts):
    parts.h.offset = -3
    return []


def write_rates(parts):
    def write():
        parts.h.view("offset")[...] = -3

    return [NetworkOperation(write, clock=parts.x.clock, when="start", order=3)]


@pytest.mark.parametrize("plant", [set_offset, write_rates])
def test_what_is_set_by_hand_or_by_a_hook_lies_within_the_borders(plant):
    x = examined(toy(plant, h=SET))
    assert x.seen["W_y"].ranges["r_pre"][0] < -1.5
    assert "OUTSIDE" not in "".join(CRITERIA["signed"](x).checked)


def test_a_hook_that_writes_the_only_variable_that_there_is_leaves_no_borders():
    def plant(parts):
        calls, lamp = [], Population(2, ALONE, order=0, name="lamp", **parts.shape)

        class Switch(NetworkOperation):
            """Holds the one population that it writes."""

        def write():
            calls.append(1)
            lamp.view("r").fill(-1 if len(calls) < 8 else 1)

        switch = Switch(write, clock=lamp.clock, when="start", order=3)
        switch.lamp = lamp
        light = Projection(lamp, parts.h, FORWARD, weights=Uniform(0.5), seed=7, name="light")
        return [lamp, switch, light]

    x = examined(toy(plant))
    assert x.seen["light"].ranges["r_pre"][0] == -1 and x.wiring.populations["lamp"].view("r").min() == 1
    assert "OUTSIDE" not in "".join(CRITERIA["signed"](x).checked)


# The criterion


def test_signs_of_rates_and_of_errors_are_told_apart():
    finding = found("signed", toy())
    assert finding.holds is False and finding.short == "signed errors, signed others, signed rates"
    assert "rates: r of h was" in said(finding) and said(finding).count("r = tanh(v)") == 1
    assert "errors: d of error was" in said(finding) and "d = target - guess" in said(finding)
    finding = found("signed", toy(h=RATE))
    assert finding.short == "signed errors, signed others" and "r of h" not in said(finding)
    assert finding.checked == ("what was sent in 15 presentations lay within the borders that their equations give",)


def test_network_without_signed_signals_holds_and_says_why():
    """Rates of both layers, and nothing is taught: equations are a proof, what was measured is a sample."""
    hebbian = {"rule": "w += eta * r_pre * r_post - eta * w"}
    x = examined(toy(hidden=hebbian, output={"rule": None, "namespace": {}}, h=RATE))
    names = {"W_h": ("x", "r"), "W_y": ("h", "r")}
    for name, (population, variable) in names.items():
        assert x.borders.of(x.wiring.populations[population], variable) == pytest.approx((0, 1), abs=0.01)
        assert min(x.seen[name].ranges["r_pre"]) >= 0
    assert "rates" not in CRITERIA["signed"](x).short
