"""The microcircuit in time: its equations step by step, its fixed points, its noise, and what is refused."""

import numpy as np
import pytest
from brian2 import ms, nS, pF
from scipy.linalg import expm, solve_discrete_lyapunov

from neurosim.errors import ParameterError
from neurosim.tasks import FunctionTask
from neurosim_models.sacramento_2018 import network
from neurosim_models.sacramento_2018.network import RANDOM, Layers
from neurosim_models.sacramento_2018.selfprediction import SELFPREDICTION
from neurosim_models.sacramento_2018.theory import AtRest

DEPTHS = [(5,), (5, 4), (6, 5, 4)]
SOFT = {"gamma": 0.5, "slope": 2.0, "theta": 0.2}  # rates that differ much from cell to cell
DT = 0.1  # ms


def values(hidden=(5, 4), eta=0.0, **more):
    """Return values of a small circuit: no noise, quick inputs, all learning rates alike."""
    depth = len(hidden)
    every = SELFPREDICTION.resolve("patterns", {}) | SOFT | {"lanes": 3, "replicas": 2, "sigma": 0.0, "tau_0": 0.2 * ms}
    rates = {"eta_W": (eta,) * (depth + 1), "eta_IP": (eta,) * depth, "eta_PI": (eta,) * depth}
    return every | rates | {"hidden": hidden} | more


def task(seed=1):
    """Return a task of 7 inputs, with target potentials for 3 outputs."""
    return FunctionTask(
        "random", 7, 3, lambda generator, count: generator.uniform(0, 1, (count, 7)),
        lambda generator: lambda x: generator.uniform(-0.9, 0.9, (len(x), 3)), 12, 4, seed, "this test",
    )  # fmt: skip


def layers(**more):
    """Return areas in double precision, and their circuit, which shows the first patterns."""
    made = Layers(values(**more), task(), 3, precision=np.float64)
    circuit = made.circuit()
    inputs, targets = (each[0] for each in task().training(1, 1))
    circuit.feed(inputs, targets)
    circuit.readout.expect(targets)
    shown = np.arange(made.shape["lanes"]) % len(inputs)
    circuit.presentation.show(shown[None])
    return made, circuit, inputs[shown], targets[shown]


def run(circuit, time=None):
    """Run for a time, or until the pattern is over."""
    circuit.network.run(circuit.presentation.remaining if time is None else time, namespace={})


def states(made):
    """Return the somatic potentials of areas from the input up, and of interneurons."""
    return [p.view("u").copy() for p in (*made.hidden, made.y)], [p.view("u").copy() for p in made.interneurons]


@pytest.mark.parametrize("hidden", DEPTHS)
def test_self_predicting_state_is_a_fixed_point_and_silences_apical_dendrites(hidden):
    """At rest, without a target, for other conductances than the paper's: v_A = 0, IP and PI do not move, W neither."""
    made, circuit, _, _ = layers(
        hidden=hidden, eta=5.0, nudged=0, g_A=0.5 * nS, g_D=0.7 * nS, lag=80 * ms, pattern=100 * ms, tau_w=1 * ms
    )
    before = {name: p.w.copy() for name, p in circuit.projections.items()}
    run(circuit)
    assert all(np.abs(h.view("v_TD")).min() > 1e-3 for h in made.hidden)
    assert max(np.abs(h.view("v_TD") + h.view("v_PI")).max() for h in made.hidden) < 1e-12
    for name, projection in circuit.projections.items():
        assert np.abs(projection.w - before[name]).max() < 1e-12 * np.abs(before[name]).max(), name


def test_lateral_weights_off_the_fixed_point_move():
    made, circuit, _, _ = layers(eta=5.0, nudged=0, lag=40 * ms, pattern=60 * ms, tau_w=1 * ms)
    made.PI[0].w[...] *= 1.1
    made.IP[1].w[...] *= 1.1
    before = {name: p.w.copy() for name, p in circuit.projections.items()}
    run(circuit)
    assert all(np.abs(circuit.projections[name].w - before[name]).max() > 1e-4 for name in ("PI_h1", "IP_h2"))


