"""Target propagation against slow NumPy, finite differences and theory: networks of Bartunov et al. 2018."""

import numpy as np
import pytest
from brian2 import seed

from neurosim import ParameterError
from neurosim.analysis import angle
from neurosim.connectivity import Backward, Local
from neurosim.data import DataSet
from neurosim.training import train
from neurosim_models.bartunov_2018 import inverse_study, network, units
from neurosim_models.bartunov_2018.network import (
    ADAM,
    ALGORITHMS,
    ALTERNATING,
    AO_SDTP,
    BP,
    BY_TARGETS,
    DFA,
    DTP,
    FA,
    ORTHOGONAL,
    PRESERVING,
    SDTP,
    TP,
    Full,
    LocalLayer,
)

CLASSES, IMAGE, LANES = 3, (4, 4, 1), 5
FULL = (Full(7), Full(6), Full(5))
LOCAL = (LocalLayer(2, 3, 2), LocalLayer(3, 2, 1, "valid"), Full(5))
SET = {
    "eta": 0.3,
    "output_step": 0.5,
    "eta_inverse": 0.2,
    "alpha": 0.4,
    "sigma": 0.3,
    "auxiliary": 4,
    "adam_eta": 0.02,
    "adam_eta_inverse": 0.01,
}


def pictures(count=12, image=IMAGE, draw=None):
    """Random images of three classes in turn."""
    draw = draw or np.random.default_rng(0)
    images = [draw.uniform(0, 1, (count, int(np.prod(image)))) for _ in range(2)]
    labels = np.arange(count) % CLASSES
    return DataSet("tiny", images[0], labels, images[1], labels, CLASSES, image, "drawn")


def values_of(algorithm, **more):
    values = {p.name: p.value for p in network.parameters(eta=0, eta_inverse=0, alpha=1, sigma=0, source="")}
    assert set(more) <= {*values, "lanes", "replicas"}
    return values | {"algorithm": algorithm, "lanes": LANES, "replicas": 2} | SET | more


def circuit_of(algorithm, architecture=FULL, data=None, linear=False, whole=False, **more):
    """Return a circuit in double precision with biases that are not zero; its copies too where it is to be whole."""
    values, options = values_of(algorithm, **more), dict(precision=np.float64, linear=linear)
    if whole:
        circuit = network.build(values, data or pictures(), 1, architecture, **options)
    else:
        circuit = network.Layers(values, data or pictures(), 1, architecture, **options).circuit()
    draw = np.random.default_rng(2)
    for name, projection in circuit.projections.items():
        if name[0] in "bc":
            projection.w[...] = draw.normal(0, 0.3, projection.w.shape)
    return circuit


def show(circuit, data, first=0):
    """Show every lane of every replica another image while the network learns; return images and labels."""
    shape = circuit.replicas, circuit.lanes
    shown = (first + np.arange(np.prod(shape)).reshape(shape)) % len(data.train_labels)
    circuit.feed(data.train_images, data.train_labels)
    circuit.readout.expect(data.train_labels)
    circuit.presentation.show(shown[None])
    circuit.set_training(True)
    circuit.network.run(circuit.presentation.remaining, namespace={})
    return data.train_images[shown], np.eye(CLASSES)[data.train_labels[shown]]


def matrices(circuit):
    """Return the weights of all projections that have some, (replicas, n_pre, n_post), by name."""
    return {each.name: each.matrix() for each in circuit.network.objects if getattr(each, "stored", None) is not None}


def noise(circuit):
    """Return the noisy activities of the last step, by layer."""
    populations = circuit.populations.items()
    return {name: each.view("n").copy() for name, each in populations if "n" in each.state_variables}


def softmax(v):
    return np.exp(v) / np.exp(v).sum(axis=-1, keepdims=True)


def transposed(w):
    return np.swapaxes(w, 1, 2)


