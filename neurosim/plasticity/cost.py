"""What a step costs, as text: bytes moved and floating-point operations."""

import numpy as np

from neurosim.connectivity import LIST


def cost(projection, arrays, products, operations=0):
    """Return bytes and floating-point operations a step as text.

    Parameters
    ----------
    projection : Projection
        Whose synapses are counted.
    arrays : float
        How many arrays of the weights' size are read and written.
    products : int
        Matrix products over lanes.
    operations : int
        Operations a synapse beside them.
    """
    layout, replicas = projection.layout, projection.source.replicas
    each = int(np.prod(layout.stored)) * projection.source.precision.itemsize * replicas
    pairs = (
        layout.synapses(replicas) if layout.form == LIST else layout.rows * layout.columns * replicas * layout.copies
    )
    parts = [in_bytes(2 * arrays * each)] if arrays else []
    flops = 2 * products * pairs * projection.source.lanes + operations * pairs
    if flops:
        parts.append(_count(flops, "flop"))
    return ", ".join(parts) + " a step"


def in_bytes(count):
    """Return a number of bytes as text."""
    return _count(count, "B")


def _count(count, unit):
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}{unit}"
    return f"{count:.3g} {unit}"
