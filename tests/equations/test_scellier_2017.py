"""Scellier and Bengio 2017: the simulated network goes down its energy and learns the gradient of its loss.

What it does is held against an independent description (models/scellier_2017/theory.py) and a loop over the authors'
algorithm, both in double precision; that description against finite differences and SciPy.
"""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from neurosim.errors import NotSettledError, ParameterError
from neurosim.neurons import NeuronType
from neurosim.training import train
from neurosim_models.scellier_2017 import dynamics_study, gradient_study, network
from neurosim_models.scellier_2017.dynamics import DYNAMICS
from neurosim_models.scellier_2017.gradient import GRADIENT
from neurosim_models.scellier_2017.gradient_study import Example
from neurosim_models.scellier_2017.network import CENTRED, POSITIVE, RANDOM_SIGN, SYMMETRIC
from neurosim_models.scellier_2017.probe import Probe, chain_of, shown_to
from neurosim_models.scellier_2017.theory import Chain

SIZES = (5, 6, 4, 3)  # input, two hidden layers, output


def draw(gain=0.5, seed=1, sizes=SIZES):
    """Return a chain whose units mostly lie within the borders; its steps are a contraction if the gain is small."""
    generator = np.random.default_rng(seed)
    pairs = list(zip(sizes, sizes[1:], strict=False))
    weights = [gain * generator.normal(0, np.sqrt(2 / (n + m)), (n, m)) for n, m in pairs]
    return Chain(weights, [generator.uniform(0.1, 0.6, m) for _, m in pairs])


@pytest.fixture(scope="module")
def chain():
    """A chain that comes to rest within 250 steps, two or three units of it at a border."""
    return draw()


@pytest.fixture(scope="module")
def data(tiny_data):
    return tiny_data(n_inputs=5, n_classes=3, train=9, test=4)


@pytest.fixture(scope="module")
def inside(chain, data):
    """Examples for which no unit crosses a border up to a beta of +-0.1."""
    return [each for each in (Example(chain, data, k) for k in range(9)) if each.holds(0.1)]


REST = dict(free_steps=250, nudged_steps=250)


# The description that the network is held against


def test_energy_is_what_the_steps_go_down(chain, data):
    """h - A s is -dF/ds by finite differences of F written term by term, in both phases."""
    x, target = shown_to(data, 2)
    s = np.random.default_rng(0).uniform(size=13)
    for beta in (0.0, 0.7):
        slope = [
            (chain.energy(s + step, x, target, beta) - chain.energy(s - step, x, target, beta)) / 2e-5
            for step in 1e-5 * np.eye(13)
        ]
        force = chain.drive(x, target, beta) - chain.matrix(beta) @ s
        np.testing.assert_allclose(force, -np.array(slope), atol=1e-8)


def test_fixed_point_is_the_minimum_of_the_energy_in_the_box(chain, data):
    """Against SciPy's bounded least squares, where the energy is convex."""
    for example, beta in ((0, 0.0), (4, 0.5)):
        x, target = shown_to(data, example)
        root = np.linalg.cholesky(chain.matrix(beta)).T
        found = lsq_linear(root, np.linalg.solve(root.T, chain.drive(x, target, beta)), (0, 1), tol=1e-14).x
        np.testing.assert_allclose(chain.settle(x, target, beta), found, atol=1e-6)


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_implicit_gradient_is_the_finite_difference_of_the_loss_at_the_fixed_point(data, gain):
    """Along random directions of all weights and biases, with units at borders."""
    chain, generator, held = draw(gain), np.random.default_rng(3), 0
    for example in range(3):
        x, target = shown_to(data, example)
        s = chain.settle(x)
        held += chain.still(s).sum()
        for _ in range(2):
            w = [generator.normal(size=each.shape) for each in chain.weights]
            b = [generator.normal(size=each.shape) for each in chain.biases]

            def loss(step, w=w, b=b, x=x, target=target, s=s):
                weights = [each + step * d for each, d in zip(chain.weights, w, strict=True)]
                moved = Chain(weights, [each + step * d for each, d in zip(chain.biases, b, strict=True)])
                return moved.cost(moved.settle(x, start=s), target)

            along = np.concatenate([each.ravel() for pair in zip(w, b, strict=True) for each in pair])
            slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
            assert slope == pytest.approx(chain.gradient(s, x, target) @ along, rel=1e-5, abs=1e-8)
    assert held > 2


