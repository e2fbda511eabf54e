"""Power of the tests that judge claims: what a number of replicas can show.

Power is computed before a run for an effect that the file states, or after it for the smallest effect that matters with
the standard deviation found. It is never computed for the effect found: that "observed power" is a function of the p
value and says nothing beside it (Hoenig & Heisey 2001, The American Statistician 55:19-24).
"""

import numpy as np
from scipy import integrate, optimize, stats

POWER = 0.8  # what a plan asks for
MOST = 100_000  # replicas


def t_test(effect, n, alpha):
    """Return the power of a one-sided one-sample (or paired) t-test: ``P(T > t_(1 - alpha, n - 1))``.

    T has the noncentral t distribution with n - 1 degrees of freedom and noncentrality ``effect sqrt(n)``.

    Parameters
    ----------
    effect : float
        d_z = mean(d) / sd(d), positive where the claim is true.
    n : int
        Replicas, at least 2.
    alpha : float
        Level.

    Examples
    --------
    >>> round(t_test(0.5, 27, 0.05), 4)
    0.8118
    """
    return float(stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, effect * np.sqrt(n)))


def equivalence(margin, n, alpha):
    """Return the power of two one-sided t-tests where the true difference is zero.

    With the mean m and the standard deviation s of n differences (sd 1), both tests are significant where
    ``|m| < margin - t s / sqrt(n)``; m is normal and ``(n - 1) s^2`` is chi squared, independent of it, so that the
    power is the integral of ``2 Phi(sqrt(n) margin - t s) - 1`` over s where that is positive.

    Parameters
    ----------
    margin : float
        In standard deviations of the differences.
    n, alpha
        As for :func:`t_test`.
    """
    df, t = n - 1, stats.t.isf(alpha, n - 1)
    most = margin * np.sqrt(n) / t  # of s; twelve standard deviations above 1 the density is nothing

    def inside(s):
        return (2 * stats.norm.cdf(np.sqrt(n) * margin - t * s) - 1) * stats.chi.pdf(s * np.sqrt(df), df) * np.sqrt(df)

    return min(1.0, float(integrate.quad(inside, 0, min(most, 1 + 12 / np.sqrt(df)), limit=200)[0]))


def correlation(r, df, alpha):
    """Return the power of the one-sided test of a correlation r.

    The t-test is significant where the correlation found is above ``t / sqrt(df + t^2)``; Fisher's z of what is found
    is about normal with the mean ``atanh r + r / (2 (df + 1))`` and the standard deviation ``1 / sqrt(df - 1)``.

    Parameters
    ----------
    r : float
        The true correlation, positive where the claim is true.
    df : int
        Degrees of freedom: n - 2 for n points.
    alpha : float
        Level.
    """
    t = stats.t.isf(alpha, df)
    critical = t / np.sqrt(df + t * t)
    mean = np.arctanh(r) + r / (2 * (df + 1))
    return float(stats.norm.sf((np.arctanh(critical) - mean) * np.sqrt(df - 1)))


def detectable(power, n, alpha, most=1e3, goal=POWER):
    """Return the effect for which ``power(effect, n, alpha)`` is 0.8; nan where there is none up to ``most``.

    Examples
    --------
    >>> round(detectable(t_test, 10, 0.05), 3)
    0.853
    """
    if not power(most, n, alpha) > goal:
        return np.nan
    return float(optimize.brentq(lambda effect: power(effect, n, alpha) - goal, 0, most, xtol=1e-8))


def needed(power, effect, alpha, least=2, goal=POWER):
    """Return the smallest n for which ``power(effect, n, alpha)`` is at least 0.8; None beyond 100,000.

    Examples
    --------
    >>> needed(t_test, 0.5, 0.05)
    27
    """
    low, high = least - 1, least
    while power(effect, high, alpha) < goal:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, alpha) >= goal else (middle, high)
    return high
