"""Equilibrium propagation carried by spikes: the trace's variance, the noise of what a batch teaches, the equations."""

import numpy as np
import pytest
from brian2 import Network, ms

from neurosim import Population
from neurosim.errors import ParameterError
from neurosim_models.scellier_2017 import network, spiking_study
from neurosim_models.scellier_2017.spiking import SPIKING, check
from neurosim_models.scellier_2017.spiking_cells import RATES, SPIKES, build, given, variance


def values(**more):
    """Return the defaults for digits with small sizes."""
    small = {"hidden": (4,), "lanes": 3, "replicas": 2, "free_steps": 12, "nudged_steps": 5}
    return {**SPIKING.resolve("digits", {}), **small, **more}


def test_trace_of_a_constant_probability_has_its_mean_and_the_variance_of_theory(clock):
    """s (1 - s) a / (2 - a), a = dt / tau_r: of 30,000 neurons, for one step to many and rare to frequent spikes."""
    times, probabilities = (1, 4, 15), np.array([0.05, 0.5, 0.8])
    populations = [
        Population(3, given(SPIKES), order=0, lanes=30_000, clock=clock, namespace={"tau_r": k * ms}) for k in times
    ]
    for population in populations:
        population.view("x")[...] = probabilities
    Network(*populations).run(120 * ms)
    for k, population in zip(times, populations, strict=True):
        traces = population.view("rho")[0].astype(float)
        assert np.allclose(traces.mean(axis=0), probabilities, atol=0.015)
        assert np.allclose(traces.var(axis=0), variance(probabilities, 1 * ms, k * ms), rtol=0.06)


def test_network_follows_the_equations_given_its_spikes(tiny_data, every_step):
    """Traces low-pass spikes, potentials the weighted traces of the step before; the output is nudged up, then down."""
    chosen, data = values(tau_r=4 * ms), tiny_data()
    circuit = build(chosen, data, 1)
    x, h, y = circuit.populations.values()
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.set_training(True)
    w = {name: p.w.astype(float) for name, p in circuit.projections.items()}

    def look():
        sent = [p.view(variable).astype(float) for p in (x, h, y) for variable in ("z", "rho")]
        return [*sent, *(p.view("s").astype(float) for p in (h, y))]

    observer, seen = every_step(circuit.presentation.clock, look)
    circuit.network.add(observer)
    circuit.presentation.show([[0, 1, 2]])
    circuit.network.run(circuit.presentation.remaining, namespace={})
    target = np.eye(2)[data.train_labels[:3]]
    a, epsilon, beta = 1 / 4, chosen["epsilon"], chosen["beta"]
    zeros = [np.zeros_like(each) for each in seen[0]]
    free = None
    for step, now in enumerate(seen):
        before = seen[step - 1] if step else zeros
        zx, rx, zh, rh, zy, ry, sh, sy = before
        phase = np.searchsorted([12, 17], step, side="right")  # free, nudged, opposite
        if step == 12:
            free = rh, ry
        if step == 17:
            rh, ry = free  # the phase that is nudged by -beta starts from the free traces
        into_h, into_y = now[1] @ w["W_h1"] + ry @ np.swapaxes(w["W_y"], 1, 2), rh @ w["W_y"]  # inputs come first
        expected_traces = (rx + a * (zx - rx), rh + a * (zh - rh), ry + a * (zy - ry))
        nudge = 2 * (0, 1, -1)[phase] * beta * (target - sy)
        for found, expected in zip((now[1], now[3], now[5]), expected_traces, strict=True):
            assert np.allclose(found, expected, atol=1e-6)
        assert np.allclose(now[6], np.clip(sh + epsilon * (into_h - sh), 0, 1), atol=1e-5)
        assert np.allclose(now[7], np.clip(sy + epsilon * (into_y - sy + nudge), 0, 1), atol=1e-5)
        assert set(np.unique(np.concatenate([now[k].ravel() for k in (0, 2, 4)]))) <= {0, 1}
    raised, lowered = (np.einsum("rlh,rly->rhy", seen[k][3], seen[k][5]) for k in (16, 21))  # ends of the two phases
    change = chosen["alpha"][1] / (2 * beta) * (raised - lowered) / 3
    assert np.allclose(circuit.projections["W_y"].w - w["W_y"], change, atol=1e-6) and np.abs(change).max() > 1e-3


def test_rates_settle_where_the_network_without_traces_does(tiny_data):
    chosen, data = values(sends=RATES, tau_r=3 * ms, free_steps=150), tiny_data()
    found = []
    for circuit in (build(chosen, data, 1), network.build(chosen, data, 1)):
        circuit.set_training(True)
        circuit.presentation.use("free")
        circuit.feed(data.train_images, data.train_labels)
        circuit.readout.expect(data.train_labels)
        circuit.presentation.show([[0, 1, 2]])
        circuit.network.run(circuit.presentation.remaining, namespace={})
        found.append([circuit.populations[name].view("s").copy() for name in ("h1", "y")])
    assert all(np.allclose(*pair, atol=1e-4) for pair in zip(*found, strict=True))
    assert max(each.max() for each in found[0]) > 0.1


def test_noise_of_a_bias_that_nothing_drives_is_exact(tiny_data):
    """Without weights s = b. Both phases start from one trace: variance 2 v (1 - (1 - a)^(2n)) eta^2 / (4 beta^2)."""
    data, bias = tiny_data(), np.array([0.2, 0.5, 0.7])
    chosen = values(hidden=(3,), replicas=4000, lanes=1, nudged_steps=4, free_steps=60, beta=0.4, tau_r=10 * ms)
    circuit = build(chosen, data, 1)
    for projection in circuit.projections.values():
        projection.w[...] = 0
    b = circuit.projections["b_h1"]
    b.w[...] = bias
    circuit.set_training(True)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show([[0]])
    circuit.network.run(circuit.presentation.remaining, namespace={})
    found = (b.w[:, 0].astype(float) - bias).var(axis=0)
    correlated = (1 - 1 / 10) ** (2 * 4)
    alpha, beta = chosen["alpha"][0], chosen["beta"]
    expected = 2 * variance(bias, 1 * ms, 10 * ms) * (1 - correlated) * (alpha / (2 * beta)) ** 2
    assert np.allclose(found, expected, rtol=0.12)


def test_noise_of_what_a_batch_teaches_is_predicted_and_falls_with_beta(monkeypatch):
    """Small nudges, traces of 3 and 10 steps: within a quarter; three times the nudge, less than half of the noise."""
    for name, value in {"TIMES": (3, 10), "NUDGES": (0.03, 0.1), "COPIES": 5, "LONGEST": 10}.items():
        monkeypatch.setattr(spiking_study, name, value)
    found = {name: array for name, (array, _) in spiking_study.study(SPIKING.resolve("digits", {}), 1).items()}
    ratio = found["noise/measured"].mean(axis=-1) / found["noise/predicted"]
    assert (ratio > 0.75).all() and (ratio < 1.33).all()
    assert (found["noise/measured"][:, 1].mean(axis=-1) < 0.5 * found["noise/measured"][:, 0].mean(axis=-1)).all()
    assert (found["noise/measured"][1].mean(axis=-1) < found["noise/measured"][0].mean(axis=-1)).all()


def test_a_trace_shorter_than_a_step_is_refused():
    with pytest.raises(ParameterError, match="tau_r: at least the time step"):
        check(values(tau_r=0.5 * ms))
