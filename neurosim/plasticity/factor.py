"""Factor: one side's part of a right-hand side, evaluated on a population's live arrays."""

import sys
from functools import cached_property

import numba
import numpy as np
import sympy
from brian2.parsing.rendering import NumpyNodeRenderer

from neurosim.errors import EquationError
from neurosim.plasticity.fused import FUSED_FROM, Fused, fusible
from neurosim.plasticity.parse import FUNCTIONS, to_text
from neurosim.plasticity.plan import inline, scalar


class Factor:
    """A factor of one side, ready to be evaluated on a population's live arrays.

    Parameters
    ----------
    expr : sympy.Expr
        Expression in suffixed names; the population's own expressions are put in for their names.
    population : Population
        Where the arrays are.
    suffix : str
        ``_pre`` or ``_post``.
    scope : Scope
        Expressions and constants.
    signals : mapping of str to (Population, str)
        Where global signals are read.
    """

    def __init__(self, expr, population, suffix, scope, signals=None):
        expr = inline(expr, scope)
        text, names = to_text(expr), sorted(symbol.name for symbol in expr.free_symbols)
        self.population = population
        own = {variable + suffix: (population, variable) for variable in population.state_variables}
        own |= signals or {}
        self.reads = {n: own[n] for n in names if n in own and n not in scope.constants}
        bare = text in self.reads and text.endswith(suffix) and self.reads[text][0] is population
        self.variable = text.removesuffix(suffix) if bare else None
        constants = {n: float(scope.constants[n]) for n in names if n in scope.constants}
        used = {name: f for name, f in scope.functions.items() if f"{name}(" in text}
        others = [(n, id(read), variable) for n, (read, variable) in self.reads.items() if read is not population]
        ours = [n for n in names if n.endswith(suffix) and (n in constants or self.reads.get(n, [0])[0] is population)]
        short = {n: f"·{n.removesuffix(suffix)}" for n in ours}  # the same from either side, for W and its feedback
        named = to_text(expr.xreplace({s: sympy.Symbol(short.get(s.name, s.name)) for s in expr.free_symbols}))
        values = sorted((short.get(n, n), value) for n, value in constants.items())
        key = (named, *values, *others, *((n, id(f)) for n, f in used.items()))
        self._key = sys.intern(repr(key))  # a text keeps its hash, a tuple makes it anew in every step
        lost = [n for n in names if n not in self.reads and n not in constants]
        if lost:
            raise EquationError(f"{text}: {', '.join(lost)} exist for the equations of {population.name} only")
        code = f"lambda {', '.join(self.reads)}: {NumpyNodeRenderer().render_expr(text)}"
        vectorised = {name: numba.vectorize(scalar(f)) for name, f in used.items()}
        self._function = eval(code, FUNCTIONS | constants | vectorised)  # noqa: S307
        self._ones = None
        self._fused, self._values = None, None
        large = len(population) >= FUSED_FROM and self.reads and not bare and not others
        if large and fusible(expr, scope.functions):
            self._fused = Fused(expr, scope, self.reads, population.precision)

    @cached_property
    def arrays(self):
        """Live arrays of what is read, which stay where they are as long as there is the population."""
        return tuple(read.view(name) for read, name in self.reads.values())

    @cached_property
    def live(self):
        """Whether the factor is the live array of a variable."""
        return self.variable is not None and self.arrays[0].dtype == self.population.precision

    @cached_property
    def _step(self):
        return self.population.clock.variables["timestep"].get_value()

    def at_end(self):
        """Return the factor at the end of the time step: evaluated once for all rules that share it."""
        if self.variable or not self.reads:
            return self()
        shared = self.population.__dict__.setdefault("_factors", {})
        step, known = self._step[0], shared.get(self._key)
        if known is None or known[0] != step:
            known = shared[self._key] = step, self()
        return known[1]

    def __call__(self):
        """Return the factor as an array (replicas, lanes, n), to be read before the next call: live for a variable."""
        population = self.population
        if self.live:
            return self.arrays[0]
        if not self.reads:
            if self._ones is None:
                self._ones = np.full(population.shape, self._function(), population.precision)
            return self._ones
        if self._fused is not None:
            if self._values is None:
                self._values = np.empty(population.shape, population.precision)
            self._fused(self.arrays, self._values)
            return self._values
        value = self._function(*self.arrays)
        if np.shape(value) != population.shape:  # signals alone
            value = np.broadcast_to(value, population.shape)
        return np.ascontiguousarray(value, dtype=population.precision)
