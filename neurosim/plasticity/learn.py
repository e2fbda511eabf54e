"""Carry out a rule in every step: products of both sides in place, or one pass over the synapses for all else."""

import inspect
import itertools
from dataclasses import dataclass, replace

import numpy as np
import sympy
from brian2.parsing.rendering import NumpyNodeRenderer

from neurosim.connectivity import BACKWARDS, LIST, MATRIX, PAIRS
from neurosim.errors import EquationError
from neurosim.plasticity import kernels
from neurosim.plasticity.compile import compile_kernel
from neurosim.plasticity.emit import Arguments, RuleKernel, Update
from neurosim.plasticity.parse import FUNCTIONS, POST, PRE, RATE, STEP, WEIGHT, to_text
from neurosim.plasticity.plan import (
    COMMON,
    EXISTS,
    LANEWISE,
    ONE,
    SHARED,
    SUMMED,
    Factor,
    constant,
    readable,
    scalar,
    separate,
    side,
    without_clip,
)

SCRATCH = 2**20  # bytes for products of a tile of rows: they stay in the cache until they are used


@dataclass(frozen=True)
class Kernel:
    """A compiled function in place of a rule's text: the last resort for what the language cannot say.

    Parameters
    ----------
    function : numba function
        Its parameters are names: ``w`` and declared arrays as the projection keeps them, ``x_pre`` and ``x_post`` as
        arrays (replicas, lanes, n) in base units, constants of the namespace and signals, and ``dt`` in seconds.
    reads, writes : tuple of str
        Together exactly the function's parameters. What is only read arrives as an array that cannot be written.
    """

    function: object
    reads: tuple
    writes: tuple = (WEIGHT,)


class Learning:
    """How a projection's weights and variables change in a step: passes, each at its event."""

    def __init__(self, projection, statements, here):
        where = f"{here}.rule"
        for event, population in ((PRE, projection.source), (POST, projection.target)):
            if any(s.event == event for s in statements) and not population.model.spike:
                raise EquationError(f"{where}: {population.name} has no spikes, which the event {event!r} needs")
        if projection.layout.form == BACKWARDS:
            raise EquationError(f"{where}: weights read backwards learn by the rule of the projection they belong to")
        groups = {}
        for event in (RATE, STEP, PRE, POST):
            groups[event] = [s for s in statements if s.event == event]
        ends = {}
        for s in statements:
            if s.event not in groups:
                ends.setdefault(s.event, []).append(s)
        together = projection.copies > 1 or projection.layout.form == PAIRS
        events = [[RATE, STEP, PRE, POST]] if together else [[RATE, STEP], [PRE], [POST]]
        self.passes = []
        for chosen in events:
            present = [(event, groups[event]) for event in chosen if groups[event]]
            if present:
                self.passes.append((None, _pass(projection, present, where)))
        for event, members in ends.items():
            self.passes.append((event, _pass(projection, [(event, members)], where)))

    def __call__(self):
        for event, each in self.passes:
            if event is None or event():
                each()

    def explain(self):
        """Return lines that say what each term became."""
        lines = []
        for event, each in self.passes:
            head = [] if event is None else [f"at {event}:"]
            lines += head + each.explain()
        return lines


def _pass(projection, groups, where):
    if projection.layout.form == PAIRS:
        return _Pairs(projection, groups, where)
    plain = _plain(projection, groups)
    return _Products(projection, *plain) if plain else _Pass(projection, groups, where)


def _spike(population, suffix):
    return sympy.Symbol(f"{population.model.spike}{suffix}", real=True)


def _in_lanes(statement, event, projection, where):
    """Return (operator, change in a lane) of a statement at an event, where several lanes do things at once."""
    expr, operator = statement.expr, statement.operator
    if event in (PRE, POST):
        population, suffix = (projection.source, "_pre") if event == PRE else (projection.target, "_post")
        spike = _spike(population, suffix)
        if operator == "=":
            if projection.kept[statement.target] == SHARED:
                raise EquationError(
                    f"{where}: {statement.text!r} sets what is shared by {projection.copies} lanes on a spike in one "
                    "of them; write it as a change, '+='"
                )
            expr = expr - sympy.Symbol(statement.target, real=True)
        return "+=", spike * expr
    if event == RATE:
        return "+=", expr * sympy.Float(float(projection.clock.dt_))
    own = operator == "=" and statement.target in {s.name for s in expr.free_symbols}
    if own and projection.kept[statement.target] == SHARED and projection.copies > 1:
        raise EquationError(
            f"{where}: {statement.text!r} sets what is shared by {projection.copies} lanes from itself; write it as a "
            "change, '+='"
        )
    return operator, expr


