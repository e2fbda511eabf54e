"""Claims judged: every test beside SciPy's or a regression, and words that follow from the tests alone."""

import numpy as np
import pytest
from scipy import stats

from neurosim.errors import ParameterError
from neurosim.hypotheses import power
from neurosim.hypotheses.claims import REFUTED, SUPPORTED, UNDECIDED, Claim, examine, judge
from neurosim.hypotheses.looks import SPENDING, Looks

RANDOM = np.random.default_rng(5)
A, B, C, D = RANDOM.normal([[1.0], [1.4], [1.9], [0.2]], 0.5, (4, 12))
LEVELS = dict(a=A, b=B, c=C, d=D)
LOWER, HIGHER = Claim("low", "lower", ("a", "b")), Claim("high", "higher", ("a", "b"))


def equivalent(margin, of=("a", "b")):
    return Claim("same", "equivalent", of, margin=margin)


def words(*claims, values=LEVELS, **more):
    return [verdict.word for verdict in judge(claims, [values] * len(claims), **more)]


# Differences


@pytest.mark.parametrize(("claim", "alternative"), [(LOWER, "less"), (HIGHER, "greater")])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_difference_is_scipys_paired_t_test(claim, alternative, alpha):
    found, theirs = examine(claim, LEVELS, alpha), stats.ttest_rel(A, B, alternative=alternative)
    interval = stats.ttest_rel(A, B).confidence_interval(1 - 2 * alpha)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-10)
    assert found.opposite == pytest.approx(1 - theirs.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found.effect == pytest.approx(stats.ttest_rel(A, B).statistic / np.sqrt(12), rel=1e-10)
    assert (found.estimate, found.n) == (pytest.approx((A - B).mean()), 12)


def test_interval_excludes_zero_just_where_the_test_is_significant():
    for seed in range(200):
        d = np.random.default_rng(seed).normal(0.3, 0.5, 8)
        found = examine(HIGHER, {"a": d, "b": np.zeros(8)}, 0.05)
        assert (found.p < 0.05) == (found.low > 0)
        assert (found.opposite < 0.05) == (found.high < 0)


def test_elements_are_levels_pairs_and_numbers():
    gap = examine(Claim("gap", "lower", (("a", "b"), ("c", "d"))), LEVELS)
    assert gap.p == pytest.approx(stats.ttest_rel(A - B, C - D, alternative="less").pvalue, rel=1e-10)
    chance = examine(Claim("chance", "lower", ("a", 0.9)), LEVELS)
    assert chance.p == pytest.approx(stats.ttest_1samp(A, 0.9, alternative="less").pvalue, rel=1e-10)


def test_smallest_difference_that_matters():
    """Refuted means significantly above -smallest: with a difference of -0.1 in its direction, and too small."""
    d = np.random.default_rng(1).normal(-0.1, 0.02, 10)
    values = {"a": d, "b": np.zeros(10)}
    too_small = Claim("low", "lower", ("a", "b"), smallest=0.3)
    found = examine(too_small, values)
    assert found.opposite == pytest.approx(stats.ttest_1samp(d, -0.3, alternative="greater").pvalue, rel=1e-8)
    assert found.p == pytest.approx(stats.ttest_1samp(d, 0, alternative="less").pvalue, rel=1e-8)
    assert words(too_small, values=values) == [REFUTED]
    assert words(Claim("low", "lower", ("a", "b"), smallest=0.05), values=values) == [SUPPORTED]
    assert words(Claim("high", "higher", ("b", "a"), smallest=0.3), values=values) == [REFUTED]
    assert words(Claim("high", "higher", ("b", "a"), smallest=0.05), values=values) == [SUPPORTED]


# Equivalence


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
def test_equivalence_is_the_larger_of_two_one_sided_tests(margin):
    found = examine(equivalent(margin), LEVELS)
    above = stats.ttest_rel(A + margin, B, alternative="greater").pvalue
    below = stats.ttest_rel(A - margin, B, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below), rel=1e-9)
    beyond = 2 * min(stats.ttest_rel(A - margin, B, alternative="greater").pvalue, 1 - above)
    assert found.opposite == pytest.approx(min(1, beyond), rel=1e-6)
    assert (found.p < 0.05) == (-margin < found.low and found.high < margin)


