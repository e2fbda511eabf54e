"""Carry out a transmit in every step: deliver along the weights into a variable of the target."""

import numpy as np
import sympy

from neurosim.connectivity import BACKWARDS, LIST, MATRIX, PAIRS, SPREAD
from neurosim.errors import EquationError
from neurosim.plasticity import blas, blocks, kernels, patches
from neurosim.plasticity.compile import compile_kernel
from neurosim.plasticity.cost import cost, in_bytes
from neurosim.plasticity.emit import Arguments, transform_kernel, transmit_kernel, user_functions
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.pairs import DeliveryToOthers, check_separates
from neurosim.plasticity.parse import WEIGHT
from neurosim.plasticity.part import Part
from neurosim.plasticity.passover import SCRATCH, tiles
from neurosim.plasticity.plan import EXISTS, LANEWISE, ONE, constant, readable, separate
from neurosim.plasticity.spikes import binary, spike_symbol, spikes_only, step_spikes


class Inbox:
    """One variable of a population into which projections deliver: their contributions add up.

    Where all sources come before the target in the sweep, every step has all contributions delivered before the
    target reads them: the first of a step sets the variable and the others add to it; likewise where all come later,
    for the target's next update. Where some come earlier and some later, each keeps its contribution in an array of its
    own and the variable is their sum.
    """

    def __init__(self, population, variable):
        self.population, self.variable = population, variable
        self.senders = {}
        self.arrived = 0
        self.apart = False

    @classmethod
    def of(cls, population, variable):
        """Return the inbox of a variable, made once."""
        inboxes = population.__dict__.setdefault("_inboxes", {})
        return inboxes.setdefault(variable, cls(population, variable))

    def enter(self, sender, place):
        """A run starts: this sender will deliver in every step, at this place in the sweep."""
        network = sender.projection._network  # a run that broke off has left senders behind that may be off by now
        for each in list(self.senders):
            if not each.projection.active or each.projection._network != network:
                del self.senders[each]
        self.senders[sender] = place
        self._arrange()

    def leave(self, sender):
        """The run has ended."""
        self.senders.pop(sender, None)
        self._arrange()

    def _arrange(self):
        self.early = [sender for sender, place in self.senders.items() if place < self.population.place]
        self.late = [sender for sender in self.senders if sender not in self.early]
        self.apart = bool(self.early and self.late)
        self.sum = None  # of what comes early, which often holds still
        self.arrived, self.stale = 0, True

    def open(self, sender):
        """Return (array to write to, whether to add to it) for this delivery."""
        if self.apart:
            return sender.contribution(), False
        keep = self.arrived > 0
        self.arrived = (self.arrived + 1) % len(self.senders)
        return self.population.view(self.variable), keep

    def close(self, wrote):
        """A sender has delivered, and may have written; add up contributions that are kept apart when they are read."""
        if not self.apart:
            return
        self.arrived += 1
        self.stale |= wrote
        if self.arrived in (len(self.early), len(self.senders)):
            if self.stale:
                self._add_up()
            self.stale = False
        self.arrived %= len(self.senders)

    def _add_up(self):
        total = self.population.view(self.variable)
        if self.arrived == len(self.early):
            first, *others = self.early
            self.sum = first.contribution() if not others else sum(each.contribution() for each in self.early)
        first, *others = self.late
        np.add(self.sum, first.contribution(), out=total)
        for each in others:
            total += each.contribution()


