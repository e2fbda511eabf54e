"""Signs: between which borders a variable lies, by its equations alone (interval arithmetic)."""

import math

import numpy as np
import sympy
from brian2.parsing.sympytools import str_to_sympy

from neurosim.audit.wiring import ASSIGNMENT
from neurosim.errors import EquationError
from neurosim.plasticity.parse import UNREADABLE, WEIGHT

ANY = -math.inf, math.inf
RISING = {
    "tanh": np.tanh, "atan": np.arctan, "sign": np.sign, "exp": np.exp, "expm1": np.expm1, "sinh": np.sinh,
    "int": np.trunc, "floor": np.floor, "ceiling": np.ceil,
}  # fmt: skip
NOT_NEGATIVE = {"sqrt", "exprel", "cosh"}


class Borders:
    """Finds between which borders the variables of a network lie, whatever it has learned.

    Parameters
    ----------
    wiring : neurosim.audit.wiring.Wiring
        Whose equations, transmits, bounds of weights and clamped values decide.

    Notes
    -----
    The borders hold for every value of what is integrated or drawn, and may be wider than what a network reaches: a
    lower border of at least 0 proves that a variable has one sign, one below 0 proves nothing.
    """

    def __init__(self, wiring):
        self.wiring = wiring
        self._known, self._asked = {}, set()

    def of(self, population, variable):
        """Return (low, high) of a variable or an expression of a population."""
        key = population.name, variable
        if key in self._known:
            return self._known[key]
        if key in self._asked:  # it depends on itself
            return ANY
        self._asked.add(key)
        found = self._find(population, variable)
        self._asked.discard(key)
        if not self._asked:  # what was found on the way rests on a border that a loop left open
            self._known[key] = found
        return found

    def _find(self, population, variable):
        if variable in population.expressions:
            return self._within(population.expressions[variable], population)
        found, last = [(0.0, 0.0)], None
        for line in population.model.update.strip().splitlines():
            match = ASSIGNMENT.match(line.strip())
            if match and match[1] == variable:
                plain = line.strip().removeprefix(variable).strip().startswith("=")
                last = self._within(match[2], population) if plain else ANY
        if (population.name, variable) in self.wiring.by_hand or (
            last is None and variable in population.equations.diff_eq_names
        ):
            return ANY
        if last is not None:  # the update comes after the integration
            found.append(last)
        received = []
        for projection in self.wiring.projections.values():
            for statement in projection.transmit_statements:
                if projection.target is population and statement.target == f"{variable}_post":
                    received.append(self._delivered(projection, statement))
        if received:
            low, high = (sum(each) for each in zip(*received, strict=True))
            found.append((min(low, 0.0), max(high, 0.0)))
        for presentation in self.wiring.presentations:
            found += self._set(presentation, population, variable)
        if len(found) == 1 and variable in population.state_variables:  # nothing sets it but the user
            values = population.view(variable)
            found.append((float(values.min()), float(values.max())))
        return min(low for low, _ in found), max(high for _, high in found)

    def _set(self, presentation, population, variable):
        """Yield the borders of what a presentation sets a variable to."""
        for clamped, name, values, *_ in presentation._clamps:
            if (clamped, name) == (population, variable):
                yield (float(values.min()), float(values.max())) if values.size else ANY
        for phased, name, values in presentation._phased:
            if (phased, name) == (population, variable):
                yield min(values.values()), max(values.values())
        for kept, name, into, _ in presentation._kept:
            if (kept, into) == (population, variable):
                yield self.of(population, name)
        for recalled, name, source, _ in presentation._recalled:
            if (recalled, name) == (population, variable):
                yield self.of(population, source)
        for recipients, values, _ in presentation._draws:
            if (population, variable) in recipients:
                yield float(values.min()), float(values.max())

    def _delivered(self, projection, statement):
        """Return the borders of a sum over sources: of one source where it is one-to-one."""
        symbols = {}
        for symbol in statement.expr.free_symbols:
            name = symbol.name
            if name == WEIGHT:
                symbols[name] = self._weights(projection)
            elif name in projection.scope.constants:
                symbols[name] = (float(projection.scope.constants[name]),) * 2
            elif name.endswith("_pre") and name.removesuffix("_pre") in projection.source.dimensions():
                symbols[name] = self.of(projection.source, name.removesuffix("_pre"))
            else:
                symbols[name] = ANY
        low, high = interval(statement.expr, symbols)
        if projection.layout is None:
            return low, high
        return (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)

    def _weights(self, projection):
        own = self.wiring.owner(projection)
        if own.bounds is not None:
            low, high = own.bounds
            return float(np.min(low)), float(np.max(high))
        if own.rule is None:
            weights = own.copy_of_weights()
            return float(weights.min()), float(weights.max())
        return ANY

    def _within(self, text, population):
        """Return the borders of an expression of a population's own variables and constants."""
        try:
            expr = str_to_sympy(" ".join(str(text).split()))
        except (*UNREADABLE, EquationError):
            return ANY
        if not isinstance(expr, sympy.Expr):
            return 0.0, 1.0
        symbols = {}
        for symbol in expr.free_symbols:
            name = symbol.name
            value = population.namespace.get(name)
            if name in population.dimensions():
                symbols[name] = self.of(population, name)
            else:
                symbols[name] = ANY if value is None or callable(value) else (float(value),) * 2
        return interval(expr, symbols)


