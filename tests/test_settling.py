"""Phases that end early, states that persist, and what a presentation sets, recalls and draws."""

import numpy as np
import pytest
from brian2 import Network, NetworkOperation, ms

from neurosim import ParameterError, Population, Presentation, Projection
from neurosim.checkpoint import network_state, set_network_state
from neurosim.errors import NotSettledError
from neurosim.neurons import NeuronType
from neurosim.plasticity.largest import largest_difference
from neurosim.settling import Persistence, Redelivery, Settling

LEAKY = NeuronType(
    equations="""
    dv/dt = (drive - v) / (4 * ms) : 1
    drive : 1
    kept : 1
    """,
    method="euler",
)
SENDER = NeuronType("r : 1")


def settle(clock, phases, tolerance, values, unsettled="count", every=5, lanes=1, replicas=1, **persistence):
    """Return (network, shown, settling, population): units that relax to their drives by a quarter a step."""
    h = Population(2, LEAKY, order=1, lanes=lanes, replicas=replicas, clock=clock, name="h", dtype=np.float64)
    shown = Presentation({name: steps * ms for name, steps in phases.items()}, clock=clock)
    shown.clamp(h, "drive", np.asarray(values, float))
    settling = Settling(shown, next(iter(phases)), [(h, "v")], tolerance, unsettled, every)
    memory = Persistence(shown, [(h, "v")], next(iter(phases)), persistence)
    memory.choose(next(iter(persistence), None))
    return Network(h, shown, settling, memory), shown, settling, h


def steps_taken(size, tolerance, every=5):
    """Return how many steps a unit takes to settle at a size, from 0: in step k it moves by size / 4 (3/4)^k."""
    step = every
    while size / 4 * 0.75**step >= tolerance:
        step += every
    return step + 2  # steps count from 0, and one more is the last


# Ending a phase early


@pytest.mark.parametrize("every", [2, 5, 7])
def test_phase_ends_one_step_after_the_look_in_which_nothing_moved_by_the_tolerance(clock, every_step, every):
    """The largest drive of all units, lanes and replicas decides: |v(t) - v(t - dt)| = size / 4 (3/4)^k."""
    sizes = np.array([[0.1, -3.0], [0.5, 0.2]])
    network, shown, settling, h = settle(
        clock, {"free": 90, "nudged": 3}, 1e-3, sizes, every=every, lanes=2, replicas=1
    )  # fmt: skip
    look, seen = every_step(clock, lambda: (shown.phase, h.view("v")[0].copy()))
    network.add(look)
    shown.show([[0, 1], [1, 1]])
    network.run(shown.remaining)
    free = [steps_taken(size, 1e-3, every) for size in (3.0, 0.5)]
    assert free[0] > free[1] + 3
    expected = ["free"] * free[0] + ["nudged"] * 3 + ["free"] * free[1] + ["nudged"] * 3
    assert [phase for phase, _ in seen] == expected
    assert (settling.presentations, settling.steps, settling.unsettled_presentations) == (2, sum(free), 0)
    np.testing.assert_allclose(seen[free[0] - 1][1], sizes * (1 - 0.75 ** free[0]), atol=1e-12)
    assert shown.remaining == 0 * ms and clock.t == len(expected) * ms


def test_tolerance_of_zero_and_phases_that_never_settle_take_all_steps(clock):
    for tolerance, unsettled in ((0.0, 0), (1e-9, 3)):
        network, shown, settling, _ = settle(clock, {"free": 12, "nudged": 2}, tolerance, [[1.0, 2.0]])
        shown.show([[0], [0], [0]])
        network.run(shown.remaining)
        counts = settling.presentations, settling.steps, settling.unsettled_presentations
        assert counts == (3, 36, unsettled)
        assert settling.largest == pytest.approx(2 / 4 * 0.75**11 if unsettled else 0)


def test_a_phase_that_settles_at_its_end_is_settled(clock):
    """The last step is always looked at: 8 steps, a move of 1 / 4 (3/4)^7 = 0.0334 in the eighth."""
    for tolerance, unsettled in ((0.0335, 0), (0.0333, 1)):
        network, shown, settling, _ = settle(clock, {"free": 8, "nudged": 1}, tolerance, [[1.0, 0.0]], every=20)
        shown.show([[0]])
        network.run(shown.remaining)
        assert (settling.steps, settling.unsettled_presentations) == (8, unsettled)


