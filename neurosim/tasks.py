"""Functions to learn: examples drawn anew in every epoch, replica by replica, from the seed alone."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TARGET, TRAIN, TEST = 0, 1, 2  # what a stream of random numbers is for


@dataclass(frozen=True)
class FunctionTask:
    """A function that networks learn from a stream of examples; every replica has a function and a stream of its own.

    Which networks learn, and how, has no part in what is drawn: replica r of every run with this seed sees the same.

    Attributes
    ----------
    name : str
        Of the task, for ``--data``.
    inputs, outputs : int
        Dimensions.
    draw_inputs : callable (generator, count) -> array (count, inputs)
        Draws examples.
    draw_function : callable (generator) -> callable
        Draws a replica's function, from arrays (count, inputs) to (count, outputs).
    examples, tests : int
        Training examples an epoch, and test examples, for each replica.
    seed : int
        Decides all of them.
    source : str
        Where the task is from.

    Examples
    --------
    >>> draw = lambda generator, count: generator.normal(size=(count, 1))
    >>> task = FunctionTask("double", 1, 1, draw, lambda generator: lambda x: 2 * x, 4, 3, seed=1, source="ours")
    >>> inputs, targets = task.training(epoch=1, replicas=2)
    >>> inputs.shape, bool((targets == 2 * inputs).all())
    ((2, 4, 1), True)
    """

    name: str
    inputs: int
    outputs: int
    draw_inputs: Callable
    draw_function: Callable
    examples: int
    tests: int
    seed: int
    source: str

    def training(self, epoch, replicas):
        """Return (inputs, targets) of an epoch, each (replicas, examples, dimension)."""
        return self._examples(replicas, self.examples, TRAIN, epoch)

    def testing(self, replicas):
        """Return (inputs, targets) of the test, each (replicas, tests, dimension)."""
        return self._examples(replicas, self.tests, TEST)

    def _examples(self, replicas, count, *what):
        inputs = np.stack([self.draw_inputs(self._generator(r, *what), count) for r in range(replicas)])
        targets = [self.draw_function(self._generator(r, TARGET))(each) for r, each in enumerate(inputs)]
        return inputs, np.stack(targets)

    def _generator(self, replica, *what):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(replica, *what)))

    @property
    def sha256(self):
        """Hash of the first replica's test, which the seed and the functions decide."""
        digest = hashlib.sha256()
        for array in self.testing(1):
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
        return digest.hexdigest()
