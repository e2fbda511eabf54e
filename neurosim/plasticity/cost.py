"""What a step costs, as text: bytes moved and floating-point operations."""

import numpy as np

from neurosim.connectivity import LIST


def cost(projection, arrays, products):
    """Return bytes and floating-point operations a step as text, for reading and writing arrays of weights' size."""
    layout, replicas = projection.layout, projection.source.replicas
    each = int(np.prod(layout.stored)) * projection.source.precision.itemsize * replicas
    pairs = (
        layout.synapses(replicas) if layout.form == LIST else layout.rows * layout.columns * replicas * layout.copies
    )
    parts = [in_bytes(2 * arrays * each)] if arrays else []
    if products:
        parts.append(_count(2 * products * pairs * projection.source.lanes, "flop"))
    return ", ".join(parts) + " a step"


def in_bytes(count):
    """Return a number of bytes as text."""
    return _count(count, "B")


def _count(count, unit):
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}{unit}"
    return f"{count:.3g} {unit}"
