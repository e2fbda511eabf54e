"""Claims judged: tests of differences, equivalence, trends and correlations over replicas. No files, no runs.

Replica r of one level and replica r of another are a pair: the same seed and the same order of examples. Each claim is
brought down to one number a replica, d, whose mean is tested by one-sided t-tests with n - 1 degrees of freedom:

    lower, higher      d = a - b of two levels
    equivalent         d = a - b; two one-sided tests against -margin and +margin (TOST)
    rising, falling    d = sum (x - mean x) y / sum (x - mean x)^2, the slope over levels with the numbers x

    correlation        r of two metrics: Pearson's over replicas, or over levels within replicas (repeated measures),
                       which is that without each replica's own mean, with replicas (levels - 1) - 1 degrees

In the place of a level there can be a pair of levels, for their difference (the trend of a gap), or a number.

A claim is *supported* where its test is significant, *refuted* where the opposite is, and *undecided* otherwise. The
opposite of lower is higher, that of equivalent a difference beyond the margin (on either side: its p is doubled).
Where a file says the ``smallest`` difference (slope, correlation) that matters, the opposite is that the true one is
less than that: a claim can be refuted by a difference that is significant and too small to matter.

Intervals are two-sided at 1 - 2 alpha: they exclude zero, or lie inside the margin, just where the one-sided test at
alpha is significant. They are not corrected for the number of claims nor for early stopping; p values are.

Sources: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680, and Lakens 2017, Soc. Psychol. Personal. Sci.
8:355-362 (equivalence); Holm 1979, Scand. J. Stat. 6:65-70 (several claims); Bakdash & Marusich 2017, Front. Psychol.
8:456 (repeated measures correlation); Liu & Anderson 2008, J. Am. Stat. Assoc. 103:1621-1630 (p values over looks).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from neurosim.analysis import holm
from neurosim.errors import ParameterError
from neurosim.hypotheses import power

DIFFERENCES, TRENDS = ("lower", "higher"), ("rising", "falling")
PREDICTIONS = (*DIFFERENCES, "equivalent", *TRENDS, "correlation")
CORRECTIONS = ("holm", "bonferroni", "none")
SIGNS = ("positive", "negative")
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"
ROUNDING = 1e-13  # of a subtraction


@dataclass(frozen=True)
class Claim:
    """What a file predicts, in terms of its levels.

    Parameters
    ----------
    name : str
        A line of words.
    predicts : str
        One of "lower", "higher", "equivalent", "rising", "falling", "correlation".
    of : tuple
        Levels: names, pairs of names for their difference, or numbers. Two for a difference and for equivalence, at
        least three for a trend, one or more names for a correlation.
    margin : float, optional
        Of equivalence, in units of the metric.
    smallest : float, optional
        Smallest difference, slope or correlation that matters, without sign.
    at : tuple of float
        The numbers of a trend's levels; 1, 2, ... if left out.
    over : str
        What these numbers are.
    sign : {"positive", "negative"}
        Of a correlation.
    """

    name: str
    predicts: str
    of: tuple
    margin: float | None = None
    smallest: float | None = None
    at: tuple = ()
    over: str = "level"
    sign: str = "positive"

    @property
    def direction(self):
        """1 where the predicted number is positive, -1 where it is negative."""
        return -1 if self.predicts in ("lower", "falling") or self.sign == "negative" else 1

    @property
    def levels(self):
        """Names of the levels, each once."""
        names = [name for each in self.of for name in (each if isinstance(each, tuple) else (each,))]
        return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))

    @property
    def numbers(self):
        """The numbers of a trend's levels."""
        return self.at or tuple(range(1, len(self.of) + 1))

    @property
    def stated(self):
        """The smallest difference or the margin, whichever the claim has."""
        return self.margin if self.predicts == "equivalent" else self.smallest

    @property
    def least(self):
        """The number of replicas that the test needs at least."""
        if self.predicts != "correlation":
            return 2
        return 4 if len(self.of) == 1 else max(2, -(-3 // (len(self.of) - 1)))

    def degrees(self, n):
        """Degrees of freedom with n replicas."""
        if self.predicts != "correlation":
            return n - 1
        return n - 2 if len(self.of) == 1 else n * (len(self.of) - 1) - 1

    def power(self, effect, n, alpha):
        """Return the power with n replicas for an effect: d_z, a correlation, or margin / sd of a true difference 0."""
        if self.predicts == "correlation":
            return power.correlation(min(effect, 1 - 1e-12), self.degrees(n), alpha)
        return (power.equivalence if self.predicts == "equivalent" else power.t_test)(effect, n, alpha)

    def points(self, values):
        """Return one row a replica with the value of each element of ``of``, shape (replicas, len(of)).

        Parameters
        ----------
        values : dict of str to array_like (replicas,)
            By level.
        """
        named = {name: np.asarray(values[name], float) for name in self.levels}
        shapes = {name: each.shape for name, each in named.items()}
        if len(set(shapes.values())) != 1 or any(each.ndim != 1 for each in named.values()):
            raise ParameterError(f"{self.name}: levels need as many replicas as one another, got shapes {shapes}")
        n = len(next(iter(named.values())))

        def of_one(each):
            if isinstance(each, tuple):
                return of_one(each[0]) - of_one(each[1])
            return named[each] if isinstance(each, str) else np.full(n, float(each))

        return np.stack([of_one(each) for each in self.of], axis=1)


@dataclass(frozen=True)
class Finding:
    """What one test found.

    Attributes
    ----------
    estimate, low, high : float
        Mean difference, slope or correlation, with its interval at 1 - 2 alpha.
    p, opposite : float
        One-sided p values of the claim and of its opposite; nan where there is no test.
    effect : float
        ``d_z = mean(d) / sd(d)`` (infinite where all d are one number other than 0), or the correlation.
    sd : float
        Standard deviation of d; nan for a correlation.
    n : int
        Replicas in the test.
    without : int
        Replicas that have no number in some level.
    said : str
        Why there is no test.
    """

    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    opposite: float = np.nan
    effect: float = np.nan
    sd: float = np.nan
    n: int = 0
    without: int = 0
    said: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim judged.

    Attributes
    ----------
    claim : Claim
    word : {"supported", "refuted", "undecided"}
    finding : Finding
        At the last look.
    p, opposite : float
        Corrected for the number of claims and, where there are looks, for those.
    looks : tuple of Finding
        All looks so far; one without a rule to stop early.
    decided : int or None
        The number of the look, from 1, at which the word came up; None while it is undecided.
    level : float
        At which power is computed.
    """

    claim: Claim
    word: str
    finding: Finding
    p: float
    opposite: float
    looks: tuple
    decided: int | None
    level: float

    @property
    def power(self):
        """Power for the stated margin or smallest effect with the sd found and n replicas; nan if none is stated."""
        unit = self._unit
        if self.claim.stated is None or np.isnan(unit):
            return np.nan
        return self.claim.power(self.claim.stated / unit, self.finding.n, self.level)

    @property
    def detectable(self):
        """Difference, slope, correlation or margin that n replicas with the sd found show with a power of 0.8."""
        unit = self._unit
        if np.isnan(unit):
            return np.nan
        most = 1 - 1e-12 if self.claim.predicts == "correlation" else 1e3
        return unit * power.detectable(self.claim.power, self.finding.n, self.level, most=most)

    @property
    def _unit(self):
        """What an effect of 1 is: a standard deviation, or a correlation of 1; nan where there was no test."""
        if self.claim.predicts == "correlation" and not np.isnan(self.finding.p):
            return 1.0
        return self.finding.sd if self.finding.sd > 0 else np.nan


def examine(claim, values, alpha=0.05, drop=False):
    """Test one claim.

    Parameters
    ----------
    claim : Claim
        What is claimed.
    values : dict
        Level to values (replicas,); for a correlation level to a pair of such, x and y.
    alpha : float
        Decides the interval.
    drop : bool
        Leave out replicas without a number in some level (they diverged, or never came to a level of error). They are
        seldom missing by chance: otherwise they keep the claim from being judged.

    Returns
    -------
    Finding
        Without p values where replicas lack, are too few, or do not differ from a border at all.

    Examples
    --------
    >>> claim = Claim("a is lower", "lower", ("a", "b"))
    >>> found = examine(claim, {"a": [1.0, 2.0, 4.0], "b": [2.0, 3.5, 5.2]})
    >>> round(found.estimate, 3), round(found.p, 4)
    (-1.233, 0.0068)
    """
    if claim.predicts == "correlation":
        x, y = (claim.points({name: values[name][k] for name in claim.levels}) for k in (0, 1))
        rows = np.stack([x, y], axis=2)
    else:
        rows = claim.points(values)
    whole = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    without, n = int((~whole).sum()), int(whole.sum())
    if without and not drop:
        said = f'{without} of {len(rows)} replicas have no number; diverged = "drop" would leave them out'
        return Finding(n=n, without=without, said=said)
    if n < claim.least:
        return Finding(n=n, without=without, said=f"{n} replicas are too few: the test needs {claim.least}")
    rows = rows[whole]
    if claim.predicts == "correlation":
        return _correlation(claim, rows[..., 0], rows[..., 1], alpha, without)
    if claim.predicts in TRENDS:
        x = np.array(claim.numbers) - np.mean(claim.numbers)
        d, size = rows @ x / (x @ x), np.abs(rows).max() * np.abs(x).sum() / (x @ x)
    else:
        d, size = rows[:, 0] - rows[:, 1], np.abs(rows).max()
    return _mean(claim, d, alpha, without, max(ROUNDING * size, 1e-150))


def _mean(claim, d, alpha, without, rounding):
    """Test the mean of d, one number a replica."""
    n, mean, sd = len(d), float(d.mean()), float(d.std(ddof=1))
    if np.ptp(d) <= rounding:
        sd = 0.0
        mean = 0.0 if abs(mean) <= rounding else mean
    error = sd / np.sqrt(n)

    def above(border):
        """Return the p value of ``mean(d) > border``."""
        if error == 0:
            return np.nan if abs(mean - border) <= rounding else float(mean < border)
        return float(stats.t.sf((mean - border) / error, n - 1))

    def below(border):
        return 1 - above(border) if error == 0 else float(stats.t.cdf((mean - border) / error, n - 1))

    if claim.predicts == "equivalent":
        p = float(np.maximum(above(-claim.margin), below(claim.margin)))  # nan if one is
        opposite = min(1.0, 2 * float(np.fmin(above(claim.margin), below(-claim.margin))))
    else:
        smallest = claim.smallest or 0.0
        p = above(0.0) if claim.direction > 0 else below(0.0)
        opposite = below(smallest) if claim.direction > 0 else above(-smallest)
    half = float(stats.t.isf(alpha, n - 1)) * error
    effect = mean / sd if sd else np.sign(mean) * np.inf if mean else 0.0
    said = "all replicas give exactly the border that is tested" if np.isnan(p) and np.isnan(opposite) else ""
    return Finding(mean, mean - half, mean + half, p, opposite, effect, sd, n, without, said)


def _correlation(claim, x, y, alpha, without):
    """Test the correlation of x and y, (replicas, levels): within replicas where there are several levels."""
    n, df = len(x), claim.degrees(len(x))
    axis = 0 if x.shape[1] == 1 else 1
    x, y = x - x.mean(axis=axis, keepdims=True), y - y.mean(axis=axis, keepdims=True)
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    if not scale > 0:
        return Finding(n=n, without=without, said="a metric is the same everywhere: there is no correlation")
    r = float(np.clip((x * y).sum() / scale, -1, 1))
    toward = claim.direction * r
    with np.errstate(divide="ignore"):
        p = float(stats.t.sf(toward * np.sqrt(df / np.float64(1 - r * r)), df))
        z = np.arctanh(r)
        half = stats.norm.isf(alpha) / np.sqrt(df - 1)
        opposite = 1 - p
        if claim.smallest:
            opposite = float(stats.norm.cdf((np.arctanh(toward) - np.arctanh(claim.smallest)) * np.sqrt(df - 1)))
    low, high = np.tanh([z - half, z + half])
    return Finding(r, float(low), float(high), p, opposite, r, np.nan, n, without)


def judge(claims, values, alpha=0.05, correction="holm", drop=False, looks=None):
    """Judge the claims of a file.

    Parameters
    ----------
    claims : sequence of Claim
        All of the file: the correction counts those too that cannot be tested.
    values : sequence of dict
        For each claim as :func:`examine` takes them, with all replicas so far.
    alpha : float
        The level: each claim's test for "holm" and "bonferroni" keeps the probability of any wrong "supported" within
        it, and that of any wrong "refuted"; "none" keeps it for each claim.
    correction : {"holm", "bonferroni", "none"}
        For the number of claims.
    drop : bool
        See :func:`examine`.
    looks : neurosim.hypotheses.looks.Looks, optional
        The rule to stop early: p values are then over the looks that the replicas so far are enough for. What was
        significant at a look stays so. Estimates are of the last look, and tend to be too large where one stops early.

    Returns
    -------
    tuple of Verdict
    """
    counts = [None] if looks is None else [n for n in looks.at if n <= _replicas(claims[0], values[0])]
    series = [
        [examine(claim, _first(claim, own, n), alpha, drop) for n in counts]
        for claim, own in zip(claims, values, strict=True)
    ]

    def corrected(kind, k):
        """Return corrected p values after look k."""
        each = [[getattr(found, kind) for found in own[: k + 1]] for own in series]
        raw = np.array([own[-1] if looks is None else looks.p_value(own) for own in each])
        lacking = np.isnan(raw)
        filled = np.where(lacking, 1.0, raw)
        found = {"holm": holm(filled), "bonferroni": np.minimum(1, filled * len(claims)), "none": filled}[correction]
        return np.where(lacking, np.nan, found)

    words, decided = [UNDECIDED] * len(claims), [None] * len(claims)
    for k in range(len(counts)):
        p, opposite = corrected("p", k), corrected("opposite", k)
        for i in range(len(claims)):
            word = REFUTED if opposite[i] <= alpha else SUPPORTED if p[i] <= alpha else UNDECIDED
            if word != UNDECIDED and words[i] == UNDECIDED:
                words[i], decided[i] = word, k + 1
    at = level(alpha, len(claims), correction)
    if looks is not None:
        at = float(looks.levels(at)[len(counts) - 1])
    return tuple(
        Verdict(claim, words[i], series[i][-1], float(p[i]), float(opposite[i]), tuple(series[i]), decided[i], at)
        for i, claim in enumerate(claims)
    )


def level(alpha, claims, correction):
    """Return the level at which power is computed: alpha, divided by the number of claims where that is corrected for.

    For Holm's correction this is the level of the smallest p value, and the power of the others is more.
    """
    return alpha if correction == "none" else alpha / claims


def _replicas(claim, values):
    first = values[claim.levels[0]]
    return len(first[0] if claim.predicts == "correlation" else first)


def _first(claim, values, n):
    """Return the values of the first n replicas, all for None."""
    if claim.predicts == "correlation":
        return {name: tuple(np.asarray(each)[:n] for each in values[name]) for name in claim.levels}
    return {name: np.asarray(values[name])[:n] for name in claim.levels}
