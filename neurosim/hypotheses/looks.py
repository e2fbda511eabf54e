"""Looks at results before all replicas are there: levels at every look that keep the error rate.

A group-sequential test with a spending function (Lan & DeMets 1983, Biometrika 70:659-663). The test of a claim at
look k is a one-sided t-test of the first n_k replicas at a nominal level c_k; the levels are such that, where the
claim's null hypothesis holds, the probability of a significant result at or before look k is the spending function
alpha(n_k / n_K):

    obrien_fleming   2 - 2 Phi(z_(1 - alpha / 2) / sqrt(f))      hardly anything early (after O'Brien & Fleming 1979)
    pocock           alpha ln(1 + (e - 1) f)                     about the same level at all looks (after Pocock 1977)

The t statistics at the looks have a joint distribution that does not depend on the mean and standard deviation of what
is tested. It is drawn: the sum and the sum of squares of the replicas between two looks are a normal and a chi squared
number. No normal approximation is made, which for few replicas would let too many claims through.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from neurosim.errors import ParameterError

SPENDING = ("obrien_fleming", "pocock")
PATHS = 1_000_000
LEAST = 1e-4  # overall level: below it there are too few paths to tell levels at looks
GRID = np.geomspace(LEAST, 0.5, 40)


@dataclass(frozen=True)
class Looks:
    """When results are looked at, and how the error rate is spent.

    Parameters
    ----------
    at : tuple of int
        Numbers of replicas at the looks, ascending, the first at least 2; the last is the number of replicas.
    spending : {"obrien_fleming", "pocock"}
        See above.

    Examples
    --------
    >>> bool(Looks((10, 20)).levels(0.05)[0] < Looks((10, 20), "pocock").levels(0.05)[0])
    True
    """

    at: tuple
    spending: str = "obrien_fleming"

    def __post_init__(self):
        if len(self.at) < 1 or self.at[0] < 2 or any(b <= a for a, b in zip(self.at, self.at[1:], strict=False)):
            raise ParameterError(f"looks: ascending numbers of replicas from 2 on are needed, got {list(self.at)}")

    def spent(self, alpha):
        """Return how much of alpha is spent up to each look."""
        f = np.array(self.at) / self.at[-1]
        if self.spending == "pocock":
            return alpha * np.log1p((np.e - 1) * f)
        return 2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(f))

    def levels(self, alpha):
        """Return the nominal levels of the looks: a claim is significant at look k where its p is not above it.

        Raises
        ------
        ParameterError
            Where alpha is below 0.0001: the levels are drawn and would be too rough.
        """
        if not LEAST <= alpha <= 0.5:
            raise ParameterError(f"alpha: looks need an alpha (divided by the claims) of {LEAST} or more, got {alpha}")
        return np.array(_nominal(self, alpha))

    def p_value(self, found):
        """Return the p value over the looks so far: the lowest overall alpha at which one of them is significant.

        Parameters
        ----------
        found : sequence of float
            One-sided p value of the t-test at each look so far; nan where there is none.

        Returns
        -------
        float
            Not below 0.0001; 1 where no alpha up to 0.5 would do.
        """
        table, least = _table(self.at, self.spending), 1.0
        for levels, p in zip(table.T, found, strict=False):
            if p <= levels[-1]:
                with np.errstate(divide="ignore"):
                    alpha = np.exp(np.interp(np.log(p), np.log(levels), np.log(GRID)))
                least = min(least, float(alpha))
        return least

    def power(self, effect, alpha, equivalent=False, paths=50_000):
        """Return (power, mean number of replicas at the end) for a standardised effect, by simulation.

        The end is the first look at which the claim is significant, or the last.

        Parameters
        ----------
        effect : float
            d_z; margin / sd for an equivalence.
        alpha : float
            Overall level.
        equivalent : bool
            Whether the claim is an equivalence, and the true difference zero.
        """
        drawn = _draw(self.at, paths, 2, *((0.0, effect) if equivalent else (effect,)))
        significant = drawn <= self.levels(alpha)[:, None]
        ends = np.where(significant.any(axis=0), significant.argmax(axis=0), len(self.at) - 1)
        return float(significant.any(axis=0).mean()), float(np.take(self.at, ends).mean())


def _draw(at, paths, seed, effect=0.0, margin=None):
    """Return p values of the tests at the looks, (looks, paths), of differences with the mean ``effect`` and sd 1.

    They are of the one-sided t-test, or of two for an equivalence within the margin.
    """
    generator = np.random.default_rng(seed)
    p = np.empty((len(at), paths), np.float32)
    total, squares, before = np.zeros(paths), np.zeros(paths), 0
    for k, n in enumerate(at):
        more = n - before
        new = generator.normal(more * effect, np.sqrt(more), paths)
        squares += new**2 / more  # of the mean of the new ones, and around it
        if more > 1:
            squares += generator.chisquare(more - 1, paths)
        total += new
        before = n
        variance = (squares - total**2 / n) / (n - 1)
        least = total if margin is None else n * margin - np.abs(total)  # the larger p is that of the nearer border
        p[k] = stats.t.sf(least / np.sqrt(n * variance), n - 1)
    return p


@lru_cache(maxsize=4)
def _null(at):
    return _draw(at, PATHS, 1)


@lru_cache(maxsize=64)
def _nominal(looks, alpha):
    return tuple(_levels(_null(looks.at), looks.spent(alpha)))


def _levels(p, spent):
    """Return the level at each look that spends what is to be spent there, of p (looks, paths) under the null."""
    levels = np.empty(len(p))
    alive = np.ones(p.shape[1], bool)
    for k, part in enumerate(np.diff(spent, prepend=0)):
        left = p[k, alive]
        if k == 0:
            levels[k] = part
        else:
            count = min(round(part * p.shape[1]), len(left))
            levels[k] = np.partition(left, count - 1)[count - 1] if count else 0.0
        alive &= p[k] > levels[k]
    return levels


@lru_cache(maxsize=4)
def _table(at, spending):
    """Return the levels for every alpha of the grid, (alphas, looks), not falling with alpha."""
    looks = Looks(at, spending)
    table = np.array([_levels(_null(at), looks.spent(alpha)) for alpha in GRID])
    return np.maximum(np.minimum.accumulate(table[::-1])[::-1], np.finfo(float).tiny)
