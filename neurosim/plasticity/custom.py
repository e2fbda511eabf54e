"""A compiled function in place of a rule's text: the last resort for what the language cannot say."""

import inspect
from dataclasses import dataclass

import sympy

from neurosim.connectivity import BACKWARDS
from neurosim.errors import EquationError
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.parse import POST, PRE, STEP, WEIGHT


@dataclass(frozen=True)
class Kernel:
    """A compiled function in place of a rule's text: the last resort for what the language cannot say.

    Parameters
    ----------
    function : numba function
        Its parameters are names: ``w`` as the projection keeps it, ``x_pre`` and ``x_post`` as
        arrays (replicas, lanes, n) in base units, constants of the namespace and signals, and ``dt`` in seconds.
    reads, writes : tuple of str
        Together exactly the function's parameters. What is only read arrives as an array that cannot be written.
    """

    function: object
    reads: tuple
    writes: tuple = (WEIGHT,)


class CustomLearning:
    """A user's compiled function in place of a rule's text."""

    def __init__(self, projection, kernel, event, here):
        where = f"{here}.rule"
        self.projection, self.kernel, self.event = projection, kernel, event
        self.events = [event]
        if event in (PRE, POST):
            raise EquationError(
                f"{where}: a Kernel is called once for all neurons, not at the spikes of one: {event!r}"
            )
        if projection.layout is None or projection.layout.form == BACKWARDS:
            raise EquationError(f"{where}: a Kernel needs weights of the projection's own")
        function = getattr(kernel.function, "py_func", None)
        if function is None:
            raise EquationError(f"{where}: Kernel.function must be compiled with numba's njit")
        self.names = list(inspect.signature(function).parameters)
        declared = [*kernel.reads, *kernel.writes]
        if sorted(declared) != sorted(self.names):
            raise EquationError(
                f"{where}: Kernel.reads and Kernel.writes must be the function's parameters "
                f"{', '.join(self.names)}, got {', '.join(declared)}"
            )
        known = set(projection.kept) & set(projection.scope.synapse)
        for name in kernel.writes:
            if name not in known:
                raise EquationError(f"{where}: a Kernel writes {', '.join(sorted(known))}, not '{name}'")
        self.parts = {}
        for name in kernel.reads:
            if name in known or name == "dt":
                continue
            if projection.scope.dimension(name) is None:
                raise EquationError(f"{where}: '{name}' does not exist for the Kernel to read")
            if name not in projection.scope.constants:
                symbol = sympy.Symbol(name, real=True)
                population, suffix = projection.source, "_pre"
                if not name.endswith("_pre"):
                    population, suffix = projection.target, "_post"
                self.parts[name] = Factor(symbol, population, suffix, projection.scope, projection.signals)

    def __call__(self):
        projection = self.projection
        if self.event != STEP and not self.event():
            return False
        projection.fold()
        values = {name: factor.at_end().view() for name, factor in self.parts.items()}
        values |= {name: projection.view(name).view() for name in projection.scope.synapse}
        for name, array in values.items():
            array.flags.writeable = name in self.kernel.writes
        values |= {name: float(value) for name, value in projection.scope.constants.items()}
        values["dt"] = float(projection.clock.dt_)
        self.kernel.function(*(values[name] for name in self.names))
        projection.confine()
        return True

    def explain(self):
        """Return a line that says what is called."""
        reads, writes = ", ".join(self.kernel.reads), ", ".join(self.kernel.writes)
        return [f"{self.kernel.function.py_func.__name__}: a compiled function; reads {reads}; writes {writes}"]