@pytest.mark.parametrize("hidden", DEPTHS)
def test_rest_with_a_target_solves_the_equations(hidden):
    """Random lateral weights, targets: potentials after 100 ms and what the forward rule makes of them."""
    made, circuit, x, target = layers(hidden=hidden, start=RANDOM, g_D=0.7 * nS, tau_w=DT * ms, eta=1e-14)
    rest = AtRest.of(made.values, circuit.projections)
    run(circuit)
    for found, expected in zip(sum(states(made), []), sum(rest.settle(x, target), []), strict=True):
        assert np.allclose(found, expected, atol=1e-11)
    for projection, change in zip(made.W, rest.changes(x, target), strict=True):
        assert np.allclose(projection.view("delta"), change, atol=1e-10)


def test_one_step_of_everything_follows_the_equations():
    """All states random, all five kinds of synapses plastic: one Euler step against NumPy, two hidden areas."""
    chosen = dict(eta=20.0, eta_TD=30.0, start=RANDOM, tau_w=2 * ms, capacitance=2 * pF)
    made, circuit, x, target = layers(**chosen)
    generator = np.random.default_rng(5)
    cells = [*made.hidden, *made.interneurons, made.y]
    for population in (made.x, *cells):
        for variable in set(population.state_variables) - {"nudged"}:
            population.view(variable)[...] = generator.uniform(0, 1, population.shape)
    for projection in circuit.projections.values():
        projection.view("delta")[...] = generator.normal(size=projection.w.shape)
    old = {p.name: {name: p.view(name).copy() for name in p.state_variables} for p in (made.x, *cells)}
    w = {name: p.w.copy() for name, p in circuit.projections.items()}
    delta = {name: p.view("delta").copy() for name, p in circuit.projections.items()}
    run(circuit, DT * ms)

    g = {name: float(made.values[name] / nS) for name in network.CONDUCTANCES}
    phi = lambda u: SOFT["gamma"] * np.log(1 + np.exp(SOFT["slope"] * (u - SOFT["theta"])))  # noqa: E731
    u, r = {}, {"x": old["x"]["r"] + (1 - np.exp(-DT / 0.2)) * (x - old["x"]["r"])}
    for name, s in old.items():
        if name == "x":
            continue
        current = -g["g_lk"] * s["u"]
        if name[0] == "h":
            current += g["g_B"] * (s["v_B"] - s["u"]) + g["g_A"] * (s["v_TD"] + s["v_PI"] - s["u"])
        elif name[0] == "i":
            current += g["g_D"] * (s["v_D"] - s["u"]) + g["g_som"] * (s["taught"] - s["u"])
        else:
            current += g["g_B"] * (s["v_B"] - s["u"]) + g["g_som"] * (target - s["u"])
        u[name] = s["u"] + DT / 2 * current  # C = 2 pF
        r[name] = phi(u[name])
    v_B = {"h1": r["x"] @ w["W_h1"], "h2": r["h1"] @ w["W_h2"], "y": r["h2"] @ w["W_y"]}
    v_D = {"i1": r["h1"] @ w["IP_h1"], "i2": r["h2"] @ w["IP_h2"]}
    v_TD = {"h1": r["h2"] @ w["TD_h1"], "h2": r["y"] @ w["TD_h2"]}
    v_PI = {"h1": r["i1"] @ w["PI_h1"], "h2": r["i2"] @ w["PI_h2"]}
    hidden, top, inner = (g["g_B"] / (g["g_lk"] + g["g_B"] + g["g_A"]), g["g_B"] / (g["g_lk"] + g["g_B"]),
                          g["g_D"] / (g["g_lk"] + g["g_D"]))  # fmt: skip
    forward = {n: r[n] - phi((top if n == "y" else hidden) * v_B[n]) for n in v_B}
    beside = {n: r[n] - phi(inner * v_D[n]) for n in v_D}
    teaches = {
        "W_h1": ("x", forward["h1"]), "W_h2": ("h1", forward["h2"]), "W_y": ("h2", forward["y"]),
        "IP_h1": ("h1", beside["i1"]), "IP_h2": ("h2", beside["i2"]),
        "PI_h1": ("i1", -(v_TD["h1"] + v_PI["h1"])), "PI_h2": ("i2", -(v_TD["h2"] + v_PI["h2"])),
        "TD_h1": ("h2", r["h1"] - phi(v_TD["h1"])), "TD_h2": ("y", r["h2"] - phi(v_TD["h2"])),
    }  # fmt: skip
    for population in cells:
        assert np.allclose(population.view("u"), u[population.name], atol=1e-12)
    taught = {"i1": u["h2"], "i2": u["y"]}
    received = {"v_B": v_B, "v_D": v_D, "v_TD": v_TD, "v_PI": v_PI, "taught": taught}
    for variable, expected in received.items():
        for name, array in expected.items():
            assert np.allclose(circuit.populations[name].view(variable), array, atol=1e-12), (name, variable)
    for name, (source, error) in teaches.items():
        wanted = np.swapaxes(r[source], 1, 2) @ error  # summed over lanes
        projection = circuit.projections[name]
        assert np.allclose(projection.view("delta"), delta[name] + DT / 2 * (wanted - delta[name]), atol=1e-12), name
        eta = 30.0 if name[:2] == "TD" else 20.0
        assert np.allclose(projection.w, w[name] + DT * eta * delta[name], atol=1e-11), name


