"""Where a variable of the synapse is kept changes what a step costs, never what it gives.

Every storage is compared with the interpreter of ``reference.py``, which keeps all variables in all lanes; with what
a forced copy for every lane gives; and with memory traced.
"""

import tracemalloc

import numpy as np
import pytest
from brian2 import Network
from reference import Reference
from wiring import cells, show

from neurosim import Population, Projection
from neurosim.connectivity import Convolution, Masked
from neurosim.neurons import NeuronType

SIGNAL = NeuronType("r : 1")
HEBB = "m_pre * m_post"


def join(
    rule, lanes=3, replicas=1, sizes=(4, 3), transmit="drive_post = w * m_pre", dtype=np.float64, weights=None, **more
):
    a, b = cells(sizes[0], 0, lanes, replicas, dtype), cells(sizes[1], 1, lanes, replicas, dtype)
    weights = np.random.default_rng(7).normal(size=sizes) if weights is None else weights
    return Projection(a, b, transmit, rule=rule, weights=weights, **more)


# text, transmit (or None for w alone), and where its variables are to be kept in several lanes
EXAMPLES = {
    "momentum": (f"mom : 1\nmom = 0.9 * mom + {HEBB}\nw += 0.1 * mom", None, {"mom": "summed"}),
    "momentum as a rate": (f"dmom/dt = (5 * {HEBB} - mom) / (1*ms) : 1\ndw/dt = mom / (1*ms)", None, {"mom": "summed"}),
    "low-passed twice": (
        f"da/dt = ({HEBB} - a) / (1*ms) : 1\ndb/dt = (a - b) / (1*ms) : 1\nw += b",
        None, {"a": "summed", "b": "summed"},
    ),
    "Polyak average": (
        f"w += 0.1 * {HEBB}\nmean : 1\nmean += 0.25 * (w - mean)\nanchor : 1\nanchor = mean**2\nw -= 0.1 * anchor",
        None, {"mean": "common", "anchor": "common"},
    ),
    "Polyak average in the transmit": (
        f"w += 0.1 * {HEBB}\nmean : 1\nmean += 0.25 * (w - mean)", "drive_post = mean * m_pre + 0 * w",
        {"mean": "common"},
    ),
    "Adam of a shared gradient": (
        f"g : 1 (shared)\nfirst : 1\nsecond : 1\ng = {HEBB}\nfirst += 0.1 * (g - first)\n"
        "second += 0.01 * (g**2 - second)\nw += 0.1 / lanes * first / (sqrt(second) + 0.1)",
        None, {"g": "shared", "first": "common", "second": "common"},
    ),
    "Adam of each lane's gradient": (
        f"g = {HEBB} : 1\nsecond : 1\nsecond += 0.01 * (g**2 - second)\nw += 0.1 * g / (sqrt(second) + 0.1)",
        None, {"second": "lanes"},
    ),
    "eligibility, constant factor": (
        f"elig : 1\nelig = 0.5 * elig + {HEBB}\nw += 0.1 * elig", None, {"elig": "summed"},
    ),
    "eligibility, learning signal": (
        f"elig : 1\nelig = 0.5 * elig + {HEBB}\nw += 0.1 * elig * v_post", None, {"elig": "lanes"},
    ),
    "eligibility, global reward": (
        f"elig : 1\nelig = 0.5 * elig + {HEBB}\nw += 0.1 * elig * reward", None, {"elig": "lanes"},
    ),
    "eligibility, decay by neuron": (
        f"elig : 1\nelig += {HEBB} - abs(v_post) * elig\nw += 0.1 * elig", None, {"elig": "lanes"},
    ),
    "eligibility, weighted": (
        f"elig : 1\nelig = 0.5 * elig + {HEBB} * w\nw += 0.1 * elig * w", None, {"elig": "summed"},
    ),
    "momentum beside an eligibility": (
        f"mom : 1\nelig : 1\nmom = 0.9 * mom + {HEBB}\nelig = 0.5 * elig + {HEBB}\nw += 0.1 * mom + elig * v_post",
        None, {"mom": "summed", "elig": "lanes"},
    ),
    "facilitation": (
        "u : 1\nu += 0.1 * s_pre * (1 - u)\nw += 0.01 * v_post", "drive_post = w * u * m_pre", {"u": "lanes"},
    ),
    "trace set on spikes": ({"pre": "q : 1\nq = m_post", "step": "w += 0.1 * q"}, None, {"q": "lanes"}),
    "trace raised on spikes": ({"pre": "q : 1\nq += m_post", "step": "w += 0.1 * q\nq *= 0.5"}, None, {"q": "summed"}),
    "trace read on spikes": ({"pre": "w += 0.1 * q", "step": f"q : 1\nq = 0.5 * q + {HEBB}"}, None, {"q": "lanes"}),
    "trace of a trace that is kept in lanes": (
        f"a : 1\nb : 1\na = 0.5 * a + {HEBB}\nb = 0.5 * b + a\nw += tanh(b)", None, {"a": "lanes", "b": "lanes"},
    ),
    "shared trace": (f"q : 1 (shared)\nq += {HEBB}\nw += 0.1 / lanes * tanh(q)", None, {"q": "shared"}),
    "reset": (f"q : 1\nq += {HEBB}\nw += 0.1 * q\nq = 0.25", None, {"q": "summed"}),
    "never changed": ("q : 1\nw += (q + 1) * v_post", None, {"q": "common"}),
    "counter": ("q : 1\nq += 1\nw += q * v_post", None, {"q": "common"}),
}  # fmt: skip


