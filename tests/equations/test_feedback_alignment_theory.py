"""Feedback alignment in a linear network: what theory says of its flow holds for a network of populations.

With A = W0, E = T - W A and inputs of unit covariance the flow is dW/dt = E A^T, dA/dt = B E (time in units of 1/eta).
The inputs here are the unit vectors, one in each lane, so that a step of the network is exactly an Euler step of it.
Source: Lillicrap et al. 2016, Supplementary Notes 11 and 12 (the invariant, Theorems 1 and 2).
"""

import brian2
import numpy as np
import pytest
from brian2 import Clock, Hz, Network, ms
from scipy.integrate import solve_ivp

from neurosim import Population, Projection, neurons
from neurosim.analysis import angle

INPUTS, HIDDEN, OUTPUTS = 5, 6, 3


def draw(seed, *shape, width=1.0):
    return np.random.default_rng(seed).uniform(-width, width, shape)


def run(target, feedback, a, w, steps, eta, inputs=None):
    """Simulate; return (A, W) after each step as the theory has them: A (hidden, inputs), W (outputs, hidden)."""
    inputs = np.eye(target.shape[1]) if inputs is None else inputs
    clock = Clock(1 * ms)
    shape = dict(lanes=len(inputs), clock=clock, dtype=np.float64)
    x = Population(inputs.shape[1], neurons.INPUT, order=0, **shape)
    h = Population(len(a), neurons.LINEAR, order=1, **shape)
    y = Population(len(w), neurons.LINEAR, order=2, **shape)
    error = Population(len(w), neurons.RATE_ERROR, order=3, **shape)
    back = Population(len(a), neurons.RATE_FEEDBACK, order=4, **shape)
    rule = dict(rule="dw/dt = eta * r_pre * psi_post * m_post", namespace={"eta": eta / 1e-3 * Hz})
    first = Projection(x, h, "v_post = w * r_pre", weights=a.T, **rule)
    second = Projection(h, y, "v_post = w * r_pre", weights=w.T, **rule)
    others = [
        Projection(y, error, "guess_post = r_pre"),
        Projection(error, y, "m_post = d_pre"),
        Projection(error, back, "d_post = w * d_pre", weights=feedback.T),
        Projection(back, h, "m_post = d_pre"),
    ]
    x.view("r")[0] = inputs
    error.view("target")[0] = inputs @ target.T
    seen = []
    look = brian2.NetworkOperation(
        lambda: seen.append((first.w[0].T.copy(), second.w[0].T.copy())), clock=clock, when="end", order=9
    )
    Network(x, h, y, error, back, first, second, *others, look).run(steps * ms)
    return np.array([each[0] for each in seen]), np.array([each[1] for each in seen])


def invariant(a, w, feedback):
    """B W + W^T B^T - A A^T."""
    return feedback @ w + w.T @ feedback.T - a @ a.T


def test_network_follows_the_flow():
    """Euler steps of the network against SciPy's solution of dW/dt = E A^T, dA/dt = B E."""
    target, feedback = draw(1, OUTPUTS, INPUTS), draw(2, HIDDEN, OUTPUTS)
    a, w = draw(3, HIDDEN, INPUTS, width=0.3), draw(4, OUTPUTS, HIDDEN, width=0.3)

    def flow(_, state):
        a_, w_ = state[: a.size].reshape(a.shape), state[a.size :].reshape(w.shape)
        error = target - w_ @ a_
        return np.concatenate([(feedback @ error).ravel(), (error @ a_.T).ravel()])

    exact = solve_ivp(flow, (0, 2), np.concatenate([a.ravel(), w.ravel()]), rtol=1e-10, atol=1e-12).y[:, -1]
    misses = []
    for steps in (200, 400, 800):
        found = [each[-1].ravel() for each in run(target, feedback, a, w, steps, 2 / steps)]
        misses.append(np.abs(np.concatenate(found) - exact).max())
    slopes = np.diff(np.log(misses)) / np.log(0.5)
    assert slopes == pytest.approx([1, 1], abs=0.15), "Euler's method is of order 1"
    assert misses[-1] < 0.01


