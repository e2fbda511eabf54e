"""Updated random feedback in linear networks (Amit 2018, section 3): two flows, what stays, who is faster."""

import shutil

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurosim import ParameterError, training
from neurosim.plots import NothingToDrawError
from neurosim.runs import Run
from neurosim_models.amit_2018 import linear_study, theory
from neurosim_models.amit_2018.linear import (
    CONDITIONS,
    EPSILONS,
    FROM_ZERO,
    LINEAR,
    MIRROR,
    RANDOM,
    TRANSPOSED,
    ZERO,
    conserved,
    constant_part,
    task,
)  # fmt: skip

LADDER = (0.0, 0.25, 0.5, 1.0)
SIZES = {"inputs": 6, "outputs": 3, "lanes": 6, "replicas": 2, "iterations": 1, "eta": 0.05}
VALUES = {name: parameter.value for name, parameter in LINEAR.parameters_for("matrix").items()} | SIZES
# lambda_R,2 ... under the conditions of the theorems, and for four layers, where there is none
FEEDBACK = {2: (0.1,), 3: (0.1, 0.05), 4: (0.3, 0.2, 0.2)}

every_depth = pytest.mark.parametrize("depth", FEEDBACK)


def network(seed=1, **more):
    """Return a small circuit with wide weights, every one of which counts, and its data."""
    values = VALUES | {"hidden": (5, 4), "w_gain": 1.0, "r_gain": 1.0} | more
    data = task(values, seed)
    return LINEAR.build(values, data, seed), data


def weights(circuit):
    return {name: p.w.copy() for name, p in circuit.projections.items()}


def show(circuit, data, steps=1):
    """Let a circuit learn for some steps; return its weights after each, and before."""
    inputs, targets = (array.reshape(-1, array.shape[-1]) for array in data.training(1, circuit.replicas))
    rows = np.arange(len(inputs)).reshape(1, circuit.replicas, circuit.lanes)
    circuit.set_training(True)
    circuit.feed(inputs, targets)
    history = [weights(circuit)]
    for _ in range(steps):
        circuit.readout.expect(targets)
        circuit.presentation.show(rows)
        circuit.network.run(circuit.presentation.remaining, namespace={})
        history.append(weights(circuit))
    return history


def long(circuit, data, epochs):
    """Let a circuit learn for epochs of ``iterations`` steps, in one run each; return its errors after each."""
    return np.stack([epoch.test_error for epoch in training.train(circuit, data, epochs, seed=1)])


def targets_of(data, replica):
    """T (inputs, outputs), since the inputs are unit vectors."""
    return data.training(1, replica + 1)[1][replica]


def velocities(w, r, target, epsilon):
    """Equation 15 for matrices from rows to columns: (dW_1 ... dW_k, dR_2 ... dR_k), one replica, written out anew."""
    below = [np.eye(len(target))]
    for each in w:
        below.append(below[-1] @ each)
    arriving = [target - below[-1]]
    for each in reversed(r):
        arriving.insert(0, arriving[0] @ each)
    dw = [h.T @ d for h, d in zip(below, arriving, strict=False)]
    return dw, [epsilon * each.T for each in dw[1:]]


def decoupled(depth, epsilon, seed=1, **more):
    """Return a circuit, its data and frames, where the first replica's W are zero and its R decoupled."""
    hidden = (5, 4, 7)[: depth - 1]
    circuit, data = network(seed, hidden=hidden, start=ZERO, epsilon=epsilon, replicas=1, **more)
    r, frames, singular = theory.decoupled(
        targets_of(data, 0), np.outer(FEEDBACK[depth], [1.0, 0.8, 1.3]), hidden, np.random.default_rng(5)
    )
    for i, each in enumerate(r, start=2):
        circuit.projections[f"R{i}"].w[0] = each
    return circuit, data, frames, singular


def strengths(found, frames):
    """The W_i of one replica in the frames of the target, (k, outputs, outputs)."""
    layers = range(1, len(frames))
    return np.stack([frames[i - 1].T @ found[f"W{i}"][0] @ frames[i] for i in layers])