def interpret(p, rule, given, reward, start):
    reference = Reference(start, p.source.lanes, p.transmission.text, rule, constants={"ms": 1e-3}, dt=1e-4)
    delivered = []
    sides = {"pre": given[p.source], "post": given[p.target]}
    for step in range(len(sides["pre"]["m"])):
        now = {f"{name}_{side}": values[step] for side, each in sides.items() for name, values in each.items()}
        now["reward"] = reward
        delivered.append(reference.deliver(now)["drive"])
        reference.learn(now)
    return reference, np.array(delivered)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("example", EXAMPLES)
def test_each_storage_gives_what_a_copy_for_every_lane_gives(example, replicas):
    rule, transmit, storage = EXAMPLES[example]
    signal = Population(1, SIGNAL, order=0, lanes=3, replicas=replicas, dtype=np.float64)
    signal.view("r")[...] = np.random.default_rng(5).normal(size=signal.shape)
    p = join(rule, replicas=replicas, transmit=transmit or "drive_post = w * m_pre", signals={"reward": (signal, "r")})
    assert p.storage == {"w": "shared", **storage}
    start = p.w.copy()
    result = show([p], steps=4, more=[signal])
    reference, delivered = interpret(p, rule, result.given, signal.view("r"), start)
    np.testing.assert_allclose(p.w, reference.w, atol=1e-12)
    np.testing.assert_allclose(result.drive[p], delivered, atol=1e-12)
    assert np.abs(p.w - start).max() > 1e-4, "nothing was learned"
    for name, kept in storage.items():
        state = reference.state[name]
        state = {"summed": lambda s: s.sum(axis=1), "common": lambda s: s[:, 0]}.get(kept, lambda s: s)(state)
        assert p.view(name).shape == state.shape and f"{name}: kept {kept}" in p.explain()
        np.testing.assert_allclose(p.view(name), state, atol=1e-12)


@pytest.mark.parametrize("connectivity", [Masked(np.random.default_rng(0).random((4, 3)) < 0.6, store="list"), "tied"])
@pytest.mark.parametrize("example", ["momentum", "Polyak average", "eligibility, learning signal", "reset"])
def test_a_transmit_that_reads_a_variable_forces_all_lanes_and_changes_nothing(example, connectivity):
    """What a lane delivers by its own copy needs that copy; the weights learn as they did."""
    rule, _, storage = EXAMPLES[example]
    sizes, weights = (4, 3), None
    if connectivity == "tied":
        connectivity, sizes = Convolution((4, 1, 1), (3, 1), 2, padding="same"), (4, 8)
        weights = np.random.default_rng(1).normal(size=(3, 1, 1, 2))
    settings = dict(connectivity=connectivity, sizes=sizes, replicas=2)
    if weights is None:
        weights = np.random.default_rng(1).normal(size=(4, 3))
    read = " + ".join(storage)
    free = join(rule, weights=weights, **settings)
    forced = Projection(free.source, free.target, f"also_post = w * m_pre + v_post * ({read})", rule=rule,
                        weights=weights, connectivity=connectivity)  # fmt: skip
    assert free.storage == {"w": "shared", **storage}
    assert set(forced.storage.values()) <= {"shared", "lanes", "common"}
    show([free, forced], steps=3)
    np.testing.assert_allclose(free.w, forced.w, atol=1e-12)


