"""The settings of a sweep: every point of a grid, with every sample of a random search.

Values are texts, as ``--set`` takes them, so that what a table says can be typed. What is drawn for one parameter
depends on the seed and on its name alone: more samples begin with the same ones, and a parameter that is added leaves
the draws of the others as they are.
"""

import itertools
import math
import zlib
from dataclasses import dataclass

import numpy as np
from brian2.units.fundamentalunits import Quantity

from neurosim.errors import ParameterError
from neurosim.experiment import plain

SCALES = ("linear", "log")
DIGITS = 6  # of a number that is drawn: what a table shows is what was run


@dataclass(frozen=True)
class Range:
    """What a parameter is drawn from: a range of numbers, or choices.

    Parameters
    ----------
    low, high : float
        The range, in ``unit``; ``high`` itself is drawn only of whole numbers.
    scale : {"linear", "log"}
        Uniform in the number or in its logarithm.
    whole : bool
        Whole numbers only.
    unit : str
        As ``*ms``, or nothing.
    choices : tuple of str
        Draw one of these texts, all as likely, and leave the rest out.
    """

    low: float = 0.0
    high: float = 1.0
    scale: str = "linear"
    whole: bool = False
    unit: str = ""
    choices: tuple = ()

    def draw(self, name, count, seed):
        """Return ``count`` draws as texts.

        Examples
        --------
        >>> Range(1e-4, 1e-1, "log").draw("eta", 3, seed=1) == Range(1e-4, 1e-1, "log").draw("eta", 5, seed=1)[:3]
        True
        """
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return [self._at(place) for place in generator.random(count)]

    def _at(self, place):
        """Return the text for a place within 0 and 1, without 1."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        low, high = self.low, self.high + self.whole
        if self.scale == "log":
            number = low * (high / low) ** place
        else:
            number = low + (high - low) * place
        if self.whole:
            return str(min(math.floor(number), int(self.high)))
        return f"{min(max(float(f'{number:.{DIGITS}g}'), self.low), self.high)!r}{self.unit}"


def combinations(grid, samples):
    """Return all settings of a sweep, as a list of {name: text}: the grid's last name changes fastest, then samples.

    Parameters
    ----------
    grid : dict of str to list of str
        Every value of every name is combined with every other.
    samples : dict of str to list of str
        The i-th values of all names belong together.

    Examples
    --------
    >>> [" ".join(each.values()) for each in combinations({"a": ["1", "2"], "b": ["x", "y"]}, {"c": ["5"]})]
    ['1 x 5', '1 y 5', '2 x 5', '2 y 5']
    """
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    drawn = [dict(zip(samples, values, strict=True)) for values in zip(*samples.values(), strict=True)] or [{}]
    return [point | sample for point in points for sample in drawn]


def read_range(spec, place, parameter):
    """Return the Range that a file states for a parameter.

    Parameters
    ----------
    spec : Specification
        The file.
    place : tuple
        Where in it, as ("random", "eta").
    parameter : Parameter
        Checks both ends, or all choices.

    Raises
    ------
    ParameterError
        With the line.
    """
    name = place[-1]
    stated = spec.get(*place)
    if not isinstance(stated, dict):
        raise spec.error(
            f"{name}: {{low = ..., high = ..., scale = 'log'}} or {{choices = [...]}} is needed, got {stated!r}", *place
        )
    spec.check(place, ("low", "high", "scale", "whole", "choices"))
    if "choices" in stated:
        if len(stated) > 1:
            raise spec.error(f"{name}: choices stand alone, without {', '.join(set(stated) - {'choices'})}", *place)
        choices = spec.value(*place, "choices", kind=list)
        if not choices:
            raise spec.error(f"{name}: choices are needed, got none", *place)
        texts = tuple(map(spec.text, choices))
        with spec.naming((*place, "choices")):
            for text in texts:
                parameter.read(text)
        return Range(choices=texts)
    for end in ("low", "high"):
        if end not in stated:
            raise spec.error(f"{name}: {end} is needed", *place)
    if isinstance(parameter.value, (str, tuple)):
        kind = "a word" if isinstance(parameter.value, str) else "a list of numbers"
        raise spec.error(f"{name} is {kind}: choices are needed in the place of low and high", *place)
    with spec.naming((*place, "low")):
        low = parameter.read(spec.text(stated["low"]))
    with spec.naming((*place, "high")):
        high = parameter.read(spec.text(stated["high"]))
    unit, scale = unit_of(parameter)
    ends = [float(end / scale) if unit else end for end in (low, high)]
    whole = spec.value(*place, "whole", kind=bool, default=isinstance(parameter.value, int))
    kind = spec.value(*place, "scale", kind=SCALES, default="linear")
    if not ends[0] < ends[1]:
        raise spec.error(f"{name}: low must be below high, got {plain(low)} and {plain(high)}", *place)
    if kind == "log" and ends[0] <= 0:
        raise spec.error(f"{name}: a logarithmic scale needs low above 0, got {plain(low)}", *place)
    if isinstance(parameter.value, int) and not whole:
        raise spec.error(f"{name} is a whole number: leave whole = false out", *place)
    if whole and any(end != int(end) for end in ends):
        raise spec.error(f"{name}: low and high must be whole numbers too, got {plain(low)} and {plain(high)}", *place)
    if whole and unit:
        raise spec.error(f"{name} has a unit: whole is for numbers without", *place)
    return Range(float(ends[0]), float(ends[1]), kind, whole, f"*{unit}" if unit else "")


def unit_of(parameter):
    """Return the unit in which a parameter's values are shown: its symbol ("" for none), and what to divide by."""
    if not isinstance(parameter.value, Quantity):
        return "", 1
    _, _, unit = plain(parameter.value).partition("*")
    try:
        return unit, parameter.read(f"1*{unit}")
    except ParameterError:
        scale = Quantity(1.0, dim=parameter.value.dim)
        return plain(scale).partition("*")[2], scale


def number_of(parameter, value):
    """Return a value as a table has it: a number in the parameter's unit, a whole number, or a text.

    Examples
    --------
    >>> from brian2 import ms, second
    >>> from neurosim.experiment import Parameter
    >>> number_of(Parameter("tau", 20 * ms, "ours", "time constant"), 0.5 * second)
    500.0
    """
    unit, scale = unit_of(parameter)
    if isinstance(value, Quantity):
        return float(f"{float(value / scale):.12g}") if unit else float(value)
    if isinstance(value, (bool, int, float, np.number)):
        return value.item() if isinstance(value, np.number) else value
    return plain(value)


def heading(parameter):
    """Return what a parameter's column is called: its name, with its unit where it has one."""
    unit = unit_of(parameter)[0]
    return f"{parameter.name} ({unit})" if unit else parameter.name
