"""The forward rule beside backprop: the loss's gradient, the factor of every area, slopes in lambda, angles."""

import numpy as np
import pytest
from brian2 import nS

from neurosim_models.sacramento_2018 import gradient_study
from neurosim_models.sacramento_2018.gradient import GRADIENT, WEAK, build
from neurosim_models.sacramento_2018.gradient_study import compared, simulated, slope, with_mixing
from neurosim_models.sacramento_2018.theory import AtRest

DIGITS = GRADIENT.resolve("digits", {})
VALUES = DIGITS | gradient_study.SOFT
SMALL = np.array([0.001, 0.002, 0.004])  # lambdas


def at_rest(mixing, hidden=(6, 5), seed=1):
    """Return a circuit in the self-predicting state, one replica with TD ~ W^T, one with random TD, and examples."""
    generator = np.random.default_rng(seed)
    values = with_mixing(VALUES, mixing)
    w = [np.repeat(generator.uniform(-1, 1, (1, *s)), 2, axis=0) for s in zip((7, *hidden), (*hidden, 4), strict=True)]
    td = [np.swapaxes(each, 1, 2).copy() for each in w[1:]]
    for each in td:
        each[1] = generator.uniform(-1, 1, each[1].shape)
    made = AtRest(values, w, td, [], [-each for each in td])
    inner = float(values["g_D"] / (values["g_lk"] + values["g_D"]))
    made.IP.extend(made.share(k) / inner * each for k, each in enumerate(w[1:], start=2))
    return made, generator.uniform(0, 1, (3, 7)), generator.uniform(-0.9, 0.9, (3, 4))


def distances(mixing):
    """Return |change - F_k leading| / |F_k leading| of all areas and both kinds of TD."""
    rest, x, target = at_rest(mixing)
    parts = zip(rest.changes(x, target), rest.factors(), rest.leading(x, target), strict=True)
    return np.array(
        [np.linalg.norm(c - f * d, axis=(1, 2)) / np.linalg.norm(f * d, axis=(1, 2)) for c, f, d in parts]
    ).T  # fmt: skip


def test_descent_is_that_of_the_loss():
    """-dL / dW by central differences, for a weight of every area; L is an integral, its gradient is not."""
    rest, x, target = at_rest(0.2)
    step = 1e-5
    for w, wanted in zip(rest.W, rest.descent(x, target), strict=True):
        w[:, 1, 2] += step
        above = rest.loss(x, target)
        w[:, 1, 2] -= 2 * step
        below = rest.loss(x, target)
        w[:, 1, 2] += step
        assert np.allclose((below - above) / (2 * step), wanted[:, 1, 2], rtol=1e-6)
        assert np.abs(wanted[:, 1, 2]).min() > 1e-4


def test_change_becomes_the_leading_term_with_slope_one():
    found = np.array([distances(mixing) for mixing in SMALL])
    slopes = np.polyfit(np.log(SMALL), np.log(found.reshape(len(SMALL), -1)), 1)[0]
    assert np.allclose(slopes, 1, atol=0.05) and found[-1].max() < 0.01


def test_factor_has_a_share_for_each_kind_of_cell():
    """F_k = l_N (l_A (1 - l_I))^(N - k) with three lambdas that all differ."""
    rest, x, target = at_rest(0.001)
    values = rest.values | {"g_A": 0.002 * nS, "g_som": 0.0005 * nS, "g_D": 0.0007 * nS, "g_lk": 0.001 * nS}
    inner = 0.7 / 1.7
    other = AtRest(values, rest.W, rest.TD, [], rest.PI)
    other.IP.extend(other.share(k) / inner * w for k, w in enumerate(rest.W[1:], start=2))
    expected = 0.0005 / 1.0015 * (0.002 / 1.003 * (1 - 0.5 / 2.2)) ** np.array([2, 1, 0])
    assert np.allclose(other.factors(), expected, rtol=1e-12)
    for change, leading, factor in zip(other.changes(x, target), other.leading(x, target), expected, strict=True):
        ratio = np.sum(change * leading, axis=(1, 2)) / np.sum(leading**2, axis=(1, 2))
        assert np.allclose(ratio, factor, rtol=0.01)


