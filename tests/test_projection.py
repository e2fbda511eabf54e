"""A projection refuses what does not fit, keeps its weights as a matrix, and adds up with others on one variable."""

import numpy as np
import pytest
from brian2 import Hz, Network, NetworkOperation, check_units, mV
from numba import njit
from scipy import stats

from neurosim import EquationError, Kernel, ParameterError, Population, Presentation, Projection, Uniform
from neurosim.connectivity import Backward, Convolution
from neurosim.neurons import NeuronType
from neurosim.plasticity import factor

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


# Later in the sweep

CHAIN = NeuronType(
    """
    drive : 1
    m : 1
    read : 1
    """,
    "read = drive",
)


@pytest.mark.parametrize("kind", ["dense", "one-to-one", "convolution"])
def test_projection_with_an_order_delivers_when_a_signal_has_come_back(kind, every_step):
    """x -> y, y back to h, then h to z, within one step: h at place 1 lies below y at place 2 and sends at place 3."""
    x, h, y, z = (Population(4, CHAIN, order=k, name=f"chain_{kind.replace('-', '_')}_{k}") for k in (0, 1, 2, 4))
    weights = {"dense": [matrix(4, 4, seed=k) for k in range(3)], "one-to-one": 3 * [np.eye(4)]}.get(kind)
    if kind == "convolution":
        kernels = [matrix(3, 1, seed=k).reshape(1, 3, 1, 1) for k in range(3)]
        settings = [
            dict(weights=each, connectivity=Convolution((1, 4, 1), (1, 3), 1, padding="same")) for each in kernels
        ]
    else:
        settings = [{} if kind == "one-to-one" else dict(weights=each) for each in weights]
    w = "" if kind == "one-to-one" else "w * "
    up = Projection(x, y, f"drive_post = {w}m_pre", **settings[0])
    back = Projection(y, h, f"drive_post = {w}read_pre", **settings[1])
    on = Projection(h, z, f"drive_post = {w}drive_pre", order=3, **settings[2])
    if weights is None:
        weights = [p.matrix()[0] for p in (up, back, on)]
    look, seen = every_step(x.clock, lambda: (h.view("drive").copy(), z.view("read").copy(), h.view("read").copy()))
    network = Network(x, h, y, z, up, back, on, look)
    draw, before = np.random.default_rng(2), np.zeros((1, 1, 4))
    for _ in range(3):
        x.view("m")[...] = draw.normal(size=(1, 1, 4))
        network.run(x.clock.dt)
        returned = x.view("m") @ weights[0] @ weights[1]
        for found, expected in zip(seen[-1], (returned, returned @ weights[2], before), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        before = returned


def test_without_an_order_a_signal_waits_for_the_next_step(passive, every_step):
    """The control of the test above."""
    h, y, z = (Population(2, CHAIN, order=k) for k in (1, 2, 4))
    back, on = Projection(y, h, "drive_post = m_pre"), Projection(h, z, "drive_post = drive_pre")
    look, seen = every_step(h.clock, lambda: z.view("read")[0, 0, 0].copy())
    y.view("m")[...] = 3
    Network(h, y, z, back, on, look).run(2 * h.clock.dt)
    assert seen == [0, 3]


@pytest.mark.parametrize("order", [0, -1, 1.5, "2", True, [3]])
def test_order_before_that_of_the_source_or_no_whole_number_is_refused(given, passive, order):
    x, h = given(2, order=1, name="xo"), passive(2, order=2, name="ho")
    with pytest.raises(ParameterError) as caught:
        Projection(x, h, "drive_post = s_pre", order=order)
    words = str(caught.value)
    assert words.startswith("Projection(xo, ho).order") and "at least 1" in words and repr(order) in words


@pytest.mark.parametrize("orders", [(3, 3), (3, 5), (5, 3), (3, 4, 6), (6, 4, 4, 3)])
@pytest.mark.parametrize("lanes", [1, 2])
def test_contributions_that_all_come_later_than_the_target_add_up(given, passive, every_step, play, orders, lanes):
    """From sources below the target, above and beside it; the sum of this step is complete after the last of them."""
    target = passive(3, order=2, replicas=2, lanes=lanes)
    places = [min(place, k) for k, place in enumerate(orders)]
    sources = [given(4, order=place, replicas=2, lanes=lanes) for place in places]
    sent = [
        Projection(x, target, "drive_post = 2 * w * s_pre", weights=matrix(4, 3, 2, seed=k), order=order)
        for k, (x, order) in enumerate(zip(sources, orders, strict=True))
    ]
    draw = np.random.default_rng(0)
    spikes = [draw.integers(0, 2, (5, *x.shape)) for x in sources]
    look, drives = every_step(target.clock, lambda: target.view("drive").copy())
    play([target, *sources, *sent, look], [(x, "s", s) for x, s in zip(sources, spikes, strict=True)])
    np.testing.assert_allclose(drives, sums(sent, spikes), rtol=0, atol=1e-5)


# Learning before delivery


def taught(text="w += 0.1 * m_pre * m_post", **more):
    """A projection h -> x at place 3 whose target is below its source, and a network around it."""
    x, h = (Population(n, CHAIN, order=k, lanes=2, replicas=2, dtype=np.float64) for n, k in ((4, 1), (3, 2)))
    p = Projection(h, x, "drive_post = w * m_pre", rule=text, weights=matrix(3, 4, 2), order=3, **more)
    return x, h, p


@pytest.mark.parametrize("learns_first", [True, False])
def test_projection_that_learns_first_delivers_along_the_new_weights(learns_first):
    """Two steps; a second projection learns at the end of the step by the same factors, and is not a step behind."""
    x, h, p = taught(learns_first=learns_first)
    late = Projection(h, x, "read_post = w * m_pre", rule="w += 0.1 * m_pre * m_post", weights=matrix(3, 4, 2))
    network, draw = Network(x, h, p, late), np.random.default_rng(1)
    w = p.w.copy()
    for _ in range(2):
        for population in (x, h):
            population.view("m")[...] = draw.normal(size=population.shape)
        sent, own, old = h.view("m").copy(), x.view("m").copy(), w
        w = w + 0.1 * np.einsum("rli,rlj->rij", sent, own)
        network.run(x.clock.dt)
        for q in (p, late):
            np.testing.assert_allclose(q.w, w, atol=1e-12)
        np.testing.assert_allclose(x.view("drive"), sent @ (w if learns_first else old), atol=1e-12)


def test_factor_of_a_line_that_comes_first_is_not_that_of_the_end_of_the_step():
    """The rule reads drive, which the projection itself changes right after it has learned: factors are not shared."""
    x, h, p = taught("w += 0.1 * m_pre * (drive_post + 1)", learns_first=True)
    late = Projection(h, x, "read_post = w * m_pre", rule="w += 0.1 * m_pre * (drive_post + 1)", weights=p.w.copy())
    start, draw = p.w.copy(), np.random.default_rng(1)
    h.view("m")[...], x.view("drive")[...] = draw.normal(size=h.shape), draw.normal(size=x.shape)
    sent, before = h.view("m").copy(), x.view("drive").copy()
    Network(x, h, p, late).run(x.clock.dt)
    first = start + 0.1 * np.einsum("rli,rlj->rij", sent, before + 1)
    np.testing.assert_allclose(p.w, first, atol=1e-12)
    np.testing.assert_allclose(late.w, start + 0.1 * np.einsum("rli,rlj->rij", sent, sent @ first + 1), atol=1e-12)


def test_projection_that_learns_first_can_be_frozen():
    x, h, p = taught(learns_first=True)
    p.plastic = False
    start = p.w.copy()
    h.view("m")[...] = x.view("m")[...] = 1
    Network(x, h, p).run(2 * x.clock.dt)
    np.testing.assert_array_equal(p.w, start)
    np.testing.assert_allclose(x.view("drive"), h.view("m") @ start)


@njit
def raise_all(w):
    w += 1.0


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (None, "there is no rule"),
        (Kernel(raise_all, reads=()), "a Kernel is called at the end of a step"),
        ({"pre": "w += m_post"}, "'w [+]= m_post' happens at an event"),
        ({"step": "w += m_pre", "post": "w += m_pre"}, "'w [+]= m_pre' happens at an event"),
    ],
)
def test_lines_that_wait_for_the_end_of_a_step_cannot_come_first(given, passive, rule, words):
    with pytest.raises(ParameterError, match=rf"Projection\(.*\).learns_first: .*{words}"):
        Projection(
            given(2), given(2, order=1), "m_post = w * s_pre", rule=rule, weights=np.ones((2, 2)), learns_first=True
        )