def reference(algorithm, w, x, label, noisy, preserving=False, alpha=SET["alpha"]):
    """Return (gradient, with the sign of the change and the mean over lanes, by name, and what else there is)."""
    names = [name[2:] for name in w if name.startswith("W_") and name != "W_z"]
    names = [*sorted(names[:-1]), "y"] if names[-1] == "y" else [*sorted(n for n in names if n != "y"), "y"]
    hidden = names[:-1]
    h = {"x": x}
    for below, name in zip(["x", *hidden], names, strict=True):
        v = h[below] @ w[f"W_{name}"] + w[f"b_{name}"]
        h[name] = np.tanh(v) if name != "y" else softmax(v)
    last, error = hidden[-1], label - h["y"]
    m, target, g, q = {"y": error}, {"y": label}, {}, {}
    z = np.tanh(h[last] @ w["W_z"]) if algorithm == AO_SDTP else None
    for name, above in zip(hidden[::-1], names[:0:-1], strict=True):
        slope = 1 - h[name] ** 2
        if algorithm in BY_TARGETS and f"V_{name}" in w:
            more = name == last and z is not None
            rest = z @ w[f"V_{name}_z"] if more else 0
            g[name], back = (np.tanh(r[above] @ w[f"V_{name}"] + rest + w[f"c_{name}"]) for r in (h, target))
            target[name] = back if algorithm == TP else h[name] - g[name] + back
            v = noisy[name] @ w[f"W_{above}"] + w[f"b_{above}"]
            f = softmax(v) if above == "y" else np.tanh(v)
            fz = np.tanh(noisy[name] @ w["W_z"]) if more else None
            rest = fz @ w[f"V_{name}_z"] if more else 0
            q[name] = f, np.tanh(f @ w[f"V_{name}"] + rest + w[f"c_{name}"]), fz
            d = target[name] - h[name]
        elif algorithm == DTP:
            d = alpha * error @ transposed(w["W_y"])
            target[name] = h[name] + d
        else:
            back = {BP: (above, f"W_{above}"), FA: (above, f"B_{name}"), DFA: ("y", f"B_{name}")}[algorithm]
            d = m[back[0]] @ (transposed(w[back[1]]) if algorithm == BP else w[back[1]])
        m[name] = d * slope
    change = {}
    for below, name in zip(["x", *hidden], names, strict=True):
        change[f"W_{name}"] = transposed(h[below]) @ m[name] / LANES
        change[f"b_{name}"] = m[name].mean(axis=1, keepdims=True)
    for name, (f, guess, fz) in q.items():
        miss = ((noisy[name] if preserving else h[name]) - guess) * (1 - guess**2)
        change[f"V_{name}"] = transposed(f) @ miss / LANES
        change[f"c_{name}"] = miss.mean(axis=1, keepdims=True)
        if fz is not None:
            change[f"V_{name}_z"] = transposed(fz) @ miss / LANES
    return change, {"h": h, "m": m, "target": target, "g": g}


CASES = {algorithm: {"algorithm": algorithm} for algorithm in ALGORITHMS}
CASES |= {f"{each}, {PRESERVING}": {"algorithm": each, "inverse": PRESERVING} for each in (DTP, AO_SDTP)}
CASES |= {f"{each}, local": {"algorithm": each, "architecture": LOCAL} for each in (SDTP, BP, FA, DFA)}
CASES |= {f"{each}, {ADAM}": {"algorithm": each, "update": ADAM} for each in (SDTP, BP)}
CASES["dtp, local, adam"] = {"algorithm": DTP, "update": ADAM, "architecture": LOCAL}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_two_updates_equal_numpy(case):
    """All weights after two batches: plain steps along the mean, or Adam as its algorithm 1 has it."""
    data, circuit = pictures(), circuit_of(**case)
    algorithm, adam = case["algorithm"], case.get("update") == ADAM
    values = values_of(algorithm)
    mean, square = {}, {}
    for k in (1, 2):
        before = matrices(circuit)
        x, label = show(circuit, data, 10 * k)
        after = matrices(circuit)
        change, _ = reference(algorithm, before, x, label, noise(circuit), case.get("inverse") == PRESERVING)
        for name, g in change.items():
            exists = circuit.projections[name].layout.matrix(np.ones_like(circuit.projections[name].stored))
            end = "_inverse" if name[0] in "Vc" else ""
            if adam:
                b1, b2, tiny = (values[each + end] for each in ("b1", "b2", "tiny"))
                mean[name] = b1 * mean.get(name, 0) + (1 - b1) * g
                square[name] = b2 * square.get(name, 0) + (1 - b2) * g**2
                step = values[f"adam_eta{end}"] * np.sqrt(1 - b2**k) / (1 - b1**k)
                delta = step * mean[name] / (np.sqrt(square[name]) + tiny)
            else:
                delta = values[f"eta{end}"] * (values["output_step"] if name.endswith("_y") else 1) * g
            np.testing.assert_allclose(after[name] - before[name], delta * exists, rtol=1e-8, atol=1e-12, err_msg=name)
        still = set(before) - set(change)
        assert all(np.array_equal(before[name], after[name]) for name in still)
        assert still == {name for name in before if name[0] == "B" or name == "W_z"}
        assert all(np.abs(each).max() > 1e-4 for each in change.values())


