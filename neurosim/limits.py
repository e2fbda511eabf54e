"""What the machine can hold."""

import math
import os

import numpy as np

from neurosim.errors import ParameterError


def check_fits(shape, dtype, what, smaller="; fewer neurons, lanes or replicas would fit"):
    """Refuse an array that is larger than the machine's memory, before it is made.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : numpy dtype
        Of its elements.
    what : str
        What the array is, for the message.
    smaller : str
        What would be smaller, for the message.

    Raises
    ------
    ParameterError
        Says what is too large and what there is.
    """
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such question on this system
        there = 2**40
    if needed > there:
        size = " x ".join(map(str, shape))
        raise ParameterError(
            f"{what}: {size} values need {needed / 1e9:.3g} GB, more memory than the machine has "
            f"({there / 1e9:.3g} GB){smaller}"
        )