# Switched off


@pytest.mark.parametrize("places", [(0, 0), (0, 1), (3, 4), (0, 3)])
@pytest.mark.parametrize("learns_first", [True, False])
def test_projection_that_is_switched_off_neither_delivers_nor_learns(given, passive, places, learns_first):
    """It and another one onto the same variable; switched on again between runs, and off the other one."""
    target = passive(2, order=2)
    settings = dict(rule="w += 0.5 * s_pre * m_post", learns_first=learns_first)
    sources = [given(3, order=place) for place in places]
    both = [Projection(x, target, FORWARD, weights=matrix(3, 2, seed=k), **settings) for k, x in enumerate(sources)]
    for each in (*sources, target):
        each.view("s" if each is not target else "m")[...] = 1
    network, expected = Network(target, *sources, *both), [p.w.copy() for p in both]
    for on in ([True, False], [False, True], [True, True], [False, False], [True, False]):
        both[0].active, both[1].active = on
        before = target.view("drive").copy()
        for _ in range(2):
            network.run(2 * target.clock.dt)
            delivered = 0
            for k, p in enumerate(both):
                if on[k]:
                    delivered = delivered + (expected[k] + (1.0 if learns_first else 0.5)).sum(axis=1)
                    expected[k] = expected[k] + 1
                np.testing.assert_allclose(p.w, expected[k], rtol=1e-6)
            found = target.view("drive")[:, 0]
            np.testing.assert_allclose(found, delivered if any(on) else before[:, 0], rtol=0, atol=1e-5)


