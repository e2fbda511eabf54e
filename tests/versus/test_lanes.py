"""Lanes are copies of the state that share the weights, replicas are networks: many at once are as good as one."""

import numpy as np
import pytest
from brian2 import ms

from neurosim import Population, Projection
from neurosim.connectivity import AllToAllButSelf, Convolution, Masked, Transposed
from neurosim.neurons import NeuronType
from neurosim.plasticity import deliver, passover

LEAKY = NeuronType(
    equations="""
    dv/dt = (drive - v) / tau : 1
    drive : 1
    unread : 1
    m : 1
    psi = tanh(v) : 1
    """
)
STEPS, LANES, REPLICAS, N_PRE, N_POST = 6, 4, 2, 5, 3


@pytest.fixture
def case():
    """Spikes and modulatory signals, (steps, replicas, lanes, n)."""
    draw = np.random.default_rng(5)
    spikes = draw.integers(0, 2, (STEPS, REPLICAS, LANES, N_PRE))
    return spikes, draw.normal(size=(STEPS, REPLICAS, LANES, N_POST))


@pytest.fixture
def simulate(given, play, every_step):
    """Return a function (spikes, signals, rule) -> (potentials after each step, change of the learning weights).

    Fixed weights drive the potentials, so that what the others learn does not act back on them.
    """

    def run(spikes, signals, rule):
        shape = dict(replicas=spikes.shape[1], lanes=spikes.shape[2], dtype=np.float64)
        x, h = given(N_PRE, **shape), Population(N_POST, LEAKY, order=1, namespace={"tau": 0.2 * ms}, **shape)
        weights = np.random.default_rng(6).normal(size=(REPLICAS, N_PRE, N_POST))
        fixed = Projection(x, h, "drive_post = w * s_pre", weights=weights)
        learns = Projection(x, h, "unread_post = w * s_pre", rule=rule, weights=weights)
        look, seen = every_step(x.clock, lambda: h.view("v").copy())
        play([x, h, fixed, learns, look], [(x, "s", spikes), (h, "m", signals)])
        return np.array(seen), learns.w - weights

    return run


def lane(array, k):
    return array[:, :, k : k + 1]


def test_each_lane_goes_the_way_that_it_goes_alone(simulate, case):
    """Four lanes by matrix products, one lane by rows of spikes: the same potentials to rounding."""
    spikes, signals = case
    together, _ = simulate(spikes, signals, None)
    for k in range(LANES):
        alone, _ = simulate(lane(spikes, k), lane(signals, k), None)
        np.testing.assert_allclose(lane(together, k), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "rule", ["w += 0.2 * s_pre * psi_post * m_post", "w += s_pre * m_post - 0.3 * (m_post + psi_post)"]
)
def test_change_with_lanes_is_the_sum_of_the_changes_of_single_lanes(simulate, case, rule):
    spikes, signals = case
    _, together = simulate(spikes, signals, rule)
    alone = [simulate(lane(spikes, k), lane(signals, k), rule)[1] for k in range(LANES)]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), rtol=0, atol=1e-12)
    assert np.abs(together - LANES * alone[0]).max() > 0.1


def test_decay_with_lanes_is_the_sum_of_the_decays_of_single_lanes_too(simulate, case):
    """In one step: both take the decay from the weights before it."""
    spikes, signals = (array[:1] for array in case)
    rule = "w += 0.2 * s_pre * m_post - 0.01 * w"
    _, together = simulate(spikes, signals, rule)
    alone = [simulate(lane(spikes, k), lane(signals, k), rule)[1] for k in range(LANES)]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), rtol=0, atol=1e-12)


def test_network_without_learning_has_the_same_firing_rates_in_any_number_of_lanes(lillicrap, tiny_data, every_step):
    """One image throughout: every neuron's rate in one lane and in eight, as many draws each, 5 standard errors."""
    data = tiny_data(n_inputs=5, train=1)

    def spikes(lanes, presentations):
        circuit = lillicrap(data, lanes=lanes, eta=0.0, gamma=0.0, w_width=2.0)
        circuit.feed(data.train_images, data.train_labels)
        circuit.readout.expect(data.train_labels)
        circuit.presentation.show(np.zeros((presentations, lanes), int))
        layers = [circuit.populations[name] for name in ("h1", "h2", "y")]
        look, seen = every_step(layers[0].clock, lambda: np.concatenate([p.view("s")[0] for p in layers], axis=1))
        circuit.network.add(look)
        circuit.network.run(circuit.presentation.remaining, namespace={})
        return np.concatenate(seen)

    one, eight = spikes(1, 800), spikes(8, 100)
    assert one.shape == eight.shape
    p, q, n = one.mean(axis=0), eight.mean(axis=0), len(one)
    # neighbouring steps share a tenth of the potential: allow the variance half more than that of independent draws
    assert (np.abs(p - q) < 5 * np.sqrt(1.5 * (p * (1 - p) + q * (1 - q)) / n)).all()
    assert np.ptp(p) > 0.2


