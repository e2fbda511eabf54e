"""Equations 2 to 5 of Krotov and Hopfield, and what follows from them, in the package's own dynamics."""

from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import Clock, Network, ms, second
from scipy.integrate import solve_ivp
from scipy.optimize import nnls

from neurosim.competition import Ranking
from neurosim.errors import NotSettledError, ParameterError
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.projection import Projection
from neurosim.training import train
from neurosim_models.krotov_2019 import competing, dynamics, dynamics_study
from neurosim_models.krotov_2019.competing import active_of_normal, largest_dt, possible_winners, steady_state
from neurosim_models.krotov_2019.digits import DIGITS
from neurosim_models.krotov_2019.dynamics import DYNAMICS
from neurosim_models.krotov_2019.dynamics_study import Bench, agreement
from neurosim_models.krotov_2019.sphere import DELTA, LINEAR, STEPS, Units, lyapunov, rate_of_lyapunov

TAU = 10 * ms
EXPONENTS = pytest.mark.parametrize("p", [2.0, 3.0, 4.0])


@pytest.fixture
def draw():
    return np.random.default_rng(0)


# Equation 4: hidden units


@pytest.mark.parametrize("w_inh", [0.0, 0.3, 0.8, 0.95])
def test_steady_state_is_that_of_a_quadratic_program(w_inh, draw):
    """Rates at rest minimise r^T ((1 - w) 1 + w J) r / 2 - I^T r over r >= 0: SciPy's nnls on the Cholesky factor."""
    for n in (1, 2, 7, 30):
        currents = draw.normal(size=n)
        h = steady_state(currents, w_inh)
        root = np.linalg.cholesky((1 - w_inh) * np.eye(n) + w_inh)
        rates, _ = nnls(root.T, np.linalg.solve(root, currents))
        np.testing.assert_allclose(np.maximum(h, 0), rates, atol=1e-9)
        np.testing.assert_allclose(h, currents - w_inh * (rates.sum() - rates), atol=1e-9)


def test_units_come_to_rest_at_the_steady_state(draw):
    """Twelve lanes of 20 units; from rest and from elsewhere, as below 1 there is one state. exp(-40) is left."""
    currents, strengths = draw.normal(size=(12, 20)), np.array([0.0, 0.5, 0.8])
    exact = np.array([steady_state(currents, w) for w in strengths])
    bench = Bench(currents, strengths, tau=TAU)
    np.testing.assert_allclose(bench.run(2 * second), exact, atol=1e-9)
    bench.h[...] = draw.normal(scale=3, size=bench.h.shape)
    np.testing.assert_allclose(bench.run(2 * second), exact, atol=1e-9)


def test_units_follow_equation_4_as_scipy_has_it(draw):
    """Five units, four times tau; Euler's error is of first order: a quarter of the step, a quarter of the error."""
    currents, w = np.array([1.0, 0.9, 0.5, 0.2, -0.3]), 0.7
    start = draw.normal(size=5)

    def slope(_, h):
        rates = np.maximum(h, 0)
        return currents - w * (rates.sum() - rates) - h

    exact = solve_ivp(slope, (0, 4), start, rtol=1e-10, atol=1e-10).y[:, -1]
    errors = []
    for steps in (200, 800):
        bench = Bench(currents[None], [w], tau=TAU, dt=TAU / steps)
        bench.h[...] = start
        errors.append(np.abs(bench.run(4 * TAU)[0, 0] - exact).max())
    assert errors[0] < 5e-3 and 3 < errors[0] / errors[1] < 5


def test_inhibition_leaves_out_the_unit_itself():
    """A unit alone reaches its current, whatever w_inh; of two, h_1 = (I_1 - w I_2) / (1 - w^2)."""
    np.testing.assert_allclose(Bench([[0.7]], [0.9, 5.0]).run(1 * second), 0.7)
    h = Bench([[1.0, 0.8]], [0.5]).run(1 * second)[0, 0]
    np.testing.assert_allclose(h, [(1 - 0.4) / 0.75, (0.8 - 0.5) / 0.75])


