"""What does not change is delivered once: an input that holds still, along weights that hold still.

Every scenario runs twice, from a source whose values only the outside sets, and from one that sets its values anew in
each step to what they are, for which the plan delivers in every step. What arrives must be the same to the last bit.
"""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import Network, NetworkOperation
from numba import njit

from neurosim import Kernel, Population, Presentation, Projection
from neurosim.connectivity import Convolution, Masked, Pooling, Transposed
from neurosim.neurons import NeuronType
from neurosim.plasticity import blas, kernels, patches
from neurosim.plasticity.compile import Compiled

EQUATIONS = """
s : 1
m : 1
v : 1
drive : 1
also : 1
"""
HELD = NeuronType(EQUATIONS, spike="s")
RESTLESS = NeuronType(EQUATIONS, update="m = m\ns = s", spike="s")
FREE, NUDGED, EXAMPLES = 4, 2, 3  # steps of the two phases, presentations
STEPS = EXAMPLES * (FREE + NUDGED)
COUNTED = (
    "product", "product_transposed", "deliver_rows", "deliver_dense", "deliver_list", "deliver_list_backwards",
    "outer_product", "learn_rows", "learn_dense", "convolve", "correlate", "spread",
)  # fmt: skip
ONCE = "delivered once while its input and the weights hold still"


@pytest.fixture
def calls(monkeypatch):
    """Count the calls of what delivers and learns: ours by name, those made from a text as "text"."""
    counted = Counter()

    def count(name, function):
        def counting(*arguments, **named):
            counted[name] += 1
            return function(*arguments, **named)

        return counting

    for name in COUNTED:
        home = next(each for each in (blas, kernels, patches) if hasattr(each, name))
        monkeypatch.setattr(home, name, count(name, getattr(home, name)))
    monkeypatch.setattr(Compiled, "__call__", count("text", Compiled.__call__))
    return counted


def build(model, transmit="drive_post = w * m_pre", rule=None, lanes=1, connectivity=None, weights=(), phase=None,
          n_pre=6, n_post=4, place=0, replicas=2, **more):  # fmt: skip
    """A projection between two populations, and a presentation that clamps the source."""
    draw = np.random.default_rng(1)
    x = Population(n_pre, model, order=place, lanes=lanes, replicas=replicas, dtype=np.float64)
    h = Population(n_post, HELD, order=1, lanes=lanes, replicas=replicas, dtype=np.float64)
    h.view("m")[...] = draw.uniform(-1, 1, h.shape)
    h.view("v")[...] = draw.uniform(-1, 1, h.shape)
    x.view("v")[...] = draw.uniform(-1, 1, x.shape)
    dt = x.clock.dt
    shown = Presentation({"free": FREE * dt, "nudged": NUDGED * dt}, clock=x.clock)
    shown.clamp(x, "m", draw.uniform(-1, 1, (EXAMPLES, n_pre)))
    shown.clamp(x, "s", draw.integers(0, 2, (EXAMPLES, n_pre)))
    shown.show(np.indices((EXAMPLES, replicas, lanes)).sum(axis=0) % EXAMPLES)
    if phase:
        more["when"] = shown.end(phase)
    start = draw.normal(size=weights or (n_pre, n_post)) if weights is not None else None
    p = Projection(x, h, transmit, rule=rule, weights=start, connectivity=connectivity, **more)
    return SimpleNamespace(x=x, h=h, p=p, shown=shown, objects=[x, h, p, shown])


def run(net, script=None, slot="start"):
    """Run all presentations, ``script(step, net)`` in each step; return what arrived in each."""
    seen, step = [], iter(range(STEPS))
    look = NetworkOperation(lambda: seen.append(net.h.view("drive").copy()), clock=net.x.clock, when="end", order=9)
    act = NetworkOperation(lambda: script(next(step), net), clock=net.x.clock, when=slot, order=5)
    Network(*net.objects, look, *([act] if script else [])).run(net.shown.remaining)
    return np.array(seen)