# The scalar equations and the matrices


@every_depth
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_euler_steps_of_equation_16_are_the_networks(depth, epsilon):
    """From a decoupled start: lambda_i on the diagonals, nothing beside them, after 30 and 60 iterations."""
    steps, eta = 60, 0.3
    circuit, data, frames, singular = decoupled(depth, epsilon, eta=eta, iterations=steps // 2)
    history = show(circuit, data, 2)
    flow = theory.integrate(
        depth, epsilon, np.outer(FEEDBACK[depth], [1.0, 0.8, 1.3]), target=singular, time=steps * eta, steps=steps,
        points=2, method="euler",
    )  # fmt: skip
    found = np.stack([strengths(each, frames) for each in history], axis=1)
    diagonal = np.einsum("ksoo->kso", found)
    assert np.ptp(flow["error"]) > 0.2
    np.testing.assert_allclose(diagonal, flow["strength"], atol=1e-13)
    np.testing.assert_allclose(found - diagonal[..., None] * np.eye(3), 0, atol=1e-13)
    for i, each in enumerate(history[-1][name] for name in sorted(history[-1]) if name.startswith("R")):
        turned = frames[i + 2].T @ each[0] @ frames[i + 1]
        np.testing.assert_allclose(turned, np.diag(flow["feedback"][i, -1]), atol=1e-13)


def test_network_follows_the_flow_of_matrices_with_an_error_of_order_eta():
    """From random weights, against SciPy's integration of equation 15; halving the step halves the distance."""
    time, epsilon, distances = 4.0, 0.5, []
    for eta in (0.02, 0.01):
        circuit, data = network(eta=eta, epsilon=epsilon, iterations=round(time / eta))
        start = weights(circuit)
        long(circuit, data, 1)
        now, distance = weights(circuit), 0
        for replica in range(2):
            target = targets_of(data, replica)
            names = ["W1", "W2", "W3", "R2", "R3"]
            shapes = [start[name][replica].shape for name in names]
            ends = np.cumsum([np.prod(shape) for shape in shapes])

            def unpack(flat, shapes=shapes, ends=ends):
                return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]

            def flow(_, flat, target=target):
                parts = unpack(flat)
                dw, dr = velocities(parts[:3], parts[3:], target, epsilon)
                return np.concatenate([each.ravel() for each in (*dw, *dr)])

            first = np.concatenate([start[name][replica].ravel() for name in names])
            exact = unpack(solve_ivp(flow, (0, time), first, rtol=1e-9, atol=1e-11).y[:, -1])
            distance += sum(np.abs(now[n][replica] - each).sum() for n, each in zip(names, exact, strict=True))
        distances.append(distance)
    assert distances[0] / distances[1] == pytest.approx(2, abs=0.1)


@every_depth
def test_rk4_follows_equation_16(depth):
    """Against SciPy, and a right side written out anew; start not zero, each direction another."""
    draw_one = np.random.default_rng(3)
    start, feedback = draw_one.normal(0, 0.5, (depth, 4)), draw_one.normal(0, 0.5, (depth - 1, 4))
    found = theory.integrate(depth, LADDER, feedback, start=start, target=0.8, time=6.0, steps=600, points=3)
    for k, epsilon in enumerate(LADDER):

        def flow(_, y):
            strength, back = y[:depth], y[depth:]
            e = 0.8 - np.prod(strength)
            v = [e * np.prod(strength[:i]) * np.prod(back[i:]) for i in range(depth)]
            return [*v, *(epsilon * each for each in v[1:])]  # noqa: B023

        exact = solve_ivp(flow, (0, 6), [*start[:, k], *feedback[:, k]], rtol=1e-10, atol=1e-12).y[:, -1]
        np.testing.assert_allclose(found["strength"][:, -1, k], exact[:depth], atol=2e-7)
        np.testing.assert_allclose(found["feedback"][:, -1, k], exact[depth:], atol=2e-7)
    assert found["time"][:, 0].tolist() == [0, 2, 4, 6]


# What stays


