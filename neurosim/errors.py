"""The errors that neurosim raises, each with one line that says what, where and what would be right."""

import difflib


class NeurosimError(Exception):
    """Base of neurosim's own errors."""


class ParameterError(NeurosimError, ValueError):
    """A name that does not exist, or a value of the wrong kind, unit or range."""


class EquationError(NeurosimError, ValueError):
    """The text of a rule or a transmit cannot be read, or its dimensions differ."""


class DivergedError(NeurosimError, ArithmeticError):
    """A state variable is not finite."""


class NotSettledError(DivergedError):
    """A network still moves where it should have come to rest."""


class DataError(NeurosimError, ValueError):
    """A data set is missing, incomplete or not what it should be."""


class BusyError(ParameterError):
    """Another process is writing into the folder."""


class RunError(NeurosimError, OSError):
    """A run's folder cannot be written."""


def unknown(kind, asked, existing, note="", error=ParameterError):
    """Return an error for a name that does not exist, with the nearest names that do and all that there are."""
    existing = [str(name) for name in existing]
    near = difflib.get_close_matches(str(asked).lower(), existing, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    return error(f"unknown {kind} '{asked}': {hint}there are {', '.join(existing)}{note}")