def _plain(projection, groups):
    """Return (products, decays) if all that happens is that products of both sides are added, and w decays; or None."""
    layout = projection.layout
    if layout.form != MATRIX or layout.mask is not None or projection.bounds is not None:
        return None
    found = [(event, s) for event, members in groups for s in members]
    if any(s.target != WEIGHT or s.operator == "=" for _, s in found):
        return None
    products, decays = [], []
    for event, s in found:
        _, expr = _in_lanes(s, event, projection, "")
        if event in (PRE, POST):
            expr = sympy.expand(expr)
        for term in separate(expr, projection.scope):
            if term.mixed != ONE:
                return None
            if term.weight == ONE and (term.pre != ONE or term.post != ONE):
                if projection.copies == 1 and _by_spikes(term, projection):
                    return None
                products.append(term)
            elif term.weight == sympy.Symbol(WEIGHT, real=True) and term.pre == ONE and term.post == ONE:
                decays.append(term)
            else:
                return None
    if (decays and len(found) > 1) or (layout.padded and decays):
        return None
    return products, decays


def _by_spikes(term, projection):
    """Say whether a pass over chosen rows or columns beats an outer product, which knows bare spikes of the source."""
    pre, post = (
        _spike(population, suffix) if population.model.spike else None
        for population, suffix in ((projection.source, "_pre"), (projection.target, "_post"))
    )
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

    def explain(self):
        lines = [f"{term}: one factor for all weights, kept in double precision" for term, _ in self.decays]
        return [f"{outer.shown}: {outer.plan}" for outer in self.products] + lines


class _Outer:
    """One term c g(pre) h(post), summed over lanes."""

    def __init__(self, projection, term):
        self.projection, self.term = projection, term
        self.coefficient = constant(term.coefficient, projection.scope)
        self.pre = Factor(term.pre, projection.source, "_pre", projection.scope)
        self.post = Factor(term.post, projection.target, "_post", projection.scope, projection.signals)
        self.shown = str(term)
        cost = _cost(projection, 1, 1)
        if sparse_rows(self.pre, projection):
            self._run = self._rows_or_product
            self.plan = f"matrix product over lanes, or rows of spikes where few spike, added in place; {cost}"
        elif projection.copies > 1:
            self._run, self.plan = self._product, f"matrix product over lanes, added to the weights in place; {cost}"
        elif spikes_only(self.pre, projection.source):
            self._run = self._rows
            self.plan = f"event-driven: rows of the neurons that spiked; {_bytes(8 * projection.target.n)} a spike"
        else:
            self._run, self.plan = self._dense, f"outer product, all rows; {cost}"

    def __call__(self, factor):
        self._run(self.coefficient * factor)

    def _product(self, alpha):
        layout = self.projection.layout
        pre, post = layout.pre(self.pre.at_end()), layout.post(self.post.at_end())
        for replica, weights in enumerate(self.projection.stored):
            kernels.outer_product(pre[replica], post[replica], weights, alpha)

    def _rows_or_product(self, alpha):
        lists = spike_lists(self.projection.source)
        if lists is None:
            self._product(alpha)
            return
        change = self.post.at_end() * self.projection.source.precision.type(alpha)
        for replica, weights in enumerate(self.projection.stored):
            _, _, starts, lanes = lists[replica]
            kernels.add_rows(starts, lanes, change[replica], True, weights)

    def _rows(self, alpha):
        weights, source = self.projection.rows, self.projection.source
        change = self.post.at_end()[:, 0] * weights.dtype.type(alpha)
        kernels.learn_rows(weights, source.spikes, source.n, change)

    def _dense(self, alpha):
        weights, layout = self.projection.rows, self.projection.layout
        change = layout.post(self.post.at_end())[:, 0] * weights.dtype.type(alpha)
        kernels.learn_dense(weights, layout.pre(self.pre.at_end())[:, 0], change)


