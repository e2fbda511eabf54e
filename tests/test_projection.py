"""A projection refuses what does not fit, keeps its weights as a matrix, and adds up with others on one variable."""

import numpy as np
import pytest
from brian2 import Hz, Network, NetworkOperation, mV
from scipy import stats

from neurosim import EquationError, ParameterError, Population, Presentation, Projection, Uniform
from neurosim.neurons import NeuronType

FORWARD = "drive_post = w * s_pre"
HEBB = "w += eta * s_pre * m_post"
VOLTS = NeuronType("drive : volt\nm : 1")
READER = NeuronType("drive : 1\nread : 1", "read = drive")


def matrix(n_pre, n_post, replicas=None, seed=0):
    shape = (n_pre, n_post) if replicas is None else (replicas, n_pre, n_post)
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"weights": np.zeros((4, 3))}, ["weights", "(3, 4)", "(2, 3, 4)", "got (4, 3)"]),
        ({"weights": np.zeros((1, 3, 4))}, ["weights", "(2, 3, 4)", "got (1, 3, 4)"]),
        ({"weights": np.diag([1, 1, np.nan, 1])[:3]}, ["weights", "not finite", "(0, 2, 2)"]),
        ({"weights": Uniform(0.1)}, ["seed"]),
        ({"weights": None}, ["weights", "Uniform(0.05)"]),
        ({"source": "x"}, ["Projection.source", "Population", "str"]),
        ({"target": None}, ["Projection.target", "Population", "NoneType"]),
        ({"transmit": "drive_post = m_pre"}, ["without w has no weights"]),
        ({"transmit": "drive_post = m_pre", "weights": None}, ["one-to-one", "3 and 4"]),
        ({"transmit": "drive_post = m_pre", "weights": None, "rule": HEBB}, ["without w has no weights", "no rule"]),
    ],
)
def test_wrong_arguments_are_named(given, passive, wrong, words):
    right = dict(source=given(3, replicas=2, name="x1"), target=passive(4, replicas=2, name="h1"), transmit=FORWARD)
    with pytest.raises(ParameterError) as caught:
        Projection(**{**right, "weights": np.zeros((3, 4)), **wrong})
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "word"), [({"replicas": 2}, "replicas"), ({"lanes": 3}, "lanes"), ({"dtype": np.float64}, "precision")]
)
def test_populations_of_different_replicas_lanes_or_precision_are_refused(given, passive, wrong, word):
    with pytest.raises(ParameterError, match=f"source x2 and target h2 must have the same {word}"):
        Projection(given(3, name="x2"), passive(4, name="h2", **wrong), FORWARD, weights=np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"transmit": "drive_post = w * rate_pre"}, ["transmit", "'rate_pre'", "m_pre, s_pre"]),
        ({"transmit": "drive = w * s_pre"}, ["transmit", "'drive'", "drive_post"]),
        ({"transmit": "w = s_pre"}, ["transmit", "variable_post"]),
        ({"transmit": "drive_post += w * s_pre"}, ["transmit", "variable_post"]),
        ({"rule": "w += i * s_pre"}, ["rule", "'i'", "never an index"]),
        ({"rule": "w += rate * s_pre"}, ["rule", "'rate'", "eta"]),
        ({"rule": "q += s_pre"}, ["rule", "'q'", "m_post"]),
        ({"rule": "dw/dt = eta * s_pre"}, ["rule", "unit", "Hz", "1"]),
    ],
)
def test_texts_that_name_or_do_what_does_not_exist_are_refused(given, passive, texts, words):
    with pytest.raises(EquationError) as caught:
        Projection(
            given(3, name="x3"), passive(3, name="h3"), weights=np.zeros((3, 3)), namespace={"eta": 0.1},
            **{"transmit": FORWARD, **texts},
        )  # fmt: skip
    assert str(caught.value).startswith("Projection(x3, h3).")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("weights", [Uniform(2 * mV), np.full((3, 4), 2.0) * mV])
def test_weights_with_a_unit_deliver_in_that_unit(given, play, weights):
    """A weight of 2 mV is 0.002 in base units, and delivers volts."""
    source, target = given(3), Population(4, VOLTS, order=1)
    p = Projection(source, target, FORWARD, weights=weights, seed=1)
    assert np.abs(p.w).max() <= 2e-3 and np.abs(p.w).max() > 1e-4
    play([source, target, p], [(source, "s", np.ones((1, 1, 1, 3)))])
    np.testing.assert_allclose(target.drive / mV, p.w[0].sum(axis=0) * 1000, rtol=1e-5)