def test_output_held_at_a_border_has_no_gradient_but_answers_to_a_nudge_that_is_strong_enough():
    """One output, driven to -0.1, its target 1: y(beta) = (2 beta - 0.1) / (1 + 2 beta) from beta = 0.05 on."""
    chain, x, target = Chain([np.array([[-0.1]])], [np.zeros(1)]), np.ones(1), np.ones(1)
    s = chain.settle(x)
    assert not s.any() and not chain.gradient(s, x, target).any()
    assert not chain.contrast(s, x, target, 0.049).any()
    for beta in (0.06, 0.5):
        y = (2 * beta - 0.1) / (1 + 2 * beta)
        np.testing.assert_allclose(chain.contrast(s, x, target, beta), y / beta)
    assert chain.holds(s, x, target, 0.049) and not chain.holds(s, x, target, 0.051)


# Relaxing


def test_network_takes_the_same_steps_in_every_phase_of_every_presentation(chain, data):
    """Euler steps along W and W^T, all layers from old values; the second showing starts from 0 as the first did."""
    probe = Probe(chain, data, [3, 7], [0.4, -0.2], centred=True, free_steps=6, nudged_steps=5)
    for _ in range(2):
        states = probe.states()
        for replica, beta in enumerate((0.4, -0.2)):
            for lane, example in enumerate((3, 7)):
                x, target = shown_to(data, example)
                free = chain.steps(np.zeros(13), x, 0.5, 6)
                nudged, opposite = (chain.steps(free[-1], x, 0.5, 5, target, sign * beta) for sign in (1, -1))
                wanted = np.concatenate([free[1:], nudged[1:], opposite[1:]])
                np.testing.assert_allclose(states[:, replica, lane], wanted, atol=1e-13)


def test_energy_falls_in_every_step_below_the_bound_and_need_not_above(data):
    """epsilon < 2 / Lambda. Strong weights and long steps: units flip together, and the energy goes up and down."""
    for gain, falls in ((0.5, True), (6.0, False)):
        chain = draw(gain)
        epsilon = 0.5 if falls else 1.0
        assert (epsilon < chain.longest_step(0.5)) == falls
        states = Probe(chain, data, range(9), [0.5], epsilon=epsilon, free_steps=30, nudged_steps=30).states()[:, 0]
        rises = []
        for lane in range(9):
            x, target = shown_to(data, lane)
            free = [chain.energy(s, x) for s in states[:30, lane]]
            nudged = [chain.energy(s, x, target, 0.5) for s in states[29:, lane]]
            rises += [np.diff(free).max(), np.diff(nudged).max()]
        assert (max(rises) < 1e-12) == falls


def test_what_is_left_shrinks_as_the_slowest_mode_of_units_within_the_borders(chain, data):
    states = Probe(chain, data, [2], [0.1], free_steps=60, nudged_steps=1).states()[:60, 0, 0]
    s = chain.settle(shown_to(data, 2)[0])
    left = np.linalg.norm(states - s, axis=1)
    assert left[55] / left[45] == pytest.approx(chain.rate(s, 0.5) ** 10, rel=0.02)


def test_nudge_moves_the_layer_k_below_the_output_k_steps_later_by_what_the_weights_lead_on(chain, data):
    example = Example(chain, data, 2)
    states = Probe(chain, data, [2], [0.3], free_steps=250, nudged_steps=3).states()[249:, 0, 0]
    predicted = dynamics_study.first_moves(example, 0.5, 0.3)
    layers = np.split(np.arange(13), np.cumsum(chain.sizes)[:-1])[::-1]
    for k, units in enumerate(layers):
        assert np.abs(predicted[k]).max() > 1e-4
        np.testing.assert_allclose(states[: k + 1, units], states[[0] * (k + 1)][:, units], atol=1e-12)
        np.testing.assert_allclose((states[k + 1] - states[0])[units], predicted[k][units], atol=1e-12)
    closer = [chain.cost(s, example.target) for s in states]
    assert (np.diff(closer) < 0).all()


