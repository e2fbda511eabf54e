"""The steady state of Sacramento et al. 2018 in two sweeps: against NumPy, feedback alignment and backprop.

Units are logistic and mixing differs between hidden, inter- and output neurons, so that none can take another's place.
"""

import numpy as np
import pytest

from neurosim.analysis import angle
from neurosim.errors import ParameterError
from neurosim.training import evaluate
from neurosim_models.sacramento_2018 import steady
from neurosim_models.sacramento_2018.mnist import MNIST
from neurosim_models.sacramento_2018.steady import ALIGNMENT, BACKPROP, MICROCIRCUIT

LANES, HIDDEN = 3, (5, 4)
MIXING = ("mixing_hidden", "mixing_interneuron", "mixing_output")
BASE = {p.name: p.value for p in steady.parameters("")} | {
    "hidden": HIDDEN, "top_down": (1.5, 1.5), "eta": (0.03, 0.02, 0.01), "eta_backprop": (0.03, 0.02, 0.01),
    "mixing_hidden": 0.3, "mixing_interneuron": 0.4, "mixing_output": 0.2, "lanes": LANES, "replicas": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tiny_data):
    return tiny_data(n_inputs=6, n_classes=3, train=12, test=7)


def build(data, **settings):
    """Return a circuit in double precision."""
    assert set(settings) <= set(BASE)
    return steady.build(BASE | settings, data, 1, np.float64)


def weights(circuit):
    return {name: p.copy_of_weights() for name, p in circuit.projections.items()}


def step(circuit, data, batches=1):
    """Show every lane of every replica an image a batch, learning; return weights before, changes, images, targets."""
    before, shape = weights(circuit), (batches, circuit.replicas, circuit.lanes)
    shown = np.arange(np.prod(shape)).reshape(shape) % len(data.train_labels)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show(shown)
    circuit.set_training(True)
    circuit.network.run(circuit.presentation.remaining, namespace={})
    changes = {name: after - before[name] for name, after in weights(circuit).items()}
    labels = data.train_labels[shown[-1]]
    targets = np.where(np.eye(3)[labels] > 0, BASE["rate_shown"], BASE["rate_others"])
    return before, changes, data.train_images[shown[-1]].astype(float), np.log(targets / (1 - targets))


def phi(u):
    return 1 / (1 + np.exp(-u))


def slope(u):
    return phi(u) * (1 - phi(u))


def sweeps(w, x, t, values):
    """Return the changes of all weights after a batch: bottom-up, then down from the target, as the sheet has it."""
    l_P, l_I, l_N = (values[name] for name in MIXING)
    names, lanes = ("h1", "h2", "y"), x.shape[1]
    v, below = {}, x
    for name in names:
        v[name] = below @ w[f"W_{name}"] + w[f"b_{name}"]
        below = phi(v[name])
    u = {"y": (1 - l_N) * v["y"] + l_N * t}
    v_I, u_I, v_A = {}, {}, {}
    for here, above, beside in (("h2", "y", "i2"), ("h1", "h2", "i1")):
        v_I[beside] = phi(v[here]) @ w[f"IP_{here}"] + w[f"b_{beside}"]
        u_I[beside] = (1 - l_I) * v_I[beside] + l_I * u[above]
        v_A[here] = phi(u[above]) @ w[f"TD_{here}"] + phi(u_I[beside]) @ w[f"PI_{here}"]
        u[here] = v[here] + l_P * v_A[here]
    signal = l_N * (l_P * (1 - l_I)) ** np.array([2, 1, 0])
    eta = dict(zip(names, values["eta"] / signal, strict=True))

    def mean(pre, post):
        return np.swapaxes(pre, 1, 2) @ post / lanes

    changes, ones = {}, np.ones_like(x[..., :1])
    for name, below in zip(names, (x, phi(u["h1"]), phi(u["h2"])), strict=True):
        missed = eta[name] * (phi(u[name]) - phi(v[name]))
        changes |= {f"W_{name}": mean(below, missed), f"b_{name}": mean(ones, missed)}
    for here, above, beside in (("h1", "h2", "i1"), ("h2", "y", "i2")):
        missed = values["following"] * eta[above] / l_I * (phi(u_I[beside]) - phi(v_I[beside]))
        changes |= {f"IP_{here}": mean(phi(u[here]), missed), f"b_{beside}": mean(ones, missed)}
        changes[f"PI_{here}"] = values["eta_PI"] * mean(phi(u_I[beside]), -v_A[here])
        reconstructed = phi(phi(u[above]) @ w[f"TD_{here}"])
        changes[f"TD_{here}"] = values["eta_TD"] * mean(phi(u[above]), phi(u[here]) - reconstructed)
    return changes


