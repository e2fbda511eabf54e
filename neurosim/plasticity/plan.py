"""Plan a right-hand side: a sum of terms c f(w) g(pre) h(post), and where the synapse's variables are kept.

Summed over lanes, g(pre) h(post) is one matrix product; f(w) is elementwise. Terms with the same factor on one side
are joined, so that ``s_pre * (a_post + b_post)`` costs one product however it is written. What mixes the two sides,
as ``tanh(v_pre - v_post)``, is kept as a mixed factor, to be evaluated synapse by synapse.
"""

from dataclasses import dataclass

import numpy as np
import sympy
from brian2.parsing.rendering import NumpyNodeRenderer

from neurosim.errors import EquationError
from neurosim.plasticity.parse import FUNCTIONS, POST, PRE, WEIGHT, to_text

ONE = sympy.Integer(1)
EXISTS = sympy.Symbol("exists_pre", real=True)  # 1 where a window of a convolution lies on the image, 0 beyond its edge
MAX_TERMS = 200  # of an expanded product; what has more is evaluated synapse by synapse
SHARED, COMMON, SUMMED, LANEWISE = "shared", "common", "summed", "lanes"


@dataclass(frozen=True)
class Term:
    """One term: ``coefficient * weight * pre * post * mixed``; each of the first four depends on its own side only."""

    coefficient: sympy.Expr
    weight: sympy.Expr
    pre: sympy.Expr
    post: sympy.Expr
    mixed: sympy.Expr = ONE

    def __str__(self):
        factors = self.coefficient, self.weight, self.pre, self.post, self.mixed
        return " * ".join(readable(f) for f in factors if f not in (ONE, EXISTS)) or "1"

    @property
    def expr(self):
        """The term as one expression."""
        return self.coefficient * self.weight * self.pre * self.post * self.mixed


def readable(expr):
    """Return an expression as text, in parentheses if it is a sum."""
    shown = {number: sympy.Symbol(f"{float(number):.6g}") for number in expr.atoms(sympy.Float)}
    shown[EXISTS] = ONE
    text = to_text(expr.xreplace(shown))
    return f"({text})" if expr.is_Add else text


def side(expr, scope):
    """Return which sides an expression depends on: a set of 'w' (the synapse), 'pre' and 'post'.

    Global signals are counted with the target's side: they are one number for all of its neurons.
    """
    sides = set()
    for symbol in expr.free_symbols:
        name = symbol.name
        if name in scope.constants:
            continue
        if name in scope.synapse:
            sides.add("w")
        elif name.endswith("_pre"):
            sides.add("pre")
        elif name.endswith("_post") or name in scope.signals:
            sides.add("post")
    return sides


def separate(expr, scope):
    """Split an expression into terms, those with a common factor joined."""
    terms = []
    for part in sympy.Add.make_args(expr):
        terms += _separate_product(part, scope)
    plain = [term for term in terms if term.mixed == ONE]
    joined = _join(_join(plain, "pre", "post", scope), "post", "pre", scope)
    return joined + [term for term in terms if term.mixed != ONE]


def _separate_product(product, scope):
    factors = {"": ONE, "w": ONE, "pre": ONE, "post": ONE}
    mixed = []
    for factor in sympy.Mul.make_args(product):
        sides = side(factor, scope)
        if len(sides) > 1:
            mixed.append(factor)
        else:
            factors["".join(sides)] *= factor
    together = sympy.Mul(*mixed)
    if not mixed:
        return [Term(factors[""], factors["w"], factors["pre"], factors["post"])]
    expanded = multiplied_out(together)
    parts = sympy.Add.make_args(expanded)
    if (len(parts) == 1 and expanded == together) or len(parts) > MAX_TERMS:
        return [Term(factors[""], factors["w"], factors["pre"], factors["post"], together)]
    rest = sympy.Mul(*factors.values())
    return [term for part in parts for term in _separate_product(rest * part, scope)]


def multiplied_out(expr):
    """Return an expression as a sum of products; exp(a + b) stays.

    As exp(a) exp(b) it would overflow where the difference of large values does not.
    """
    return sympy.expand(expr, power_exp=False, power_base=False, log=False)


def _join(terms, same, other, scope):
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
        coefficient, total = (total, ONE) if not side(total, scope) else (ONE, total)
        joined.append(Term(coefficient=coefficient, weight=weight, **{same: kept, other: total}))
    return [term for term in joined if term.coefficient != 0]


def place(variables, statements, read, scope, lanes):
    """Decide where each variable of the synapse is kept.

    Every variable that is not shared exists once a lane. One copy is enough where nothing that differs between the
    lanes enters it ("common"); and only the sum over the lanes is kept ("summed") where all that is done with the
    variable is linear with factors that are the same in all lanes, as for a low-passed change or momentum.

    Parameters
    ----------
    variables : mapping of str to Variable
        Declared by the rule.
    statements : list of Statement
        Of all events.
    read : set of str
        Variables that a transmit reads, in every lane of its own.
    scope : Scope
        What the names are.
    lanes : int
        How many.

    Returns
    -------
    dict of str to str
        For every variable and for ``w``: SHARED, COMMON, SUMMED or LANEWISE.
    """
    kept = {name: SHARED if variable.shared else COMMON for name, variable in variables.items()}
    kept[WEIGHT] = SHARED
    if lanes == 1:
        return kept
    own = {name for name in kept if kept[name] != SHARED}

    def differs(expr, per_lane):
        return bool(side(expr, scope) & {"pre", "post"} or _names(expr) & per_lane)

    common = _largest(
        own,
        lambda chosen: {
            s.target
            for s in statements
            if s.target in chosen and (s.event in (PRE, POST) or differs(s.expr, own - chosen))
        },
    )

    def breaks(chosen):
        broken = chosen & read
        for s in statements:
            named = _names(s.expr) & chosen
            on_spikes = s.event in (PRE, POST)
            if on_spikes or s.target in own - common - chosen:
                broken |= named
            for term in sympy.Add.make_args(multiplied_out(s.expr)) if named else ():
                factors = [f for f in sympy.Mul.make_args(term) if _names(f) & chosen]
                alone = len(factors) == 1 and factors[0].is_Symbol
                if factors and not (alone and not differs(term / factors[0], own - common)):
                    broken |= _names(term) & chosen
            if s.target in chosen and s.operator == "=" and on_spikes:
                broken |= {s.target}
        return broken

    summed = _largest(own - common, breaks)
    return kept | dict.fromkeys(own - common, LANEWISE) | dict.fromkeys(summed, SUMMED)


def _largest(chosen, broken):
    """Return the largest part of ``chosen`` that nothing in it breaks."""
    chosen = set(chosen)
    while bad := broken(chosen) & chosen:
        chosen -= bad
    return chosen


def _names(expr):
    return {symbol.name for symbol in expr.free_symbols}


def scalar(function):
    """Return the Python function under a brian2 function, without its check of units."""
    return getattr(function.pyfunc, "_orig_func", function.pyfunc)


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
    value = expr.subs({s: float(scope.constants[s.name]) for s in expr.free_symbols})
    try:
        if value.atoms(sympy.Function):
            own = {name: scalar(function) for name, function in scope.functions.items()}
            with np.errstate(all="ignore"):  # what is not finite is named below
                value = eval(NumpyNodeRenderer().render_expr(to_text(value)), FUNCTIONS | own)  # noqa: S307
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) and expr not in (sympy.oo, -sympy.oo):  # clip(x, 0, inf) has no upper limit
        raise EquationError(f"{scope.where}: {readable(expr)} is not a finite real number")
    return number