def test_free_phase_that_ends_early_leaves_less_than_a_contraction_can(data):
    """All moves below 1e-3 in the step that was looked at: the rest is at most q / (1 - q) sqrt(n) 1e-3 away."""
    chain = draw(0.3)
    q = chain.rate(chain.settle(shown_to(data, 0)[0]), 0.5, everywhere=True)
    bound = q / (1 - q) * np.sqrt(13) * 1e-3
    assert q < 0.8 and bound < 0.02
    probe = Probe(chain, data, range(9), [0.1], free_steps=200, nudged_steps=1, tolerance=1e-3)
    seen = []
    probe.show(lambda: seen.append(np.concatenate([each.view("s")[0] for each in probe.layers.layers], axis=-1)))
    assert 5 < len(seen) - 1 == probe.circuit.settling.steps < 50
    wanted = np.array([chain.settle(shown_to(data, k)[0]) for k in range(9)])
    assert 1e-6 < np.linalg.norm(seen[-2] - wanted, axis=1).max() < bound


# Learning


@pytest.fixture(scope="module")
def updates(chain, data, inside):
    """Updates of examples that stay within the borders, from beta to (one-sided, centred), at rest."""
    betas = np.array([0.001, 0.003, 0.01, 0.03, -0.01, 0.1])
    shown = [each.example for each in inside]
    pair = [Probe(chain, data, shown, betas, centred, **REST).update() for centred in (False, True)]
    return betas, *pair


def test_update_becomes_the_gradient_with_beta_and_centred_with_its_square(chain, inside, updates):
    """Slopes within 0.1 of 1 and 2; and the first term of the expansion is most of the error."""
    betas, *found = updates
    wanted = -np.mean([each.gradient() for each in inside], axis=0)
    terms = np.mean([chain.expansion(each.s, each.x, each.target, 2) for each in inside], axis=0)
    np.testing.assert_allclose(terms[0], wanted, atol=1e-14)
    for order, update in zip((1, 2), found, strict=True):
        error = np.linalg.norm(update - wanted, axis=1)[:4]
        slope = np.polyfit(np.log(betas[:4]), np.log(error), 1)[0]
        assert slope == pytest.approx(order, abs=0.1)
        np.testing.assert_allclose(
            (update[1] - wanted) / betas[1] ** order, terms[order], atol=0.05 * np.abs(terms).max()
        )
    assert np.linalg.norm(found[1][0] - wanted) < 1e-5 * np.linalg.norm(wanted)


def test_centred_update_is_the_mean_of_both_signs(updates):
    betas, one_sided, centred = updates
    assert betas[2] == -betas[4]
    np.testing.assert_allclose(centred[2], 0.5 * (one_sided[2] + one_sided[4]), atol=1e-11)
    np.testing.assert_allclose(centred[4], centred[2], atol=1e-11)


def test_update_is_the_one_of_exact_fixed_points_also_where_units_cross(chain, data):
    shown, beta = range(9), 1.0
    assert not all(Example(chain, data, k).holds(beta) for k in shown)
    for centred in (False, True):
        update = Probe(chain, data, shown, [beta], centred, **REST).update()[0]
        wanted = [chain.contrast(e.s, e.x, e.target, beta, centred) for e in (Example(chain, data, k) for k in shown)]
        np.testing.assert_allclose(update, np.mean(wanted, axis=0), atol=1e-11)


def test_random_sign_is_drawn_for_each_presentation_and_divides_by_itself(chain, data, updates, inside):
    probe = Probe(chain, data, [each.example for each in inside], [0.0], nudging=RANDOM_SIGN, beta=0.01, **REST)
    betas, one_sided, _ = updates
    found = []
    for _ in range(5):
        update = probe.update()[0]
        sign = np.sign(probe.layers.y.view("beta").item(0))
        np.testing.assert_allclose(update, one_sided[2 if sign > 0 else 4], atol=1e-11)
        found.append(sign)
    assert set(found) == {1, -1}


