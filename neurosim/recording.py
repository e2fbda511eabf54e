"""Recording with bounded memory: guesses, traces of chosen units, alignment of feedback; and the finite guard."""

import brian2
import numpy as np

from neurosim.analysis import angle
from neurosim.errors import DivergedError, ParameterError, unknown
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
    presentation : Presentation, optional
        Look only in the last time step of each of its presentations; in every time step if it is left out.

    Raises
    ------
    DivergedError
        In the time step in which a value is not finite: names variable, neuron, replica, lane and time.
    """

    def __init__(self, watched, presentation=None, name="guard*"):
        if not watched:
            raise ParameterError("Guard: at least one (population, variable) is needed")
        super().__init__(watched[0][0].clock, order=0, name=name)
        self.watched, self.presentation = list(watched), presentation

    @classmethod
    def of(cls, projections, presentation=None):
        """Watch every variable that one of these projections delivers to."""
        return cls(list(dict.fromkeys((p.target, p.transmission.variable) for p in projections)), presentation)

    def run(self):
        if self.presentation is not None and not self.presentation.last_step:
            return
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
    phase : str, optional
        The phase over whose time steps the sum is taken; the whole presentation if it is left out.
    at_end : bool
        Read only in the last time step of that phase, or of the presentation, as where a network settles.

    Attributes
    ----------
    confusion : array of int, shape (replicas, n_classes, n_classes)
        How often each class (second axis) was named as each class (third axis).
    """

    metric = "error"

    def __init__(self, presentation, population, variable, n_classes, phase=None, at_end=False, name="readout*"):
        super().__init__(population.clock, order=1, name=name)
        if population.n % n_classes:
            raise ParameterError(
                f"Readout: the output population has {population.n} neurons, which {n_classes} classes do not divide"
            )
        if phase is not None and phase not in presentation.phases:
            raise unknown("phase", phase, presentation.phases)
        self.presentation, self.population, self.variable, self.n_classes, self.phase = (
            presentation, population, variable, n_classes, phase,
        )  # fmt: skip
        self.at_end = at_end
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
        shown = self.presentation
        last = shown.ends is not None if self.phase else shown.last_step
        if (self.phase is None or shown.phase == self.phase) and (last or not self.at_end):
            groups = self.population.view(self.variable).reshape(*self._sum.shape, -1)
            self._sum += groups.sum(axis=-1)
        if not shown.last_step:
            return
        replicas, lanes, _ = self._sum.shape
        guess = self._sum.argmax(axis=-1)
        right = self.labels[np.broadcast_to(shown.examples[shown.index], guess.shape)]
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

    def state(self):
        """Return what has been read since :meth:`expect`, as arrays by name, for checkpoints."""
        return {"confusion": self.confusion.copy(), "sum": self._sum.copy(), "past": np.array(self._past)}

    def set_state(self, arrays):
        """Set what :meth:`state` gave, after :meth:`expect` has set the labels."""
        self.confusion, self._past = arrays["confusion"].copy(), int(arrays["past"])
        self._sum[...] = arrays["sum"]


