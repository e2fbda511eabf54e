"""Every named rule does what it is known for; here those that learn from an error, a nudge or a reward.

``per_step(x)`` is the rate that changes by x in a time step of brian2's default clock.
"""

import numpy as np
import pytest
from brian2 import Network, NetworkOperation, defaultclock, ms
from scipy.optimize import root

from neurosim import Population, Presentation, Projection
from neurosim.connectivity import Dense, Transposed
from neurosim.neurons import NeuronType
from neurosim.plasticity import library

WEIGHTED_SUM = "drive_post = w * r_pre"
DOUBLE = dict(dtype=np.float64)
GIVEN = NeuronType("r : 1")


def per_step(x):
    return x / defaultclock.dt


def run(steps, *objects):
    Network(*objects).run(steps * defaultclock.dt, namespace={})


def gradient(loss, w):
    """Central differences of a loss of a matrix."""
    h, result = 1e-5, np.empty_like(w)
    for k in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[k] = h
        result[k] = (loss(w + step) - loss(w - step)) / (2 * h)
    return result


# Delta rule
STUDENT = NeuronType("drive : 1\nr : 1\ntarget : 1", update="r = drive")


def student(lanes, eta):
    source = Population(4, GIVEN, order=0, lanes=lanes, **DOUBLE)
    target = Population(3, STUDENT, order=1, lanes=lanes, **DOUBLE)
    p = Projection(
        source, target, WEIGHTED_SUM, library.DELTA, weights=np.zeros((4, 3)), namespace={"eta": per_step(eta)}
    )
    return source, target, p


def test_delta_rule_in_lanes_converges_to_the_least_squares_solution():
    """30 patterns at once with targets that no weights reach: w ends at the solution of numpy.linalg.lstsq."""
    draw = np.random.default_rng(0)
    x, target = draw.normal(size=(30, 4)), draw.normal(size=(30, 3))
    source, linear, p = student(30, eta=0.01)
    source.view("r")[...], linear.view("target")[...] = x, target
    run(300, source, linear, p)
    solution, residual, *_ = np.linalg.lstsq(x, target)
    np.testing.assert_allclose(p.w[0], solution, atol=1e-6)
    assert residual.min() > 1 and np.abs(solution).max() > 0.1


def test_delta_rule_on_one_pattern_after_another_finds_the_weights_of_a_linear_teacher(play):
    """600 random patterns, each shown once: a teacher's targets can be reached, so that the error ends at 0."""
    draw = np.random.default_rng(0)
    x, teacher = draw.normal(size=(600, 4)), draw.normal(size=(4, 3))
    source, linear, p = student(1, eta=0.1)
    play([source, linear, p], [(source, "r", x[:, None, None]), (linear, "target", (x @ teacher)[:, None, None])])
    np.testing.assert_allclose(p.w[0], teacher, atol=1e-6)


# Equilibrium propagation
HOPFIELD = NeuronType(
    """
    du/dt = ((1 - rho**2) * drive - u + nudge * (target - u)) / tau : 1
    drive : 1
    rho : 1
    free : 1
    nudge : 1
    target : 1
    """,
    update="rho = tanh(u)",
    symbols={"u": "state, which descends E = u^2/2 - sum w rho rho + nudge (target - u)^2 / 2", "rho": "tanh u"},
)
CLAMPED = NeuronType("rho : 1\nfree : 1")


def relax(x, target, W0, W1, beta):
    """Return the changes of W0 and W1, inputs - hidden - outputs with W1 both ways, after a free and a nudged phase.

    Each phase lasts 30 time constants.
    """
    lanes = len(x)
    inputs = Population(W0.shape[0], CLAMPED, order=0, lanes=lanes, **DOUBLE)
    hidden, outputs = (
        Population(w.shape[1], HOPFIELD, order=k, lanes=lanes, namespace={"tau": 1 * ms}, **DOUBLE)
        for k, w in enumerate((W0, W1), start=1)
    )
    shown = Presentation({"free": 30 * ms, "nudged": 30 * ms})
    learns = dict(rule=library.CONTRASTIVE, when=shown.end("nudged"), namespace={"eta": 0.1, "beta": beta})
    below = Projection(inputs, hidden, "drive_post = w * rho_pre", weights=W0, **learns)
    above = Projection(hidden, outputs, "drive_post = w * rho_pre", weights=W1, **learns)
    back = Projection(outputs, hidden, "drive_post = w * rho_pre", connectivity=Transposed(above))
    for population in (inputs, hidden, outputs):
        shown.keep(population, "rho", into="free", phase="free")
    shown.clamp(inputs, "rho", x)
    shown.clamp(outputs, "target", target)
    shown.show(np.arange(lanes)[None])

    def nudge():
        outputs.view("nudge")[...] = beta * (shown.phase == "nudged")

    nudging = NetworkOperation(nudge, when="start", order=1)
    Network(inputs, hidden, outputs, below, above, back, shown, nudging).run(shown.remaining, namespace={})
    return below.w[0] - W0, above.w[0] - W1