def interval(expr, symbols):
    """Return (low, high) of a sympy expression, given those of its symbols by name.

    Examples
    --------
    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> interval(1 - sympy.tanh(x) ** 2, {"x": (-float("inf"), float("inf"))})
    (0.0, 1.0)
    """
    if expr.is_Number or expr.is_NumberSymbol:
        return (float(expr),) * 2 if expr.is_extended_real else ANY
    if expr.is_Symbol:
        return symbols.get(expr.name, ANY)
    if isinstance(expr, sympy.logic.boolalg.Boolean):
        return 0.0, 1.0
    parts = [interval(part, symbols) if isinstance(part, sympy.Expr) else (0.0, 1.0) for part in expr.args]
    if expr.is_Add:
        low, high = (sum(each) for each in zip(*parts, strict=True))
        return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
    if expr.is_Mul:
        found = parts[0]
        for part in parts[1:]:
            found = _times(found, part)
        return found
    if expr.is_Pow:
        return _power(parts[0], expr.exp, parts[1])
    return _applied(expr.func.__name__.rstrip("_").lower(), parts)


def _times(a, b):
    products = [0.0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(products), max(products)


def _power(base, exponent, within):
    low, high = base
    if not exponent.is_number:
        return (0.0, math.inf) if low >= 0 else ANY
    exponent = float(exponent)
    if exponent < 0:
        inverse = _power(base, sympy.Float(-exponent), within)
        if inverse[0] < 0 <= inverse[1]:  # 1 / 0 is inf, whatever the sign of what came near it
            return ANY
        return tuple(sorted(math.inf if x == 0 else 1 / x for x in inverse))
    ends = [_raised(x, exponent) for x in base]
    if exponent % 2 == 0:
        return (0.0 if low <= 0 <= high else min(ends)), max(ends)
    return (min(ends), max(ends)) if low >= 0 or exponent % 1 == 0 else (0.0, math.inf)


def _raised(x, exponent):
    with np.errstate(all="ignore"):
        value = float(np.float64(x) ** exponent)
    return 0.0 if math.isnan(value) else value  # a root of a negative number


def _applied(name, parts):
    """Return the borders of a function of brian2's language."""
    first = parts[0] if parts else ANY
    if name in RISING:
        with np.errstate(over="ignore"):
            return tuple(float(RISING[name](np.float64(x))) for x in first)
    if name == "clip" and len(parts) == 3:
        return tuple(min(max(x, low), high) for x, low, high in zip(*parts, strict=True))
    if name == "abs":
        return (0.0 if first[0] <= 0 <= first[1] else min(map(abs, first))), max(map(abs, first))
    if name in ("sin", "cos"):
        return -1.0, 1.0
    if name in ("log", "log1p"):
        shift = name == "log1p"
        low, high = first[0] + shift, first[1] + shift
        return (-math.inf if low <= 0 else math.log(low)), (
            math.inf if high in (0, math.inf) else math.log(max(high, 1e-300))
        )
    if name == "rand":
        return 0.0, 1.0
    return (0.0, math.inf) if name in NOT_NEGATIVE else ANY
