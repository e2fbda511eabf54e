"""neurosim: spiking and continuous-time networks that learn the way brains might, on brian2."""

from neurosim import neurons
from neurosim.errors import DivergedError, EquationError, NeurosimError, ParameterError
from neurosim.population import Population
from neurosim.projection import Projection, Uniform

__all__ = [
    "DivergedError", "EquationError", "NeurosimError", "ParameterError", "Population", "Projection", "Uniform",
    "neurons",
]  # fmt: skip
