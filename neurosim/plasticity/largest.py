"""Scale all changes of a step by one number, so that the largest of them is a given one."""

import numpy as np
from numba import njit


class LargestChange:
    """What a projection does to its weights in a step, scaled replica by replica.

    The changes of a step, summed over lanes and within bounds, are multiplied by one number for all weights of a
    replica, so that the largest of them is ``projection.largest_change`` in size; where all are 0 they stay 0. That
    number is known to no synapse: this is not local.
    """

    def __init__(self, projection):
        self.projection, self.before = projection, None

    def __call__(self, learning):
        """Carry out what is due; return whether anything was."""
        projection, size = self.projection, self.projection.largest_change
        passes = getattr(learning, "passes", ())
        if len(passes) == 1 and hasattr(passes[0][1], "few"):
            columns = passes[0][1].few()
            if columns is not None:
                passes[0][1].change(columns, size)
                return True
        projection.fold()
        if self.before is None:
            self.before = np.empty_like(projection.stored)
        np.copyto(self.before, projection.stored)
        if not learning():
            return False
        projection.fold()
        replicas = len(self.before)
        flat = (array.reshape(replicas, -1) for array in (self.before, projection.stored))
        rescale(*flat, size)
        if projection.bounds is not None:
            projection.confine()
        return True


@njit(cache=True)
def rescale(before, after, size):
    """Make ``after - before`` as large as ``size`` where it is largest, row by row; nothing where it is 0."""
    for r in range(before.shape[0]):
        largest = largest_difference(before[r], after[r])
        if largest > 0:
            scale_difference(before[r], after[r], before.dtype.type(size / largest))


@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def largest_difference(before, after):
    """Return the largest |after - before|; nan where one is not a number."""
    largest = total = before.dtype.type(0)
    for s in range(before.size):
        change = abs(after[s] - before[s])
        largest = max(largest, change)
        total += change
    return largest if total == total else total


@njit(cache=True, fastmath={"contract"})
def scale_difference(before, after, factor):
    """after = before + factor (after - before)."""
    for s in range(before.size):
        after[s] = before[s] + factor * (after[s] - before[s])