@every_depth
def test_equation_17_holds_along_the_flow(depth):
    """From zero, both sides are equal at all times; from any start their difference stays, to RK4's order."""
    options = dict(time=30.0, points=30, target=0.9)
    found = theory.integrate(depth, LADDER, FEEDBACK[depth], steps=900, **options)
    assert found["strength"][0].max() > 0.3
    np.testing.assert_allclose(found["conserved"], 0, atol=1e-7)
    start = np.linspace(0.2, 0.5, depth)
    finer = [
        theory.integrate(depth, LADDER, FEEDBACK[depth], start=start, steps=steps, **options)["conserved"]
        for steps in (60, 120)
    ]
    drift = [np.abs(each - each[:, :1]).max() for each in finer]
    assert np.abs(finer[0][:, 0]).min() > 1e-4
    assert drift[0] / drift[1] > 12


@every_depth
def test_an_euler_step_moves_equation_17_by_its_square(depth):
    """dQ_i = (epsilon dlambda_i^2 - dlambda_{i-1}^2) / 2, exactly: so the drift along the flow is of order eta."""
    options = dict(time=20.0, method="euler")
    found = theory.integrate(depth, LADDER, FEEDBACK[depth], start=0.2, steps=100, points=100, **options)
    moved = np.diff(found["strength"], axis=1) ** 2
    predicted = (np.array(LADDER) * moved[1:] - moved[:-1]) / 2
    assert np.abs(predicted).max() > 1e-5
    np.testing.assert_allclose(np.diff(found["conserved"], axis=1), predicted, atol=1e-15)
    finer = theory.integrate(depth, LADDER, FEEDBACK[depth], start=0.2, steps=200, points=200, **options)
    drift = [np.abs(each["conserved"][:, -1] - each["conserved"][:, 0]).sum() for each in (found, finer)]
    assert drift[0] / drift[1] == pytest.approx(2, abs=0.35)


@pytest.mark.parametrize("epsilon", LADDER)
def test_networks_conserve_their_matrices_up_to_the_square_of_a_step(epsilon):
    """P W + (P W)^T + epsilon W W^T - W_below^T W_below, of random matrices: equation 17 without its special start."""
    circuit, data = network(epsilon=epsilon)
    before, after = show(circuit, data, 1)
    for i in (2, 3):
        below, here, back = f"W{i - 1}", f"W{i}", f"R{i}"
        apart = constant_part(before[here], before[back], epsilon)
        change = conserved(after[below], after[here], apart, epsilon) - conserved(
            before[below], before[here], apart, epsilon
        )
        low, high = after[below] - before[below], after[here] - before[here]
        predicted = epsilon * high @ np.swapaxes(high, 1, 2) - np.swapaxes(low, 1, 2) @ low
        assert np.abs(predicted).max() > 1e-5
        np.testing.assert_allclose(change, predicted, atol=1e-14)


def test_what_a_network_conserves_drifts_by_the_step():
    """The measure that a run keeps, after the same time with half the step: half of it."""
    drift = []
    for iterations in (200, 400):
        circuit, data = network(eta=4 / iterations, iterations=iterations)
        long(circuit, data, 1)
        drift.append(circuit.measures["drift"][0]())
    assert (drift[0] > 1e-4).all()
    np.testing.assert_allclose(drift[0] / drift[1], 2, atol=0.2)


@pytest.mark.parametrize("epsilon", LADDER)
@pytest.mark.parametrize("start", [RANDOM, ZERO])
def test_feedback_less_its_share_of_the_forward_weights_stays(epsilon, start):
    """R_i - epsilon W_i^T, to rounding, over a run in which W has moved far; with epsilon 0, R to the bit."""
    circuit, data = network(epsilon=epsilon, start=start, iterations=200)
    before = weights(circuit)
    long(circuit, data, 2)
    after = weights(circuit)
    for i in (2, 3):
        w, r = f"W{i}", f"R{i}"
        assert np.abs(after[w] - before[w]).max() > 0.05
        kept, was = (constant_part(each[w], each[r], epsilon) for each in (after, before))
        np.testing.assert_allclose(kept, was, atol=1e-13)
        assert epsilon or (after[r] == before[r]).all()


