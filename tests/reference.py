"""What a rule and a transmit mean: a slow interpreter that loops over replicas, lanes and synapses in Python.

The compiled plan is tested against it. It takes the text as it is, line by line, and evaluates the right sides with
Python's ``eval`` on the numbers of one synapse in one lane; nothing of the package is used.
"""

import ast
import math
import re
from dataclasses import dataclass, field

import numpy as np

FUNCTIONS = {
    name: getattr(math, name)
    for name in ("exp", "log", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "floor", "ceil", "expm1",
                 "log1p", "pi", "inf")
} | {
    "abs": abs, "int": int, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "clip": lambda x, low, high: min(max(x, low), high),
    "exprel": lambda x: math.expm1(x) / x if x else 1.0,
}  # fmt: skip
RATE = re.compile(r"d(\w+)\s*/\s*dt\s*=(?!=)\s*(.+)")
STATEMENT = re.compile(r"(\w+)\s*([-+*/]?=)(?!=)\s*(.+)")
EVENTS = ("step", "pre", "post")  # in the order in which they run in a time step; the ends of phases come last


@dataclass
class Program:
    """A rule or a transmit, read: who is declared, and which statements run when."""

    declared: set = field(default_factory=lambda: {"w"})
    shared: set = field(default_factory=lambda: {"w"})
    named: dict = field(default_factory=dict)  # subexpressions: name to text
    rates: list = field(default_factory=list)  # (variable, text)
    statements: dict = field(default_factory=dict)  # event to [(variable, operator, text)]; a delivery is an event

    def read(self, text, event):
        """Add the lines of a text: declarations (with a colon), rates, statements."""
        for line in logical_lines(text):
            line, colon, unit = (part.strip() for part in line.partition(":"))
            rate, statement = RATE.fullmatch(line), STATEMENT.fullmatch(line)
            if colon and statement and not rate:
                self.named[statement[1]] = statement[3]
                continue
            if colon:
                variable = rate[1] if rate else line
                self.declared.add(variable)
                self.shared |= {variable} if "(shared)" in unit else set()
            if rate:
                self.rates.append(rate.groups())
            elif statement:
                self.statements.setdefault(event, []).append(statement.groups())
            elif not colon:
                raise ValueError(f"cannot read {line!r}")

    def code(self, text):
        """Return a right side as code, the named subexpressions put in for their names."""
        while any(re.search(rf"\b{name}\b", text) for name in self.named):
            for name, inner in self.named.items():
                text = re.sub(rf"\b{name}\b", f"({inner})", text)
        return compile(text, text, "eval")


def logical_lines(text):
    """Return the lines without comments and empty ones; a line goes on while a parenthesis is open."""
    lines, whole = [], ""
    for line in text.splitlines():
        whole = f"{whole} {line.partition('#')[0]}".strip()
        if whole and whole.count("(") == whole.count(")"):
            lines.append(whole)
            whole = ""
    return lines


def names(text):
    """Return the identifiers of a text."""
    return set(re.findall(r"\b[A-Za-z_]\w*", text))