def test_equivalence_in_three_words():
    d = np.random.default_rng(3).normal(0.2, 0.1, 20)
    values = {"a": d, "b": np.zeros(20)}
    assert words(equivalent(0.5), values=values) == [SUPPORTED]
    assert words(equivalent(0.2), values=values) == [UNDECIDED]
    assert words(equivalent(0.05), values=values) == [REFUTED]
    assert words(equivalent(0.05, ("b", "a")), values=values) == [REFUTED]


# Trends


@pytest.mark.parametrize("at", [(), (0.5, 3.0, 1.0)])
def test_trend_is_a_t_test_of_the_slopes_by_least_squares(at):
    claim = Claim("up", "rising", ("a", "b", "c"), at=at)
    slopes = np.polyfit(at or (1, 2, 3), np.stack([A, B, C]), 1)[0]
    found = examine(claim, LEVELS)
    assert found.estimate == pytest.approx(slopes.mean(), rel=1e-9)
    assert found.p == pytest.approx(stats.ttest_1samp(slopes, 0, alternative="greater").pvalue, rel=1e-8)
    down = examine(Claim("down", "falling", ("a", "b", "c"), at=at), LEVELS)
    assert down.p == pytest.approx(found.opposite, rel=1e-8)


def test_trend_of_a_gap_is_that_of_differences():
    claim = Claim("gap", "rising", (("b", "a"), ("c", "a"), ("c", "d")), at=(1, 2, 4))
    slopes = np.polyfit((1, 2, 4), np.stack([B - A, C - A, C - D]), 1)[0]
    assert examine(claim, LEVELS).estimate == pytest.approx(slopes.mean(), rel=1e-9)


# Correlations


def metrics(levels, r=0.6, n=12, seed=2):
    """Return level to (x, y), with a replica's own shift that hides the correlation within it."""
    random = np.random.default_rng(seed)
    shift = random.normal(0, 3, n)
    found = {}
    for k in range(levels):
        x = random.normal(k, 1, n)
        found["abcd"[k]] = (x + shift, r * x + np.sqrt(1 - r * r) * random.normal(0, 1, n) - shift)
    return found


