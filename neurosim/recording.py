"""Recording with bounded memory: guesses, traces of chosen units, alignment of feedback; and the finite guard."""

import brian2
import numpy as np

from neurosim.analysis import angle
from neurosim.errors import DivergedError, ParameterError
from neurosim.plasticity import blas


class _AtEnd(brian2.core.base.BrianObject):
    """An object that runs at the end of every time step; what it records is no state that brian2 stores."""

    add_to_magic_network = True

    def __init__(self, clock, order, name):
        super().__init__(clock=clock, when="end", order=order, name=name)


class Guard(_AtEnd):
    """Stop the run where a variable is not finite.

    Parameters
    ----------
    watched : list of (Population, str)
        Populations and variables, as those that projections deliver to.

    Raises
    ------
    DivergedError
        In the time step in which a value is not finite: names variable, neuron, replica, lane and time.
    """

    def __init__(self, watched, name="guard*"):
        if not watched:
            raise ParameterError("Guard: at least one (population, variable) is needed")
        super().__init__(watched[0][0].clock, order=0, name=name)
        self.watched = list(watched)

    @classmethod
    def of(cls, projections):
        """Watch every variable that one of these projections delivers to."""
        return cls(list(dict.fromkeys((p.target, p.transmission.variable) for p in projections)))

    def run(self):
        for population, variable in self.watched:
            values = population.view(variable)
            if not np.isfinite(values).all():
                self._report(population, variable, values)

    def _report(self, population, variable, values):
        wrong = np.flatnonzero(~np.isfinite(values))
        replica, lane, neuron = population.describe(wrong[0])
        time = f"{1e3 * self.clock.t_[:]:g} ms"
        raise DivergedError(
            f"{population.name}.{variable} is {values.ravel()[wrong[0]]} at t = {time}: neuron {neuron}, "
            f"replica {replica}, lane {lane} ({wrong.size} of {values.size} values are not finite); "
            "a smaller learning rate or narrower weights may help"
        )


class Readout(_AtEnd):
    """The class that the network names for every presentation.

    A variable of the output population is summed over the time steps of the presentation and over the equal
    groups of neurons that stand for the classes; the class with the largest sum is named.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    population : Population
        The output.
    variable : str
        What is summed.
    n_classes : int
        Number of classes, neighbouring groups of n / n_classes neurons.

    Attributes
    ----------
    confusion : array of int, shape (replicas, n_classes, n_classes)
        How often each class (second axis) was named as each class (third axis).
    """

    def __init__(self, presentation, population, variable, n_classes, name="readout*"):
        super().__init__(population.clock, order=1, name=name)
        if population.n % n_classes:
            raise ParameterError(
                f"Readout: the output population has {population.n} neurons, which {n_classes} classes do not divide"
            )
        self.presentation, self.population, self.variable, self.n_classes = (
            presentation, population, variable, n_classes,
        )  # fmt: skip
        self._sum = np.zeros((*population.shape[:2], n_classes))
        self.expect(np.zeros(0, int))

    def expect(self, labels, counted=None):
        """Start anew: the labels of the examples, and how many of a replica's guesses count (the rest are padding)."""
        self.labels = np.asarray(labels)
        self.counted = np.inf if counted is None else counted
        self.confusion = np.zeros((self.population.replicas, self.n_classes, self.n_classes), int)
        self._past = 0
        self._sum[...] = 0

    def run(self):
        groups = self.population.view(self.variable).reshape(*self._sum.shape, -1)
        self._sum += groups.sum(axis=-1)
        if not self.presentation.last_step:
            return
        replicas, lanes, _ = self._sum.shape
        guess = self._sum.argmax(axis=-1)
        right = self.labels[np.broadcast_to(self.presentation.examples[self.presentation.index], guess.shape)]
        counts = self._past + np.arange(lanes) < self.counted
        replica = np.broadcast_to(np.arange(replicas)[:, None], guess.shape)
        np.add.at(self.confusion, (replica[:, counts], right[:, counts], guess[:, counts]), 1)
        self._past += lanes
        self._sum[...] = 0

    @property
    def shown(self):
        """How many presentations of each replica are counted so far."""
        return int(self.confusion[0].sum())

    @property
    def error(self):
        """The fraction of wrong guesses, shape (replicas,); nan before the first."""
        if not self.shown:
            return np.full(self.population.replicas, np.nan)
        return 1 - np.trace(self.confusion, axis1=1, axis2=2) / self.shown