def test_a_batch_is_the_two_sweeps(data):
    """All synapses plastic, interneurons that predict nothing yet, so that no term vanishes; one step, then another."""
    settings = {"eta_PI": 0.04, "eta_TD": 0.05, "following": 0.7}
    circuit, draw = build(data, **settings), np.random.default_rng(3)
    for name, p in circuit.projections.items():
        if name.startswith(("PI", "IP", "b_")):
            p.w[...] = draw.normal(size=p.w.shape)
    for _ in range(2):
        before, changes, x, t = step(circuit, data)
        wanted = sweeps(before, x, t, BASE | settings)
        assert set(changes) == set(wanted)
        for name, change in changes.items():
            assert np.abs(change).max() > 1e-5, name
            np.testing.assert_allclose(change, wanted[name], rtol=1e-9, atol=1e-13, err_msg=name)


def test_without_a_target_a_self_predicting_circuit_has_silent_apical_dendrites(data):
    circuit = build(data)
    evaluate(circuit.tester, data.test_images, data.test_labels)
    for area in ("h1", "h2"):
        assert circuit.measures[f"apical_no_target_{area}"][0]().max() < 1e-14
    step(circuit, data)
    assert all(circuit.measures[f"apical_{area}"][0]().min() > 1e-3 for area in ("h1", "h2"))


def test_tests_name_the_class_of_the_largest_basal_potential(data):
    circuit = build(data)
    w = weights(circuit)
    evaluate(circuit.tester, data.test_images, data.test_labels)
    r = np.broadcast_to(data.test_images, (2, *data.test_images.shape))
    for name in ("h1", "h2", "y"):
        r = phi(r @ w[f"W_{name}"] + w[f"b_{name}"])
    np.testing.assert_allclose(circuit.tester.readout.error, (r.argmax(axis=-1) != data.test_labels).mean(axis=-1))


def apart(changes):
    """Return how far the changes of IP are from those of W, in units of these, for the two hidden areas."""
    pairs = (("IP_h1", "W_h2"), ("IP_h2", "W_y"))
    return np.array([np.linalg.norm(changes[a] - changes[b]) / np.linalg.norm(changes[b]) for a, b in pairs])


def test_interneurons_follow_the_forward_weights_to_first_order(data):
    """With all mixing l: phi'' d^2 / 2 is left, relative to phi' d of order d: d_N = l (t - v), d_2 of order l^2."""
    found = []
    for mixing in (0.02, 0.01):
        every = dict.fromkeys(MIXING, mixing)
        found.append(apart(step(build(data, **every), data)[1]))
    np.testing.assert_allclose(found[0] / found[1], [4 * (0.98 / 0.99) ** 2, 2 * 0.98 / 0.99], rtol=0.02)
    assert (found[1] < 0.01).all()
    lagging = apart(step(build(data, following=0.2, **every), data)[1])
    np.testing.assert_allclose(lagging, 0.8, rtol=0.01)


def test_what_sets_interneurons_apart_fades_at_the_rate_of_the_forward_weights(data):
    """De = -eta / F <phi' (e r) r>: the change of IP with a small e less that without."""
    every = dict.fromkeys(MIXING, 1e-3)
    circuits = [build(data, **every), build(data, **every)]
    e = 1e-6 * np.random.default_rng(2).normal(size=circuits[1].projections["IP_h2"].w.shape)
    circuits[1].projections["IP_h2"].w[...] += e
    (w, without, x, _), (_, with_e, _, _) = (step(each, data) for each in circuits)
    r = phi(phi(x @ w["W_h1"] + w["b_h1"]) @ w["W_h2"] + w["b_h2"])
    missed = slope(r @ w["W_y"] + w["b_y"]) * (r @ e)
    wanted = -BASE["eta"][2] / 1e-3 * np.swapaxes(r, 1, 2) @ missed / LANES
    difference = with_e["IP_h2"] - without["IP_h2"]
    assert np.linalg.norm(difference - wanted) < 0.01 * np.linalg.norm(wanted)


SMALL_MIXING = {"mixing_hidden": 1e-3, "mixing_output": 1e-3}  # that of interneurons stays, so that 1 - l_I is seen
FORWARD = [f"{kind}_{area}" for kind in "Wb" for area in ("h1", "h2", "y")]


def alike(found, wanted):
    """Assert that changes point within a degree of those wanted, and are as large within 1 %."""
    for name in FORWARD:
        a, b = (each[name].reshape(2, -1) for each in (found, wanted))
        assert angle(a, b).max() < 1, name
        np.testing.assert_allclose(np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1), 1, atol=0.01, err_msg=name)


