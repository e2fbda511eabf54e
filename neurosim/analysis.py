"""Arrays to numbers: angles, errors, intervals. No plotting."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


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
