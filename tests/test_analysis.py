"""Statistics are those of SciPy and of the cited papers, and say nan, not nonsense, where there are too few values."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neurosim.analysis import angle, holm, mean_interval, paired
from neurosim.errors import ParameterError

RNG = np.random.default_rng(4)
A, B = RNG.normal(0.03, 0.004, 12), RNG.normal(0.028, 0.004, 12)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Paired comparisons


def test_paired_is_scipys_paired_t_test_with_its_interval():
    found, reference = paired(A, B), stats.ttest_rel(A, B)
    interval = reference.confidence_interval(0.95)
    assert (found.t, found.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.difference, found.n) == (pytest.approx(np.mean(A - B)), 12)
    narrow, wide = paired(A, B, confidence=0.5), reference.confidence_interval(0.5)
    assert (narrow.low, narrow.high) == pytest.approx((wide.low, wide.high))


def test_effect_is_the_mean_difference_in_its_standard_deviations():
    """Lakens 2013: d_z = mean(d) / sd(d), which is t / sqrt(n); by hand d = 1, 2, 3 has mean 2 and deviation 1."""
    assert paired([3, 4, 8], [2, 2, 5]).effect == pytest.approx(2)
    found = paired(A, B)
    assert found.effect == pytest.approx(found.t / math.sqrt(12))


def test_pairing_removes_what_replicas_share():
    shared = RNG.normal(size=12)
    alone, together = stats.ttest_ind(A + shared, B + shared).pvalue, paired(A + shared, B + shared)
    assert together.p == pytest.approx(paired(A, B).p) and together.p < alone


def test_swapping_conditions_turns_signs_only():
    ours, swapped = paired(A, B), paired(B, A)
    assert (swapped.difference, swapped.low, swapped.high) == pytest.approx((-ours.difference, -ours.high, -ours.low))
    assert (swapped.t, swapped.effect, swapped.p) == pytest.approx((-ours.t, -ours.effect, ours.p))


def test_pairs_that_are_not_whole_are_dropped():
    a, b = np.r_[A, np.nan, 1.0, np.inf], np.r_[B, 1.0, np.nan, 0.0]
    assert paired(a, b) == paired(A, B)


def test_one_pair_has_a_difference_only_and_none_has_nothing():
    one = paired([0.5, np.nan], [0.25, 1])
    assert (one.difference, one.n) == (0.25, 1)
    assert np.isnan([one.low, one.high, one.t, one.p, one.effect]).all()
    none = paired([], [])
    assert none.n == 0 and np.isnan([none.difference, none.low, none.high, none.t, none.p, none.effect]).all()


@pytest.mark.parametrize("shift", [0.1, -0.1, 1e6])
def test_constant_difference_is_certain_even_where_subtraction_rounds(shift):
    values = np.array([0.3, 0.2, 0.7, 0.1])
    found = paired(values + shift, values)
    assert (found.p, found.t, found.effect) == (0, math.copysign(math.inf, shift), math.copysign(math.inf, shift))
    assert (found.low, found.difference, found.high) == (pytest.approx(shift),) * 3


@pytest.mark.parametrize("noise", [0, 1e-17])
def test_no_difference_at_all_is_no_test(noise):
    values = np.array([0.03, 0.02, 0.07])
    found = paired(values + noise, values)
    assert (found.low, found.difference, found.high) == pytest.approx((0, 0, 0), abs=1e-15)
    assert np.isnan([found.t, found.p, found.effect]).all()


numbers = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.1, 0.1 + 1e-16, 1 + 5e-15, 1e-308, 1e-160])


@given(st.lists(st.tuples(numbers, numbers), max_size=6))
def test_paired_never_warns_and_is_consistent(pairs):
    found = paired([a for a, _ in pairs], [b for _, b in pairs])
    assert found.n == sum(math.isfinite(a) and math.isfinite(b) for a, b in pairs)
    if found.n > 1:
        assert found.low <= found.difference <= found.high
        assert math.isnan(found.p) or (0 <= found.p <= 1 and np.sign(found.t) == np.sign(found.effect))


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1, 2, 3]), ([[1, 2]], [[1, 2]]), (1, 2)])
def test_lists_that_do_not_pair_are_refused(a, b):
    with pytest.raises(ParameterError, match="two lists of one length"):
        paired(a, b)


# Several comparisons


def test_holm_by_hand():
    """0.01 is taken times 3, 0.02 times 2; 0.03 is taken once but no p may fall below the one before it."""
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])


def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_order():
    p = RNG.uniform(0, 0.3, 9)
    corrected = holm(p)
    assert (p <= corrected).all() and (corrected <= np.minimum(1, 9 * p)).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all() and corrected[p.argmin()] == pytest.approx(9 * p.min())


def test_holm_does_not_count_what_was_not_tested():
    np.testing.assert_array_equal(holm([np.nan, 0.25, np.nan, 0.125]), [np.nan, 0.25, np.nan, 0.25])
    assert holm([0.7, 0.9]).tolist() == [1, 1] and holm([]).size == 0 and holm([0.3]).tolist() == [0.3]


def test_holm_keeps_the_chance_of_any_false_finding_below_the_level():
    """Of five true null hypotheses, any is rejected in at most 5 % of 4000 families, uncorrected in 23 %."""
    families = RNG.uniform(size=(4000, 5))
    false = np.mean([holm(p).min() < 0.05 for p in families])
    assert false < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000) and (families.min(axis=1) < 0.05).mean() > 0.2


# Intervals and angles


def test_interval_is_scipys_and_is_cut_at_borders():
    found = mean_interval(A)
    half = stats.t.ppf(0.975, 11) * A.std(ddof=1) / math.sqrt(12)
    assert (found.mean, found.low, found.high) == pytest.approx((A.mean(), A.mean() - half, A.mean() + half))
    assert mean_interval([0.01, 0.3], within=(0, 1)).low == 0
    assert mean_interval([np.nan, 1.0, 3.0]).n == 2 and mean_interval([]).n == 0


@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.01, 100))
def test_angle_is_blind_to_length_and_supplements_where_one_vector_turns(n, seed, scale):
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    assert angle(scale * a, b) == pytest.approx(angle(a, b))
    assert angle(a, -b) == pytest.approx(180 - angle(a, b))
