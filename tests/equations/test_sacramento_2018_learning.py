"""What the circuits in time learn: interneurons that silence apical dendrites, an association, what a teacher says."""

import brian2
import numpy as np
import pytest
from brian2 import ms

from neurosim.errors import ParameterError
from neurosim.training import train
from neurosim_models.sacramento_2018 import network
from neurosim_models.sacramento_2018.association import ASSOCIATION, CIRCUIT, FAST
from neurosim_models.sacramento_2018.regression import REGRESSION
from neurosim_models.sacramento_2018.selfprediction import SELFPREDICTION

QUICK = {"dt": 0.25 * ms, "pattern": 20 * ms, "tau_w": 10 * ms, "sigma": 0.0, "replicas": 2}


def learned(experiment, condition, **more):
    """Return (values, circuit, epochs) after quick learning in a condition."""
    preset = next(iter(experiment.presets))
    values = experiment.resolve(preset, {}) | QUICK | dict(experiment.conditions[condition]) | more
    task = experiment.presets[preset].task(values, 1)
    brian2.seed(1)
    circuit = experiment.build(values, task, 1)
    return values, circuit, list(train(circuit, task, values["epochs"], 1))


def test_interneurons_learn_to_silence_apical_dendrites():
    """Within 4e4 ms PI removes all but the spread of the rates; IP, slower, comes nearer to the self-predicting one."""
    epochs = learned(SELFPREDICTION, "random", examples=400, tests=50, epochs=5)[2]
    silent = np.array([each.measures["apical_h1_no_target"] for each in epochs])
    assert (silent[-1] < 0.05 * silent[0]).all(), silent
    apart = np.array([each.measures["lateral_IP_h1"] for each in epochs])
    assert (np.diff(apart, axis=0) < 0).all()
    assert (epochs[-1].test_error < 0.5 * epochs[0].test_error).all()


def test_self_predicting_circuit_stays_as_it_is():
    """To single precision: rounding of the rates is all that moves its weights."""
    epochs = learned(SELFPREDICTION, "self_predicting", examples=200, tests=50, epochs=2)[2]
    assert (epochs[-1].measures["apical_h1_no_target"] < 1e-6).all()
    assert (epochs[-1].measures["lateral_PI_h1"] < 1e-5).all() and (epochs[-1].test_error < 1e-4).all()


def test_slow_inhibition_lets_an_output_learn_what_fast_inhibition_explains_away():
    """Fast inhibition silences apical dendrites while the output is still wrong, and the hidden area is taught less."""
    settings = dict(examples=30, epochs=6, pattern=40 * ms, tau_w=30 * ms, dt=0.4 * ms)
    settings |= {"eta_W": (240.0, 100.0), "eta_IP": (240.0,)}
    slow, fast = (
        learned(ASSOCIATION, each, **settings, eta_PI=(eta,))[2] for each, eta in ((CIRCUIT, 0.1), (FAST, 100.0))
    )
    apical, error, moved = (
        [np.array([read(each) for each in epochs[1:]]) for epochs in (slow, fast)]
        for read in (lambda e: e.measures["apical_h1"], lambda e: e.test_error, lambda e: e.measures["moved_h1"])
    )
    assert (apical[1][0] < 0.5 * apical[0][0]).all() and (error[1][0] > 0.5).all()
    assert (moved[0][-1] > 1.5 * moved[1][-1]).all()
    assert (error[0][-1] < 0.3 * error[1][-1]).all(), error


def test_interneurons_follow_the_output_at_the_rate_that_theory_gives():
    """eta_IP = eta_W / lambda_I: f W_y and IP change alike, for a small nudge; at a third of it they part."""
    lasting = dict(examples=100, tests=20, epochs=1, lanes=20, eta_PI=(0.0,), lag=15 * ms, tau_0=0.5 * ms, k21=1.0)
    lasting["g_som"] = 0.05 * brian2.nS
    share = network.mixing(REGRESSION.resolve("teacher", {}) | {"g_som": lasting["g_som"]})["interneuron"]
    parted = {}
    for factor in (1, 1 / 3):
        values, circuit, epochs = learned(
            REGRESSION, "microcircuit", **lasting, eta_W=(0.0, 50.0), eta_IP=(factor * 50.0 / share,)
        )
        w = circuit.projections["W_y"]
        change = w.copy_of_weights() - network.Layers(values, REGRESSION.presets["teacher"].task(values, 1), 1).W[1].w
        size = np.sqrt(np.square(change).sum(axis=(1, 2)) / np.square(w.copy_of_weights()).sum(axis=(1, 2)))
        parted[factor] = epochs[-1].measures["lateral_IP_h1"] / size
    assert (parted[1] < 0.1).all() and (parted[1 / 3] > 0.5).all(), parted


def test_teacher_is_a_network_of_the_same_kind():
    values = REGRESSION.resolve("teacher", {"examples": "8"})
    task = REGRESSION.presets["teacher"].task(values, 1)
    (inputs,), (targets,) = task.training(1, 1)
    draw = task._generator(0, 0)
    W10, W21 = draw.uniform(-1, 1, (30, 20)), draw.uniform(-1, 1, (20, 10))
    rates = 0.1 * np.log(1 + np.exp(2 * inputs @ W10 - 3))
    assert np.allclose(targets, 10 * rates @ W21)


def test_targets_that_ask_for_a_conductance_below_zero_are_refused():
    values = REGRESSION.resolve("teacher", {"E_exc": "1", "E_inh": "-1", "examples": "100"})
    task = REGRESSION.presets["teacher"].task(values, 1)
    circuit = network.Layers(values, task, 1)
    with pytest.raises(ParameterError, match=r"between E_inh = -1 and E_exc = 1.*% outside"):
        circuit.feed(*(each[0] for each in task.training(1, 1)))