def test_angles_are_those_of_the_forward_weights_and_the_transposed_feedback():
    circuit, _ = network(replicas=1, start=ZERO)
    for i in (2, 3):
        assert circuit.measures[f"angle_W{i}_R{i}"][0]() == 90  # while W is zero
        circuit.projections[f"W{i}"].w[0] = circuit.projections[f"R{i}"].w[0].T
        assert circuit.measures[f"angle_W{i}_R{i}"][0]() == pytest.approx(0, abs=1e-5)
        circuit.projections[f"W{i}"].w[0] *= -2
        assert circuit.measures[f"angle_W{i}_R{i}"][0]() == pytest.approx(180, abs=1e-5)


# Theorems 1 and 2


@pytest.mark.parametrize("depth", [2, 3])
def test_error_falls_faster_the_larger_epsilon(depth):
    """At every time; lambda_1, for k = 3 lambda_2, and sqrt(epsilon) times the last rise with epsilon: as proved."""
    feedback = FEEDBACK[depth]
    assert depth == 2 or feedback[0] > theory.ratio_needed(max(LADDER)) * feedback[1]
    found = theory.integrate(depth, LADDER, feedback, time=100.0, steps=2000, points=400)
    error, strength = found["error"], found["strength"]
    seen = error[:, :-1] < 1 - 1e-6  # differences are more than rounding from here on
    faster = np.diff(error, axis=1) < 0
    assert (faster | ~seen | (error[:, :-1] < 1e-9)).all() and (np.diff(error, axis=1) < 1e-12).all()
    for i in range(depth - 1):
        assert ((np.diff(strength[i], axis=1) > 0) | ~seen).all()
    assert ((np.diff(np.sqrt(LADDER) * strength[-1], axis=1) > 0) | ~seen).all()
    assert (np.diff(strength, axis=1) > -1e-12).all() and (error > -1e-12).all()  # in time
    assert 0.5 < seen.mean() < 1


def test_not_all_strengths_can_rise_with_epsilon():
    """Erratum to Theorem 2: at the end their product is lambda_T for every epsilon, and lambda_3 is the smaller."""
    found = theory.integrate(3, LADDER, FEEDBACK[3], time=400.0, steps=2000, points=2)
    np.testing.assert_allclose(found["strength"][:, -1].prod(axis=0), 1, atol=1e-6)
    assert (np.diff(found["strength"][2, -1]) < 0).all()


def test_network_from_zero_is_faster_the_larger_epsilon():
    """With random feedback that does not decouple, at every test until rounding, in every replica (Fig. 4)."""
    errors = []
    for epsilon in LADDER:
        circuit, data = network(
            epsilon=epsilon, start=ZERO, hidden=(20, 20), iterations=50, replicas=3, w_gain=0.3, r_gain=0.3
        )
        errors.append(long(circuit, data, 20))
    errors = np.array(errors)[:, 1:]
    fast = errors[:-1] > 1e-25
    assert errors[0, -1].max() < 0.5
    assert ((np.diff(errors, axis=0) < 0) | ~fast).all()


@every_depth
def test_rate_of_equation_18_is_that_of_the_error(depth):
    """d ln|e| / dt by central differences; both forms from zero, the first one from any start."""
    options = dict(time=4.0 + 4 * depth, steps=2000, points=2000)
    for start in (0.0, 0.3):
        found = theory.integrate(depth, LADDER, np.full(depth - 1, 0.6), start=start, **options)
        h = found["time"][1, 0]
        counts = found["error"][1:-1] > 1e-7  # else rounding
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.diff(np.log(found["error"]), axis=0)
        slope = (slope[1:] + slope[:-1]) / (2 * h)
        r = theory.rate(found["strength"], found["feedback"])[1:-1]
        assert r[counts].max() > 1 and counts.mean() > 0.3
        np.testing.assert_allclose(slope[counts], -r[counts], rtol=2e-3, atol=1e-3)
        again = theory.rate_from_zero(found["strength"], np.array(LADDER))[1:-1]
        assert np.allclose(again, r, atol=1e-8) == (start == 0)