def test_unsettled_network_raises_with_residual_unit_replica_lane_and_time(clock):
    network, shown, _, _ = settle(
        clock, {"free": 6, "nudged": 2}, 1e-3, [[0.5, 1.0], [0.5, 8.0]], "raise", lanes=3, replicas=2
    )  # fmt: skip
    shown.show([[[0, 0, 0], [0, 0, 1]]])
    with pytest.raises(NotSettledError) as caught:
        network.run(shown.remaining)
    residual = 8 / 4 * 0.75**5
    words = ["h.v", "'free'", "t = 5 ms", "neuron 1", "replica 1", "lane 2", f"{residual:.3g}", "0.001", "count"]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_values_that_are_not_finite_do_not_settle(clock):
    network, shown, settling, h = settle(clock, {"free": 12, "nudged": 2}, 1e-3, [[0.0, 0.0]])
    shown.show([[0]])
    network.add(NetworkOperation(lambda: h.view("v").fill(np.nan), clock=clock, when="end", order=0))
    network.run(shown.remaining)
    assert settling.unsettled_presentations == 1


def test_counting_starts_anew_and_leaves_tests_out(clock):
    network, shown, settling, _ = settle(clock, {"free": 4, "nudged": 1}, 0.0, [[1.0, 1.0]])
    for is_open in (True, False, True):
        settling.is_open = is_open
        if is_open:
            settling.begin()
        shown.show([[0], [0]])
        network.run(shown.remaining)
        assert (settling.presentations, settling.steps) == (2, 8)


def test_end_of_a_hastened_phase_keeps_and_gates_as_any_other(clock, every_step):
    network, shown, _, h = settle(clock, {"free": 50, "nudged": 2}, 1e-2, [[1.0, 0.0]])
    shown.keep(h, "v", "kept", "free")
    shown.show([[0]])
    look, seen = every_step(clock, lambda: (h.view("kept")[0, 0, 0], h.view("v")[0, 0, 0], shown.ends))
    network.add(look)
    network.run(shown.remaining)
    last = steps_taken(1.0, 1e-2) - 1
    assert [ends for *_, ends in seen].index("free") == last
    assert seen[last - 1][0] == 0 and seen[last][0] == seen[-1][0] == seen[last][1]


def test_hasten_makes_the_next_step_the_last_and_says_what_it_saves(given, clock, every_step):
    x = given(1, clock=clock)
    shown = Presentation({"free": 10 * ms, "nudged": 4 * ms}, clock=clock)
    shown.show([[0], [0]])
    saved = []
    hurry = NetworkOperation(
        lambda: saved.append(shown.hasten()) if (shown.index, shown.step) in {(0, 2), (1, 12)} else None,
        clock=clock, when="end", order=8,
    )  # fmt: skip
    look, seen = every_step(clock, lambda: (shown.index, shown.phase, shown.left))
    network = Network(x, shown, hurry, look)
    network.run(shown.remaining)
    assert saved == [6, 0], "the first phase has 7 steps left, the last one has 1"
    assert [phase for _, phase, _ in seen] == ["free"] * 4 + ["nudged"] * 4 + ["free"] * 10 + ["nudged"] * 4
    shown.show([[0]])  # a run after one that ended early
    network.run(shown.remaining)
    assert saved == [6, 0, 6] and len(seen) == 22 + 8


# What a presentation sets


def test_recall_sets_a_variable_at_the_start_of_its_phase(given, clock, every_step):
    x = given(1, clock=clock)
    x.run_regularly("m = m + 1", when="groups", order=0, clock=clock)
    shown = Presentation({"a": 2 * ms, "b": 2 * ms, "c": 2 * ms}, clock=clock)
    shown.keep(x, "m", "s", "a")
    shown.recall(x, "m", "s", "c")
    shown.show([[0]])
    look, seen = every_step(clock, lambda: x.view("m").item())
    Network(x, shown, look).run(shown.remaining)
    assert seen == [1, 2, 3, 4, 3, 4]