def test_number_of_active_units_follows_from_ratios_of_currents(draw):
    """The second drops out at w = I_2 / I_1, the third at I_3 / (I_1 + I_2 - I_3), whatever the scale of currents."""
    currents = np.array([1.0, 0.9, 0.7])
    third, second_ = 0.7 / (1.9 - 0.7), 0.9
    strengths = [third - 0.01, third + 0.01, second_ - 0.01, second_ + 0.01]
    for scale in (1, 50):
        counts = (Bench(scale * currents[None], strengths).run(10 * second) > 0).sum(axis=2)[:, 0]
        np.testing.assert_array_equal(counts, [3, 2, 2, 1])
    many = draw.standard_normal((200, 1000))
    for w in (0.02, 0.1):  # mean field, where many stay active
        np.testing.assert_allclose((steady_state(many, w) > 0).sum(axis=1).mean(), active_of_normal(w, 1000), rtol=0.03)


def test_order_of_currents_is_kept_from_rest_whatever_the_inhibition(draw):
    currents = draw.normal(size=(5, 12))
    bench, seen = Bench(currents, [0.4, 0.9, 1.3]), []
    bench.run(0.2 * second, lambda: seen.append(bench.h.copy()))
    rank = np.argsort(currents, axis=1)
    ordered = np.take_along_axis(np.array(seen), np.broadcast_to(rank, (len(seen), 3, 5, 12)), axis=3)
    assert (np.diff(ordered, axis=3) >= 0).all()
    assert (seen[-1][2].argmax(axis=1) == currents.argmax(axis=1)).all()


def test_beyond_one_a_unit_keeps_what_it_has_won_if_its_current_is_large_enough():
    """w = 1.2: with currents 1, 0.9, 0.8, -1 the first two can win, as 1 / 1.2 = 0.83; each is given the lead."""
    currents, w = np.array([1.0, 0.9, 0.8, -1.0]), 1.2
    np.testing.assert_array_equal(possible_winners(currents, w), [True, True, False, False])
    bench = Bench(np.tile(currents, (3, 1)), [w])
    for lane in range(3):
        bench.h[0, lane] = -0.5
        bench.h[0, lane, lane] = currents[lane]
    won = bench.run(1 * second)[0] > 0
    np.testing.assert_array_equal(won, np.eye(4, dtype=bool)[[0, 1, 0]])
    with pytest.raises(ParameterError, match="one state of rest"):
        possible_winners(currents, 0.9)


@pytest.mark.parametrize("active", [2, 6])
def test_euler_follows_so_many_active_units_up_to_the_largest_time_step(active):
    """Equal currents, so that all stay active; a mode 1^T h of rate (1 + w (k - 1)) / tau."""
    currents, w = np.ones((1, active)), 0.5
    limit = largest_dt(TAU, w, active)
    for factor, settles in ((0.95, True), (1.05, False)):
        bench = Bench(currents, [w], tau=TAU, dt=factor * limit)
        bench.h[...] = steady_state(currents, w) + 1e-3
        left = np.abs(bench.run(200 * factor * limit) - steady_state(currents, w)).max()
        assert (left < 1e-6) == settles


def test_ranking_is_what_the_dynamics_give_where_two_are_active_on_both_sides_of_the_threshold(draw):
    """g of the units, as they have settled, against g of :class:`Ranking`, and against the map of the study."""
    currents, w = draw.uniform(0.5, 1, (60, 4)), 0.8
    h = np.sort(steady_state(currents, w), axis=1)[:, ::-1]
    h_star = 0.3
    same = (h[:, 0] > h_star) & (h[:, 1] > 0) & (h[:, 1] <= h_star) & (h[:, 2] <= 0)
    bench = Bench(currents, [w])
    bench.run(2 * second)
    bench.units.namespace["h_star"] = h_star
    g = np.reshape(bench.units.g[:], currents.shape)
    ranked = Population(4, NeuronType("drive : 1\ng : 1"), order=1, lanes=60, clock=Clock(1 * ms), dtype=np.float64)
    ranked.view("drive")[...] = currents
    Network(ranked, Ranking(ranked, "drive", "g", k=2, delta=DELTA)).run(1 * ms)
    np.testing.assert_array_equal((g == ranked.view("g")[0]).all(axis=1), same)
    assert 0.1 < same.mean() < 0.9
    np.testing.assert_allclose(agreement(currents, [w], [h_star])[0, 0, 0], same.mean())