def test_weights_without_their_unit_are_refused_with_both_units(given):
    with pytest.raises(EquationError, match=r"transmit: .*left side has the unit V, the right side 1"):
        Projection(given(3), Population(4, VOLTS, order=1), FORWARD, weights=np.zeros((3, 4)))
    with pytest.raises(EquationError, match=r"rule: .*left side has the unit .*, the right side Hz"):
        Projection(
            given(3), Population(4, VOLTS, order=1), FORWARD, rule="dw/dt = eta * s_pre", weights=Uniform(1 * mV),
            seed=1, namespace={"eta": 1 * Hz},
        )  # fmt: skip


def test_weights_read_back_as_written_also_after_decay(given, passive, play):
    """A decay of 10 % a step for three steps, weights set anew, two steps more: 0.9^2 of what was set."""
    source, target = given(3, replicas=2), passive(4, replicas=2)
    start = matrix(3, 4, replicas=2).astype(np.float32)
    p = Projection(source, target, FORWARD, rule="w += -0.1 * w", weights=start)
    assert p.w.shape == (2, 3, 4) and p.w.dtype == np.float32 and np.array_equal(p.w, start)
    assert not np.shares_memory(p.w, start)
    network = play([source, target, p], [(source, "s", np.zeros((3, 2, 1, 3)))])
    np.testing.assert_allclose(p.w, start * 0.9**3, rtol=1e-6)
    p.w[...] = 2 * start
    assert np.array_equal(p.w, 2 * start)
    shown = next(o for o in network.objects if isinstance(o, Presentation))
    shown.show(np.zeros((2, 2, 1), int))
    network.run(shown.remaining)
    np.testing.assert_allclose(p.w, 2 * start * 0.9**2, rtol=1e-6)


def test_delivery_and_learning_see_the_decayed_weights_not_the_stored_ones(given, passive, play, every_step):
    """w(k+1) = 0.7 w(k) + 0.25 and drive(k) = w(k): a scale that is forgotten shows in either."""
    for lanes in (1, 2):
        source, target = given(1, lanes=lanes), passive(1, lanes=lanes)
        p = Projection(source, target, FORWARD, rule="w += 0.25 / lanes * s_pre * m_post - 0.3 / lanes * w",
                       weights=[[2.0]])  # fmt: skip
        target.view("m")[...] = 1
        look, drives = every_step(source.clock, lambda target=target: target.view("drive")[0, 0, 0].copy())
        play([source, target, p, look], [(source, "s", np.ones((8, 1, lanes, 1)))])
        fixed_point = 0.25 / 0.3
        expected = fixed_point + (2 - fixed_point) * 0.7 ** np.arange(9)
        np.testing.assert_allclose(drives, expected[:-1], rtol=1e-5)
        np.testing.assert_allclose(p.w.item(), expected[-1], rtol=1e-5)


@pytest.mark.parametrize("half_width", [np.inf, np.nan, -0.1])
def test_uniform_needs_a_finite_width(given, passive, half_width):
    with pytest.raises(ParameterError, match="Uniform.*finite half width"):
        Projection(given(3), passive(3), FORWARD, weights=Uniform(half_width), seed=1)