def test_draws_are_of_the_values_alike_in_all_lanes_and_populations_and_other_in_each_replica(given, clock, every_step):
    def draws(seed, count=200):
        x, y = given(2, lanes=3, replicas=2, clock=clock), given(1, lanes=3, replicas=2, clock=clock)
        shown = Presentation(1 * ms, clock=clock)
        shown.draw([(x, "m"), (y, "m")], [-0.5, 2.0], seed)
        shown.show(np.zeros((count, 3), int))
        look, seen = every_step(clock, lambda: (x.view("m").copy(), y.view("m").copy()))
        Network(x, y, shown, look).run(shown.remaining)
        xs, ys = (np.array([each[k] for each in seen]) for k in (0, 1))
        assert (xs == xs[:, :, :1, :1]).all() and (ys == xs[..., :1]).all()
        return xs[:, :, 0, 0]

    found = draws(3)
    assert set(np.unique(found)) == {-0.5, 2.0}
    assert abs((found > 0).mean() - 0.5) < 4 * 0.5 / 20, "400 draws"
    assert abs(np.corrcoef(found.T)[0, 1]) < 4 / np.sqrt(200)
    assert np.array_equal(draws(3, 50), found[:50]) and not np.array_equal(draws(4, 50), found[:50])


def test_phases_in_use_are_shown_and_no_others_until_all_are_again(given, clock, every_step):
    x = given(1, clock=clock)
    shown = Presentation({"free": 3 * ms, "nudged": 2 * ms, "opposite": 1 * ms}, clock=clock)
    look, seen = every_step(clock, lambda: (shown.phase[0], shown.last_step))
    network = Network(x, shown, look)
    for used, phases in (((), "fffnno"), (("free",), "fff"), (("opposite", "free"), "fffo"), ((), "fffnno")):
        shown.use(*used)
        shown.show([[0], [0]])
        assert shown.steps == len(phases) and shown.remaining == 2 * len(phases) * ms
        network.run(shown.remaining)
        once = [(phase, k == len(phases) - 1) for k, phase in enumerate(phases)]
        assert seen == 2 * once
        seen.clear()


# States that persist


def test_examples_start_where_they_have_settled_last_in_each_replica_and_set(clock, every_step):
    """4 steps a showing: v = drive (1 - (3/4)^(4 n)) after the n-th of an example, whatever else was shown between."""
    drives = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    network, shown, _, h = settle(clock, {"free": 4, "nudged": 1}, 0.0, drives, lanes=2, replicas=2, train=3, test=2)
    memory = next(each for each in network.objects if isinstance(each, Persistence))
    look, seen = every_step(clock, lambda: h.view("v").copy() if shown.ends == "free" else None)
    network.add(look)
    orders = [[[0, 1], [2, 0]], [[2, 0], [0, 1]], [[0, 1], [1, 2]]]
    counts = np.zeros((2, 3), int)
    for name in ("train", "test", "train", None):
        memory.choose(name)
        order = np.array(orders if name != "test" else [[[0, 1], [1, 0]]])
        seen.clear()
        shown.show(order)
        network.run(shown.remaining)
        times = np.zeros((2, 3), int) if name != "train" else counts
        for chosen, found in zip(order, [each for each in seen if each is not None], strict=True):
            for replica in range(2):
                times[replica, chosen[replica]] += 1
                n = times[replica, chosen[replica]] if name else np.ones(2)
                wanted = np.array(drives)[chosen[replica]] * (1 - 0.75 ** (4 * n))[:, None]
                np.testing.assert_allclose(found[replica], wanted, atol=1e-12)


def test_projections_deliver_anew_where_states_are_set(clock, every_step):
    """Without that, a unit would see in its first step what the other's state was before it was set."""
    found = {}
    for anew in (False, True):
        a, b = (Population(1, LEAKY, order=1, clock=clock, name=name, dtype=np.float64) for name in "ab")
        x = Population(1, SENDER, order=0, clock=clock, name="x", dtype=np.float64)
        x.view("r")[...] = 1
        synapses = [
            Projection(b, a, "drive_post = w * v_pre", weights=[[2.0]], name="ab"),
            Projection(a, b, "drive_post = w * v_pre", weights=[[2.0]], name="ba"),
            Projection(x, a, "drive_post = w * r_pre", weights=[[4.0]], name="xa"),
        ]
        shown = Presentation({"free": 2 * ms}, clock=clock)
        shown.by_phase(a, "v", {"free": 0.0})
        shown.by_phase(b, "v", {"free": 1.0})
        objects = [x, a, b, *synapses, shown, *([Redelivery(shown, synapses, ["free"])] if anew else [])]
        look, seen = every_step(clock, lambda a=a, b=b: (a.view("v").item(), b.view("v").item()))
        shown.show([[0], [0], [0]])
        Network(*objects, look).run(shown.remaining)
        found[anew] = seen
    first = (6 / 4, 0.75)  # a: (4 + 2 b) / 4, b: 3/4 + a / 2 with a = 0
    assert found[True][0] == found[True][2] == found[True][4] == first
    assert found[True][1] == found[True][3]
    assert found[False][2] != first