def loss(w, x, label):
    """Return the cross-entropy, mean over lanes, of the first replica."""
    h = x[0]
    for name in ("h1", "h2", "h3"):
        h = np.tanh(h @ w[f"W_{name}"][0] + w[f"b_{name}"][0])
    return -(label[0] * np.log(softmax(h @ w["W_y"][0] + w["b_y"][0]))).sum(axis=-1).mean()


def test_backprop_goes_down_the_slope_of_the_cross_entropy():
    """Central differences at some weights of every layer."""
    data, circuit = pictures(), circuit_of(BP)
    before = matrices(circuit)
    x, label = show(circuit, data)
    after, step = matrices(circuit), 1e-5
    for name in before:
        for place in ((0, 0, 0), (0, -1, 2)):
            sides = []
            for sign in (1, -1):
                moved = {k: each.copy() for k, each in before.items()}
                moved[name][place] += sign * step
                sides.append(loss(moved, x, label))
            slope = (sides[0] - sides[1]) / (2 * step)
            rate = SET["eta"] * (SET["output_step"] if name.endswith("_y") else 1)
            assert (after[name] - before[name])[place] == pytest.approx(-rate * slope, rel=1e-6, abs=1e-10)


# Theory: linear units, square layers

SQUARE = (Full(4), Full(4), Full(4))


def exact(circuit, orthogonal=False):
    """Give the inverses of the two lower layers of a linear network the weights of exact ones."""
    draw = np.random.default_rng(3)
    for below, above in (("h1", "h2"), ("h2", "h3")):
        w = circuit.projections[f"W_{above}"].w
        w[...] = draw.normal(size=w.shape)
        if orthogonal:
            w[...] = np.linalg.qr(w)[0]
        circuit.projections[f"V_{below}"].w[...] = np.linalg.inv(w)
        b = circuit.projections[f"b_{above}"].w
        circuit.projections[f"c_{below}"].w[...] = -b @ np.linalg.inv(w)


def views(circuit, variable):
    return {name: each.view(variable) for name, each in circuit.populations.items() if variable in each.state_variables}


@pytest.mark.parametrize("algorithm", [DTP, SDTP])
def test_with_exact_inverses_the_correction_vanishes_and_targets_are_those_of_tp_and_gauss_newton(algorithm):
    """g(h_above) = h, so t = g(t_above): TP's; t - h = J^-1 (t - h of the highest): Meulemans et al. 2020."""
    data, circuit = pictures(), circuit_of(algorithm, SQUARE, linear=True)
    exact(circuit)
    w = matrices(circuit)
    show(circuit, data)
    h, d, u = (views(circuit, each) for each in ("h", "d", "u_target"))
    g = views(circuit, "g")
    for name, above in (("h1", "h2"), ("h2", "h3")):
        np.testing.assert_allclose(g[f"t{name[1]}"], h[name], atol=1e-12)
        np.testing.assert_allclose(h[name] + d[name], u[f"t{name[1]}"], atol=1e-12)
        np.testing.assert_allclose(d[name], d[above] @ np.linalg.inv(w[f"W_{above}"]), atol=1e-12)
    jacobian = w["W_h2"] @ w["W_h3"]
    np.testing.assert_allclose(d["h1"], d["h3"] @ np.linalg.inv(jacobian), atol=1e-12)
    backprop = d["h3"] @ transposed(jacobian)
    assert angle(d["h1"].reshape(2, -1), backprop.reshape(2, -1)).min() > 5  # not the gradient


