"""neurosim: spiking and continuous-time networks that learn the way brains might, on brian2."""

from neurosim import analysis, data, neurons, plots, training
from neurosim.errors import DivergedError, EquationError, NeurosimError, ParameterError
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection, Uniform
from neurosim.recording import Alignment, Guard, Readout, Window

__all__ = [
    "Alignment",
    "DivergedError",
    "EquationError",
    "Guard",
    "NeurosimError",
    "ParameterError",
    "Population",
    "Presentation",
    "Projection",
    "Readout",
    "Uniform",
    "Window",
    "analysis",
    "data",
    "neurons",
    "plots",
    "training",
]
