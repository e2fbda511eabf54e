"""Statistics of lillicrap_2016: that hidden layers do it in spiking, and how the phases of learning follow."""

import brian2
import numpy as np
import pytest

from neurosim import data
from neurosim.errors import DataError
from neurosim.training import train
from neurosim_models.lillicrap_2016 import PHASES, SPIKING

pytestmark = pytest.mark.slow


def learn(examples, settings, seed=1, freeze=()):
    """Train the spiking network by the defaults for this data set with some settings changed; return the last epoch."""
    (values,) = SPIKING.choose(SPIKING.resolve(examples.name, settings), settings).values()
    brian2.seed(seed)
    circuit = SPIKING.build(values, examples, seed)
    for name in freeze:
        circuit.projections[name].plastic = False
    for epoch in train(circuit, examples, values["epochs"], seed):  # noqa: B007
        pass
    return epoch


def test_without_plasticity_of_the_hidden_layers_the_digits_stay_far_from_learned():
    """The control: with the same output rule, random hidden layers alone must do much worse, else B teaches nothing."""
    digits = data.load("digits")
    hidden = [f"{kind}_h{k}" for kind in "Wb" for k in (1, 2, 3)]
    frozen = learn(digits, {"epochs": "6"}, freeze=hidden).test_error
    learned = learn(digits, {"epochs": "6"}).test_error
    assert learned.max() < 0.12
    assert frozen.min() > 0.3


def test_the_third_phase_learns_because_w_has_turned_towards_b():
    """W0 alone moves nothing; then W turns from 90 degrees towards B^T; then W0 alone lowers the error."""
    values = PHASES.choose(PHASES.resolve("quadratic", {"replicas": "3"}), {"replicas": "3"})["in_phases"]
    task = PHASES.presets["quadratic"].task(values, 1)
    brian2.seed(1)
    epochs = list(train(PHASES.build(values, task, 1), task, values["epochs"], 1))
    first, second = np.cumsum(values["phases"])[:2]
    error = np.array([epoch.test_error for epoch in epochs])
    units = np.array([epoch.measures["angle_units"].mean(axis=-1) for epoch in epochs])
    assert np.all(np.abs(error[first] - error[0]) < 0.01)
    assert np.all(np.abs(units[first] - 90) < 1)
    assert np.all(np.abs(units[second] - 53) < 4) and np.all(units[-1] == units[second])
    assert np.all(error[second] - error[-1] > 0.1)
    flat, pseudo = (epochs[-1].measures[name] for name in ("angle_W_B", "angle_pinv"))
    assert np.all((45 < flat) & (flat < 60)) and np.all((45 < pseudo) & (pseudo < 62))


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
