"""What a model file declares: parameters with sources, published numbers, experiments."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType

import numpy as np
from brian2.units import allunits, stdunits
from brian2.units.fundamentalunits import Quantity, Unit, have_same_dimensions

from neurosim.errors import ParameterError, unknown

QUANTITY = re.compile(r"\s*([-+0-9.eE]+|nan|inf|-inf)\s*\*?\s*([A-Za-z]\w*)?\s*$")


@dataclass(frozen=True)
class Parameter:
    """One number of an experiment, or a list of sizes: value, unit, range, source and meaning.

    Parameters
    ----------
    name : str
        As in ``--set name=value``.
    value : int, float, Quantity, tuple of int or str
        The default; a value set by a user must be of its kind.
    source : str
        The paper's section or table, or "ours" with the reason.
    meaning : str
        One line.
    unit : str
        Shown beside the value; a Quantity brings its own.
    low, high : number, optional
        The range; ``above`` and ``below`` exclude their borders.
    choices : tuple of str, optional
        What a word may be.
    """

    name: str
    value: object
    source: str
    meaning: str
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple = ()

    def read(self, text):
        """Return the value that a text stands for, checked.

        Raises
        ------
        ParameterError
            If it is of the wrong kind, unit or range.
        """
        text = str(text).strip()
        if isinstance(self.value, Quantity):
            return self.check(self._read_quantity(text))
        if isinstance(self.value, tuple):
            kind = float if any(isinstance(each, float) for each in self.value) else int
            return self.check(tuple(self._read_number(part, kind) for part in text.split(",")))
        if isinstance(self.value, str):
            return self.check(text)
        return self.check(self._read_number(text, type(self.value)))

    def restore(self, number):
        """Return the value that run.json holds as this number, word or list, checked."""
        if isinstance(self.value, Quantity):
            return self.check(Quantity(float(number), dim=self.value.dim))
        return self.check(tuple(number) if isinstance(self.value, tuple) else type(self.value)(number))

    def _read_number(self, text, kind):
        try:
            value = float(text)
            if kind is int and value == int(value):
                return int(value)
            if kind is float:
                return value
        except (ValueError, OverflowError):
            pass
        words = {int: "a whole number", float: "a number"}[kind]
        if isinstance(self.value, tuple):
            words = f"{words.removeprefix('a ')}s with commas between them, as " + ",".join(map(str, self.value))
        raise ParameterError(f"{self.name}: {words} is needed, got {text!r}")

    def _read_quantity(self, text):
        match = QUANTITY.match(text)
        name = match[2] if match and match[2] else ""
        unit = getattr(stdunits, name, getattr(allunits, name, _as_written().get(name)))
        if not isinstance(unit, Quantity):
            raise ParameterError(f"{self.name}: a number with a unit is needed, as {plain(self.value)}, got {text!r}")
        if not have_same_dimensions(unit, self.value):
            raise ParameterError(f"{self.name}: a unit like that of {plain(self.value)} is needed, got {text!r}")
        try:
            return float(match[1]) * unit
        except ValueError:
            raise ParameterError(f"{self.name}: a number with a unit is needed, got {text!r}") from None

    def check(self, value):
        """Return the value if it has the unit and lies in the range, raise a ParameterError if not."""
        if isinstance(self.value, Quantity) and not have_same_dimensions(value, self.value):
            raise ParameterError(f"{self.name}: a unit like that of {plain(self.value)} is needed, got {value!r}")
        if self.choices and value not in self.choices:
            raise unknown(f"value of {self.name}", value, self.choices)
        for number in value if isinstance(value, tuple) else [value]:
            if isinstance(number, str):
                continue
            bare = float(number)
            wrong = (
                not math.isfinite(bare)
                or (self.low is not None and bare < self.low)
                or (self.above is not None and bare <= self.above)
                or (self.high is not None and bare > self.high)
                or (self.below is not None and bare >= self.below)
            )
            if wrong:
                raise ParameterError(f"{self.name}: {self.range or 'a finite number is needed'}, got {plain(number)}")
        return value

    @property
    def range(self):
        """The range in words, or an empty text."""
        parts = [
            f"{sign} {limit}"
            for sign, limit in ((">=", self.low), (">", self.above), ("<=", self.high), ("<", self.below))
            if limit is not None
        ]
        return f"must be {' and '.join(parts)}" if parts else ""


@cache
def _as_written():
    """Return brian2's units by the symbols with which it writes them, as s and pS."""
    return {unit.dispname: unit for unit in vars(allunits).values() if isinstance(unit, Unit)}


def check_ranges(parameters, values):
    """Refuse values, by name, that lie out of a parameter's range or have another unit; see :meth:`Parameter.check`."""
    for each in parameters:
        if each.name in values:
            each.check(values[each.name])


def plain(value):
    """Return a value as a user would type it."""
    if isinstance(value, Quantity):
        return str(value).replace(". ", " ").replace(" ", "*")
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


RUN = (
    Parameter("lanes", 1, "ours: the changes of all lanes are summed", "inputs side by side", "inputs", low=1),
    Parameter("replicas", 1, "ours", "independent networks side by side", "networks", low=1),
    Parameter("epochs", 1, "ours", "passes through the training examples", "passes", low=1, high=10**6),
)


@dataclass(frozen=True)
class Published:
    """A published number that a condition of an experiment is held against; ``condition`` None is the only one."""

    value: float
    text: str
    data: str
    source: str
    condition: str | None = None
    split: str = "test"


@dataclass(frozen=True)
class Expect:
    """What a condition must give with the defaults for a data set: a final mean within ``least`` and ``most``."""

    most: float | None
    note: str
    condition: str | None = None
    least: float | None = None
    split: str = "test"

    def holds(self, mean):
        """Say whether a mean is as expected."""
        return (self.most is None or mean <= self.most) and (self.least is None or mean >= self.least)


