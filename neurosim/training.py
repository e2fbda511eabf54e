"""Training: epochs, and evaluation with plasticity frozen. One brian2 run covers an epoch."""

import contextlib
import gc
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import brian2
import numpy as np

from neurosim.errors import DivergedError, ParameterError
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Alignment, Progress, Readout, Window


@dataclass
class Circuit:
    """A network that learns to name classes, with what feeds and reads it: what a model's ``build`` returns.

    Attributes
    ----------
    network : brian2.Network
        All objects.
    populations : dict of str to Population
        In the order of the sweep, under the names that figures show.
    projections : dict of str to Projection
        Those whose weights are kept with the run.
    presentation, readout
        What is shown, and what the network says.
    feed : callable (images, labels) -> None
        Clamps inputs and targets to a set of examples.
    windows : dict of str to Window
        Traces, open while the network trains.
    alignment : Alignment or None
        Angles, measured while the network trains.
    """

    network: brian2.Network
    populations: dict
    projections: dict[str, Projection]
    presentation: Presentation
    readout: Readout
    feed: Callable
    windows: dict[str, Window] = field(default_factory=dict)
    alignment: Alignment | None = None
    _frozen: list = field(default_factory=list, init=False, repr=False)

    @property
    def replicas(self):
        """Number of replicas."""
        return self.readout.population.replicas

    @property
    def lanes(self):
        """Number of lanes."""
        return self.readout.population.lanes

    def set_training(self, on):
        """Let the network learn and record, or freeze its weights; what was frozen by hand stays so."""
        if on:
            for projection in self._frozen:
                projection.plastic = True
            self._frozen = []
        else:
            self._frozen += [projection for projection in self.projections.values() if projection.plastic]
            for projection in self._frozen:
                projection.plastic = False
        for recorder in [*self.windows.values(), *([self.alignment] if self.alignment else [])]:
            recorder.is_open = on


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; the last one may have been cut short.

    Attributes
    ----------
    number : int
        Counted from 1.
    examples : int
        Training examples shown to each replica since the start.
    train_error, test_error : arrays of shape (replicas,)
        Fractions of wrong guesses: while learning, and after it with frozen weights (nan where it was cut short).
    angles : array of shape (points, layers, replicas)
        Degrees, at the numbers of examples ``angles_at``.
    whole : bool
        False where a stop or a divergence cut it short.
    """

    number: int
    examples: int
    train_error: np.ndarray
    test_error: np.ndarray
    angles: np.ndarray
    angles_at: np.ndarray
    confusion: np.ndarray
    whole: bool = True


ANGLES_AN_EPOCH = 20


def train(circuit, data, epochs, seed, tell=None):
    """Train for some epochs and test after each; yield an :class:`Epoch` after every one.

    Each replica sees the training examples in an order of its own, ``lanes`` at a time (an incomplete last group is
    left out). A stop asked for by Ctrl+C ends the epoch after the time step that is going on.

    Parameters
    ----------
    circuit : Circuit
        What is trained.
    data : neurosim.data.DataSet
        Examples.
    epochs : int
        How often the training examples are shown.
    seed : int
        Decides the order of the examples.
    tell : callable (phase, epoch, readout) -> None, optional
        Called after every presentation, with phase "train" or "test".

    Raises
    ------
    ParameterError
        If there are fewer training examples than lanes.
    DivergedError
        Where a variable is not finite, after the epoch so far has been yielded.
    """
    count = presentations_an_epoch(len(data.train_labels), circuit.lanes)
    situation = {"phase": "train", "epoch": 1}
    progress = Progress(circuit.presentation, lambda: tell(**situation, readout=circuit.readout))
    if tell is not None:
        circuit.network.add(progress)
    if circuit.alignment:
        circuit.alignment.every = max(1, count // ANGLES_AN_EPOCH)
    gc.collect()
    gc.freeze()  # brian2 collects garbage at the start of every run: let it skip what stays anyway
    try:
        with _stop_on_interrupt(circuit.network) as stopped:
            for number in range(1, epochs + 1):
                situation.update(phase="train", epoch=number)
                before = (number - 1) * count * circuit.lanes
                failure = None
                test_error = np.full(circuit.replicas, np.nan)
                order = _shuffled(data, circuit, count, seed, number)
                try:
                    _show(circuit, data.train_images, data.train_labels, order, training=True)
                except DivergedError as error:
                    failure = error
                train_error, shown, confusion = circuit.readout.error, circuit.readout.shown, circuit.readout.confusion
                if not failure and not stopped:
                    situation.update(phase="test")
                    try:
                        evaluate(circuit, data.test_images, data.test_labels)
                    except DivergedError as error:
                        failure = error
                    if not failure and not stopped:
                        test_error, confusion = circuit.readout.error, circuit.readout.confusion
                angles, at = _take_angles(circuit, before)
                whole = not failure and not stopped
                yield Epoch(number, before + shown, train_error, test_error, angles, at, confusion, whole)
                if failure:
                    raise failure
                if stopped:  # also by a Ctrl+C while the caller wrote the epoch down
                    return
    finally:
        gc.unfreeze()
        if tell is not None:
            circuit.network.remove(progress)


def presentations_an_epoch(examples, lanes):
    """Return how often ``lanes`` examples can be shown side by side, each once.

    Raises
    ------
    ParameterError
        If there are fewer examples than lanes.
    """
    if examples < lanes:
        raise ParameterError(f"lanes: {lanes} lanes need as many training examples, got {examples}")
    return examples // lanes


def presentations_of_a_test(examples, lanes):
    """Return how often ``lanes`` examples are shown side by side until each has been shown."""
    return -(-examples // lanes)


def evaluate(circuit, images, labels):
    """Show examples once with frozen weights; ``circuit.readout`` then holds errors and confusions."""
    lanes = circuit.lanes
    count = presentations_of_a_test(len(labels), lanes)
    order = np.arange(count * lanes) % len(labels)
    order = np.broadcast_to(order.reshape(count, 1, lanes), (count, circuit.replicas, lanes))
    _show(circuit, images, labels, order, training=False, counted=len(labels))


def _show(circuit, images, labels, order, training, counted=None):
    circuit.set_training(training)
    circuit.feed(images, labels)
    circuit.readout.expect(labels, counted)
    circuit.presentation.show(order)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, the guard reports
        circuit.network.run(circuit.presentation.remaining, namespace={})


def _shuffled(data, circuit, count, seed, epoch):
    """Return an order of the training examples for each replica, shape (count, replicas, lanes)."""
    generator = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(epoch,)))
    orders = [generator.permutation(len(data.train_labels)) for _ in range(circuit.replicas)]
    cut = np.stack(orders)[:, : count * circuit.lanes]
    return cut.reshape(circuit.replicas, count, circuit.lanes).transpose(1, 0, 2)


def _take_angles(circuit, before):
    alignment = circuit.alignment
    if alignment is None:
        return np.zeros((0, 0, circuit.replicas)), np.zeros(0, int)
    angles = np.array(alignment.angles).reshape(-1, len(alignment.paths), circuit.replicas)
    at = before + (np.array(alignment.at, int) + 1) * circuit.lanes
    alignment.angles, alignment.at = [], []
    return angles, at


@contextlib.contextmanager
def _stop_on_interrupt(network):
    """Turn the first Ctrl+C into a stop of the network after its time step; yields a list that is then not empty."""
    stopped = []

    def stop(number, frame):
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)
        network.stop()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
