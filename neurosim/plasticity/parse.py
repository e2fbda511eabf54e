"""Read the text of a transmit or a rule: declarations, statements, names, dimensions.

A text names variables of the source (``_pre``) and of the target (``_post``), the weight ``w`` and the variables of
the synapse that it declares, signals declared global, and constants with units; nothing else exists for it.
"""

import re
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import sympy
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.core.variables import Constant
from brian2.equations.equations import EquationError as BrianEquationError
from brian2.equations.equations import dimensions_and_type_from_string
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str
from brian2.units.fundamentalunits import (
    DIMENSIONLESS,
    DimensionMismatchError,
    get_dimensions,
    get_unit_for_display,
)
from brian2.units.stdunits import ms
from brian2.utils.stringtools import get_identifiers
from scipy.special import exprel

from neurosim.errors import EquationError

WEIGHT = "w"
LANES = "lanes"
DT = sympy.Symbol("dt", real=True)
RATE, STEP, PRE, POST = "rate", "step", "pre", "post"  # events; the end of a phase is an object of its own
STATEMENT = re.compile(
    r"(?:d(?P<diff>\w+)\s*/\s*dt|(?P<target>\w+))\s*(?P<op>[-+*/]?=)\s*(?P<expr>[^=:][^:]*?)\s*(?::\s*(?P<unit>[^:]+))?",
    re.S,
)
DECLARATION = re.compile(r"(?P<target>\w+)\s*:\s*(?P<unit>[^:]+)")
UNIT = re.compile(r"(?P<unit>[^()]*(?:\([^()]*\)[^()]*)*?)\s*(?:\((?P<flag>[a-z][a-z -]+)\))?")
SECOND = get_dimensions(ms)
CONDITION = "a condition is a number as int(condition)"
UNREADABLE = (SyntaxError, ValueError, TypeError, NotImplementedError, KeyError, AttributeError)
RESERVED = {"int_", "i", "j", "t", "dt", "N", "xi", "lanes", "w"} | set(DEFAULT_FUNCTIONS) | set(DEFAULT_CONSTANTS)

# The functions of brian2's language that a text may use, in NumPy.
FUNCTIONS = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh, "cosh": np.cosh, "abs": np.abs, "sign": np.sign, "clip": np.clip, "floor": np.floor,
    "ceil": np.ceil, "arctan": np.arctan, "arcsin": np.arcsin, "arccos": np.arccos, "log10": np.log10,
    "expm1": np.expm1, "log1p": np.log1p, "exprel": exprel,
    "int": lambda x: np.asarray(x).astype(int), "logical_not": np.logical_not, "pi": np.pi, "inf": np.inf, "e": np.e,
}  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """What a text may name, with dimensions.

    Parameters
    ----------
    pre, post : mapping of str to Dimension
        Variables of the source and of the target.
    expressions : mapping of str to sympy expression
        The populations' own expressions under their suffixed names (``psi_post``), already in suffixed names.
    constants : mapping of str to Quantity or float
        Constants of the text and, suffixed, of the two populations.
    synapse : mapping of str to Dimension
        The weight, if there is one, and the variables that the rule declares.
    signals : mapping of str to Dimension
        Signals declared global.
    functions : mapping of str to Function
        The user's own functions, as brian2 functions.
    named : mapping of str to (sympy expression, Dimension)
        The text's own subexpressions.
    where : str
        Words for an error message, as ``Projection(x, h)``.
    """

    pre: MappingProxyType
    post: MappingProxyType
    expressions: MappingProxyType
    constants: MappingProxyType
    synapse: MappingProxyType
    signals: MappingProxyType = field(default_factory=dict)
    functions: MappingProxyType = field(default_factory=dict)
    named: MappingProxyType = field(default_factory=dict)
    where: str = "a rule or transmit"

    def dimension(self, name):
        """Return the dimension of a name, or None if the text may not use it."""
        for known in (self.synapse, self.signals):
            if name in known:
                return known[name]
        if name in self.named:
            return self.named[name][1]
        for suffix, known in (("_pre", self.pre), ("_post", self.post)):
            if name.endswith(suffix) and name.removesuffix(suffix) in known:
                return known[name.removesuffix(suffix)]
        if name in self.constants:
            return get_dimensions(self.constants[name])
        return None


@dataclass(frozen=True)
class Variable:
    """A variable of every synapse that a rule declares; ``shared`` by the lanes, as the weight is, or not."""

    name: str
    dimension: object
    shared: bool


@dataclass(frozen=True)
class Statement:
    """One statement: ``target`` is set to (``=``), changed by (``+=``) or has the rate (``d/dt``) ``expr``."""

    text: str
    target: str
    operator: str
    expr: sympy.Expr
    event: object = STEP


@dataclass(frozen=True)
class Line:
    """One line of a text, cut into its parts and not yet understood."""

    text: str
    target: str
    operator: str  # "d/dt", "=", "+=", "-=", "*=", "/=" or "" for a bare declaration
    expression: str
    unit: str | None
    event: object