def test_angle_to_backprop_vanishes_only_where_top_down_weights_are_those_of_forward_ones():
    def angles(mixing):
        rest, x, target = at_rest(mixing)
        pairs = zip(rest.changes(x, target), rest.descent(x, target), strict=True)
        return np.array([gradient_study.angle(*(each.reshape(2, -1) for each in pair)) for pair in pairs])

    found = np.array([angles(mixing) for mixing in SMALL])  # (lambdas, areas, ways)
    slopes = np.polyfit(np.log(SMALL), np.log(found[:, :, 0]), 1)[0]
    assert np.allclose(slopes, 1, atol=0.05) and found[-1, :, 0].max() < 0.1
    assert (found[:, :2, 1] > 30).all() and found[-1, 2, 1] < 0.1  # the output has nothing above it


@pytest.mark.parametrize("hidden", [(6,), (5, 4), (5, 4, 4)])
def test_simulated_circuit_has_the_change_of_the_exact_fixed_point(hidden, monkeypatch):
    monkeypatch.setattr(gradient_study, "INPUTS", 7)
    monkeypatch.setattr(gradient_study, "OUTPUTS", 4)
    found = compared(VALUES, hidden, 0.1, 3)
    assert np.max(found["settled"]) < 1e-8
    expected = 0.1 ** np.arange(len(hidden) + 1, 0, -1) * 0.9 ** np.arange(len(hidden), -1, -1)
    assert np.allclose(found["factor"], expected, rtol=0.15)


def test_both_replicas_of_the_study_have_the_same_forward_weights():
    circuit, _ = simulated(VALUES, (5, 4), 0.1, 3)
    w = {name: p.w for name, p in circuit.projections.items()}
    assert all(np.array_equal(w[name][0], w[name][1]) for name in ("W_h1", "W_h2", "W_y"))
    assert np.array_equal(w["TD_h2"][0], w["W_y"][0].T) and not np.allclose(w["TD_h2"][1], w["W_y"][1].T)
    assert np.array_equal(w["PI_h1"], -w["TD_h1"])


def test_slope_is_of_small_lambdas_and_leaves_out_what_is_rounding():
    found = 3 * gradient_study.LAMBDAS**2
    found[0], found[-1] = np.nan, 1e9
    assert slope(found) == pytest.approx(2) and np.isnan(slope(np.full_like(found, np.nan)))


def test_weak_mixing_learns_as_fast_to_leading_order():
    """Rates times F_k are those of the published conductances, for W_h1 and W_y."""
    strong, weak = ({**DIGITS, **GRADIENT.conditions[name]} for name in ("published", WEAK))
    speed = [np.array(values["eta_W"]) * AtRest(values, [0, 0], [0], [], []).factors() for values in (strong, weak)]
    assert np.allclose(*speed, rtol=1e-9)
    assert np.allclose(weak["eta_IP"][0] / weak["eta_W"][1], 10, rtol=1e-9)  # 1 / lambda_I: IP follows W_y


def test_angles_while_it_learns_are_those_of_the_first_examples(tiny_data):
    """Self-predicting at the start: to theory within some degrees; with TD ~ W^T also to the gradient."""
    data = tiny_data(n_inputs=6, n_classes=3, train=30)
    circuit = build({**DIGITS, "hidden": (8,), "lanes": 3, "replicas": 2}, data, 1)
    to_gradient, to_theory = (circuit.measures[name][0] for name in ("angle_of_update", "angle_to_theory"))
    assert (to_theory() < 25).all() and (to_gradient() > to_theory() + 20).all()
    td, pi = circuit.projections["TD_h1"], circuit.projections["PI_h1"]
    td.w[...] = np.swapaxes(circuit.projections["W_y"].w, 1, 2)
    pi.w[...] = -td.w
    assert np.allclose(to_gradient(), to_theory(), atol=1e-3) and (to_gradient() < 25).all()