def test_unsettled_free_phase_is_an_error_of_one_over_beta_but_not_if_centred(chain, data):
    """12 free steps and 10 nudged ones against 150 and 10, for two beta a factor of ten apart."""
    ratio = {}
    for centred in (False, True):
        few, whole = (
            Probe(chain, data, range(9), [1e-3, 1e-4], centred, free_steps=free, nudged_steps=10).update()
            for free in (12, 150)
        )
        error = np.linalg.norm(few - whole, axis=1)
        ratio[centred] = error[1] / error[0]
    assert ratio[False] == pytest.approx(10, rel=0.02)
    assert ratio[True] == pytest.approx(1, rel=0.02)


@pytest.fixture(scope="module")
def compared(chain, data):
    """A network that sums up both forms of the rule while nudged, and its states from the end of the free phase on."""
    probe = Probe(
        chain, data, [1, 4], [0.3], cells=dynamics_study.cells(dynamics_study.COMPARED, np.float64), free_steps=9,
        nudged_steps=7,
    )  # fmt: skip
    seen = []
    probe.show(lambda: seen.append(np.concatenate([each.view("s")[0] for each in probe.layers.layers], axis=-1)))
    return probe, np.array(seen)[8:]


def test_products_of_change_and_activity_sum_up_to_the_contrastive_update(chain, data, compared):
    """With activity halfway exactly; with that of before the sum of drho_pre drho_post is missing. Weights stay."""
    probe, states = compared
    contrast = 2 * Probe(chain, data, [1, 4], [0.3], free_steps=9, nudged_steps=7).update()[0]  # a mean over two
    np.testing.assert_allclose(dynamics_study.summed(probe, "halfway"), contrast, atol=1e-12)
    missing = sum(chain.pairs(move, move) for lane in range(2) for move in np.diff(states[:, lane], axis=0)) / 0.3
    assert np.abs(missing).max() > 1e-3
    np.testing.assert_allclose(dynamics_study.summed(probe, "behind") + missing, contrast, atol=1e-12)
    for name, array in probe.given.items():
        np.testing.assert_array_equal(probe.circuit.projections[name].w, array)


def test_rule_of_every_step_learns_the_contrastive_update_while_alpha_is_small(chain, data):
    """What the changes themselves change is of order alpha: ten times less for a tenth of it."""
    contrast = Probe(chain, data, [1, 4], [0.3], free_steps=9, nudged_steps=7).update()[0]
    errors = []
    for alpha in (1e-3, 1e-4):
        rule = dynamics_study.cells(dynamics_study.STDP, np.float64)
        probe = Probe(chain, data, [1, 4], [0.3], cells=rule, free_steps=9, nudged_steps=7, alpha=(alpha,) * 3)
        errors.append(np.linalg.norm(probe.update()[0] / alpha - contrast) / np.linalg.norm(contrast))
    assert errors[0] < 0.05 and errors[0] / errors[1] == pytest.approx(10, rel=0.1)


# Borders, examples and epochs


def strict(kind):
    """Return a unit whose slope is 0 at the borders, where it should be 1."""
    text = kind.equations.replace("(drive - s", "(int(s > 0) * int(s < 1) * drive - s")
    assert text != kind.equations
    return NeuronType(text, kind.update, None, kind.method, kind.symbols)


def test_units_leave_their_borders_and_with_a_slope_of_0_there_nothing_would_ever_move(chain, data):
    kinds = network.Cells(precision=np.float64)
    dead = network.Cells(hidden=strict(network.UNIT), output=strict(network.OUTPUT), precision=np.float64)
    moves = [np.ptp(Probe(chain, data, [0, 1], [-0.5], cells=each, **REST).states(), axis=0) for each in (kinds, dead)]
    assert (moves[0] > 0).mean() > 0.9
    assert not moves[1].any(), "all start at 0"
    assert not Probe(chain, data, [0, 1], [-0.5], cells=dead, **REST).update().any()