def test_two_conductances_of_the_nudge_pull_as_one(clock):
    """g_exc (E_exc - u) + g_inh (E_inh - u) = g_som (target - u), no conductance below zero within E_inh .. E_exc."""
    made, _, _, _ = layers(E_exc=2.0, E_inh=-0.95, lanes=200)
    y, generator = made.y, np.random.default_rng(1)
    y.view("u")[...] = generator.normal(size=y.shape)
    y.view("target")[...] = generator.uniform(-0.95, 2.0, y.shape)
    u, target = (y.view(name).ravel() for name in ("u", "target"))
    assert np.allclose(y.i_N[:] / nS, 0.8 * (target - u), atol=1e-12)
    assert min(np.min(y.g_exc[:]), np.min(y.g_inh[:])) > 0
    assert np.allclose((y.g_exc[:] + y.g_inh[:]) / nS, 0.8)


@pytest.mark.parametrize(("eta", "time"), [(0.1, 40), (0.025, 160)])
def test_inhibition_of_apical_dendrites_comes_as_fast_as_rates_correlate(eta, time):
    """PI + TD decays as expm(-eta t <r r^T>), summed over lanes; a quarter of the rate takes four times the time.

    IP is at rest, g_A = 0 keeps rates as they are. The first two steps pass before changes arrive at the weights.
    """
    made, circuit, _, _ = layers(
        hidden=(5,), nudged=0, g_A=0 * nS, eta_PI=(eta,), tau_w=DT * ms, lag=40 * ms, pattern=(40 + time) * ms
    )  # fmt: skip
    made.PI[0].w[...] = np.random.default_rng(2).uniform(-1, 1, made.PI[0].w.shape)
    start = made.PI[0].w + made.TD[0].w
    run(circuit)
    r = made.interneurons[0].view("r")
    covariance = np.swapaxes(r, 1, 2) @ r
    left = made.PI[0].w + made.TD[0].w
    for found, d, c in zip(left, start, covariance, strict=True):
        assert np.abs(expm(-eta * time * c) @ d - d).max() > 0.1
        assert np.allclose(found, expm(-eta * (time - DT) * c) @ d, atol=2e-3)