@pytest.mark.parametrize(("sign", "alternative"), [("positive", "greater"), ("negative", "less")])
def test_correlation_over_replicas_is_pearsons(sign, alternative):
    values = metrics(1)
    found = examine(Claim("go", "correlation", ("a",), sign=sign), values)
    theirs = stats.pearsonr(*values["a"], alternative=alternative)
    interval = stats.pearsonr(*values["a"]).confidence_interval(0.9)
    assert (found.estimate, found.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.opposite == pytest.approx(1 - theirs.pvalue, rel=1e-9)


def test_correlation_over_levels_is_that_of_a_regression_with_a_term_for_every_replica():
    values = metrics(3)
    x, y = (np.concatenate([values[name][k] for name in "abc"]) for k in (0, 1))
    replica = np.tile(np.arange(12), 3)
    full = np.column_stack([x, replica[:, None] == np.arange(12)])
    residual = {}
    for name, design in (("full", full), ("without x", full[:, 1:])):
        residual[name] = ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()
    df = 36 - 12 - 1
    f = (residual["without x"] - residual["full"]) / (residual["full"] / df)
    found = examine(Claim("go", "correlation", ("a", "b", "c"), sign="positive"), values)
    assert found.p == pytest.approx(stats.f.sf(f, 1, df) / 2, rel=1e-8)
    assert found.estimate**2 == pytest.approx(1 - residual["full"] / residual["without x"], rel=1e-8)
    assert found.estimate > 0 > stats.pearsonr(x, y).statistic  # which the replicas' shifts turn around
    assert words(Claim("go", "correlation", ("a", "b", "c"), sign="negative"), values=values) == [REFUTED]


def test_smallest_correlation_that_matters():
    values = metrics(4, r=0.3, n=200)
    claim = Claim("go", "correlation", ("a", "b", "c", "d"), sign="positive", smallest=0.8)
    assert examine(claim, values).p < 1e-6
    assert words(claim, values=values) == [REFUTED]


def test_metric_that_is_the_same_everywhere_has_no_correlation():
    found = examine(Claim("go", "correlation", ("a",)), {"a": (A, np.ones(12))})
    assert np.isnan(found.p) and "the same everywhere" in found.said


# What cannot be tested, and what is exact


def test_replicas_without_a_number_keep_a_claim_from_being_judged_unless_they_are_dropped():
    broken = {**LEVELS, "a": np.where(np.arange(12) == 3, np.nan, A), "b": np.where(np.arange(12) == 5, np.inf, B)}
    found = examine(LOWER, broken)
    assert np.isnan(found.p) and found.without == 2 and "2 of 12 replicas have no number" in found.said
    assert words(LOWER, values=broken) == [UNDECIDED]
    kept = np.isfinite(broken["a"]) & np.isfinite(broken["b"])
    found = examine(LOWER, broken, drop=True)
    assert (found.n, found.without) == (10, 2)
    assert found.p == pytest.approx(stats.ttest_rel(A[kept], B[kept], alternative="less").pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("claim", "least"),
    [
        (LOWER, 2),
        (equivalent(1), 2),
        (Claim("up", "rising", ("a", "b", "c")), 2),
        (Claim("go", "correlation", ("a",)), 4),
        (Claim("go", "correlation", ("a", "b")), 3),
        (Claim("go", "correlation", ("a", "b", "c")), 2),
    ],
)
def test_fewest_replicas(claim, least):
    values = metrics(3) if claim.predicts == "correlation" else LEVELS
    cut = {name: np.asarray(each)[..., :least] for name, each in values.items()}
    found = examine(claim, cut)
    assert np.isfinite([found.p, found.low, found.high]).all() and found.n == least
    less = examine(claim, {name: each[..., :-1] for name, each in cut.items()})
    assert np.isnan(less.p) and less.said == f"{least - 1} replicas are too few: the test needs {least}"


def test_levels_that_are_identical_are_equivalent_and_not_lower():
    same = {"a": A, "b": A.copy()}
    assert words(equivalent(0.01), LOWER, values=same) == [SUPPORTED, UNDECIDED]
    assert "exactly the border" in examine(LOWER, same).said
    assert words(Claim("low", "lower", ("a", "b"), smallest=0.1), values=same) == [REFUTED]


def test_difference_that_is_the_same_in_every_replica():
    shifted = {"a": A, "b": A + 0.3}
    found = examine(LOWER, shifted)
    assert (found.p, found.opposite, found.effect, found.sd) == (0, 1, -np.inf, 0)
    assert words(LOWER, HIGHER, equivalent(0.2), equivalent(0.4), values=shifted) == [
        SUPPORTED, REFUTED, REFUTED, SUPPORTED,
    ]  # fmt: skip
    at_border = examine(equivalent(0.3), shifted)
    assert np.isnan(at_border.p)


def test_levels_with_other_numbers_of_replicas_are_refused():
    with pytest.raises(ParameterError, match="as many replicas"):
        examine(LOWER, {"a": A, "b": B[:-1]})


# Several claims


def test_correction_for_several_claims():
    """Three claims with p near 0.02 each: alone supported, by Bonferroni and Holm not."""
    d = stats.t.isf(0.02, 11) / np.sqrt(12) + stats.zscore(A, ddof=1)
    values = {"a": d, "b": np.zeros(12)}
    claims = [Claim(name, "higher", ("a", "b")) for name in "xyz"]
    assert words(*claims, values=values, correction="none") == [SUPPORTED] * 3
    assert words(*claims, values=values, correction="bonferroni") == [UNDECIDED] * 3
    assert words(*claims, values=values, correction="holm") == [UNDECIDED] * 3
    clear = {"a": d + 5, "b": np.zeros(12)}
    three = judge(claims, [values, clear, clear], correction="holm")
    assert [each.word for each in three] == [SUPPORTED] * 3  # 0.02 is then compared with alpha itself
    three = judge(claims, [values, clear, clear], correction="bonferroni")
    assert [each.word for each in three] == [UNDECIDED, SUPPORTED, SUPPORTED]


def test_claim_that_cannot_be_tested_is_counted():
    d = stats.t.isf(0.03, 11) / np.sqrt(12) + stats.zscore(A, ddof=1)
    values, broken = {"a": d, "b": np.zeros(12)}, {"a": np.full(12, np.nan), "b": B}
    claims = [Claim(name, "higher", ("a", "b")) for name in "xy"]
    first, second = judge(claims, [values, broken])
    assert (first.word, second.word) == (UNDECIDED, UNDECIDED)
    assert first.p == pytest.approx(0.06) and np.isnan(second.p)


# Power


def test_power_of_published_examples():
    """G*Power: a paired one-sided t-test of d_z = 0.5 at 0.05 needs 27 pairs, with a power of 0.8118."""
    assert power.needed(power.t_test, 0.5, 0.05) == 27
    assert power.t_test(0.5, 27, 0.05) == pytest.approx(0.8118, abs=5e-5)
    assert power.t_test(0.0, 10, 0.05) == pytest.approx(0.05)
    assert power.correlation(0.0, 48, 0.05) == pytest.approx(0.05, abs=0.003)
    assert power.correlation(0.3, 48, 0.025) == pytest.approx(0.5716, abs=5e-4)  # R's pwr.r.test, two-sided 0.05


def test_power_of_equivalence_for_many_replicas_is_that_of_normal_tests():
    """n = ((z_0.95 + z_0.9) sd / margin)^2 (Lakens 2017, eq. for a true difference of zero), 856 for a margin 0.1."""
    assert power.needed(power.equivalence, 0.1, 0.05) == pytest.approx(((1.644854 + 1.281552) / 0.1) ** 2, rel=2e-3)
    assert power.equivalence(0.05, 5, 0.05) < 0.05  # a margin too narrow for the test to be significant at all


@pytest.mark.parametrize(("margin", "n"), [(1.5, 4), (1.0, 10)])
def test_power_of_equivalence_for_few_replicas_is_that_of_drawn_data(margin, n):
    d = np.random.default_rng(4).normal(0, 1, (40_000, n))
    error = d.std(axis=1, ddof=1) / np.sqrt(n)
    significant = np.abs(d.mean(axis=1)) + stats.t.isf(0.05, n - 1) * error < margin
    assert power.equivalence(margin, n, 0.05) == pytest.approx(significant.mean(), abs=0.01)


@pytest.mark.parametrize("test", [power.t_test, power.equivalence])
def test_detectable_and_needed_belong_together(test):
    for n in (3, 8, 30):
        effect = power.detectable(test, n, 0.025)
        assert test(effect, n, 0.025) == pytest.approx(0.8, abs=1e-6)
        assert power.needed(test, effect * 1.0001, 0.025) == n


@pytest.mark.parametrize("alpha", [1e-6, 0.0125, 0.4999])
@pytest.mark.parametrize("n", [2, 3, 1000])
def test_power_has_no_holes(alpha, n):
    for test in (power.t_test, power.equivalence):
        found = [test(effect, n, alpha) for effect in (1e-9, 0.01, 0.1, 1, 10, 100, 1000)]
        assert np.isfinite(found).all() and (np.diff(found) > -1e-9).all(), (test, found)
        effect = power.detectable(test, n, alpha)
        assert np.isnan(effect) or test(effect, n, alpha) == pytest.approx(0.8, abs=1e-4)
    found = [power.correlation(r, n + 1, alpha) for r in (1e-9, 0.1, 0.9, 1 - 1e-12)]
    assert np.isfinite(found).all() and (np.diff(found) > -1e-9).all()


def test_power_after_a_run_is_for_what_the_file_states():
    claim = Claim("low", "lower", ("a", "b"), smallest=0.4)
    (verdict,) = judge([claim], [LEVELS])
    sd = (A - B).std(ddof=1)
    assert verdict.power == pytest.approx(power.t_test(0.4 / sd, 12, 0.05))
    assert power.t_test(verdict.detectable / sd, 12, 0.05) == pytest.approx(0.8, abs=1e-6)
    (verdict,) = judge([LOWER], [LEVELS])
    assert np.isnan(verdict.power) and verdict.detectable > 0
    first, _ = judge([claim, claim], [LEVELS] * 2)
    assert first.power == pytest.approx(power.t_test(0.4 / sd, 12, 0.025))


# Looks


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_levels_for_many_replicas_are_the_published_ones(spending, published):
    """Lan & DeMets: five equal looks, one-sided 0.025, as z; the t statistics of thousands are normal."""
    levels = Looks(tuple(2000 * k for k in range(1, 6)), spending).levels(0.025)
    assert stats.norm.isf(levels) == pytest.approx(published, abs=0.025)


def test_levels_are_less_than_alpha_and_one_look_is_the_plain_test():
    for spending in SPENDING:
        levels = Looks((4, 8, 12), spending).levels(0.05)
        assert (levels < 0.05).all()
        assert Looks((12,), spending).levels(0.05) == pytest.approx([0.05], rel=1e-9)
    early, late = (Looks((4, 8, 12), spending).levels(0.05) for spending in SPENDING)
    assert early[0] < late[0] and early[-1] > late[-1]


def test_p_value_over_looks_is_not_above_alpha_just_where_a_level_is_reached():
    looks = Looks((4, 8, 12), "pocock")
    for alpha in (0.01, 0.05, 0.2):
        levels = looks.levels(alpha)
        for k in range(3):
            others = [0.6] * k
            assert looks.p_value([*others, levels[k] * 0.97]) < alpha
            assert alpha < looks.p_value([*others, levels[k] * 1.03])
    assert looks.p_value([1e-3, 0.2, 0.3]) == looks.p_value([1e-3]) < looks.p_value([0.2])
    assert looks.p_value([0.9]) == 1 and looks.p_value([np.nan]) == 1
    assert looks.p_value([1e-12]) == pytest.approx(1e-4)


def test_what_is_significant_at_a_look_stays_so():
    looks = Looks((6, 12), "pocock")
    d = np.concatenate([np.linspace(0.9, 1.1, 6), np.linspace(-3, 1, 6)])
    values = {"a": d, "b": np.zeros(12)}
    (early,) = judge([HIGHER], [{name: each[:6] for name, each in values.items()}], looks=looks)
    (late,) = judge([HIGHER], [values], looks=looks)
    assert (early.word, early.decided, early.finding.n) == (SUPPORTED, 1, 6)
    assert (late.word, late.decided, late.finding.n) == (SUPPORTED, 1, 12)
    assert late.finding.p > 0.3 and late.p == early.p
    assert words(HIGHER, values=values) == [UNDECIDED]


def test_looks_that_cannot_be():
    for at in ((), (1, 5), (5, 5), (8, 4)):
        with pytest.raises(ParameterError, match="ascending numbers of replicas"):
            Looks(at)
    with pytest.raises(ParameterError, match="0.0001 or more"):
        Looks((5, 10)).levels(1e-5)
