"""Statements carried out in one pass over the synapses, with products over lanes made tile by tile before it."""

from dataclasses import replace

import numpy as np
import sympy

from neurosim.connectivity import LIST
from neurosim.plasticity import blas, blocks
from neurosim.plasticity.compile import compile_kernel
from neurosim.plasticity.cost import cost
from neurosim.plasticity.emit import Arguments, RuleKernel, Update, user_functions
from neurosim.plasticity.factor import Factor
from neurosim.plasticity.lanes import lane_change, without_clip
from neurosim.plasticity.parse import DT, POST, PRE, RATE, STEP, WEIGHT
from neurosim.plasticity.plan import (
    COMMON,
    EXISTS,
    LANEWISE,
    ONE,
    SHARED,
    SUMMED,
    constant,
    multiplied_out,
    readable,
    separate,
)
from neurosim.plasticity.spikes import spike_symbol

TILE = 2**20  # bytes of weights that are passed over and added to while they are in the cache
SCRATCH = 2**20  # bytes for products of a tile of rows: they stay in the cache until they are used


def tiles(replicas, rows, most):
    """Cut the rows of all replicas into tiles: several whole replicas where they fit, else parts of one.

    Yields (slice of replicas, first row, rows of each).
    """
    together = max(1, min(replicas, most // rows))
    for replica in range(0, replicas, together):
        for start in range(0, rows, most):
            yield slice(replica, min(replica + together, replicas)), start, min(most, rows - start)


class PassOver:
    """Statements carried out in one pass over the synapses, products over lanes made tile by tile before it."""

    def __init__(self, projection, groups, where, confines=True):
        self.projection, layout = projection, projection.layout
        self.windows = layout.form == LIST and layout.blocks is not None and projection.copies > 1
        form = "list" if layout.form == LIST and not self.windows else "rows"
        self.arguments = Arguments(projection.scope, projection.kept, form)
        self.terms = []
        self.given = None
        self.single = projection.copies == 1 and not layout.padded
        self.rows_gate, self.columns_gate = self._gates(groups) if self.single else (False, False)
        updates = []
        for event, members in groups:
            made = [update for s in members for update in self._updates(s, event, where)]
            updates.append((made, event == RATE))
        self.updates = [update for made, _ in updates for update in made]
        form = "list" if layout.form == LIST else "columns" if self.columns_gate else "rows"
        gate = self.arguments.name("A", spike_symbol(projection.source, "_pre")) if self.rows_gate else None
        column_gate = None
        if self.columns_gate and form == "list":
            column_gate = self.arguments.name("H", spike_symbol(projection.target, "_post"))
        if not groups:  # nothing but bounds and mask
            updates.append(([Update(WEIGHT, "+=", None, None)], False))
        self.masked = confines and layout.mask is not None
        writes = any(u.target == WEIGHT for made, _ in updates for u in made)
        self.bounded = confines and projection.bounds is not None and writes
        kernel = RuleKernel(
            self.arguments, updates, form, projection.copies, self.masked, self.bounded, gate, column_gate
        )
        self.form = form
        text, names, self.names = kernel.text()
        functions = user_functions(projection.scope, text)
        self.kernel = compile_kernel(text, names, functions)
        self._resolve()

    def _gates(self, groups):
        """Say whether nothing happens in rows, or in columns, of neurons without a spike (one lane)."""
        found = [(event, s) for event, members in groups for s in members]
        answers = []
        for event, population, suffix in (
            (PRE, self.projection.source, "_pre"),
            (POST, self.projection.target, "_post"),
        ):
            spike = spike_symbol(population, suffix)
            answers.append(
                all(
                    at == event or (spike is not None and s.operator != "=" and s.expr.subs(spike, 0) == 0)
                    for at, s in found
                )
            )
        return answers

    def _updates(self, statement, event, where):
        projection, scope = self.projection, self.projection.scope
        arguments = self.arguments
        limit = None
        if self.single:
            factor = DT if event == RATE else ONE
            expr = statement.expr
            for gate, population, suffix in (
                (self.rows_gate, projection.source, "_pre"),
                (self.columns_gate, projection.target, "_post"),
            ):
                if gate:
                    expr = expr.subs(spike_symbol(population, suffix), 1)
            expr = expr * factor
            self.terms.append(f"{statement.target} {'=' if statement.operator == '=' else '+='} {readable(expr)}")
            operator = "=" if statement.operator == "=" else "+="
            return [Update(statement.target, operator, None, arguments.hoist(expr, lane=False))]
        if projection.kept[statement.target] == SHARED:
            clipped = without_clip(statement, scope)
            if clipped:
                statement, limit = clipped
        operator, expr = lane_change(statement, event, projection, where)
        kept = projection.kept[statement.target]
        target = sympy.Symbol(statement.target, real=True)
        if operator == "=" and kept == SHARED and target in expr.free_symbols:  # one lane, a window over the edge
            operator, expr = "+=", expr - target
        if kept == LANEWISE:
            self.terms.append(f"{statement.target} {operator} {readable(expr)}: elementwise, in every lane")
            return [Update(statement.target, operator, arguments.hoist(expr, lane=True), None)]
        if kept == COMMON:
            self.terms.append(f"{statement.target} {operator} {readable(expr)}: elementwise, once for all lanes")
            return [Update(statement.target, operator, None, arguments.hoist(expr, lane=False))]
        in_lanes, once = self._split(statement.target, operator, expr)
        made = [Update(statement.target, operator, in_lanes, once)]
        if limit is not None:
            made.append(Update(statement.target, "=", None, arguments.hoist(limit, lane=False)))
        return made

    def _split(self, target, operator, expr):
        """Return (what is evaluated in every lane, what once) of a change summed over lanes, None for nothing."""
        projection, arguments = self.projection, self.arguments
        summed = {name for name, kept in projection.kept.items() if kept == SUMMED}
        lanewise = {name for name, kept in projection.kept.items() if kept == LANEWISE}
        in_lanes, once = [], []
        if summed:  # a sum over lanes counts once, what stands beside it in every lane
            expr = multiplied_out(expr)
        for term in separate(expr, projection.scope):
            names = {s.name for s in term.weight.free_symbols | term.mixed.free_symbols}
            if not names & summed:
                term = replace(term, pre=self._existing(term.pre))
            product = term.pre != ONE and term.post != ONE
            if names & lanewise or term.mixed != ONE:
                in_lanes.append(arguments.hoist(term.expr, lane=True))
                how = "synapse by synapse in every lane"
                how += ", slower than a product" if term.mixed != ONE else ""
                how += ": it does not separate into factors of the two sides" if term.mixed != ONE else ""
            else:
                once.append(arguments.reduced(term, 1 if names & summed else projection.copies))
                how = "elementwise"
                if product and self.windows:
                    how = f"a matrix product over lanes for every window; {cost(projection, 0, 1)}"
                elif product and projection.layout.form == LIST:
                    how = f"one sum over lanes a synapse; {cost(projection, 0, 1)}"
                elif product:
                    how = f"matrix product over lanes, tile by tile; {cost(projection, 0, 1)}"
            self.terms.append(f"{target} {operator} {term}: {how}")
        return (sympy.Add(*parts) if parts else None for parts in (in_lanes, once))

    def _existing(self, expr):
        return expr * EXISTS if self.projection.layout.padded else expr

    def _resolve(self):
        """Make the factors that the kernel's arguments stand for."""
        projection, met = self.projection, self.arguments.met
        self.parts = {}
        for kind in ("a", "A"):
            for expr, name in met[kind].items():
                self.parts[name] = self._pre(expr)
        for kind in ("h", "H"):
            for expr, name in met[kind].items():
                self.parts[name] = self._post(expr)
        self.products = {name: (self._pre(pre), self._post(post)) for (pre, post), name in met["P"].items()}
        precision = projection.source.precision.type
        self.fixed = {name: precision(constant(expr, projection.scope)) for expr, name in met["c"].items()}
        rows, columns = projection.layout.rows, projection.layout.columns
        if self.windows:
            self.scratch = {name: np.empty_like(projection.stored) for name in self.products}
        elif self.products and projection.layout.form != LIST:
            count = len(self.products)
            rows *= projection.source.replicas
            self.tile = max(1, min(rows, max(16, SCRATCH // (count * columns * precision().itemsize))))
            self.scratch = {name: np.empty((self.tile, columns), precision) for name in self.products}

    def _pre(self, expr):
        return Factor(expr.subs(EXISTS, 1), self.projection.source, "_pre", self.projection.scope)

    def _post(self, expr):
        return Factor(expr, self.projection.target, "_post", self.projection.scope, self.projection.signals)

    def _value(self, name):
        """Return the array of a factor: of every lane for a, h; summed over the lanes for A, H."""
        factor, layout = self.parts[name], self.projection.layout
        value = factor.at_end()
        value = layout.pre(value) if name[0] in "aA" else layout.post(value)
        if name[0] in "ah":
            return value.reshape(-1, value.shape[2])
        return value[:, 0] if value.shape[1] == 1 else value.sum(axis=1)

    def connect(self):
        """A run starts: find what stays where it is in memory; the rest is found in every step."""
        projection, layout = self.projection, self.projection.layout
        known = {"offset": 0, "n_pre": layout.rows, "lanes": projection.copies, "mask": layout.mask} | self.fixed
        if self.bounded:
            known["low"], known["high"] = projection.bounds
        if self.form == "list":
            known |= {"indptr": layout.indptr, "index": layout.j}
        known |= {f"v{k}": projection.array(variable) for variable, k in self.arguments.used.items()}
        if projection.copies == 1 and layout.by_neuron:
            known |= {name: self._value(name) for name, factor in self.parts.items() if factor.live}
        self.given = [known.get(name) for name in self.names]
        self.sought = [(place, name) for place, name in enumerate(self.names) if name not in known]

    def __call__(self):
        projection, layout = self.projection, self.projection.layout
        projection.fold()
        if self.given is None:
            self.connect()
        if self.products and self.form != "list":
            self._tile_by_tile()
            return
        work = layout.synapses(1) * projection.copies if self.form == "list" else layout.rows * layout.columns
        if self.rows_gate:
            work *= len(projection.source.spikes) / len(projection.source)
        found = self._found()
        arguments = self.given.copy()
        for place, name in self.sought:
            arguments[place] = found[name] if name in found else self._value(name)
        replicas = projection.source.replicas
        self.kernel(work * replicas, 0, layout.rows * replicas, *arguments)

    def _found(self):
        """Return what only this step has beside factors: columns of spikes, and of products of a list, both sides."""
        projection, layout, found = self.projection, self.projection.layout, {}
        if self.form == "columns":
            spikes, n = projection.target.spikes, projection.target.n
            found["starts"] = np.searchsorted(spikes, np.arange(projection.source.replicas + 1) * n)
            found["columns"] = spikes % n
        for name, (pre, post) in self.products.items():
            if self.windows:
                image, signal = (pre.at_end(), post.at_end())[:: -1 if layout.backwards else 1]
                found[name] = self.scratch[name]
                blocks.correlate(layout.blocks, image, signal, found[name], keep=False)
                continue
            for side, value in (("a", layout.pre(pre.at_end())), ("h", layout.post(post.at_end()))):
                found[name + side] = np.ascontiguousarray(value.transpose(0, 2, 1))
        return found

    def prepare(self):
        """Find the factors of this step, before rows are passed over in parts."""
        if self.given is None:
            self.connect()
        self.now = {name: self._value(name) for name in self.parts}

    def pass_rows(self, first, count, **products):
        """Pass over some rows of the weights of all replicas."""
        known = self.now | products
        arguments = self.given.copy()
        arguments[0] = first
        for place, name in self.sought:
            arguments[place] = known[name]
        self.kernel(count * self.projection.layout.columns, 0, count, *arguments)

    def _tile_by_tile(self):
        layout = self.projection.layout
        self.prepare()
        values = {
            name: (layout.pre(pre.at_end()), layout.post(post.at_end())) for name, (pre, post) in self.products.items()
        }
        for some, start, count in tiles(self.projection.source.replicas, layout.rows, self.tile):
            rows = (some.stop - some.start) * count
            made = {name: self.scratch[name][:rows] for name in values}
            for name, (pre, post) in values.items():
                out = made[name].reshape(-1, count, layout.columns)
                blas.outer_product(pre[some, :, start : start + count], post[some], out, 1.0, 0.0)
            self.pass_rows(some.start * layout.rows + start, rows, **made)

    def _operations(self):
        """Count what is computed for one synapse."""
        total = 2 * self.bounded
        for update in self.updates:
            for part, times in ((update.in_lanes, self.projection.source.lanes), (update.once, 1)):
                if part is not None:
                    total += times * (int(part.count_ops()) + (update.operator == "+="))
        return total

    def explain(self):
        projection = self.projection
        used = len(self.arguments.used)
        lanes = sum(projection.kept[name] == LANEWISE for name in self.arguments.used)
        where = {"rows": "", "columns": ", columns of the neurons that spiked", "list": ", a list of synapses"}
        where = where[self.form]
        where += ", rows of the neurons that spiked" if self.rows_gate else ""
        driven = "event-driven: " if self.rows_gate or self.columns_gate else ""
        extra = [word for flag, word in ((self.bounded, "bounds"), (self.masked, "mask")) if flag]
        fused = f"{driven}one fused pass{where}" + (f" with {' and '.join(extra)}" if extra else "")
        passes = used - lanes + lanes * projection.copies
        each = cost(projection, passes, 0, self._operations())
        return [*self.terms, f"{fused}; {each}{' if every synapse is touched' if driven else ''}"]


class InPlace:
    """A change of the weights with products over lanes that are added as they are: straight into a tile of weights.

    What else the statement does to the weights comes before the products, bounds and mask come after them.
    """

    def __init__(self, projection, taken, rest, where):
        self.projection, scope = projection, projection.scope
        self.taken = taken
        self.products = [
            (
                constant(term.coefficient, scope),
                Factor(term.pre, projection.source, "_pre", scope),
                Factor(term.post, projection.target, "_post", scope, projection.signals),
            )
            for term in taken
        ]
        self.before = PassOver(projection, [(STEP, [rest])], where, confines=False) if rest else None
        confines = projection.layout.mask is not None or projection.bounds is not None
        self.after = PassOver(projection, [], where) if confines else None

    @classmethod
    def of(cls, projection, groups, where):
        """Return an InPlace if these groups of statements are one such change, else None."""
        statements = [(event, s) for event, members in groups for s in members]
        layout = projection.layout
        if len(statements) != 1 or projection.copies == 1 or layout.form == LIST or layout.padded:
            return None
        (event, statement), scope = statements[0], projection.scope
        if statement.target != WEIGHT or without_clip(statement, scope):
            return None
        operator, expr = lane_change(statement, event, projection, where)
        if operator != "+=":
            return None
        terms = separate(expr, scope)
        products = [t for t in terms if t.mixed == ONE and t.pre != ONE and t.post != ONE]
        taken = [t for t in products if t.weight == ONE]
        if not taken or len(taken) < len(products):
            return None
        rest = sympy.Add(*(t.expr for t in terms if t not in taken))
        return cls(projection, taken, replace(statement, operator="+=", expr=rest) if rest != 0 else None, where)

    def connect(self):
        """A run starts."""
        for each in (self.before, self.after):
            if each:
                each.connect()

    def __call__(self):
        projection, layout = self.projection, self.projection.layout
        projection.fold()
        for each in (self.before, self.after):
            if each:
                each.prepare()
        values = [(c, layout.pre(pre.at_end()), layout.post(post.at_end())) for c, pre, post in self.products]
        tile = max(16, TILE // (layout.columns * projection.source.precision.itemsize))
        for some, start, count in tiles(projection.source.replicas, layout.rows, tile):
            first, rows = some.start * layout.rows + start, (some.stop - some.start) * count
            weights = projection.stored[some, start : start + count]
            if self.before:
                self.before.pass_rows(first, rows)
            for coefficient, pre, post in values:
                blas.outer_product(pre[some, :, start : start + count], post[some], weights, coefficient)
            if self.after:
                self.after.pass_rows(first, rows)

    def explain(self):
        costs = cost(self.projection, 1, 1)
        lines = self.before.explain() if self.before else []
        lines += [f"{term}: matrix product over lanes, added to the weights in place, tile by tile; {costs}"
                  for term in self.taken]  # fmt: skip
        return lines + (self.after.explain() if self.after else [])