def values(**more):
    found = {each.name: each.value for each in network.parameters("test")}
    return found | {
        "hidden": SIZES[1:-1], "alpha": (0.5, 0.4, 0.3), "free_steps": 7, "nudged_steps": 3, "lanes": 3, "replicas": 1,
        "nudging": POSITIVE, "tolerance": 0.0,
    } | more  # fmt: skip


def published(w, b, x, target, order, stored, beta=0.5, epsilon=0.5, alpha=(0.5, 0.4, 0.3)):
    """The authors' algorithm: states of a batch persist, are settled, nudged, and weights change; all in place."""

    def step(s, beta):
        below, above = [x[batch], *s[:-1]], [*s[1:], None]
        pull = [
            down @ w[k] + b[k] + (up @ w[k + 1].T if up is not None else 0) - here
            for k, (down, here, up) in enumerate(zip(below, s, above, strict=True))
        ]
        pull[-1] = pull[-1] + 2 * beta * (target[batch] - s[-1])
        return [np.clip(here + epsilon * f, 0, 1) for here, f in zip(s, pull, strict=True)]

    for batch in order:
        s = [each[batch] for each in stored]
        for _ in range(7):
            s = step(s, 0)
        for each, now in zip(stored, s, strict=True):
            each[batch] = now
        free = s
        for _ in range(3):
            s = step(s, beta)
        for k in range(len(w)):
            pre, pre_free = (x[batch], x[batch]) if k == 0 else (s[k - 1], free[k - 1])
            w[k] += alpha[k] / beta * (pre.T @ s[k] - pre_free.T @ free[k]) / len(batch)
            b[k] += alpha[k] / beta * (s[k] - free[k]).mean(axis=0)


