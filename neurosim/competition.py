"""Competition by rank: which neuron of a lane is driven most, without the dynamics that would decide it."""

import brian2
import numpy as np
from numba import njit

from neurosim.errors import ParameterError
from neurosim.population import SLOTS_PER_ORDER, SPIKE, Population


class Ranking(brian2.core.base.BrianObject):
    """Set the learning activation of a population by the rank of its drive, lane by lane.

    In every step, once the population has updated, the neuron with the largest drive of its lane gets ``g = 1``, the
    one that is k-th in rank ``g = -delta``, and all others 0. Of neurons with equal drives the first comes first.

    This stands for the steady state of neurons that inhibit one another: a shortcut that looks at all neurons of a lane
    at once, which no neuron could do by itself.

    Parameters
    ----------
    population : Population
        What is ranked.
    drive, g : str
        Its state variables that are compared and set.
    k : int
        Rank of the neuron that is pushed away, 2 for the second.
    delta : float
        How strongly, at least 0.
    name : str
        Name of the object in brian2.

    Raises
    ------
    ParameterError
        If k does not lie between 2 and the number of neurons, if delta is negative or not finite, or if the population
        has no such variables.

    Notes
    -----
    Krotov, Hopfield 2018, arXiv:1806.10181, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from brian2 import Network, ms
    >>> from neurosim import Population, neurons
    >>> h = Population(4, neurons.NeuronType("I : 1\\ng : 1"), order=1)
    >>> h.view("I")[...] = [3, -1, 5, 4]
    >>> Network(h, Ranking(h, "I", "g", k=2, delta=0.4)).run(h.clock.dt)
    >>> h.view("g")[0, 0]
    array([ 0. ,  0. ,  1. , -0.4], dtype=float32)
    """

    add_to_magic_network = True

    def __init__(self, population, drive, g, k, delta, name="ranking*"):
        if not isinstance(population, Population):
            raise ParameterError(f"Ranking.population: a Population is needed, got {type(population).__name__}")
        check_rank(k, delta, population.n, f"Ranking({population.name})")
        for variable in (drive, g):
            if population.view(variable).dtype != population.precision:
                raise ParameterError(f"Ranking({population.name}): '{variable}' is no real number")
        if drive == g:
            raise ParameterError(f"Ranking({population.name}): drive and g must be two variables, got {g!r} for both")
        place = SLOTS_PER_ORDER * population.place + SPIKE
        super().__init__(clock=population.clock, when="groups", order=place, name=name)
        self.population, self.drive, self.g, self.k, self.delta = population, drive, g, int(k), float(delta)

    def run(self):
        """Rank the neurons of every lane by what drives them now."""
        drive, g = (self.population.view(variable) for variable in (self.drive, self.g))
        n = self.population.n
        rank(drive.reshape(-1, n), self.k, g.dtype.type(self.delta), g.reshape(-1, n))


def check_rank(k, delta, n, here):
    """Raise a ParameterError where among n neurons there is no k-th, or where delta would not push it away."""
    whole = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
    if not whole or not 2 <= k <= n:
        raise ParameterError(
            f"{here}.k: a whole number from 2, the second in rank, to {n}, the number of neurons, is needed, got {k!r}"
        )
    number = isinstance(delta, (int, float, np.number)) and np.isrealobj(delta) and not isinstance(delta, bool)
    if not number or not 0 <= delta < np.inf:
        raise ParameterError(f"{here}.delta: a finite number of at least 0 is needed, got {delta!r}")


@njit(cache=True)
def rank(drive, k, delta, g):
    """g = 1 for the largest of each row of ``drive``, -delta for the k-th largest, else 0; both arrays (rows, n)."""
    rows, n = drive.shape
    top = np.empty(k, np.int64)  # the k largest so far, the largest first
    for row in range(rows):
        values, found = drive[row], 0
        least = values[0]
        for j in range(n):
            if found == k and not values[j] > least:
                continue
            found = min(found + 1, k)
            at = found - 1
            while at > 0 and values[j] > values[top[at - 1]]:
                top[at] = top[at - 1]
                at -= 1
            top[at] = j
            least = values[top[found - 1]]
        g[row] = 0
        g[row, top[0]] = 1
        g[row, top[k - 1]] = -delta
