"""A rule, a transmit or a connectivity that cannot be is refused where it is given: what, where, what would be right.

In one line, as an EquationError for texts and a ParameterError for values; never in the middle of a run.
"""

import re

import numpy as np
import pytest
from brian2 import Clock, Hz, Network, check_units, ms, mV
from numba import njit
from wiring import cells

from neurosim import EquationError, Kernel, ParameterError, Population, Presentation, Projection, Uniform, limits
from neurosim.connectivity import (
    AllToAllButSelf,
    Convolution,
    Dense,
    Local,
    Masked,
    OneToOne,
    Pooling,
    Random,
    Transposed,
)
from neurosim.neurons import NeuronType

HERE = "Projection(pre, post)"
BARE = NeuronType("r : 1\ndrive : 1")  # without spikes
SINGLE = NeuronType("r : 1\nrate : Hz\npsi = r : 1")


def without_address(value):
    """Return a value's text, the same in every process: two of them run the tests side by side."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))


@njit
def add_one(w):
    w += 1.0


def build(**changes):
    """A valid projection from 3 to 4 neurons, but for what is changed."""
    sizes = {key: changes.pop(key) for key in ("lanes", "replicas") if key in changes}
    pre = changes.pop("source", None) or cells(changes.pop("n", 3), 0, name="pre", **sizes)
    post = changes.pop("target", None) or cells(changes.pop("m", 4), 1, name="post", **sizes)
    settings = {"transmit": "drive_post = w * m_pre", "namespace": {"eta": 0.1}}
    if "weights" not in changes:
        settings["weights"] = np.ones((pre.n, post.n))
    return Projection(pre, post, **settings | changes)


def refused(make, words, errors=(EquationError, ParameterError), where=None):
    """Assert that this is refused in one line with all these words, and starts with where."""
    with pytest.raises(errors) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000, message
    assert all(str(word) in message for word in words), message
    if where:
        assert message.startswith(where), message


# Texts: the rule, what the message must say


NAMES = {
    "rate_pre of no population": ("w += rate_pre", ["'rate_pre'", "m_pre", "s_pre", "v_pre", "m_post", "v_post", "w"]),
    "variable of the other side": ("w += m", ["'m'", "m_pre", "m_post"]),
    "undeclared global": ("w += reward * m_pre", ["'reward'", "signals={'reward': (population, 'r')}", "eta"]),
    "undeclared variable": ("w += elig", ["'elig'"]),
    "change of an undeclared variable": ("elig += m_pre", ["'elig'"]),
    "rate of an undeclared variable": ("delig/dt = m_pre * Hz", ["'elig'"]),
    "index of the source": ("w += i * m_pre", ["'i'", "never an index"]),
    "index of the target": ("w += m_pre * int(j > 2)", ["'j'", "never an index"]),
    "another neuron": ("w += m_pre[0]", ["cannot read 'm_pre[0]'"]),
    "another neuron by call": ("w += m_pre(0)", ["m_pre"]),
    "time": ("w += t / ms", ["'t'"]),
    "unknown function": ("w += relu(m_pre)", ["relu"]),
    "random numbers": ("w += rand() * m_pre", ["rand", "exp", "tanh"]),
    "normal random numbers": ("w += randn()", ["randn"]),
    "letters beyond ASCII": ("w += η * m_pre", ["η"]),
    "function as a value": ("w += sqrt", ["sqrt"]),
    "name of a named expression given later": ("a = 2 * b : 1\nb = m_pre : 1\nw += a", ["'b'"]),
    "named expression of itself": ("a = a + 1 : 1\nw += a", ["'a'"]),
    "not a number": ("w += nan * m_pre", ["'nan'"]),
}
FORMS = {
    "nothing": ("", ["no statement"]),
    "comments": ("  # w += 1\n\n", ["no statement"]),
    "no operator": ("w", ["'variable = expression'", "'w'"]),
    "no right side": ("w +=", ["'w +='"]),
    "no left side": ("+= m_pre", ["'+= m_pre'"]),
    "comparison": ("w == 1", ["'w == 1'"]),
    "expression": ("w + m_pre", ["'w + m_pre'"]),
    "unknown operator": ("w **= 2", ["'w **= 2'"]),
    "two statements in a line": ("w += 1; w += 2", ["'1; w += 2'"]),
    "parenthesis that stays open": ("w += (m_pre", ["(m_pre"]),
    "parenthesis that was not open": ("w += m_pre)", ["m_pre)"]),
    "two names side by side": ("w += m_pre m_post", ["m_pre m_post"]),
    "number and unit side by side": ("dw/dt = 1 Hz", ["1 Hz"]),
    "tuple": ("w += (m_pre, m_post)", ["(m_pre, m_post)"]),
    "list": ("w += [m_pre]", ["[m_pre]"]),
    "attribute": ("w += m_pre.real", ["m_pre.real"]),
    "text": ("w += 'abc'", ["'abc'"]),
    "if": ("w += 1 if m_pre else 0", ["1 if m_pre else 0"]),
    "lambda": ("w += lambda x: x", ["lambda"]),
    "condition": ("w += m_pre > 0", ["m_pre > 0", "int("]),
    "negation": ("w += not m_pre", ["not m_pre", "int("]),
    "logical and": ("w += m_pre and s_pre", ["m_pre and s_pre", "int("]),
    "condition in a product": ("w += (m_pre > 0) * m_post", ["(m_pre > 0) * m_post", "int("]),
    "true": ("w += True * m_pre", ["True"]),
    "bits": ("w += s_pre & s_post", ["s_pre & s_post"]),
    "complement": ("w += ~s_pre", ["~s_pre"]),
    "imaginary number": ("w += 1j * m_pre", ["1j"]),
    "too many arguments": ("w += exp(m_pre, 2)", ["exp"]),
    "too few arguments": ("w += clip(m_pre)", ["clip"]),
    "no arguments": ("w += exp()", ["exp"]),
    "change of a rate": ("dw/dt += 1 * Hz", ["'dw/dt += 1 * Hz'"]),
    "two rates": ("dw/dt = 1 * Hz\ndw/dt = 2 * Hz", ["'w'", "two rates"]),
    "two rates of a variable": ("da/dt = 1*Hz : 1\nda/dt = -a * Hz\nw += a", ["'a'"]),
}
SETS = {
    "a variable of the target": ("m_post += m_pre", ["m_post"]),
    "a variable of the source": ("m_pre = 1", ["m_pre"]),
    "a rate of the target": ("dm_post/dt = 1 * Hz", ["m_post"]),
    "a constant": ("eta *= 0.5", ["eta"]),
    "the number of lanes": ("lanes = 3", ["lanes"]),
    "a function": ("sqrt = 3", ["sqrt"]),
    "a named expression": ("a = m_pre : 1\na += 1\nw += a", ["'a'"]),
    "what is delivered": ("drive_post = w * m_pre", ["drive_post"]),
}
DECLARES = {
    **{name: (f"{name} : 1\nw += m_pre", [f"'{name}'", "reserved"]) for name in ("e", "i", "t", "dt", "exp", "lanes")},
    "a variable of the source": ("x_pre : 1\nw += x_pre", ["'x_pre'", "reserved"]),
    "w": ("w : 1", ["w ", "unit of the initial weights"]),
    "w with its rate": ("dw/dt = 1 * Hz : 1", ["w ", "unit of the initial weights"]),
    "a name twice": ("a : 1\na : 1\nw += a", ["'a'", "twice"]),
    "a variable and an expression": ("a : 1\na = m_pre : 1\nw += a", ["'a'", "twice"]),
    "an unknown unit": ("a : foo\nw += a", ["'foo'"]),
    "an unknown flag": ("a : 1 (constant)\nw += a", ["(constant)", "(shared)"]),
    "a flag that stays open": ("a : 1 (shared\nw += a", ["1 (shared"]),
    "a flag of an expression": ("a = m_pre : 1 (shared)\nw += a", ["flag"]),
    "the unit of a change": ("w += m_pre : 1", ["'w += m_pre : 1'"]),
    "the name of a constant": ("eta : 1\neta = m_pre\nw += eta", ["'eta'"]),
    "an expression of the name of a constant": ("eta = m_pre : 1\nw += eta", ["'eta'"]),
}  # fmt: skip
UNITS = {
    "rate without 1/s": ("dw/dt = m_pre", ["left side has the unit Hz", "the right side 1"]),
    "change with Hz": ("w += 3 * Hz", ["left side has the unit 1", "the right side Hz"]),
    "sum of two units": ("w += m_pre + 1 * mV", ["'m_pre + 1 * mV'", "V"]),
    "exponential of a unit": ("w += exp(1 * mV)", ["exp"]),
    "factor with a unit": ("w *= 2 * mV", ["left side has the unit 1", "V"]),
    "variable of another unit": ("a : volt\na += m_pre\nw += m_pre", ["left side has the unit V", "the right side 1"]),
    "weight from a variable of another unit": ("a : volt\nw += a", ["left side has the unit 1", "the right side V"]),
    "expression of another unit": ("a = m_pre : volt\nw += a / mV", ["left side has the unit V", "the right side 1"]),
    "rate of a variable": ("da/dt = m_pre : 1\nw += a", ["left side has the unit Hz", "the right side 1"]),
    "exponent with a unit": ("w += m_pre**(3 * mV)", ["V"]),
    "condition of two units": ("w += int(m_pre > 1 * mV)", ["V"]),
}
NOT_FINITE = {
    "division by zero": ("w += m_pre / 0", ["not finite"]),
    "infinite number": ("w += 1e400 * m_pre", ["not finite"]),
    "infinity": ("w += inf * m_pre", ["not finite"]),
    "root of a negative number": ("w += sqrt(-1) * m_pre", ["finite"]),
    "logarithm of a negative number": ("w += log(-1)", ["finite"]),
    "overflow": ("w += exp(1000) * m_pre", ["finite"]),
}


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize(
    ("rule", "words"),
    [case for group in (NAMES, FORMS, SETS, DECLARES, UNITS, NOT_FINITE) for case in group.values()],
    ids=[name for group in (NAMES, FORMS, SETS, DECLARES, UNITS, NOT_FINITE) for name in group],
)
def test_rule_that_cannot_be_read_is_refused_with_what_would_be_right(rule, words, lanes):
    refused(lambda: build(rule=rule, lanes=lanes), words, EquationError, HERE)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("w = 0.5 * w", ["'w = 0.5 * w'", "2 lanes", "'+='"]),
        ("w *= 0.5", ["'w *= 0.5'", "2 lanes", "'+='"]),
        ("w /= 2", ["'w /= 2'", "2 lanes", "'+='"]),
        ("a : 1 (shared)\na = 0.9 * a + m_pre\nw += a", ["'a = 0.9 * a + m_pre'", "2 lanes", "'+='"]),
        ({"pre": "w = 1"}, ["'w = 1'", "2 lanes", "'+='"]),
        ({"post": "a : 1 (shared)\na = v_pre\nw += a"}, ["'a = v_pre'", "2 lanes", "'+='"]),
        ("w = clip(w + m_pre, m_post, 1)", ["2 lanes", "'+='"]),
        ("w = clip(2 * w + m_pre, 0, 1)", ["2 lanes", "'+='"]),
    ],
)
def test_assignment_that_lanes_cannot_share_is_refused_in_several_and_works_in_one(rule, words):
    refused(lambda: build(rule=rule, lanes=2), words, EquationError, f"{HERE}.rule")
    build(rule=rule)


@pytest.mark.parametrize(
    ("transmit", "words"),
    [
        (None, ["text", "NoneType"]),
        (3, ["text", "int"]),
        ("", ["no statement"]),
        ("w * m_pre", ["'variable = expression'"]),
        ("drive = w * m_pre", ["'drive'", "drive_post"]),
        ("rate_post = w * m_pre", ["'rate_post'", "drive_post"]),
        ("m_pre = w * m_post", ["'variable_post = ...'"]),
        ("w = m_pre", ["'variable_post = ...'"]),
        ("drive_post += w * m_pre", ["'variable_post = ...'"]),
        ("ddrive_post/dt = w * m_pre * Hz", ["'variable_post = ...'"]),
        ("drive_post = w * m_pre : 1", ["drive_post"]),
        ("x = w * m_pre : 1", ["'variable_post = ...'"]),
        ("a : 1\ndrive_post = w * m_pre", ["a : 1"]),
        ("da/dt = m_pre * Hz : 1\ndrive_post = w * a", ["da/dt", "rule"]),
        ("drive_post = w * elig * m_pre", ["'elig'"]),
        ("drive_post = w * (m_pre > 0)", ["w * (m_pre > 0)"]),
        ("drive_post = w * i", ["'i'", "never an index"]),
        ("drive_post = w * reward", ["'reward'", "signals="]),
        ("drive_post = w * m_pre * mV", ["left side has the unit 1", "the right side V"]),
        ("drive_post = w * m_pre / 0", ["not finite"]),
    ],
)
def test_transmit_that_cannot_be_read_is_refused(transmit, words):
    refused(lambda: build(transmit=transmit), words, EquationError, f"{HERE}.transmit")


def test_one_to_one_transmit_delivers_products_only():
    refused(
        lambda: build(transmit="drive_post = tanh(m_pre - m_post)", weights=None, m=3),
        ["tanh(", "g(pre) * h(post)"],
        EquationError,
        f"{HERE}.transmit",
    )


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"transmit": "drive_post = tanh(w * m_pre - v_post)"}, ["tanh(", "Masked"]),
        ({"rule": "w += tanh(m_pre - m_post)"}, ["tanh(", "Masked"]),
        ({"rule": "a : 1\na = a + m_pre * m_post\nw += a * m_post"}, ["'a'", "(shared)", "Masked"]),
    ],
)
def test_one_weight_for_all_pairs_needs_what_separates(texts, words):
    refused(
        lambda: build(m=3, weights=[1], connectivity=AllToAllButSelf(), lanes=2, **texts), words, EquationError, HERE
    )


def test_transposed_delivers_weights_as_they_are_and_has_nothing_of_its_own():
    def transposed(other, **more):
        return build(source=cells(4, 1, name="pre"), target=cells(3, 2, name="post"), weights=None,
                     connectivity=Transposed(other), **more)  # fmt: skip

    forward = build(name="forward")
    refused(lambda: transposed(forward, transmit="drive_post = w**2 * m_pre"), ["w**2", "w * g(pre) * h(post)"])
    refused(lambda: transposed(forward, rule="w += 1"), ["rule"], where=f"{HERE}.rule")
    refused(lambda: transposed(forward, rule="a : 1\nw += a"), ["'a'"], where=f"{HERE}.rule")
    refused(lambda: transposed(forward, rule=Kernel(add_one, ())), ["Kernel"], where=f"{HERE}.rule")
    refused(lambda: transposed(forward, bounds=(0, 1)), ["weights"])
    refused(lambda: transposed(forward, dale=1), ["weights"])
    refused(lambda: transposed(None), ["Transposed", "projection"], where=f"{HERE}.connectivity")
    refused(lambda: transposed("forward"), ["Transposed", "projection"], where=f"{HERE}.connectivity")
    refused(lambda: transposed(transposed(forward)), ["weights of its own"], where=f"{HERE}.connectivity")
    copy = build(transmit="drive_post = m_pre", weights=None, m=3)
    refused(lambda: transposed(copy), ["weights"], where=f"{HERE}.connectivity")
    pooled = build(transmit="drive_post = m_pre", weights=None, n=4, m=1, connectivity=Pooling((2, 2, 1), 2))
    refused(lambda: transposed(pooled), ["weights"], where=f"{HERE}.connectivity")
    refused(lambda: transposed(build(n=4, m=3)), ["3 to 4", "4 to 3"], where=f"{HERE}.connectivity")
    refused(lambda: transposed(build(lanes=2)), ["lanes", "2 and 1"], where=f"{HERE}.connectivity")


# Events, bounds, signs


@pytest.mark.parametrize(
    "when", ["spike", "Pre", None, 3, ["pre"], print, lambda: True, Presentation, ("pre", "post"), {"pre": "post"}]
)
def test_event_that_does_not_exist_is_refused(when):
    refused(lambda: build(rule="w += 1", when=when), ["'step', 'pre', 'post'", "presentation.end('nudged')"],
            ParameterError, f"{HERE}.when")  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "more", "words"),
    [
        (5, {}, ["text", "int"]),
        (["w += 1"], {}, ["text", "list"]),
        (b"w += 1", {}, ["text", "bytes"]),
        ({}, {}, ["text", "{}"]),
        ({"pre": None}, {}, ["text", "NoneType"]),
        ({"pre": ""}, {}, ["no statement"]),
        ({"spike": "w += 1"}, {}, ["'spike'", "'step', 'pre', 'post'"]),
        ({"pre": "w += 1"}, {"when": "post"}, ["when", "'post'"]),
        (Kernel(add_one, ()), {"when": "pre"}, ["Kernel", "'pre'"]),
        ({"step": Kernel(add_one, ())}, {}, ["text", "Kernel"]),
    ],
)
def test_rule_of_the_wrong_kind_is_refused(rule, more, words):
    refused(lambda: build(rule=rule, **more), words, where=HERE)


@pytest.mark.parametrize(("event", "side"), [("pre", "source"), ("post", "target")])
def test_spike_event_of_a_population_without_spikes_is_refused(event, side):
    bare = Population(3, BARE, order=0, name="silent", dtype=np.float64)
    transmit = "drive_post = w * r_pre" if side == "source" else "drive_post = w * m_pre"
    refused(
        lambda: build(rule="w += 1", when=event, transmit=transmit, **{side: bare}), ["silent", repr(event), "spikes"],
        EquationError, "Projection(",
    )  # fmt: skip


def test_end_of_a_phase_on_another_clock_is_refused():
    other = Presentation(1 * ms, clock=Clock(1 * ms))
    refused(lambda: build(rule="w += 1", when=other.end("presentation")), ["another clock"], ParameterError, HERE)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (5, ["(low, high)"]), ((0, 1, 2), ["(low, high)"]), ("ab", ["bounds"]), (("a", 2), ["bounds"]),
        ((2, 1), ["(2, 1)"]), ((np.nan, 2), ["nan"]), (([0, 0], 2), ["bounds"]), ((0, 2j), ["bounds"]),
        ((0 * mV, 2 * mV), ["unit 1", "V"]), ({0, 1}, ["(low, high)"]), ((True, "x"), ["bounds"]),
    ],
)  # fmt: skip
def test_bounds_that_are_no_range_are_refused(bounds, words):
    refused(lambda: build(bounds=bounds), words, ParameterError, f"{HERE}.bounds")


@pytest.mark.parametrize(
    ("dale", "words"),
    [
        (0, ["+1 or -1", "0"]), ("x", ["+1 or -1"]), (np.nan, ["+1 or -1"]), (2, ["+1 or -1"]), ([1, 0, 1], ["-1"]),
        ([1, 1], ["3 signs", "(2,)"]), (np.ones((3, 4)), ["3 signs", "(3, 4)"]), ([1, None, 1], ["+1 or -1"]),
        ([[1, 1], [1]], ["dale"]),
    ],
)  # fmt: skip
def test_signs_that_are_none_are_refused(dale, words):
    refused(lambda: build(dale=dale), words, ParameterError, f"{HERE}.dale")


@pytest.mark.parametrize(
    ("weights", "limits", "words"),
    [
        ([[0, 1], [2, 0]], {"bounds": (0, 1)}, ["2 at (0, 1, 0)", "0 to 1"]),
        ([[0, 1], [-2, 0]], {"bounds": (0, None)}, ["-2 at (0, 1, 0)", "0 to inf"]),
        ([[0, 1], [0.5, 0]], {"dale": [1, -1]}, ["0.5 at (0, 1, 0)", "-inf to 0"]),
        ([[0, 1], [0, -0.5]], {"dale": 1}, ["-0.5 at (0, 1, 1)", "0 to inf"]),
        ([[0, 1], [0, -0.5]], {"bounds": (-1, 1), "dale": 1}, ["-0.5 at (0, 1, 1)", "0 to 1"]),
        ([[0, 1], [0, np.nan]], {}, ["not finite", "(0, 1, 1)"]),
        ([[0, np.inf], [0, 1]], {"bounds": (0, 1)}, ["not finite", "(0, 0, 1)"]),
        ([[0, 1], [0, 1e39]], {}, ["not finite", "(0, 1, 1)"]),
    ],
)
def test_initial_weights_that_are_not_finite_or_out_of_bounds_are_refused_with_place_and_value(weights, limits, words):
    sizes = dict(source=cells(2, 0, name="pre", dtype=np.float32), target=cells(2, 1, name="post", dtype=np.float32))
    with np.errstate(over="ignore"):
        refused(lambda: build(weights=weights, **sizes, **limits), words, ParameterError, f"{HERE}.weights")


def test_initial_weights_out_of_bounds_in_other_kinds_name_the_place():
    settings = dict(bounds=(0, 1), m=3)
    synapses = Masked(np.eye(3, dtype=bool), "list")
    refused(lambda: build(weights=[0, 2, 0], connectivity=synapses, **settings), ["2 at (0, 1)"], ParameterError, HERE)
    refused(lambda: build(weights=[-1], connectivity=AllToAllButSelf(), **settings), ["-1 at (0, 0)"], ParameterError)
    refused(lambda: build(weights=Uniform(2), seed=1, bounds=(-1, 1)), ["outside of -1 to 1"], ParameterError)
    inside = build(weights=[[9, 1, 1], [9, 1, 9], [1, 9, 1]], connectivity=Masked(np.array([[0, 1, 1], [0, 1, 0],
                   [1, 0, 1]], bool)), **settings)  # fmt: skip
    assert inside.w.max() == 1, "what does not exist is not out of bounds"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(3), ["(3, 4)", "(3,)"]), (np.ones((4, 3)), ["(3, 4)", "(4, 3)"]), ("abc", ["real numbers"]),
        (np.ones((3, 4)) * 1j, ["real numbers"]), ([[1, 2], [3]], ["real numbers"]), (None, ["weights"]),
        ({"a": 1}, ["real numbers"]), (np.full((3, 4), None), ["real numbers"]),
    ],
)  # fmt: skip
def test_weights_that_are_no_matrix_are_refused(weights, words):
    refused(lambda: build(weights=weights), words, ParameterError, f"{HERE}.weights")


@pytest.mark.parametrize("half_width", ["a", None, [1, 2], 1j, -1, np.nan])
def test_distribution_without_a_width_is_refused(half_width):
    refused(lambda: build(weights=Uniform(half_width), seed=1), ["half width"], ParameterError)


@pytest.mark.parametrize(
    ("kind", "n", "m", "shape"),
    [
        (Masked(np.eye(3, 4, dtype=bool), "list"), 3, 4, "(3,)"),
        (OneToOne(), 3, 3, "(3,)"),
        (AllToAllButSelf(), 3, 3, "(1,)"),
        (Convolution((3, 3, 1), 2, 1), 9, 4, "(2, 2, 1, 1)"),
        (Local((3, 3, 1), 2, 1), 9, 4, "(16,)"),
    ],
)
def test_weights_of_another_shape_than_the_connectivity_are_refused(kind, n, m, shape):
    refused(
        lambda: build(n=n, m=m, connectivity=kind, weights=np.ones((7, 7))), [shape, "(7, 7)"], ParameterError, HERE
    )


# Namespace, signals, functions


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        (5, ["namespace"]), ("abc", ["namespace"]), ([1], ["namespace"]), ({"k": None}, ["'k'", "one number"]),
        ({"k": "2"}, ["'k'", "one number"]), ({"k": [1, 2]}, ["'k'", "one number"]), ({"k": 1j}, ["'k'"]),
        ({"k": np.complex128(1j)}, ["'k'"]), ({"k": np.nan}, ["'k'", "finite"]), ({"k": np.inf}, ["'k'", "finite"]),
        ({"k": [1, 2] * mV}, ["'k'", "one number"]), ({"k": np.sin}, ["'k'", "check_units"]), ({"t": 1}, ["'t'"]),
        ({"k": lambda x: x}, ["'k'", "check_units"]), ({"i": 1}, ["'i'"]), ({"exp": 1}, ["'exp'"]), ({"w": 1}, ["'w'"]),
        ({"m_pre": 1}, ["'m_pre'"]), ({"drive_post": 1}, ["'drive_post'"]), ({"lanes": 1}, ["'lanes'"]),
        ({"dt": 1}, ["'dt'"]), ({"r": 1}, ["'r'"]),
    ],
    ids=without_address,
)  # fmt: skip
def test_constants_that_are_none_are_refused(namespace, words):
    signal = Population(1, SINGLE, order=0, dtype=np.float64)
    refused(
        lambda: build(rule="w += m_pre", namespace=namespace, signals={"r": (signal, "r")}), words,
        ParameterError, "Projection",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (lambda p: ["r"], ["signals"]), (lambda p: "r", ["signals"]), (lambda p: 5, ["signals"]),
        (lambda p: {"r": 5}, ["'r'", "(population, variable)"]), (lambda p: {"r": p}, ["(population, variable)"]),
        (lambda p: {"r": ("a", "r")}, ["'r'", "str"]), (lambda p: {"r": (p, "zz")}, ["'zz'", "r, rate"]),
        (lambda p: {"r": (p, "psi")}, ["'psi'", "r, rate"]), (lambda p: {"r": (p, 3)}, ["'r'"]),
        (lambda p: {"r": (p, ["r"])}, ["'r'"]), (lambda p: {1: (p, "r")}, ["1"]),
        (lambda p: {"w": (p, "r")}, ["'w'"]), (lambda p: {"r_pre": (p, "r")}, ["'r_pre'"]),
        (lambda p: {"t": (p, "r")}, ["'t'"]),
        (lambda p: {"r": (Population(2, SINGLE, order=0), "r")}, ["'r'", "one neuron", "2 neurons"]),
        (lambda p: {"r": (Population(1, SINGLE, order=0, lanes=2), "r")}, ["1 lanes", "2"]),
        (lambda p: {"r": (Population(1, SINGLE, order=0, replicas=3), "r")}, ["1 replicas", "3"]),
        (lambda p: {"r": (Population(1, SINGLE, order=0, clock=Clock(1 * ms)), "r")}, ["another clock"]),
    ],
)  # fmt: skip
def test_signals_that_are_none_are_refused(signals, words):
    population = Population(1, SINGLE, order=0, dtype=np.float64)
    refused(lambda: build(rule="w += m_pre", signals=signals(population)), words, ParameterError)


def test_signal_with_a_unit_in_a_rule_without_is_refused_with_both_units():
    signal = Population(1, SINGLE, order=0, dtype=np.float64)
    refused(
        lambda: build(rule="w += r", signals={"r": (signal, "rate")}), ["unit 1", "right side Hz"], EquationError, HERE
    )
    refused(lambda: build(rule="r : 1\nr = m_pre\nw += r", signals={"r": (signal, "r")}), ["'r'"], EquationError, HERE)
    refused(lambda: build(rule="r += 1", signals={"r": (signal, "r")}), ["'r"], EquationError, HERE)


def test_functions_of_the_user_are_checked_like_the_others():
    @check_units(x=1, y=1, result=Hz)
    def f(x, y):
        return x + y

    space = {"f": f}
    refused(lambda: build(rule="w += f(m_pre, w)", namespace=space), ["unit 1", "right side Hz"], EquationError, HERE)
    refused(lambda: build(rule="dw/dt = f(m_pre)", namespace=space), ["f"], EquationError, HERE)
    refused(lambda: build(rule="dw/dt = f(m_pre, 1*mV)", namespace=space), ["f"], EquationError, HERE)
    refused(lambda: build(rule="dw/dt = f * m_pre", namespace=space), ["f"], EquationError, HERE)
    refused(lambda: build(rule="f : 1\nf = m_pre\nw += f", namespace=space), ["'f'"], EquationError, HERE)


# Kernels


def plain(w):
    w += 1


@njit
def two(w, m_post):
    w += m_post[0, 0, 0]


@njit
def odd(w, nothing):
    w += nothing


@njit
def backwards(m_post):
    m_post += 1


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (Kernel(plain, ()), ["njit"]),
        (Kernel(None, ()), ["njit"]),
        (Kernel(two, ()), ["w, m_post", "reads"]),
        (Kernel(two, ("m_post", "m_pre")), ["w, m_post", "m_pre"]),
        (Kernel(two, ("m_post",), ()), ["w, m_post"]),
        (Kernel(two, "m_post"), ["w, m_post"]),
        (Kernel(odd, ("nothing",)), ["'nothing'"]),
        (Kernel(backwards, (), ("m_post",)), ["'m_post'", "w"]),
    ],
)
def test_kernel_that_declares_what_its_function_does_not_have_is_refused(kernel, words):
    refused(lambda: build(rule=kernel), words, (EquationError, ParameterError), HERE)


# Connectivity


@pytest.mark.parametrize(
    "kind", ["dense", Dense, Masked, np.ones((3, 4), bool), 5, object(), [Dense()]], ids=without_address
)
def test_connectivity_that_is_none_is_refused(kind):
    refused(lambda: build(connectivity=kind), ["kind of neurosim.connectivity"], ParameterError, f"{HERE}.connectivity")


@pytest.mark.parametrize(
    ("mask", "store", "words"),
    [
        (np.ones((4, 3), bool), "matrix", ["(3, 4)", "(4, 3)"]), (np.ones((3, 4)), "matrix", ["boolean", "float64"]),
        (np.ones((3, 4), int), "list", ["boolean", "int64"]), (None, "matrix", ["boolean"]),
        (np.ones((2, 3, 4), bool), "matrix", ["(3, 4) or (1, 3, 4)", "(2, 3, 4)"]),
        (np.ones((1, 3, 4), bool), "list", ["(3, 4)", "(1, 3, 4)"]), ([[True], [True, False]], "matrix", ["boolean"]),
        (np.ones((3, 4), bool), "sparse", ["'matrix' or 'list'", "'sparse'"]), (np.ones((3, 4), bool), None, ["store"]),
    ],
)  # fmt: skip
def test_masks_of_the_wrong_shape_or_type_are_refused(mask, store, words):
    refused(lambda: build(connectivity=Masked(mask, store)), words, ParameterError, f"{HERE}.connectivity")


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        (Random(0), {}, ["density", "0"]), (Random(1.1), {}, ["density", "1.1"]), (Random(np.nan), {}, ["density"]),
        (Random("a"), {}, ["density"]), (Random(None), {}, ["density"]), (Random(0.5, "x"), {}, ["'matrix'"]),
        (Random(0.5), {"seed": None}, ["seed"]), (Random(0.5), {"seed": -1}, ["seed"]), (Random([1]), {}, ["density"]),
    ],
)  # fmt: skip
def test_random_pairs_without_a_density_or_a_seed_are_refused(kind, more, words):
    refused(lambda: build(connectivity=kind, **{"seed": 1} | more), words, ParameterError, HERE)


@pytest.mark.parametrize("kind", [Local, Convolution])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(image=5), ["image", "5"]), (dict(image=(5, 5)), ["image", "(5, 5)"]), (dict(image="551"), ["image"]),
        (dict(image=(5.0, 5, 1)), ["image", "5.0"]), (dict(image=(5, 0, 1)), ["image", "0"]),
        (dict(kernel=0), ["kernel"]), (dict(image=None), ["image"]), (dict(kernel=None), ["kernel"]),
        (dict(kernel="a"), ["kernel"]),
        (dict(kernel=(3, 3, 1)), ["kernel", "(3, 3, 1)"]), (dict(kernel=6), ["kernel", "(6, 6)", "(5, 5, 1)"]),
        (dict(kernel=2.5), ["kernel"]), (dict(stride=0), ["stride"]), (dict(stride=(2, 2)), ["stride", "(2, 2)"]),
        (dict(channels=0), ["channels"]), (dict(channels=1.5), ["channels"]),
        (dict(padding="full"), ["padding", "'same'"]), (dict(padding=1), ["padding", "'same'"]),
    ],
    ids=str,
)  # fmt: skip
def test_images_and_kernels_that_are_none_are_refused(kind, settings, words):
    whole = {"image": (5, 5, 1), "kernel": 3, "channels": 1} | settings
    refused(lambda: kind(**whole), words, ParameterError, f"{kind.__name__}.")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(image=5), ["image"]), (dict(image=()), ["image"]), (dict(image=(4, 4)), ["image"]),
        (dict(size=0), ["size"]), (dict(size=None), ["size"]), (dict(size=()), ["size"]), (dict(size="ab"), ["size"]),
        (dict(size=5), ["size", "5"]), (dict(stride=0), ["stride"]), (dict(padding=2), ["padding"]),
        (dict(reduce="mean"), ["reduce", "'sum' or 'max'"]),
    ],
    ids=str,
)  # fmt: skip
def test_windows_to_pool_that_are_none_are_refused(settings, words):
    refused(lambda: Pooling(**{"image": (4, 4, 1), "size": 2} | settings), words, ParameterError, "Pooling.")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Local((3, 3, 1), 2, 1), ["3 x 3 x 1 = 9", "pre", "it has 3"]),
        (Convolution((3, 1, 1), (2, 1), 5), ["2 x 1 x 5 = 10", "post", "it has 4"]),
        (Pooling((3, 1, 1), (2, 1), 1), ["2 x 1 x 1 = 2", "post", "it has 4"]),
    ],
)
def test_images_of_another_size_than_the_populations_are_refused(kind, words):
    refused(lambda: build(connectivity=kind), words, ParameterError, f"{HERE}.connectivity")


def test_weights_or_rules_of_a_map_without_weights_are_refused():
    pooling = dict(connectivity=Pooling((3, 1, 1), (2, 1), 1), m=2, transmit="drive_post = m_pre")
    refused(lambda: build(**pooling), ["without w", "no weights"], ParameterError, HERE)
    refused(lambda: build(weights=None, rule="w += 1", **pooling), ["no rule"], ParameterError, HERE)
    p = build(weights=None, **pooling)
    refused(lambda: p.w, ["no weights"], ParameterError)
    refused(lambda: p.view("w"), ["no weights"], ParameterError)


def test_view_of_a_variable_that_does_not_exist_names_those_that_do():
    p = build(rule="elig : 1\nelig += m_pre\nw += elig")
    refused(lambda: p.view("trace"), ["'trace'", "w, elig"], ParameterError)


# Memory


def test_pairs_and_lists_beyond_the_memory_are_refused_before_they_are_made(monkeypatch):
    """With a machine of 1 MB: masks, windows and weights say how much they take."""
    monkeypatch.setattr(limits.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1_000_000}[name])
    big = dict(n=2000, m=3000, weights=Uniform(1), seed=1)
    refused(lambda: build(**big), ["2000 x 3000", "0.001 GB"], ParameterError, HERE)
    refused(lambda: build(connectivity=Random(0.1), **big), ["2000 x 3000", "0.001 GB"], ParameterError, HERE)
    refused(
        lambda: build(n=10_000, m=160_000, weights=Uniform(1), seed=1,
                      connectivity=Local((100, 100, 1), 5, 16, padding="same")), ["GB"], ParameterError,
    )  # fmt: skip
    build(n=10_000, m=10_000, weights=[1], connectivity=AllToAllButSelf(), source=None)


def test_nothing_of_a_refused_projection_stays_behind():
    """The populations still run, and another projection may deliver into the same variable."""
    pre, post = cells(3, name="pre"), cells(4, 1, name="post")
    for wrong in ({"rule": "w += reward"}, {"bounds": (2, 3)}, {"transmit": "drive_post = w * m_pre / 0"}):
        with pytest.raises((EquationError, ParameterError)):
            build(source=pre, target=post, **wrong)
    p = build(source=pre, target=post)
    pre.view("m")[...] = 1
    Network(pre, post, p).run(pre.clock.dt)
    assert (post.view("drive") == 3).all()
