"""Projection: all synapses from one population to another: weights, transmit, rule."""

from dataclasses import dataclass

import brian2
import numpy as np
import sympy
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.parsing.sympytools import str_to_sympy
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity, get_dimensions, get_unit_for_display

from neurosim.errors import ParameterError
from neurosim.limits import check_fits
from neurosim.plasticity.execute import Learning, Transmission
from neurosim.plasticity.parse import Scope, parse_statement
from neurosim.population import DELIVER, SLOTS_PER_ORDER, Population


@dataclass(frozen=True)
class Uniform:
    """Initial weights drawn independently and uniformly from [-half_width, half_width], which may carry a unit."""

    half_width: float | Quantity

    def draw(self, shape, generator):
        """Return an array of that shape in base units."""
        width = float(self.half_width)
        if not 0 <= width < np.inf:
            raise ParameterError(f"Uniform: weights need a finite half width of at least 0, got {self.half_width}")
        return generator.uniform(-width, width, shape)

    @property
    def dimension(self):
        """Dimension of the weights."""
        return get_dimensions(self.half_width)


class Projection(brian2.core.base.BrianObject):
    """All synapses from one population to another.

    In every step the projection delivers as soon as its source has updated, and learns after the sweep from the
    values that the step has ended with. With lanes the change is the sum over lanes of the rule's right side.

    Parameters
    ----------
    source, target : Population
        With the same replicas, lanes and precision.
    transmit : str
        What the target receives: ``variable_post = sum of terms c * w * g(pre)``, summed over the source, for
        example ``drive_post = w * s_pre``. Without ``w`` the projection is one-to-one: ``m_post = m_pre``.
    rule : str, optional
        How the weights change in every step: ``dw/dt = ...`` or ``w += ...`` with a sum of terms
        ``c * g(pre) * h(post)`` and ``c * w``. Without a rule the weights stay as they are.
    weights : Uniform or array_like or Quantity
        Initial weights: a distribution, or a matrix (n_pre, n_post) for all replicas or (replicas, n_pre, n_post).
    seed : int or numpy.random.SeedSequence, optional
        Decides the weights drawn; every replica draws its own.
    namespace : dict
        Constants that the texts name, with units.
    name : str, optional
        Name of the object in brian2.

    Attributes
    ----------
    plastic : bool
        False freezes the weights.
    open : bool
        Whether the phase that is going on lets the projection learn; a Presentation sets it.

    Raises
    ------
    EquationError
        If a text cannot be read or planned, or the dimensions of its two sides differ.
    ParameterError
        If populations or weights do not fit.

    Examples
    --------
    >>> from brian2 import Hz, ms
    >>> from neurosim import Population, Projection, Uniform, neurons
    >>> x = Population(4, neurons.BERNOULLI_INPUT, order=0, namespace={"p_max": 0.95})
    >>> h = Population(3, neurons.BERNOULLI, order=1, namespace={"tau": 5 * ms})
    >>> p = Projection(x, h, transmit="drive_post = w * s_pre", rule="dw/dt = eta * s_pre * psi_post * m_post",
    ...                weights=Uniform(0.05), seed=1, namespace={"eta": 1 * Hz})
    >>> p.w.shape
    (1, 4, 3)
    """

    add_to_magic_network = True

    def __init__(
        self, source, target, transmit, rule=None, weights=None, seed=None, namespace=None, name="projection*",
    ):  # fmt: skip
        for word, population in (("source", source), ("target", target)):
            if not isinstance(population, Population):
                raise ParameterError(f"Projection.{word}: a Population is needed, got {type(population).__name__}")
        for word in ("replicas", "lanes", "precision"):
            if getattr(source, word) != getattr(target, word):
                raise ParameterError(
                    f"Projection: source {source.name} and target {target.name} must have the same {word}, "
                    f"got {getattr(source, word)} and {getattr(target, word)}"
                )
        if source.clock is not target.clock:
            raise ParameterError(
                f"Projection: source {source.name} and target {target.name} must share one clock; pass the same "
                "brian2.Clock to both"
            )
        super().__init__(clock=source.clock, when="start", order=0, name=name)
        self.source, self.target = source, target
        self.transmit, self.rule = transmit, rule
        self.namespace = dict(namespace or {})
        self.plastic = True
        self.open = True
        self._scale = 1.0
        here = f"Projection({source.name}, {target.name})"
        self.one_to_one = "w" not in brian2.utils.stringtools.get_identifiers(transmit)
        self._weights, dimension = None, DIMENSIONLESS
        if not self.one_to_one:
            self._weights, dimension = self._initial(weights, seed, here)
        elif weights is not None or rule is not None:
            raise ParameterError(f"{here}: a transmit without w has no weights, and so no rule")
        elif source.n != target.n:
            raise ParameterError(f"{here}: one-to-one needs equal sizes, got {source.n} and {target.n}")
        _check_names(self.namespace, source, target, here)
        self.unit = get_unit_for_display(dimension)
        self.scope = Scope(
            pre=source.dimensions(),
            post=target.dimensions(),
            expressions=_suffixed(source, "_pre") | _suffixed(target, "_post"),
            constants={**_constants(source, "_pre"), **_constants(target, "_post"), **self.namespace},
            weight=dimension,
        )
        self.transmission = Transmission(self, parse_statement(transmit, self.scope, f"{here}.transmit"), here)
        self._delivery = _Step(self, "delivery", "groups", SLOTS_PER_ORDER * source.place + DELIVER)
        self._delivery.run = self.transmission
        self.learning, self._plasticity = None, None
        self.contained_objects.append(self._delivery)
        if rule is not None:
            self.learning = Learning(self, parse_statement(rule, self.scope, f"{here}.rule"), here)
            self._plasticity = _Step(self, "plasticity", "synapses", 0)
            self._plasticity.run = self._learn
            self.contained_objects.append(self._plasticity)

    def _initial(self, weights, seed, here):
        """Return the weights as an array (replicas, n_pre, n_post) in base units, and their dimension."""
        shape = self.source.replicas, self.source.n, self.target.n
        check_fits(shape, self.source.precision, f"{here}.weights")
        if weights is None:
            raise ParameterError(f"{here}.weights: initial weights are needed, as Uniform(0.05) or a matrix")
        if hasattr(weights, "draw"):
            if seed is None:
                raise ParameterError(f"{here}.seed: weights are drawn, so a seed is needed")
            try:
                root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
            except (TypeError, ValueError) as error:
                raise ParameterError(f"{here}.seed: {error}, got {seed!r}") from None
            values = np.empty(shape, self.source.precision)
            for replica in range(shape[0]):
                child = np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, replica))
                with np.errstate(over="ignore"):  # what is too large for the precision is named below
                    values[replica] = weights.draw(shape[1:], np.random.default_rng(child))
            dimension = weights.dimension
        else:
            try:
                values = np.asarray(weights)
                if values.dtype.kind not in "fiub":
                    raise ValueError(f"their type is {values.dtype}")
                values, dimension = values.astype(self.source.precision), get_dimensions(weights)
            except (TypeError, ValueError) as error:
                raise ParameterError(f"{here}.weights: a matrix of real numbers is needed: {error}") from None
            if values.shape not in (shape, shape[1:]):
                raise ParameterError(
                    f"{here}.weights: the shape must be {shape[1:]} or {shape} "
                    f"((replicas,) n_pre, n_post), got {values.shape}"
                )
            values = np.array(np.broadcast_to(values, shape), order="C")
        if not np.isfinite(values).all():
            where = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
            raise ParameterError(f"{here}.weights: not finite at (replica, pre, post) = {where}")
        return values, dimension

    @property
    def w(self):
        """The weights: a live array of shape (replicas, n_pre, n_post) in base units; write with ``w[...] = ``."""
        if self._weights is None:
            raise ParameterError(f"{self.name} is one-to-one and has no weights")
        if abs(self._scale - 1) > 16 * np.finfo(self._weights.dtype).eps:  # less would be lost in rounding
            self.fold()
        return self._weights

    @property
    def stored(self):
        """The array as stored; the weights are ``scale`` times it."""
        return self._weights

    @property
    def rows(self):
        """The array as stored, the rows of all replicas one after another, as the kernels take it."""
        return self._weights.reshape(-1, self.target.n)

    @property
    def scale(self):
        """A number that multiplies all stored weights: decay of all weights in one multiplication, in double."""
        return self._scale

    def decay(self, factor):
        """Multiply all weights by a number, at the cost of one multiplication."""
        self._scale *= factor
        if not 0.5 < self._scale < 2.0:
            self.fold()

    def fold(self):
        """Write the scale into the stored weights."""
        if self._scale != 1.0:
            self._weights *= self._weights.dtype.type(self._scale)
            self._scale = 1.0

    def _learn(self):
        if self.plastic and self.open:
            self.learning()

    def explain(self):
        """Return the plan as text: the terms, and what each became."""
        lines = [f"{self.source.name} -> {self.target.name}", f"  transmit  {self.transmit.strip()}"]
        lines += [f"    {line}" for line in self.transmission.explain()]
        if self.rule is not None:
            lines += [f"  rule      {self.rule.strip()}"] + [f"    {line}" for line in self.learning.explain()]
        return "\n".join(lines)

    def before_run(self, run_namespace=None):
        self.transmission.connect()
        if self.learning:
            self.learning.connect()
        super().before_run(run_namespace)

    def after_run(self):
        super().after_run()
        self.transmission.disconnect()

    # brian2's Network.store and Network.restore
    def _full_state(self):
        return {"w": None if self._weights is None else self.w.copy(), "sent": self.transmission.state()}

    def _restore_from_full_state(self, state):
        self._scale = 1.0
        if self._weights is not None:
            self._weights[...] = state["w"]
        self.transmission.set_state(state["sent"])