# Equation 2: one unit


@EXPONENTS
def test_p_norm_changes_as_the_paper_has_it_and_goes_to_the_radius(p, draw):
    """d<W, W>/dt = p g <W, v> (R^p - <W, W>) / tau_L in every step, to first order; <W, W> goes to R^p = 1.5^p."""
    start = draw.normal(size=(6, 3)) * [0.2, 0.5, 1.5]
    units = Units(start, p, LINEAR, 1 * second, R=1.5)
    images = draw.uniform(0, 1, (3000, 1, 6))
    seen = units.learn(
        images, lambda: (units.sizes, units.units.view("g")[0, 0].copy(), units.units.view("drive")[0, 0].copy())
    )
    sizes, g, drive = (np.array(each) for each in zip(*seen, strict=True))
    rate = p * g * drive * (1.5**p - sizes) * 1e-3
    np.testing.assert_allclose(np.diff(sizes, axis=0), rate[:-1], atol=0.02 * np.abs(rate).max())
    assert (g * drive >= 0).all()
    np.testing.assert_allclose(sizes[-1] ** (1 / p), 1.5, rtol=2e-3)
    assert np.abs(sizes[0] ** (1 / p) - 1.5).min() > 0.1


@pytest.mark.parametrize("lanes", [1, 7])
@pytest.mark.parametrize("activation", [LINEAR, STEPS])
@EXPONENTS
def test_lyapunov_function_rises_at_the_rate_of_equation_5(p, activation, lanes, draw):
    """From negative and positive Q, with and without g < 0; for inputs side by side L is their sum (ours)."""
    start, theta = draw.normal(size=(5, 1)), 0.4
    images = draw.uniform(0, 1, (1, lanes, 5))
    units = Units(start, p, activation, 5 * second, lanes=lanes, hold=1500, theta=theta)
    seen = units.learn(
        images, lambda: (units.W.w[0].astype(float).copy(), *(units.units.view(n)[0].copy() for n in "Qg"))
    )
    L = np.array([lyapunov(Q, activation, theta).sum() for _, Q, _ in seen])
    rate = np.array([rate_of_lyapunov(w, images[0], g, p)[0] for w, _, g in seen])
    g = np.array([each for *_, each in seen])[:, :, 0]
    steps = np.diff(L)
    assert steps.min() > -1e-6 * np.ptp(L) and rate.min() >= -1e-12
    smooth = (activation == LINEAR) | (g[1:] == g[:-1]).all(axis=1)  # no threshold has been crossed in the step
    assert smooth.mean() > 0.99
    np.testing.assert_allclose(steps[smooth], rate[:-1][smooth] / 5e3, atol=0.02 * np.abs(steps).max())
    assert np.ptp(L) > 0.01


def test_p_of_2_and_linear_g_is_ojas_rule_on_the_sphere_and_finds_the_principal_component(draw):
    """From |W| = 1 both keep it, so that Q = <W, v>; 20 lanes, the same start, 2 s."""
    images = draw.normal(size=(20, 6)) * [3, 1, 1, 1, 0.5, 0.5]
    start = draw.normal(size=(6, 1))
    start /= np.linalg.norm(start)
    units = Units(start, 2.0, LINEAR, 20 * second, lanes=20, hold=2000)
    units.learn(images[None])
    clock, kind = Clock(1 * ms), NeuronType("r : 1")
    x, y = (Population(n, kind, order=k, lanes=20, clock=clock, dtype=np.float64) for k, n in enumerate((6, 1)))
    w = Projection(x, y, "r_post = w * r_pre", library.OJA, weights=start, namespace={"eta": 1 / (20 * second)})
    x.view("r")[0] = images
    Network(x, y, w).run(2 * second)
    np.testing.assert_allclose(units.W.w, w.w, atol=1e-5)
    principal = np.linalg.svd(images)[2][0]
    assert abs(w.w[0, :, 0] @ principal) > 0.9999 > abs(start[:, 0] @ principal)