def test_uniform_weights_fill_their_range_and_replicas_draw_apart(given, passive):
    source, target = given(40, replicas=3), passive(50, replicas=3)
    p = Projection(source, target, FORWARD, weights=Uniform(0.2), seed=5)
    for w in p.w:
        assert stats.kstest(w.ravel(), stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-3
    correlations = np.corrcoef(p.w.reshape(3, -1))[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(p.w[0].size)
    again, other = (Projection(source, target, FORWARD, weights=Uniform(0.2), seed=k) for k in (5, 6))
    assert np.array_equal(again.w, p.w) and not np.array_equal(other.w, p.w)
    fewer = Projection(given(40), passive(50), FORWARD, weights=Uniform(0.2), seed=5)
    assert np.array_equal(fewer.w[0], p.w[0])


def senders(given, passive, places, lanes, seed=3):
    """Several projections onto one variable, from sources at these places in the sweep, the target at place 2."""
    target = passive(3, order=2, replicas=2, lanes=lanes)
    sources = [given(n, order=place, replicas=2, lanes=lanes) for n, place in enumerate(places, start=3)]
    projections = []
    for k, source in enumerate(sources):
        weights = matrix(source.n, 3, replicas=2, seed=seed + k)
        projections.append(Projection(source, target, "drive_post = 2 * w * s_pre", weights=weights))
    draw = np.random.default_rng(seed)
    spikes = [draw.integers(0, 2, (6, *source.shape)) for source in sources]
    return target, sources, projections, spikes


def sums(projections, spikes, late=()):
    """What arrives: at each step the sum over projections; what is ``late`` arrives at the target a step later."""
    parts = [2 * np.einsum("trli,rij->trlj", s, p.w) for p, s in zip(projections, spikes, strict=True)]
    for k in late:
        parts[k] = np.concatenate([np.zeros_like(parts[k][:1]), parts[k][:-1]])
    return sum(parts)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("places", [(0,), (0, 0), (0, 1), (0, 2), (0, 3), (3, 4, 0), (2,), (3,)])
def test_contributions_of_several_projections_add_up_at_the_end_of_every_step(
    given, passive, play, every_step, places, lanes
):
    """From before the target in the sweep, from its own place and from after it: all of this step have arrived."""
    target, sources, projections, spikes = senders(given, passive, places, lanes)
    look, drives = every_step(target.clock, lambda: target.view("drive").copy())
    play([target, *sources, *projections, look], [(p, "s", s) for p, s in zip(sources, spikes, strict=True)])
    np.testing.assert_allclose(drives, sums(projections, spikes), rtol=0, atol=1e-5)


@pytest.mark.parametrize("places", [(0, 1), (0, 2), (0, 3), (3, 0, 2, 4)])
def test_target_reads_this_step_from_before_it_in_the_sweep_and_the_last_step_from_elsewhere(
    given, play, every_step, places
):
    def reader(n, **settings):
        return Population(n, READER, **settings)

    target, sources, projections, spikes = senders(given, reader, places, 1)
    look, seen = every_step(target.clock, lambda: target.view("read").copy())
    play([target, *sources, *projections, look], [(p, "s", s) for p, s in zip(sources, spikes, strict=True)])
    late = [k for k, place in enumerate(places) if place >= 2]
    np.testing.assert_allclose(seen, sums(projections, spikes, late), rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", [0, 2])
def test_one_to_one_and_dense_projections_add_up(given, passive, play, every_step, order):
    x, y, h = given(4), given(3, order=order), passive(3)
    dense = Projection(x, h, FORWARD, weights=matrix(4, 3))
    relay = Projection(y, h, "drive_post = -3 * s_pre")
    draw = np.random.default_rng(1)
    a, b = draw.integers(0, 2, (5, 1, 1, 4)), draw.integers(0, 2, (5, 1, 1, 3))
    look, drives = every_step(h.clock, lambda: h.view("drive").copy())
    play([x, y, h, relay, dense, look], [(x, "s", a), (y, "s", b)])
    np.testing.assert_allclose(drives, a @ dense.w - 3 * b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_projection_left_alone_on_its_variable_still_delivers_what_is_new(given, passive, place):
    """Of two projections one is taken out of the network; the other's weights change after that."""
    x, y, h = given(1), given(1, order=place), passive(1)
    stays, goes = (Projection(source, h, FORWARD, weights=[[1.0]]) for source in (x, y))
    x.view("s")[...] = 1
    network = Network(x, y, h, stays, goes)
    network.run(h.clock.dt)
    network.remove(goes)
    stays.w[...] = 7
    network.run(2 * h.clock.dt)
    assert h.view("drive").item() == 7


def test_run_that_broke_off_within_a_step_leaves_no_half_of_a_sum(given, passive):
    """An error between two deliveries; the next run starts its sums anew."""
    x, y, h = given(1), given(1, order=1), passive(1, order=2)
    links = [Projection(source, h, FORWARD, weights=[[1.0]]) for source in (x, y)]
    x.view("s")[...] = y.view("s")[...] = 1
    faults = [KeyboardInterrupt]

    def fail_once():
        if faults:
            raise faults.pop()

    network = Network(x, y, h, *links, NetworkOperation(fail_once, clock=x.clock, when="groups", order=5))
    with pytest.raises(KeyboardInterrupt):
        network.run(h.clock.dt)
    for steps in (1, 2):
        network.run(steps * h.clock.dt)
        assert h.view("drive").item() == 2


def test_frozen_projection_keeps_every_weight_while_another_learns(given, passive, play):
    source, target = given(3, lanes=2), passive(2, lanes=2)
    settings = dict(rule="w += eta * s_pre * m_post - 0.1 * w", weights=matrix(3, 2), namespace={"eta": 0.5})
    frozen, learning = (Projection(source, target, FORWARD, **settings) for _ in range(2))
    frozen.plastic = False
    start = frozen.w.copy()
    play(
        [source, target, frozen, learning], [(source, "s", np.ones((4, 1, 2, 3))), (target, "m", np.ones((4, 1, 2, 2)))]
    )
    assert np.array_equal(frozen.w, start)
    assert not np.isclose(learning.w, start).any()


def test_gate_lets_a_projection_learn_in_its_phases_only(given, passive, every_step):
    source, target = given(1), passive(1)
    dt = source.clock.dt
    gated, free = (Projection(source, target, FORWARD, rule="w += 1 + 0 * s_pre", weights=[[0.0]]) for _ in range(2))
    shown = Presentation({"free": 2 * dt, "nudged": 3 * dt, "late": 1 * dt}, clock=source.clock)
    shown.gate(gated, "nudged", "late")
    shown.show(np.zeros((2, 1), int))
    look, seen = every_step(source.clock, lambda: (gated.w.item(), free.w.item()))
    Network(source, target, gated, free, shown, look).run(shown.remaining)
    assert [int(w) for w, _ in seen] == [0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8]
    assert [int(w) for _, w in seen] == list(range(1, 13))


@pytest.mark.parametrize("places", [(0, 0), (0, 3)])
def test_restored_network_continues_as_if_it_had_not_been_interrupted(given, passive, places):
    """Weights with a scale, contributions on their way, the place in the presentation: all come back."""
    target = Population(2, READER, order=2)
    sources = [given(3, order=place) for place in places]
    rule = "w += 0.1 * s_pre * read_post - 0.01 * w"
    projections = [
        Projection(source, target, FORWARD, rule=rule, weights=matrix(3, 2, seed=k)) for k, source in enumerate(sources)
    ]
    shown = Presentation(2 * target.clock.dt, clock=target.clock)
    draw = np.random.default_rng(2)
    for source in sources:
        shown.clamp(source, "s", draw.integers(0, 2, (10, 3)) | [0, 1, 0])
    shown.show(np.arange(10)[:, None])
    network = Network(target, *sources, *projections, shown)

    def state():
        return [target.view("drive").copy(), *(p.w.copy() for p in projections), shown.index]

    network.run(7 * target.clock.dt)
    network.store("middle")
    network.run(8 * target.clock.dt)
    first = state()
    shown.show(np.zeros((3, 1), int))
    network.run(2 * target.clock.dt)
    projections[0].w[...] = 5
    network.restore("middle")
    assert shown.remaining == 13 * target.clock.dt
    network.run(8 * target.clock.dt)
    assert all(np.array_equal(a, b) for a, b in zip(first, state(), strict=True))


def test_weights_are_set_as_a_whole(given, passive, clock):
    """By ``w = `` with their unit, in place by ``w *= ``, never to another shape or unit."""
    p = Projection(
        given(3, clock=clock), passive(2, clock=clock), "drive_post = w * s_pre / mV", weights=np.ones((3, 2)) * mV
    )
    p.w = np.arange(6).reshape(3, 2) * mV
    np.testing.assert_allclose(p.w[0], np.arange(6).reshape(3, 2) * 1e-3)
    p.w *= 2
    np.testing.assert_allclose(p.w[0], np.arange(6).reshape(3, 2) * 2e-3)
    with pytest.raises(ParameterError, match="unit"):
        p.w = np.ones((3, 2))
    with pytest.raises(ValueError, match="broadcast"):
        p.w = np.ones((2, 2)) * mV