def test_rate_has_equations_19_and_26_as_its_special_cases():
    l1, l2, l3 = 0.7, 0.4, 1.1
    for epsilon in LADDER:
        two, three = (theory.rate_from_zero(np.array(each), epsilon) for each in ([l1, l2], [l1, l2, l3]))
        assert two == pytest.approx(1.5 * l1**2 + epsilon / 2 * l2**2)
        assert three == pytest.approx(
            (epsilon / 2 * l2**2 + 1.5 * l1**2) * (epsilon / 2 * l3**2 + l2**2 / 2) + l1**2 * l2**2
        )


# Outside of the theorems' conditions


def test_signs_of_the_feedback_do_not_matter_from_zero():
    """lambda_i -> s_i lambda_i, s_1 = s_2 s_3, turns one solution into the other."""
    positive, turned = (
        theory.integrate(3, LADDER, feedback, time=40.0, steps=400, points=40) for feedback in ((0.3, 0.2), (-0.3, 0.2))
    )
    np.testing.assert_allclose(turned["error"], positive["error"], atol=1e-13)
    signs = np.array([-1, -1, 1])[:, None, None]
    np.testing.assert_allclose(turned["strength"], signs * positive["strength"], atol=1e-13)


def test_two_layers_against_their_feedback_stop_at_a_saddle():
    """R_2^2 - epsilon lambda_1^2 stays; at epsilon = (R_2 / lambda_1)^2 nothing is learned, beside it it is."""
    critical = theory.epsilon_of_saddle(0.2, -0.1)
    assert critical == pytest.approx(0.25)
    epsilon = np.array([0.0, critical - 0.02, critical, critical + 0.02, 1.0])
    start = np.array([[0.2], [0.0]]).repeat(5, axis=1)
    found = theory.integrate(2, epsilon, [-0.1], start=start, time=50.0, steps=2000, points=100)
    difference = found["feedback"][0] ** 2 - epsilon * found["strength"][0] ** 2
    np.testing.assert_allclose(difference - difference[0], 0, atol=1e-7)
    assert (found["error"][-1, [0, 1, 3, 4]] < 1e-6).all()
    assert found["error"][-1, 2] > 0.5
    assert (found["strength"][0, -1, [0, 1]] < 0).all() and (found["strength"][0, -1, [3, 4]] > 0).all()


def test_three_layers_can_go_round_for_ever():
    """Near lambda_1 = R_3 = 0 with lambda_2 R_2 < 0, at the angular speed e sqrt(epsilon |lambda_2 R_2|)."""
    size, time, epsilon = 1e-3, 200.0, np.array([0.25, 1.0])
    start = np.array([[size], [0.5], [0.0]]).repeat(2, axis=1)
    found = theory.integrate(3, epsilon, [-0.5, 0.0], start=start, time=time, steps=4000, points=2000)
    assert np.abs(found["error"] - 1).max() < 0.01
    expected = size * np.cos(np.sqrt(epsilon * 0.25) * found["time"])
    np.testing.assert_allclose(found["strength"][0], expected, atol=0.02 * size)
    fixed = theory.integrate(3, [0.0], linear_study.ROUND[1], start=np.array(linear_study.ROUND[0]), time=60.0)
    assert abs(fixed["error"][-1, 0]) < 1e-3


def test_error_is_multiplied_by_one_minus_eta_r_near_the_end():
    """So that it falls with steps below 2 / r and grows with steps above."""
    found = theory.integrate(3, LADDER, (0.5, 0.3), time=40.0, steps=400, points=400, method="euler")
    error, r = found["error"], theory.rate(found["strength"], found["feedback"])
    late = (error[:-1] < 1e-4) & (error[:-1] > 1e-9)
    assert late.any(axis=0).all()
    np.testing.assert_allclose((error[1:] / error[:-1])[late], 1 - 0.1 * r[:-1][late], atol=1e-3)
    end, back, steps = found["strength"][:, -1], found["feedback"][:, -1], 10
    for factor in (0.9, 1.1):
        size = factor * 2 / r[-1]
        again = theory.integrate(
            3, LADDER, back, start=end * (1 + 1e-5), time=steps * size, steps=steps, points=steps, method="euler"
        )["error"]
        np.testing.assert_allclose(again[-1] / again[0], (1 - 2 * factor) ** steps, rtol=0.05)


