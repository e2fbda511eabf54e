"""Arrays to numbers: angles, intervals, paired comparisons. No plotting."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from neurosim.errors import ParameterError


def angle(a, b, axis=-1):
    """Return the angle between vectors, in degrees: ``acos(a.b / (|a| |b|))``.

    Parameters
    ----------
    a, b : array_like
        Vectors along ``axis``; the other axes broadcast.
    axis : int
        The axis of the vectors' elements.

    Returns
    -------
    ndarray
        Angles between 0 and 180 degrees; nan where a vector is zero.

    Notes
    -----
    Lillicrap et al. 2016, Methods, 'Angle measures'.

    Examples
    --------
    >>> float(angle([1, 0], [0, 2]))
    90.0
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    norms = np.linalg.norm(a, axis=axis) * np.linalg.norm(b, axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.sum(a * b, axis=axis) / norms
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def angle_of_ways(forward, backward):
    """Return the angle between the weights of one way and those of the way back, transposed, (replicas,), in degrees.

    Parameters
    ----------
    forward, backward : arrays (replicas, n, m) and (replicas, m, n)
        W and R: 0 degrees where R is proportional to W^T.
    """
    back = np.swapaxes(backward, 1, 2)
    return angle(np.reshape(forward, (len(forward), -1)), back.reshape(len(back), -1))


@dataclass(frozen=True)
class Interval:
    """A mean over replicas with its confidence interval (nan bounds for a single replica)."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values, confidence=0.95, within=(-np.inf, np.inf)):
    """Return mean and Student-t confidence interval of independent values, as those of replicas.

    The interval is cut at the borders ``within`` which the values can lie, as 0 and 1 for an error.

    Examples
    --------
    >>> mean_interval([1.0, 3.0]).mean
    2.0
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, np.nan, np.nan, 1)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean, values.size)
    low, high = stats.t.interval(confidence, values.size - 1, loc=mean, scale=stats.sem(values))
    low, high = np.clip([low, high], *within)
    return Interval(mean, float(low), float(high), int(values.size))


@dataclass(frozen=True)
class Paired:
    """A mean difference of paired values: interval, t and p of the paired t-test, effect size, number of pairs."""

    difference: float
    low: float
    high: float
    n: int
    t: float
    p: float
    effect: float


def paired(a, b, confidence=0.95):
    """Compare two conditions replica by replica, by the mean of ``d = a - b``.

    The interval is Student's, ``mean(d) -+ t_(n-1) sd(d) / sqrt(n)``; p is that of the two-sided paired t-test; the
    effect size is ``d_z = mean(d) / sd(d)``, which is ``t / sqrt(n)``.

    Parameters
    ----------
    a, b : array_like, shape (replicas,)
        Replica r of one is paired with replica r of the other; a pair with a value that is not finite is dropped.
    confidence : float
        Of the interval.

    Returns
    -------
    Paired
        For one pair the difference alone, the rest is nan; without a pair all is nan. Where all differences are the
        same up to rounding, sd(d) counts as zero: the interval is the difference itself, p is 0 and ``t`` and
        ``effect`` are infinite, or nan all three where the difference is zero.

    Raises
    ------
    ParameterError
        If a and b are not lists of one length.

    Notes
    -----
    d_z: Lakens 2013, Front. Psychol. 4:863, doi:10.3389/fpsyg.2013.00863, within-subjects designs.

    Examples
    --------
    >>> found = paired([3.0, 4.0, 8.0], [2.0, 2.0, 5.0])
    >>> found.difference, found.effect, round(found.p, 4)
    (2.0, 2.0, 0.0742)
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ParameterError(f"paired: two lists of one length are needed, got shapes {a.shape} and {b.shape}")
    whole = np.isfinite(a) & np.isfinite(b)
    a, b = a[whole], b[whole]
    d, n = a - b, int(whole.sum())
    if n < 2:
        return Paired(float(d[0]) if n else np.nan, np.nan, np.nan, n, np.nan, np.nan, np.nan)
    mean = float(d.mean())
    # of a subtraction, and of the moments in SciPy's test; the squares of what is below 1e-150 cannot be told from 0
    rounding = max(1e-13 * np.abs(a).max(), 1e-13 * np.abs(b).max(), 1e-150)
    if np.ptp(d) <= rounding:
        sign = np.sign(mean) if abs(mean) > rounding else np.nan
        return Paired(mean, mean, mean, n, float(sign * np.inf), 0.0 * abs(sign), float(sign * np.inf))
    low, high = stats.t.interval(confidence, n - 1, loc=mean, scale=stats.sem(d))
    test = stats.ttest_rel(a, b)
    effect = mean / d.std(ddof=1)
    return Paired(mean, float(low), float(high), n, float(test.statistic), float(test.pvalue), float(effect))


def holm(p):
    """Return p values corrected for their number m: ``max over j <= i of min(1, (m - j + 1) p_(j))``, p ascending.

    Parameters
    ----------
    p : array_like, shape (m,)
        nan is no test: it stays nan and is not counted.

    Returns
    -------
    ndarray

    Notes
    -----
    Holm 1979, Scand. J. Stat. 6:65-70, a sequentially rejective procedure; here as adjusted p values.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.array(p, float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # nan is sorted last
    p[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(order), 0, -1)))
    return p
