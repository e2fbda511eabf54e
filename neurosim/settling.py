"""Settling: end a phase as soon as the network hardly moves, and keep the state that an example has settled in."""

import brian2
import numpy as np

from neurosim.errors import NotSettledError, ParameterError, unknown
from neurosim.limits import check_fits
from neurosim.plasticity.largest import largest_difference

ON = ("count", "raise")
NEVER = -2  # a time step before all others


class Settling(brian2.core.base.BrianObject):
    """End a phase of a presentation as soon as no variable moves by a tolerance in a time step.

    The residual is ``max |v(t) - v(t - dt)|`` over all units, lanes and replicas, looked at in every few time steps and
    at the end of the phase. Where it lies below the tolerance the next time step becomes the phase's last. Lanes and
    replicas take their steps together, so a phase lasts until the slowest has settled: how far the others come depends
    on the company in which they are simulated.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    phase : str
        The phase that may end early.
    watched : list of (Population, str)
        Populations and variables.
    tolerance : float
        In the variables' base units; 0 lets every phase take its full time.
    unsettled : {"raise", "count"}
        What happens where a whole phase is not enough: the run stops, or it goes on and that is counted.
    every : int
        Look in every so many time steps.

    Attributes
    ----------
    is_open : bool
        Whether presentations are counted (training, not tests).
    presentations, steps, unsettled_presentations : int
        Counted since :meth:`begin`: presentations, time steps that the phase took in them, and how many did not settle.

    Raises
    ------
    ParameterError
        For a phase that does not exist or a tolerance that is negative.
    NotSettledError
        With ``unsettled="raise"``, at the end of a phase: names the residual, where it is and the time.
    """

    add_to_magic_network = True

    def __init__(
        self, presentation, phase, watched, tolerance, unsettled="raise", every=5, name="settling*",
    ):  # fmt: skip
        super().__init__(clock=presentation.clock, when="end", order=5, name=name)
        if phase not in presentation.phases:
            raise unknown("phase", phase, presentation.phases)
        if not 0 <= tolerance < np.inf:
            raise ParameterError(f"Settling.tolerance: a number of at least 0 is needed, got {tolerance}")
        if unsettled not in ON:
            raise ParameterError(f"Settling.unsettled: {' or '.join(map(repr, ON))} is needed, got {unsettled!r}")
        if tolerance and presentation.phases[phase] < 2:
            raise ParameterError(f"Settling.phase: '{phase}' needs two time steps or more, to see whether it moves")
        if not isinstance(every, (int, np.integer)) or every < 2:
            raise ParameterError(f"Settling.every: a whole number of at least 2 is needed, got {every!r}")
        self.presentation, self.phase, self.watched = presentation, phase, list(watched)
        self.tolerance, self.unsettled, self.every = float(tolerance), unsettled, every
        self._now = [population.view(variable).reshape(-1) for population, variable in self.watched]
        self._before = [np.zeros_like(values) for values in self._now]
        self._copied_at, self._settled = NEVER, False
        self.is_open = True
        self.begin()

    def begin(self):
        """Count from here."""
        self.presentations = self.steps = self.unsettled_presentations = 0
        self.largest = 0.0

    def run(self):
        shown = self.presentation
        if shown.phase != self.phase:
            return
        last = shown.left == 0
        if self.is_open:
            self.steps += 1
            self.presentations += last
        if not self.tolerance:
            return
        if (last or shown.step % self.every == 0) and self._copied_at == shown.step - 1 and not self._settled:
            self._look(last)
        if last:
            self._settled = False
        if shown.left == 1 or (shown.step + 1) % self.every == 0:
            for now, before in zip(self._now, self._before, strict=True):
                before[...] = now
            self._copied_at = shown.step

    def _look(self, last):
        moves = [largest_difference(before, now) for now, before in zip(self._now, self._before, strict=True)]
        residual = np.max(moves)  # nan where one is not a number
        self._settled = residual < self.tolerance
        if self._settled:
            self.presentation.hasten()
        elif last:
            if self.unsettled == "raise":
                self._raise(residual)
            if self.is_open:
                self.unsettled_presentations += 1
                self.largest = max(self.largest, float(residual))

    def _raise(self, residual):
        moves = [np.abs(now - before) for now, before in zip(self._now, self._before, strict=True)]
        where = int(np.argmax([each.max() for each in moves]))
        population, variable = self.watched[where]
        replica, lane, neuron = population.describe(int(moves[where].argmax()))
        raise NotSettledError(
            f"{population.name}.{variable} has not settled in phase '{self.phase}' at t = "
            f"{1e3 * self.clock.t_[:]:g} ms: neuron {neuron}, replica {replica}, lane {lane} still moves by "
            f"{residual:.3g} in a time step, the tolerance is {self.tolerance:g}; "
            "a longer phase, a larger tolerance or unsettled='count' would let the run go on"
        )

    # checkpoints
    def state(self):
        """Return what is counted, and what the next look compares with, as arrays by name."""
        counted = [self.presentations, self.steps, self.unsettled_presentations, self._copied_at, self._settled]
        before = {f"before {k}": values.copy() for k, values in enumerate(self._before)}
        return before | {"counted": np.array(counted, np.int64), "largest": np.array(self.largest)}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self.presentations, self.steps, self.unsettled_presentations, self._copied_at, settled = map(
            int, arrays["counted"]
        )
        self._settled, self.largest = bool(settled), float(arrays["largest"])
        for k, values in enumerate(self._before):
            values[...] = arrays[f"before {k}"]


