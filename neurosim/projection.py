"""Projection: all synapses from one population to another: weights, transmit, rule."""

import inspect
import sys
from collections.abc import Mapping

import brian2
import numba
import numpy as np
import sympy
from brian2.core.functions import Function
from brian2.core.namespace import DEFAULT_UNITS
from brian2.parsing.sympytools import str_to_sympy
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity, get_dimensions, get_unit_for_display
from brian2.utils.stringtools import get_identifiers

from neurosim.connectivity import BACKWARDS, LIST, PAIRS, SPREAD, Dense
from neurosim.errors import EquationError, ParameterError
from neurosim.limits import check_fits
from neurosim.plasticity.custom import CustomLearning, Kernel
from neurosim.plasticity.deliver import Transmission
from neurosim.plasticity.largest import LargestChange
from neurosim.plasticity.learn import Learning
from neurosim.plasticity.library import Rule
from neurosim.plasticity.parse import (
    DT,
    LANES,
    POST,
    PRE,
    RATE,
    RESERVED,
    STEP,
    WEIGHT,
    Scope,
    check_apart,
    declarations,
    split,
    statements,
    with_subexpressions,
)
from neurosim.plasticity.plan import LANEWISE, place, scalar
from neurosim.plasticity.spikes import forget_step
from neurosim.population import DELIVER, LEARN_FIRST, SLOTS_PER_ORDER, Population
from neurosim.target import callable_in_text