@EXPONENTS
def test_currents_on_the_sphere_are_at_most_the_p_norm_of_the_input(p, draw):
    """Hoelder, reached by W along v: what the threshold is measured in."""
    v = draw.uniform(0, 1, 8)
    length = (v**p).sum() ** (1 / p)
    w = draw.normal(size=(8, 500))
    w /= (np.abs(w) ** p).sum(axis=0) ** (1 / p)
    assert dynamics_study.currents_of(w, v, p).max() <= length
    np.testing.assert_allclose(dynamics_study.currents_of(v / length, v, p), length)
    values = {"theta": 0.5, "R": 2.0, "p": p}
    np.testing.assert_allclose(dynamics.threshold(values, v[None]), 0.5 * 2 ** (p - 1) * length)


# All of it


def patterns():
    """Three inputs without overlap, four examples of each."""
    images = np.kron(np.eye(3), [1.0, 0.6, 0.3]).astype(np.float32)
    labels = np.tile(np.arange(3), 4)
    shown = dict(train_images=images[labels], train_labels=labels, test_images=images, test_labels=np.arange(3))
    return SimpleNamespace(name="patterns", n_classes=3, image_shape=(3, 3), **shown)


def small(**settings):
    values = {name: each.value for name, each in DYNAMICS.parameters_for("digits").items()}
    return (
        values
        | {"hidden": 12, "lanes": 3, "tau_L": 0.5 * second, "hold": 60 * ms, "dt": 1 * ms, "theta": 0.45}
        | settings
    )


@EXPONENTS
def test_units_that_relax_divide_the_inputs_among_them_and_come_to_rest_on_the_sphere(p):
    """The winner of each pattern v has W = v / |v|_p, where equation 2 vanishes; classes read who won."""
    data = patterns()
    circuit = dynamics.build(small(p=p), data, seed=2)
    last = list(train(circuit, data, 12, seed=1))[-1]
    w = circuit.projections["W"].w[0].astype(float)
    assert last.test_error[0] == 0 and last.measures["winner"][0] == 1 and last.measures["unsettled"][0] == 0
    currents = dynamics_study.currents_of(w, data.test_images, p)
    winners = currents.argmax(axis=1)
    assert len(set(winners)) == 3
    wanted = data.test_images / (data.test_images.astype(float) ** p).sum(axis=1, keepdims=True) ** (1 / p)
    np.testing.assert_allclose(w[:, winners].T, wanted, atol=0.02)
    np.testing.assert_allclose(dynamics.norms(circuit.projections["W"], p)[0, winners], 1, rtol=0.02)


def test_inhibition_decides_how_many_features_are_distinct():
    """Three patterns: as many features with it. Without it, and no threshold, all units that win learn their mean."""
    data, found = patterns(), {}
    for w_inh, theta in ((0.0, 0.0), (0.9, 0.2)):
        circuit = dynamics.build(small(p=2.0, w_inh=w_inh, theta=theta), data, seed=2)
        last = list(train(circuit, data, 12, seed=1))[-1]
        found[w_inh] = last.measures["distinct"][0]
        assert 12 * last.measures["used"][0] > found[w_inh]
    assert found == {0.0: 1, 0.9: 3}


def test_features_that_are_alike_count_once():
    """Cosines of directions in a plane, in degrees: 25.8 and less are alike; a chain links what is further apart."""
    angles = np.deg2rad([[0, 20, 40, 90, 100, 200], [0, 30, 60, 90, 120, 300]])
    weights = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, 7)
    used = np.ones((2, 6), bool)
    np.testing.assert_array_equal(competing.distinct(weights, used), [3, 6])
    used[0, 1], used[1] = False, False
    np.testing.assert_array_equal(competing.distinct(weights, used), [4, 0])