def free_loss(x, target, W0, W1):
    """L = sum over examples of |target - u|^2 / 2 at the free fixed point, found by SciPy."""
    hidden = W0.shape[1]

    def force(u, x_):
        h, y = u[:hidden], u[hidden:]
        return np.concatenate(
            [(1 - np.tanh(h) ** 2) * (x_ @ W0 + W1 @ np.tanh(y)) - h, (1 - np.tanh(y) ** 2) * (np.tanh(h) @ W1) - y]
        )

    total = 0
    for x_, target_ in zip(x, target, strict=True):
        u = root(force, np.zeros(sum(W1.shape)), args=(x_,), tol=1e-13).x
        total += 0.5 * np.sum((target_ - u[hidden:]) ** 2)
    return total


def test_contrastive_rule_is_gradient_descent_of_the_loss_at_the_fixed_point():
    """A 3-4-2 network, 2 examples: change = -eta dL/dw + O(beta), dL by finite differences of the free fixed point.

    A nudge ten times smaller leaves a tenth of the difference (between 8 and 12): below 0.3 % at beta = 1e-3.
    """
    draw = np.random.default_rng(0)
    x, target = draw.uniform(-1, 1, (2, 3)), draw.uniform(-1, 1, (2, 2))
    W0, W1 = draw.normal(0, 0.5, (3, 4)), draw.normal(0, 0.3, (4, 2))
    descent = [
        -0.1 * gradient(lambda w: free_loss(x, target, w, W1), W0),
        -0.1 * gradient(lambda w: free_loss(x, target, W0, w), W1),
    ]
    errors = []
    for beta in (1e-2, 1e-3):
        changes = relax(x, target, W0, W1, beta)
        errors.append([np.abs(c - d).max() / np.abs(d).max() for c, d in zip(changes, descent, strict=True)])
    assert max(errors[1]) < 3e-3
    assert all(8 < large / small < 12 for large, small in zip(*errors, strict=True))


# Dendritic prediction
CONDUCTANCES = {"g_L": 0.1 / ms, "g_D": 1 / ms, "g_S": 0.8 / ms}  # as in Sacramento et al. 2018
ATTENUATION = 1 / 1.1  # g_D / (g_L + g_D): the soma without a teacher settles at this part of its dendrite's potential
TWO_COMPARTMENTS = NeuronType(
    """
    du/dt = -g_L * u + g_D * (dendrite - u) + g_S * taught * (teacher - u) : 1
    dendrite : 1
    teacher : 1
    taught : 1
    r = 1 / (1 + exp(-u)) : 1
    predicted = 1 / (1 + exp(-g_D / (g_L + g_D) * dendrite)) : 1
    """,
    symbols={"u": "potential of the soma", "teacher": "potential to which it is drawn while taught is 1"},
)


def taught(rates, teacher, start, eta):
    """Return inputs of these rates (lanes, n), neurons with a teacher, and the projection to their dendrites."""
    source = Population(rates.shape[1], GIVEN, order=0, lanes=len(rates), **DOUBLE)
    target = Population(start.shape[1], TWO_COMPARTMENTS, order=1, lanes=len(rates), namespace=CONDUCTANCES, **DOUBLE)
    p = Projection(
        source, target, "dendrite_post = w * r_pre", library.DENDRITIC, weights=start,
        namespace={"eta": eta, "tau_w": 3 * ms},
    )  # fmt: skip
    source.view("r")[...], target.view("teacher")[...], target.view("taught")[...] = rates, teacher, 1
    return source, target, p


def test_dendritic_weights_rest_if_and_only_if_the_dendrite_predicts_the_soma():
    """Teachers at, above and below what the dendrite predicts: weights of the first rest, others follow the teacher."""
    draw = np.random.default_rng(0)
    rates, start = draw.uniform(0.2, 1, (1, 4)), draw.normal(size=(4, 3))
    source, target, p = taught(rates, ATTENUATION * rates @ start + [0, 0.1, -0.1], start, eta=0.1 / ms)
    p.plastic = False
    network = Network(source, target, p)
    network.run(30 * ms, namespace={})  # 57 time constants of the soma
    p.plastic = True
    network.run(3 * ms, namespace={})
    change = p.w[0] - start
    assert np.abs(change[:, 0]).max() < 1e-12 and change[:, 1].min() > 1e-4 and change[:, 2].max() < -1e-4