@dataclass(frozen=True)
class Comparison:
    """A claim that one condition ends lower than another, replica by replica; or, if ``alike``, that they end alike."""

    lower: str
    higher: str
    published: str
    alike: bool = False


@dataclass(frozen=True)
class Preset:
    """What an experiment sets differently for one data set: values by name, each with its source.

    ``inputs`` is the data set's number of inputs: data without a preset get the one that is nearest in that. An
    experiment on a function that networks learn makes its own data: ``task(values, seed)`` returns them.
    """

    values: MappingProxyType
    inputs: int
    duration: str
    expect: tuple = ()
    task: Callable | None = None

    def __post_init__(self):
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


@dataclass(frozen=True)
class Experiment:
    """One experiment of a paper: what ``neurosim run <model>.<name>`` does.

    Parameters
    ----------
    name, title : str
        As on the command line, and in a line of words.
    parameters : tuple of Parameter
        All that ``--set`` knows beside lanes, replicas and epochs.
    presets : dict of str to Preset
        The data sets that the experiment is made for; the first is the default.
    build : callable (values, data, seed) -> Circuit
        Makes the network from values by name.
    conditions : dict of str to dict
        What is compared: name to the parameters that the condition sets. A run simulates one after another, on the
        same data and seeds.
    factors : tuple of str
        Parameters that tell the conditions apart; what else a condition sets is a default for it, as a learning rate.
    metric : {"error", "nse"}
        Fraction of wrong guesses, or normalised squared error.
    published : tuple of Published
        The paper's numbers.
    comparisons : tuple of Comparison
        The paper's claims on which condition ends lower.
    neurons : dict of str to NeuronType
        The neuron types, for ``neurosim show``.
    texts : dict of str to str
        Transmits and rules, for ``neurosim show``.
    figures : tuple of str or callable
        The figures that a run draws: names known to :mod:`neurosim.plots`, and functions from a Run to a matplotlib
        Figure, whose names are the functions'.
    study : callable (values, seed) -> dict of str to (array, unit), optional
        What the experiment computes beside training, once a run and before it: kept in ``study.npz`` for its figures.
    told : callable (Run) -> iterable of str, optional
        Lines that a run says at its end beside its errors, as how many time steps were saved.
    check : callable (values) -> None, optional
        Raises a ParameterError for values that do not go together; called for all conditions before a run begins.
    notes : str
        Equations, *Departures* and *Expect*: the docstring of the experiment's file.
    """

    name: str
    title: str
    parameters: tuple
    presets: MappingProxyType
    build: Callable
    conditions: MappingProxyType
    factors: tuple = ("algorithm",)
    metric: str = "error"
    published: tuple = ()
    comparisons: tuple = ()
    neurons: MappingProxyType = field(default_factory=dict)
    texts: MappingProxyType = field(default_factory=dict)
    figures: tuple = ()
    study: Callable | None = None
    told: Callable | None = None
    check: Callable | None = None
    notes: str = ""

    @property
    def figure_names(self):
        """Names of the figures that a run draws."""
        return tuple(getattr(figure, "__name__", figure) for figure in self.figures)

    def preset_for(self, data_name, inputs=None):
        """Return the name of the preset for a data set: its own, or the one that is nearest in the number of inputs."""
        if data_name in self.presets:
            return data_name
        if inputs is None:
            return next(iter(self.presets))
        return min(self.presets, key=lambda name: abs(np.log(self.presets[name].inputs / inputs)))

    def parameters_for(self, data_name, inputs=None):
        """Return all parameters, name to Parameter, with a preset's values as defaults; see :meth:`preset_for`."""
        preset = self.presets[self.preset_for(data_name, inputs)]
        known = {p.name: p for p in (*self.parameters, *RUN)}
        for name, (value, source) in preset.values.items():
            known[name] = replace(known[name], value=value, source=source)
        return known

    def resolve(self, data_name, settings, inputs=None):
        """Return values by name: defaults for the data set with a user's settings (name to text) put in.

        Raises
        ------
        ParameterError
            For an unknown name (with the nearest) or a wrong value.
        """
        known = self.parameters_for(data_name, inputs)
        values = {name: parameter.value for name, parameter in known.items()}
        for name, text in settings.items():
            if name not in known:
                raise unknown("parameter", name, known)
            values[name] = known[name].read(text)
        return values

    def choose(self, values, settings=(), names=None):
        """Return the conditions of a run: name to values by name.

        Parameters
        ----------
        values : dict
            As :meth:`resolve` returns them.
        settings : iterable of str
            Names of the parameters that the user has set: conditions with another value of a factor drop out, other
            parameters hold for all. Where all drop out, the values as they are become the one condition.
        names : list of str, optional
            Conditions asked for by name; all if it is left out.

        Raises
        ------
        ParameterError
            For an unknown name, or one that the settings exclude.
        """
        for name in names or ():
            if name not in self.conditions:
                raise unknown("condition", name, self.conditions)
        factors = [name for name in settings if name in self.factors]
        fitting = {
            name: {**values, **own, **{each: values[each] for each in settings}}
            for name, own in self.conditions.items()
            if all(own[each] == values[each] for each in factors if each in own)
        }
        for name in names or ():
            if name not in fitting:
                own = _pairs(self.conditions[name])
                raise ParameterError(f"--conditions: '{name}' sets {own}, --set says otherwise")
        if names:
            return {name: fitting[name] for name in dict.fromkeys(names)}
        return fitting or {_pairs({name: values[name] for name in factors}): dict(values)}


def _pairs(settings):
    return ",".join(f"{name}={plain(value)}" for name, value in settings.items())
