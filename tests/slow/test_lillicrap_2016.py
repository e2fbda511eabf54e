"""Statistics of lillicrap_2016.spiking: what it must reach, and that learning of the hidden layers reaches it."""

import brian2
import numpy as np
import pytest

from neurosim import data
from neurosim.errors import DataError
from neurosim.training import train
from neurosim_models.lillicrap_2016 import SPIKING

pytestmark = pytest.mark.slow


def learn(examples, settings, seed=1, freeze=()):
    """Train by the experiment's defaults for this data set with some settings changed; return the last epoch."""
    values = SPIKING.resolve(examples.name, settings)
    brian2.seed(seed)
    circuit = SPIKING.build(values, examples, seed)
    for name in freeze:
        circuit.projections[name].plastic = False
    for epoch in train(circuit, examples, values["epochs"], seed):  # noqa: B007
        pass
    return epoch


@pytest.mark.parametrize("name", [name for name, preset in SPIKING.presets.items() if preset.expect])
def test_defaults_reach_what_the_model_expects(name):
    epoch = learn(data.load(name), {})
    assert epoch.test_error.mean() <= SPIKING.presets[name].expect.error
    assert len(epoch.test_error) >= 5


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