# The rules


def test_gradient_condition_goes_down_the_gradient():
    """dW = -eta dL / dW of L = |T - W_1 W_2 W_3|^2 / 2, by central differences."""
    circuit, data = network(feedback=TRANSPOSED)
    before, after = show(circuit, data, 1)
    assert set(before) == {"W1", "W2", "W3"}
    for replica in range(2):
        target = targets_of(data, replica)
        own = {name: each[replica].copy() for name, each in before.items()}

        def loss(own=own, target=target):
            return np.sum((target - own["W1"] @ own["W2"] @ own["W3"]) ** 2) / 2

        for name, array in own.items():
            gradient = np.empty_like(array)
            for where in np.ndindex(array.shape):
                middle = array[where]
                array[where] = middle + 1e-5
                high = loss()
                array[where] = middle - 1e-5
                gradient[where] = (high - loss()) / 2e-5
                array[where] = middle
            np.testing.assert_allclose(after[name][replica] - before[name][replica], -0.05 * gradient, atol=1e-9)


def test_gradient_condition_is_updated_feedback_that_starts_as_the_transposed_weights():
    """The paper's way to say it: R(0) = W(0)^T, epsilon = 1."""
    circuit, data = network(iterations=100)
    for i in (2, 3):
        circuit.projections[f"R{i}"].w[...] = np.swapaxes(circuit.projections[f"W{i}"].w, 1, 2)
    other, _ = network(feedback=TRANSPOSED, iterations=100)
    for each in (circuit, other):
        long(each, data, 2)
    for name, w in weights(other).items():
        np.testing.assert_allclose(circuit.projections[name].w, w, atol=1e-13)


@pytest.mark.parametrize("epsilon", LADDER)
def test_a_step_is_equation_15(epsilon):
    circuit, data = network(epsilon=epsilon)
    before, after = show(circuit, data, 1)
    for replica in range(2):
        w, r = ([before[f"{kind}{i}"][replica] for i in layers] for kind, layers in (("W", (1, 2, 3)), ("R", (2, 3))))
        dw, dr = velocities(w, r, targets_of(data, replica), epsilon)
        for name, change in zip(("W1", "W2", "W3", "R2", "R3"), (*dw, *dr), strict=True):
            np.testing.assert_allclose(after[name][replica] - before[name][replica], 0.05 * change, atol=1e-14)


@pytest.mark.parametrize("epsilon", LADDER)
def test_first_step_from_zero_moves_the_lowest_weights_alone(epsilon):
    """dW_1 = eta T R_3 R_2, whatever epsilon; the next step moves W_2 too, the third W_3."""
    circuit, data = network(epsilon=epsilon, start=ZERO)
    history = show(circuit, data, 3)
    moved = [{n for n in history[0] if (b[n] != a[n]).any()} for a, b in zip(history, history[1:], strict=False)]
    own = {"R2", "R3"} if epsilon else set()
    assert moved == [{"W1"}, {"W1", "W2"} | (own & {"R2"}), {"W1", "W2", "W3"} | own]
    for replica in range(2):
        first = 0.05 * targets_of(data, replica) @ history[0]["R3"][replica] @ history[0]["R2"][replica]
        np.testing.assert_allclose(history[1]["W1"][replica], first, atol=1e-15)


# The experiment


