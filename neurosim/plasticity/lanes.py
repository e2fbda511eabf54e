"""Statements where several lanes do things at once: spikes as factors, rates as changes, clips apart."""

from dataclasses import replace

import sympy

from neurosim.errors import EquationError
from neurosim.plasticity.parse import DT, POST, PRE, RATE
from neurosim.plasticity.plan import SHARED, side
from neurosim.plasticity.spikes import spike_symbol


def lane_change(statement, event, projection, where):
    """Return (operator, change in a lane) of a statement at an event, where several lanes do things at once."""
    expr, operator = statement.expr, statement.operator
    if event in (PRE, POST):
        population, suffix = (projection.source, "_pre") if event == PRE else (projection.target, "_post")
        spike = spike_symbol(population, suffix)
        if operator == "=":
            if projection.kept[statement.target] == SHARED:
                raise EquationError(
                    f"{where}: {statement.text!r} sets what is shared by {projection.copies} lanes on a spike in one "
                    "of them; write it as a change, '+='"
                )
            expr = expr - sympy.Symbol(statement.target, real=True)
        return "+=", spike * expr
    if event == RATE:
        return "+=", expr * DT
    own = operator == "=" and statement.target in {s.name for s in expr.free_symbols}
    if own and projection.kept[statement.target] == SHARED and projection.copies > 1:
        raise EquationError(
            f"{where}: {statement.text!r} sets what is shared by {projection.copies} lanes from itself; write it as a "
            "change with '+=' that every lane adds, as 'w += -0.1 * w / lanes'"
        )
    return operator, expr


def without_clip(statement, scope):
    """Return (change, clip) for ``w = clip(w + change, low, high)`` with the same limits in all lanes, else None."""
    expr, target = statement.expr, sympy.Symbol(statement.target, real=True)
    if statement.operator != "=" or not expr.is_Function or expr.func.__name__ != "clip":
        return None
    change, limits = sympy.expand(expr.args[0]) - target, expr.args[1:]
    if target in change.free_symbols or any(side(limit, scope) for limit in limits):
        return None
    return replace(statement, operator="+=", expr=change), expr.func(target, *limits)
