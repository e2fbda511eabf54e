"""A population integrates exactly, draws what it says, in lanes and replicas that know nothing of one another."""

import brian2
import numpy as np
import pytest
from brian2 import Clock, Network, NeuronGroup, SpikeMonitor, check_units, implementation, ms, prefs
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from scipy import stats

from neurosim import ParameterError, Population, neurons
from neurosim.neurons import NeuronType
from neurosim.target import SinglePrecisionCodeObject

PRECISIONS = [np.float32, np.float64]
TAU = 5 * ms
INPUT = {"p_max": 0.95}


def spikes_of(population, steps, every_step):
    """Run a population and return its spikes, shape (steps, replicas, lanes, n)."""
    look, seen = every_step(population.clock, lambda: population.view("s").copy())
    Network(population, look).run(steps * population.clock.dt)
    return np.array(seen)


@pytest.mark.parametrize(("precision", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("dt", [0.05, 0.1, 1.0, 7.0])
def test_potential_under_constant_drive_is_the_exact_solution_at_any_time_step(precision, tolerance, dt, every_step):
    """v(t) = I (1 - exp(-t / tau)), to rounding: the integration has no error of its own."""
    h = Population(3, neurons.BERNOULLI, order=0, clock=Clock(dt * ms), namespace={"tau": TAU}, dtype=precision)
    current = np.array([-2.0, 0.5, 3.0])
    h.view("drive")[...] = current
    look, seen = every_step(h.clock, lambda: h.view("v")[0, 0].copy())
    Network(h, look).run(20 * h.clock.dt)
    t = dt * np.arange(1, 21)[:, None]
    np.testing.assert_allclose(seen, current * (1 - np.exp(-t / 5)), rtol=0, atol=3 * tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("x", "p"), [(0.0, 0.0), (0.03, 0.03), (0.5, 0.5), (0.9, 0.9), (1.0, 0.95), (7.0, 0.95)])
def test_input_neurons_spike_with_the_probability_of_their_intensity_up_to_p_max(precision, x, p, every_step):
    population = Population(50, neurons.BERNOULLI_INPUT, order=0, replicas=2, lanes=2, namespace=INPUT, dtype=precision)
    population.view("x")[...] = x
    spikes = spikes_of(population, 100, every_step)
    assert set(np.unique(spikes)) <= {0, 1}
    assert stats.binomtest(int(spikes.sum()), spikes.size, p).pvalue > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("v", [-3.0, 0.0, 1.5])
def test_neurons_spike_with_the_logistic_probability_of_their_potential(precision, v, every_step):
    population = Population(100, neurons.BERNOULLI, order=0, lanes=2, namespace={"tau": TAU}, dtype=precision)
    population.view("v")[...] = population.view("drive")[...] = v
    spikes = spikes_of(population, 100, every_step)
    assert stats.binomtest(int(spikes.sum()), spikes.size, 1 / (1 + np.exp(-v))).pvalue > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_draws_of_neurons_lanes_replicas_and_steps_are_independent(precision, every_step):
    """No two spike trains correlate beyond chance, also when one is shifted by a step: 5 standard errors bound all."""
    population = Population(3, neurons.BERNOULLI_INPUT, order=0, replicas=3, lanes=4, namespace=INPUT, dtype=precision)
    population.view("x")[...] = 0.5
    trains = spikes_of(population, 2000, every_step).reshape(2000, -1)
    n = trains.shape[1]
    together = np.corrcoef(trains.T)[~np.eye(n, dtype=bool)]
    a_step_apart = np.corrcoef(trains[1:].T, trains[:-1].T)[:n, n:]
    assert np.abs(together).max() < 5 / np.sqrt(2000)
    assert np.abs(a_step_apart).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_same_seed_gives_the_same_spikes_and_another_seed_gives_others(precision, every_step):
    def spikes(seed):
        brian2.seed(seed)
        population = Population(20, neurons.BERNOULLI_INPUT, order=0, lanes=2, namespace=INPUT, dtype=precision)
        population.view("x")[...] = 0.5
        return spikes_of(population, 20, every_step)

    assert np.array_equal(spikes(3), spikes(3))
    assert not np.array_equal(spikes(3), spikes(4))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_second_run_draws_on_and_not_the_same_again(precision, every_step):
    population = Population(50, neurons.BERNOULLI_INPUT, order=0, namespace=INPUT, dtype=precision)
    population.view("x")[...] = 0.5
    look, seen = every_step(population.clock, lambda: population.view("s").copy())
    network = Network(population, look)
    for _ in range(2):
        network.run(20 * population.clock.dt)
    assert abs(np.corrcoef(np.ravel(seen[:20]), np.ravel(seen[20:]))[0, 1]) < 5 / np.sqrt(1000)


def test_two_populations_draw_apart(every_step):
    a, b = (Population(100, neurons.BERNOULLI_INPUT, order=0, namespace=INPUT) for _ in range(2))
    a.view("x")[...] = b.view("x")[...] = 0.5
    look, seen = every_step(a.clock, lambda: (a.view("s").ravel().copy(), b.view("s").ravel().copy()))
    Network(a, b, look).run(50 * a.clock.dt)
    r = np.corrcoef(np.array(seen)[:, 0].ravel(), np.array(seen)[:, 1].ravel())[0, 1]
    assert abs(r) < 5 / np.sqrt(5000)


@pytest.mark.parametrize("part", [slice(None), slice(0, 4)])
def test_spike_monitor_records_exactly_the_steps_and_neurons_with_a_spike(part, every_step):
    """On the whole population and on a slice of it: the first lane of the first replica."""
    population = Population(4, neurons.BERNOULLI_INPUT, order=2, replicas=2, lanes=3, namespace=INPUT)
    population.view("x")[...] = np.linspace(0, 1, 4)
    look, seen = every_step(population.clock, lambda: population.view("s").ravel()[part].copy())
    monitor = SpikeMonitor(population[part])
    Network(population, look, monitor).run(40 * population.clock.dt)
    recorded = sorted(zip(np.rint(monitor.t / population.clock.dt).astype(int), np.array(monitor.i), strict=True))
    assert recorded == [tuple(where) for where in np.argwhere(np.array(seen) == 1)]
    assert len(recorded) > 20


def test_views_are_the_live_state_by_replica_lane_and_neuron():
    population = Population(3, neurons.BERNOULLI, order=0, replicas=2, lanes=4, namespace={"tau": TAU})
    population.view("v")[1, 2, 0] = 7
    assert list(np.flatnonzero(population.v[:] == 7)) == [(1 * 4 + 2) * 3 + 0]
    assert population.describe(18) == (1, 2, 0)
    population.v[population.n * 4] = 5
    assert population.view("v")[1, 0, 0] == 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n": 0}, ("Population.n", "at least 1", "0")),
        ({"n": 2.5}, ("Population.n", "whole", "2.5")),
        ({"n": True}, ("Population.n", "True")),
        ({"lanes": 0}, ("Population.lanes", "at least 1", "0")),
        ({"replicas": -1}, ("Population.replicas", "at least 1", "-1")),
        ({"order": -1}, ("Population.order", "at least 0", "-1")),
        ({"order": 0.5}, ("Population.order", "whole", "0.5")),
        ({"model": "v : 1"}, ("Population.model", "NeuronType", "str")),
    ],
)
def test_wrong_arguments_are_named(wrong, words):
    arguments = {"n": 3, "model": neurons.BIAS, "order": 0, **wrong}
    with pytest.raises(ParameterError) as caught:
        Population(**arguments)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("name", ["u", "psi", "tau", "drive_post"])
