"""Presentation: one input (and target) after another inside one run, each held for a time cut into phases."""

from dataclasses import dataclass

import brian2
import numpy as np
from brian2 import ms
from brian2.units.fundamentalunits import (
    DimensionMismatchError,
    Quantity,
    fail_for_dimension_mismatch,
    get_unit_for_display,
)

from neurosim.errors import ParameterError

LAST = 1000  # order of what comes last at the end of a time step


@dataclass(frozen=True)
class PhaseEnd:
    """The end of a phase, as an event for a rule: ``when=presentation.end("nudged")``; true in its last step."""

    presentation: object
    phase: str

    def __call__(self):
        return self.presentation.ends == self.phase

    def __str__(self):
        return f"the end of phase {self.phase!r}"


class Presentation(brian2.core.base.BrianObject):
    """Hold one example after another: set variables at the start of each, open rules by phase.

    One ``Network.run`` covers as many presentations as there are; nothing is reset between two of them.

    Parameters
    ----------
    phases : Quantity or dict of str to Quantity
        How long an example is held: a time, or named phases in their order, each a multiple of the time step.
    clock : brian2.Clock, optional
        The network's clock; brian2's default clock if it is left out.

    Attributes
    ----------
    index : int
        The presentation that is going on, counted from 0.
    step : int
        The time step within it, counted from 0.
    phase : str
        The phase that is going on.
    left : int
        How many time steps of that phase are left after this one.
    begins : bool
        Whether this time step is the first of that phase.
    ends : str or None
        The phase that this time step is the last of.
    last_step : bool
        Whether this time step is the last of its presentation.

    Raises
    ------
    ParameterError
        If a time is not a positive multiple of the time step.

    Examples
    --------
    >>> import numpy as np
    >>> from brian2 import Network, ms
    >>> from neurosim import Population, Presentation, neurons
    >>> x = Population(2, neurons.BERNOULLI_INPUT, order=0, lanes=3, namespace={"p_max": 0.95})
    >>> shown = Presentation(5 * x.clock.dt, clock=x.clock)
    >>> shown.clamp(x, "x", np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> shown.show([[0, 1, 0], [1, 1, 1]])
    >>> Network(x, shown).run(shown.remaining)
    >>> x.view("x")[0, :, 0]
    array([1., 1., 1.], dtype=float32)
    """

    add_to_magic_network = True

    def __init__(self, phases, clock=None, name="presentation*"):
        super().__init__(clock=clock, when="start", order=0, name=name)
        if not isinstance(phases, dict):
            phases = {"presentation": phases}
        dt = self.clock.dt
        self.phases = {phase: _steps(time, dt, f"Presentation.phases[{phase!r}]") for phase, time in phases.items()}
        if not self.phases:
            raise ParameterError("Presentation.phases: at least one phase is needed")
        self._clamps, self._gates, self._kept, self._phased, self._recalled, self._draws = [], [], [], [], [], []
        self._part("keep", "synapses", -1, self._keep)
        self._part("finish", "end", LAST, self._finish)
        self.examples = np.zeros((0, 1, 1), int)
        self._next, self._begun, self._hastened = 0, 0, False
        self.use()

    def _part(self, name, when, order, run):
        part = brian2.core.base.BrianObject(clock=self.clock, when=when, order=order, name=f"{self.name}_{name}")
        part.add_to_magic_network, part.run = True, run
        self.contained_objects.append(part)

    def use(self, *phases):
        """Show only these phases from now on, in their usual order; all of them if none is named.

        For tests without a nudge, for example. It takes effect with the next ``show``.
        """
        for phase in phases:
            self._check_phase(phase, "use")
        used = {phase: steps for phase, steps in self.phases.items() if phase in phases or not phases}
        self.steps = sum(used.values())
        self._phase_at = [phase for phase, steps in used.items() for _ in range(steps)]
        self._left_at = [left for steps in used.values() for left in range(steps)[::-1]]
        self._ends_at = [None if left else phase for phase, left in zip(self._phase_at, self._left_at, strict=True)]
        self._at(0, 0)

    def _at(self, index, step):
        """Be in this step of this presentation."""
        self.index, self.step = index, step
        self.phase, self.left, self.ends = self._phase_at[step], self._left_at[step], self._ends_at[step]
        self.begins = self.left == self.phases[self.phase] - 1
        self.last_step = step == self.steps - 1

    def clamp(self, population, variable, values, rows=None, change=None):
        """Set a population's variable at the start of every presentation.

        Parameters
        ----------
        population : Population
            Whose variable is set.
        variable : str
            Which variable.
        values : array of shape (m, n), in base units
            Rows to choose from.
        rows : array of int, shape (examples,), optional
            Which row an example takes (as a label does); example k takes row k if it is left out.
        change : callable (values (replicas, lanes, n), begun) -> array of that shape, optional
            Changes what is shown, given how many presentations began before: see :mod:`neurosim.augmentation`.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != population.n:
            raise ParameterError(
                f"Presentation.clamp: values for {population.name}.{variable} must have the shape "
                f"(rows, {population.n}), got {values.shape}"
            )
        self._check_clock(population, "clamp")
        if not np.isfinite(values).all():
            raise ParameterError(f"Presentation.clamp: values for {population.name}.{variable} are not all finite")
        if rows is not None and (not np.size(rows) or np.asarray(rows).dtype.kind not in "iu"):
            raise ParameterError(f"Presentation.clamp: rows for {population.name}.{variable} must be whole numbers")
        if rows is not None and (np.min(rows) < 0 or np.max(rows) >= len(values)):
            raise ParameterError(
                f"Presentation.clamp: rows for {population.name}.{variable} must lie in 0..{len(values) - 1}, "
                f"got {np.min(rows)}..{np.max(rows)}"
            )
        if change is not None and (shape := np.shape(change(values[None, :1], 0))) != (1, 1, population.n):
            raise ParameterError(
                f"Presentation.clamp: change must return values for {population.name}.{variable} in the shape that it "
                f"was given, (1, 1, {population.n}), got {shape}"
            )
        kept = [c for c in self._clamps if (c[0], c[1]) != (population, variable)]
        self._clamps = [*kept, (population, variable, values, None if rows is None else np.asarray(rows), change)]
        population.view(variable)

    def gate(self, projection, *phases):
        """Let a projection learn in these phases only."""
        for phase in phases:
            self._check_phase(phase, "gate")
        self._gates.append((projection, frozenset(phases)))

    def end(self, phase):
        """Return the end of a phase as an event for a rule: ``Projection(..., when=shown.end("nudged"))``."""
        self._check_phase(phase, "end")
        return PhaseEnd(self, phase)

    def keep(self, population, variable, into, phase):
        """Copy a variable into another of the same population at the end of a phase, before rules of that moment.

        Parameters
        ----------
        population : Population
            Whose variables these are.
        variable, into : str
            What is copied, and where to; both of one dimension.
        phase : str
            At the end of which phase.
        """
        self._check_phase(phase, "keep")
        dimensions = population.dimensions()
        population.view(variable), population.view(into)
        if dimensions[variable] is not dimensions[into]:
            raise ParameterError(
                f"Presentation.keep: {population.name}.{variable} has the unit "
                f"{get_unit_for_display(dimensions[variable])}, {into} has {get_unit_for_display(dimensions[into])}"
            )
        self._check_clock(population, "keep")
        self._kept.append((population, variable, into, phase))

    def by_phase(self, population, variable, values):
        """Set a variable of all neurons at the start of phases.

        Parameters
        ----------
        population : Population
            Whose variable is set.
        variable : str
            Which variable.
        values : dict of str to float, in base units
            Phase to value; in phases that are not named the variable stays as it is.
        """
        for phase in values:
            self._check_phase(phase, "by_phase")
        self._check_clock(population, "by_phase")
        if not np.isfinite(list(values.values())).all():
            raise ParameterError(f"Presentation.by_phase: values for {population.name}.{variable} are not all finite")
        population.view(variable)
        self._phased.append((population, variable, dict(values)))

    def recall(self, population, variable, source, phase):
        """Copy ``source`` into ``variable`` of the same population at the start of a phase, as from what was kept.

        Parameters
        ----------
        population : Population
            Whose variables these are.
        variable, source : str
            What is set, and where from.
        phase : str
            At the start of which phase.
        """
        self._check_phase(phase, "recall")
        self._check_clock(population, "recall")
        population.view(variable), population.view(source)
        self._recalled.append((population, variable, source, phase))

    def draw(self, recipients, values, seed):
        """Set a variable to one of some values, drawn for each replica at the start of every presentation.

        Parameters
        ----------
        recipients : list of (Population, str)
            Populations and variables that are set to the value drawn, in all lanes.
        values : list of float, in base units
            Which, each as likely as the others.
        seed : int
            Decides the draws, with the number of presentations since the network was made.
        """
        values = np.asarray(values, float)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ParameterError(f"Presentation.draw: some finite values are needed, got {values}")
        for population, variable in recipients:
            self._check_clock(population, "draw")
            population.view(variable)
        self._draws.append((tuple(recipients), values, int(seed)))

    def hasten(self):
        """Make the next time step the last of the phase that is going on; return how many steps that saves."""
        saved = max(0, self.left - 1)
        self._next += saved
        self._hastened |= saved > 0
        return saved

    def _check_phase(self, phase, method):
        if phase not in self.phases:
            raise ParameterError(f"Presentation.{method}: no phase '{phase}'; there are {', '.join(self.phases)}")

    def _check_clock(self, population, method):
        if population.clock is not self.clock:
            raise ParameterError(f"Presentation.{method}: {population.name} has another clock than the presentation")

    def _keep(self):
        for population, variable, into, phase in self._kept:
            if self.ends == phase:
                population.view(into)[...] = population.view(variable)

    def show(self, order):
        """Show these examples next, from the first: order has the shape (presentations, (replicas,) lanes)."""
        order = np.asarray(order)
        if order.ndim == 2:
            order = order[:, None, :]
        if order.ndim != 3 or order.dtype.kind not in "iu":
            raise ParameterError(
                "Presentation.show: whole numbers of shape (presentations, replicas, lanes) are needed, "
                f"got {order.dtype} of shape {order.shape}"
            )
        for population, variable, values, rows, _ in self._clamps:
            if order.shape[1] not in (1, population.replicas) or order.shape[2] != population.lanes:
                raise ParameterError(
                    f"Presentation.show: {population.name} has {population.replicas} replicas and {population.lanes} "
                    f"lanes, the order has {order.shape[1]} and {order.shape[2]}"
                )
            count = len(values) if rows is None else len(rows)
            if order.size and (order.min() < 0 or order.max() >= count):
                raise ParameterError(
                    f"Presentation.show: examples must lie in 0..{count - 1} ({population.name}.{variable} has "
                    f"{count}), got {order.min()}..{order.max()}"
                )
        self.examples, self._next, self._hastened = order, 0, False

    @property
    def remaining(self):
        """The time that the presentations not yet over take, if no phase ends early."""
        return (len(self.examples) * self.steps - self._next) * self.clock.dt

    def run(self):
        """Start a time step: set variables where a presentation starts, open and close rules where a phase does."""
        index, step = divmod(self._next, self.steps)
        if index >= len(self.examples):
            raise ParameterError(f"Presentation: all {len(self.examples)} presentations are over; call show() for more")
        self._at(index, step)
        self._next += 1
        if step == 0:
            self._begin()
        if self.begins:
            for population, variable, values in self._phased:
                if self.phase in values:
                    population.view(variable)[...] = values[self.phase]
            for population, variable, source, phase in self._recalled:
                if self.phase == phase:
                    population.view(variable)[...] = population.view(source)
        for projection, phases in self._gates:
            projection.open = self.phase in phases

    def _begin(self):
        chosen = self.examples[self.index]
        for population, variable, values, rows, change in self._clamps:
            state, found = population.view(variable), values[chosen if rows is None else rows[chosen]]
            state[...] = found if change is None else change(np.broadcast_to(found, state.shape), self._begun)
        for recipients, values, seed in self._draws:
            generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(self._begun,)))
            drawn = generator.choice(values, (recipients[0][0].replicas, 1, 1))
            for population, variable in recipients:
                population.view(variable)[...] = drawn
        self._begun += 1

    def _finish(self):
        """Where phases have ended early, the presentations are over before the time of the run is."""
        if self._hastened and self._next >= len(self.examples) * self.steps:
            brian2.stop()

    # brian2's Network.store and Network.restore
    def _full_state(self):
        return {"examples": self.examples.copy(), "next": self._next, "begun": self._begun}

    def _restore_from_full_state(self, state):
        self.examples, self._next, self._begun = state["examples"].copy(), state["next"], state["begun"]

    # checkpoints
    def state(self):
        """Return how many time steps are over, and how many presentations began so far, as arrays by name."""
        return {"next": np.array(self._next), "begun": np.array(self._begun)}

    def set_state(self, arrays):
        """Set what :meth:`state` gave after :meth:`show` has set the same examples; without any, start anew."""
        steps = int(arrays["next"]) if len(self.examples) else 0
        if not 0 <= steps <= len(self.examples) * self.steps:
            raise ParameterError(
                f"Presentation: {len(self.examples)} presentations of {self.steps} steps cannot go on from step {steps}"
            )
        self._next, self._begun = steps, int(arrays["begun"])
        self._at(*divmod(max(0, steps - 1), self.steps))


def _steps(time, dt, where):
    """Return a time as a number of steps."""
    try:
        fail_for_dimension_mismatch(time, ms)
    except DimensionMismatchError:
        raise ParameterError(f"{where}: a time is needed, as 5*ms, got {time!r}") from None
    steps = float(Quantity(time) / dt)
    if not steps >= 1 or abs(steps - round(steps)) > 1e-6 * steps:
        raise ParameterError(f"{where}: a positive multiple of the time step {dt} is needed, got {time}")
    return round(steps)