def test_dendrite_learns_to_predict_the_soma():
    """4 patterns as lanes, a teacher for each: in the end prediction and rate agree to 1e-4, taught or left alone.

    Without the teacher the soma then stays where the teacher had drawn it.
    """
    draw = np.random.default_rng(0)
    rates, teacher = np.eye(4, 5) + draw.uniform(0, 0.3, (4, 5)), draw.uniform(-1, 1, (4, 3))
    start = draw.normal(size=(5, 3))
    source, target, p = taught(rates, teacher, start, eta=0.3 / ms)
    network = Network(source, target, p)
    network.run(800 * ms, namespace={})
    np.testing.assert_allclose(ATTENUATION * rates @ p.w[0], target.view("u")[0], atol=1e-4)
    assert np.abs(ATTENUATION * rates @ start - teacher).max() > 0.5
    p.plastic = False
    target.view("taught")[...] = 0
    network.run(30 * ms, namespace={})
    np.testing.assert_allclose(target.view("u")[0], teacher, atol=1e-4)


def test_dendritic_change_follows_a_step_of_the_error_as_a_low_pass(every_step):
    """(r - predicted) r_pre = 0.3 from step 0: delta = 0.3 (1 - exp(-t / tau_w)), by Euler a power; w integrates it."""
    source = Population(1, NeuronType("r : 1"), order=0, **DOUBLE)
    target = Population(1, NeuronType("r : 1\npredicted : 1\nheard : 1"), order=1, **DOUBLE)
    p = Projection(
        source, target, "heard_post = w * r_pre", library.DENDRITIC, weights=[[0.0]],
        namespace={"eta": per_step(0.2), "tau_w": 50 * defaultclock.dt},
    )  # fmt: skip
    source.view("r")[...], target.view("r")[...], target.view("predicted")[...] = 0.5, 0.9, 0.3
    look, seen = every_step(source.clock, lambda: (p.view("delta").item(), p.w.item()))
    run(200, source, target, p, look)
    delta, w = np.transpose(seen)
    n = np.arange(1, 201)
    np.testing.assert_allclose(delta, 0.3 * (1 - (1 - 1 / 50) ** n), rtol=1e-10)
    np.testing.assert_allclose(delta, 0.3 * (1 - np.exp(-n / 50)), rtol=0.02)  # dt / tau_w
    np.testing.assert_allclose(np.diff(w, prepend=0), 0.2 * np.append(0, delta[:-1]), rtol=1e-10)


# Hinge
CLASSES = NeuronType("h : 1\nshown : 1")
S, MU = 1.5, 0.4


def classifier(lanes, start, eta):
    source = Population(start.shape[0], GIVEN, order=0, lanes=lanes, **DOUBLE)
    target = Population(start.shape[1], CLASSES, order=1, lanes=lanes, **DOUBLE)
    p = Projection(
        source, target, "h_post = w * r_pre", library.HINGE, weights=start, namespace={"eta": eta, "S": S, "mu": MU}
    )
    return source, target, p


def hinge_loss(w, x, labels):
    """Equation 3 of Amit (2019) with the margin S for its 1, summed over examples."""
    h, shown = x @ w, np.arange(w.shape[1]) == labels[:, None]
    return np.sum(np.where(shown, np.maximum(S - h, 0), MU * np.maximum(S + h, 0)))


def test_hinge_gated_hebb_is_gradient_descent_of_the_multi_class_hinge_loss():
    """One step of 30 examples as lanes, some of each kind beyond the margin; dL by finite differences."""
    draw = np.random.default_rng(0)
    x, labels, start = draw.normal(size=(30, 4)), np.arange(30) % 3, draw.normal(0, 1, (4, 3))
    source, target, p = classifier(30, start, eta=0.3)
    source.view("r")[...], target.view("shown")[...] = x, np.eye(3)[labels]
    run(1, source, target, p)
    descent = -0.3 * gradient(lambda w: hinge_loss(w, x, labels), start)
    np.testing.assert_allclose(p.w[0] - start, descent, rtol=1e-6, atol=1e-9)
    h, shown = x @ start, np.eye(3)[labels] == 1
    gates = [h[shown] < S, h[~shown] > -S]
    assert all(gate.any() and not gate.all() for gate in gates)


def test_hinge_gated_hebb_classifies_separable_data_with_the_margin_and_then_stops(play, every_step):
    """12 examples of 3 classes in turn: all fields end beyond the margin on their side, then no weight changes."""
    draw = np.random.default_rng(0)
    labels = np.arange(12) % 3
    x = np.column_stack([np.eye(3)[labels] + draw.uniform(-0.2, 0.2, (12, 3)), np.ones(12)])
    source, target, p = classifier(1, np.zeros((4, 3)), eta=0.2)
    look, seen = every_step(source.clock, lambda: p.w[0].copy())
    given = [(source, "r", x), (target, "shown", np.eye(3)[labels])]
    play([source, target, p, look], [(of, v, np.tile(rows, (80, 1))[:, None, None]) for of, v, rows in given])
    w = seen[-1]
    h, shown = x @ w, np.eye(3)[labels] == 1
    assert h[shown].min() >= S and h[~shown].max() <= -S and hinge_loss(w, x, labels) == 0
    assert np.array_equal(seen[-12], w) and not np.array_equal(seen[12], w)


