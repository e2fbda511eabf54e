"""Read the text of a transmit or a rule: statement, names, dimensions.

A text names variables of the source (``_pre``) and of the target (``_post``), the weight ``w`` and constants
with units; nothing else exists for it.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import sympy
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.core.variables import Constant
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str
from brian2.units.fundamentalunits import (
    DimensionMismatchError,
    get_dimensions,
    get_unit_for_display,
)
from brian2.units.stdunits import ms
from brian2.utils.stringtools import get_identifiers

from neurosim.errors import EquationError

WEIGHT = "w"
STATEMENT = re.compile(r"\s*(?P<target>d(?P<diff>\w+)\s*/\s*dt|\w+)\s*(?P<op>\+=|=)\s*(?P<expr>.+?)\s*$", re.S)
SECOND = get_dimensions(ms)

# The functions of brian2's language that a text may use, in NumPy.
FUNCTIONS = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh, "cosh": np.cosh, "abs": np.abs, "sign": np.sign, "clip": np.clip, "floor": np.floor,
    "ceil": np.ceil, "arctan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "log10": np.log10,
    "expm1": np.expm1, "log1p": np.log1p, "exprel": lambda x: np.where(x == 0, 1.0, np.expm1(x) / x),
    "int": lambda x: np.asarray(x).astype(int), "logical_not": np.logical_not, "pi": np.pi, "inf": np.inf, "e": np.e,
}  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """What a text may name: dimensions and expressions of both populations, constants, and the weight's dimension.

    Parameters
    ----------
    pre, post : mapping of str to Dimension
        Variables of the source and of the target.
    expressions : mapping of str to str
        The populations' own expressions under their suffixed names (``psi_post``), already in suffixed names.
    constants : mapping of str to Quantity or float
        Constants of the text and, suffixed, of the two populations.
    weight : Dimension
        Dimension of the weights.
    """

    pre: MappingProxyType
    post: MappingProxyType
    expressions: MappingProxyType
    constants: MappingProxyType
    weight: object

    def dimension(self, name):
        """Return the dimension of a name, or None if the text may not use it."""
        if name == WEIGHT:
            return self.weight
        for suffix, known in (("_pre", self.pre), ("_post", self.post)):
            if name.endswith(suffix) and name.removesuffix(suffix) in known:
                return known[name.removesuffix(suffix)]
        if name in self.constants:
            return get_dimensions(self.constants[name])
        return None


@dataclass(frozen=True)
class Statement:
    """One statement: ``target`` is set to (``=``), changed by (``+=``) or has the rate (``d/dt``) ``expr``."""

    text: str
    target: str
    operator: str
    expr: sympy.Expr


def parse_statement(text, scope, where):
    """Read one statement and check its names and dimensions.

    Parameters
    ----------
    text : str
        For example ``dw/dt = eta * s_pre * psi_post * m_post - decay * w`` or ``drive_post = w * s_pre``.
    scope : Scope
        What the text may name.
    where : str
        Words for an error message, as ``Projection(x, h).rule``.

    Returns
    -------
    Statement

    Raises
    ------
    EquationError
        If the text is not a statement, names something that does not exist here, or its sides differ in dimension.
    """
    match = STATEMENT.match(text)
    if not match or "\n" in match["expr"].strip():
        raise EquationError(f"{where}: one statement 'variable = expression' is needed, got {text.strip()!r}")
    target, operator, expression = match["diff"] or match["target"], match["op"], match["expr"]
    if match["diff"]:
        if operator != "=":
            raise EquationError(f"{where}: a rate is set with '=', got {text.strip()!r}")
        operator = "d/dt"
    try:
        names = get_identifiers(expression) - set(DEFAULT_FUNCTIONS)
        expr = str_to_sympy(expression)
    except (SyntaxError, ValueError, TypeError) as error:
        raise EquationError(f"{where}: cannot read {expression!r}: {error}") from None
    foreign = (get_identifiers(expression) & set(DEFAULT_FUNCTIONS)) - set(FUNCTIONS)
    if foreign:
        raise EquationError(f"{where}: {', '.join(sorted(foreign))} cannot be used here; there are {_functions()}")
    if expr.has(sympy.zoo, sympy.nan, sympy.oo):
        raise EquationError(f"{where}: {expression!r} is not finite")
    for name in sorted(names | {target}):
        if scope.dimension(name) is None and name not in DEFAULT_CONSTANTS:
            raise EquationError(f"{where}: {_unknown(name, scope)}")
    left = scope.dimension(target)
    if operator == "d/dt":
        left = left / SECOND
    _check_dimensions(left, expression, names, scope, f"{where}: {text.strip()!r}")
    return Statement(text.strip(), target, operator, expr)


def _functions():
    return ", ".join(sorted(name for name, value in FUNCTIONS.items() if callable(value)))


def _unknown(name, scope):
    known = [f"{v}_pre" for v in sorted(scope.pre)] + [f"{v}_post" for v in sorted(scope.post)]
    constants = [c for c in sorted(scope.constants) if not c.endswith(("_pre", "_post"))]
    message = f"'{name}' does not exist here; the text may name w, {', '.join(known)}"
    message += f" and the constants {', '.join(constants)}" if constants else " and constants given in namespace"
    if name in ("i", "j"):
        message += ". A rule sees only its own two neurons, never an index"
    return message


def _check_dimensions(left, expression, names, scope, where):
    variables = {n: Constant(n, value=1.0, dimensions=scope.dimension(n)) for n in names if n not in DEFAULT_CONSTANTS}
    variables |= DEFAULT_FUNCTIONS | {n: c for n, c in DEFAULT_CONSTANTS.items() if n in names}
    try:
        right = parse_expression_dimensions(expression, variables)
    except DimensionMismatchError as error:
        raise EquationError(f"{where}: {' '.join(str(error).split())}") from None
    if right is not left:
        raise EquationError(
            f"{where}: the left side has the unit {get_unit_for_display(left)}, "
            f"the right side {get_unit_for_display(right)}"
        )


def to_text(expr):
    """Return a sympy expression as the text that brian2 and NumPy read."""
    return sympy_to_str(expr)
