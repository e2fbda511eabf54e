"""Inside continued_draws a run may be cut anywhere, and goes on in what is drawn; outside nothing has changed."""

import brian2
import numpy as np
import pytest
from brian2 import Network, NeuronGroup, ms, prefs

from neurosim import ParameterError, Population
from neurosim.neurons import NeuronType
from neurosim.target import can_stop_within_epoch, continued_draws, fresh_buffers, global_draws, set_global_draws

NOISY = NeuronType(
    equations="""
    dv/dt = -v / tau + xi * tau**-0.5 : 1
    u : 1
    z : 1
    g : 1
    """,
    update="""
    u = rand()
    z = randn()
    g = randn()
    """,
    method="euler",
)
STEPS = 12


def noisy(n=3, dtype=np.float32, name="noisy", **more):
    """Integration and update both draw: two code objects of one group, three draws of one kind a step."""
    return Population(n, NOISY, order=0, namespace={"tau": 5 * ms}, dtype=dtype, name=name, **more)


def drawn(populations, pieces, look_at=("v", "u", "z", "g")):
    """Run pieces of a network's time one after another; return what was drawn in every step."""
    seen = []

    def look():
        seen.append(np.concatenate([p.view(name).ravel() for p in populations for name in look_at]).copy())

    network = Network(*populations, brian2.NetworkOperation(look, clock=populations[0].clock, when="end", order=9))
    for steps in pieces:
        network.run(steps * populations[0].clock.dt)
    return np.array(seen)


def in_context(pieces, n=3, dtype=np.float32, seed=3):
    brian2.seed(seed)
    with continued_draws():
        return drawn([noisy(n, dtype)], pieces)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 4])
def test_draws_do_not_depend_on_where_a_run_is_cut(dtype, n):
    """Odd sizes leave half a word over in a generator: it must be there when the draws go on."""
    whole = in_context([STEPS], n, dtype)
    for pieces in ([5, 7], [1] * STEPS, [0, 11, 1]):
        np.testing.assert_array_equal(in_context(pieces, n, dtype), whole)
    assert len(np.unique(whole[:, n:])) == whole[:, n:].size


def test_generators_go_on_from_a_state_that_was_stored():
    whole = in_context([STEPS])
    brian2.seed(3)
    with continued_draws() as before:
        drawn([noisy()], [5])
    states = {key: words.copy() for key, words in before.state().items()}
    assert set(states) == {"noisy/rand", "noisy/randn"}
    brian2.seed(99)
    afterwards = continued_draws()
    afterwards.set_state(states)
    drawing_none = global_draws()
    with afterwards:
        rest = drawn([noisy()], [7], ("u", "z", "g"))
    np.testing.assert_array_equal(rest, whole[5:, 3:])
    assert all(np.array_equal(drawing_none[name], values) for name, values in global_draws().items())


def test_states_are_set_where_generators_are_in_use():
    """Setting a state back repeats the draws; a stream that the state does not name starts anew."""
    population = noisy()
    with continued_draws() as draws:
        drawn([population], [3])
        states = draws.state()
        first = drawn([noisy()], [4], ("u", "z", "g"))
        draws.set_state(states)
        np.testing.assert_array_equal(drawn([noisy()], [4], ("u", "z", "g")), first)
        draws.set_state({})
        assert draws.state() == {}
        assert not np.array_equal(drawn([noisy()], [4], ("u", "z", "g")), first)


def test_a_kind_of_draws_goes_on_through_all_code_of_a_group():
    """What the integration draws is not drawn again by the update."""
    seen = in_context([200], n=50)
    v, z, g = seen[:, :50], seen[:, 100:150], seen[:, 150:]
    xi = np.diff(v, axis=0) + 0.02 * v[:-1]
    for other in (z, g):
        for shift in (0, 1):
            r = np.corrcoef(xi[: len(xi) - shift].ravel(), other[1 + shift :].ravel())[0, 1]
            assert abs(r) < 5 / np.sqrt(199 * 50)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_seed_decides_where_draws_start(dtype):
    assert np.array_equal(in_context([4], dtype=dtype), in_context([4], dtype=dtype))
    assert not np.array_equal(in_context([4], dtype=dtype, seed=4), in_context([4], dtype=dtype))