PLANS = {
    "product over lanes": dict(lanes=3),
    "all rows": dict(),
    "rows of spikes": dict(transmit="drive_post = w * s_pre"),
    "list": dict(connectivity=Masked(np.random.default_rng(0).random((6, 4)) < 0.5, store="list")),
    "list, lanes": dict(connectivity=Masked(np.random.default_rng(0).random((6, 4)) < 0.5, store="list"), lanes=3),
    "synapse by synapse": dict(transmit="drive_post = tanh(w * m_pre)", lanes=3),
    "transformed": dict(transmit="drive_post = cos(w) * m_pre", lanes=3),
    "two terms": dict(transmit="drive_post = w * m_pre - w * s_pre", lanes=3),
    "convolution": dict(connectivity=Convolution((6, 1, 1), (3, 1), 1), weights=(3, 1, 1, 1)),
    "largest": dict(connectivity=Pooling((6, 1, 1), (3, 1), stride=1, reduce="max"), weights=None,
                    transmit="drive_post = m_pre"),
}  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_clamped_source_delivers_once_an_example_and_not_in_every_step(plan, calls):
    """One more is allowed at the start of a run, where the plan has yet to see that nothing changes."""
    held, restless = (build(model, **PLANS[plan]) for model in (HELD, RESTLESS))
    assert ONCE in held.p.explain() and ONCE not in restless.p.explain()
    every = run(restless)
    each = sum(calls.values()) / STEPS
    calls.clear()
    once = run(held)
    assert EXAMPLES * each <= sum(calls.values()) <= (EXAMPLES + 1) * each
    np.testing.assert_array_equal(once, every)
    assert len(np.unique(every.reshape(STEPS, -1), axis=0)) == EXAMPLES


def test_one_to_one_copy_is_made_in_every_step(calls):
    """It costs less than to find out whether it is needed."""
    net = build(HELD, "drive_post = 2 * m_pre", n_post=6, weights=None)
    assert ONCE not in net.p.explain()
    np.testing.assert_array_equal(run(net)[-1], 2 * net.x.view("m"))


@njit
def grow(w, m_post):
    for r in range(w.shape[0]):
        for j in range(w.shape[2]):
            w[r, :, j] += m_post[r, 0, j]


def at(steps, act):
    return lambda step, net: act(net, step) if step in steps else None


def set_input(net, step):
    for name in ("m", "s"):
        values = net.x.view(name)
        values[...] = np.roll(values, step + 1, axis=2)


def set_one_value(net, step):
    net.x.view("m")[-1, -1, 2] += 1
    net.x.view("s")[-1, -1, 2] = 1 - net.x.view("s")[-1, -1, 2]


def set_weights(net, step):
    net.p.w[...] = step


def hold_weights(net, step):
    net.__dict__.setdefault("held", net.p.w)[-1, 1, 2] = step


def hold_a_row(net, step):
    net.__dict__.setdefault("held", net.p.w[1, 3])[...] = step


def hold_then_let_go(net, step):
    if step < 10:
        net.held = net.p.w
    else:
        net.__dict__.pop("held")[...] = step


def learn_now_and_then(net, step):
    net.p.plastic = step in (3, 4, 9)


def there_and_back(net, step):
    net.x.view("m")[...] *= -1
    net.x.view("s")[...] = 1 - net.x.view("s")


def forget_a_value(net, step):
    net.x.view("m")[0, 0, 0] = np.nan if step == 2 else 0.5