# Mirrored updates
HIDDEN = NeuronType("r : 1\ns = r : 1\nback : 1")
OUTPUT = NeuronType(
    """
    drive : 1
    target : 1
    r : 1
    psi = r * (1 - r) : 1
    delta = target - r : 1
    m = target - r : 1
    """,
    update="r = 1 / (1 + exp(-drive))",
)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(("epsilon", "decay"), [(1, 0.01), (1, 0), (0.5, 0.01), (0, 0)])
def test_mirrored_updates_forget_only_by_decay_how_the_two_projections_differed(lanes, epsilon, decay, play):
    """B - epsilon W^T falls as exp(-decay t): Kolen & Pollack; without decay it is conserved: URFB, fixed feedback.

    W learns by the three-factor rule from the same error, slope and activity, 200 steps of random examples.
    """
    draw = np.random.default_rng(0)
    hidden = Population(4, HIDDEN, order=0, lanes=lanes, **DOUBLE)
    output = Population(3, OUTPUT, order=1, lanes=lanes, **DOUBLE)
    W0, B0 = draw.normal(size=(4, 3)), draw.normal(size=(3, 4))
    rates = {"eta": per_step(0.5), "decay": per_step(decay / lanes)}
    W = Projection(hidden, output, "drive_post = w * s_pre", library.THREE_FACTOR, weights=W0, namespace=rates)
    B = Projection(
        output, hidden, "back_post = w * delta_pre", library.MIRRORED, weights=B0,
        namespace=rates | {"epsilon": epsilon},
    )  # fmt: skip
    x, target = draw.normal(size=(200, 1, lanes, 4)), draw.uniform(size=(200, 1, lanes, 3))
    play([hidden, output, W, B], [(hidden, "r", x), (output, "target", target)])
    difference, before = B.w[0] - epsilon * W.w[0].T, B0 - epsilon * W0.T
    np.testing.assert_allclose(difference, before * (1 - decay) ** 200, rtol=1e-9)
    np.testing.assert_allclose(difference, before * np.exp(-200 * decay), rtol=200 * decay**2 + 1e-9)
    assert np.abs(W.w[0] - W0 * (1 - decay) ** 200).max() > 0.1


# Node perturbation
PERTURBED = NeuronType(
    """
    drive : 1
    target : 1
    noise : 1
    saved = (target - tanh(drive))**2 / 2 - (target - tanh(drive + noise))**2 / 2 : 1
    """,
    update="noise = sigma * randn()",
)
CRITIC = NeuronType("gain : 1")


def test_node_perturbation_follows_the_gradient_in_the_mean():
    """20000 draws of noise as lanes, 4 examples: the mean change is -dL/dw within 5 standard errors.

    For small noise the reward is -sum_k g_k noise_k with g = dL/d(potential), so that the change of w_ij has the mean
    -g_j r_i and the variance (|g|^2 + g_j^2) r_i^2. The largest is over 40 standard errors.
    """
    draw = np.random.default_rng(0)
    lanes, sigma = 20000, 1e-3
    x, target, start = draw.normal(size=(4, 3)), draw.uniform(-1, 1, (4, 2)), draw.normal(0, 0.5, (3, 2))
    source = Population(3, GIVEN, order=0, lanes=lanes, **DOUBLE)
    nodes = Population(2, PERTURBED, order=1, lanes=lanes, namespace={"sigma": sigma}, **DOUBLE)
    critic = Population(1, CRITIC, order=2, lanes=lanes, **DOUBLE)
    p = Projection(
        source, nodes, WEIGHTED_SUM, library.NODE_PERTURBATION, weights=start, signals={"reward": (critic, "gain")},
        namespace={"eta": 1 / lanes, "sigma": sigma},
    )  # fmt: skip
    judged = Projection(nodes, critic, "gain_post = saved_pre", connectivity=Dense())
    source.view("r")[...], nodes.view("target")[...] = np.tile(x, (5000, 1)), np.tile(target, (5000, 1))
    run(1, source, nodes, critic, p, judged)
    expected = -gradient(lambda w: np.sum((target - np.tanh(x @ w)) ** 2) / 2 / 4, start)
    y = np.tanh(x @ start)
    g = (y - target) * (1 - y**2)
    variance = np.mean(((g**2).sum(axis=1, keepdims=True) + g**2)[:, None] * x[:, :, None] ** 2, axis=0)
    error = np.sqrt(variance / lanes)
    assert np.abs((p.w[0] - start - expected) / error).max() < 5 and np.abs(expected / error).max() > 40
