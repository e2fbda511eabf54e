"""Carry out a plan in every step: deliver along the weights, change the weights."""

import numpy as np

from neurosim.errors import EquationError
from neurosim.plasticity import kernels
from neurosim.plasticity.parse import WEIGHT
from neurosim.plasticity.plan import ONE, Factor, constant, separate, side


class Inbox:
    """One variable of a population into which projections deliver: their contributions add up.

    Where all sources come before the target in the sweep, every step has all contributions delivered before the
    target reads them: the first of a step sets the variable and the others add to it. Where one comes later, each
    keeps its contribution in an array of its own and the variable is their sum.
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
        self.senders[sender] = place
        self._arrange()

    def leave(self, sender):
        """The run has ended."""
        self.senders.pop(sender, None)
        self._arrange()

    def _arrange(self):
        later = any(place >= self.population.place for place in self.senders.values())
        self.apart = len(self.senders) > 1 and later
        self.arrived = 0

    def open(self, sender):
        """Return (array to write to, whether to add to it) for this delivery."""
        if self.apart:
            return sender.contribution(), False
        keep = self.arrived > 0
        self.arrived = (self.arrived + 1) % len(self.senders)
        return self.population.view(self.variable), keep

    def close(self, sender):
        """The sender has written; add up where contributions are kept apart."""
        if self.apart:
            total = self.population.view(self.variable)
            total[...] = 0
            for each in self.senders:
                if each.sent is not None:
                    total += each.sent


class Transmission:
    """What a projection delivers: ``variable_post = sum of c * w * g(pre)``, or one-to-one without ``w``."""

    def __init__(self, projection, statement, here):
        where = f"{here}.transmit"
        if statement.operator != "=" or not statement.target.endswith("_post"):
            raise EquationError(f"{where}: 'variable_post = ...' is needed, got {statement.text!r}")
        self.projection = projection
        self.variable = statement.target.removesuffix("_post")
        if self.variable not in projection.target.state_variables:
            raise EquationError(
                f"{where}: '{self.variable}' is no state variable of the target, which has "
                f"{', '.join(projection.target.state_variables)}"
            )
        if projection.target.view(self.variable).dtype != projection.target.precision:
            raise EquationError(f"{where}: '{self.variable}' is no real number, which what is delivered must be")
        terms = separate(statement.expr, where)
        if len(terms) != 1 or terms[0].post != ONE or terms[0].weight not in (ONE, _symbol(terms[0].weight)):
            raise EquationError(
                f"{where}: constant * w * g(pre) is what can be delivered as a product, got {statement.text!r}"
            )
        (self.term,) = terms
        self.coefficient = constant(self.term.coefficient, projection.scope)
        self.pre = Factor(self.term.pre, projection.source, "_pre", projection.scope)
        self.sent = None
        self.inbox = Inbox.of(projection.target, self.variable)
        if projection.one_to_one:
            self._deliver, self.plan = self._one_to_one, "one-to-one copy"
        elif projection.source.lanes > 1:
            self._deliver, self.plan = self._product, "matrix product over lanes"
        elif spikes_only(self.pre, projection.source):
            self._deliver, self.plan = self._rows, "event-driven: rows of the neurons that spiked"
        else:
            self._deliver, self.plan = self._dense, "matrix-vector product, all rows"

    def connect(self):
        """A run starts."""
        self.inbox.enter(self, self.projection.source.place)

    def disconnect(self):
        """The run has ended."""
        self.inbox.leave(self)

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
        self.sent = None if sent is None else sent.copy()

    def __call__(self):
        out, keep = self.inbox.open(self)
        self._deliver(out, keep)
        self.inbox.close(self)

    def _product(self, out, keep):
        scale, pre = self.coefficient * self.projection.scale, self.pre()
        for replica, weights in enumerate(self.projection.stored):
            kernels.product(pre[replica], weights, out[replica], alpha=scale, beta=float(keep))

    def _rows(self, out, keep):
        weights, source = self.projection.rows, self.projection.source
        scale = weights.dtype.type(self.coefficient * self.projection.scale)
        kernels.deliver_rows(weights, source.spikes, source.n, scale, keep, out[:, 0])

    def _dense(self, out, keep):
        weights = self.projection.rows
        scale = weights.dtype.type(self.coefficient * self.projection.scale)
        kernels.deliver_dense(weights, self.pre()[:, 0], scale, keep, out[:, 0])

    def _one_to_one(self, out, keep):
        if keep:
            out += self.coefficient * self.pre()
        elif self.coefficient == 1:
            out[...] = self.pre()
        else:
            np.multiply(self.pre(), self.coefficient, out=out)

    def explain(self):
        """Return lines that say what the plan is."""
        return [f"{self.term}: {self.plan}"]


class Learning:
    """How a projection's weights change in a step: products of both sides, and a factor for all weights."""

    def __init__(self, projection, statement, here):
        where = f"{here}.rule"
        if statement.target != WEIGHT or statement.operator == "=":
            raise EquationError(f"{where}: 'dw/dt = ...' or 'w += ...' is needed, got {statement.text!r}")
        self.projection = projection
        self.rate = statement.operator == "d/dt"
        self.decays, self.terms = [], []
        for term in separate(statement.expr, where):
            if term.weight == ONE:
                self.terms.append(_Outer(projection, term))
            elif term.weight == _symbol(term.weight) and term.pre == ONE and term.post == ONE:
                self.decays.append((term, constant(term.coefficient, projection.scope)))
            else:
                raise EquationError(
                    f"{where}: the term {term} is not planned for; a rule is a sum of terms "
                    "constant * g(pre) * h(post) and constant * w"
                )

    def connect(self):
        """A run starts."""
        for outer in self.terms:
            outer.pre.forget()
            outer.post.forget()

    def __call__(self):
        projection = self.projection
        step = float(projection.clock.dt_) if self.rate else 1.0
        if self.decays:
            lanes = projection.source.lanes
            projection.decay(1.0 + step * lanes * sum(rate for _, rate in self.decays))
        for term in self.terms:
            term(step / projection.scale)

    def explain(self):
        """Return lines that say what each term became."""
        lines = [f"{term}: one factor for all weights, kept in double precision" for term, _ in self.decays]
        return [f"{outer.term}: {outer.plan}" for outer in self.terms] + lines


