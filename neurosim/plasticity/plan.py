"""Plan a right-hand side: a sum of terms c f(w) g(pre) h(post).

Summed over lanes, g(pre) h(post) is one matrix product; a term that is linear in ``w`` alone is a number that
multiplies every weight. Terms with the same factor on one side are joined, so that
``s_pre * (a_post + b_post)`` costs one product however it is written.
"""

from dataclasses import dataclass

import numpy as np
import sympy
from brian2.parsing.rendering import NumpyNodeRenderer

from neurosim.errors import EquationError
from neurosim.plasticity.parse import FUNCTIONS, WEIGHT, to_text

ONE = sympy.Integer(1)


@dataclass(frozen=True)
class Term:
    """One term: ``coefficient * weight * pre * post``; each factor depends on its own side only."""

    coefficient: sympy.Expr
    weight: sympy.Expr
    pre: sympy.Expr
    post: sympy.Expr

    def __str__(self):
        return " * ".join(to_text(f) for f in (self.coefficient, self.weight, self.pre, self.post) if f != ONE) or "1"


def side(expr):
    """Return which sides an expression depends on: a set of 'w', 'pre' and 'post'."""
    sides = set()
    for symbol in expr.free_symbols:
        name = symbol.name
        if name == WEIGHT:
            sides.add("w")
        elif name.endswith("_pre"):
            sides.add("pre")
        elif name.endswith("_post"):
            sides.add("post")
    return sides


def separate(expr, where):
    """Split an expression into separable terms, those with a common factor joined.

    Raises
    ------
    EquationError
        If a factor mixes the two sides, as ``exp(v_pre - v_post)``.
    """
    terms = []
    for part in sympy.Add.make_args(expr):
        terms += _separate_product(part, where)
    return _join(_join(terms, "pre", "post"), "post", "pre")


def _separate_product(product, where):
    factors = {"": ONE, "w": ONE, "pre": ONE, "post": ONE}
    mixed = []
    for factor in sympy.Mul.make_args(product):
        sides = side(factor)
        if len(sides) > 1:
            mixed.append(factor)
        else:
            factors["".join(sides)] *= factor
    if not mixed:
        return [Term(factors[""], factors["w"], factors["pre"], factors["post"])]
    expanded = sympy.expand(sympy.Mul(*mixed))
    parts = sympy.Add.make_args(expanded)
    if len(parts) == 1 and expanded == sympy.Mul(*mixed):
        raise EquationError(
            f"{where}: {to_text(mixed[0])} does not separate into a factor of the source times one of the target; "
            "write it as a sum of products f(w) * g(pre) * h(post)"
        )
    rest = sympy.Mul(*factors.values())
    return [term for part in parts for term in _separate_product(rest * part, where)]


def _join(terms, same, other):
    """Add up the ``other`` factors of terms that agree in the weight's factor and in ``same``."""
    groups = {}
    for term in terms:
        groups.setdefault((term.weight, getattr(term, same)), []).append(term)
    joined = []
    for (weight, kept), members in groups.items():
        if len(members) == 1:
            joined.append(members[0])
            continue
        total = sympy.Add(*(m.coefficient * getattr(m, other) for m in members))
        # the sum of the others carries the coefficients; it may have become a constant
        coefficient, total = (total, ONE) if not side(total) else (ONE, total)
        joined.append(Term(coefficient=coefficient, weight=weight, **{same: kept, other: total}))
    return joined


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
    """

    def __init__(self, expr, population, suffix, scope):
        expr = inline(expr, scope)
        text, names = to_text(expr), sorted(symbol.name for symbol in expr.free_symbols)
        self.population = population
        own = {variable + suffix for variable in population.state_variables}
        self.arrays = [n for n in names if n in own and n not in scope.constants]
        self.variable = text.removesuffix(suffix) if text in self.arrays else None
        constants = {n: float(scope.constants[n]) for n in names if n in scope.constants}
        self._key = (text, *sorted(constants.items()))
        lost = [n for n in names if n not in self.arrays and n not in constants]
        if lost:
            raise EquationError(f"{text}: {', '.join(lost)} exist for the equations of {population.name} only")
        code = f"lambda {', '.join(self.arrays)}: {NumpyNodeRenderer().render_expr(text)}"
        self._function = eval(code, FUNCTIONS | constants)  # noqa: S307
        self._suffix = suffix
        self._ones = None

    def at_end(self):
        """Return the factor at the end of the time step: evaluated once for all rules that share it."""
        if self.variable or not self.arrays:
            return self()
        shared = self.population.__dict__.setdefault("_factors", {})
        step = self.population.clock.variables["timestep"].get_value()[0]
        if self._key not in shared or shared[self._key][0] != step:
            shared[self._key] = step, self()
        return shared[self._key][1]

    def forget(self):
        """A run starts: what was evaluated before may be out of date."""
        self.population.__dict__.pop("_factors", None)

    def __call__(self):
        """Return the factor as an array of shape (replicas, lanes, n): the live array for a bare variable."""
        population = self.population
        if self.variable:
            return population.view(self.variable)
        if not self.arrays:
            if self._ones is None:
                self._ones = np.full(population.shape, self._function(), population.precision)
            return self._ones
        value = self._function(*(population.view(name.removesuffix(self._suffix)) for name in self.arrays))
        return np.ascontiguousarray(value, dtype=population.precision)


def inline(expr, scope):
    """Put the populations' expressions in for their names until only variables and constants are left."""
    for _ in range(20):
        named = {s: scope.expressions[s.name] for s in expr.free_symbols if s.name in scope.expressions}
        if not named:
            return expr
        expr = expr.subs(named)
    raise EquationError(f"expressions refer to one another in a circle: {to_text(expr)}")


def constant(expr, scope):
    """Return the number that a constant expression has in base units; its dimension was checked with the text."""
    values = {s: float(scope.constants[s.name]) for s in expr.free_symbols}
    return float(expr.subs(values))
