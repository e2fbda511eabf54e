"""The machinery that judges claims lets through as much as it promises: error rates on null data, power on effects.

Rates lie within the binomial interval in which they would be in all but 1 of 1000 tests.
"""

import numpy as np
import pytest
from scipy import stats

from neurosim.hypotheses import power
from neurosim.hypotheses.claims import REFUTED, SUPPORTED, UNDECIDED, Claim, examine, judge
from neurosim.hypotheses.looks import SPENDING, Looks

pytestmark = pytest.mark.slow

TRIALS = 4000
LOWER = Claim("low", "lower", ("a", "b"))
TREND = Claim("up", "rising", ("a", "b", "c"), at=(0, 1, 4))
WITHIN, OVER = (Claim("go", "correlation", of) for of in (("a",), ("a", "b", "c")))


def interval(rate, trials=TRIALS):
    """Return between which rates of a binomial number lie in 99.9 % of tests."""
    return tuple(np.array(stats.binom.interval(0.999, trials, rate)) / trials)


def assert_rate(found, rate, trials=TRIALS):
    low, high = interval(rate, trials)
    assert low <= found <= high, f"{found:.4f} is not within {low:.4f} and {high:.4f}"


def rates(draw, claim, alpha=0.05, trials=TRIALS, seed=1):
    """Return the rates of significant tests of a claim and of its opposite over drawn data."""
    random = np.random.default_rng(seed)
    found = [examine(claim, draw(random), alpha) for _ in range(trials)]
    return tuple(np.mean([getattr(each, kind) <= alpha for each in found]) for kind in ("p", "opposite"))


def levels(random, means, n, sd=0.1, shared=0.3):
    """Return values of levels whose replicas share what the seed decides: d between two has a sd of sqrt(2) sd."""
    common = random.normal(0, shared, n)
    return {name: common + random.normal(mean, sd, n) for name, mean in zip("abcdef", means, strict=False)}


