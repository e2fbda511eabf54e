"""Carry out a rule in every step: products of both sides in place, or one pass over the synapses for all else."""

import numpy as np
import sympy

from neurosim.connectivity import BACKWARDS, LIST, MATRIX, PAIRS, SPREAD
from neurosim.errors import EquationError
from neurosim.plasticity import blas, blocks, kernels, patches
from neurosim.plasticity.columns import Columns
from neurosim.plasticity.cost import cost, in_bytes
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.lanes import lane_change
from neurosim.plasticity.pairs import Pairs
from neurosim.plasticity.parse import POST, PRE, RATE, STEP, WEIGHT
from neurosim.plasticity.passover import InPlace, PassOver
from neurosim.plasticity.plan import ONE, constant, separate
from neurosim.plasticity.spikes import binary, spike_symbol, spikes_only, step_spikes


class Learning:
    """How a projection's weights and variables change in a step: passes, each at its event."""

    def __init__(self, projection, statements, here):
        where = f"{here}.rule"
        for event, population in ((PRE, projection.source), (POST, projection.target)):
            if any(s.event == event for s in statements) and not population.model.spike:
                raise EquationError(f"{where}: {population.name} has no spikes, which the event {event!r} needs")
        if projection.layout.form == BACKWARDS:
            raise EquationError(f"{where}: weights read backwards learn by the rule of the projection they belong to")
        rates = [s.target for s in statements if s.event == RATE]
        for target in rates:
            if rates.count(target) > 1:
                raise EquationError(f"{where}: '{target}' has two rates; write their sum as one")
        groups = {}
        for event in (RATE, STEP, PRE, POST):
            groups[event] = [s for s in statements if s.event == event]
        ends = {}
        for s in statements:
            if s.event not in groups:
                ends.setdefault(s.event, []).append(s)
        together = projection.copies > 1 or projection.layout.form == PAIRS
        events = [[RATE, STEP, PRE, POST]] if together else [[RATE, STEP], [PRE], [POST]]
        self.events = list(ends)
        presentations = {event.presentation for event in ends}
        self.waits = presentations.pop() if len(presentations) == 1 and not any(groups.values()) else None
        self.passes = []
        for chosen in events:
            present = [(event, groups[event]) for event in chosen if groups[event]]
            if present:
                self.passes.append((None, _pass(projection, present, where)))
        for event, members in ends.items():
            self.passes.append((event, _pass(projection, [(event, members)], where)))

    def connect(self):
        """A run starts."""
        for _, each in self.passes:
            if isinstance(each, (InPlace, PassOver, Columns)):
                each.connect()

    def __call__(self):
        """Carry out what is due; return whether anything was."""
        if self.waits is not None and self.waits.ends is None:  # no phase ends in this step
            return False
        due = [each for event, each in self.passes if event is None or event()]
        for each in due:
            each()
        return bool(due)

    def explain(self):
        """Return lines that say what each term became."""
        lines = []
        for event, each in self.passes:
            head = [] if event is None else [f"at {event}:"]
            lines += head + each.explain()
        return lines


def _pass(projection, groups, where):
    if projection.layout.form == PAIRS:
        return Pairs(projection, groups, where)
    plain = _plain(projection, groups)
    if plain:
        return _Products(projection, *plain)
    if projection.layout.form == SPREAD:
        raise EquationError(
            f"{where}: a Backward convolution learns by a sum of products g(pre) * h(post), and without padding by a "
            "decay of all weights; Backward(Local(...)) by any rule"
        )
    whole = InPlace.of(projection, groups, where) or PassOver(projection, groups, where)
    return (Columns.of(projection, groups, where, whole) if projection.scales else None) or whole


def _plain(projection, groups):
    """Return (products, decays) if all that happens is that products of both sides are added, and w decays; or None."""
    layout = projection.layout
    masked = layout.mask is not None and not hasattr(layout, "geometry")
    windows = layout.form == LIST and layout.blocks and projection.copies > 1
    if not (layout.form in (MATRIX, SPREAD) or windows) or masked or projection.bounds is not None:
        return None
    found = [(event, s) for event, members in groups for s in members]
    if any(s.target != WEIGHT or s.operator == "=" for _, s in found):
        return None
    products, decays = [], []
    single = projection.copies == 1 and layout.form == MATRIX
    for event, s in found:
        _, expr = lane_change(s, event, projection, "")
        if event in (PRE, POST):
            expr = sympy.expand(expr)
        for term in separate(expr, projection.scope):
            if term.mixed != ONE:
                return None
            if term.weight == ONE and (term.pre != ONE or term.post != ONE):
                if single and _by_spikes(term, projection):
                    return None
                products.append(term)
            elif term.weight == sympy.Symbol(WEIGHT, real=True) and term.pre == ONE and term.post == ONE:
                decays.append(term)
            else:
                return None
    if decays and (len(found) > 1 or layout.padded or windows):
        return None
    spike = spike_symbol(projection.source, "_pre")
    if single and not decays and any(term.pre != spike for term in products):
        return None  # a pass over all weights is quicker than outer products
    return products, decays


