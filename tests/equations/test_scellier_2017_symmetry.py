"""Forward and backward weights that learn apart: what stays, what shrinks, when a network without symmetry settles."""

import numpy as np
import pytest

from neurosim.training import train
from neurosim_models.scellier_2017.network import APART, FIXED, SYMMETRIC
from neurosim_models.scellier_2017.symmetry import SYMMETRY, build, shrinking


def values(**more):
    """Return the defaults for digits with small sizes."""
    small = {"hidden": (6,), "alpha": (0.2, 0.1), "lanes": 2, "replicas": 2, "free_steps": 10, "nudged_steps": 4}
    return {**SYMMETRY.resolve("digits", {}), **small, **more}


def swapped(projection):
    """Return weights as R^T."""
    return np.swapaxes(projection.w, 1, 2).astype(float)


@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_difference_of_both_ways_stays_and_shrinks_with_decay_alone(tiny_data, decay):
    """D = (1 - decay)^presentations D_0 to rounding, of two hidden layers; angles follow from it and the norms."""
    chosen = values(hidden=(6, 5), alpha=(0.2, 0.1, 0.05), weights=APART, decay=decay)
    data = tiny_data(train=40)
    circuit = build(chosen, data, 1)
    ways = [("h1", "h2"), ("h2", "y")]
    pairs = [(circuit.projections[f"W_{here}"], circuit.projections[f"R_{below}"]) for below, here in ways]
    start = [w.w - swapped(r) for w, r in pairs]
    old = [w.w.copy() for w, _ in pairs]
    (epoch,) = train(circuit, data, 1, 1)
    left = shrinking(decay, 40 // 2)
    for (w, r), d, before, names in zip(pairs, start, old, ways, strict=True):
        assert np.allclose(w.w - swapped(r), left * d, atol=2e-6) and np.abs(w.w - left * before).max() > 1e-3
        assert np.allclose(epoch.measures["difference_{}_{}".format(*names)], left, rtol=1e-5)
        w_norm, r_norm, d_norm = (np.linalg.norm(each, axis=(1, 2)) for each in (w.w, r.w, left * d))
        cosine = (w_norm**2 + r_norm**2 - d_norm**2) / (2 * w_norm * r_norm)
        assert np.allclose(epoch.measures["angle_{}_{}".format(*names)], np.degrees(np.arccos(cosine)), atol=0.01)


def test_fixed_backward_weights_stay_and_symmetric_ones_are_the_forward_ones(tiny_data):
    data = tiny_data(train=20)
    fixed = build(values(weights=FIXED), data, 1)
    before = {name: p.w.copy() for name, p in fixed.projections.items()}
    list(train(fixed, data, 1, 1))
    same = {name for name, p in fixed.projections.items() if np.array_equal(p.w, before[name])}
    assert same == {"R_h1"}
    symmetric = build(values(weights=SYMMETRIC), data, 1)
    assert not any(name.startswith("R") for name in symmetric.projections)
    assert np.array_equal(symmetric.projections["W_y"].w, before["W_y"])


@pytest.mark.parametrize(("coupling", "settles"), [(1.0, True), (1.6, True), (1.9, False), (2.5, False)])
def test_antisymmetric_loop_settles_below_the_strength_of_theory(tiny_data, coupling, settles):
    """W = g, R = -g: mu = +-i g, and |1 - epsilon + i epsilon g| < 1 asks for g < sqrt(3) at epsilon = 1/2."""
    data = tiny_data(train=4)
    chosen = values(hidden=(1,), alpha=(0.0, 0.0), weights=APART, free_steps=150, persistent="no")
    circuit = build(chosen, data, 1)
    weights = {name: p.w for name, p in circuit.projections.items()}
    for each in weights.values():
        each[...] = 0
    weights["W_y"][:, 0, 0], weights["R_h1"][:, 0, 0] = coupling, -coupling
    weights["b_h1"][...], weights["b_y"][...] = 0.5 + 0.5 * coupling, 0.5 - 0.5 * coupling  # fixed point 1/2, 1/2
    (epoch,) = train(circuit, data, 1, 1)
    assert (epoch.measures["unsettled"] == (0 if settles else 1)).all()
