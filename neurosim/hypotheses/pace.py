"""How fast an experiment runs here, from about a second of it; and what its runs will measure."""

import gc
import math
import time
from dataclasses import dataclass

import brian2

from neurosim.outcomes import outcomes_offered
from neurosim.target import continued_draws
from neurosim.tasks import FunctionTask
from neurosim.training import (
    evaluate,
    learn,
    presentations_an_epoch,
    presentations_of_a_test,
    sizes,
)

SECONDS = 1.0  # of training, and half of it of testing


@dataclass(frozen=True)
class Pace:
    """What a run of one condition takes: seconds to build it, for an epoch and for a test; and its metrics by name."""

    build: float
    epoch: float
    test: float
    metrics: tuple

    def seconds(self, epochs):
        """Return about how long a run of so many epochs takes; an experiment's study is not in it."""
        return self.build + epochs * (self.epoch + self.test)


def pace(experiment, values, data, seed, target="numpy", seconds=SECONDS):
    """Build a condition, show it some examples, and say how long a run would take.

    Parameters
    ----------
    experiment, values, data, seed, target
        As for :func:`neurosim.simulate.simulate`; ``values`` are those of one condition.
    seconds : float
        About how long to train for.

    Returns
    -------
    Pace
    """
    brian2.prefs.codegen.target = target
    brian2.seed(seed)
    began = time.monotonic()
    with continued_draws():
        circuit = experiment.build(values, data, seed)
        build = time.monotonic() - began
        examiner = circuit.tester or circuit
        train, tests = sizes(data)
        epoch = presentations_an_epoch(train, circuit.lanes)
        test = presentations_of_a_test(tests, examiner.lanes)
        gc.collect()
        gc.freeze()  # as training does: otherwise every run of the network begins by collecting garbage
        try:
            training = _timed(lambda count: learn(circuit, data, count, seed, 1), epoch, seconds)
            if circuit.tester:
                examiner.take_weights(circuit)
            testing = _timed(lambda count: evaluate(examiner, *_tests(data, examiner, count)), test, seconds / 2)
        finally:
            gc.unfreeze()
        return Pace(build, training, testing, outcomes_offered(experiment, circuit))


def _timed(show, most, seconds):
    """Return the seconds of so many presentations in one run.

    More and more are shown until that takes long enough; the very first compiles, and is not counted. What a run of
    the network costs by itself is what one presentation takes, less what each further one does.
    """
    show(1)
    first = _seconds(show, 1)
    count, spent = 1, first
    while count < most and spent - first < seconds / 2:
        more = math.ceil(count * seconds / 2 / max(spent - first, 1e-3))
        count = min(most, max(2 * count, more), 16 * count)
        spent = _seconds(show, count)
    return spent if count == most else first + (most - 1) * max(spent - first, 0) / max(count - 1, 1)


def _seconds(show, count):
    began = time.monotonic()
    show(count)
    return time.monotonic() - began


def _tests(data, circuit, count):
    """Return inputs and targets of so many presentations of test examples."""
    if isinstance(data, FunctionTask):
        return tuple(each[:, : count * circuit.lanes] for each in data.testing(circuit.replicas))
    return data.test_images[: count * circuit.lanes], data.test_labels[: count * circuit.lanes]