def test_lanes_of_a_linear_rule_add_up_to_lanes_simulated_one_at_a_time():
    """Momentum in three lanes changes the weights by what three simulations of one lane change them."""
    rule, _, _ = EXAMPLES["momentum"]
    together = join(rule, lanes=3)
    start = together.w.copy()
    given = show([together], steps=3).given
    change = 0
    for lane in range(3):
        alone = join(rule, lanes=1)
        assert set(alone.storage.values()) <= {"shared", "common"}
        values = {q: given[g] for q, g in ((alone.source, together.source), (alone.target, together.target))}
        network = Network(alone.source, alone.target, alone)
        for step in range(3):
            for population, each in values.items():
                for name, array in each.items():
                    population.view(name)[...] = array[step, :, lane : lane + 1]
            network.run(alone.clock.dt)
        change = change + alone.w - start
    np.testing.assert_allclose(together.w - start, change, atol=1e-12)


@pytest.mark.parametrize(
    "read",
    ["tanh(q)", "abs(q)", "sign(q)", "floor(q)", "ceil(q)", "q // 2", "q % 2", "int(q)", "int(q > 0)", "clip(q, 0, 1)",
     "int(q > 0 and m_pre < 1)", "q**2", "sqrt(abs(q))", "exprel(q)", "q * other", "q * m_post", "q * reward"],
)  # fmt: skip
def test_what_is_not_linear_in_the_sum_over_lanes_is_kept_in_every_lane(read):
    signal = Population(1, SIGNAL, order=0, lanes=3, dtype=np.float64)
    rule = f"q : 1\nother : 1\nq += 3 * {HEBB}\nother += {HEBB}\nw += 0.1 * ({read})"
    p = join(rule, signals={"reward": (signal, "r")})
    assert p.storage["q"] == "lanes"
    signal.view("r")[...] = 2
    start = p.w.copy()
    given = show([p], steps=2, more=[signal]).given
    reference, _ = interpret(p, rule, given, signal.view("r"), start)
    np.testing.assert_allclose(p.w, reference.w, atol=1e-12)


def test_views_are_live_and_written_values_are_used():
    p = join("a : 1 (shared)\nb : 1\nw += 0.1 * a / lanes + b * v_post")
    p.view("a")[...], p.view("b")[...] = 5, 0.5
    start = p.w.copy()
    b = show([p], steps=1).given[p.target]["v"][0].sum(axis=1)
    np.testing.assert_allclose(p.w, start + 0.5 + 0.5 * b[:, None, :], atol=1e-12)


@pytest.mark.parametrize("to_disk", [False, True])
def test_stored_network_continues_with_the_variables_of_its_synapses(to_disk, tmp_path):
    rules = [
        EXAMPLES[name][0] for name in ("momentum", "Polyak average", "eligibility, learning signal", "shared trace")
    ]
    first = join(rules[0], replicas=2)
    projections = [first] + [
        Projection(
            first.source, first.target, "drive_post = w * m_pre", rule=rule, weights=first.w[0], connectivity=kind
        )
        for rule, kind in zip(rules[1:], (None, Masked(np.full((4, 3), True), "list"), None), strict=True)
    ]
    assert {kept for p in projections for kept in p.storage.values()} == {"shared", "common", "summed", "lanes"}
    first.source.view("m")[...], first.target.view("m")[...], first.target.view("v")[...] = 0.5, -0.25, 2
    network = Network(first.source, first.target, *projections)
    where = {"filename": str(tmp_path / "stored")} if to_disk else {}

    def state():
        return [p.view(name).copy() for p in projections for name in p.storage]

    network.run(3 * first.clock.dt)
    network.store(**where)
    network.run(3 * first.clock.dt)
    later = state()
    for p in projections:
        for name in p.storage:
            p.view(name)[...] = 99
    network.restore(**where)
    network.run(3 * first.clock.dt)
    for ours, expected in zip(state(), later, strict=True):
        np.testing.assert_array_equal(ours, expected)
        assert np.abs(expected).max() > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("connectivity", [None, Masked(np.full((4, 3), True)), Masked(np.full((4, 3), True), "list")])