class Window(_AtEnd):
    """Traces of chosen units over a few presentations, the first or the last of those shown while it is open.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    chosen : dict of str to (Population, str, array of int)
        Name of a trace: population, variable, neurons (of the first lane of the first replica).
    presentations : int
        How many presentations are kept.
    keep : {"first", "last"}
        Which.
    """

    def __init__(self, presentation, chosen, presentations, keep, name="window*"):
        super().__init__(presentation.clock, order=2, name=name)
        if keep not in ("first", "last"):
            raise ParameterError(f"Window.keep: 'first' or 'last' is needed, got {keep!r}")
        self.presentation, self.chosen, self.keep = presentation, chosen, keep
        self.steps = presentations * presentation.steps
        self.is_open = True
        self.seen = 0
        self._time = np.zeros(self.steps)
        self._shown = np.zeros(self.steps, int)
        self._values = {name: np.zeros((self.steps, len(units)), np.float32) for name, (_, _, units) in chosen.items()}

    def run(self):
        if not self.is_open or (self.keep == "first" and self.seen >= self.steps):
            return
        k = self.seen % self.steps
        self._time[k] = self.clock.t_[:]
        self._shown[k] = self.presentation.examples[self.presentation.index, 0, 0]
        for name, (population, variable, units) in self.chosen.items():
            self._values[name][k] = population.view(variable)[0, 0, units]
        self.seen += 1

    def arrays(self):
        """Return time (s), example shown and traces, each with time as its first axis."""
        kept = min(self.seen, self.steps)
        turn = self.seen % self.steps if self.seen > self.steps else 0
        cut = {"time": self._time, "shown": self._shown, **self._values}
        return {name: np.roll(values, -turn, axis=0)[:kept] for name, values in cut.items()}


class Alignment(_AtEnd):
    """The angle between the signal that fixed feedback sends and the one that the transposed weights would send.

    For a layer below a feedback source with signals m: the angle between ``m B`` and ``m W^T``, both taken over
    all lanes, at the end of every few presentations.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    paths : dict of str to (Projection, Projection)
        Name of the layer: the feedback projection B that serves it, and the forward projection W out of it.
    """

    def __init__(self, presentation, paths, name="alignment*"):
        super().__init__(presentation.clock, order=3, name=name)
        self.presentation, self.paths = presentation, paths
        self.every, self.is_open = 1, True
        self.angles, self.at = [], []

    def run(self):
        if self.is_open and self.presentation.last_step and self.presentation.index % self.every == 0:
            self.angles.append([self.measure(layer) for layer in self.paths])
            self.at.append(self.presentation.index)

    def measure(self, layer):
        """Return the angle now, shape (replicas,), in degrees."""
        feedback, forward = self.paths[layer]
        signal = feedback.transmission.signal()
        sent = np.empty((*signal.shape[:2], feedback.target.n), signal.dtype)
        transposed = np.empty_like(sent)
        for replica in range(len(signal)):
            blas.product(signal[replica], feedback.stored[replica], sent[replica])
            blas.product_transposed(signal[replica], forward.stored[replica], transposed[replica])
        return angle(sent.reshape(len(sent), -1), transposed.reshape(len(sent), -1))


class Progress(_AtEnd):
    """Call a function at the end of every presentation."""

    def __init__(self, presentation, call, name="progress*"):
        super().__init__(presentation.clock, order=4, name=name)
        self.presentation, self.call = presentation, call

    def run(self):
        if self.presentation.last_step:
            self.call()
