"""Changes of a step scaled by one number a replica: against NumPy, with few and with many columns, in all forms."""

import numpy as np
import pytest
from brian2 import mV
from numba import njit

from neurosim import Kernel, ParameterError, Population, Projection, Uniform, connectivity
from neurosim.neurons import NeuronType
from neurosim.plasticity.columns import Columns
from neurosim.plasticity.largest import largest_difference

IN = NeuronType("v : 1")
OUT = NeuronType("drive : 1\ng : 1")
RULE = "w += g_post * (v_pre - drive_post * w)"


@pytest.fixture
def values():
    """Inputs and learning activations of three steps, two replicas, six lanes; g is 0 for most of twelve neurons."""
    draw = np.random.default_rng(2)
    v = draw.random((3, 2, 6, 5))
    g = draw.normal(size=(3, 2, 6, 12)) * (np.arange(12) % 4 == 1)
    g[1, 0] = 0  # nothing happens in this step in the first replica
    return v, g


def reference(w, v, g, size):
    """Steps of the rule in NumPy, in double precision."""
    for each_v, each_g in zip(v, g, strict=True):
        drive = np.einsum("rio,rli->rlo", w, each_v)
        change = np.einsum("rli,rlo->rio", each_v, each_g) - (each_g * drive).sum(axis=1)[:, None] * w
        largest = np.abs(change).max(axis=(1, 2), keepdims=True)
        w = w + np.where(largest > 0, size * change / np.where(largest > 0, largest, 1), 0)
    return w


@pytest.fixture
def learned(play, clock, values):
    """Return a function that lets a projection learn from the values: (its weights before, the projection)."""

    def run(rule=RULE, g=None, **more):
        v = values[0]
        g = values[1] if g is None else g
        shape = dict(replicas=2, lanes=v.shape[2], clock=clock, dtype=np.float64)
        x, h = Population(5, IN, order=0, **shape), Population(12, OUT, order=1, **shape)
        settings = dict(weights=Uniform(1), seed=1, largest_change=0.1) | more
        p = Projection(x, h, "drive_post = w * v_pre", rule, **settings)
        before = p.w.copy()
        play([x, h, p], [(x, "v", v), (h, "g", g)])
        return before, p

    return run


def test_the_largest_change_is_as_given_and_the_others_in_proportion(learned, values):
    """The same where few columns change, which are taken out, and where all do; nothing where all changes are 0."""
    before, few = learned()
    assert isinstance(few.learning.passes[0][1], Columns)
    assert np.allclose(few.w, reference(before, *values, 0.1), rtol=0, atol=1e-14)
    everywhere = values[1] + 0.01 * (values[1].any(axis=(2, 3), keepdims=True))
    before, many = learned(g=everywhere)
    assert np.allclose(many.w, reference(before, values[0], everywhere, 0.1), rtol=0, atol=1e-14)


def test_one_step_changes_by_exactly_that_much_in_every_replica(learned, values):
    v, g = values
    for kind in (connectivity.Dense(), connectivity.Random(0.7)):
        before, p = learned(g=np.concatenate([0 * g[:2], g[2:]]), connectivity=kind)
        assert np.allclose(np.abs(p.w - before).max(axis=(1, 2)), 0.1, rtol=1e-12)


def test_none_leaves_changes_as_they_are_and_zero_keeps_the_weights(learned):
    """It may be set at any time; a rule that was made with it does without it what it would do."""
    before, plain = learned(largest_change=None)
    _, kept = learned(largest_change=0)
    assert np.array_equal(kept.w, before) and not np.array_equal(plain.w, before)


def test_bounds_decays_and_kernels_are_scaled_too(learned):
    """A factor for all weights: the largest weight falls by the size; bounds hold after changes are made larger."""
    before, decayed = learned("w += -0.001 * w / lanes", largest_change=0.01)
    largest = np.abs(before).max(axis=(1, 2))
    assert np.allclose(np.abs(decayed.w).max(axis=(1, 2)), largest - 0.03, rtol=1e-9)

    @njit
    def raised(w):
        w += 1e-3

    before, p = learned(Kernel(raised, reads=()), largest_change=0.2)
    assert np.allclose(p.w, before + 0.6)
    before, p = learned("w += 1e-6 * v_pre * drive_post * g_post", bounds=(-1, 1), largest_change=0.9)
    assert np.abs(p.w).max() == 1


def test_in_one_lane_changes_of_spikes_are_scaled(play, clock, given):
    x, h = given(3, clock=clock), given(2, order=1, clock=clock)
    p = Projection(
        x, h, "m_post = w * s_pre", {"pre": "w += 2", "post": "w -= 1"}, weights=np.zeros((3, 2)), largest_change=0.5
    )
    s = np.array([[1, 0, 1]])
    play([x, h, p], [(x, "s", s[:, None, None]), (h, "s", np.array([[0, 1]])[:, None, None])])
    assert np.allclose(p.w[0], 0.25 * np.array([[2, 1], [0, -1], [2, 1]]))


def test_what_is_not_finite_is_not_hidden():
    zero, wrong = np.zeros(2), np.array([1.0, np.nan])
    assert np.isnan(largest_difference(zero, wrong)) and largest_difference(zero, zero + 2) == 2


def test_explain_says_that_it_is_not_local(learned):
    _, p = learned()
    assert "so that the largest is 0.1: NOT LOCAL" in p.explain()
    assert "only the columns of neurons with g not 0 in any lane" in p.explain()
    p.largest_change = None
    assert "NOT LOCAL" not in p.explain()


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (-1, "a finite number of at least 0 is needed, got -1"),
        (np.inf, "got inf"),
        (np.nan, "got nan"),
        ("a", "a number is needed, got 'a'"),
        (True, "got True"),
        ([1, 2], r"got \[1, 2\]"),
        (1j, "got 1j"),
        (2 * mV, "the weights have the unit 1, 2. mV has"),
    ],
)
def test_sizes_that_are_refused(size, told, clock):
    x, h = Population(2, IN, order=0, clock=clock), Population(2, OUT, order=1, clock=clock)
    with pytest.raises(ParameterError, match=f"p.largest_change: .*{told}"):
        Projection(x, h, "drive_post = w * v_pre", RULE, weights=Uniform(1), seed=1, largest_change=size, name="p")
    with pytest.raises(ParameterError, match="p.largest_change: there is no rule whose changes could be scaled"):
        Projection(x, h, "drive_post = w * v_pre", weights=Uniform(1), seed=1, largest_change=0.1, name="p")