def test_with_orthogonal_weights_exact_inverses_send_the_gradient_and_the_angle_is_zero():
    """W^-1 = W^T; DTP's steps are then alpha times backprop's."""
    data, circuit = pictures(), circuit_of(DTP, SQUARE, linear=True, whole=True)
    exact(circuit, orthogonal=True)
    for name in ("h1", "h2", "h3"):
        assert circuit.measures[f"angle_{name}"][0]() == pytest.approx(0, abs=1e-3)
    assert circuit.measures["missed_h1"][0]() == pytest.approx(0, abs=1e-20)
    w = matrices(circuit)
    x, label = show(circuit, data)
    h = views(circuit, "h")
    error = label - softmax(h["h3"] @ w["W_y"] + w["b_y"])
    sent = error @ transposed(w["W_y"]) @ transposed(w["W_h3"]) @ transposed(w["W_h2"])
    np.testing.assert_allclose(views(circuit, "d")["h1"], SET["alpha"] * sent, atol=1e-12)


def test_preserving_noise_learns_the_inverse_and_denoising_a_wiener_filter():
    """Fixed points of linear units: V = W^-1; or V = W^-1 (C + sigma^2)^-1 C, C the second moments of h (as rows)."""
    data, lanes = pictures(4000), 4000
    change = {}
    for kind in (PRESERVING, network.DENOISING):
        seed(5)
        circuit = circuit_of(SDTP, SQUARE, data, linear=True, inverse=kind, lanes=lanes, replicas=1, eta_inverse=1.0)
        exact(circuit)
        w = circuit.projections["W_h2"].w[0].copy()
        h = data.train_images @ circuit.projections["W_h1"].w[0] + circuit.projections["b_h1"].w[0]
        for wiener in (False, True):
            v, b = circuit.projections["V_h1"].w, circuit.projections["b_h2"].w[0]
            # rows of h extended by 1 for the bias: the filter of both together
            extended = np.hstack([h, np.ones((lanes, 1))])
            moments = extended.T @ extended / lanes
            noisy = moments + np.diag([*(SET["sigma"] ** 2 * np.ones(4)), 0])
            best = np.linalg.solve(noisy, moments)[:, :4] if wiener else np.eye(5)[:, :4]
            v[...] = np.linalg.inv(w) @ best[:4]
            circuit.projections["c_h1"].w[...] = best[4] - b @ v[0]
            before = v.copy()
            for each in ("W_h1", "b_h1", "W_h2", "b_h2"):
                circuit.projections[each].plastic = False
            show(circuit, data)
            change[kind, wiener] = np.abs(circuit.projections["V_h1"].w - before).max()
    assert change[PRESERVING, False] < 1e-12
    assert change[network.DENOISING, True] < 0.15 * change[network.DENOISING, False]
    assert change[network.DENOISING, True] < 0.15 * change[PRESERVING, True]


def test_a_learning_inverse_turns_to_the_gradient_and_away_from_it_again_as_theory_has_it():
    """Angle of one inverse between random square layers: from 90 to about 45 degrees, and up again as it gets exact."""
    found = {name: values for name, (values, _) in inverse_study.study({}, 1).items()}
    angles = found["angle"].mean(axis=1)
    np.testing.assert_allclose(angles, found["angle by theory"], atol=1)
    np.testing.assert_allclose(found["missed"].mean(axis=1), found["missed by theory"], rtol=0.15)
    assert angles[0] > 85 and angles.min() < 48 and angles[-1] > angles.min() + 10


# The circuit


@pytest.mark.parametrize("update", [network.PLAIN, ADAM])
def test_epochs_alternate_between_the_two_ways_and_adam_waits_for_its_own(update):
    """Odd epochs leave the way up as it is, even ones the way back, to the bit."""
    data = pictures()
    circuit = circuit_of(AO_SDTP, whole=True, schedule=ALTERNATING, update=update)
    before = matrices(circuit)
    for epoch in train(circuit, data, 2, 1):
        after = matrices(circuit)
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        up, back = set("Wb"), set("Vc")
        assert {name[0] for name in moved} == (set(), back, up)[epoch.number]
        if update == ADAM:
            filled = circuit.populations["h2"].view("filled1"), circuit.populations["t2"].view("filled1")
            assert [bool(each.any()) for each in filled] == [epoch.number > 1, epoch.number > 0]
            assert circuit.projections["W_h2"].view("F").any() == (epoch.number > 1)
        before = after