HEBB = "w += 0.2 * m_pre * psi_post * m_post"
TRACE = "trace : 1\ntrace += m_pre * m_post - 0.1 * trace\nw += 0.1 * trace * psi_post"
MASKS = np.random.default_rng(8).random((5, 5, 3)) < 0.6
SAME = Convolution((5, 1, 1), (3, 1), 1, padding="same")
WAYS = {
    "product": dict(rule=HEBB),
    "decay": dict(rule=HEBB + " - 0.01 * w"),
    "spikes": dict(rule="w += 0.2 * s_pre * m_post", transmit="unread_post = w * s_pre"),
    "bounds": dict(rule=HEBB, bounds=(-0.5, 0.5)),
    "power of the weights": dict(rule=HEBB + " - 0.01 * w**3"),
    "both": dict(rule=HEBB + " - 0.01 * w**3", bounds=(-0.5, 0.5)),
    "product of the weights": dict(rule=HEBB + " - 0.01 * w * m_post * m_pre"),
    "variable of the synapse": dict(rule=TRACE),
    "masks": dict(rule=HEBB, connectivity=lambda r: Masked(MASKS[r])),
    "masks and more": dict(rule=HEBB + " - 0.01 * w * m_post * m_pre", connectivity=lambda r: Masked(MASKS[r])),
    "list": dict(rule=HEBB, connectivity=lambda r: Masked(MASKS[0], store="list"), shape=(5, MASKS[0].sum())),
    "convolution": dict(rule=HEBB, connectivity=lambda r: Convolution((5, 1, 1), (3, 1), 1), shape=(5, 3, 1, 1, 1)),
    "padded convolution": dict(rule=HEBB, connectivity=lambda r: SAME, shape=(5, 3, 1, 1, 1), n_post=5),
    "pairs": dict(rule=HEBB, connectivity=lambda r: AllToAllButSelf(), shape=(5, 1), n_post=5),
    "transformed": dict(rule=HEBB, transmit="unread_post = cos(w) * m_pre"),
    "masks transformed": dict(
        rule=HEBB, transmit="unread_post = cos(w) * m_pre", connectivity=lambda r: Masked(MASKS[r])
    ),
    "factor of the target": dict(rule=HEBB, transmit="unread_post = w * m_pre * psi_post"),
}
SIZED = {way for way, settings in WAYS.items() if "connectivity" in settings}


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(
    ("way", "n_pre"), [*((way, 5) for way in WAYS), *((way, 37) for way in WAYS if way not in SIZED)]
)
def test_each_replica_goes_the_way_that_it_goes_alone(way, n_pre, lanes, given, play, every_step, monkeypatch):
    """What is sent, learned and sent back.

    Together in tiles of 16 rows, which hold three replicas of 5 neurons, or parts of one of 37; alone in a single tile.
    """
    settings = {"transmit": "unread_post = w * m_pre", "connectivity": lambda r: None, "n_post": 3} | WAYS[way]
    n_post, transmit = settings.pop("n_post"), settings.pop("transmit")
    connectivity, shape = settings.pop("connectivity"), settings.pop("shape", (5, n_pre, n_post))
    draw = np.random.default_rng(9)
    spikes, inputs = draw.integers(0, 2, (STEPS, 5, lanes, n_pre)), draw.normal(size=(STEPS, 5, lanes, n_pre))
    signals, weights = draw.normal(size=(STEPS, 5, lanes, n_post)), draw.uniform(-0.5, 0.5, shape)
    fixed = draw.normal(size=(5, n_pre, n_post))

    def simulate(r):
        size = dict(replicas=len(weights[r]), lanes=lanes, dtype=np.float64)
        x, z = given(n_pre, **size), given(n_pre, order=2, **size)
        h = Population(n_post, LEAKY, order=1, namespace={"tau": 0.2 * ms}, **size)
        drive = Projection(x, h, "drive_post = w * s_pre", weights=fixed[r])
        learns = Projection(x, h, transmit, weights=weights[r], connectivity=connectivity(r), **settings)
        back = Projection(h, z, "m_post = w * v_pre", connectivity=Transposed(learns))
        look, seen = every_step(x.clock, lambda: np.concatenate([h.view("unread"), h.view("v"), z.view("m")], axis=2))
        before = learns.matrix()
        objects = [x, h, z, drive, learns, back, look]
        play(objects, [(x, "s", spikes[:, r]), (x, "m", inputs[:, r]), (h, "m", signals[:, r])])
        return np.array(seen), learns.matrix(), before

    with monkeypatch.context() as small:
        for module, name in ((deliver, "SCRATCH"), (passover, "SCRATCH"), (passover, "TILE")):
            small.setattr(module, name, 1)
        together, learned, _ = simulate(slice(0, 5))
    for r in range(5):
        alone, w, before = simulate(slice(r, r + 1))
        np.testing.assert_allclose(together[:, r : r + 1], alone, rtol=0, atol=1e-12)
        np.testing.assert_allclose(learned[r], w[0], rtol=0, atol=1e-12)
        assert np.abs(w - before).max() > 0.01 and (np.abs(alone).max(axis=(0, 1, 2)) > 0).mean() > 0.8
