"""Areas whose top-down synapses learn behind lateral inhibition: their steps, what TD finds, what release does."""

import numpy as np
import pytest
from brian2 import Clock, Network, ms, nS

from neurosim import data
from neurosim.errors import ParameterError
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.projection import Projection
from neurosim.training import train
from neurosim_models.sacramento_2018 import disinhibition_study as study
from neurosim_models.sacramento_2018.disinhibition import DISINHIBITION, TRACKING, UNTRACKED, build
from neurosim_models.sacramento_2018.disinhibition_network import PYRAMIDAL, Areas, basal, potential, rate
from neurosim_models.sacramento_2018.network import FROM_ABOVE


def values(**more):
    """Return the defaults for digits, of one replica, with some of them changed."""
    return {**DISINHIBITION.resolve("digits", {}), "replicas": 1, **more}


def conductances(chosen):
    """Return g_lk, g_B, g_A, g_D, g_som as rates in 1/ms: the capacitance is 1 pF."""
    return (float(chosen[name] / nS) for name in ("g_lk", "g_B", "g_A", "g_D", "g_som"))


class Transcription:
    """The areas in NumPy, double precision, one replica."""

    def __init__(self, areas):
        self.values, self.areas = areas.values, areas
        self.w = {name: p.w[0].astype(float) for name, p in areas.projections.items()}
        self.delta = {name: np.zeros_like(w) for name, w in self.w.items()}
        lanes = areas.values["lanes"]
        self.u = {p.name: np.zeros((lanes, p.n)) for p in areas.populations}
        received = "v_B", "v_TD", "v_PI", "v_D", "taught"
        self.v = {name: dict.fromkeys(received, np.zeros_like(u)) for name, u in self.u.items()}
        self.names = [p.name for p in areas.areas]

    def step(self, image, target, learns):
        """Take one Euler step of all somas, deliver, and learn."""
        chosen, dt = self.values, float(self.values["dt"] / ms)
        g_lk, g_B, g_A, g_D, g_som = conductances(chosen)
        self.v["v"]["v_B"] = image
        new = {}
        for name, u in self.u.items():
            v = self.v[name]
            if name.startswith("i_"):
                drive = g_D * (v["v_D"] - u) + g_som * (v["taught"] - u)
            elif name == "y":
                drive = g_B * (v["v_B"] - u) + g_som * (target - u)
            else:
                drive = g_B * (v["v_B"] - u) + g_A * (v["v_TD"] + v["v_PI"] - u)
            new[name] = u + dt * (drive - g_lk * u)
        self.u = new
        r = {name: rate(u, chosen) for name, u in new.items()}
        send = lambda name, source: r[source] @ self.w[name] + self.w[f"{name}_bias"]  # noqa: E731
        for here, above in zip(self.names[:-1], self.names[1:], strict=True):
            self.v[above]["v_B"] = send(f"W_{above}", here)
            self.v[here]["v_TD"], self.v[here]["v_PI"] = send(f"TD_{here}", above), send(f"PI_{here}", f"i_{here}")
            self.v[f"i_{here}"]["v_D"], self.v[f"i_{here}"]["taught"] = send(f"IP_{here}", here), new[above]
        if not learns:
            return
        following = chosen["eta_W"] * (g_lk + g_D + g_som) / g_som
        for here, above in zip(self.names[:-1], self.names[1:], strict=True):
            i, share = f"i_{here}", g_B / (g_lk + g_B + (0 if above == "y" else g_A))
            changes = {
                f"W_{above}": (here, r[above] - rate(share * self.v[above]["v_B"], chosen), chosen["eta_W"]),
                f"IP_{here}": (here, r[i] - rate(g_D / (g_lk + g_D) * self.v[i]["v_D"], chosen), following),
                f"PI_{here}": (i, -(self.v[here]["v_TD"] + self.v[here]["v_PI"]), chosen["eta_PI"]),
                f"TD_{here}": (above, r[here] - rate(self.v[here]["v_TD"], chosen), chosen["eta_TD"]),
            }
            for name, (source, error, eta) in changes.items():
                for each, pre in ((name, r[source]), (f"{name}_bias", np.ones((len(image), 1)))):
                    old = self.delta[each]
                    self.w[each] = self.w[each] + dt * eta * old
                    self.delta[each] = old + dt / float(chosen["tau_w"] / ms) * (pre.T @ error / len(image) - old)