class _Outer:
    """One term c g(pre) h(post), summed over lanes."""

    def __init__(self, projection, term):
        self.projection, self.term = projection, term
        self.coefficient = constant(term.coefficient, projection.scope)
        self.pre = Factor(term.pre, projection.source, "_pre", projection.scope)
        self.post = Factor(term.post, projection.target, "_post", projection.scope)
        if projection.source.lanes > 1:
            self._run, self.plan = self._product, "matrix product over lanes, added to the weights in place"
        elif spikes_only(self.pre, projection.source):
            self._run, self.plan = self._rows, "event-driven: rows of the neurons that spiked"
        else:
            self._run, self.plan = self._dense, "outer product, all rows"

    def __call__(self, factor):
        self._run(self.coefficient * factor)

    def _product(self, alpha):
        pre, post = self.pre.at_end(), self.post.at_end()
        for replica, weights in enumerate(self.projection.stored):
            kernels.outer_product(pre[replica], post[replica], weights, alpha)

    def _rows(self, alpha):
        weights, source = self.projection.rows, self.projection.source
        change = self.post.at_end()[:, 0] * weights.dtype.type(alpha)
        kernels.learn_rows(weights, source.spikes, source.n, change)

    def _dense(self, alpha):
        weights = self.projection.rows
        change = self.post.at_end()[:, 0] * weights.dtype.type(alpha)
        kernels.learn_dense(weights, self.pre.at_end()[:, 0], change)


def spikes_only(factor, population):
    """Say whether a factor is just the spike variable of its population, so that rows without a spike drop out."""
    return factor.variable is not None and factor.variable == population.model.spike


def _symbol(expr):
    """Return the weight's own symbol if the expression depends on it alone."""
    symbols = [s for s in expr.free_symbols if s.name == WEIGHT]
    return symbols[0] if symbols and side(expr) == {"w"} else None
