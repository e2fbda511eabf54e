"""One weight for all pairs of different neurons: sums over both sides, less the diagonal, in place of n^2 synapses."""

import numpy as np
from brian2.parsing.rendering import NumpyNodeRenderer

from neurosim.errors import EquationError
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.lanes import lane_change, without_clip
from neurosim.plasticity.parse import FUNCTIONS, RATE, WEIGHT, to_text
from neurosim.plasticity.part import Part
from neurosim.plasticity.plan import (
    COMMON,
    LANEWISE,
    ONE,
    SHARED,
    SUMMED,
    constant,
    multiplied_out,
    readable,
    separate,
    side,
)


class Pairs:
    """A rule for one weight that all pairs of different neurons share: sums over both sides, less the diagonal."""

    def __init__(self, projection, groups, where):
        self.projection = projection
        self.steps = []
        for event, members in groups:
            for s in members:
                limit = None
                if projection.copies > 1 and projection.kept[s.target] == SHARED:
                    clipped = without_clip(s, projection.scope)
                    s, limit = clipped or (s, None)
                self.steps.append((event, s, self._terms(s, event, where), limit))

    def _terms(self, statement, event, where):
        projection, scope = self.projection, self.projection.scope
        if projection.kept[statement.target] == LANEWISE:
            raise EquationError(
                f"{where}: '{statement.target}' would be kept for every pair and lane; one weight for all pairs has no "
                "place for it; declare it (shared), or use Masked connectivity"
            )
        operator, expr = lane_change(statement, event, projection, where)
        terms = []
        for term in separate(multiplied_out(expr), scope):
            check_separates(term, where)
            pre = Factor(term.pre, projection.source, "_pre", scope)
            post = Factor(term.post, projection.target, "_post", scope, projection.signals)
            names = {s.name for s in term.weight.free_symbols}
            once = projection.kept[statement.target] == COMMON or any(projection.kept[n] == SUMMED for n in names)
            terms.append((term, pre, post, once and side(term.expr, scope) <= {"w"}))
        return operator, terms

    def _change(self, terms):
        projection = self.projection
        values = {s: projection.array(s) for s in projection.kept}
        total = np.zeros(projection.source.replicas)
        for term, pre, post, once in terms:
            weight = evaluate(term.weight, projection.scope, values) if term.weight != ONE else np.ones((1, 1))
            if once:
                pairs = 1.0
            else:
                g, h = pre.at_end().astype(float), post.at_end().astype(float)
                pairs = (g.sum(axis=2) * h.sum(axis=2) - (g * h).sum(axis=2)).sum(axis=1)
            total = total + constant(term.coefficient, projection.scope) * weight[:, 0] * pairs
        return total[:, None]

    def __call__(self):
        projection = self.projection
        projection.fold()
        rates = [(s, self._change(terms)) for event, s, (_, terms), _ in self.steps if event == RATE]
        for s, change in rates:
            projection.array(s.target)[...] += change.astype(projection.source.precision)
        self._clip([s for s, _ in rates])
        for event in dict.fromkeys(event for event, *_ in self.steps if event != RATE):
            members = [step for step in self.steps if step[0] == event]
            for _, s, (operator, terms), limit in members:
                array = projection.array(s.target)
                change = self._change(terms)
                array[...] = change if operator == "=" else array + change
                if limit is not None:
                    array[...] = evaluate(limit, projection.scope, {s.target: array})
            self._clip([s for _, s, _, _ in members])

    def _clip(self, statements):
        if self.projection.bounds is not None and any(s.target == WEIGHT for s in statements):
            low, high = self.projection.bounds
            np.clip(self.projection.array(WEIGHT), low.max(), high.min(), out=self.projection.array(WEIGHT))

    def explain(self):
        return [
            f"{s.target} {operator} {term}: one weight for all pairs, two sums and a dot product"
            for _, s, (operator, terms), _ in self.steps
            for term, *_ in terms
        ]


def check_separates(term, where):
    """Refuse a term that one weight for all pairs cannot have."""
    if term.mixed != ONE:
        raise EquationError(
            f"{where}: {readable(term.mixed)} does not separate into a factor of the source times one of the target, "
            "which one weight for all pairs needs; use Masked connectivity"
        )


def evaluate(expr, scope, values):
    """Return an expression of the synapse's variables alone, from their arrays."""
    constants = {s.name: float(scope.constants[s.name]) for s in expr.free_symbols if s.name in scope.constants}
    code = NumpyNodeRenderer().render_expr(to_text(expr))
    return np.atleast_1d(eval(code, FUNCTIONS | constants | values))  # noqa: S307


class DeliveryToOthers(Part):
    """c f(w) g(pre) h(post) with one weight for all pairs: the sum over the source, less the neuron's own part."""

    def __init__(self, projection, term):
        super().__init__(projection)
        self._factors(term)
        self.pure = False

    def __call__(self, out, keep):
        self._times_post(out, keep, self._run)

    def _run(self, out, keep):
        projection, pre = self.projection, self.pre()
        projection.fold()
        weight = np.float64(1)
        if self.term.weight != ONE:
            values = {name: projection.array(name) for name in projection.scope.synapse}
            weight = evaluate(self.term.weight, projection.scope, values)[:, :, None]
        others = pre.sum(axis=2, keepdims=True) - pre
        others *= (self.coefficient * weight).astype(pre.dtype)
        out[...] = out + others if keep else others

    def explain(self):
        return [f"{self.term}: one weight for all pairs, one sum for all targets; O(n)"]