def test_precision_of_the_populations_is_that_of_all_arrays_and_all_results(connectivity, dtype):
    """1e-12 in double precision, a few units in the last place in single; nothing is computed in the other."""
    rule = """
    elig : 1
    mom : 1
    elig = 0.5 * elig + m_pre * m_post
    mom = 0.9 * mom + elig * v_post
    w += 0.1 * mom - 0.01 * w / 3
    """
    p = join(
        rule, dtype=dtype, connectivity=connectivity, bounds=(-3, 3), transmit="drive_post = 1.1 * tanh(w) * m_pre"
    )
    start = p.matrix().astype(float)
    result = show([p], steps=3)
    given = {
        q: {name: values.astype(dtype).astype(float) for name, values in each.items()}
        for q, each in result.given.items()
    }
    reference, delivered = interpret(p, rule, given, None, start)
    assert {p.view(name).dtype for name in p.storage} == {np.dtype(dtype)} and result.drive[p].dtype == dtype
    error = np.abs(p.matrix() - reference.w).max()
    assert error < (1e-6 if dtype == np.float32 else 1e-14)
    assert dtype == np.float64 or error > 0, "computed in double precision"
    np.testing.assert_allclose(result.drive[p], delivered, atol=2e-6 if dtype == np.float32 else 1e-14)


PEAKS = {
    "bounds and mask": dict(rule="w += 1e-3 * s_pre * m_post - 1e-4 * w", bounds=(-1, 1), masked=True),
    "function of the weights": dict(
        rule="w += 1e-3 * m_pre * m_post * (1 - w)", transmit="drive_post = tanh(w) * m_pre"
    ),
    "momentum": dict(rule="mom : 1\nmom = 0.9 * mom + m_pre * m_post\nw += 1e-3 * mom", bounds=(-1, 1), masked=True),
    "does not separate": dict(rule="w += 1e-3 * tanh(m_pre - m_post)", lanes=2, masked=True),
    "three-factor": dict(rule="dw/dt = 1e-3 / ms * s_pre * m_post"),
}


@pytest.mark.parametrize("case", PEAKS)
def test_neither_a_step_nor_the_plan_makes_an_array_of_the_weights_size(case):
    """1500 x 1500 weights of 9 MB, 50 lanes: 4 bytes a weight are kept (1 of a mask), a step needs little beside."""
    settings = dict(PEAKS[case])
    n, lanes = 1500, settings.pop("lanes", 50)
    if settings.pop("masked", False):
        settings["connectivity"] = Masked(np.random.default_rng(0).random((n, n)) < 0.5)
    start = np.full((n, n), 0.1, np.float32)
    tracemalloc.start()
    try:
        p = join(lanes=lanes, sizes=(n, n), dtype=np.float32, weights=start, **settings)
        p.source.view("s")[..., ::3] = p.source.view("m")[...] = p.target.view("m")[...] = 0.3
        network = Network(p.source, p.target, p)
        network.run(p.clock.dt)
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        network.run(2 * p.clock.dt)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    wanted = p.w.nbytes * len(p.storage) + (n * n if "connectivity" in settings else 0)
    assert sum(trace.size for trace in kept.statistics("filename")) < wanted + p.w.nbytes, "beside state and scratch"
    assert peak - before < p.w.nbytes / 4 and left - before < p.w.nbytes / 20
    assert "w: 9 MB" in p.explain()


def test_memory_of_a_variable_in_every_lane_is_refused_with_what_would_be_smaller(monkeypatch):
    """Says how much it takes, how much one lane takes, and that (shared) would take that."""
    from neurosim import ParameterError, limits

    rule = f"elig : 1\nelig += {HEBB} - 0.01 * elig\nw += elig * v_post"
    monkeypatch.setattr(limits.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1_000_000}[name])
    with pytest.raises(ParameterError) as caught:
        join(rule, lanes=200, sizes=(40, 30))
    message = str(caught.value)
    for words in ("'elig'", "1 x 200 x 40 x 30", "0.00192 GB", "0.001 GB", "200 lanes", "9.6e-06 GB", "(shared)"):
        assert words in message, message
    assert "\n" not in message
    for smaller in (rule.replace("elig : 1", "elig : 1 (shared)"), rule.replace("elig * v_post", "elig")):
        join(smaller, lanes=200, sizes=(40, 30))
