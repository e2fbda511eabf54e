"""A presentation holds each example for its time, in each replica's own order, and opens rules by phase."""

import numpy as np
import pytest
from brian2 import Clock, Network, ms, mV, second

from neurosim import ParameterError, Presentation


@pytest.fixture
def shown_steps(every_step):
    """Return a function that runs a presentation and returns what look() gave at the end of every step."""

    def run(shown, population, look):
        observer, seen = every_step(shown.clock, look)
        Network(population, shown, observer).run(shown.remaining)
        return seen

    return run


def test_example_is_clamped_in_its_first_step_and_held_for_its_time(given, clock, shown_steps):
    """Three examples for four steps each: lanes show what the order says, neurons their columns."""
    x = given(3, lanes=2, clock=clock)
    images = np.arange(15.0).reshape(5, 3)
    shown = Presentation(4 * ms, clock=clock)
    shown.clamp(x, "m", images)
    order = np.array([[4, 0], [1, 1], [3, 2]])
    shown.show(order)
    assert shown.remaining == 12 * ms
    seen = np.array(shown_steps(shown, x, lambda: x.view("m")[0].copy()))
    assert np.array_equal(seen, np.repeat(images[order], 4, axis=0))
    assert shown.remaining == 0 * ms


def test_clamp_sets_once_and_leaves_the_variable_to_the_neurons_after_that(given, clock, shown_steps):
    x = given(1, clock=clock)
    x.run_regularly("m = m + 1", when="groups", order=0, clock=clock)
    shown = Presentation(3 * ms, clock=clock)
    shown.clamp(x, "m", np.array([[10.0], [20.0]]))
    shown.show([[0], [1]])
    assert np.ravel(shown_steps(shown, x, lambda: x.view("m").item())).tolist() == [11, 12, 13, 21, 22, 23]


def test_every_replica_has_its_own_order_and_labels_choose_rows(given, clock, shown_steps):
    """Two replicas, three lanes; a target takes the row of its example's label."""
    x = given(1, replicas=2, lanes=3, clock=clock)
    images, classes, labels = np.arange(6.0)[:, None], np.array([[100.0], [200.0]]), np.array([0, 1, 1, 0, 1, 0])
    order = np.random.default_rng(0).integers(0, 6, (4, 2, 3))
    shown = Presentation(2 * ms, clock=clock)
    shown.clamp(x, "m", images)
    shown.clamp(x, "s", classes, rows=labels)
    shown.show(order)
    seen = np.array(shown_steps(shown, x, lambda: (x.view("m")[..., 0].copy(), x.view("s")[..., 0].copy())))
    assert np.array_equal(seen[:, 0], np.repeat(order, 2, axis=0))
    assert np.array_equal(seen[:, 1], np.repeat(classes[labels[order], 0], 2, axis=0))


def test_order_without_replicas_is_the_same_for_all(given, clock, shown_steps):
    x = given(1, replicas=3, lanes=2, clock=clock)
    shown = Presentation(1 * ms, clock=clock)
    shown.clamp(x, "m", np.arange(4.0)[:, None])
    shown.show([[3, 1], [0, 2]])
    for got, expected in zip(shown_steps(shown, x, lambda: x.view("m")[..., 0].copy()), [[3, 1], [0, 2]], strict=True):
        assert np.array_equal(got, np.broadcast_to(expected, (3, 2)))


def test_clamp_of_the_same_variable_again_replaces_the_first(given, clock, shown_steps):
    x = given(1, clock=clock)
    shown = Presentation(1 * ms, clock=clock)
    shown.clamp(x, "m", np.array([[1.0]]))
    shown.clamp(x, "s", np.array([[5.0], [6.0]]))
    shown.clamp(x, "m", np.array([[2.0], [3.0]]))
    shown.show([[1]])
    assert shown_steps(shown, x, lambda: (x.view("m").item(), x.view("s").item())) == [(3, 6)]


