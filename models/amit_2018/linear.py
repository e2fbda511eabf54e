"""Experiment  linear (section 3, Figs 3, 4; Theorems 1, 2)
            A 40-100-100-10 network of linear neurons learns a matrix T while its feedback learns the same changes
            (URFB, epsilon = 1), a part of them (0.25, 0.5) or nothing (FRFB, 0), or is the transposed forward weights
            (gradient). Once from random weights, the same ones under each rule (Fig. 3), and once from forward weights
            that are all zero, with the same random feedback for every epsilon (Fig. 4). Beside it, one direction of T
            at a time, the scalar equations of the theorems: see theory.
Equations   y = x W_1 W_2 W_3    e = x T - y    d_2 = e R_3    d_1 = d_2 R_2                (a row is an example)
            dW_3 = eta h_2^T e    dW_2 = eta h_1^T d_2    dW_1 = eta x^T d_1               equations 10, 15
            dR_3 = epsilon eta e^T h_2    dR_2 = epsilon eta d_2^T h_1                     equation 11
            The inputs are the unit vectors, side by side in lanes: x, a matrix of all lanes, is 1, and a time step is
            an Euler step of length eta along the flow of equation 15. No synapse knows T: error neurons get rows of T
            as targets.
Symbols     x inputs, h_1, h_2 hidden activity, y output, e error, d_2, d_1 what arrives in the feedback neurons beside
            h_2 and h_1; W_i forward weights into layer i, R_i feedback weights beside W_i (1); eta step (1), epsilon
            share of the forward change that R learns. Matrices lead from rows to columns: the transposes of the paper's
            section 3.2, those of its section 3.3.
Departures  The paper prints neither step nor scales: see the parameters' sources. T = W_1 W_2 W_3 is divided by its
            largest singular value ('without loss of generality lambda_T <= 1').
            Fig. 4 shows gradient descent too, which cannot leave weights that are all zero: it is drawn with Fig. 3.
Expect      after 5000 steps, means over 3 replicas, normalised squared errors: gradient and urfb below 1e-15, frfb 1e-9
            to 1e-4; from zero: the larger epsilon, the smaller, in every replica at every test until rounding is
            reached. The final weights of urfb and gradient, from the same start, differ by more than half of their
            size.
"""

import numpy as np
from brian2 import Clock, Network, ms

from neurosim import neurons, plots
from neurosim.analysis import angle_of_ways
from neurosim.connectivity import Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Expect, Experiment, Parameter, Preset
from neurosim.neurons import NeuronType
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, SquaredError
from neurosim.tasks import FunctionTask
from neurosim.training import Circuit
from neurosim.weights import glorot
from neurosim_models.amit_2018 import theory
from neurosim_models.amit_2018.linear_study import outside, study, theorems

SECTION = "section 3.3"
TRANSPOSED, RANDOM = "transposed", "random"  # feedback
ZERO = "zero"  # start; the other is RANDOM

FORWARD = "v_post = w * r_pre"
LEARN = "w += eta * r_pre * m_post"
RETURN = "d_post = w * d_pre"
MIRROR = "w += epsilon * eta * d_pre * r_post"
GUESS = "guess_post = r_pre"
MODULATE = "m_post = d_pre"
COPY = "r_post = r_pre"

FEEDBACK = NeuronType(
    equations="""
    d : 1
    r : 1
    """,
    symbols={
        "d": "what arrives from above through the feedback weights (1)",
        "r": "copy of the activity of the forward neuron beside this one (1)",
    },
    source="Amit 2018, equations 7 and 15",
)

SMALL = "ours: small beside T, as the theorems have R"
PARAMETERS = (
    Parameter(
        "feedback", RANDOM, SECTION, "what R is at the start, and with 'transposed' always: W read backwards",
        choices=(RANDOM, TRANSPOSED),
    ),
    Parameter("epsilon", 1.0, "equation 11", "share of the forward change that R learns", low=0),
    Parameter(
        "start", RANDOM, f"{SECTION}: Fig. 3 random, Fig. 4 zero", "forward weights at the start",
        choices=(RANDOM, ZERO),
    ),
    Parameter("hidden", (100, 100), SECTION, "neurons in each hidden layer, input side first", "neurons", low=1),
    Parameter("inputs", 40, SECTION, "inputs", "neurons", low=1),
    Parameter("outputs", 10, SECTION, "outputs", "neurons", low=1),
    Parameter(
        "eta", 0.02, "ours: 1/20 of the largest, 0.4, with which every condition learns", "step along the flow", low=0
    ),
    Parameter("w_gain", 0.3, SMALL, "half width of uniform W in sqrt(6 / (n_pre + n_post)), Glorot's", low=0),
    Parameter("r_gain", 0.3, SMALL, "the same of R", low=0),
    Parameter("largest", 1.0, "section 3.1: lambda_T <= 1", "largest singular value of T", above=0),
    Parameter("iterations", 100, "ours: a test after each", "steps an epoch", "steps", low=1),
    Parameter("dt", 1 * ms, "ours: the paper counts iterations", "time step", above=0),
)  # fmt: skip