def test_view_of_what_is_no_state_variable_names_those_that_are(name):
    population = Population(3, neurons.BERNOULLI, order=0, name="h7", namespace={"tau": TAU})
    with pytest.raises(ParameterError, match=rf"'{name}'.*h7.*drive, m, p, s, v"):
        population.view(name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_state_is_computed_in_the_precision_of_the_population(precision):
    """A function put into the equations sees what reaches it: state, time step, constants and draws."""
    seen = {}

    def noting(name):
        @implementation("numpy", discard_units=True)
        @check_units(x=1, result=1)
        def note(x):
            seen.setdefault(name, set()).add(np.asarray(x).dtype)
            return x

        return note

    model = NeuronType(
        equations="""
        dv/dt = (drive - v) / tau : 1
        drive : 1
        u : 1
        """,
        update="""
        u = state(exp(-v) * gain)
        u = step(v * dt / tau)
        u = uniform(v + rand())
        u = normal(v + randn())
        """,
    )
    constants = {"tau": TAU, "gain": np.float64(0.3)} | {
        name: noting(name) for name in ("state", "step", "uniform", "normal")
    }
    population = Population(5, model, order=0, namespace=constants, dtype=precision)
    Network(population).run(3 * population.clock.dt)
    assert seen == {name: {np.dtype(precision)} for name in ("state", "step", "uniform", "normal")}
    assert population.view("v").dtype == population.view("u").dtype == precision


def test_single_precision_draws_are_uniform_and_normal(every_step):
    model = NeuronType(equations="u : 1\nz : 1", update="u = rand()\nz = randn()")
    population = Population(500, model, order=0)
    look, seen = every_step(population.clock, lambda: (population.view("u").copy(), population.view("z").copy()))
    Network(population, look).run(20 * population.clock.dt)
    u, z = np.array(seen).reshape(20, 2, -1).swapaxes(0, 1).reshape(2, -1)
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(z, "norm").pvalue > 1e-3


@pytest.mark.parametrize(("precision", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-13)])
def test_deterministic_neurons_equal_a_plain_brian2_group_in_double_precision(precision, tolerance):
    text = "dv/dt = (drive - v) / tau : 1\ndrive : 1\np : 1"
    update = "p = 1 / (1 + exp(-v))\ndrive = 2 * cos(3 * p) - drive / 4"
    ours = Population(6, NeuronType(text, update), order=0, namespace={"tau": TAU}, dtype=precision)
    plain = NeuronGroup(6, text, method="exact", namespace={"tau": TAU}, order=0)
    plain.run_regularly(update, when="groups", order=1)
    start = np.linspace(-1, 2, 6)
    ours.view("v")[...] = start
    plain.v = start
    Network(ours, plain).run(30 * ours.clock.dt)
    np.testing.assert_allclose(ours.view("v")[0, 0], plain.v[:], rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.view("p")[0, 0], plain.p[:], rtol=0, atol=tolerance)