def test_two_epochs_are_those_of_the_authors_algorithm(data):
    """Batch after batch with states that persist, from the weights that were drawn, to rounding; a test in between."""
    circuit = network.build(values(), data, 5, network.Cells(precision=np.float64))
    start = chain_of(circuit)
    assert all(not each.any() for each in start.biases)
    order = np.array([[[0, 4, 8]], [[1, 3, 7]], [[2, 5, 6]]])
    x, target = data.train_images.astype(float), np.eye(3)[data.train_labels]
    stored = [np.zeros((9, n)) for n in SIZES[1:]]
    for epoch in range(2):
        for images, labels, training in (
            (data.train_images, data.train_labels, True), (data.test_images, data.test_labels, False),
        ):  # fmt: skip
            circuit.feed(images, labels)
            circuit.readout.expect(labels)
            circuit.set_training(training)
            circuit.presentation.show(order[:, :, ::-1] if training and epoch else order if training else order[:1] % 4)
            circuit.network.run(circuit.presentation.remaining, namespace={})
        published(start.weights, start.biases, x, target, order[:, 0, ::-1] if epoch else order[:, 0], stored)
    after = chain_of(circuit)
    for mine, theirs in zip((*after.weights, *after.biases), (*start.weights, *start.biases), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_example_starts_where_it_has_settled_last_and_another_set_from_its_own(data):
    """Learning rates of 0: a second epoch goes on along the same way, from step 7 on; tests of 4 examples likewise."""
    circuit = network.build(values(alpha=(0.0, 0.0, 0.0)), data, 5, network.Cells(precision=np.float64))
    chain = chain_of(circuit)
    layers = [population for name, population in circuit.populations.items() if name != "x"]
    for images, labels, training in (
        (data.train_images, data.train_labels, True), (data.test_images, data.test_labels, False),
    ):  # fmt: skip
        for round_ in range(2):
            circuit.feed(images, labels)
            circuit.readout.expect(labels)
            circuit.set_training(training)
            circuit.presentation.use("free")
            circuit.presentation.show(np.array([[[0, 1, 2]], [[3, 3, 3]]]))
            circuit.network.run(circuit.presentation.remaining, namespace={})
            wanted = chain.steps(np.zeros(13), images[3].astype(float), 0.5, 14)[7 * (round_ + 1)]
            found = np.concatenate([layer.view("s")[0] for layer in layers], axis=-1)
            np.testing.assert_allclose(found, [wanted] * 3, atol=1e-13)


def test_network_that_does_not_settle_is_counted_or_raises_as_told(data):
    """Seven free steps and a tolerance that they cannot reach; how long and how often is told after every epoch."""
    told = []
    for unsettled, tolerance in (("count", 1e-9), ("count", 0.5), ("raise", 1e-9)):
        circuit = network.build(values(tolerance=tolerance, unsettled=unsettled), data, 5)
        if unsettled == "raise":
            with pytest.raises(NotSettledError, match=r"'free' at t = 6 ms: neuron \d, replica 0, lane \d still moves"):
                list(train(circuit, data, 1, 0))
            continue
        (epoch,) = train(circuit, data, 1, 0)
        told.append((epoch.measures["free_steps"].item(), epoch.measures["unsettled"].item()))
    assert told == [(7, 1), (7, 0)], "the first look is after six steps"


@pytest.mark.parametrize(("name", "text"), [("beta", "0"), ("epsilon", "1.5"), ("tolerance", "-1"), ("nudging", "up")])
def test_values_that_cannot_be_are_refused_by_name(name, text):
    for experiment in (DYNAMICS, GRADIENT):
        with pytest.raises(ParameterError, match=name):
            experiment.resolve("digits", {name: text})


def test_weights_are_read_backwards_as_they_are_now(data):
    circuit = network.build(values(), data, 5)
    backwards = [each for each in circuit.network.objects if each.name.startswith("WT_")]
    assert {each.name for each in backwards} == {"WT_h1", "WT_h2"} and values()["weights"] == SYMMETRIC
    circuit.projections["W_h2"].w[...] = 0.25
    back = next(each for each in backwards if each.name == "WT_h1")
    np.testing.assert_array_equal(back.matrix(), np.full((1, 4, 6), 0.25))


def test_measures_tell_the_angle_to_the_gradient_and_which_examples_have_none(data):
    """A small beta, centred and at rest: no angle. Outputs held at 0 by their biases: no gradient for any example."""
    settings = values(nudging=CENTRED, beta=1e-3, replicas=2, **REST)
    circuit = GRADIENT.build(settings, data, 5)
    for name in ("b_h1", "b_h2", "b_y"):
        circuit.projections[name].w[...] = 0.3
    circuit.projections["b_y"].w[1] = -9
    angles, stuck = (circuit.measures[name][0]() for name in ("angle_of_update", "stuck"))
    assert angles[0] < 0.1 and angles[1] == 90
    assert stuck[0] < 1 == stuck[1]


def test_slope_is_of_points_that_are_small_and_above_rounding():
    x = np.geomspace(1e-4, 1, 9)
    assert gradient_study.slope(x, 3 * x**2, x < 1) == pytest.approx(2)
    assert np.isnan(gradient_study.slope(x, np.full(9, 1e-12), x < 1))


@pytest.mark.parametrize("wrong", [{"nudging": "centred"}, {"decay": 1e-3}])
def test_stdp_follows_one_nudged_phase_without_decay(wrong):
    values = dict(DYNAMICS.resolve("digits", {}), rule="stdp")
    DYNAMICS.check(values)
    DYNAMICS.check(values | wrong | {"rule": "contrastive"})
    with pytest.raises(ParameterError, match="rule: stdp follows one nudged phase and has no decay"):
        DYNAMICS.check(values | wrong)


def test_weights_start_as_glorot_has_them(data):
    """Uniform up to sqrt(6 / (n_in + n_out)), the largest near it, biases 0."""
    circuit = network.build(values(hidden=(40, 30), alpha=(0.1, 0.1, 0.1)), data, 5)
    sizes = [data.train_images.shape[1], 40, 30, data.n_classes]
    for name, pre, post in zip(("h1", "h2", "y"), sizes, sizes[1:], strict=False):
        largest = np.abs(circuit.projections[f"W_{name}"].w).max() / np.sqrt(6 / (pre + post))
        assert 0.97 < largest <= 1 and not circuit.projections[f"b_{name}"].w.any()