def task(values, seed):
    """Return the matrices T that the replicas learn: products of random matrices of the network's shapes."""
    sizes = (values["inputs"], *values["hidden"], values["outputs"])

    def draw_function(generator):
        product = np.eye(sizes[0])
        for n_pre, n_post in zip(sizes[:-1], sizes[1:], strict=True):
            product = product @ glorot(n_pre, n_post).draw((n_pre, n_post), generator)
        product *= values["largest"] / np.linalg.norm(product, 2)
        return lambda x: x @ product

    return FunctionTask(
        "matrix", sizes[0], sizes[-1], lambda _, count: np.eye(sizes[0])[np.arange(count) % sizes[0]],
        draw_function, sizes[0], sizes[0], seed, f"{SECTION}: T = W_1 W_2 W_3, the inputs unit vectors",
    )  # fmt: skip


def build(values, data, seed):
    """Return the circuit of a condition, with a copy without feedback in which tests are run.

    Parameters
    ----------
    values : dict
        All of the experiment's parameters.
    data : FunctionTask
        With as many inputs as there are lanes.
    seed : int
        Decides the weights: those of one name are the same in all conditions.

    Raises
    ------
    ParameterError
        If the inputs do not fill the lanes, or the start is one from which nothing can learn.
    """
    if values["lanes"] != data.inputs:
        raise ParameterError(
            f"lanes: a step needs all {data.inputs} unit vectors side by side, so {data.inputs} lanes, got "
            f"{values['lanes']}"
        )
    if values["feedback"] == TRANSPOSED and values["start"] == ZERO:
        raise ParameterError(
            "start: with 'zero' the transposed weights are zero too and nothing ever learns; 'random' is needed"
        )
    circuit = _network(values, data, seed, learns=True)
    circuit.tester = _network(values, data, seed, learns=False)
    return circuit


def _network(values, data, seed, learns):
    clock = Clock(values["dt"])
    shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=clock, dtype=np.float64)
    sizes = (data.inputs, *values["hidden"], data.outputs)
    depth = len(sizes) - 1
    seeds = lambda *key: np.random.SeedSequence(seed, spawn_key=key)  # noqa: E731
    rates = {"eta": values["eta"], "epsilon": values["epsilon"]}

    x = Population(sizes[0], neurons.INPUT, order=0, name="x", **shape)
    names = [*(f"h{i}" for i in range(1, depth)), "y"]
    layers = [x] + [
        Population(n, neurons.LINEAR, order=i, name=name, **shape)
        for i, (n, name) in enumerate(zip(sizes[1:], names, strict=True), start=1)
    ]
    error = Population(sizes[-1], neurons.RATE_ERROR, order=depth + 1, name="error", **shape)
    forward = {}
    for i, (below, here) in enumerate(zip(layers, layers[1:], strict=False), start=1):
        zero = values["start"] == ZERO
        weights = np.zeros((below.n, here.n)) if zero else glorot(below.n, here.n, values["w_gain"])
        rule = dict(rule=LEARN, namespace=rates) if learns else {}
        forward[i] = Projection(below, here, FORWARD, weights=weights, seed=seeds(i, 0), name=f"W{i}", **rule)
    objects = [*layers, error, Projection(layers[-1], error, GUESS, name="guess")]
    backward = {}
    if learns:
        objects.append(Projection(error, layers[-1], MODULATE, name="modulate_y"))
        above = error
        for i in range(depth, 1, -1):
            here = layers[i - 1]
            feedback = Population(here.n, FEEDBACK, order=2 * depth + 2 - i, name=f"feedback_{here.name}", **shape)
            if values["feedback"] == TRANSPOSED:
                returns = Projection(above, feedback, RETURN, connectivity=Transposed(forward[i]), name=f"WT{i}")
            else:
                rule = dict(rule=MIRROR, namespace=rates) if values["epsilon"] else {}
                weights = glorot(above.n, here.n, values["r_gain"])
                returns = Projection(
                    above, feedback, RETURN, weights=weights, seed=seeds(i, 1), name=f"R{i}", **rule
                )  # fmt: skip
                backward[i] = returns
                objects.append(Projection(here, feedback, COPY, name=f"copy_{here.name}"))
            objects += [feedback, returns, Projection(feedback, here, MODULATE, name=f"modulate_{here.name}")]
            above = feedback
    held = values["iterations"] if learns else 1
    shown = Presentation(held * clock.dt, clock=clock)
    readout = SquaredError(shown, error)
    guard = Guard.of([forward[depth]])
    projections = {p.name: p for p in (*forward.values(), *backward.values())}
    objects += [*forward.values(), shown, readout, guard]

    def feed(inputs, targets):
        shown.clamp(x, "r", inputs)
        shown.clamp(error, "target", targets)

    return Circuit(
        network=Network(*objects),
        populations={p.name: p for p in (*layers, error)},
        projections=projections,
        presentation=shown,
        readout=readout,
        feed=feed,
        measures=_measures(forward, backward, values["epsilon"]),
    )


