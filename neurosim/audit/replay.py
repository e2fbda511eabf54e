"""Replay: the same moment of a simulation twice, the second time with everything changed that must not matter.

A network is run with its parts under watch. When a rule, a transmit or a hook is due, the moment is kept, the part is
run, the moment is restored, all that the part should not know is changed at random, and the part is run again: what it
changed must be the same to the bit. Then the moment is restored once more and the simulation goes on as if nothing had
happened.
"""

import contextlib
from dataclasses import dataclass, field

import numpy as np

from neurosim.audit.moment import Moment, disturbed, forget, same
from neurosim.audit.wiring import MEMORY, read_in_rule
from neurosim.connectivity import LIST, MATRIX
from neurosim.plasticity.factor import Factor
from neurosim.settling import Persistence, Redelivery
from neurosim.target import continued_draws, global_draws, set_global_draws

LOOKS = 2  # moments at which each part is replayed
CALLS = 2000  # calls in which a hook is watched
FIRST = 20  # calls in which also the weights are compared: later whoever writes them is seen, but not named
KNOWN = (Persistence, Redelivery)  # hooks that set states back, or let projections deliver: nothing of their own


@dataclass
class Watch:
    """What was seen of one projection.

    Attributes
    ----------
    looks, local : int
        Moments at which its rule was replayed, and those at which the change did not notice what had been changed.
    noticed : set of str
        What the rule noticed: "other neurons", "other variables".
    foreign : bool
        Whether the change noticed that other projections' weights had been changed, and nothing else.
    exact : bool
        Whether a replay without any change gave the same: where it does not, the rule draws or remembers something.
    deliveries, own : int
        Moments at which its transmit was replayed, and those at which other projections' weights did not matter.
    steps, learned : int
        Time steps in which its rule was asked, and in which weights changed.
    outside : bool
        Whether the weights changed while the rule was not at work.
    ranges : dict of str to (float, float)
        Least and largest value of each presynaptic variable that it transmits.
    spikes : dict of str to bool
        Whether each of these was 0 or 1 and nothing else.
    remembers : dict of (str, str) to bool
        Of what was kept from an earlier phase, by population and variable, whether the change depends on it.
    arrived : dict of str to bool
        Of the target's variables into which it delivers, whether anything but 0 came.
    single : bool or None
        For one-to-one wiring: whether no neuron received what another one's partner sent.
    """

    looks: int = 0
    local: int = 0
    noticed: set = field(default_factory=set)
    exact: bool = True
    deliveries: int = 0
    own: int = 0
    steps: int = 0
    learned: int = 0
    outside: bool = False
    ranges: dict = field(default_factory=dict)
    spikes: dict = field(default_factory=dict)
    foreign: bool = False
    remembers: dict = field(default_factory=dict)
    arrived: dict = field(default_factory=dict)
    single: bool | None = None


