"""The functions of the language for one synapse at a time, as compiled kernels call them.

``nan`` stays ``nan`` everywhere: the guards need it. This module imports numpy and numba only.
"""

import numpy as np
from numba import njit

exp, log, sqrt, tanh, sin, cos, tan = np.exp, np.log, np.sqrt, np.tanh, np.sin, np.cos, np.tan
sinh, cosh, floor, ceil, sign, abs = np.sinh, np.cosh, np.floor, np.ceil, np.sign, np.abs  # noqa: A001
arctan, arcsin, arccos, log10, expm1, log1p = np.arctan, np.arcsin, np.arccos, np.log10, np.expm1, np.log1p


@njit(inline="always")
def clip(x, low, high):
    """Return x, but no less than low and no more than high."""
    return min(max(x, low), high)  # with x first nan stays, and the loop around it is vectorised


@njit(inline="always")
def exprel(x):
    """Return (exp(x) - 1) / x, and 1 at 0."""
    return x + 1 if x == 0 else np.expm1(x) / x


@njit(inline="always")
def int_(x):
    """Return the whole part of a number, and 1 or 0 for a condition."""
    return np.trunc(x)


@njit(fastmath={"contract", "reassoc", "nsz"})
def dot(a, b):
    """Return the sum over lanes of a b."""
    total = a.dtype.type(0)
    for lane in range(a.size):
        total += a[lane] * b[lane]
    return total
