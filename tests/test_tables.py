"""Tables of sums and rows of spikes give what a matrix product of the spikes gives, in half of its time."""

import numba
import numpy as np
import pytest
from brian2 import Network

from neurosim import Projection
from neurosim.plasticity import spikes as spikes_module
from neurosim.plasticity import tables
from neurosim.plasticity.spikes import Spikes

SIZES = [(1, 1, 32), (3, 64, 33), (64, 65, 47), (65, 63, 96), (100, 131, 385), (130, 700, 77), (20, 1000, 32)]


def case(lanes, n_pre, n_post, dtype, density=0.5):
    draw = np.random.default_rng(lanes + n_pre + n_post)
    spikes = (draw.random((lanes, n_pre)) < density).astype(dtype)
    return spikes, draw.normal(size=(n_pre, n_post)).astype(dtype), draw.normal(size=(lanes, n_post)).astype(dtype)


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """One thread, and two that share even the smallest product."""
    before = numba.get_num_threads()
    if request.param > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("one thread here")
    monkeypatch.setattr(tables, "PARALLEL_FROM", 0)
    numba.set_num_threads(request.param)
    yield request.param
    numba.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("sizes", SIZES)
def test_tables_of_sums_give_the_products_of_binary_spikes(sizes, dtype, tolerance, threads):
    spikes, weights, change = case(*sizes, dtype)
    by_lane, by_neuron = tables.pack(spikes)
    double = spikes.astype(float)
    for keep in (False, True):
        out = change.copy()
        tables.deliver(by_lane, weights, keep, out, dtype(1.5))
        expected = 1.5 * (double @ weights) + (change if keep else 0)
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    learned = weights.copy()
    tables.learn(by_neuron, change, learned)
    expected = weights + double.T @ change
    np.testing.assert_allclose(learned, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_reaches_those_with_a_spike_and_nobody_else(few, bad, monkeypatch):
    """0 * nan is nan in a matrix product; a sum over spikes leaves out what did not spike."""
    monkeypatch.setattr(spikes_module, "SPARSE", 1.0 if few else 0.0)
    values, weights, change = case(30, 70, 40, np.float32)
    spikes = Spikes(values, np.flatnonzero(values))
    assert spikes.few == few
    weights[5, 7] = change[3, 2] = bad
    out = np.empty_like(change)
    spikes.deliver(weights, np.float32(1), False, out)
    assert np.array_equal(~np.isfinite(out[:, 7]), values[:, 5] == 1) and np.isfinite(out[:, 8]).all()
    learned = np.zeros_like(weights)
    spikes.learn(change, learned)
    assert np.array_equal(~np.isfinite(learned[:, 2]), values[3] == 1) and np.isfinite(learned[:, 3]).all()


def test_weights_too_narrow_for_a_table_are_refused():
    spikes, weights, change = case(2, 8, 8, np.float32)
    with pytest.raises(ValueError, match="128 bytes"):
        tables.deliver(tables.pack(spikes)[0], weights, False, change, np.float32(1))


@pytest.mark.parametrize("density", [0.02, 0.4])
@pytest.mark.parametrize("replicas", [1, 2])
def test_projection_sums_spikes_as_it_multiplies_them(given, passive, play, monkeypatch, density, replicas):
    """Three steps of delivery, learning and decay, two projections into one variable; rows at 2 %, tables at 40 %."""
    results = []
    draw = np.random.default_rng(1)
    values = (draw.random((3, replicas, 24, 50)) < density).astype(float)
    for large in (np.inf, 0):
        monkeypatch.setattr(spikes_module, "LARGE", large)
        source = given(50, replicas=replicas, lanes=24, dtype=np.float64)
        target = passive(40, replicas=replicas, lanes=24, dtype=np.float64)
        target.view("m")[...] = np.random.default_rng(2).normal(size=target.shape)
        start = np.random.default_rng(3).normal(size=(2, replicas, 50, 40))
        projections = [
            Projection(source, target, "drive_post = w * s_pre", rule, weights)
            for rule, weights in zip(("w += 0.1 * s_pre * m_post - 0.001 * w", None), start, strict=True)
        ]
        assert ("tables of sums" in projections[0].explain()) == (large == 0)
        network = play([source, target, *projections], [(source, "s", values)])
        assert isinstance(network, Network)
        results.append((projections[0].w.copy(), target.view("drive").copy()))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert np.abs(results[0][1]).max() > 0.1