class Laboratory:
    """Watches the parts of a network while it runs, and replays moments; use :meth:`watching` around a run.

    Parameters
    ----------
    wiring : neurosim.audit.wiring.Wiring
        The network's.
    seed : int
        Decides what is changed, and how.

    Attributes
    ----------
    seen : dict of str to Watch
        By the projection's name.
    neurons : dict of str to bool
        By the population's name: whether each of its neurons is updated from its own variables only.
    written : dict of object to dict
        For every hook that wrote something: (object, variable) to whether it looked at other neurons for that.
    """

    def __init__(self, wiring, seed):
        self.wiring, self.generator = wiring, np.random.default_rng(seed)
        self.seen = {name: Watch() for name in wiring.projections}
        self.neurons, self.written, self._draws = {}, {}, None
        self._calls = dict.fromkeys(wiring.hooks, 0)
        self._kept = {}
        self._signals = {name: signals(projection) for name, projection in wiring.projections.items()}
        kept = {edge.target for edge in wiring.edges if edge.kind == MEMORY}
        self._remembered = {each.name: sorted(set(readable(each, wiring)) & kept) for each in wiring.plastic}

    @contextlib.contextmanager
    def watching(self):
        """Watch all parts while the network runs."""
        parts = [(each._delivery, self._delivers(each)) for each in self.wiring.projections.values()]
        parts += [(each._plasticity, self._learns(each)) for each in self.wiring.plastic]
        parts += [
            (u, self._updates(each, u)) for each in self.wiring.populations.values() for u in each.contained_objects
        ]
        parts += [(each, self._hooked(each)) for each in self.wiring.hooks if not isinstance(each, KNOWN)]
        before = [(part, part.__dict__.get("run")) for part, _ in parts]
        for part, watched in parts:
            part.run = watched
        self._kept = {name: _weights(each) for name, each in self.wiring.projections.items()}
        try:
            with continued_draws() as self._draws:  # whose generators can be set back
                yield self
        finally:
            for part, run in before:
                if run is None:
                    del part.run
                else:
                    part.run = run
            for name, each in self.wiring.projections.items():
                self._look_outside(name, each)

    def _look_outside(self, name, projection):
        before, now = self._kept[name], _weights(projection)
        if before is not None and not np.allclose(before, now, rtol=1e-5, atol=1e-9):
            self.seen[name].outside = True

    # Neurons

    def _updates(self, population, part):
        run, looks = part.run, []

        def watched():
            if len(looks) < LOOKS:
                looks.append(self._replay_update(population, run))
                self.neurons[population.name] = self.neurons.get(population.name, True) and looks[-1]
            run()

        return watched

    def _replay_update(self, population, run):
        """Change other neurons and all weights: about half of the neurons must become what they became."""
        moment, drawn = Moment(self.wiring), (global_draws(), self._draws.state())
        chosen = _some(population.n, self.generator)
        run()
        first = [population.view(each)[..., chosen].copy() for each in population.state_variables]
        moment.restore()
        self._scramble_neurons(lambda other, variable: chosen if other is population else False)
        self._scramble_weights(None)
        self._draw_again(*drawn)
        with np.errstate(all="ignore"):
            run()
        second = [population.view(each)[..., chosen] for each in population.state_variables]
        # a function may round in another way beside values of another size
        alike = all(np.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(first, second, strict=True))
        moment.restore()
        self._draw_again(*drawn)
        return alike

    def _draw_again(self, of_all, of_each):
        """Go back in the streams of random numbers: the same noise."""
        set_global_draws(of_all)
        self._draws.set_state(of_each)

    # Transmits

    def _delivers(self, projection):
        run, watch = projection._delivery.run, self.seen[projection.name]

        def watched():
            sends = True
            for name, factor in self._signals[projection.name].items():
                values = factor()
                sends &= bool(values.any())
                binary = bool(((values == 0) | (values == 1)).all())
                watch.spikes[name] = watch.spikes.get(name, True) and binary
                low, high = watch.ranges.get(name, (np.inf, -np.inf))
                watch.ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
            if sends and projection._has_weights and watch.deliveries < LOOKS:
                self._replay_delivery(projection, run, watch)
            if sends and projection.layout is None and watch.single is None:
                self._replay_one_to_one(projection, run, watch)
            run()
            for each in projection.transmissions:
                arrived = projection.target.view(each.variable)
                watch.arrived[each.variable] = watch.arrived.get(each.variable, False) or bool(sends and arrived.any())

        return watched

    def _replay_delivery(self, projection, run, watch):
        moment = Moment(self.wiring)
        run()
        first = self._arrived(projection)
        moment.restore()
        self._scramble_weights(projection)
        run()
        second = self._arrived(projection)
        moment.restore()
        watch.deliveries += 1
        watch.own += all(map(same, first, second))

    def _replay_one_to_one(self, projection, run, watch):
        """Change what others send, and all weights: the partners of the neurons that are left must not notice."""
        moment = Moment(self.wiring)
        run()
        first = self._arrived(projection)
        moment.restore()
        chosen = _some(projection.source.n, self.generator)
        summed = {each.variable for each in projection.transmissions}  # to which others have added

        def spared(population, variable):
            if population is projection.target and variable in summed:
                return True
            return chosen if population is projection.source else False

        self._scramble_neurons(spared)
        self._scramble_weights(None)
        forget(self.wiring)
        run()
        second = self._arrived(projection)
        moment.restore()
        watch.single = all(same(a[..., chosen], b[..., chosen]) for a, b in zip(first, second, strict=True))

    def _arrived(self, projection):
        kept = [each.contribution() for each in projection.transmissions if each.inbox.apart]
        return [
            *(projection.target.view(each.variable).copy() for each in projection.transmissions),
            *(values.copy() for values in kept),
        ]

    # Rules

    def _learns(self, projection):
        run, watch = projection._plasticity.run, self.seen[projection.name]

        def watched():
            if not (projection.plastic and projection.open):
                watch.steps += projection.plastic
                return run()
            watch.steps += 1
            self._look_outside(projection.name, projection)
            moment, before = Moment(self.wiring) if watch.looks < LOOKS else None, _variables(projection)
            run()
            after = _variables(projection)
            changed = not _alike(after, before)
            if changed and moment is not None:
                self._replay_rule(projection, run, watch, moment, after)
            watch.learned += changed
            self._kept[projection.name] = _weights(projection)

        return watched

    def _replay_rule(self, projection, run, watch, before, after):
        watch.looks += 1
        before.restore()
        run()
        watch.exact &= _alike(_variables(projection), after)
        chosen = self._choose(projection)
        noticed = set()
        for what in ("other variables", "other neurons"):
            if what == "other neurons" and chosen is None:  # weights that many synapses share: see sharing
                continue
            before.restore()
            self._scramble(projection, chosen if what == "other neurons" else None)
            forget(self.wiring)
            run()
            mine = None if what == "other variables" else chosen
            if not _alike(_of(_variables(projection), projection, mine), _of(after, projection, mine)):
                noticed.add(what)
        for name, variable in self._remembered[projection.name]:
            before.restore()
            view = self.wiring.populations[name].view(variable)
            view[...] = disturbed(view, self.generator)
            forget(self.wiring)
            run()
            noted = not _alike(_variables(projection), after)
            watch.remembers[name, variable] = watch.remembers.get((name, variable), False) or noted
        before.restore()
        self._scramble_weights(projection)
        forget(self.wiring)
        run()
        watch.foreign |= not _alike(_variables(projection), after)
        watch.local += not noticed
        watch.noticed |= noticed
        before.restore()
        run()

    def _choose(self, projection):
        """Return (pre, post): which neurons' synapses are looked at, about half of each; None for shared weights."""
        layout = projection.layout
        if layout.copies > 1 or layout.form not in (MATRIX, LIST) or getattr(layout, "stored", ()) != layout.shape:
            return None
        if layout.form == LIST and layout.stored != (len(layout.i),):
            return None
        return tuple(_some(population.n, self.generator) for population in (projection.source, projection.target))

    def _scramble(self, projection, chosen):
        """Change all that a rule should not know; where neurons are chosen, also what is read at the others."""
        known = readable(projection, self.wiring)

        def spared(population, variable):
            mask = np.zeros(population.n, bool)
            for side in known.get((population.name, variable), ()):
                mask |= True if chosen is None or side is None else chosen[side]
            return mask

        self._scramble_neurons(spared)
        self._scramble_weights(projection)
        if chosen is not None:
            foreign = ~_synapses(projection, chosen)
            for values in (projection.stored, *projection._state.values()):
                values[..., foreign] = disturbed(values[..., foreign], self.generator)
            projection._version += 1

    def _scramble_neurons(self, spared):
        """Change all variables of all neurons but those that ``spared(population, variable)`` says: a mask, or all."""
        for population in self.wiring.populations.values():
            for variable in population.state_variables:
                foreign = ~np.broadcast_to(spared(population, variable), population.n)
                if foreign.any():
                    view = population.view(variable)
                    view[..., foreign] = disturbed(view[..., foreign], self.generator)

    def _scramble_weights(self, spared):
        """Give all projections but this one other weights."""
        for projection in self.wiring.projections.values():
            if projection is not spared and projection.stored is not None:
                projection.stored[...] = disturbed(projection.stored, self.generator)
                projection._version += 1

    # Hooks

    def _hooked(self, hook):
        run = hook.run

        def watched():
            self._calls[hook] += 1
            if self._calls[hook] > CALLS:
                return run()
            weights = self._calls[hook] <= FIRST or hook in self.written
            before = Moment(self.wiring, weights)
            run()
            after = Moment(self.wiring, weights)
            for node in before.differs(after):
                if node not in self.written.setdefault(hook, {}):
                    self.written[hook][node] = self._looks_around(run, node, before, after)

        return watched

    def _looks_around(self, run, node, before, after):
        """Say whether a hook, for what it writes of some neurons, looks at others."""
        name, variable = node
        if name in self.wiring.projections:
            return True
        population = self.wiring.populations[name]
        chosen = _some(population.n, self.generator)
        before.restore()
        self._scramble_neurons(lambda other, variable: chosen if other.n == population.n else False)
        run()
        found = population.view(variable)[..., chosen].copy()
        after.restore()
        return not same(found, after.values[node][..., chosen])