HEBB = "w += 0.1 * m_pre * m_post"
NO_SPIKES = "not a number for two steps"
SCENARIOS = {
    "nothing happens": ({}, None),
    "input": ({}, at((2, 9), set_input)),
    "one value of the last replica": ({}, at((3, 10), set_one_value)),
    "there and back": ({}, at((7, 8, 15, 16), there_and_back)),
    NO_SPIKES: ({}, at((2, 4), forget_a_value)),
    "weights": ({}, at((2, 3, 13), set_weights)),
    "array of weights that is held": ({}, at((1, 3, 8, 16), hold_weights)),
    "row of the weights that is held": ({}, at((1, 3, 8, 16), hold_a_row)),
    "array of weights let go": ({}, at((2, 14), hold_then_let_go)),
    "weights and input at once": ({}, at((2, 9), lambda net, step: (set_weights(net, step), set_input(net, step)))),
    "learning": (dict(rule=HEBB), None),
    "learning now and then": (dict(rule=HEBB), at(range(STEPS), learn_now_and_then)),
    "learning at the end of a phase": (dict(rule=HEBB, phase="nudged"), None),
    "learning on spikes": (dict(rule={"pre": "w += 0.1 * m_post"}), None),
    "decay": (dict(rule="w += -0.01 * w"), None),
    "compiled function": (dict(rule=Kernel(grow, reads=("m_post",))), None),
    "learning, and input": (dict(rule=HEBB, phase="free"), at((2, 9), set_input)),
    "variable of the synapse": (
        dict(rule="gain : 1 (shared)\ngain += 0.1 * m_post", transmit="drive_post = w * gain * m_pre"), None,
    ),
    "variable of the target": (
        dict(transmit="drive_post = w * m_pre * v_post"), at((2, 9), lambda net, step: net.h.view("v").__imul__(2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("plan", ["product over lanes", "rows of spikes"])
@pytest.mark.parametrize(
    ("scenario", "slot"),
    [(name, "start") for name in SCENARIOS] + [(name, "end") for name, (_, script) in SCENARIOS.items() if script],
)
def test_what_arrives_is_the_same_as_if_it_were_delivered_in_every_step(scenario, plan, slot):
    settings, script = SCENARIOS[scenario]
    held, restless = (build(model, **PLANS[plan] | settings) for model in (HELD, RESTLESS))
    once, every = run(held, script, slot), run(restless, script, slot)
    np.testing.assert_array_equal(once, every)
    if held.p._weights is not None:
        np.testing.assert_array_equal(held.p.w, restless.p.w)
    changes = len(np.unique(every.reshape(STEPS, -1), axis=0))
    assert changes > EXAMPLES or scenario in ("nothing happens", "learning at the end of a phase", NO_SPIKES)


@pytest.mark.parametrize("plan", ["product over lanes", "all rows"])
def test_each_change_costs_one_delivery(plan, calls):
    for scenario, most in (("input", 2), ("one value of the last replica", 2), ("weights", 3 * 2)):
        calls.clear()
        run(build(HELD, **PLANS[plan]), SCENARIOS[scenario][1])
        assert sum(calls.values()) <= EXAMPLES + 1 + most, scenario


def test_rule_at_the_end_of_a_phase_leaves_the_deliveries_before_it_out(calls):
    """Weights that have not learned hold still: a network that settles delivers its input once."""
    run(build(HELD, rule=HEBB, phase="nudged", lanes=3))
    assert calls["product"] <= 2 * EXAMPLES + 1 < STEPS / 2


def test_frozen_and_gated_weights_hold_still(calls):
    net = build(HELD, rule=HEBB, lanes=3)
    net.p.plastic = False
    run(net)
    assert calls["product"] <= EXAMPLES + 1
    calls.clear()
    net = build(HELD, rule=HEBB, lanes=3)
    net.shown.gate(net.p, "nudged")
    run(net)
    assert calls["product"] <= EXAMPLES * (NUDGED + 2) + 1 < STEPS


def test_value_that_the_transmit_does_not_read_may_change(calls):
    run(build(HELD, lanes=3), at(range(STEPS), lambda net, step: net.x.view("v").__iadd__(1)))
    assert calls["product"] <= EXAMPLES + 1


@pytest.mark.parametrize("places", [(0, 0), (0, 2), (2, 0), (0, 1, 2)])
def test_sum_of_several_projections_of_which_some_hold_still(places):
    """Held, restless and learning sources onto one variable, before and after the target in the sweep."""
    nets = []
    for k, place in enumerate(places):
        for model in (HELD, RESTLESS):
            net = build(model, rule=HEBB if k == 1 else None, lanes=2, place=place, n_pre=5 + k)
            if nets:
                net.p = Projection(net.x, nets[0].h, "drive_post = w * m_pre", rule=net.p.rule, weights=net.p.w)
            nets.append(net)
    h, expected, seen = nets[0].h, [], []

    def look():
        seen.append(h.view("drive").copy())

    def before():
        sent = [np.einsum("rli,rij->rlj", net.x.view("m"), net.p.w) for net in nets]
        expected.append(sum(sent))

    objects = [NetworkOperation(look, clock=h.clock, when="end"),
               NetworkOperation(before, clock=h.clock, when="start", order=8)]  # fmt: skip
    Network(h, *(o for net in nets for o in (net.x, net.p, net.shown)), *objects).run(nets[0].shown.remaining)
    np.testing.assert_allclose(seen, expected, atol=1e-12)


TIRING = "w += 0.1 * m_pre * m_post - 0.01 * w**3"
FORGETFUL = "trace : 1\ntrace += m_pre * m_post - 0.1 * trace\nw += 0.1 * trace"
LEARNS = {
    "product": dict(rule=HEBB),
    "spikes": dict(rule="w += 0.1 * s_pre * m_post", transmit="drive_post = w * s_pre"),
    "bounds": dict(rule=HEBB, bounds=(-5, 5)),
    "power of the weights": dict(rule=TIRING),
    "variable of the synapse": dict(rule=FORGETFUL),
    "mask": dict(rule=HEBB, connectivity=Masked(np.random.default_rng(0).random((6, 4)) < 0.5)),
    "list": dict(rule=HEBB, connectivity=Masked(np.random.default_rng(0).random((6, 4)) < 0.5, store="list")),
    "convolution": dict(rule=HEBB, connectivity=Convolution((6, 1, 1), (3, 1), 1), weights=(3, 1, 1, 1)),
    "transformed": dict(rule=HEBB, transmit="drive_post = cos(w) * m_pre"),
    "synapse by synapse": dict(rule=HEBB, transmit="drive_post = tanh(w * m_pre)"),
}  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("plan", LEARNS)
def test_replicas_share_every_call(plan, lanes, calls):
    """Forwards, learning and backwards: of small networks the calls take most of the time, and 20 cost as one."""

    def count(replicas):
        calls.clear()
        net = build(RESTLESS, lanes=lanes, replicas=replicas, **LEARNS[plan])
        back = Population(6, HELD, order=2, lanes=lanes, replicas=replicas, dtype=np.float64)
        net.objects += [back, Projection(net.h, back, "drive_post = w * v_pre", connectivity=Transposed(net.p))]
        run(net)
        return dict(calls)

    assert count(1) == count(5) and sum(calls.values()) >= 3 * STEPS


@pytest.mark.parametrize("rule", [None, HEBB])
def test_transposed_holds_still_with_the_weights_it_reads(rule, calls):
    net = build(HELD, rule=rule, lanes=2)
    y = Population(4, HELD, order=2, lanes=2, replicas=2, dtype=np.float64)
    back = Population(6, HELD, order=3, lanes=2, replicas=2, dtype=np.float64)
    y.view("m")[...] = np.random.default_rng(3).normal(size=y.shape)
    p = Projection(y, back, "drive_post = w * m_pre", connectivity=Transposed(net.p))
    assert ONCE in p.explain()
    seen, expected = [], []
    look = NetworkOperation(lambda: seen.append(back.view("drive").copy()), clock=y.clock, when="end")
    before = NetworkOperation(
        lambda: expected.append(np.einsum("rlj,rij->rli", y.view("m"), net.p.matrix())), clock=y.clock
    )
    Network(*net.objects, y, back, p, look, *([before] if rule else [])).run(net.shown.remaining)
    if rule:
        np.testing.assert_allclose(seen, expected, atol=1e-12)
    else:
        np.testing.assert_allclose(seen[-1], np.einsum("rlj,rij->rli", y.view("m"), net.p.matrix()), atol=1e-12)
        assert calls["product_transposed"] <= 2


def test_new_run_delivers_what_was_changed_between_runs():
    net = build(HELD, lanes=2)
    network = Network(*net.objects)
    network.run(net.x.clock.dt)
    for value in (3, 4):
        net.p.w[...] = value
        net.h.view("drive")[...] = 77
        network.run(net.x.clock.dt)
        expected = np.einsum("rli,rij->rlj", net.x.view("m"), net.p.w)
        np.testing.assert_allclose(net.h.view("drive"), expected, atol=1e-12)


@pytest.mark.parametrize("place", [0, 2])
def test_restored_network_delivers_what_it_did(place):
    """Weights and input differ when it is put back; source before and after the target, alone and with another."""
    net = build(HELD, lanes=2, place=place)
    other = build(HELD, lanes=2)
    other.p = Projection(other.x, net.h, "drive_post = w * m_pre", weights=other.p.w)
    network = Network(*net.objects, other.x, other.p, other.shown)
    seen = []
    network.add(NetworkOperation(lambda: seen.append(net.h.view("drive").copy()), clock=net.x.clock, when="end"))
    dt = net.x.clock.dt
    network.run(3 * dt)
    network.store()
    network.run(5 * dt)
    net.p.w[...] = other.p.w[...] = 9
    net.x.view("m")[...] = 5
    network.run(3 * dt)
    network.restore()
    del seen[:3], seen[5:]
    network.run(5 * dt)
    np.testing.assert_array_equal(seen[:5], seen[5:])


@pytest.mark.parametrize("few", [True, False])
def test_spikes_of_many_lanes_deliver_and_learn_as_a_product_does(few, monkeypatch):
    """Rows of few spikes or tables of sums, chosen in each step by how many spike; also where a lane has none."""
    from neurosim.plasticity import spikes

    monkeypatch.setattr(spikes, "LARGE", 0)
    draw, lanes, shape = np.random.default_rng(0), 24, (70, 20)
    given = 1.0 * (draw.random((4, 2, lanes, shape[0])) < (0.03 if few else 0.4))
    given[:, 0, 1] = 0
    x = Population(shape[0], RESTLESS, order=0, lanes=lanes, replicas=2, dtype=np.float64)
    h = Population(shape[1], HELD, order=1, lanes=lanes, replicas=2, dtype=np.float64)
    h.view("m")[...] = draw.normal(size=h.shape)
    mask = draw.random(shape) < 0.7
    start = draw.normal(size=(2, *shape))
    text, rule = "drive_post = -2 * w * s_pre", "w += 0.1 * s_pre * m_post - 0.001 * w"
    dense = Projection(x, h, text, rule=rule, weights=start)
    masked = Projection(x, h, text.replace("drive", "also"), weights=start, connectivity=Masked(mask))
    assert all("rows of spikes where few spike" in p.explain() for p in (dense, masked))
    shown = Presentation(x.clock.dt, clock=x.clock)
    shown.clamp(x, "s", given.reshape(-1, shape[0]))
    shown.show(np.arange(given[..., 0].size).reshape(given.shape[:3]))
    seen = []
    look = NetworkOperation(
        lambda: seen.append((h.view("drive").copy(), h.view("also").copy())), clock=x.clock, when="end"
    )
    Network(x, h, dense, masked, shown, look).run(shown.remaining)
    w = start.copy()
    for s, (drive, also) in zip(given, seen, strict=True):
        np.testing.assert_allclose(drive, -2 * s @ w, atol=1e-11)
        np.testing.assert_allclose(also, -2 * s @ (start * mask), atol=1e-11)
        w += 0.1 * s.transpose(0, 2, 1) @ h.view("m") - 0.001 * lanes * w
    np.testing.assert_allclose(dense.w, w, atol=1e-11)