def test_projection_is_switched_off_after_a_run_that_broke_off(given, passive):
    """The run that broke off has not taken its leave of the variable."""
    x, y, h = given(1), given(1), passive(1)
    stays, goes = (Projection(source, h, FORWARD, weights=[[1.0]]) for source in (x, y))
    x.view("s")[...] = y.view("s")[...] = 1
    faults = [KeyboardInterrupt]

    def fail_once():
        if faults:
            raise faults.pop()

    network = Network(x, y, h, stays, goes, NetworkOperation(fail_once, clock=x.clock, when="end"))
    with pytest.raises(KeyboardInterrupt):
        network.run(h.clock.dt)
    goes.active = False
    for steps in (1, 2, 3):
        network.run(steps * h.clock.dt)
        assert h.view("drive").item() == 1


# Factors of large populations


SATURATED = NeuronType(
    """
    v : 1
    d : 1
    kept : 1
    drive : 1
    r = clip(gain * v, -1, 1) * kept : 1
    m = d * gain * int(abs(gain * v) < 1) * kept : 1
    """
)
FACTORS = {
    "r_pre": "w * r_pre",
    "m_pre": "w * m_pre",
    "quotient and power": "w * (v_pre**2 / 3 - d_pre**3 * 0.7 / (2 + kept_pre))",
    "sign and steps": "w * (sign(v_pre) + floor(d_pre) - ceil(3 * d_pre) * int(v_pre >= 0.25))",
    "both": "w * r_pre * int(d_post >= v_post) * d_post",
}


def factors(text, dtype, lanes=5, replicas=2):
    """Deliver along a factor, and learn by it; return what arrived, the weights, and whether kernels were fused."""
    draw = np.random.default_rng(9)
    x, h = (
        Population(n, SATURATED, order=k, lanes=lanes, replicas=replicas, dtype=dtype, namespace={"gain": 0.3})
        for n, k in ((7, 0), (6, 1))
    )
    for population in (x, h):
        for name in ("v", "d"):
            population.view(name)[...] = 4 * draw.normal(size=population.shape)
        population.view("v")[0, 0, :3] = [1 / 0.3, -1 / 0.3, 0]  # at the borders
        population.view("kept")[...] = 2 * draw.integers(0, 2, population.shape)
    p = Projection(x, h, f"drive_post = {text}", rule="w += 0.1 * r_pre * m_post", weights=matrix(7, 6, 2), seed=1)
    Network(x, h, p).run(x.clock.dt)
    fused = [f for part in p.transmission.parts for f in part.pre_factors if f._fused is not None]
    return h.view("drive").copy(), p.w.copy(), fused


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", FACTORS.values(), ids=FACTORS)
def test_factors_of_large_populations_are_the_same_in_one_pass(text, dtype, monkeypatch):
    """Products and sums may be carried out in another order, which costs a rounding; comparisons are the same."""
    drive, w, fused = factors(text, dtype)
    assert not fused
    monkeypatch.setattr(factor, "FUSED_FROM", 1)
    drive_too, w_too, fused = factors(text, dtype)
    assert fused and drive_too.dtype == dtype
    tolerance = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(drive_too, drive, rtol=0, atol=tolerance * np.abs(drive).max())
    np.testing.assert_allclose(w_too, w, rtol=0, atol=tolerance * np.abs(w).max())


