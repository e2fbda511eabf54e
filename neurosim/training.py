"""Training: epochs, and evaluation with plasticity frozen. One brian2 run covers an epoch."""

import contextlib
import gc
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import brian2
import numpy as np
from brian2 import second

from neurosim.errors import DivergedError, ParameterError
from neurosim.plasticity.blas import held
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Alignment, ModulatorAngle, Progress, Readout, SquaredError, Window
from neurosim.settling import Settling
from neurosim.tasks import FunctionTask


@dataclass
class Circuit:
    """A network that learns, with what feeds and reads it: what a model's ``build`` returns.

    Attributes
    ----------
    network : brian2.Network
        All objects.
    populations : dict of str to Population
        In the order of the sweep, under the names that figures show.
    projections : dict of str to Projection
        Those whose weights are kept with the run.
    presentation, readout
        What is shown, and what the network says: a Readout of classes or a SquaredError.
    feed : callable (inputs, targets) -> None
        Clamps inputs and targets to a set of examples.
    windows : dict of str to Window
        Traces, open while the network trains.
    alignment : Alignment or ModulatorAngle or None
        Angles, measured while the network trains.
    measures : dict of str to (callable, str)
        What is computed from weights after every epoch: ``measure()`` gives an array (replicas, ...), with its unit.
    schedule : callable (epoch) -> None, optional
        Sets ``plastic`` of some projections for an epoch.
    settling : Settling, optional
        Counts, while the network trains, how long it takes to settle.
    test_phases : tuple of str
        The phases of a presentation that tests show; all if there are none.
    tester : Circuit, optional
        A copy in which tests are run, with more lanes for example; it gets the weights first. For networks without a
        memory: where the state goes on from training to test, leave it out.
    """

    network: brian2.Network
    populations: dict
    projections: dict[str, Projection]
    presentation: Presentation
    readout: Readout | SquaredError
    feed: Callable
    windows: dict[str, Window] = field(default_factory=dict)
    alignment: Alignment | ModulatorAngle | None = None
    measures: dict = field(default_factory=dict)
    schedule: Callable | None = None
    settling: Settling | None = None
    test_phases: tuple = ()
    tester: "Circuit | None" = None
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
        for recorder in (*self.windows.values(), self.alignment, self.settling):
            if recorder is not None:
                recorder.is_open = on
        if self.test_phases:
            self.presentation.use(*(() if on else self.test_phases))
        if self.settling and on:
            self.settling.begin()

    def take_weights(self, other):
        """Copy the weights of another circuit's projections of the same names."""
        for name, projection in self.projections.items():
            projection.w[...] = other.projections[name].w


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; the last one may have been cut short.

    Attributes
    ----------
    number : int
        Counted from 1; 0 is a test before the first.
    examples : int
        Training examples shown to each replica since the start.
    train_error, test_error : arrays of shape (replicas,)
        The readout's error: while learning, and after it with frozen weights (nan where it was cut short).
    angles : array of shape (points, layers, replicas)
        Degrees, at the numbers of examples ``angles_at``.
    confusion : array or None
        See Readout.
    measures : dict of str to array
        The circuit's measures after the epoch.
    whole : bool
        False where a stop or a divergence cut it short.
    """

    number: int
    examples: int
    train_error: np.ndarray
    test_error: np.ndarray
    angles: np.ndarray
    angles_at: np.ndarray
    confusion: np.ndarray | None
    measures: dict = field(default_factory=dict)
    whole: bool = True


ANGLES_AN_EPOCH = 20


class Keeper:
    """What training asks between presentations: whether to pause and keep a checkpoint, and where it went on from.

    This one never pauses and starts at the beginning; :mod:`neurosim.simulate` keeps checkpoints.
    """

    first = 0  # the epoch to begin with, or to go on in; 0 is the test before the first
    within = None  # sets the state of the network in the middle of that epoch, where a checkpoint was kept there

    def begin(self, epoch):
        """An epoch begins, or goes on."""

    def due(self):
        """Say whether a checkpoint is due."""
        return False

    def keep(self, epoch):
        """Keep the state of the network in the middle of an epoch."""


def train(circuit, data, epochs, seed, tell=None, keeper=None):
    """Train for some epochs and test after each; yield an :class:`Epoch` after every one.

    Each replica sees the training examples in an order of its own, ``lanes`` at a time (an incomplete last group is
    left out). A circuit with a tester is tested before the first epoch too. A stop asked for by Ctrl+C ends the epoch
    after the time step that is going on.

    Parameters
    ----------
    circuit : Circuit
        What is trained.
    data : neurosim.data.DataSet or neurosim.tasks.FunctionTask
        Examples.
    epochs : int
        How often the training examples are shown.
    seed : int
        Decides the order of the examples.
    tell : callable (phase, epoch, readout) -> None, optional
        Called after every presentation, with phase "train" or "test".
    keeper : Keeper, optional
        Keeps checkpoints, and knows where a resumed run goes on.

    Raises
    ------
    ParameterError
        If there are fewer training examples than lanes.
    DivergedError
        Where a variable is not finite, after the epoch so far has been yielded.
    """
    keeper = Keeper() if keeper is None else keeper
    count = presentations_an_epoch(sizes(data)[0], circuit.lanes)
    situation = {"phase": "train", "epoch": 1}
    examiner = circuit.tester or circuit
    watchers = [
        (each, Progress(each.presentation, _after(situation, each, tell, keeper)))
        for each in {id(each): each for each in (circuit, examiner)}.values()
    ]
    for each, progress in watchers:
        each.network.add(progress)
    if circuit.alignment:
        circuit.alignment.every = max(1, count // ANGLES_AN_EPOCH)
    gc.collect()
    gc.freeze()  # brian2 collects garbage at the start of every run: let it skip what stays anyway
    try:
        with _stop_on_interrupt([each.network for each, _ in watchers]) as stopped:
            first = max(keeper.first, 0 if circuit.tester else 1)
            for number in range(first, epochs + 1):
                situation.update(phase="train", epoch=number)
                before = max(0, number - 1) * count * circuit.lanes
                failure, confusion, shown = None, None, 0
                train_error = test_error = np.full(circuit.replicas, np.nan)
                if number > 0:
                    within = keeper.within if number == keeper.first else None
                    try:
                        learn(circuit, data, count, seed, number, stopped, keeper, within)
                    except DivergedError as error:
                        failure = error
                    readout = circuit.readout
                    train_error, shown, confusion = readout.error, readout.shown, readout.confusion
                if not failure and not stopped:
                    situation.update(phase="test")
                    try:
                        test(circuit, data)
                    except DivergedError as error:
                        failure = error
                    if not failure and not stopped:
                        test_error, confusion = examiner.readout.error, examiner.readout.confusion
                angles, at = _take_angles(circuit, before)
                whole = not failure and not stopped
                measures = {name: measure() for name, (measure, _) in circuit.measures.items()} if whole else {}
                yield Epoch(number, before + shown, train_error, test_error, angles, at, confusion, measures, whole)
                if failure:
                    raise failure
                if stopped:  # also by a Ctrl+C while the caller wrote the epoch down
                    return
    finally:
        gc.unfreeze()
        for each, progress in watchers:
            each.network.remove(progress)


def _after(situation, circuit, tell, keeper):
    """Return what is called after every presentation of a circuit: tell, and pause where a checkpoint is due."""

    def call():
        if tell is not None:
            tell(**situation, readout=circuit.readout)
        if situation["phase"] == "train" and keeper.due():
            circuit.network.stop()

    return call


def sizes(data):
    """Return the numbers of training examples an epoch and of test examples."""
    if isinstance(data, FunctionTask):
        return data.examples, data.tests
    return len(data.train_labels), len(data.test_labels)


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


def test(circuit, data):
    """Show the test examples once with frozen weights; the readout of the circuit, or of its tester, has the errors."""
    examiner = circuit.tester or circuit
    if circuit.tester:
        examiner.take_weights(circuit)
    if isinstance(data, FunctionTask):
        evaluate(examiner, *data.testing(circuit.replicas))
    else:
        evaluate(examiner, data.test_images, data.test_labels)


def evaluate(circuit, inputs, targets):
    """Show examples once with frozen weights; ``circuit.readout`` then holds the errors.

    Parameters
    ----------
    circuit : Circuit
        What is tested.
    inputs, targets : arrays
        The same for all replicas, (examples, inputs) and labels (examples,), or for each replica its own:
        (replicas, examples, inputs) and (replicas, examples, outputs).
    """
    circuit.set_training(False)
    count = inputs.shape[-2]
    shown = presentations_of_a_test(count, circuit.lanes)
    order = np.arange(shown * circuit.lanes) % count
    order = np.broadcast_to(order, (circuit.replicas, len(order)))
    prepare(circuit, inputs, targets, order, counted=count)
    run_presentations(circuit)


def learn(circuit, data, count, seed, epoch, stopped=(), keeper=None, within=None):
    """Show an epoch's examples while the network learns, in pieces between which checkpoints are kept.

    Parameters
    ----------
    circuit, data, seed, keeper
        As for :func:`train`.
    count : int
        Presentations: all of the epoch, or its first ones.
    epoch : int
        Its number, from 1.
    stopped : list
        Not empty once a stop was asked for.
    within : callable, optional
        Sets the state of the network in the middle of the epoch.
    """
    keeper = Keeper() if keeper is None else keeper
    keeper.begin(epoch)
    circuit.set_training(True)
    if circuit.schedule:
        circuit.schedule(epoch)
    if isinstance(data, FunctionTask):
        inputs, targets = data.training(epoch, circuit.replicas)
        order = np.broadcast_to(np.arange(count * circuit.lanes), (circuit.replicas, count * circuit.lanes))
    else:
        inputs, targets = data.train_images, data.train_labels
        generator = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(epoch,)))
        orders = [generator.permutation(len(targets)) for _ in range(circuit.replicas)]
        order = np.stack(orders)[:, : count * circuit.lanes]
    prepare(circuit, inputs, targets, order)
    if within is not None:
        within()
    while circuit.presentation.remaining > 0 * second:
        run_presentations(circuit)
        if stopped or circuit.presentation.remaining > 0 * second:
            keeper.keep(epoch)
        if stopped:
            return


def prepare(circuit, inputs, targets, order, counted=None):
    """Set what the next run shows: ``order`` (replicas, presentations x lanes) names examples.

    Parameters
    ----------
    circuit : Circuit
        What is shown examples.
    inputs, targets : arrays
        As :func:`evaluate` takes them.
    order : array of int
        Which examples, for every replica.
    counted : int, optional
        How many of them the readout counts; all if it is left out.
    """
    if inputs.ndim == 3:  # each replica has examples of its own: rows one replica after another
        order = order + inputs.shape[1] * np.arange(len(order))[:, None]
        inputs, targets = (array.reshape(-1, array.shape[-1]) for array in (inputs, targets))
    circuit.feed(inputs, targets)
    circuit.readout.expect(targets, counted)
    circuit.presentation.show(order.reshape(len(order), -1, circuit.lanes).transpose(1, 0, 2))


def run_presentations(circuit):
    """Run until all that :func:`prepare` has set has been shown."""
    with np.errstate(over="ignore", invalid="ignore"), held():  # what is not finite, the guard reports
        circuit.network.run(circuit.presentation.remaining, namespace={})


def _take_angles(circuit, before):
    alignment = circuit.alignment
    if alignment is None:
        return np.zeros((0, 0, circuit.replicas)), np.zeros(0, int)
    angles = np.array(alignment.angles).reshape(-1, len(alignment.paths), circuit.replicas)
    at = before + (np.array(alignment.at, int) + 1) * circuit.lanes
    alignment.angles, alignment.at = [], []
    return angles, at


@contextlib.contextmanager
def _stop_on_interrupt(networks):
    """Turn the first Ctrl+C into a stop of the networks after their time step; yields a list that is then not empty."""
    stopped = []

    def stop(number, frame):
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)
        for network in networks:
            network.stop()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
