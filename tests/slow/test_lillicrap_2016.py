"""Statistics of lillicrap_2016: what its experiments must reach; in spiking, that hidden layers do it."""

import functools

import brian2
import numpy as np
import pytest

from neurosim import data
from neurosim.errors import DataError
from neurosim.training import train
from neurosim_models.lillicrap_2016 import EXPERIMENTS, SPIKING

pytestmark = pytest.mark.slow


def learn(examples, settings, seed=1, freeze=(), experiment=SPIKING, condition=None):
    """Train by the experiment's defaults for this data set with some settings changed; return the last epoch."""
    conditions = experiment.choose(experiment.resolve(examples.name, settings), settings)
    values = conditions[condition or next(iter(conditions))]
    brian2.seed(seed)
    circuit = experiment.build(values, examples, seed)
    for name in freeze:
        circuit.projections[name].plastic = False
    for epoch in train(circuit, examples, values["epochs"], seed):  # noqa: B007
        pass
    return epoch


@functools.cache
def learned(experiment, preset, condition):
    """Return the errors of the last epoch with all defaults, split to array over replicas."""
    experiment = next(each for each in EXPERIMENTS if each.name == experiment)
    task = experiment.presets[preset].task
    examples = task(experiment.resolve(preset, {}), 1) if task else data.load(preset)
    epoch = learn(examples, {}, experiment=experiment, condition=condition)
    return {"train": epoch.train_error, "test": epoch.test_error}


EXPECTED = [
    pytest.param(each.name, preset, expect, id=f"{each.name}-{preset}-{expect.condition}")
    for each in EXPERIMENTS
    for preset in each.presets
    for expect in each.presets[preset].expect
]


@pytest.mark.parametrize(("experiment", "preset", "expect"), EXPECTED)
def test_defaults_reach_what_the_model_expects(experiment, preset, expect):
    errors = learned(experiment, preset, expect.condition)[expect.split]
    assert expect.holds(errors.mean()), errors
    assert len(errors) >= 5


def test_without_plasticity_of_the_hidden_layers_the_digits_stay_far_from_learned():
    """The control: with the same output rule, random hidden layers alone must do much worse, else B teaches nothing."""
    digits = data.load("digits")
    hidden = [f"{kind}_h{k}" for kind in "Wb" for k in (1, 2, 3)]
    frozen = learn(digits, {"epochs": "6"}, freeze=hidden).test_error
    learned = learn(digits, {"epochs": "6"}).test_error
    assert learned.max() < 0.12
    assert frozen.min() > 0.3


def test_feedback_signals_align_with_those_of_the_transposed_weights():
    """At first the angle is that of independent random directions, 90 degrees; learning brings W towards B^T."""
    digits = data.load("digits")
    values = SPIKING.resolve("digits", {"epochs": "3"})
    brian2.seed(3)
    circuit = SPIKING.build(values, digits, 3)
    epochs = list(train(circuit, digits, 3, 3))
    start, end = epochs[0].angles[0], epochs[-1].angles[-5:].mean(axis=0)
    assert np.all(np.abs(start - 90) < 12)
    assert np.all(end < 65)


def test_a_small_network_learns_mnist_in_two_epochs():
    try:
        mnist = data.load("mnist")
    except DataError as error:
        pytest.skip(str(error))
    settings = {"hidden": "300,300,300", "output": "200", "eta": "1e-2", "lanes": "100", "epochs": "2"}
    assert learn(mnist, settings).test_error.mean() < 0.20