class Projection(brian2.core.base.BrianObject):
    """All synapses from one population to another.

    In every step the projection delivers as soon as its source has updated, and learns after the sweep from the
    values that the step has ended with. With lanes the change of a weight is the sum over lanes of the rule's right
    side.

    Parameters
    ----------
    source, target : Population
        With the same replicas, lanes and precision.
    transmit : str
        What the target receives: ``variable_post = expression``, summed over the source's neurons that are connected,
        for example ``drive_post = w * s_pre``. Several lines deliver into several variables. Without ``w`` and
        without a connectivity the projection is one-to-one: ``m_post = m_pre``.
    rule : str or dict or Rule or Kernel, optional
        How the weights change: a text for the event ``when``, or a text for each of several events. Lines are
        ``dw/dt = ...`` (in every step, forward Euler), ``w += ...`` (also ``-=``, ``*=``, ``/=``, ``=``), variables of
        the synapse with a unit (``trace : 1``, ``dtrace/dt = -trace / tau : 1``) and named subexpressions
        (``hebb = s_pre * s_post : 1``). Without a rule the weights stay as they are.
    weights : Uniform or Normal or array_like or Quantity
        Initial weights: a distribution, or an array of the connectivity's shape, for all replicas or with one entry
        a replica: (n_pre, n_post) for a matrix.
    seed : int or numpy.random.SeedSequence, optional
        Decides the weights and the connectivity drawn; every replica draws its own.
    namespace : dict
        Constants that the texts name, with units, and functions decorated with ``brian2.check_units``.
    name : str, optional
        Name of the object in brian2.
    when : str or PhaseEnd
        Event of the lines with ``+=`` or ``=`` of a text: "step" (every step), "pre" or "post" (a spike of the source's
        or of the target's neuron), or ``presentation.end("nudged")``.
    connectivity : kind of neurosim.connectivity, optional
        Which neurons are connected; all with all if it is left out.
    bounds : (low, high), optional
        The weights are clipped to this range, in their unit; None leaves a side open.
    dale : +1 or -1 or array (n_pre,) of these, optional
        Sign of the source's neurons: their weights never cross zero.
    signals : dict of str to (Population, str), optional
        Global signals that the rule may name: a variable of a population of one neuron.

    order : int, optional
        Place in the sweep at which the projection delivers, of the source's order or later; feedback that leaves a
        population only when an error has come back to it has a later one. The source's if it is left out.
    learns_first : bool
        Carry out the lines of every step right before the projection delivers, so that it delivers along the new
        weights, and not after the sweep.
    largest_change : float or Quantity, optional
        All changes of a step, summed over lanes, are scaled by one number a replica so that the largest of them has
        this size, in the unit of the weights. That number depends on all synapses: not local.

    Attributes
    ----------
    plastic : bool
        False freezes the weights.
    open : bool
        Whether the phase that is going on lets the projection learn; a Presentation sets it.
    largest_change : float or None
        As given, in base units; it may be set at any time, as a learning rate.
    transmit_statements, rule_statements : tuple of neurosim.plasticity.parse.Statement
        What the two texts say; no statement where a Kernel stands in the place of the rule.
    storage : dict of str to str
        Where each variable of the synapse is kept: "shared" by the lanes, as the weights are; "common", one copy as
        all lanes have the same; "summed", the sum over lanes, where only that matters; or "lanes", one a lane.

    Notes
    -----
    Within a step, after the sweep: all rates together from the values before; then the lines of the event "step" in
    their order, of "pre", of "post", of the ends of phases. Bounds are kept after each of these. Variables of the
    synapse that are not ``(shared)`` exist once in every lane. A spike event in a lane changes what all lanes share:
    ``w += x`` on spikes of the source is ``w += s_pre * x`` in every step. ``w = clip(w + x, low, high)`` adds the
    sum over the lanes, then clips.

    Raises
    ------
    EquationError
        If a text cannot be read or planned, or the dimensions of its two sides differ.
    ParameterError
        If populations, connectivity or weights do not fit.

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
        self, source, target, transmit, rule=None, weights=None, seed=None, namespace=None, name="projection*", *,
        when=STEP, connectivity=None, bounds=None, dale=None, signals=None, order=None, learns_first=False,
        largest_change=None,
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
        here = f"Projection({source.name}, {target.name})"
        self.source, self.target = source, target
        self.transmit, self.rule = transmit, rule
        if namespace is not None and not isinstance(namespace, Mapping):
            raise ParameterError(f"Projection.namespace: {{name: constant}} is needed, got {namespace!r}")
        self.namespace = dict(namespace or {})
        self.place = source.place if order is None else order
        whole = isinstance(self.place, (int, np.integer)) and not isinstance(self.place, bool)
        if not whole or self.place < source.place:
            raise ParameterError(
                f"{here}.order: a whole number of at least {source.place}, the order of the source {source.name}, is "
                f"needed, got {order!r}"
            )
        self.plastic = True
        self.open = True
        self._checked = False
        self._scale, self._version = 1.0, 0
        self.signals = _signals(signals or {}, source, here)
        constants, functions = _namespace(self.namespace, self.signals, source, target, here)

        texts = {} if rule is None or isinstance(rule, Kernel) else _events(rule, when, self.clock, here)
        lines = [line for event, text in texts.items() for line in split(text, f"{here}.rule", event)]
        variables = declarations(lines, f"{here}.rule")
        check_apart(variables, (*constants, *self.signals, *functions), f"{here}.rule")
        sent = split(transmit, f"{here}.transmit")
        self._connect(connectivity, transmit, rule, weights, seed, here)
        dimension = self._initial(weights, seed, here)
        self.unit = get_unit_for_display(dimension)

        named = {name for text in (transmit, *texts.values()) for name in get_identifiers(text)}
        taken = {*constants, *variables, *self.signals}
        units = {name: unit for name, unit in DEFAULT_UNITS.items() if name in named - taken}
        scope = Scope(
            pre=source.dimensions(),
            post=target.dimensions(),
            expressions=_suffixed(source, "_pre") | _suffixed(target, "_post"),
            constants={**_constants(source, "_pre"), **_constants(target, "_post"), **constants, **units},
            synapse=({WEIGHT: dimension} if self._has_weights else {}) | {n: v.dimension for n, v in variables.items()},
            signals={name: read.dimensions()[variable] for name, (read, variable) in self.signals.items()},
            functions=functions,
            where=here,
        )
        self.scope = scope
        learned = statements(lines, with_subexpressions(lines, scope, f"{here}.rule"), f"{here}.rule")
        where = f"{here}.transmit"
        sent = statements(sent, with_subexpressions(sent, scope, where), where, delivers=True)
        if not sent:
            raise EquationError(f"{here}.transmit: 'variable_post = ...' is needed, got {transmit.strip()!r}")
        self.transmit_statements, self.rule_statements = tuple(sent), tuple(learned)
        read = {s.name for statement in sent for s in statement.expr.free_symbols}
        self.storage = self.kept = place(variables, learned, read & set(variables), scope, self.copies)
        self._timed = any(s.event == RATE or DT in s.expr.free_symbols for s in (*learned, *sent))
        self._allocate(variables, here)
        self.bounds = self._bounds(bounds, dale, dimension, here)

        self.transmissions = [Transmission(self, statement, here) for statement in sent]
        self._folds = any(part.folds for transmission in self.transmissions for part in transmission.parts)
        self._delivery = _Step(self, "delivery", "groups", SLOTS_PER_ORDER * self.place + DELIVER)
        self._delivery.run = self._deliver
        self.contained_objects.append(self._delivery)
        self.learning, self._plasticity = None, None
        self.scales = largest_change is not None
        if rule is not None:
            custom = isinstance(rule, Kernel)
            self.learning = (
                CustomLearning(self, rule, _event(when, self.clock, here), here)
                if custom
                else Learning(self, learned, here)
            )
            if learns_first:
                self._check_learns_first(learned, here)
                self._plasticity = _Step(self, "plasticity", "groups", SLOTS_PER_ORDER * self.place + LEARN_FIRST)
            else:
                self._plasticity = _Step(self, "plasticity", "synapses", 0)
            self._plasticity.run = self._learn_first if learns_first else self._learn
            self.contained_objects.append(self._plasticity)
        elif learns_first:
            raise ParameterError(f"{here}.learns_first: there is no rule to carry out first")
        self._scaled, self._largest = None, None
        self.largest_change = largest_change

    @property
    def largest_change(self):
        """Size of the largest change of a weight in a step, in base units; None for changes as the rule has them."""
        return self._largest

    @largest_change.setter
    def largest_change(self, size):
        here = f"{self.name}.largest_change"
        if size is None:
            self._largest = None
            return
        if self.learning is None:
            raise ParameterError(f"{here}: there is no rule whose changes could be scaled")
        if isinstance(size, bool) or np.ndim(size) or not isinstance(size, (int, float, np.number, Quantity)):
            raise ParameterError(f"{here}: a number is needed, got {size!r}")
        if get_dimensions(size) is not self.scope.synapse[WEIGHT]:
            raise ParameterError(
                f"{here}: the weights have the unit {self.unit}, {size} has "
                f"{get_unit_for_display(get_dimensions(size))}"
            )
        if not (np.isrealobj(size) and 0 <= float(size) < np.inf):
            raise ParameterError(f"{here}: a finite number of at least 0 is needed, got {size!r}")
        self._largest = float(size)
        if self._scaled is None:
            self._scaled = LargestChange(self)

    @staticmethod
    def _check_learns_first(learned, here):
        """Refuse lines that wait for what is known at the end of a step only."""
        late = [s.text for s in learned if s.event not in (STEP, RATE)]
        if late or not learned:
            told = f"{late[0]!r} happens at an event" if late else "a Kernel is called at the end of a step"
            raise ParameterError(f"{here}.learns_first: lines of every step can come first, {told}")

    def _connect(self, connectivity, transmit, rule, weights, seed, here):
        """Find the layout of the synapses."""
        named = WEIGHT in get_identifiers(transmit)
        self.layout = None
        if connectivity is None and not named:
            if weights is not None or rule is not None:
                raise ParameterError(f"{here}: a transmit without w has no weights, and so no rule")
            if self.source.n != self.target.n:
                raise ParameterError(
                    f"{here}: one-to-one needs equal sizes, got {self.source.n} and {self.target.n}; another map "
                    "without weights needs a connectivity"
                )
        else:
            connectivity = Dense() if connectivity is None else connectivity
            if isinstance(connectivity, type) or not hasattr(connectivity, "layout"):
                raise ParameterError(
                    f"{here}.connectivity: a kind of neurosim.connectivity is needed, as Masked(mask), "
                    f"got {connectivity if isinstance(connectivity, type) else type(connectivity).__name__}"
                )
            generator = None
            if seed is not None:
                root = self._root(seed, here)
                generator = lambda replica: np.random.default_rng(_child(root, replica, 1))  # noqa: E731
            self.layout = connectivity.layout(self.source, self.target, generator, here)
            if not named and (weights is not None or rule is not None):
                raise ParameterError(f"{here}: a transmit without w has no weights, and so no rule")
        self.connectivity = connectivity
        self._has_weights = self.layout is not None and named
        self.copies = self.source.lanes * (1 if self.layout is None else self.layout.copies)

    @staticmethod
    def _root(seed, here):
        try:
            return seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{here}.seed: {error}, got {seed!r}") from None

    def _initial(self, weights, seed, here):
        """Make the array of weights; return their dimension."""
        self._weights = None
        if not self._has_weights:
            return DIMENSIONLESS
        layout = self.layout
        if layout.form == BACKWARDS:
            if weights is not None:
                raise ParameterError(f"{here}.weights: weights read backwards are {layout.projection.name}'s")
            return layout.projection.scope.synapse[WEIGHT]
        shape = self.source.replicas, *layout.shape
        check_fits(shape, self.source.precision, f"{here}.weights")
        if weights is None:
            raise ParameterError(f"{here}.weights: initial weights are needed, as Uniform(0.05) or a matrix")
        if hasattr(weights, "draw"):
            if seed is None:
                raise ParameterError(f"{here}.seed: weights are drawn, so a seed is needed")
            root = self._root(seed, here)
            values = np.empty(shape, self.source.precision)
            for replica in range(shape[0]):
                drawn = weights.draw(shape[1:], np.random.default_rng(_child(root, replica)))
                if np.shape(drawn) != shape[1:]:
                    raise ParameterError(f"{here}.weights: {shape[1:]} were to be drawn, got shape {np.shape(drawn)}")
                with np.errstate(over="ignore"):  # what is too large for the precision is named below
                    values[replica] = drawn
            dimension = getattr(weights, "dimension", DIMENSIONLESS)
        else:
            values, dimension = self._given(weights, shape, here)
        if not np.isfinite(values).all():
            where = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
            raise ParameterError(f"{here}.weights: not finite at (replica, pre, post) = {where}")
        self._weights = np.array(values.reshape(shape[0], *layout.stored), order="C")
        if layout.mask is not None:
            self.rows[:] *= np.resize(layout.mask, self.rows.shape)
        return dimension

    def _given(self, weights, shape, here):
        """Return weights given as an array, broadcast to all replicas, and their dimension."""
        try:
            values = np.asarray(weights)
            if values.dtype.kind not in "fiub":
                raise ValueError(f"their type is {values.dtype}")
            values, dimension = values.astype(self.source.precision), get_dimensions(weights)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{here}.weights: a matrix of real numbers is needed: {error}") from None
        layout = self.layout
        if layout.form == LIST and values.shape not in (shape, shape[1:]):
            if values.shape == (layout.rows, layout.columns):
                values = values[layout.i, layout.j]
            elif values.shape == getattr(layout, "kernel_shape", None):
                values = values.reshape(-1)[layout.tap]
        if values.shape not in (shape, shape[1:]):
            meaning = " ((replicas,) n_pre, n_post)" if len(shape) == 3 else ""
            raise ParameterError(
                f"{here}.weights: the shape must be {shape[1:]} or {shape}{meaning}, got {values.shape}"
            )
        return np.array(np.broadcast_to(values, shape), order="C"), dimension

    def _allocate(self, variables, here):
        """Make the arrays of the variables that the rule declares."""
        self._state = {}
        held = 0 if self._weights is None else self._weights.size
        for name in variables:
            if self.layout is None or self.layout.form == BACKWARDS:
                raise EquationError(f"{here}.rule: '{name}' needs synapses of its own")
            shape = (self.source.replicas, *self.layout.stored)
            smaller = ""
            if self.kept[name] == LANEWISE:
                each = int(np.prod(shape)) * self.source.precision.itemsize
                smaller = (
                    f"; '{name}' is kept in every one of {self.copies} lanes: one lane takes {each / 1e9:.3g} GB, and "
                    "so does a variable declared (shared)"
                )
                shape = (shape[0], self.copies, *shape[1:])
            held += int(np.prod(shape))
            before = " with the weights and variables before it" if held > np.prod(shape) else ""
            check_fits(shape, self.source.precision, f"{here}.rule: '{name}'", smaller)
            check_fits((held,), self.source.precision, f"{here}.rule: '{name}'{before}", smaller)
            self._state[name] = np.zeros(shape, self.source.precision)

    def _bounds(self, bounds, dale, dimension, here):
        """Return the lowest and the highest weight of every row, or None."""
        if bounds is None and dale is None:
            return None
        if not self._has_weights or self.layout.form == BACKWARDS:
            raise ParameterError(f"{here}.bounds: there are no weights of its own to bound")
        if self.layout.form == SPREAD:
            raise ParameterError(
                f"{here}.bounds: the weights of a Backward convolution have no bounds and no Dale's sign; those of "
                "Backward(Local(...)) can have them"
            )
        rows, precision = self.layout.rows, self.source.precision
        low, high = np.full(rows, -np.inf), np.full(rows, np.inf)
        if bounds is not None:
            if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
                raise ParameterError(f"{here}.bounds: (low, high) is needed, got {bounds!r}")
            for side, limit in zip((low, high), bounds, strict=True):
                if limit is None:
                    continue
                if np.ndim(limit) or not isinstance(limit, (int, float, np.integer, np.floating, Quantity)):
                    raise ParameterError(f"{here}.bounds: numbers or None are needed, got {bounds!r}")
                if get_dimensions(limit) is not dimension:
                    raise ParameterError(
                        f"{here}.bounds: the weights have the unit {get_unit_for_display(dimension)}, the bound "
                        f"{limit} has {get_unit_for_display(get_dimensions(limit))}"
                    )
                side[:] = float(limit)
            if not low[0] <= high[0]:
                raise ParameterError(f"{here}.bounds: the lower bound must not lie above the upper, got {bounds}")
        if dale is not None:
            try:
                signs = np.asarray(dale)
            except ValueError:
                raise ParameterError(f"{here}.dale: signs are +1 or -1, got {dale!r}") from None
            per_source = self.layout.rows == self.source.n and self.layout.form != PAIRS and self.layout.copies == 1
            if signs.ndim and (signs.shape != (self.source.n,) or not per_source):
                needed = f"one sign or {self.source.n} signs" if per_source else "one sign for weights that are shared"
                raise ParameterError(f"{here}.dale: {needed} are needed, got shape {signs.shape}")
            if not np.isin(signs, (-1, 1)).all():
                raise ParameterError(f"{here}.dale: signs are +1 or -1, got {dale!r}")
            low = np.where(signs > 0, np.maximum(low, 0), low)
            high = np.where(signs < 0, np.minimum(high, 0), high)
        low, high = low.astype(precision), high.astype(precision)
        weights = self.stored
        row = self.layout.i if self.layout.form == LIST else slice(0, 1) if self.layout.form == PAIRS else slice(None)
        lowest, highest = (side[row] if self.layout.form != "matrix" else side[:, None] for side in (low, high))
        wrong = (weights < lowest) | (weights > highest)
        if self.layout.mask is not None:
            wrong &= np.resize(self.layout.mask, self.rows.shape).reshape(weights.shape)
        if wrong.any():
            where = tuple(int(k) for k in np.argwhere(wrong)[0])
            limits = [float(np.broadcast_to(side, weights.shape)[where]) for side in (lowest, highest)]
            raise ParameterError(
                f"{here}.weights: {weights[where]:.6g} at {where} lies outside of {limits[0]:g} to {limits[1]:g} "
                "(bounds and Dale's sign)"
            )
        return low, high

    @property
    def transmission(self):
        """What is delivered by the first line of the transmit."""
        return self.transmissions[0]

    @property
    def w(self):
        """The weights: a live array in base units, (replicas, n_pre, n_post) for a matrix; set by ``w = ``.

        Other connectivities have other shapes after the replicas: (synapses,) in the order of ``i`` and ``j`` for
        lists, (height, width, channels in, channels out) for a convolution, (1,) where one weight stands for all.
        """
        if self.layout is not None and self.layout.form == BACKWARDS:
            read_only = self.matrix()
            read_only.flags.writeable = False
            return read_only
        if self._weights is None:
            raise ParameterError(f"{self.name} has no weights")
        if abs(self._scale - 1) > 16 * np.finfo(self._weights.dtype).eps:  # less would be lost in rounding
            self.fold()
        self._version += 1
        if self.layout.shape == self.layout.stored:
            return self._weights
        return self._weights.reshape(len(self._weights), *self.layout.shape)

    @w.setter
    def w(self, values):
        live = self.w
        if values is live or (isinstance(values, np.ndarray) and values.base is self._weights):
            return  # ``w *= 2`` has written it already
        if get_dimensions(values) is not self.scope.synapse[WEIGHT]:
            raise ParameterError(
                f"{self.name}.w: the weights have the unit {self.unit}, what is given has "
                f"{get_unit_for_display(get_dimensions(values))}"
            )
        live[...] = np.asarray(values)

    def copy_of_weights(self):
        """Return the weights as a new array of the shape of ``w``; unlike a look at ``w``, it changes no rounding."""
        if self._weights is None:
            return self.w.copy()
        return (self._weights * self._weights.dtype.type(self._scale)).reshape(len(self._weights), *self.layout.shape)

    @property
    def i(self):
        """Index of the source neuron of every synapse of a list."""
        return self._list().i

    @property
    def j(self):
        """Index of the target neuron of every synapse of a list."""
        return self._list().j

    def _list(self):
        if self.layout is None or self.layout.form != LIST:
            raise ParameterError(f"{self.name} is kept as a matrix; only a list of synapses has indices")
        return self.layout

    def matrix(self):
        """Return the weights as a new array (replicas, n_pre, n_post), 0 where there is no synapse."""
        if not self._has_weights:
            raise ParameterError(f"{self.name} has no weights")
        if self.layout.mask is not None:
            self.confine()
        return self.layout.matrix(None if self.layout.form == BACKWARDS else self.w.reshape(self._weights.shape))

    def view(self, name):
        """Return a variable of the synapse as a live array, as it is kept (see ``storage``)."""
        if name == WEIGHT:
            return self.w
        if name not in self._state:
            known = ", ".join([WEIGHT, *self._state])
            raise ParameterError(f"Projection.view: '{name}' is no variable of {self.name}; it has {known}")
        return self._state[name]

    def array(self, name):
        """Return a variable as kernels take it: rows or lists of all replicas (and lanes) one after another."""
        if self.layout.form == BACKWARDS:
            return self.layout.projection.array(name)
        values = self._weights if name == WEIGHT else self._state[name]
        lanes = self.copies if self.kept[name] == LANEWISE else 1
        if lanes > 1 or self.layout.form in (LIST, PAIRS):
            return values.reshape(len(values) * lanes, *self.layout.stored)
        return values.reshape(-1, self.layout.columns)

    @property
    def stored(self):
        """The array as stored; the weights are ``scale`` times it."""
        return self._weights

    @property
    def rows(self):
        """The array as stored, the rows of all replicas one after another, as the kernels take it."""
        return self._weights.reshape(-1, self._weights.shape[-1])

    @property
    def scale(self):
        """A number that multiplies all stored weights: decay of all weights in one multiplication, in double."""
        return self._scale

    @property
    def version(self):
        """A number that changes with the weights, or None while anybody else could be writing to them."""
        if self.layout is not None and self.layout.form == BACKWARDS:
            return self.layout.projection.version
        if self._weights is None:
            return self._version
        return self._version if sys.getrefcount(self._weights) <= ALONE else None

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

    def confine(self):
        """Keep the bounds, and make the weights 0 where there is no synapse, after something else has written them."""
        if self.bounds is not None:
            low, high = self.bounds
            if self.layout.form == LIST:
                low, high = low[self.layout.i], high[self.layout.i]
            elif self.layout.form == PAIRS:
                low, high = low.max(), high.min()
            else:
                low, high = low[:, None], high[:, None]
            np.clip(self._weights, low, high, out=self._weights)
        if self.layout.mask is not None:
            weights = self._weights.reshape(-1, len(self.layout.mask), self.layout.columns)
            weights *= self.layout.mask

    def _check_company(self):
        """Raise in the first step of a run if something that the projection reads is not simulated beside it."""
        self._checked = True
        needed = [self.source, self.target, *(population for population, _ in self.signals.values())]
        needed += [event.presentation for event in getattr(self.learning, "events", ()) if hasattr(event, "phase")]
        for each in needed:
            if each._network != self._network:
                raise ParameterError(f"{self.name}: {each.name} is not in the Network that {self.name} is in; add it")

    def _deliver(self):
        if not self._checked:
            self._check_company()
        if self._folds and self._scale != 1.0:
            self.fold()
        for transmission in self.transmissions:
            transmission()

    def _learn(self):
        if not (self.plastic and self.open):
            return
        if self.learning() if self._largest is None else self._scaled(self.learning):
            self._version += 1

    def _learn_first(self):
        for population in (self.source, self.target):  # what is known of this step at its end must not be of now
            forget_step(population)
        self._learn()
        for population in (self.source, self.target):
            forget_step(population)

    def explain(self):
        """Return the plan as text: the terms, and what each became, with bytes and operations a step."""
        kind = "" if self.connectivity is None else f", {type(self.connectivity).__name__}"
        if self.layout is not None:
            kind += f", {self.layout.synapses(self.source.replicas):,} synapses"
        lanes = f", {self.source.lanes} lanes" if self.source.lanes > 1 else ""
        lines = [f"{self.source.name} -> {self.target.name}{kind}{lanes}"]
        if self._weights is not None:
            lines.append(f"  w: {self._weights.nbytes / 1e6:.3g} MB")
        lines += [
            f"  {name}: kept {self.kept[name]}, {values.nbytes / 1e6:.3g} MB" for name, values in self._state.items()
        ]
        lines += ["  transmit"]
        for transmission in self.transmissions:
            lines += [f"    {transmission.text}"] + [f"      {line}" for line in transmission.explain()]
        if self.learning is not None:
            lines += ["  rule"] + [f"    {line}" for line in _shown(self.rule)]
            lines += [f"      {line}" for line in self.learning.explain()]
        if self.largest_change is not None:
            lines += [
                f"      all changes of a step by one number a replica, so that the largest is {self.largest_change:g}: "
                "NOT LOCAL"
            ]
        return "\n".join(lines)

    def before_run(self, run_namespace=None):
        if self._timed and self.clock.dt != self.scope.constants["dt"]:
            raise ParameterError(
                f"{self.name}: its rule was compiled for a time step of {self.scope.constants['dt']}, the clock has "
                f"{self.clock.dt} now; set the clock's dt before projections are made"
            )
        if self._weights is not None and self.layout.mask is not None:
            self.confine()  # the user may have written where there is no synapse
        self._checked = False
        for population in (self.source, self.target):
            forget_step(population)
        for transmission in self.transmissions:
            transmission.connect()
        if isinstance(self.learning, Learning):
            self.learning.connect()
        super().before_run(run_namespace)

    def after_run(self):
        super().after_run()
        for transmission in self.transmissions:
            transmission.disconnect()

    # brian2's Network.store and Network.restore
    def _full_state(self):
        return {
            "w": None if self._weights is None else self.w.reshape(self._weights.shape).copy(),
            "state": {name: values.copy() for name, values in self._state.items()},
            "sent": [transmission.state() for transmission in self.transmissions],
        }

    def _restore_from_full_state(self, state):
        self._scale = 1.0
        self._version += 1
        if self._weights is not None:
            self._weights[...] = state["w"]
        for name, values in state["state"].items():
            self._state[name][...] = values
        for transmission, sent in zip(self.transmissions, state["sent"], strict=True):
            transmission.set_state(sent)

    # checkpoints: nothing is rounded, so the scale stays apart from the weights
    grows = ("sent",)

    def state(self):
        """Return all that the next step depends on as flat arrays: copies, by name."""
        arrays = {f"variable {name}": values.copy() for name, values in self._state.items()}
        if self._weights is not None:
            arrays |= {"w": self._weights.copy(), "scale": np.array(self._scale)}
        for k, transmission in enumerate(self.transmissions):
            sent = transmission.state()  # None where nothing needed to be kept
            none = np.zeros((0, *self.target.shape[1:]), self.target.precision)
            arrays[f"sent {k}"] = none if sent is None else sent
        return arrays

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self._version += 1
        if self._weights is not None:
            self._weights[...], self._scale = arrays["w"], float(arrays["scale"])
        for name, values in self._state.items():
            values[...] = arrays[f"variable {name}"]
        for k, transmission in enumerate(self.transmissions):
            sent = arrays[f"sent {k}"]
            transmission.set_state(sent if len(sent) else None)


ALONE = 2  # references to an array that nobody else holds: the attribute's, and the argument's of getrefcount


class _Step(brian2.core.base.BrianObject):
    """A part of a projection with its own place in the schedule."""

    add_to_magic_network = True

    def __init__(self, projection, part, when, order):
        super().__init__(clock=projection.clock, when=when, order=order, name=f"{projection.name}_{part}")


def _child(root, replica, *more):
    return np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, replica, *more))


def _events(rule, when, clock, here):
    """Return the texts of a rule by event."""
    if isinstance(rule, Rule) and rule.when == "end" and isinstance(when, str) and when == STEP:
        raise ParameterError(f"{here}.when: the {rule.name} needs when=presentation.end(phase)")
    if isinstance(rule, Rule):
        rule, when = rule.events, rule.when if isinstance(when, str) and when == STEP else when
    if isinstance(rule, Mapping):
        if not isinstance(when, str) or when != STEP:
            raise ParameterError(f"{here}.when: a rule given as texts by event has its events already, got {when!r}")
        texts = dict(rule)
    else:
        texts = {_event(when, clock, here): rule}
    if not texts:
        raise ParameterError(f"{here}.rule: a text for at least one event is needed, got {rule!r}")
    return {_event(event, clock, here): text for event, text in texts.items()}


def _event(event, clock, here):
    """Return an event if it is one: "step", "pre", "post" or the end of a phase of a presentation on this clock."""
    if isinstance(event, str) and event in (STEP, PRE, POST):
        return event
    if isinstance(event, type) or not hasattr(event, "phase") or not callable(event):
        raise ParameterError(
            f"{here}.when: 'step', 'pre', 'post' or the end of a phase as presentation.end('nudged') is needed, "
            f"got {event!r}"
        )
    if event.presentation.clock is not clock:
        raise ParameterError(f"{here}.when: {event.presentation.name} has another clock than the projection")
    return event


def _shown(rule):
    """Return a rule's text as lines."""
    if isinstance(rule, Kernel):
        return [f"Kernel {rule.function.__name__}"]
    if isinstance(rule, Rule):
        return [rule.name, *_shown(rule.events)]
    if isinstance(rule, Mapping):
        return [line for event, text in rule.items() for line in (f"at {event}", *_shown(text))]
    return [line.strip() for line in rule.strip().splitlines()]