@pytest.mark.parametrize("gain", [0.5, 0.3, 1.0])
def test_activity_in_one_pass_is_that_of_numpy_to_the_bit(gain, monkeypatch):
    """Of both sizes of populations: an activity that is compared with the largest of its window must be that one."""
    for text in ("clip(gain_pre * v_pre, -1, 1) * kept_pre", "d_pre * gain_pre * int(abs(gain_pre * v_pre) < 1)"):
        found = []
        for start in (10**9, 1):
            monkeypatch.setattr(factor, "FUSED_FROM", start)
            x = Population(5000, SATURATED, order=0, namespace={"gain": gain})
            y = Population(5000, SATURATED, order=1, namespace={"gain": gain})
            draw = np.random.default_rng(0)
            for name in ("v", "d", "kept"):
                x.view(name)[...] = 3 * draw.normal(size=x.shape)
            p = Projection(x, y, f"drive_post = {text}")
            Network(x, y, p).run(x.clock.dt)
            assert (p.transmission.parts[0].made[0].pre._fused is None) == (start > 1)
            found.append(y.view("drive").copy())
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("text", ["tanh(m_pre)", "exp(v_pre)", "sqrt(abs(v_pre))", "abs(v_pre)**0.5", "own(v_pre)"])
def test_functions_that_round_in_their_own_way_and_those_of_the_user_are_left_to_numpy(text, monkeypatch):
    monkeypatch.setattr(factor, "FUSED_FROM", 1)
    x, h = (Population(3, SATURATED, order=k, namespace={"gain": 1.0}) for k in (0, 1))

    @check_units(a=1, result=1)
    def own(a):
        return 2 * a

    p = Projection(
        x, h, f"drive_post = w * {text}", weights=np.ones((3, 3)), namespace={"own": own} if "own" in text else {}
    )
    assert p.transmission.parts[0].pre_factors[0]._fused is None


# Factors and products of a step that a projection and the feedback beside it share

RATES = (
    "m_pre * read_post", "read_pre * m_post", "(m_pre + gain_pre) * m_post", "gain_post * m_pre * read_post",
    "abs(c * m_pre) * (m_post + c)",
)  # fmt: skip


@pytest.mark.parametrize("kind", [None, Convolution((3, 2, 2), 3, 2, padding="same")])
@pytest.mark.parametrize("lanes", [1, 3])
def test_projections_that_learn_by_the_same_factors_do_not_mix_them_up(kind, lanes):
    """Constants of one name differ between populations; what is pre to W is post to R; one rests, some learn first."""
    x, h = (
        Population(12, CHAIN, order=k, lanes=lanes, replicas=2, dtype=np.float64, namespace={"gain": gain})
        for k, gain in ((0, 2.0), (1, 3.0))
    )
    shape, beside = ((12, 12), None) if kind is None else ((3, 3, 2, 2), Backward(kind))
    made, draw = [], np.random.default_rng(3)
    for k, rate in enumerate(RATES):
        for c, first in ((1.0, False), (2.0, True), (3.0, False)):
            for source, target, connectivity in ((x, h, kind), (h, x, beside)):
                more = dict(learns_first=first, connectivity=connectivity, order=2, namespace={"c": c})
                rule, weights = f"w += 0.1 * {k + 1} * {rate}", draw.normal(size=shape)
                made.append(Projection(source, target, "drive_post = w * m_pre", rule=rule, weights=weights, **more))
    made[5].plastic = False
    network, now = Network(x, h, *made), [p.matrix() for p in made]
    numbered = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    tap = Projection(x, h, "m_post = w * m_pre", weights=numbered, connectivity=kind).matrix()[0]
    for _ in range(3):
        for population in (x, h):
            for name in ("m", "drive"):
                population.view(name)[...] = draw.normal(size=population.shape)
            population.view("read")[...] = 0
        network.run(x.clock.dt)
        state = {q: {n: q.view(n).copy() for n in ("m", "read")} | {"gain": q.namespace["gain"]} for q in (x, h)}
        for p, before in zip(made, now, strict=True):
            k, c = RATES.index(p.rule.split(" * ", 2)[2]), p.namespace["c"]
            pre, post = state[p.source], state[p.target]
            pre = (pre["m"], pre["read"], pre["m"] + pre["gain"], pre["m"], np.abs(c * pre["m"]))[k]
            post = (post["read"], post["m"], post["m"], post["gain"] * post["read"], post["m"] + c)[k]
            change = 0.1 * (k + 1) * np.einsum("rli,rlj->rij", pre, post) * p.plastic
            if kind is not None:
                own = tap if p.source is x else tap.T
                for r in range(2):
                    sums = np.bincount(own.astype(int).ravel(), change[r].ravel(), minlength=numbered.size + 1)
                    change[r] = np.where(own > 0, sums[own.astype(int)], 0)
            np.testing.assert_allclose(p.matrix(), before + change, atol=1e-10, err_msg=p.rule)
        now = [p.matrix() for p in made]