def _measures(forward, backward, epsilon):
    """Return the measures of a run: angles of W_i and R_i^T, and the drift of what the flow conserves.

    An angle is 90 degrees while weights are zero; the drift is in units of |W_{i-1}|^2, the largest over layers.
    """
    if not backward:
        return {}
    apart = {i: constant_part(forward[i].w, r.w, epsilon) for i, r in backward.items()}
    before = {i: conserved(forward[i - 1].w, forward[i].w, apart[i], epsilon) for i in backward}

    def drift():
        found = []
        for i in backward:
            now = conserved(forward[i - 1].w, forward[i].w, apart[i], epsilon)
            moved = np.linalg.norm(now - before[i], axis=(1, 2))
            size = np.linalg.norm(forward[i - 1].w, axis=(1, 2)) ** 2
            found.append(np.divide(moved, size, out=np.zeros_like(moved), where=size > 0))
        return np.max(found, axis=0)

    def turned(i):
        return np.nan_to_num(angle_of_ways(forward[i].w, backward[i].w), nan=90.0)

    angles = {f"angle_W{i}_R{i}": (lambda i=i: turned(i), "degree") for i in sorted(backward)}
    return angles | {"drift": (drift, "1")}


def constant_part(forward, feedback, epsilon):
    """Return P_i = R_i - epsilon W_i^T, which learning does not change, (replicas, n_i, n_{i-1})."""
    return feedback - epsilon * np.swapaxes(forward, 1, 2)


def conserved(below, forward, constant, epsilon):
    """Return what the flow of matrices leaves as it is between two layers, (replicas, n_{i-1}, n_{i-1}).

    ``W_i P_i + (W_i P_i)^T + epsilon W_i W_i^T - W_{i-1}^T W_{i-1}``, matrices leading from rows to columns; theory has
    it in the paper's orientation.

    Parameters
    ----------
    below, forward : array, shape (replicas, n_pre, n_post)
        W_{i-1} and W_i.
    constant : array
        P_i, as :func:`constant_part` returns it.
    epsilon : float
        Share of the change that the feedback learns.
    """
    loop = forward @ constant
    transposed = lambda a: np.swapaxes(a, 1, 2)  # noqa: E731
    return loop + transposed(loop) + epsilon * forward @ transposed(forward) - transposed(below) @ below


GRADIENT, FRFB, URFB = "gradient", "frfb", "urfb"
EPSILONS = {"frfb": 0.0, "urfb_25": 0.25, "urfb_50": 0.5, "urfb": 1.0}
FROM_ZERO = "zero_"
CONDITIONS = {
    GRADIENT: {"feedback": TRANSPOSED, "epsilon": 1.0, "start": RANDOM},
    **{name: {"feedback": RANDOM, "epsilon": each, "start": RANDOM} for name, each in EPSILONS.items()},
    **{FROM_ZERO + name: {"feedback": RANDOM, "epsilon": each, "start": ZERO} for name, each in EPSILONS.items()},
}

WORDS = {GRADIENT: "gradient", **{name: f"ε = {each:g}" for name, each in EPSILONS.items()}}
COLORS = {GRADIENT: "k", "frfb": "0.55", "urfb_25": "C0", "urfb_50": "C4", "urfb": "C3"}