class _Pass:
    """Statements carried out in one pass over the synapses, products over lanes made tile by tile before it."""

    def __init__(self, projection, groups, where):
        self.projection, layout = projection, projection.layout
        self.arguments = Arguments(projection.scope, projection.kept)
        self.terms = []
        single = projection.copies == 1
        self.rows_gate, self.columns_gate = self._gates(groups) if single else (False, False)
        updates = []
        for event, members in groups:
            made = [update for s in members for update in self._updates(s, event, where)]
            updates.append((made, event == RATE))
        form = "list" if layout.form == LIST else "columns" if self.columns_gate else "rows"
        gate = self.arguments.name("A", _spike(projection.source, "_pre")) if self.rows_gate else None
        column_gate = None
        if self.columns_gate and form == "list":
            column_gate = self.arguments.name("H", _spike(projection.target, "_post"))
        self.masked = layout.mask is not None
        self.bounded = projection.bounds is not None and any(u.target == WEIGHT for made, _ in updates for u in made)
        kernel = RuleKernel(
            self.arguments, updates, form, projection.copies, self.masked, self.bounded, gate, column_gate
        )
        self.form = form
        text, names, self.names = kernel.text()
        functions = {n: scalar(f) for n, f in projection.scope.functions.items() if f"{n}(" in text}
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
            spike = _spike(population, suffix) if population.model.spike else None
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
        if projection.copies == 1:
            factor = sympy.Float(float(projection.clock.dt_)) if event == RATE else ONE
            expr = statement.expr
            for gate, population, suffix in (
                (self.rows_gate, projection.source, "_pre"),
                (self.columns_gate, projection.target, "_post"),
            ):
                if gate:
                    expr = expr.subs(_spike(population, suffix), 1)
            expr = self._existing(expr * factor)
            self.terms.append(f"{statement.target} {'=' if statement.operator == '=' else '+='} {readable(expr)}")
            operator = "=" if statement.operator == "=" else "+="
            return [Update(statement.target, operator, None, arguments.hoist(expr, lane=False))]
        if projection.kept[statement.target] == SHARED:
            clipped = without_clip(statement, scope)
            if clipped:
                statement, limit = clipped
        operator, expr = _in_lanes(statement, event, projection, where)
        kept = projection.kept[statement.target]
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
        for term in separate(expr, projection.scope):
            names = {s.name for s in term.weight.free_symbols | term.mixed.free_symbols}
            if not names & summed:
                term = replace(term, pre=self._existing(term.pre))
            product = term.pre != ONE and term.post != ONE
            if names & lanewise or term.mixed != ONE or (product and projection.layout.form == LIST):
                in_lanes.append(arguments.hoist(term.expr, lane=True))
                how = "synapse by synapse in every lane"
                how += ": it does not separate into factors of the two sides" if term.mixed != ONE else ""
            else:
                once.append(arguments.reduced(term, 1 if names & summed else projection.copies))
                how = "elementwise"
                if product:
                    how = f"matrix product over lanes, tile by tile; {_cost(projection, 0, 1)}"
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
        if self.products:
            count = len(self.products)
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

    def __call__(self):
        projection, layout = self.projection, self.projection.layout
        replicas = projection.source.replicas
        projection.fold()
        known = {name: self._value(name) for name in self.parts} | self.fixed
        known |= {"n_pre": layout.rows, "lanes": projection.copies, "mask": layout.mask}
        if self.bounded:
            known["low"], known["high"] = projection.bounds
        if self.form == "list":
            known |= {"indptr": layout.indptr, "index": layout.j}
        if self.form == "columns":
            spikes, n = projection.target.spikes, projection.target.n
            known["starts"], known["columns"] = np.searchsorted(spikes, np.arange(replicas + 1) * n), spikes % n
        known |= {f"v{k}": projection.array(variable) for variable, k in self.arguments.used.items()}
        work = layout.rows * layout.columns
        if not self.products:
            known["offset"] = 0
            self.kernel(work * replicas, 0, layout.rows * replicas, *(known[name] for name in self.names))
            return
        values = {
            name: (layout.pre(pre.at_end()), layout.post(post.at_end())) for name, (pre, post) in self.products.items()
        }
        for replica in range(replicas):
            for start in range(0, layout.rows, self.tile):
                count = min(self.tile, layout.rows - start)
                for name, (pre, post) in values.items():
                    known[name] = self.scratch[name][:count]
                    kernels.outer_product(pre[replica][:, start : start + count], post[replica], known[name], 1.0, 0.0)
                known["offset"] = replica * layout.rows + start
                self.kernel(count * layout.columns, 0, count, *(known[name] for name in self.names))

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
        each = _cost(projection, passes, 0)
        return [*self.terms, f"{fused}; {each}{' if every synapse is touched' if driven else ''}"]


class _Pairs:
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
        operator, expr = _in_lanes(statement, event, projection, where)
        terms = []
        for term in separate(expr, scope):
            if term.mixed != ONE:
                raise EquationError(
                    f"{where}: {readable(term.mixed)} does not separate into a factor of the source times one of the "
                    "target, which one weight for all pairs needs; use Masked connectivity"
                )
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


def evaluate(expr, scope, values):
    """Return an expression of the synapse's variables alone, from their arrays."""
    constants = {s.name: float(scope.constants[s.name]) for s in expr.free_symbols if s.name in scope.constants}
    code = NumpyNodeRenderer().render_expr(to_text(expr))
    return np.atleast_1d(eval(code, FUNCTIONS | constants | values))  # noqa: S307