def test_for_small_mixing_the_circuit_learns_as_feedback_alignment_through_its_top_down_weights(data):
    """Each area's rate divided by F_k makes up for its signal: the same changes from the same weights."""
    alike(step(build(data, **SMALL_MIXING), data)[1], step(build(data, algorithm=ALIGNMENT), data)[1])


def transpose_top_down(circuit):
    """Make TD the transposed forward weights, and PI what cancels it."""
    w = weights(circuit)
    for here, above in (("h1", "h2"), ("h2", "y")):
        back = np.swapaxes(w[f"W_{above}"], 1, 2)
        circuit.projections[f"TD_{here}"].w[...] = back
        if f"PI_{here}" in circuit.projections:
            circuit.projections[f"PI_{here}"].w[...] = -back
    return circuit


def test_with_top_down_weights_that_are_transposed_the_circuit_learns_as_backprop(data):
    backprop = step(build(data, algorithm=BACKPROP), data)[1]
    alike(step(transpose_top_down(build(data, **SMALL_MIXING)), data)[1], backprop)
    alignment = step(transpose_top_down(build(data, algorithm=ALIGNMENT)), data)[1]
    for name in FORWARD:
        np.testing.assert_allclose(alignment[name], backprop[name], rtol=1e-9, atol=1e-14)


def test_backprop_goes_down_the_loss(data):
    """L = phi(v) (v - t) - log(1 + exp v) has dL/dv = phi' (v - t); every 7th weight, by finite differences."""
    before, changes, x, t = step(build(data, algorithm=BACKPROP), data)

    def loss(w):
        r = x
        for name in ("h1", "h2", "y"):
            v = r @ w[f"W_{name}"] + w[f"b_{name}"]
            r = phi(v)
        return (r * (v - t) - np.logaddexp(0, v)).sum(axis=2).mean(axis=1)

    for name, eta in zip(FORWARD, 2 * BASE["eta"], strict=True):
        for place in list(np.ndindex(before[name].shape[1:]))[::7]:
            moved = []
            for shift in (1e-5, -1e-5):
                w = before | {name: before[name].copy()}
                w[name][:, *place] += shift
                moved.append(loss(w))
            gradient = (moved[0] - moved[1]) / 2e-5
            np.testing.assert_allclose(changes[name][:, *place], -eta * gradient, rtol=1e-5, atol=1e-10)


def test_learning_rates_fall_from_pass_to_pass_and_a_frozen_area_stays(data):
    first, third = build(data, frozen=1), build(data, frozen=1, decay=0.5)
    third.schedule(3)
    first, third = step(first, data)[1], step(third, data)[1]
    for name in first:
        np.testing.assert_allclose(third[name], 0.25 * first[name], rtol=1e-9, atol=1e-15)
        still = name in ("W_h1", "b_h1") or name.startswith(("TD", "PI"))
        assert first[name].any() != still, name


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name in MIXING for text in ("0", "1", "-0.1")]
    + [("rate_shown", "1"), ("rate_shown", "1.2"), ("rate_others", "0")],
)
def test_mixing_and_target_rates_lie_between_0_and_1(name, text):
    with pytest.raises(ParameterError, match=f"{name}: must be > 0 and < 1, got {text}"):
        MNIST.resolve("mnist", {name: text})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate_shown": 1.5}, r"rate_shown: .* between 0 and 1, the limits of the output's rate.*; got 1.5"),
        ({"rate_others": 0.9}, "rate_others: must be below rate_shown, 0.8, got 0.9"),
        ({"eta": (0.1, 0.1)}, "eta: one number for each of the 3 areas above the input is needed, got 2"),
        ({"top_down": (0.1,)}, "top_down: one number for each of the 2 hidden areas is needed, got 1"),
        ({"frozen": 3}, "frozen: the output at least must learn: at most 2, got 3"),
        ({"eta_PI": 0.1, "algorithm": BACKPROP}, "eta_PI: a rule of the microcircuit only; backprop needs 0"),
    ],
)
def test_values_that_do_not_go_together_are_refused(data, settings, message):
    with pytest.raises(ParameterError, match=message):
        build(data, **settings)


def test_rates_of_the_rules_are_divided_by_the_signal():
    """By hand: F = .2, .2 x .3 x .6, .2 x (.3 x .6)^2."""
    values = BASE | {"algorithm": MICROCIRCUIT}
    np.testing.assert_allclose(steady.signal(values), [0.00648, 0.036, 0.2])
    np.testing.assert_allclose(steady.rates(values), [0.03 / 0.00648, 0.02 / 0.036, 0.01 / 0.2])