def _signals(signals, source, here):
    """Check global signals: ``{name: (population of one neuron, variable)}``."""
    if not isinstance(signals, Mapping):
        raise ParameterError(f"{here}.signals: {{name: (population, variable)}} is needed, got {signals!r}")
    for name, signal in signals.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ParameterError(f"{here}.signals: a name is needed, got {name!r}")
        try:
            population, variable = signal
        except (TypeError, ValueError):
            raise ParameterError(f"{here}.signals: '{name}' must be (population, variable), got {signal!r}") from None
        if not isinstance(population, Population) or population.n != 1:
            raise ParameterError(
                f"{here}.signals: '{name}' is one number for all, a variable of a population of one neuron, got "
                f"{f'{population.n} neurons' if isinstance(population, Population) else type(population).__name__}"
            )
        if (population.replicas, population.lanes) != (source.replicas, source.lanes):
            raise ParameterError(
                f"{here}.signals: {population.name} must have {source.replicas} replicas and {source.lanes} lanes, "
                f"got {population.replicas} and {population.lanes}"
            )
        if name in RESERVED or name.endswith(("_pre", "_post")):
            raise ParameterError(f"{here}.signals: '{name}' has a meaning of its own; give the signal another name")
        if population.clock is not source.clock:
            raise ParameterError(f"{here}.signals: {population.name} has another clock than the projection")
        if not isinstance(variable, str):
            raise ParameterError(f"{here}.signals: '{name}' must be (population, variable), got {signal!r}")
        population.view(variable)
    return dict(signals)


