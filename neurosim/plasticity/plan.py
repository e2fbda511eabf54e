"""Plan a right-hand side: a sum of terms c f(w) g(pre) h(post).

Summed over lanes, g(pre) h(post) is one matrix product; a term that is linear in ``w`` alone is a number that
multiplies every weight. Terms with the same factor on one side are joined, so that
``s_pre * (a_post + b_post)`` costs one product however it is written.
"""

from dataclasses import dataclass

import numpy as np
import sympy
from brian2.units.fundamentalunits import get_dimensions

from neurosim.errors import EquationError
from neurosim.plasticity.parse import WEIGHT, to_text

ONE = sympy.Integer(1)

# The functions of brian2's language in NumPy; sympy_to_str writes them under these names.
FUNCTIONS = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh, "cosh": np.cosh, "abs": np.abs, "sign": np.sign, "clip": np.clip, "floor": np.floor,
    "ceil": np.ceil, "arctan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "log10": np.log10,
    "expm1": np.expm1, "log1p": np.log1p, "exprel": lambda x: np.where(x == 0, 1.0, np.expm1(x) / x),
    "int": lambda x: np.asarray(x).astype(int), "pi": np.pi, "inf": np.inf, "e": np.e,
}  # fmt: skip


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
        text = to_text(inline(expr, scope))
        names = sorted(s.name for s in inline(expr, scope).free_symbols)
        self.text = text
        self.population = population
        self.arrays = [n for n in names if n.endswith(suffix) and n not in scope.constants]
        self.variable = text.removesuffix(suffix) if text in self.arrays else None
        self.is_one = expr == ONE
        constants = {n: number(scope.constants[n]) for n in names if n in scope.constants}
        self._function = eval(f"lambda {', '.join(self.arrays)}: {text}", FUNCTIONS | constants)  # noqa: S307
        self._suffix = suffix
        self._ones = None

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
    """Return the number that a constant expression has in base units."""
    values = {s: number(scope.constants[s.name]) for s in expr.free_symbols}
    return float(expr.subs(values))


def number(value):
    """Strip a quantity to a float in base units; dimensions were checked where the text was read."""
    get_dimensions(value)
    return float(value)