class Persistence(brian2.core.base.BrianObject):
    """Keep the state in which an example has settled, and start from it when the example is shown again.

    At the end of a phase the variables are stored, one state an example and replica; at the start of a presentation
    they are set to what is stored, at first 0. Examples of no known set start from 0.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    kept : list of (Population, str)
        Populations and variables.
    phase : str
        At the end of which phase they are stored.
    sets : dict of str to int
        Sets of examples, as "train" and "test", and their sizes.

    Notes
    -----
    Scellier, Bengio 2017, section 5.2: persistent particles.
    """

    add_to_magic_network = True

    def __init__(self, presentation, kept, phase, sets, name="persistence*"):
        super().__init__(clock=presentation.clock, when="start", order=1, name=name)
        if phase not in presentation.phases:
            raise unknown("phase", phase, presentation.phases)
        self.presentation, self.kept, self.phase = presentation, list(kept), phase
        self._stores = {}
        for population, variable in self.kept:
            for each, examples in sets.items():
                shape = population.replicas, examples, population.n
                check_fits(shape, population.precision, f"Persistence: states of {population.name} for '{each}'")
                self._stores[each, population.name, variable] = np.zeros(shape, population.precision)
        self.sets, self._chosen = dict(sets), None
        storing = brian2.core.base.BrianObject(clock=self.clock, when="synapses", order=-1, name=f"{self.name}_store")
        storing.add_to_magic_network, storing.run = True, self._store
        self.contained_objects.append(storing)

    def choose(self, name=None):
        """Say which set the examples that are shown next are of; of none if it is left out."""
        if name is not None and name not in self.sets:
            raise unknown("set of examples", name, self.sets)
        self._chosen = name

    def _at(self):
        """Return indices (replicas, lanes) of the states of the examples that are shown, for an array of stores."""
        chosen = self.presentation.examples[self.presentation.index]
        replicas = self.kept[0][0].replicas
        return np.arange(replicas)[:, None], np.broadcast_to(chosen, (replicas, chosen.shape[1]))

    def run(self):
        if self.presentation.step:
            return
        for population, variable in self.kept:
            if self._chosen is None:
                population.view(variable)[...] = 0
            else:
                store = self._stores[self._chosen, population.name, variable]
                population.view(variable)[...] = store[self._at()]

    def _store(self):
        if self._chosen is None or self.presentation.ends != self.phase:
            return
        for population, variable in self.kept:
            store = self._stores[self._chosen, population.name, variable]
            store[self._at()] = population.view(variable)

    # checkpoints
    def state(self):
        """Return all stored states, (replicas, examples, n), by name."""
        return {" ".join(key): store.copy() for key, store in self._stores.items()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        for key, store in self._stores.items():
            store[...] = arrays[" ".join(key)]


class Redelivery(brian2.core.base.BrianObject):
    """Let projections deliver anew where states have been set from outside, at the start of phases.

    Populations of one order see what the others have sent in the time step before. Where states are set at the start of
    a presentation, or recalled at the start of a phase, that would be what was there before, sent along the weights
    from before they learned.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    projections : iterable of Projection
        All that deliver to these populations, also from the input.
    phases : iterable of str
        At the start of which phases.
    """

    add_to_magic_network = True

    def __init__(self, presentation, projections, phases, name="redelivery*"):
        super().__init__(clock=presentation.clock, when="start", order=2, name=name)
        for phase in phases:
            if phase not in presentation.phases:
                raise unknown("phase", phase, presentation.phases)
        self.presentation, self.phases = presentation, frozenset(phases)
        self.projections = sorted(projections, key=lambda projection: projection.place)

    def run(self):
        shown = self.presentation
        if shown.begins and shown.phase in self.phases:
            for projection in self.projections:
                projection._deliver()