def test_every_step_is_that_of_the_equations(tiny_data):
    """Two hidden areas, four presentations: potentials, weights of all kinds and biases; none change in the lag."""
    chosen = values(hidden=(4, 3), lanes=2, eta_W=2.0, eta_TD=1.0, eta_PI=1.5)
    tiny = tiny_data(n_inputs=5, n_classes=3)
    areas = Areas(chosen, 5, 3, seed=1)
    circuit, twin = areas.circuit(), Transcription(areas)
    start = {name: w.copy() for name, w in twin.w.items()}
    circuit.feed(tiny.train_images, tiny.train_labels)
    circuit.readout.expect(tiny.train_labels)
    order = np.arange(8).reshape(4, 2)
    areas.shown.show(order)
    circuit.network.run(areas.shown.remaining, namespace={})
    steps, lag = round(chosen["pattern"] / chosen["dt"]), round(chosen["lag"] / chosen["dt"])
    for shown in order:
        image = basal(tiny.train_images[shown].astype(float), chosen)
        target = np.where(np.eye(3)[tiny.train_labels[shown]] > 0, *(potential(r, chosen) for r in (0.8, 0.1)))
        for k in range(steps):
            twin.step(image, target, learns=k >= lag)
    for population in areas.populations:
        assert np.allclose(population.view("u")[0], twin.u[population.name], atol=2e-5), population.name
    for name, projection in areas.projections.items():
        assert np.allclose(projection.w[0], twin.w[name], atol=2e-5), name
        assert np.abs(twin.w[name] - start[name]).max() > 1e-3, name


def test_start_is_silent_for_any_image_and_stays_silent_while_nothing_learns(tiny_data):
    """PI = -TD and IP = f W: without a target v_A = 0 in all areas, where top-down input is not."""
    chosen = values(hidden=(6, 5), lanes=4)
    areas = Areas(chosen, 7, 3, seed=2, learns=False)
    areas.v.view("v_B")[...] = np.random.default_rng(0).normal(size=(4, 7))
    Network(*areas.objects).run(20 * ms, namespace={})
    for each in areas.inhibited:
        assert np.abs(each.view("v_TD") + each.view("v_PI")).max() < 1e-5 < 0.05 < np.abs(each.view("v_TD")).max()


def predicted(contrast, code, steps=4000):
    """Return (u of the target, v_TD) after TD and its bias have learned to predict the target from a code."""
    chosen = values(contrast=contrast)
    clock = Clock(chosen["dt"])
    shape = dict(order=0, lanes=len(code), clock=clock, dtype=np.float64)
    known = {name: chosen[name] for name in ("g_lk", "g_B", "slope", "theta")}
    known |= {"C": chosen["capacitance"], "g_A": 0 * nS}
    above = Population(code.shape[1], NeuronType("r : 1"), **shape)
    here = Population(4, PYRAMIDAL, namespace=known, **shape)
    above.view("r")[...] = code
    here.view("v_B")[...] = contrast * np.random.default_rng(3).uniform(-1, 1, (len(code), 4))
    td = Projection(
        above, here, FROM_ABOVE, library.TOP_DOWN, weights=np.zeros((code.shape[1], 4)),
        namespace={"eta": 1 / len(code) / ms, "tau_w": 0.25 * ms},
    )  # fmt: skip
    Network(above, here, td).run(steps * clock.dt, namespace={})
    return here.view("u")[0].copy(), here.view("v_TD")[0].copy(), chosen