def test_noise_has_the_stationary_variance_of_an_euler_scheme():
    """Without weights: sigma^2 dt / (1 - (1 - k dt)^2) of pyramidal cells; interneurons add that of their teachers."""
    made, circuit, _, _ = layers(hidden=(4,), sigma=0.3, lanes=3000, replicas=1, nudged=0, pattern=10 * ms)
    for projection in circuit.projections.values():
        projection.w[...] = 0
    run(circuit)
    hidden, output, beside = 1 - DT * 1.9, 1 - DT * 1.1, 1 - DT * 1.9  # all conductances of each
    both = solve_discrete_lyapunov(np.array([[output, 0], [DT * 0.8, beside]]), 0.3**2 * DT * np.eye(2))
    u, (teacher, taught) = made.hidden[0].view("u"), (p.view("u").ravel() for p in (made.y, made.interneurons[0]))
    assert u.std() == pytest.approx(0.3 * np.sqrt(DT / (1 - hidden**2)), rel=0.02)
    assert np.allclose(np.cov(teacher, taught), both, rtol=0.06)


def test_nothing_learns_in_the_lag():
    """Neither weights nor low-passed changes move in it; both do after it."""
    made, circuit, _, _ = layers(eta=5.0, start=RANDOM, lag=3 * ms, pattern=5 * ms)
    for projection in circuit.projections.values():
        if projection not in made.TD:
            projection.view("delta")[...] = 0.5
    before = {name: p.w.copy() for name, p in circuit.projections.items() if name[:2] != "TD"}
    run(circuit, 3 * ms)
    assert all(np.array_equal(circuit.projections[name].w, w) for name, w in before.items())
    assert all((circuit.projections[name].view("delta") == 0.5).all() for name in before)
    run(circuit)
    assert all(np.abs(circuit.projections[name].w - w).max() > 0.1 for name, w in before.items())


def test_tests_are_run_without_noise_target_and_learning():
    circuit = network.build(values(eta=5.0, sigma=0.5), task(), 3)
    tester, silent = circuit.tester, circuit.tester.populations
    assert all("xi" not in str(p.equations) for p in silent.values())
    assert "xi" in str(circuit.populations["h1"].equations)
    assert not silent["y"].view("nudged").any() and circuit.populations["y"].view("nudged").all()
    assert all(p.rule is None for p in tester.projections.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eta": 0.0, "eta_W": (1.0,)}, "eta_W: one learning rate for each of the 3 areas above the input, got 1"),
        ({"eta_PI": (1.0,)}, "eta_PI: one learning rate for each of the 2 hidden areas, got 1"),
        ({"tau_w": 0.05 * ms}, r"tau_w = 0.05 ms, the shortest time .* below dt = 0.1 ms: .* dt = 0.025 ms would do"),
        ({"g_A": 20 * nS}, r"capacitance / \(g_lk \+ g_B \+ g_A\) = 0.0473934 ms, .* dt = 0.1 ms.* dt = 0.0237 ms"),
        ({"lag": 100 * ms}, "lag: must be shorter than the pattern"),
    ],
)
def test_values_that_do_not_go_together_are_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Layers(values(**wrong), task(), 1)


@pytest.mark.parametrize("name", ["g_lk", "g_B", "g_A", "g_D", "g_som"])
def test_conductances_below_zero_are_refused(name):
    with pytest.raises(ParameterError, match=f"{name}: must be >"):
        SELFPREDICTION.resolve("patterns", {name: "-100*pS"})
    with pytest.raises(ParameterError, match=f"{name}: must be >"):
        Layers(values(**{name: -0.1 * nS}), task(), 1)
    with pytest.raises(ParameterError, match=f"{name}: a unit like that of"):
        Layers(values(**{name: 0.1}), task(), 1)
    with pytest.raises(ParameterError, match=f"{name}: a unit like that of"):
        Layers(values(**{name: 0.1 * ms}), task(), 1)


def test_targets_beyond_reversal_potentials_are_refused():
    """They would need a conductance below zero; where nothing is nudged they may lie anywhere."""
    wanted = np.array([[0.5, -1.2, 0.0]] * 3)
    made = Layers(values(), task(), 1)
    with pytest.raises(ParameterError, match=r"between E_inh = -1 and E_exc = 1, .* got -1.2 to 0.5 \(33.3% outside\)"):
        made.feed(np.zeros((3, 7)), wanted)
    Layers(values(E_inh=-2.0), task(), 1).feed(np.zeros((3, 7)), wanted)
    Layers(values(nudged=0), task(), 1).feed(np.zeros((3, 7)), wanted)