class _Step(brian2.core.base.BrianObject):
    """A part of a projection with its own place in the schedule."""

    add_to_magic_network = True

    def __init__(self, projection, part, when, order):
        super().__init__(clock=projection.clock, when=when, order=order, name=f"{projection.name}_{part}")


def _check_names(namespace, source, target, here):
    """Refuse a constant whose name means something else already."""
    taken = {"w", "i", "j", "t", "dt", "N"} | set(DEFAULT_FUNCTIONS) | set(DEFAULT_CONSTANTS)
    taken |= {f"{name}_pre" for name in (*source.dimensions(), *source.namespace)}
    taken |= {f"{name}_post" for name in (*target.dimensions(), *target.namespace)}
    for name, value in namespace.items():
        if np.ndim(value) or not isinstance(value, (int, float, np.number, Quantity)):
            raise ParameterError(
                f"{here}.namespace: '{name}' must be one number, with or without a unit, got {value!r}"
            )
        if name in taken:
            raise ParameterError(f"{here}.namespace: '{name}' has a meaning of its own; give the constant another name")


def _constants(population, suffix):
    return {f"{name}{suffix}": value for name, value in population.namespace.items()}


def _suffixed(population, suffix):
    """The population's own expressions in suffixed names, as sympy expressions."""
    known = set(population.dimensions()) | set(population.namespace)
    result = {}
    for name, text in population.expressions.items():
        expr = str_to_sympy(text)
        own = [symbol for symbol in expr.free_symbols if symbol.name in known]
        result[name + suffix] = expr.subs({s: sympy.Symbol(s.name + suffix, real=True) for s in own})
    return result