def test_top_down_prediction_is_that_of_least_squares_for_small_potentials():
    """Where phi is linear the delta rule ends at numpy's lstsq of u on the rates above, one of which is always 1."""
    code = np.column_stack([np.random.default_rng(4).uniform(0, 1, (12, 3)), np.ones(12)])
    u, v_TD, _ = predicted(0.02, code)
    best = code @ np.linalg.lstsq(code, u, rcond=None)[0]
    assert np.abs(u - best).max() > 5e-3 and np.allclose(v_TD, best, atol=2e-5)


def test_a_class_alone_predicts_the_mean_rates_of_its_images():
    """With one cell a class, phi(v_TD) is the mean of phi(u) over the class, also where phi is not linear."""
    labels = np.arange(12) % 3
    u, v_TD, chosen = predicted(1.5, np.eye(3)[labels])
    rates = rate(u, chosen)
    means = np.array([rates[labels == k].mean(axis=0) for k in range(3)])
    assert np.allclose(rate(v_TD, chosen), means[labels], atol=1e-4)
    assert np.abs(rate(np.array([u[labels == k].mean(axis=0) for k in range(3)]), chosen) - means).max() > 0.01


def settled(network, areas, v_B):
    """Return the potentials of the visible area with this input, at rest."""
    areas.v.view("v_B")[...] = v_B
    network.run(60 * ms, namespace={})
    return areas.v.view("u").copy()


def test_the_last_share_keeps_potentials_where_the_prediction_is_right(tiny_data):
    """v_TD = u, set by biases: with s = g_lk / (g_lk + g_A) u stays a v_B; with s = 1 it grows by 1 / (1 - lambda)."""
    chosen = values(hidden=(3,), lanes=1)
    g_lk, g_B, g_A, *_ = conductances(chosen)
    assert chosen["shares"][-1] == pytest.approx(g_lk / (g_lk + g_A), abs=2e-4)
    learner, copy = (Areas(chosen, 6, 2, seed=1, learns=False) for _ in range(2))
    v_B = np.linspace(-1, 1, 6)
    inhibited, network = settled(Network(*learner.objects), learner, v_B), Network(*copy.objects)
    assert np.allclose(inhibited, g_B / (g_lk + g_B + g_A) * v_B, atol=1e-5)
    gain = (g_lk + g_B + g_A) / (g_lk + g_B)
    for share, u in ((g_lk / (g_lk + g_A), inhibited), (1.0, gain * inhibited)):
        learner.projections["TD_v"].w[...], learner.projections["TD_v_bias"].w[...] = 0, u[:, 0, None]
        copy.take(learner, inhibited=False, share=share)
        assert np.allclose(settled(network, copy, v_B), u, atol=1e-5)
        assert learner.v.namespace["g_B"] == chosen["g_B"] and learner.projections["PI_v"].w.any()
    assert gain == pytest.approx(1 / (1 - g_A / (g_lk + g_B + g_A)))


def test_noise_is_what_it_is_called():
    generator = np.random.default_rng(0)
    images = generator.uniform(0.2, 0.8, (200, 64))
    assert np.std(study.spoil(images, "gaussian", 0.5, generator) - images) == pytest.approx(0.5, rel=0.03)
    salted = study.spoil(images, "salt and pepper", 0.3, generator)
    changed = salted != images
    assert changed.mean() == pytest.approx(0.3, abs=0.02) and set(salted[changed]) == {0.0, 1.0}
    assert salted[changed].mean() == pytest.approx(0.5, abs=0.03)
    hidden = study.spoil(images, "hidden rows", 0.25, generator).reshape(200, 8, 8)
    assert not hidden[:, 6:].any() and np.array_equal(hidden[:, :6], images.reshape(200, 8, 8)[:, :6])


def test_linear_cleaning_is_optimal_for_gaussian_images():
    """Of images with independent pixels of variance c the estimate is mean + c / (c + sd^2) (x - mean)."""
    generator = np.random.default_rng(1)
    spread = np.array([0.5, 1.0, 2.0])
    train = 1 + spread * generator.standard_normal((200_000, 3))
    noisy = generator.standard_normal((5, 3))
    expected = 1 + spread**2 / (spread**2 + 0.7**2) * (noisy - 1)
    assert np.allclose(study.linear_cleaning(train, noisy, 0.7), expected, atol=0.02)