@pytest.mark.parametrize("n", [3, 6, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_difference_on_null_data(n, alpha):
    for rate in rates(lambda random: levels(random, (0.5, 0.5), n), LOWER, alpha):
        assert_rate(rate, alpha)


@pytest.mark.parametrize("n", [5, 20])
def test_refuted_for_less_than_the_smallest_where_it_is_just_that(n):
    claim = Claim("low", "lower", ("a", "b"), smallest=0.2)
    assert_rate(rates(lambda random: levels(random, (0.3, 0.5), n), claim)[1], 0.05)


@pytest.mark.parametrize("n", [6, 20])
@pytest.mark.parametrize("side", [-1, 1])
def test_equivalence_where_the_difference_is_the_margin(n, side):
    """The margin is six standard errors: the test at the other side is always significant, and the rate is alpha."""
    margin = 6 * np.sqrt(2) * 0.1 / np.sqrt(n)
    claim = Claim("same", "equivalent", ("a", "b"), margin=margin)
    supported, refuted = rates(lambda random: levels(random, (0.5 + side * margin, 0.5), n), claim)
    assert_rate(supported, 0.05)
    assert_rate(refuted, 0.025)  # its p is doubled, for the two sides


def test_equivalence_that_is_beyond_a_tiny_margin_is_refuted_no_more_often_than_promised():
    claim = Claim("same", "equivalent", ("a", "b"), margin=1e-6)
    supported, refuted = rates(lambda random: levels(random, (0.5, 0.5), 8), claim)
    assert supported == 0
    assert_rate(refuted, 0.05)


def test_trend_on_null_data():
    """The levels' own spread grows, as that of errors does: slopes are independent between replicas all the same."""

    def draw(random):
        found = levels(random, (0.5, 0.5, 0.5), 6)
        return found | {"c": found["c"] + random.normal(0, 0.5, 6)}

    for rate in rates(draw, TREND):
        assert_rate(rate, 0.05)


@pytest.mark.parametrize(("claim", "n"), [(WITHIN, 5), (WITHIN, 20), (OVER, 2), (OVER, 10)])
def test_correlation_on_null_data(claim, n):
    """The replicas' own means correlate by 0.9, which must not count over levels within replicas."""

    def draw(random):
        shift = random.normal(0, 1, n) if len(claim.of) > 1 else 0.0
        return {name: (shift + random.normal(0, 0.3, n), shift + random.normal(0, 0.3, n)) for name in claim.of}

    for rate in rates(draw, claim):
        assert_rate(rate, 0.05)


def family(means, correction, claims, trials=TRIALS, n=8):
    """Return how often any of the claims is supported."""
    random = np.random.default_rng(2)
    found = 0
    for _ in range(trials):
        values = levels(random, means, n)
        verdicts = judge(claims, [values] * len(claims), correction=correction)
        found += any(verdict.word == SUPPORTED for verdict in verdicts)
    return found / trials


def test_several_claims_on_null_data():
    """Three independent differences: any is supported in at most 0.05 of the files, without correction in 0.143."""
    claims = [Claim(of[0], "lower", tuple(of)) for of in ("ab", "cd", "ef")]
    means = [0.5] * 6
    for correction in ("holm", "bonferroni"):
        assert_rate(family(means, correction, claims), 1 - (1 - 0.05 / 3) ** 3)
    assert_rate(family(means, "none", claims), 1 - 0.95**3)


def test_several_claims_of_which_one_is_true():
    """Holm: once the true one is supported, the two others share alpha."""
    claims = [Claim(of[0], "lower", tuple(of)) for of in ("ab", "cd", "ef")]
    random, wrong = np.random.default_rng(3), 0
    for _ in range(TRIALS):
        values = levels(random, (0.0, 1.0, 0.5, 0.5, 0.5, 0.5), 8)
        first, *others = judge(claims, [values] * 3)
        assert first.word == SUPPORTED
        wrong += any(each.word == SUPPORTED for each in others)
    assert_rate(wrong / TRIALS, 1 - (1 - 0.025) ** 2)


def one_by_one(looks, draw, claims, trials, correction="holm", seed=4):
    """Put claims to the test look by look as a trial does; return last verdicts and the replicas it took."""
    random, ends, used = np.random.default_rng(seed), [], []
    for _ in range(trials):
        values = draw(random, looks.at[-1])
        for n in looks.at:
            own = {name: each[:n] for name, each in values.items()}
            verdicts = judge(claims, [own] * len(claims), looks=looks, correction=correction)
            if all(verdict.decided for verdict in verdicts):
                break
        ends.append([verdict.word for verdict in verdicts])
        used.append(n)
    return np.array(ends), np.array(used)


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("at", [(3, 6, 9), (5, 10, 20)])
def test_looks_on_null_data(at, spending):
    looks = Looks(at, spending)
    ends, _ = one_by_one(looks, lambda random, n: levels(random, (0.5, 0.5), n), [LOWER], 3000)
    assert_rate((ends == SUPPORTED).mean(), 0.05, 3000)
    assert_rate((ends == REFUTED).mean(), 0.05, 3000)


def test_looks_without_a_rule_would_let_more_through():
    """What the rule is for: a plain test at every look is significant in more than 0.08 of null data."""
    random, wrong = np.random.default_rng(6), 0
    for _ in range(TRIALS):
        values = levels(random, (0.5, 0.5), 20)
        found = [examine(LOWER, {name: each[:n] for name, each in values.items()}).p for n in (5, 10, 20)]
        wrong += min(found) <= 0.05
    assert wrong / TRIALS > 0.08


def test_looks_at_several_claims_and_at_equivalence():
    """Two independent claims: a difference on null data, and an equivalence where the difference is the margin."""
    looks = Looks((5, 10, 15), "pocock")
    claims = [LOWER, Claim("same", "equivalent", ("c", "d"), margin=0.4)]
    ends, _ = one_by_one(looks, lambda random, n: levels(random, (0.5, 0.5, 0.9, 0.5), n), claims, 3000)
    assert_rate((ends == SUPPORTED).any(axis=1).mean(), 1 - (1 - 0.025) ** 2, 3000)


@pytest.mark.parametrize("spending", SPENDING)
def test_power_and_replicas_with_looks(spending):
    looks, effect = Looks((5, 10, 20), spending), 0.7
    promised, replicas = looks.power(effect, 0.05)
    ends, used = one_by_one(
        looks, lambda random, n: levels(random, (-effect * np.sqrt(2) * 0.1, 0), n), [LOWER], 3000, seed=7
    )
    assert_rate((ends == SUPPORTED).mean(), promised, 3000)
    assert abs(used.mean() - replicas) < 4 * used.std() / np.sqrt(3000) + 0.1
    assert not (ends == REFUTED).all() and replicas < 20


def test_power_of_equivalence_with_looks():
    looks, margin = Looks((5, 10, 20), "pocock"), 0.9
    promised, replicas = looks.power(margin, 0.05, equivalent=True)
    claim = Claim("same", "equivalent", ("a", "b"), margin=margin * np.sqrt(2) * 0.1)
    ends, used = one_by_one(looks, lambda random, n: levels(random, (0.5, 0.5), n), [claim], 3000, seed=9)
    assert_rate((ends == SUPPORTED).mean(), promised, 3000)
    assert 0.3 < promised < power.equivalence(margin, 20, 0.05) and replicas < 20


@pytest.mark.parametrize("n", [4, 10, 30])
def test_power_of_a_difference(n):
    effect = power.detectable(power.t_test, n, 0.05)
    draw = lambda random: levels(random, (-effect * np.sqrt(2) * 0.1, 0), n)  # noqa: E731
    assert_rate(rates(draw, LOWER)[0], 0.8)


@pytest.mark.parametrize("n", [4, 10, 30])
def test_power_of_equivalence(n):
    margin = power.detectable(power.equivalence, n, 0.05) * np.sqrt(2) * 0.1
    claim = Claim("same", "equivalent", ("a", "b"), margin=margin)
    assert_rate(rates(lambda random: levels(random, (0.5, 0.5), n), claim)[0], 0.8)


def test_power_of_a_trend():
    """The slope over 0, 1, 4 of levels with sd s has a sd of s / sqrt(sum (x - mean x)^2)."""
    n, spread = 10, 0.1 / np.sqrt(26 / 3)
    slope = power.detectable(power.t_test, n, 0.05) * spread
    draw = lambda random: levels(random, (0, slope, 4 * slope), n)  # noqa: E731
    assert_rate(rates(draw, TREND)[0], 0.8)


@pytest.mark.parametrize("n", [12, 40])
def test_power_of_a_correlation(n):
    """Fisher's z is an approximation: within 0.01 of 0.8."""
    r = power.detectable(WITHIN.power, n, 0.05, most=1 - 1e-9)

    def draw(random):
        x = random.normal(0, 1, n)
        return {"a": (x, r * x + np.sqrt(1 - r * r) * random.normal(0, 1, n))}

    low, high = interval(0.8)
    assert low - 0.01 <= rates(draw, WITHIN)[0] <= high + 0.01


def test_undecided_is_what_is_left():
    """On null data with the smallest difference that matters far away, claims are refuted with the power for it."""
    n, sd = 10, np.sqrt(2) * 0.1
    claim = Claim("low", "lower", ("a", "b"), smallest=power.detectable(power.t_test, n, 0.05) * sd)
    random = np.random.default_rng(8)
    found = [judge([claim], [levels(random, (0.5, 0.5), n)])[0].word for _ in range(TRIALS)]
    assert_rate(found.count(REFUTED) / TRIALS, 0.8)
    assert found.count(UNDECIDED) + found.count(SUPPORTED) == TRIALS - found.count(REFUTED)