def split(text, where, event=STEP):
    """Cut a text into lines; comments go, and a line goes on while a parenthesis is open.

    Raises
    ------
    EquationError
        If a line is neither a statement nor a declaration.
    """
    if not isinstance(text, str):
        raise EquationError(f"{where}: a text is needed, got {type(text).__name__}")
    pieces, depth = [], 0
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if depth > 0:
            pieces[-1] += " " + line
        else:
            pieces.append(line)
        depth = pieces[-1].count("(") - pieces[-1].count(")")
    if not pieces:
        raise EquationError(f"{where}: the text has no statement")
    return [_line(piece, where, event) for piece in pieces]


def _line(piece, where, event):
    match = STATEMENT.fullmatch(piece)
    if match is None:
        bare = DECLARATION.fullmatch(piece)
        if bare is None:
            raise EquationError(f"{where}: a statement 'variable = expression' is needed, got {piece!r}")
        return Line(piece, bare["target"], "", "", bare["unit"].strip(), event)
    operator = match["op"]
    if match["diff"]:
        if operator != "=":
            raise EquationError(f"{where}: a rate is set with '=', got {piece!r}")
        operator, event = "d/dt", RATE
    return Line(piece, match["diff"] or match["target"], operator, match["expr"], match["unit"], event)


def declarations(lines, where):
    """Return the variables that lines declare, ``{name: Variable}``: those with a unit that are no subexpression.

    Raises
    ------
    EquationError
        If a name is reserved or declared twice, or a unit cannot be read.
    """
    found = {}
    for line in lines:
        if line.unit is None or line.operator == "=":
            continue
        if line.operator not in ("", "d/dt"):
            raise EquationError(f"{where}: a unit belongs to a declaration or a rate, got {line.text!r}")
        dimension, flag = _unit(line.unit, where)
        if line.target == WEIGHT:
            raise EquationError(f"{where}: w has the unit of the initial weights and is not declared: {line.text!r}")
        _check_new(line.target, found, where)
        if flag not in (None, "shared"):
            raise EquationError(f"{where}: the only flag of a variable is (shared), got ({flag}) in {line.text!r}")
        found[line.target] = Variable(line.target, dimension, flag == "shared")
    return found


def check_apart(variables, taken, where):
    """Refuse a variable of the synapse with the name of a constant or a signal."""
    for name in variables:
        if name in taken:
            raise EquationError(f"{where}: '{name}' is a constant or a signal already; give the variable another name")


def _check_new(name, found, where):
    if name in RESERVED or name.endswith(("_pre", "_post")):
        raise EquationError(f"{where}: '{name}' is reserved; give the variable of the synapse another name")
    if name in found:
        raise EquationError(f"{where}: '{name}' is declared twice")


def _unit(text, where):
    match = UNIT.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("not a unit")
        return dimensions_and_type_from_string(match["unit"].strip())[0], match["flag"]
    except (ValueError, SyntaxError, TypeError, NameError, AttributeError, BrianEquationError) as error:
        raise EquationError(f"{where}: cannot read the unit {text!r}: {error}") from None


def with_subexpressions(lines, scope, where):
    """Return the scope with the lines' named subexpressions (``g = s_pre * h_post : 1``), in the order of the text."""
    for line in lines:
        if line.operator == "=" and line.unit is not None:
            dimension, flag = _unit(line.unit, where)
            if flag:
                raise EquationError(f"{where}: a subexpression has no flag, got {line.text!r}")
            _check_new(line.target, (*scope.synapse, *scope.named, *scope.constants, *scope.signals), where)
            expr = read_expression(line.expression, dimension, scope, where, line.text)
            scope = replace(scope, named={**scope.named, line.target: (expr, dimension)})
    return scope


def statements(lines, scope, where, *, delivers=False):
    """Return the statements of the lines, their names and dimensions checked, subexpressions put in.

    ``x -= y`` becomes ``x += -(y)``, ``x *= y`` becomes ``x = x * y``.

    Raises
    ------
    EquationError
        If a statement names something that does not exist here, or its sides differ in dimension.
    """
    changes = (lambda name: name.endswith("_post")) if delivers else scope.synapse.__contains__
    allowed = "a transmit sets a variable of the target: 'variable_post = ...' is needed"
    if not delivers:
        allowed = f"a rule changes {', '.join(scope.synapse)}"
    found = []
    for line in lines:
        if delivers and line.operator in ("", "d/dt"):
            raise EquationError(f"{where}: {line.text!r} belongs into a rule; 'variable_post = ...' is needed")
        if line.operator == "" or (line.operator == "=" and line.unit is not None):
            continue
        left = scope.dimension(line.target)
        if left is None and operator_declares(line):
            raise EquationError(f"{where}: '{line.target}' is not declared: its unit is missing, '{line.text} : 1'")
        if left is None:
            raise EquationError(f"{where}: {_unknown(line.target, scope)}")
        if not changes(line.target):
            raise EquationError(f"{where}: {line.text!r} sets '{line.target}', {allowed}")
        operator, target = line.operator, sympy.Symbol(line.target, real=True)
        wanted = left / SECOND if operator == "d/dt" else get_dimensions(1) if operator in ("*=", "/=") else left
        expr = read_expression(line.expression, wanted, scope, where, line.text)
        if operator == "-=":
            operator, expr = "+=", -expr
        elif operator in ("*=", "/="):
            operator, expr = "=", target * expr if operator == "*=" else target / expr
        found.append(Statement(line.text, line.target, operator, expr, line.event))
    return found