EPOCHS = {TRACKING: 16, UNTRACKED: 2}


@pytest.fixture(scope="module")
def learned():
    """Return (measures, sizes) of small networks that have learned digits, by condition."""
    digits = data.load("digits").limit(400)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "IMAGES", 40)
        for condition in (TRACKING, UNTRACKED):
            chosen = values(epochs=EPOCHS[condition], clean_every=100, hidden=(30,), lanes=20)
            chosen |= DISINHIBITION.conditions[condition]
            epochs = train(build(chosen, digits, 1), digits, chosen["epochs"], 1)
            found[condition] = [epoch.measures for epoch in epochs]
    return found


def test_inhibition_tracks_while_top_down_synapses_learn(learned):
    """Apical potentials stay below a fifth of the top-down input; where PI does not learn they are as large as it."""
    for area in ("v", "h1"):
        both = [(m[f"apical_{area}_test"], m[f"top_down_{area}_test"]) for m in learned[TRACKING]]
        assert all(apical < 0.2 * top_down for apical, top_down in both)
        last = learned[UNTRACKED][-1]
        assert last[f"apical_{area}_test"] > 0.8 * last[f"top_down_{area}_test"]


def test_images_are_cleaned_without_inhibition_and_classes_make_their_means(learned):
    """With strong noise correlations rise, the more the smaller the share; without noise they fall a little."""
    last = learned[TRACKING][-1]
    kinds = {each: k for k, each in enumerate(study.NOISE)}
    strong = [kinds["gaussian", 0.8], kinds["salt and pepper", 0.4], kinds["hidden rows", 0.5]]
    correlation = last["correlation"][0]
    assert (np.diff(correlation[:, strong[0]]) > 0.02).all()
    assert (correlation[-1, strong] > last["correlation_noisy"][0, strong] + 0.1).all()
    clean = correlation[:, kinds["gaussian", 0.0]]
    assert clean[0] > 0.98 and (np.diff(clean) < 0).all() and clean[-1] > 0.8
    assert (last["correlation_linear"][0, :6] >= correlation[:, :6].max(axis=0) - 0.02).all()
    assert (last["unsettled"] < 0.05).all()
    alike = last["generated_correlation"][0, -1]
    assert (alike.argmax(axis=-1) == np.arange(10)).mean() >= 0.6 and np.diag(alike).mean() > 0.85
    assert np.allclose(last["course"][0, :, :, -1], correlation[1:], atol=1e-6)


def test_images_are_cleaned_after_the_epochs_that_are_due_only(learned):
    """Before learning and after the last epoch; zeros of the same shape between."""
    measured = [m["correlation"].any() for m in learned[TRACKING]]
    assert measured == [True, *[False] * (EPOCHS[TRACKING] - 1), True]
    assert len({m["correlation"].shape for m in learned[TRACKING]}) == 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"shares": "1,1.5"}, "shares: must lie between 0 and 1"),
        ({"tau_w": "0.1*ms"}, "tau_w = 0.1 ms, .* is below dt = 0.25 ms"),
        ({"dt": "1*ms", "tau_w": "2*ms"}, "below dt = 1 ms.*Euler"),
        ({"lag": "5*ms"}, "lag: must be shorter than the pattern"),
        ({"E_exc": "0.2"}, "targets: potentials must lie between"),
        ({"g_A": "-1*nS"}, "g_A: must be >= 0"),
    ],
)
def test_refusals_name_what_is_wrong(tiny_data, settings, complaint):
    tiny = tiny_data(n_inputs=9)
    with pytest.raises(ParameterError, match=complaint):
        circuit = build(DISINHIBITION.resolve("digits", settings) | {"replicas": 1, "lanes": 2}, tiny, 1)
        circuit.feed(tiny.train_images, tiny.train_labels)


def test_images_that_are_not_square_are_refused(tiny_data):
    with pytest.raises(ParameterError, match="square images of one channel are needed.*got 10 pixels"):
        build(values(lanes=2), tiny_data(n_inputs=10), 1)