class Reference:
    """One projection: every synapse by itself.

    Parameters
    ----------
    w : array (replicas, n_pre, n_post)
        Initial weights.
    lanes : int
    transmit, rule : str, or for the rule also a dict of event to str
    when : str
        Event of a text rule: "step", "pre", "post", or the name of a phase that ends.
    exists : array of bool, broadcast to the shape of w
        Which synapses there are.
    bounds : (low, high)
    dale : sign or signs (n_pre) of the sources
    constants : mapping of str to float
    dt : float
        Time step in seconds.
    spikes : names of the variables that are 1 in a step with a spike, of the source and of the target
    """

    def __init__(
        self, w, lanes=1, transmit="", rule=None, when="step", exists=True, bounds=None, dale=None, constants=None,
        dt=1e-4, spikes=("s_pre", "s_post"),
    ):  # fmt: skip
        self.w = np.array(w, float)
        self.lanes, self.dt = lanes, dt
        self.exists = np.broadcast_to(exists, self.w.shape)
        self.w[~self.exists] = 0
        low, high = bounds or (None, None)
        self.bounds = -np.inf if low is None else low, np.inf if high is None else high
        self.dale = np.broadcast_to(0 if dale is None else dale, self.w.shape[1])
        self.constants = FUNCTIONS | dict(constants or {}) | {"lanes": lanes}
        self.spikes = dict(zip(("pre", "post"), spikes, strict=True))
        self.program = Program()
        for event, text in (rule if isinstance(rule, dict) else {when: rule or ""}).items():
            self.program.read(text, event)
        self.program.read(transmit, "delivery")
        replicas, n_pre, n_post = self.w.shape
        self.state = {v: np.zeros((replicas, lanes, n_pre, n_post)) for v in self.program.declared - {"w"}}
        for variable in self.program.shared - {"w"}:
            self.state[variable] = np.zeros(self.w.shape)
        self.state["w"] = self.w

    def _evaluate(self, text, values, event=None):
        """Return a right side in every synapse and lane where the event is (replicas, lanes, n_pre, n_post), else 0.

        ``values`` are arrays (replicas, lanes, n) by suffixed name; a signal has no suffix and one value a lane.
        """
        code, happens = self.program.code(text), self.happens(event, values)
        result = np.zeros(happens.shape)
        sides = [(name, array) for name, array in values.items() if name in code.co_names]
        own = [(name, array) for name, array in self.state.items() if name in code.co_names]
        for r, lane, i, j in np.argwhere(happens):
            here = dict(self.constants)
            for name, array in sides:
                n = i if name.endswith("_pre") else j if name.endswith("_post") else 0
                here[name] = float(array[r, lane, n])
            for name, array in own:
                here[name] = float(array[r, i, j] if name in self.program.shared else array[r, lane, i, j])
            result[r, lane, i, j] = eval(code, {"__builtins__": {}}, here)  # noqa: S307
        return result

    def happens(self, event, values):
        """Return in which synapses an event is in which lane, in the shape (replicas, lanes, n_pre, n_post)."""
        where = np.repeat(self.exists[:, None], self.lanes, axis=1)
        if event == "pre":
            where &= values[self.spikes["pre"]][:, :, :, None] > 0.5
        if event == "post":
            where &= values[self.spikes["post"]][:, :, None, :] > 0.5
        return where

    def deliver(self, values):
        """Return what every variable of the target receives: the sum over its synapses, (replicas, lanes, n_post)."""
        return {
            target.removesuffix("_post"): self._evaluate(text, values).sum(axis=2)
            for target, _, text in self.program.statements["delivery"]
        }

    def learn(self, values, ended=()):
        """Run the rule in one time step, in which the phases ``ended`` end."""
        rates = [(variable, self.dt * self._evaluate(text, values)) for variable, text in self.program.rates]
        for variable, change in rates:
            self.state[variable] += change.sum(axis=1) if variable in self.program.shared else change
        self._bound()
        for event in (*EVENTS, *ended):
            for statement in self.program.statements.get(event, ()):
                self._assign(*statement, event, values)
            self._bound()

    def _assign(self, variable, operator, text, event, values):
        """Run one statement in every synapse and lane in which its event is.

        What is shared by the lanes changes by the sum of their right sides, and "=" sets it to that sum.
        """
        state, shared = self.state[variable], variable in self.program.shared
        limits = self._clipped(variable, operator, text) if shared and self.lanes > 1 else None
        if limits:
            text, *limits = limits
        elif shared and self.lanes > 1 and (operator in ("*=", "/=") or (operator == "=" and variable in names(text))):
            raise ValueError(f"{variable} {operator} {text} has no meaning in many lanes")
        value, happens = self._evaluate(text, values, event), self.happens(event, values)
        if limits:
            operator, value = "+=", np.where(happens, value - state[:, None], 0)  # d of clip(w + d, low, high)
        if shared:
            value, happens = value.sum(axis=1), happens.any(axis=1)
        new = {
            "=": lambda: value,
            "+=": lambda: state + value,
            "-=": lambda: state - value,
            "*=": lambda: state * value,
            "/=": lambda: state / np.where(happens, value, 1),
        }[operator]()
        if limits:
            new = np.clip(new, *(eval(self.program.code(limit), {}, self.constants) for limit in limits))
        state[happens] = new[happens]

    def _clipped(self, variable, operator, text):
        """Return the three arguments of ``w = clip(w + d, low, high)``, or None for any other statement."""
        call = ast.parse(text, mode="eval").body
        if operator == "=" and isinstance(call, ast.Call) and call.func.id == "clip":
            arguments = [ast.unparse(argument) for argument in call.args]
            return arguments if variable in names(arguments[0]) else None
        return None

    def _bound(self):
        """Keep the weights within their bounds, and of their source's sign; what does not exist stays 0."""
        self.w[...] = np.clip(self.w, *self.bounds)
        self.w[self.w * self.dale[:, None] < 0] = 0
        self.w[~self.exists] = 0