def test_the_invariant_is_conserved_to_first_order_of_the_step():
    """d/dt (A A^T) = B E A^T + A E^T B^T = d/dt (B W + W^T B^T); a step adds eta^2 B E E^T B^T to the left side."""
    target, feedback = draw(1, OUTPUTS, INPUTS), draw(2, HIDDEN, OUTPUTS)
    a, w = draw(3, HIDDEN, INPUTS, width=0.3), draw(4, OUTPUTS, HIDDEN, width=0.3)
    before, drifts = invariant(a, w, feedback), []
    for steps in (100, 200, 400):
        eta = 3 / steps
        all_a, all_w = run(target, feedback, a, w, steps, eta)
        now = invariant(all_a[-1], all_w[-1], feedback)
        drifts.append(np.abs(now - before).max())
        errors = target - np.matmul(np.concatenate([w[None], all_w[:-1]]), np.concatenate([a[None], all_a[:-1]]))
        sent = feedback @ errors
        np.testing.assert_allclose(before - now, eta**2 * (sent @ sent.transpose(0, 2, 1)).sum(axis=0), atol=1e-10)
    assert np.diff(np.log(drifts)) / np.log(0.5) == pytest.approx([1, 1], abs=0.1)
    moved = [np.abs(all_a[-1] @ all_a[-1].T - a @ a.T).max(), np.abs(feedback @ (all_w[-1] - w)).max()]
    assert min(moved) > 30 * drifts[-1], "the parts change, their difference does not"


def test_from_zero_the_error_goes_to_zero():
    """Theorem 1: C = 0 and B^+ B = 1 (as many hidden units as outputs or more, B of full rank)."""
    target, feedback = draw(1, OUTPUTS, INPUTS), draw(2, HIDDEN, OUTPUTS)
    all_a, all_w = run(target, feedback, np.zeros((HIDDEN, INPUTS)), np.zeros((OUTPUTS, HIDDEN)), 4000, 0.02)
    errors = np.linalg.norm(target - all_w @ all_a, axis=(1, 2))
    assert errors[-1] < 1e-6 * errors[0]
    now = invariant(all_a[-1], all_w[-1], feedback)
    assert np.abs(now).max() < 0.05 * np.abs(all_a[-1] @ all_a[-1].T).max()


def test_fewer_hidden_units_than_outputs_need_not_learn():
    """Where B^+ B is not 1 there are errors that B does not see: B e = 0."""
    feedback = draw(2, 2, OUTPUTS)
    unseen = np.linalg.svd(feedback)[2][-1]
    target = np.outer(unseen, draw(1, INPUTS))
    assert np.abs(feedback @ target).max() < 1e-12
    all_a, all_w = run(target, feedback, np.zeros((2, INPUTS)), np.zeros((OUTPUTS, 2)), 200, 0.02)
    assert np.abs(all_a[-1]).max() < 1e-9 and np.abs(all_w[-1]).max() < 1e-9


@pytest.mark.parametrize("outputs", [1, 4])
def test_from_zero_the_modulatory_signal_is_that_of_gauss_newton(outputs):
    """Theorem 2: B e is a positive multiple of W^+ e, for one example; for one output with any number of examples.

    From zero A = B M and W = N B^T, with M the sum of E and N that of E M^T: W^+ e = B (B^T B)^-1 N^-1 e.
    """
    feedback = draw(2, HIDDEN, outputs)
    one_example = outputs > 1
    inputs = draw(5, 1, INPUTS) if one_example else np.eye(INPUTS)
    target = draw(1, outputs, INPUTS)
    all_a, all_w = run(target, feedback, np.zeros((HIDDEN, INPUTS)), np.zeros((outputs, HIDDEN)), 300, 0.01, inputs)
    for k in (1, 10, 100, 299):
        errors = (target - all_w[k] @ all_a[k]) @ inputs.T
        newton, sent = np.linalg.pinv(all_w[k], rcond=1e-9) @ errors, feedback @ errors
        np.testing.assert_allclose(angle(sent, newton, axis=0), 0, atol=1e-4)
        assert np.all(angle(sent, all_w[k].T @ errors, axis=0) < 90), "backprop's signal is near as well"


def test_from_zero_with_many_outputs_the_signal_is_within_90_degrees_of_gauss_newton():
    """With several outputs and examples it is a positive multiple only where (B^T B) N is a multiple of 1."""
    target, feedback = draw(1, OUTPUTS, INPUTS), draw(2, HIDDEN, OUTPUTS)
    all_a, all_w = run(target, feedback, np.zeros((HIDDEN, INPUTS)), np.zeros((OUTPUTS, HIDDEN)), 300, 0.01)
    errors = target - all_w[100] @ all_a[100]
    found = angle((feedback @ errors).ravel(), (np.linalg.pinv(all_w[100]) @ errors).ravel())
    assert 1 < found < 90
    space = np.linalg.svd(feedback, full_matrices=False)[0]
    np.testing.assert_allclose(space @ space.T @ all_w[100].T, all_w[100].T, atol=1e-9, err_msg="W = N B^T")