class Transmission:
    """What a projection delivers into one variable: ``variable_post = sum over the sources of expr``."""

    def __init__(self, projection, statement, here):
        where = f"{here}.transmit"
        if statement.operator != "=" or not statement.target.endswith("_post"):
            raise EquationError(f"{where}: 'variable_post = ...' is needed, got {statement.text!r}")
        self.projection, self.text = projection, statement.text
        self.variable = statement.target.removesuffix("_post")
        if self.variable not in projection.target.state_variables:
            raise EquationError(
                f"{where}: '{self.variable}' is no state variable of the target, which has "
                f"{', '.join(projection.target.state_variables)}"
            )
        if projection.target.view(self.variable).dtype != projection.target.precision:
            raise EquationError(f"{where}: '{self.variable}' is no real number, which what is delivered must be")
        self.sent = None
        self.last = None
        self.inbox = Inbox.of(projection.target, self.variable)
        self.parts = _parts(projection, statement.expr, where)
        factors = [factor for part in self.parts for factor in part.pre_factors]
        self.inputs = {}  # variables that decide what is sent
        for factor in factors:
            self.inputs |= factor.reads
        self.pure = all(part.pure for part in self.parts)
        self.still, self.pays = False, False  # may it hold still, and has it ever

    def connect(self):
        """A run starts."""
        self.inbox.enter(self, self.projection.place)
        self.still = self._may_hold_still()
        self.live = [read.view(name).reshape(-1) for read, name in self.inputs.values()]
        self.last = None

    def disconnect(self):
        """The run has ended."""
        self.inbox.leave(self)

    def _may_hold_still(self):
        costly = self.projection.layout is not None
        return costly and self.pure and all(read.set_from_outside(name) for read, name in self.inputs.values())

    def signal(self):
        """Return what the source sends, g(pre) of the first term, (replicas, lanes, n_pre)."""
        return self.parts[0].pre_factors[0]()

    def contribution(self):
        """Return the array that keeps this projection's contribution apart from the others'."""
        if self.sent is None:
            self.sent = np.zeros(self.projection.target.shape, self.projection.target.precision)
        return self.sent

    def state(self):
        """Return what was sent last, for checkpoints."""
        return None if self.sent is None else self.sent.copy()

    def set_state(self, sent):
        """Set what was sent last."""
        self.sent, self.last = None if sent is None else sent.copy(), None

    def __call__(self):
        out, keep = self.inbox.open(self)
        changed = not self.still or self._changed()
        if not self.still:
            self._deliver(out, keep)
        else:
            sent = self.contribution()
            if changed:
                self._deliver(sent, False)
            if out is not sent:
                np.add(out, sent, out=out) if keep else np.copyto(out, sent)
        self.inbox.close(changed)

    def _changed(self):
        """Say whether the source's inputs or the weights may differ from those of the last delivery."""
        version, last = self.projection.version, self.last
        if last is not None and version is not None and version == last[0]:
            if last[1] is not None and all(map(kernels.equal, self.live, last[1])):
                self.pays = True
                return False
        elif not self.pays:  # where weights learn in every step, inputs are not even looked at
            self.last = version, None
            return True
        self.last = version, [values.copy() for values in self.live]
        return True

    def _deliver(self, out, keep):
        for part in self.parts:
            part(out, keep)
            keep = True

    def explain(self):
        """Return lines that say what the plan is."""
        lines = [line for part in self.parts for line in part.explain()]
        if self._may_hold_still():
            lines.append("delivered once while its input and the weights hold still")
        return lines


def _parts(projection, expr, where):
    """Return what together delivers an expression: products where it separates, a pass over the synapses where not."""
    layout = projection.layout
    if layout is None:
        return [_OneToOne(projection, expr, where)]
    terms = separate(expr, projection.scope)
    weight = sympy.Symbol(WEIGHT, real=True)
    if layout.form in (BACKWARDS, SPREAD):
        for term in terms:
            if term.mixed != ONE or term.weight != weight:
                kind = "weights read backwards" if layout.form == BACKWARDS else "the weights of a Backward convolution"
                raise EquationError(f"{where}: {kind} deliver w * g(pre) * h(post), got the term {term}")
        return [_Product(projection, term) for term in terms]
    if layout.form == PAIRS:
        for term in terms:
            check_separates(term, where)
        return [DeliveryToOthers(projection, term) for term in terms]
    plain = [term.mixed == ONE and term.weight == weight for term in terms]
    if layout.form == LIST:
        if projection.copies > 1 and all(plain):
            return [_Product(projection, term) for term in terms]
        return [_PassOver(projection, expr)]
    lanewise = {name for name, kept in projection.kept.items() if kept == LANEWISE}
    if projection.copies == 1:
        return [_Product(projection, term) for term in terms] if all(plain) else [_PassOver(projection, expr)]
    parts = []
    for term, is_plain in zip(terms, plain, strict=True):
        reads = {s.name for s in term.weight.free_symbols}
        if is_plain:
            parts.append(_Product(projection, term))
        elif term.mixed == ONE and not reads & lanewise:
            parts.append(_Transformed(projection, term))
        else:
            parts.append(_PassOver(projection, term.expr))
    return parts