def errors(run):
    """Error over iterations, replica by replica: from random forward weights (Fig. 3) and from zero (Fig. 4)."""
    rows = [
        (
            words,
            [
                name
                for name in run.record["conditions"]
                if name.startswith(prefix) and name.removeprefix(prefix) in WORDS
            ],
        )
        for words, prefix in (("random forward weights", ""), ("forward weights zero", FROM_ZERO))
    ]
    rows = [(words, names) for words, names in rows if names]
    if not rows:
        raise plots.NothingToDrawError(f"{run.folder}: none of the experiment's conditions was run")
    metrics = run.metrics()
    steps = run.record["parameters"]["iterations"]["value"]
    replicas = min(3, len(set(metrics["replica"])))
    figure = plots.new_figure(
        run, 2.2 + 1.9 * replicas, 0.9 + 2.1 * len(rows), "The more the feedback learns, the faster the error falls"
    )
    axes = figure.subplots(len(rows), replicas, sharex=True, sharey=True, squeeze=False)
    for row, (words, names) in zip(axes, rows, strict=True):
        for name in names:
            short = name.removeprefix(FROM_ZERO)
            epoch, values = plots.over_epochs(run, metrics, name, "test")
            style = dict(
                color=COLORS[short], linestyle="--" if short == GRADIENT else "-", zorder=3 if short == GRADIENT else 2
            )
            for r, ax in enumerate(row):
                ax.plot(steps * epoch, values[:, r], label=WORDS[short], **style)
        for r, ax in enumerate(row):
            ax.set_title(f"start: {words}, run {r + 1}" if r == 0 else f"run {r + 1}", fontsize=8)
        row[0].set_ylabel("normalised squared error (1)")
        row[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(1e-31, 10)
    for ax in axes[-1]:
        ax.set_xlabel("iteration")
    return figure


def relative_differences(run):
    """Final weights with updated random feedback beside those of gradient descent from the same start (Fig. 3)."""
    if not {GRADIENT, URFB} <= set(run.record["conditions"]):
        raise plots.NothingToDrawError(f"{run.folder}: needs the conditions {GRADIENT} and {URFB}")
    taught, gradient = (run.of_condition("weights.npz", name) for name in (URFB, GRADIENT))
    layers = sorted(name for name in gradient if name.startswith("W"))
    replicas = min(3, len(gradient[layers[0]][0]))
    figure = plots.new_figure(
        run,
        2.0 + 1.9 * replicas,
        0.9 + 1.7 * len(layers),
        "Same start, same rule, error effectively zero: yet other weights than gradient descent's",
    )
    axes = figure.subplots(len(layers), replicas, sharex=True, squeeze=False)
    for row, layer in zip(axes, layers, strict=True):
        for r, ax in enumerate(row):
            found, wanted = taught[layer][0][r], gradient[layer][0][r]
            relative = ((found - wanted) / np.abs(wanted)).ravel()
            ax.hist(relative, np.linspace(-LIMIT, LIMIT, 61), color="C3", linewidth=0)
            ax.axvline(0, color="k", linewidth=0.7)
            whole = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
            ax.set_title(
                f"{layer}, run {r + 1}: median {np.median(np.abs(relative)):.2f}, "
                f"beyond {LIMIT}: {100 * np.mean(np.abs(relative) > LIMIT):.0f} %\n"
                f"of the whole matrix: {whole:.2f}",
                fontsize=6.5,
            )
            ax.set_yticks([])
        row[0].set_ylabel("weights")
    for ax in axes[-1]:
        ax.set_xlabel("(w URFB - w gradient) / |w gradient| (1)", fontsize=7)
    return figure


LIMIT = 2  # of the relative differences that are told apart

LINEAR = Experiment(
    name="linear",
    title="feedback that learns as the forward weights do speeds a linear network up (Figs 3, 4)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "matrix": Preset(
            values={
                "replicas": (3, f"{SECTION}: three runs"),
                "epochs": (50, f"{SECTION}: 5000 iterations"),
                "lanes": (40, "all inputs, side by side"),
            },
            inputs=40,
            duration="1 min",
            expect=(
                Expect(1e-15, "as fast as gradient descent", URFB),
                Expect(1e-15, "error effectively zero", GRADIENT),
                Expect(1e-4, "slower than urfb", FRFB, least=1e-9),
            ),
            task=task,
        )
    },
    build=build,
    conditions=CONDITIONS,
    factors=("feedback", "epsilon", "start"),
    metric="nse",
    neurons={"input": neurons.INPUT, "hidden and output": neurons.LINEAR, "error": neurons.RATE_ERROR,
             "feedback": FEEDBACK, "one direction of T, k = 3": theory.flow(3)},
    texts={
        "W transmit": FORWARD,
        "W rule": LEARN,
        "R transmit (gradient: W read backwards)": RETURN,
        "R rule, epsilon > 0": MIRROR,
        "output to error": GUESS,
        "feedback to hidden, error to output": MODULATE,
        "hidden to feedback": COPY,
    },
    study=study,
    figures=(errors, relative_differences, theorems, outside),
)  # fmt: skip