class CustomLearning:
    """A user's compiled function in place of a rule's text."""

    def __init__(self, projection, kernel, here):
        where = f"{here}.rule"
        self.projection, self.kernel = projection, kernel
        function = getattr(kernel.function, "py_func", None)
        if function is None:
            raise EquationError(f"{where}: Kernel.function must be compiled with numba's njit")
        self.names = list(inspect.signature(function).parameters)
        declared = [*kernel.reads, *kernel.writes]
        if sorted(declared) != sorted(self.names):
            raise EquationError(
                f"{where}: Kernel.reads and Kernel.writes must be the function's parameters "
                f"{', '.join(self.names)}, got {', '.join(declared)}"
            )
        known = set(projection.kept) & set(projection.scope.synapse)
        for name in kernel.writes:
            if name not in known:
                raise EquationError(f"{where}: a Kernel writes {', '.join(sorted(known))}, not '{name}'")
        self.parts = {}
        for name in kernel.reads:
            if name in known or name == "dt":
                continue
            if projection.scope.dimension(name) is None:
                raise EquationError(f"{where}: '{name}' does not exist for the Kernel to read")
            if name not in projection.scope.constants:
                symbol = sympy.Symbol(name, real=True)
                population, suffix = projection.source, "_pre"
                if not name.endswith("_pre"):
                    population, suffix = projection.target, "_post"
                self.parts[name] = Factor(symbol, population, suffix, projection.scope, projection.signals)

    def __call__(self):
        projection = self.projection
        projection.fold()
        values = {name: factor.at_end().view() for name, factor in self.parts.items()}
        values |= {name: projection.view(name).view() for name in projection.scope.synapse}
        for name, array in values.items():
            array.flags.writeable = name in self.kernel.writes
        values |= {name: float(value) for name, value in projection.scope.constants.items()}
        values["dt"] = float(projection.clock.dt_)
        self.kernel.function(*(values[name] for name in self.names))

    def explain(self):
        """Return a line that says what is called."""
        reads, writes = ", ".join(self.kernel.reads), ", ".join(self.kernel.writes)
        return [f"{self.kernel.function.py_func.__name__}: a compiled function; reads {reads}; writes {writes}"]


def spikes_only(factor, population):
    """Say whether a factor is just the spike variable of its population, so that rows without a spike drop out."""
    return factor.variable is not None and factor.variable == population.model.spike


SPARSE = 0.2  # fraction of spikes up to which their rows are summed sooner than a product is made (benchmarks/)
LARGE = 10**7  # multiplications of a product from which that is worth while


def sparse_rows(factor, projection):
    """Say whether rows of spikes may be summed in place of a product over lanes."""
    layout, source = projection.layout, projection.source
    plain = layout.form == MATRIX and projection.copies == source.lanes > 1
    return plain and spikes_only(factor, source) and source.lanes * layout.rows * layout.columns >= LARGE


def spike_lists(population):
    """Return for each replica which neurons spiked in which lane, and the other way round; None where many did.

    Made once a step for all projections that start here.
    """
    step = population.clock.variables["timestep"].get_value()[0]
    known = population.__dict__.get("_spike_lists")
    if known is None or known[0] != step:
        spikes, each = population.spikes, population.lanes * population.n
        lists = None
        if len(spikes) <= SPARSE * population.replicas * each:
            borders = np.searchsorted(spikes, np.arange(population.replicas + 1) * each)
            lists = [
                kernels.spikes_by_lane_and_neuron(spikes[low:high] - r * each, population.n, population.lanes)
                for r, (low, high) in enumerate(itertools.pairwise(borders))
            ]
        known = population.__dict__["_spike_lists"] = step, lists
    return known[1]


def forget_step(population):
    """A run starts: what was found out about a time step may be out of date."""
    population.__dict__.pop("_spike_lists", None)
    population.__dict__.pop("_factors", None)


def _cost(projection, arrays, products):
    """Return bytes and floating-point operations a step as text, for reading and writing arrays of weights' size."""
    layout, replicas = projection.layout, projection.source.replicas
    each = int(np.prod(layout.stored)) * projection.source.precision.itemsize * replicas
    parts = [_bytes(2 * arrays * each)] if arrays else []
    if products:
        parts.append(_count(2 * products * layout.rows * layout.columns * projection.copies * replicas, "flop"))
    return ", ".join(parts) + " a step"


def _bytes(count):
    return _count(count, "B")


def _count(count, unit):
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}{unit}"
    return f"{count:.3g} {unit}"
