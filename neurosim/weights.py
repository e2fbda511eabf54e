"""Distributions from which initial weights are drawn."""

from dataclasses import dataclass

import numpy as np
from brian2.units.fundamentalunits import Quantity, get_dimensions

from neurosim.errors import ParameterError


@dataclass(frozen=True)
class Uniform:
    """Initial weights drawn independently and uniformly from [-half_width, half_width], which may carry a unit."""

    half_width: float | Quantity

    def draw(self, shape, generator):
        """Return an array of that shape in base units."""
        width = _checked(self.half_width, "Uniform: weights need a finite half width")
        return generator.uniform(-width, width, shape)

    @property
    def dimension(self):
        """Dimension of the weights."""
        return get_dimensions(self.half_width)


@dataclass(frozen=True)
class Normal:
    """Initial weights drawn independently from the normal distribution of mean 0 and this deviation, with its unit."""

    deviation: float | Quantity

    def draw(self, shape, generator):
        """Return an array of that shape in base units."""
        return _checked(self.deviation, "Normal: weights need a finite deviation") * generator.standard_normal(shape)

    @property
    def dimension(self):
        """Dimension of the weights."""
        return get_dimensions(self.deviation)


def _checked(size, needed):
    """Return a distribution's size in base units, a finite number of at least 0."""
    number = np.ndim(size) == 0 and isinstance(size, (int, float, np.number, Quantity)) and np.isrealobj(size)
    if not number or not 0 <= float(size) < np.inf:
        raise ParameterError(f"{needed} of at least 0, got {size}")
    return float(size)


def glorot(n_in, n_out, gain=1.0):
    """Return the uniform distribution of Glorot and Bengio (2010) for so many inputs and outputs, ``gain`` as wide."""
    return Uniform(gain * np.sqrt(6 / (n_in + n_out)))


@dataclass(frozen=True)
class Orthogonal:
    """Initial weights with orthonormal rows or columns, whichever are fewer, drawn uniformly, ``gain`` times as large.

    Examples
    --------
    >>> import numpy as np
    >>> w = Orthogonal().draw((3, 5), np.random.default_rng(1))
    >>> bool(np.allclose(w @ w.T, np.eye(3)))
    True
    """

    gain: float = 1.0

    def draw(self, shape, generator):
        """Return a matrix of that shape."""
        if len(shape) != 2:
            raise ParameterError(f"Orthogonal: weights that are a matrix are needed, got the shape {shape}")
        gain = _checked(self.gain, "Orthogonal: weights need a finite gain")
        q, r = np.linalg.qr(generator.standard_normal((max(shape), min(shape))))
        q = q * np.sign(np.diag(r))
        return gain * (q if shape[0] >= shape[1] else q.T)