def test_single_precision_knows_every_function_that_brian2_knows_on_numpy():
    """Also those without an implementation of their own for NumPy, as a user's plain function."""

    @check_units(x=1, result=1)
    def mine(x):
        return 3 * x

    text = "v = expm1(u + 0.5) + log1p(u + 2) + exprel(u + 1) + mine(u + 3)"
    ours = Population(2, NeuronType("u : 1\nv : 1", text), order=0, namespace={"mine": mine})
    Network(ours).run(ours.clock.dt)
    np.testing.assert_allclose(ours.view("v")[0, 0], np.expm1(0.5) + np.log1p(2) + np.expm1(1) + 9, rtol=1e-6)


@pytest.mark.parametrize(
    ("precision", "known"), [(np.float32, SinglePrecisionCodeObject), (np.float64, NumpyCodeObject)]
)
def test_population_runs_on_numpy_where_no_target_was_chosen(precision, known):
    """The preference's default, "auto", compiles for half a minute: no part of a population may fall for it."""
    prefs.codegen.target = "auto"
    population = Population(2, neurons.BERNOULLI, order=0, namespace={"tau": TAU}, dtype=precision)
    parts = [population, *population.contained_objects]
    assert {part.codeobj_class for part in parts} == {known}


def test_populations_update_in_the_order_of_the_sweep(every_step):
    """A chain of copies: in one step the value of the lowest order reaches the highest, whatever the names."""
    from neurosim import Projection

    copy = NeuronType("a : 1\nb : 1", "b = a + 1")
    chain = [Population(1, copy, order=k, name=name) for k, name in enumerate(["zulu", "mike", "alpha"])]
    links = [Projection(x, y, transmit="a_post = b_pre") for x, y in zip(chain, chain[1:], strict=False)]
    Network(*chain[::-1], *links[::-1]).run(chain[0].clock.dt)
    assert [float(p.view("b").item()) for p in chain] == [1, 2, 3]


@pytest.mark.parametrize("name", ["log1p", "expm1", "exprel"])
def test_functions_that_brian2_wraps_are_numpys_own_in_single_precision(clock, name):
    """brian2 would check units in every call; values stay within rounding."""
    population = Population(50, NeuronType("u : 1\nr : 1", f"r = {name}(u)"), order=0, clock=clock)
    u = population.view("u")
    u[...] = np.linspace(0.01, 2, 50)
    network = Network(population)
    network.run(clock.dt)
    expected = {"log1p": np.log1p(u), "expm1": np.expm1(u), "exprel": np.expm1(u) / u}[name]
    assert np.allclose(population.view("r"), expected, rtol=1e-6)
    update = next(each for each in network.sorted_objects if "run_regularly" in each.name)
    assert isinstance(update.codeobj.namespace[name], np.ufunc)