def test_target_has_full_rank_and_the_largest_singular_value_asked_for():
    data = task(VALUES | {"hidden": (20, 20), "largest": 0.7}, seed=4)
    inputs, targets = data.training(3, 2)
    assert (inputs == np.eye(6)).all() and (targets == data.testing(2)[1]).all()
    assert np.linalg.matrix_rank(targets).tolist() == [3, 3]
    np.testing.assert_allclose(np.linalg.norm(targets, 2, axis=(1, 2)), 0.7)
    assert np.abs(targets[0] - targets[1]).max() > 0.1
    narrow = task(VALUES | {"hidden": (2, 20)}, seed=4)
    assert np.linalg.matrix_rank(narrow.testing(1)[1][0]) == 2  # no more than a hidden layer lets through


def test_conditions_start_from_the_same_weights():
    """Those of one name; from zero, all R are those of the random start."""
    starts = {}
    for name, own in CONDITIONS.items():
        for each, w in weights(network(**own)[0]).items():
            zero = own["start"] == ZERO and each.startswith("W")
            first = starts.setdefault((each, zero), w)
            assert (first == w).all() and w.any() == (not zero), name
    assert {name for name, _ in starts} == {"W1", "W2", "W3", "R2", "R3"}
    assert set(EPSILONS) | {FROM_ZERO + name for name in EPSILONS} | {"gradient"} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lanes": 5}, r"lanes: a step needs all 6 unit vectors side by side, so 6 lanes, got 5"),
        ({"feedback": TRANSPOSED, "start": ZERO}, r"start: with 'zero' the transposed weights are zero too"),
    ],
)
def test_build_refuses_what_cannot_be(settings, message):
    with pytest.raises(ParameterError, match=message):
        network(**settings)


@pytest.mark.parametrize(("name", "text"), [("epsilon", "-0.1"), ("largest", "0"), ("start", "ones"), ("eta", "nan")])
def test_parameters_refuse_values_out_of_range(name, text):
    with pytest.raises(ParameterError, match=name):
        LINEAR.resolve("matrix", {name: text})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.flow(1), "depth: a whole number of at least 2 layers is needed, got 1"),
        (lambda: theory.integrate(3, 1, [0.1]), "feedback: 2 of them are needed for 3 layers"),
        (lambda: theory.integrate(2, 1, [0.1], start=[0.1, 0, 0]), "start: 2 of them are needed for 2 layers"),
        (lambda: theory.integrate(2, [0, 1], [[0.1] * 3]), "their numbers of directions differ"),
        (lambda: theory.integrate(2, 1, [0.1], steps=10, points=3), "steps: a multiple of the 3 points is needed"),
        (
            lambda: theory.decoupled(np.eye(4), (0.1, 0.1), (5, 3), np.random.default_rng(1)),
            "hidden: no layer may be smaller than the output of 4 neurons, got 4,5,3",
        ),
        (
            lambda: theory.decoupled(np.eye(4), (0.1,), (5, 6), np.random.default_rng(1)),
            "feedback: 2 of them are needed, one a hidden layer, got 1",
        ),
    ],
)
def test_theory_refuses_what_does_not_fit(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_time_to_is_read_between_points():
    time = np.array([0.0, 1.0, 2.0])[:, None].repeat(4, axis=1)
    error = np.array([[1.0, 0.5, -0.1, 0.5], [0.5, 0.5, 1.0, 0.1], [-0.1, 0.5, 1.0, 0.0]])
    np.testing.assert_allclose(theory.time_to(time, error, 0.3), [1.5, np.nan, 0, 0.5])


def test_rule_of_the_feedback_names_what_its_two_neurons_hold():
    """The error or feedback neuron's d and the copied activity r: what the forward rule multiplies, epsilon times."""
    circuit, _ = network()
    assert circuit.projections["R2"].rule == MIRROR == circuit.projections["R3"].rule
    assert {"d", "r"} <= set(circuit.projections["R2"].target.state_variables)


def test_a_figure_of_what_a_run_lacks_is_not_drawn(small_run, tmp_path):
    folder = shutil.copytree(small_run("amit_2018.linear").folder, tmp_path / "run")
    run = Run.open(folder)
    (folder / "study.npz").unlink()
    del run.record["conditions"]["gradient"]
    for figure in LINEAR.figures[1:]:
        with pytest.raises(NothingToDrawError):
            figure(run)