def readable(projection, wiring):
    """Return what a rule may read: (population, state variable) to sides, 0 its source, 1 its target, None all."""
    found = {}
    for name in {name for name, _, _ in read_in_rule(projection)}:
        if name in projection.signals:
            population, variable = projection.signals[name]
            found.setdefault((population.name, variable), []).append(None)
            continue
        for side, (suffix, population) in enumerate((("_pre", projection.source), ("_post", projection.target))):
            if name.endswith(suffix):
                for variable in wiring.state_behind(population, [name.removesuffix(suffix)]):
                    found.setdefault((population.name, variable), []).append(side)
    return found


def _some(n, generator):
    """Return a mask of about half of n neurons, at least one and, where there are two, not all."""
    mask = np.zeros(n, bool)
    mask[generator.permutation(n)[: max(1, n // 2)]] = True
    return mask


def _synapses(projection, chosen):
    """Return which of the stored weights belong to synapses between the chosen neurons."""
    pre, post = chosen
    if projection.layout.form == LIST:
        return pre[projection.layout.i] & post[projection.layout.j]
    return pre[:, None] & post[None, :]


def _of(arrays, projection, chosen):
    """Return the values of the synapses between the chosen neurons, or all."""
    if chosen is None:
        return arrays
    mask = _synapses(projection, chosen)
    return {name: values[..., mask] if values.ndim > 1 else values for name, values in arrays.items()}


def _variables(projection):
    """Return copies of the weights as they are stored, their scale, and the synapses' variables."""
    return {name: values for name, values in projection.state().items() if not name.startswith("sent")}


def _alike(a, b):
    return all(same(np.asarray(a[name]), np.asarray(b[name])) for name in a)


def _weights(projection):
    return None if projection.stored is None else projection.copy_of_weights()


def signals(projection):
    """Return what a projection's transmits read of its source, by name, to be evaluated on live arrays."""
    names = {
        symbol.name: symbol
        for statement in projection.transmit_statements
        for symbol in statement.expr.free_symbols
        if symbol.name.endswith("_pre") and symbol.name not in projection.scope.constants
    }
    names = {n: s for n, s in names.items() if n.removesuffix("_pre") in projection.source.dimensions()}
    return {name: Factor(symbol, projection.source, "_pre", projection.scope) for name, symbol in names.items()}