def test_networks_of_all_algorithms_start_alike_and_a_seed_gives_the_same_again():
    first = [matrices(circuit_of(algorithm, update=update)) for algorithm in ALGORITHMS for update in ("plain", ADAM)]
    seen = {}
    for each in first:  # FA and DFA have other feedback, and biases are the test's own
        assert all(np.array_equal(seen.setdefault(name, w), w) for name, w in each.items() if name[0] in "WV")
    assert {"W_h1", "W_y", "V_h1", "V_h3", "V_h3_z", "W_z"} < set(seen)
    assert not np.array_equal(first[0]["W_h2"][0], first[0]["W_h2"][1])


def test_measures_are_those_of_numpy_and_learning_does_not_see_them():
    """Angle of m to backprop's, and the fraction of variance that the way back misses, on the first images."""
    data, circuit = pictures(), circuit_of(SDTP, whole=True)
    w = matrices(circuit)
    found = {name: measure() for name, (measure, _) in circuit.measures.items()}
    x = np.repeat(data.train_images[None, :LANES], 2, axis=0)
    label = np.repeat(np.eye(CLASSES)[data.train_labels[None, :LANES]], 2, axis=0)
    _, told = reference(
        SDTP,
        w,
        x,
        label,
        {name: 0 * x[..., :1] for name in ("h1", "h2", "h3")}
        | {name: np.zeros((2, LANES, n)) for name, n in (("h1", 7), ("h2", 6), ("h3", 5))},
    )
    _, sent = reference(BP, w, x, label, {})
    for name in ("h1", "h2", "h3"):
        m, best = (each["m"][name].reshape(2, -1) for each in (told, sent))
        np.testing.assert_allclose(found[f"angle_{name}"], angle(m, best), rtol=1e-9)
        h, g = told["h"][name], told["g"][name]
        spread = ((h - h.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
        np.testing.assert_allclose(found[f"missed_{name}"], ((h - g) ** 2).sum(axis=(1, 2)) / spread, rtol=1e-9)
    assert all(np.array_equal(each, w[name]) for name, each in matrices(circuit).items())


def transport(circuit):
    """Return the names of projections along which weights are transported."""
    found = [each for each in circuit.network.objects if hasattr(each, "explain") and "TRANSPORT" in each.explain()]
    return {each.name for each in found}


def test_weights_are_transported_by_backprop_and_for_the_last_hidden_target_of_dtp_only():
    assert transport(circuit_of(BP)) == {"WT_h1", "WT_h2", "WT_h3"}
    assert transport(circuit_of(DTP)) == {"WT_h3"}
    for algorithm in (TP, SDTP, AO_SDTP, FA, DFA):
        assert not transport(circuit_of(algorithm))


def test_what_cannot_be_is_refused():
    circuit = circuit_of(SDTP)
    h, w = circuit.populations, circuit.projections["W_h2"]
    told = r"inverse of W_h2 must lead from 6 to 7 units, the shape of W_h2 reversed; h3 and t1 have 5 and 7"
    with pytest.raises(ParameterError, match=told):
        network.inverse(w, h["h3"], h["t1"], units.DOWN, weights=np.zeros((5, 7)))
    with pytest.raises(ParameterError, match=r"weights: the shape must be \(6, 7\)"):
        network.inverse(w, h["h2"], h["t1"], units.DOWN, weights=np.zeros((7, 6)))
    with pytest.raises(ParameterError, match="schedule: bp has no way back that learns.*parallel"):
        circuit_of(BP, whole=True, schedule=ALTERNATING)
    with pytest.raises(ParameterError, match="init: local layers have no matrix.*glorot"):
        circuit_of(SDTP, LOCAL, init=ORTHOGONAL)
    with pytest.raises(ParameterError, match="local layer h2 needs an image below it, not h1"):
        circuit_of(SDTP, (Full(4), LocalLayer(2, 3)))
    local = circuit_of(SDTP, LOCAL).projections
    assert isinstance(local["W_h1"].connectivity, Local) and isinstance(local["V_h1"].connectivity, Backward)
    assert local["V_h1"].matrix().shape == transposed(local["W_h2"].matrix()).shape


def test_orthogonal_weights_are_so():
    w = circuit_of(DTP, init=ORTHOGONAL).projections
    rows = w["W_h1"].w[0], w["V_h1"].w[1]
    np.testing.assert_allclose(rows[0].T @ rows[0], np.eye(7), atol=1e-12)
    np.testing.assert_allclose(rows[1] @ rows[1].T, np.eye(6), atol=1e-12)
