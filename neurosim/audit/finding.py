"""A finding on one criterion: verdict, evidence, and what the experiment showed."""

from dataclasses import dataclass

from neurosim.plasticity.custom import Kernel

UNSEEN, UNMEASURED, TOO_LITTLE, NO_WAY = "no change seen", "not measured", "not decided", "no way in the texts"
UNDECIDED = (UNSEEN, UNMEASURED, TOO_LITTLE, NO_WAY)


@dataclass(frozen=True)
class Finding:
    """A verdict on one criterion.

    Attributes
    ----------
    criterion : str
        Its short name.
    holds : bool or None
        Whether the model is plausible in this respect; None where the question does not arise, or cannot be decided.
    short : str
        A word or two for a matrix.
    evidence : tuple of str
        Lines of equations and wiring, or numbers.
    checked : tuple of str
        What was done to check it, and what came out.
    """

    criterion: str
    holds: bool | None
    short: str
    evidence: tuple = ()
    checked: tuple = ()

    @property
    def is_open(self):
        """Whether the question arises, and could not be decided."""
        return self.holds is None and self.short in UNDECIDED


def note(problems, short, name, told):
    """Note a problem of a projection: a short word for the matrix, and a line."""
    problems.setdefault(short, {}).setdefault(told, []).append(name)


def lines_of(problems):
    """Return what was noted as lines, each with the projections that it is true of."""
    return [f"{', '.join(dict.fromkeys(names))}: {told}" for each in problems.values() for told, names in each.items()]


def rules(projections):
    """Return the texts of rules, each with the projections that learn by it and what it reads."""
    found = {}
    for each in projections:
        if isinstance(each.rule, Kernel):
            text = f"Kernel {each.rule.function.__name__}; reads {', '.join(each.rule.reads)}"
        else:
            text = "; ".join(s.text for s in each.rule_statements)
            names = sorted({symbol.name for s in each.rule_statements for symbol in s.expr.free_symbols})
            parts = {
                "pre": [n.removesuffix("_pre") for n in names if n.endswith("_pre") and n not in each.scope.constants],
                "post": [
                    n.removesuffix("_post") for n in names if n.endswith("_post") and n not in each.scope.constants
                ],
                "synapse": [n for n in names if n in each.scope.synapse],
                "global": [f"{n} ({each.signals[n][0].name})" for n in names if n in each.signals],
            }
            told = [f"{side} {', '.join(names)}" for side, names in parts.items() if names]
            text += f"    reads {'; '.join(told)}"
        found.setdefault(text, []).append(each.name)
    return [f"{', '.join(names)}: {text}" for text, names in found.items()]


def is_read(x, node):
    """Say whether anything depends on a variable."""
    return any(edge.source == node for edge in x.wiring.edges)


def in_words(edge):
    """Return a dependence in words: whose line it is, and the line."""
    by = f" ({edge.by.name})" if edge.by is not None else ""
    return f"{edge.target[0]}: {edge.line}{by}"


def defined(population, variable):
    """Return the line that says what a variable is."""
    if variable in population.expressions:
        return f"{variable} = {' '.join(population.expressions[variable].split())}"
    for line in population.model.update.strip().splitlines():
        if line.strip().startswith((f"{variable} =", f"{variable}=")):
            return line.strip()
    for each in population.equations.values():
        if each.varname == variable and each.expr is not None:
            return f"d{variable}/dt = {' '.join(str(each.expr).split())}"
    return f"{variable} is set or received"