# Checkpoints


def test_run_that_goes_on_from_a_checkpoint_ends_as_if_it_had_not_stopped(clock):
    """Stopped in the middle of a free phase, after some had ended early; settling, states and draws go on."""

    def make():
        built = settle(clock, {"free": 40, "nudged": 3}, 2e-2, [[1.0, 2.0], [0.1, 0.2], [3.0, 1.0]], train=3)
        network, shown, _, h = built
        shown.draw([(h, "kept")], [0.0, 1.0, 2.0, 3.0], 5)
        shown.show([[0], [1], [0], [2], [1], [0]])
        return built

    def result(network, settling, h):
        return h.view("v").copy(), h.view("kept").copy(), settling.state(), network.t

    network, shown, settling, h = make()
    network.run(shown.remaining)
    whole = result(network, settling, h)

    network, shown, settling, h = make()
    pause = NetworkOperation(
        lambda: network.stop() if (shown.index, shown.step) == (3, 9) else None, clock=clock, when="end", order=9
    )
    network.add(pause)
    network.run(shown.remaining)
    assert shown.phase == "free" and settling.presentations == 3 and settling.steps > 10
    state = network_state(network)
    network.remove(pause)
    for _ in range(2):  # in the same network, and in another one
        set_network_state(network, state)
        network.run(shown.remaining)
        for mine, theirs in zip(result(network, settling, h), whole, strict=True):
            if isinstance(mine, dict):
                assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
            else:
                assert np.array_equal(mine, theirs)
        network, shown, settling, h = make()


# Refusals


@pytest.mark.parametrize(("wrong", "words"), [
    ({"phase": "fere"}, ["phase", "'fere'", "free, nudged"]),
    ({"tolerance": -1e-3}, ["Settling.tolerance", "-0.001"]), ({"tolerance": np.nan}, ["Settling.tolerance", "nan"]),
    ({"tolerance": np.inf}, ["Settling.tolerance", "inf"]), ({"unsettled": "warn"}, ["'count' or 'raise'", "'warn'"]),
    ({"phase": "nudged"}, ["'nudged' needs two time steps"]), ({"every": 1}, ["Settling.every", "at least 2", "1"]),
    ({"every": 2.5}, ["Settling.every", "2.5"]),
])  # fmt: skip
def test_settling_refuses_what_cannot_be(given, clock, wrong, words):
    shown = Presentation({"free": 5 * ms, "nudged": 1 * ms}, clock=clock)
    with pytest.raises(ParameterError) as caught:
        Settling(shown, **{"phase": "free", "watched": [(given(2, clock=clock), "m")], "tolerance": 1e-3} | wrong)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_phases_sets_variables_and_values_that_do_not_exist_are_refused(given, clock):
    x, shown = given(2, clock=clock, name="x4"), Presentation({"free": 5 * ms, "nudged": 1 * ms}, clock=clock)
    for call in (
        lambda: shown.use("fere"), lambda: shown.recall(x, "m", "s", "fere"), lambda: Redelivery(shown, [], ["fere"]),
        lambda: Persistence(shown, [(x, "m")], "fere", {}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match="'fere'.*free, nudged"):
            call()
    with pytest.raises(ParameterError, match="'beta'.*m, s"):
        shown.recall(x, "beta", "s", "free")
    with pytest.raises(ParameterError, match="'beta'.*m, s"):
        shown.draw([(x, "beta")], [1.0], 0)
    for values in ([], [np.nan], [[1.0]]):
        with pytest.raises(ParameterError, match="finite values"):
            shown.draw([(x, "m")], values, 0)
    with pytest.raises(ParameterError, match="'tset'.*'test'.*train, test"):
        Persistence(shown, [(x, "m")], "free", {"train": 5, "test": 2}).choose("tset")


def test_what_is_not_a_number_has_not_settled():
    """A number after one that is none does not hide it."""
    before, now = np.zeros(4, np.float32), np.array([1e-9, np.nan, 1e-9, 1e-9], np.float32)
    assert np.isnan(largest_difference(before, now)) and largest_difference(before[2:], now[2:]) == np.float32(1e-9)