def test_competition_counts_what_g_is_at_the_end_of_every_presentation(tiny_data, every_step):
    """Random inputs, weights that hardly learn, and a threshold among the activities."""
    data = tiny_data(n_inputs=9, train=30)
    circuit = dynamics.build(
        small(lanes=10, p=2.0, theta=1.0, w_inh=0.8, tau_L=1e6 * second, dt=0.5 * ms), data, seed=3
    )
    units, shown = circuit.populations["h"], circuit.presentation
    look, seen = every_step(
        units.clock, lambda: shown.last_step and (np.reshape(units.g[:], units.shape), units.view("drive").copy())
    )
    circuit.network.add(look)
    found = next(train(circuit, data, 1, seed=1)).measures
    g, drive = (np.array(each)[:3, 0].reshape(30, -1) for each in zip(*filter(bool, seen), strict=True))
    largest, second_ = np.argsort(-drive, axis=1)[:, :2].T
    ranked = np.zeros_like(g)
    ranked[np.arange(30), largest], ranked[np.arange(30), second_] = 1, -0.4
    assert found["pushed_towards"][0] == pytest.approx((g == 1).sum(axis=1).mean())
    assert found["pushed_away"][0] == pytest.approx((g < 0).sum(axis=1).mean())
    assert found["active"][0] == pytest.approx((g != 0).sum(axis=1).mean())
    assert found["winner"][0] == pytest.approx((g[np.arange(30), largest] == 1).mean())
    assert found["as_ranking"][0] == pytest.approx(np.isclose(g, ranked).all(axis=1).mean())
    assert found["used"][0] == pytest.approx((g == 1).any(axis=0).mean())
    assert 0 < found["as_ranking"][0] < 1 and 0 < found["winner"][0] < 1


def test_what_euler_cannot_follow_stops_the_run_and_says_what_would_do():
    """Twelve equal units stay active, 1 + w (k - 1) = 7.6 at w = 0.6, which asks for dt below 1.32 ms."""
    values = small(w_inh=0.6, dt=1.5 * ms, p=2.0)
    circuit = dynamics.build(values, patterns(), seed=1)
    circuit.projections["W"].w[...] = 1
    with pytest.raises(
        NotSettledError, match=r"h: 12 units are active.*replica 0, lane 0.*fewer than 10.4: dt below 1.3\d* ms"
    ):
        list(train(circuit, patterns(), 1, seed=1))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dt": "6*ms"}, "dt: forward Euler follows two active units below"),
        ({"hold": "40*ms"}, "hold: differences between active units relax with"),
        ({"tau_L": "100*ms"}, "tau_L: learning must be slower than an input is held"),
        ({"p": "0.9"}, "p: must be >= 1"),
        ({"w_inh": "-0.1"}, "w_inh: must be >= 0"),
        ({"hidden": "1"}, "hidden: must be >= 2"),
        ({"theta": "-1"}, "theta: must be >= 0"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused_before_a_run(settings, told):
    for experiment in (DYNAMICS, DIGITS):
        with pytest.raises(ParameterError, match=told.replace("(", r"\(")):
            experiment.check(experiment.resolve("digits", settings))


def test_digits_refuses_a_rank_beyond_the_units_and_settling_as_long_as_an_input_is_held():
    with pytest.raises(ParameterError, match="from 2, the second in rank, to 100"):
        DIGITS.check(DIGITS.resolve("digits", {"algorithm": "ranking", "k": "101"}))
    with pytest.raises(ParameterError, match="settling: must be shorter than"):
        DIGITS.check(DIGITS.resolve("digits", {"settling": "150*ms"}))
    for wrong in (-1, np.inf):
        with pytest.raises(ParameterError, match="w_inh: inhibition of at least 0"):
            steady_state(np.ones(3), wrong)
        with pytest.raises(ParameterError, match="w_inh: inhibition of at least 0"):
            Bench(np.ones((1, 3)), [wrong])


def test_both_conditions_of_digits_start_from_the_same_weights(tiny_data):
    data = tiny_data(n_inputs=16, train=40)
    data.image_shape = (4, 4)
    values = DIGITS.resolve("digits", {"hidden": "6", "lanes": "5"})
    circuits = [DIGITS.build(each, data, 3) for each in DIGITS.choose(values).values()]
    first, second_ = (circuit.projections["W"].w for circuit in circuits)
    np.testing.assert_array_equal(first, second_)
    assert competing.COMPETING is circuits[1].populations["h"].model