class _OneToOne(Part):
    """Neuron to neuron, without weights: any expression of the two."""

    def __init__(self, projection, expr, where):
        super().__init__(projection)
        self.terms = separate(expr, projection.scope)
        self.made = []
        for term in self.terms:
            if term.mixed != ONE:
                raise EquationError(
                    f"{where}: {readable(term.mixed)} mixes the two sides; without weights a sum of products "
                    "g(pre) * h(post) can be delivered"
                )
            made = Part(projection)
            made._factors(term)
            self.made.append(made)
        self.pure = False  # a copy is as cheap as to see whether it is needed

    def __call__(self, out, keep):
        for each in self.made:
            value = each.pre() if each.post is None else each.pre() * each.post()
            if keep:
                out += value if each.coefficient == 1 else each.coefficient * value
            elif each.coefficient == 1:
                out[...] = value
            else:
                np.multiply(value, each.coefficient, out=out)
            keep = True

    def explain(self):
        return [f"{term}: one-to-one copy" for term in self.terms]


class _Product(Part):
    """c w g(pre) h(post): a matrix product over lanes, or in one lane a sum over rows."""

    def __init__(self, projection, term):
        super().__init__(projection)
        self._factors(term)
        layout = projection.layout
        costs = cost(projection, 0, 1)
        if layout.form == BACKWARDS:
            self._run = self._backwards
            self.plan = f"{layout.projection.name} read backwards: WEIGHT TRANSPORT; {costs}"
        elif layout.form == SPREAD:
            self._run, self.plan = self._spread, f"matrix products image by image, added up where windows lie; {costs}"
        elif hasattr(layout, "geometry"):
            self._run, self.plan = self._convolve, f"matrix products over the windows of image after image; {costs}"
        elif layout.form == LIST and layout.blocks:
            self._run, self.plan = self._windows, f"a matrix product over lanes for every window; {costs}"
        elif layout.form == LIST:
            self._run, self.plan = self._list, f"a list of synapses, all lanes of a synapse together; {costs}"
        elif binary(self.pre, projection):
            self._run = self._binary
            self.plan = f"tables of sums over lanes, or rows of spikes where few spike; {costs}"
        elif projection.copies > 1:
            self._run, self.plan = self._over_lanes, f"matrix product over lanes; {costs}"
        elif spikes_only(self.pre, projection):
            each = in_bytes(layout.columns * projection.source.precision.itemsize)
            self._run, self.plan = self._rows, f"event-driven: rows of the neurons that spiked; {each} a spike"
        else:
            self._run, self.plan = self._dense, f"matrix-vector product, all rows; {costs}"

    def __call__(self, out, keep):
        self._times_post(out, keep, self._run)

    def _over_lanes(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        scale = self.coefficient * projection.scale
        blas.product(layout.pre(self.pre()), projection.stored, layout.post(out), alpha=scale, beta=float(keep))

    def _convolve(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        scale = self.coefficient * projection.scale
        patches.convolve(layout.geometry, self.pre(), projection.stored, out, scale, keep)

    def _spread(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        scale = self.coefficient * projection.scale
        patches.spread(layout.geometry, self.pre(), projection.stored, out, scale, keep)

    def _windows(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        scale, deliver = self.coefficient * projection.scale, blocks.spread if layout.backwards else blocks.convolve
        deliver(layout.blocks, self.pre(), projection.stored, out, scale, keep)

    def _list(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        scale = out.dtype.type(self.coefficient * projection.scale)
        pre = np.ascontiguousarray(self.pre().transpose(0, 2, 1))
        received = np.zeros((len(out), layout.columns, projection.copies), out.dtype)
        kernels.deliver_list(projection.stored, layout.indptr, layout.j, pre, received)
        received *= scale
        if keep:
            out += received.transpose(0, 2, 1)
        else:
            out[...] = received.transpose(0, 2, 1)

    def _binary(self, out, keep):
        scale = out.dtype.type(self.coefficient * self.projection.scale)
        for spikes, received, weights in zip(
            step_spikes(self.projection.source), out, self.projection.stored, strict=True
        ):
            spikes.deliver(weights, scale, keep, received)

    def _rows(self, out, keep):
        weights, source = self.projection.rows, self.projection.source
        scale = weights.dtype.type(self.coefficient * self.projection.scale)
        kernels.deliver_rows(weights, source.spikes, source.n, scale, keep, out[:, 0])

    def _dense(self, out, keep):
        weights, layout = self.projection.rows, self.projection.layout
        scale = weights.dtype.type(self.coefficient * self.projection.scale)
        kernels.deliver_dense(weights, layout.pre(self.pre())[:, 0], scale, keep, layout.post(out)[:, 0])

    def _backwards(self, out, keep):
        other = self.projection.layout.projection
        layout, weights, pre = other.layout, other.stored, self.pre()
        scale = self.coefficient * other.scale
        if layout.form == SPREAD:
            patches.convolve(layout.geometry, pre, weights, out, scale, keep)
        elif hasattr(layout, "geometry"):
            patches.spread(layout.geometry, pre, weights, out, scale, keep)
        elif layout.form == LIST and layout.blocks and other.copies > 1:
            deliver = blocks.convolve if layout.backwards else blocks.spread
            deliver(layout.blocks, pre, weights, out, scale, keep)
        elif layout.form == LIST:
            kernels.deliver_list_backwards(weights, layout.indptr, layout.j, pre, pre.dtype.type(scale), keep, out)
        elif layout.form == PAIRS:
            total = pre.sum(axis=2, keepdims=True) - pre
            total *= pre.dtype.type(scale) * weights[:, :, None]
            out[...] = out + total if keep else total
        else:
            blas.product_transposed(pre, weights, out, alpha=scale, beta=float(keep))

    def explain(self):
        return [f"{self.term}: {self.plan}"]


class _Transformed(Part):
    """c f(w) g(pre) h(post) over lanes: a product with a matrix f(w) that is made tile by tile."""

    folds = True

    def __init__(self, projection, term):
        super().__init__(projection)
        self._factors(term)
        layout = projection.layout
        self.pure = self.pure and not (set(map(str, term.weight.free_symbols)) - {WEIGHT})
        self.arguments = Arguments(projection.scope, projection.kept)
        expr = self.arguments.hoist(term.weight, lane=False) if term.weight != ONE else sympy.Symbol("one", real=True)
        text, names, self.names = transform_kernel(self.arguments, expr, layout.mask is not None)
        functions = user_functions(projection.scope, text)
        self.kernel = compile_kernel(text, names, functions)
        precision = projection.source.precision.type
        self.fixed = {n: precision(constant(e, projection.scope)) for e, n in self.arguments.met["c"].items()}
        rows = layout.rows * projection.source.replicas
        self.tile = max(1, min(rows, max(16, SCRATCH // (layout.columns * precision().itemsize))))
        self.scratch = np.empty((self.tile, layout.columns), precision)

    def __call__(self, out, keep):
        self._times_post(out, keep, self._run)

    def _run(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        projection.fold()
        pre, received = layout.pre(self.pre()), layout.post(out)
        known = dict(self.fixed, mask=layout.mask)
        known |= {f"v{k}": projection.array(variable) for variable, k in self.arguments.used.items()}
        for some, start, count in tiles(projection.source.replicas, layout.rows, self.tile):
            rows = (some.stop - some.start) * count
            known["out"], known["offset"] = self.scratch[:rows], some.start * layout.rows + start
            self.kernel(rows * layout.columns, 0, rows, *(known[name] for name in self.names))
            made = known["out"].reshape(-1, count, layout.columns)
            beta = float(keep or start > 0)
            blas.product(pre[some, :, start : start + count], made, received[some], alpha=self.coefficient, beta=beta)

    def explain(self):
        costs = cost(self.projection, 0.5, 1)
        return [f"{self.term}: matrix product over lanes with a transformed matrix, tile by tile; {costs}"]


class _PassOver(Part):
    """Any expression, synapse by synapse."""

    folds = True

    def __init__(self, projection, expr):
        super().__init__(projection)
        layout, scope, source = projection.layout, projection.scope, projection.source
        self.arguments = Arguments(scope, projection.kept)
        self.largest = getattr(layout, "largest", False)
        self.separates = all(term.mixed == ONE for term in separate(expr, scope))
        self.text = readable(expr)
        gate, self.gated = None, False
        if source.model.spike and not self.largest and projection.copies == source.lanes:
            spike = spike_symbol(source, "_pre")
            if expr.subs(spike, 0) == 0:
                gate, expr, self.gated = self.arguments.name("a", spike), expr.subs(spike, 1), True
        value = self.arguments.hoist(expr * EXISTS if layout.padded else expr, lane=True)
        self.masked, form = layout.mask is not None, "list" if layout.form == LIST else "rows"
        self.windows = {}
        if hasattr(layout, "windows") and not self.arguments.used and not self.gated:
            form, self.windows = "windows", layout.windows
        text, names, self.names = transmit_kernel(self.arguments, value, form, self.masked, gate, self.largest)
        functions = user_functions(projection.scope, text)
        self.kernel = compile_kernel(text, names, functions)
        met, precision = self.arguments.met, source.precision.type
        self.parts = {n: Factor(e.subs(EXISTS, 1), source, "_pre", scope) for e, n in met["a"].items()}
        self.pre_factors = tuple(self.parts.values())
        posts = {n: Factor(e, projection.target, "_post", scope, projection.signals) for e, n in met["h"].items()}
        self.parts |= posts
        self.fixed = {n: precision(constant(e, scope)) for e, n in met["c"].items()}
        self.pure = not posts and not set(self.arguments.used) - {WEIGHT}

    def __call__(self, out, keep):
        projection, layout = self.projection, self.projection.layout
        projection.fold()
        known = dict(self.fixed, n_pre=layout.rows, lanes=projection.copies, mask=layout.mask)
        for name, factor in self.parts.items():
            value = layout.pre(factor()) if name[0] == "a" else layout.post(factor())
            known[name] = value.reshape(-1, value.shape[2])
        known |= {f"v{k}": projection.array(variable) for variable, k in self.arguments.used.items()}
        if layout.form == LIST:
            known |= {"indptr": layout.indptr, "index": layout.j} | self.windows
        received = layout.post(out).reshape(-1, layout.columns)
        target = np.empty_like(received) if self.largest and keep else received
        if not keep or self.largest:
            target[...] = -np.inf if self.largest else 0
        known["out"] = target
        last = len(received) if layout.form == LIST else layout.columns
        work = layout.synapses(1) * len(received)
        self.kernel(work, 0, last, *(known[name] for name in self.names))
        if target is not received:
            received += target

    def explain(self):
        projection = self.projection
        how = "event-driven: synapses of the neurons that spiked" if self.gated else "synapse by synapse"
        if projection.copies > 1 and projection.layout.form == MATRIX:
            how += " in every lane, slower than a product"
        if not self.separates:
            how += ": it does not separate into factors of the two sides"
        what = "largest of " if self.largest else ""
        return [f"{what}{self.text}: {how}; {cost(projection, 0.5 if self.arguments.used else 0, 1)}"]