def operator_declares(line):
    """Say whether a line would declare its variable if it had a unit."""
    return line.operator == "d/dt" and line.unit is None


def read_expression(text, dimension, scope, where, line):
    """Return an expression as sympy reads it, after its names and its dimension were checked."""
    try:
        names = get_identifiers(text) - set(DEFAULT_FUNCTIONS) - set(scope.functions)
        expr = str_to_sympy(text)
    except UNREADABLE as error:
        hint = f"; {CONDITION}" if re.search(r"[<>]|==|!=|\band\b|\bor\b|\bnot\b", text) else ""
        raise EquationError(f"{where}: cannot read {text!r}: {error}{hint}") from None
    if isinstance(expr, sympy.logic.boolalg.Boolean) and not expr.is_Symbol:
        raise EquationError(f"{where}: {text!r} is a condition; {CONDITION}")
    if not isinstance(expr, sympy.Expr):
        raise EquationError(f"{where}: {text!r} is no expression")
    foreign = (get_identifiers(text) & set(DEFAULT_FUNCTIONS)) - set(FUNCTIONS)
    if foreign:
        raise EquationError(f"{where}: {', '.join(sorted(foreign))} cannot be used here; there are {_functions()}")
    clips = {f: f.args[0] for f in expr.atoms(sympy.core.function.AppliedUndef) if f.func.__name__ == "clip"}
    if any(len(f.args) != 3 for f in clips):
        raise EquationError(f"{where}: clip(x, low, high) is needed, got {text!r}")
    if expr.has(sympy.logic.boolalg.BooleanAtom):
        raise EquationError(f"{where}: {text!r}: True and False are written 1 and 0")
    if expr.xreplace(clips).has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I):
        raise EquationError(f"{where}: {text!r} is not finite")
    for name in sorted(names):
        if scope.dimension(name) is None and name not in DEFAULT_CONSTANTS:
            raise EquationError(f"{where}: {_unknown(name, scope)}")
    for power in expr.atoms(sympy.Pow):
        for name in sorted(symbol.name for symbol in power.exp.free_symbols):
            if scope.dimension(name) not in (None, DIMENSIONLESS):
                raise EquationError(f"{where}: {line!r}: the exponent {to_text(power.exp)} must have no unit")
    _check_dimensions(dimension, text, names, scope, f"{where}: {line!r}")
    return expr.subs({s: scope.named[s.name][0] for s in expr.free_symbols if s.name in scope.named})


def _functions():
    return ", ".join(sorted(name for name, value in FUNCTIONS.items() if callable(value)))


def _unknown(name, scope):
    known = [f"{v}_pre" for v in sorted(scope.pre)] + [f"{v}_post" for v in sorted(scope.post)]
    own = [*scope.synapse, *scope.named]
    constants = [c for c in sorted(scope.constants) if not c.endswith(("_pre", "_post"))]
    message = f"'{name}' does not exist here; the text may name {', '.join([*own, *known])}"
    message += f", the signals {', '.join(scope.signals)}" if scope.signals else ""
    message += f" and the constants {', '.join(constants)}" if constants else " and constants given in namespace"
    if name in ("i", "j"):
        message += ". A rule sees only its own two neurons, never an index"
    elif not name.endswith(("_pre", "_post")) and not scope.signals:
        message += f". A constant goes into namespace={{'{name}': ...}}, a signal that is one number for all into "
        message += f"signals={{'{name}': (population, 'r')}}"
    return message


def _check_dimensions(left, expression, names, scope, where):
    values = {n: float(scope.constants[n]) for n in names if n in scope.constants}  # an exponent decides a dimension
    variables = {
        n: Constant(n, value=values.get(n, 1.0), dimensions=scope.dimension(n))
        for n in names
        if n not in DEFAULT_CONSTANTS
    }
    variables |= DEFAULT_FUNCTIONS | dict(scope.functions) | {n: c for n, c in DEFAULT_CONSTANTS.items() if n in names}
    try:
        right = parse_expression_dimensions(expression, variables)
    except (DimensionMismatchError, *UNREADABLE) as error:
        raise EquationError(f"{where}: {' '.join(str(error).split())}") from None
    if right is not left:
        raise EquationError(
            f"{where}: the left side has the unit {get_unit_for_display(left)}, "
            f"the right side {get_unit_for_display(right)}"
        )


def to_text(expr):
    """Return a sympy expression as the text that brian2 and NumPy read."""
    return sympy_to_str(expr)