def test_phases_follow_one_another_and_the_last_step_is_known(given, clock, shown_steps):
    x = given(1, clock=clock)
    shown = Presentation({"free": 2 * ms, "nudged": 1 * ms}, clock=clock)
    shown.show([[0], [0]])
    seen = shown_steps(shown, x, lambda: (shown.index, shown.step, shown.phase, shown.last_step))
    once = [(0, "free", False), (1, "free", False), (2, "nudged", True)]
    assert seen == [(0, *step) for step in once] + [(1, *step) for step in once]


def test_network_may_stop_within_a_presentation_and_go_on(given, clock, every_step):
    x = given(1, clock=clock)
    shown = Presentation(3 * ms, clock=clock)
    shown.clamp(x, "m", np.array([[1.0], [2.0]]))
    shown.show([[0], [1]])
    look, seen = every_step(clock, lambda: x.view("m").item())
    network = Network(x, shown, look)
    for _ in range(3):
        network.run(2 * ms)
    assert seen == [1, 1, 1, 2, 2, 2]


def test_show_starts_anew_also_within_a_presentation(given, clock, every_step):
    x = given(1, clock=clock)
    shown = Presentation(3 * ms, clock=clock)
    shown.clamp(x, "m", np.array([[1.0], [2.0]]))
    shown.show([[0]])
    look, seen = every_step(clock, lambda: x.view("m").item())
    network = Network(x, shown, look)
    network.run(1 * ms)
    shown.show([[1], [0]])
    network.run(shown.remaining)
    assert seen == [1] + [2] * 3 + [1] * 3


@pytest.mark.parametrize("shows", [[[0], [0]], np.zeros((0, 1), int)])
def test_running_past_the_end_is_an_error_and_not_the_last_example_for_ever(given, clock, shows):
    x = given(1, clock=clock)
    shown = Presentation(2 * ms, clock=clock)
    shown.show(shows)
    with pytest.raises(ParameterError, match=rf"all {len(shows)} presentations are over"):
        Network(x, shown).run(shown.remaining + 1 * ms)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        (0 * ms, ["positive", "1. ms"]),
        (-1 * ms, ["positive"]),
        (1.5 * ms, ["multiple", "1.5"]),
        (5, ["time", "5"]),
        (5 * mV, ["time", "mvolt"]),
        ({"free": 2 * ms, "nudged": 0.3 * ms}, ["phases['nudged']", "multiple"]),
        ({}, ["at least one phase"]),
    ],
)
def test_times_that_are_no_multiple_of_the_step_are_refused(clock, phases, words):
    with pytest.raises(ParameterError) as caught:
        Presentation(phases, clock=clock)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("time", "steps"), [(0.3 * ms, 3), (0.7 * second, 7000), (3 * second, 30_000)])
def test_times_are_whole_numbers_of_steps_despite_rounding(time, steps):
    """0.1 ms divides none of these in binary (0.3 / 0.1 = 2.9999999999999996); no step is lost or refused."""
    assert Presentation(time, clock=Clock(0.1 * ms)).steps == steps


@pytest.mark.parametrize(
    ("values", "rows", "words"),
    [
        (np.zeros((4, 2)), None, ["x5.m", "(rows, 3)", "(4, 2)"]),
        (np.zeros(3), None, ["x5.m", "(rows, 3)", "(3,)"]),
        (np.zeros((4, 3)), [0, 4], ["x5.m", "0..3", "0..4"]),
        (np.zeros((4, 3)), [-1, 2], ["x5.m", "0..3", "-1..2"]),
    ],
)
def test_clamps_that_do_not_fit_are_refused(given, clock, values, rows, words):
    with pytest.raises(ParameterError) as caught:
        Presentation(1 * ms, clock=clock).clamp(given(3, clock=clock, name="x5"), "m", values, rows)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_clamp_of_an_unknown_variable_names_those_that_exist(given, clock):
    with pytest.raises(ParameterError, match="'x'.*m, s"):
        Presentation(1 * ms, clock=clock).clamp(given(3, clock=clock), "x", np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([[0, 4]], ["0..3", "0..4"]),
        ([[-1, 0]], ["0..3", "-1..0"]),
        ([[0.0, 1.0]], ["whole numbers", "float64"]),
        ([0, 1], ["shape", "(2,)"]),
        (np.zeros((1, 1, 1, 2), int), ["shape", "(1, 1, 1, 2)"]),
    ],
)
def test_orders_that_name_no_example_are_refused(given, clock, order, words):
    shown = Presentation(1 * ms, clock=clock)
    shown.clamp(given(3, lanes=2, clock=clock), "m", np.zeros((4, 3)))
    with pytest.raises(ParameterError) as caught:
        shown.show(order)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 3, 2), (1, 2, 1)])