def test_populations_of_one_name_in_two_networks_share_a_stream():
    """Training and testing draw one after the other, whichever is made first."""
    whole = in_context([6])
    brian2.seed(3)
    with continued_draws():
        halves = [drawn([noisy()], [3], ("u", "z", "g")) for _ in range(2)]
    np.testing.assert_array_equal(halves[0], whole[:3, 3:])
    assert not np.array_equal(halves[0], halves[1])
    assert not np.intersect1d(*halves).size


def test_inner_context_leaves_the_draws_of_the_outer_one_alone():
    whole = in_context([6])
    brian2.seed(3)
    training, population = continued_draws(), noisy()
    with training:
        first = drawn([population], [3])
        with continued_draws():
            tested = drawn([noisy(name="noisy")], [5])
        with training:  # the same one again
            other = noisy()
            other.view("v")[...] = population.view("v")
            rest = drawn([other], [3])
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)
    assert not np.intersect1d(tested, whole).size


def test_outside_of_a_context_the_seed_decides_the_draws_of_every_run():
    def run():
        brian2.seed(5)
        return drawn([noisy()], [2, 2])

    first = run()
    with continued_draws():
        drawn([noisy()], [2])
    np.testing.assert_array_equal(run(), first)
    brian2.seed(5)
    assert not np.array_equal(drawn([noisy()], [4]), first)  # every run's generators are new


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(6), np.zeros(5, np.uint64), np.full(6, 2, np.uint64), np.array([1, 1, 1, 1, 0, 2**32], np.uint64)],
)
def test_what_is_no_state_is_refused_and_nothing_is_set(wrong):
    with continued_draws() as draws:
        drawn([noisy()], [1])
        before = draws.state()
        with pytest.raises(ParameterError, match="'y/rand'"):
            draws.set_state({"noisy/rand": np.zeros(6, np.uint64), "y/rand": wrong})
        assert all(np.array_equal(before[key], words) for key, words in draws.state().items())


def test_global_draws_come_back_with_the_half_of_a_normal_pair_that_is_left():
    np.random.randn(3)
    state = global_draws()
    first = np.random.randn(5), np.random.rand(5)
    np.random.seed(8)
    set_global_draws(state)
    assert np.array_equal(np.random.randn(5), first[0]) and np.array_equal(np.random.rand(5), first[1])


@pytest.mark.parametrize("wrong", [{}, {"keys": np.zeros(3, np.uint32)}, {"position": np.zeros(1)}])
def test_what_is_no_state_of_the_global_generator_is_refused(wrong):
    with pytest.raises(ParameterError, match="global generator"):
        set_global_draws({**global_draws(), **wrong} if wrong else {})


def test_draws_can_be_stored_within_an_epoch_on_numpy_only():
    assert can_stop_within_epoch(Network(noisy(), noisy(dtype=np.float64, name="double")))
    prefs.codegen.target = "cython"
    assert not can_stop_within_epoch(Network(noisy()))


def test_cython_draws_start_from_numpys_state_after_fresh_buffers(target):
    """Also where what was drawn ahead is not used up."""
    group = NeuronGroup(3, "u : 1\nz : 1")
    group.run_regularly("u = rand()\nz = randn()")
    network = Network(group)

    def run():
        network.run(2 * group.clock.dt)
        return np.array([group.u[:], group.z[:]])

    run()
    fresh_buffers()
    state = global_draws()
    first = run()
    np.random.seed(8)
    set_global_draws(state)
    fresh_buffers()
    np.testing.assert_array_equal(run(), first)