def _namespace(namespace, signals, source, target, here):
    """Return (constants, functions); refuse a name that means something else already."""
    taken = RESERVED | set(signals)
    taken |= {f"{name}_pre" for name in (*source.dimensions(), *source.namespace)}
    taken |= {f"{name}_post" for name in (*target.dimensions(), *target.namespace)}
    functions = {n: f for n, f in callable_in_text(namespace).items() if isinstance(f, Function)}
    constants = {LANES: source.lanes, "dt": source.clock.dt}
    for population in (source, target):  # what the populations' own expressions call
        for name, value in population.namespace.items():
            if isinstance(value, Function) and functions.setdefault(name, value).pyfunc is not value.pyfunc:
                raise ParameterError(
                    f"{here}.namespace: '{name}' is one function here and another in {population.name}; rename one"
                )
    for name, value in namespace.items():
        if name not in functions and (np.ndim(value) or not isinstance(value, (int, float, np.number, Quantity))):
            raise ParameterError(
                f"{here}.namespace: '{name}' must be one number, with or without a unit, or a function with "
                f"brian2.check_units, got {value!r}"
            )
        if name not in functions and not (np.isrealobj(value) and np.isfinite(float(value))):
            raise ParameterError(f"{here}.namespace: '{name}' must be a finite real number, got {value!r}")
        if name in taken:
            raise ParameterError(f"{here}.namespace: '{name}' has a meaning of its own; give the constant another name")
        if name in functions:
            _check_compiles(name, functions[name], here)
        else:
            constants[name] = value
    return constants, functions


def _check_compiles(name, function, here):
    """Refuse a function that numba cannot compile, here and not in the middle of a run."""
    count = len(inspect.signature(scalar(function)).parameters)
    try:
        numba.njit(scalar(function)).compile((numba.float64,) * count)
    except numba.core.errors.NumbaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = next((line for line in lines if "nknown" in line or "rror" in line or "not " in line), lines[0])
        raise EquationError(
            f"{here}.namespace: numba cannot compile '{name}' for numbers: {told} (after 'from brian2 import *' np is "
            "brian2's: import numpy as np)"
        ) from None


def _constants(population, suffix):
    return {f"{name}{suffix}": value for name, value in population.namespace.items() if not callable(value)}


def _suffixed(population, suffix):
    """The population's own expressions in suffixed names, as sympy expressions."""
    known = set(population.dimensions()) | set(population.namespace)
    result = {}
    for name, text in population.expressions.items():
        expr = str_to_sympy(text)
        own = [symbol for symbol in expr.free_symbols if symbol.name in known]
        result[name + suffix] = expr.subs({s: sympy.Symbol(s.name + suffix, real=True) for s in own})
    return result