def _by_spikes(term, projection):
    """Say whether a pass over chosen rows or columns beats an outer product, which knows bare spikes of the source."""
    pre, post = spike_symbol(projection.source, "_pre"), spike_symbol(projection.target, "_post")
    if pre is not None and term.pre == pre:
        return False
    return (pre is not None and term.pre.subs(pre, 0) == 0) or (post is not None and term.post.subs(post, 0) == 0)


class _Products:
    """Products of both sides, summed over lanes, added to the weights in place; and one factor for all weights."""

    def __init__(self, projection, products, decays):
        self.projection = projection
        self.products = [_Outer(projection, term) for term in products]
        self.decays = [(term, constant(term.coefficient, projection.scope)) for term in decays]

    def __call__(self):
        projection = self.projection
        if self.decays:
            projection.decay(1.0 + projection.copies * sum(rate for _, rate in self.decays))
        for outer in self.products:
            outer(1 / projection.scale)
        if projection.layout.mask is not None:
            projection.confine()

    def explain(self):
        lines = [f"{term}: one factor for all weights, kept in double precision" for term, _ in self.decays]
        return [f"{outer.shown}: {outer.plan}" for outer in self.products] + lines


def _correlation(projection, image, signal):
    """Return (windows of the image)^T @ signal, made once a step for a convolution and the feedback beside it."""
    layout, population = projection.layout, projection.source
    known = population.clock.__dict__.setdefault("_correlations", {})
    step = population.clock.variables["timestep"].get_value()[0]
    if known.get("step") != step:
        known.clear()
        known["step"] = step
    key = layout.geometry, image.ctypes.data, signal.ctypes.data
    if key not in known:
        known[key] = np.zeros_like(projection.stored)
        patches.correlate(layout.geometry, image, signal, known[key], 1.0)
    return known[key]


class _Outer:
    """One term c g(pre) h(post), summed over lanes."""

    def __init__(self, projection, term):
        self.projection, self.term = projection, term
        self.coefficient = constant(term.coefficient, projection.scope)
        self.pre = Factor(term.pre, projection.source, "_pre", projection.scope)
        self.post = Factor(term.post, projection.target, "_post", projection.scope, projection.signals)
        self.shown = str(term)
        costs = cost(projection, 1, 1)
        if hasattr(projection.layout, "geometry"):
            self._run = self._correlate
            self.plan = f"matrix products over the windows of image after image, added to the weights in place; {costs}"
        elif projection.layout.form == LIST:
            self._run = self._windows
            self.plan = f"a matrix product over lanes for every window, added to the weights in place; {costs}"
        elif binary(self.pre, projection):
            self._run = self._binary
            self.plan = f"tables of sums over lanes, or rows of spikes where few spike, added in place; {costs}"
        elif projection.copies > 1:
            self._run, self.plan = self._product, f"matrix product over lanes, added to the weights in place; {costs}"
        elif spikes_only(self.pre, projection):
            self._run = self._rows
            self.plan = f"event-driven: rows of the neurons that spiked; {in_bytes(8 * projection.target.n)} a spike"
        else:
            self._run, self.plan = self._dense, f"outer product, all rows; {costs}"

    def __call__(self, factor):
        self._run(self.coefficient * factor)

    def _product(self, alpha):
        layout = self.projection.layout
        pre, post = layout.pre(self.pre.at_end()), layout.post(self.post.at_end())
        blas.outer_product(pre, post, self.projection.stored, alpha)

    def _correlate(self, alpha):
        projection, layout = self.projection, self.projection.layout
        image, signal = self.pre.at_end(), self.post.at_end()
        if layout.form == SPREAD:
            image, signal = signal, image
        change = _correlation(projection, image, signal)
        projection.stored[...] += change * change.dtype.type(alpha)

    def _windows(self, alpha):
        layout, sides = self.projection.layout, (self.pre.at_end(), self.post.at_end())
        image, signal = sides[::-1] if layout.backwards else sides
        blocks.correlate(layout.blocks, image, signal, self.projection.stored, alpha)

    def _binary(self, alpha):
        change = self.post.at_end() * self.projection.source.precision.type(alpha)
        for spikes, each, weights in zip(
            step_spikes(self.projection.source), change, self.projection.stored, strict=True
        ):
            spikes.learn(each, weights)

    def _rows(self, alpha):
        weights, source = self.projection.rows, self.projection.source
        change = self.post.at_end()[:, 0] * weights.dtype.type(alpha)
        kernels.learn_rows(weights, source.spikes, source.n, change)

    def _dense(self, alpha):
        weights, layout = self.projection.rows, self.projection.layout
        change = layout.post(self.post.at_end())[:, 0] * weights.dtype.type(alpha)
        kernels.learn_dense(weights, layout.pre(self.pre.at_end())[:, 0], change)