def test_order_for_other_replicas_or_lanes_is_refused(given, clock, shape):
    x = given(1, replicas=2, lanes=2, clock=clock)
    shown = Presentation(1 * ms, clock=clock)
    shown.clamp(x, "m", np.zeros((1, 1)))
    with pytest.raises(ParameterError, match=rf"2 replicas and 2 lanes, the order has {shape[1]} and {shape[2]}"):
        shown.show(np.zeros(shape, int))


def test_gate_of_an_unknown_phase_names_those_that_exist(clock):
    shown = Presentation({"free": 2 * ms, "nudged": 1 * ms}, clock=clock)
    with pytest.raises(ParameterError, match="'nugded'.*free, nudged"):
        shown.gate(None, "nugded")


def test_value_by_phase_holds_from_the_phases_first_step_on(given, clock, shown_steps):
    """Phases of 2, 1 and 3 steps: 'b' and 'c' set the variable of all neurons, in 'a' it stays as it is."""
    x = given(2, replicas=2, lanes=3, clock=clock)
    shown = Presentation({"a": 2 * ms, "b": 1 * ms, "c": 3 * ms}, clock=clock)
    shown.by_phase(x, "m", {"b": 5.0, "c": -1.0})
    shown.by_phase(x, "s", {"a": 7.0})
    shown.show(np.zeros((2, 3), int))
    seen = shown_steps(shown, x, lambda: (x.view("m").copy(), x.view("s").copy()))
    m, s = (np.array([each[k] for each in seen]) for k in (0, 1))
    expected = [0, 0, 5, -1, -1, -1, -1, -1, 5, -1, -1, -1]
    assert np.array_equal(m, np.broadcast_to(np.array(expected)[:, None, None, None], m.shape))
    assert (s == 7).all()


def test_value_by_phase_is_set_once_and_left_to_the_neurons_after_that(given, clock, shown_steps):
    x = given(1, clock=clock)
    x.run_regularly("m = m + 1", when="groups", order=0, clock=clock)
    shown = Presentation({"a": 2 * ms, "b": 3 * ms}, clock=clock)
    shown.by_phase(x, "m", {"a": 10.0, "b": 20.0})
    shown.show([[0], [0]])
    assert np.ravel(shown_steps(shown, x, lambda: x.view("m").item())).tolist() == [11, 12, 21, 22, 23] * 2


def test_value_by_a_phase_clock_or_value_that_cannot_be_is_refused(given, clock):
    shown, x = Presentation({"free": 2 * ms, "nudged": 1 * ms}, clock=clock), given(3, clock=clock, name="x9")
    with pytest.raises(ParameterError, match="by_phase.*'nugded'.*free, nudged"):
        shown.by_phase(x, "m", {"nugded": 1.0})
    with pytest.raises(ParameterError, match=r"x9\.m.*not all finite"):
        shown.by_phase(x, "m", {"nudged": np.nan})
    with pytest.raises(ParameterError, match="'beta'.*m, s"):
        shown.by_phase(x, "beta", {"nudged": 1.0})
    with pytest.raises(ParameterError, match="x10 has another clock"):
        shown.by_phase(given(3, clock=Clock(2 * ms), name="x10"), "m", {"nudged": 1.0})
