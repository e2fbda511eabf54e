"""neurosim: spiking and continuous-time networks that learn the way brains might, on brian2.

Names load when they are first used: the command line is there at once, and answers Ctrl+C, while brian2 loads.
"""

import importlib

_HOMES = {
    "Alignment": "recording",
    "DivergedError": "errors",
    "EquationError": "errors",
    "Guard": "recording",
    "Kernel": "plasticity.custom",
    "NeurosimError": "errors",
    "Normal": "weights",
    "NotSettledError": "errors",
    "ParameterError": "errors",
    "Persistence": "settling",
    "Population": "population",
    "Presentation": "presentation",
    "Projection": "projection",
    "Ranking": "competition",
    "Readout": "recording",
    "Redelivery": "settling",
    "Settling": "settling",
    "Uniform": "weights",
    "Window": "recording",
}
_MODULES = ("analysis", "connectivity", "data", "neurons", "plots", "training")
__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name):
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"neurosim.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"neurosim.{name}")
    raise AttributeError(f"module 'neurosim' has no attribute '{name}'")


def __dir__():
    """List the public names beside the module's own."""
    return sorted({*globals(), *__all__})
