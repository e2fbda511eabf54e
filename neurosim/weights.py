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
        number = np.ndim(self.half_width) == 0 and isinstance(self.half_width, (int, float, np.number, Quantity))
        width = float(self.half_width) if number and np.isrealobj(self.half_width) else np.nan
        if not 0 <= width < np.inf:
            raise ParameterError(f"Uniform: weights need a finite half width of at least 0, got {self.half_width}")
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
        number = np.ndim(self.deviation) == 0 and isinstance(self.deviation, (int, float, np.number, Quantity))
        deviation = float(self.deviation) if number and np.isrealobj(self.deviation) else np.nan
        if not 0 <= deviation < np.inf:
            raise ParameterError(f"Normal: weights need a finite deviation of at least 0, got {self.deviation}")
        return deviation * generator.standard_normal(shape)

    @property
    def dimension(self):
        """Dimension of the weights."""
        return get_dimensions(self.deviation)


def glorot(n_in, n_out, gain=1.0):
    """Return the uniform distribution of Glorot and Bengio (2010) for so many inputs and outputs, ``gain`` as wide."""
    return Uniform(gain * np.sqrt(6 / (n_in + n_out)))