class SquaredError(_AtEnd):
    """The squared error of every presentation, normalised by that of the best constant guess.

    ``sum_t |target_t - guess_t|^2 / sum_t |target_t - mean target|^2`` over the presentations of a replica.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    population : Population
        Error neurons with the variables ``target`` and ``guess``.
    phase : str, optional
        At the end of which phase it is read; of the presentation if it is left out.

    Notes
    -----
    Lillicrap et al. 2016, Methods, 'Normalized squared error'.
    """

    metric = "nse"
    confusion = None

    def __init__(self, presentation, population, phase=None, name="squared_error*"):
        super().__init__(population.clock, order=1, name=name)
        self.presentation, self.population = presentation, population
        self.phase = list(presentation.phases)[-1] if phase is None else phase
        if self.phase not in presentation.phases:
            raise unknown("phase", phase, presentation.phases)
        self.expect(None)

    def expect(self, targets, counted=None):
        """Start anew; ``counted`` is how many of a replica's presentations count (the rest are padding)."""
        self.counted = np.inf if counted is None else counted
        replicas, _, n = self.population.shape
        self._past = self._count = 0
        self._squared = np.zeros(replicas)
        self._targets, self._targets_squared = np.zeros((2, replicas, n))

    def run(self):
        if self.presentation.ends != self.phase:
            return
        counts = self._past + np.arange(self.population.lanes) < self.counted
        target, guess = (each[:, counts].astype(float) for each in self.read())
        error = target - guess
        self._squared += np.einsum("rln,rln->r", error, error)
        self._targets += target.sum(axis=1)
        self._targets_squared += np.einsum("rln,rln->rn", target, target)
        self._count += int(counts.sum())
        self._past += self.population.lanes

    def read(self):
        """Return targets and guesses now, each (replicas, lanes, n)."""
        return self.population.view("target"), self.population.view("guess")

    @property
    def shown(self):
        """How many presentations of each replica are counted so far."""
        return self._count

    @property
    def error(self):
        """The normalised squared error, shape (replicas,); nan before there are two different targets."""
        spread = (self._targets_squared - self._targets**2 / max(1, self._count)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, self._squared / spread, np.nan)

    def state(self):
        """Return what has been read since :meth:`expect`, as arrays by name, for checkpoints."""
        sums = {"squared": self._squared, "targets": self._targets, "targets squared": self._targets_squared}
        counts = {"past": np.array(self._past), "count": np.array(self._count)}
        return counts | {name: values.copy() for name, values in sums.items()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave, after :meth:`expect` has set the targets."""
        self._past, self._count = int(arrays["past"]), int(arrays["count"])
        self._squared, self._targets = arrays["squared"].copy(), arrays["targets"].copy()
        self._targets_squared = arrays["targets squared"].copy()


class RootMeanSquare(_AtEnd):
    """Root mean squares over neurons, lanes and presentations, each read in the last step of a presentation.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    reads : dict of str to callable () -> array (replicas, lanes, n)
        What is read, by name.
    replicas : int
        Number of replicas.
    """

    def __init__(self, presentation, reads, replicas, name="root_mean_square*"):
        super().__init__(presentation.clock, order=2, name=name)
        self.presentation, self.reads, self.replicas = presentation, reads, replicas
        self.begin()

    def begin(self):
        """Start anew."""
        self._sums, self._count = {name: np.zeros(self.replicas) for name in self.reads}, 0

    def run(self):
        if not self.presentation.last_step:
            return
        for name, read in self.reads.items():
            self._sums[name] += np.square(read(), dtype=float).mean(axis=(1, 2))
        self._count += 1

    def __getitem__(self, name):
        """Return the root mean square since :meth:`begin`, shape (replicas,); 0 before a presentation has ended."""
        return np.sqrt(self._sums[name] / max(1, self._count))

    def state(self):
        """Return what has been read since :meth:`begin`, as arrays by name, for checkpoints."""
        return {"count": np.array(self._count)} | {f"sum {name}": each.copy() for name, each in self._sums.items()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self._count = int(arrays["count"])
        self._sums = {name: arrays[f"sum {name}"].copy() for name in self.reads}


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

    def state(self):
        """Return what is kept and how much has been seen, as arrays by name, for checkpoints."""
        traces = {f"trace {name}": values.copy() for name, values in self._values.items()}
        return traces | {"seen": np.array(self.seen), "time": self._time.copy(), "shown": self._shown.copy()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self.seen, self._time[...], self._shown[...] = int(arrays["seen"]), arrays["time"], arrays["shown"]
        for name, values in self._values.items():
            values[...] = arrays[f"trace {name}"]


class _Angles(brian2.core.base.BrianObject):
    """Angles of layers in the last step of every few presentations while it is open, before weights learn from it."""

    add_to_magic_network = True

    def __init__(self, presentation, paths, name):
        super().__init__(clock=presentation.clock, when="synapses", order=-2, name=name)
        self.presentation, self.paths = presentation, paths
        self.every, self.is_open = 1, True
        self.angles, self.at = [], []

    def run(self):
        if self.is_open and self.presentation.last_step and self.presentation.index % self.every == 0:
            self.angles.append(self.measure_all())
            self.at.append(self.presentation.index)

    def measure_all(self):
        """Return the angles of all layers now, each of shape (replicas,), in degrees."""
        return [self.measure(layer) for layer in self.paths]

    grows = ("angles", "at")  # in a checkpoint: of any length

    def state(self):
        """Return the angles measured, (points, layers, replicas), and when, as arrays by name, for checkpoints."""
        replicas = np.size(self.angles) // max(1, len(self.at) * len(self.paths))
        angles = np.array(self.angles, float).reshape(len(self.at), len(self.paths), replicas)
        return {"angles": angles, "at": np.array(self.at, int)}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self.angles, self.at = [list(point) for point in arrays["angles"]], arrays["at"].tolist()


class Alignment(_Angles):
    """The angle between the signal that fixed feedback sends and the one that the transposed weights would send.

    For a layer below a feedback source with signals m: the angle between ``m B`` and ``m W^T``, both taken over
    all lanes, in the last step of every few presentations, before weights learn from it.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    paths : dict of str to (Projection, Projection)
        Name of the layer: the feedback projection B that serves it, and the forward projection W out of it.
    """

    def __init__(self, presentation, paths, name="alignment*"):
        super().__init__(presentation, paths, name)

    def measure(self, layer):
        """Return the angle now, shape (replicas,), in degrees."""
        feedback, forward = self.paths[layer]
        signal = feedback.transmission.signal()
        sent = np.empty((*signal.shape[:2], feedback.target.n), signal.dtype)
        transposed = np.empty_like(sent)
        blas.product(signal, feedback.stored, sent)
        blas.product_transposed(signal, forward.stored, transposed)
        return angle(sent.reshape(len(sent), -1), transposed.reshape(len(sent), -1))


class ModulatorAngle(_Angles):
    """The angle between the modulatory signals that arrive and those that backprop would send from the same errors.

    Backprop's are ``(error * slope) W^T`` for the highest layer, and from layer to layer ``(delta * slope) W^T``
    with its own delta. Taken over all lanes, in the last step of every few presentations, before weights learn from it.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    error : Population
        Error neurons, with ``target``, ``guess`` and ``slope``.
    paths : dict of str to (Population, Projection)
        Name of the layer, the lowest first: its feedback neurons, with ``d`` and ``slope``, and the forward projection
        out of it.
    """

    def __init__(self, presentation, error, paths, name="modulator_angle*"):
        super().__init__(presentation, paths, name)
        self.error = error

    def measure_all(self):
        """Return the angles of all layers now, each of shape (replicas,), in degrees."""
        error = self.error
        signal = (error.view("target") - error.view("guess")) * error.view("slope")
        found = []
        for feedback, forward in reversed(self.paths.values()):
            delta = signal @ np.swapaxes(forward.w, 1, 2)
            arrived = feedback.view("d")
            found.append(angle(arrived.reshape(len(arrived), -1), delta.reshape(len(delta), -1)))
            signal = delta * feedback.view("slope")
        return found[::-1]


class Progress(_AtEnd):
    """Call a function at the end of every presentation."""

    def __init__(self, presentation, call, name="progress*"):
        super().__init__(presentation.clock, order=4, name=name)
        self.presentation, self.call = presentation, call

    def run(self):
        if self.presentation.last_step:
            self.call()
