"""Networks without a memory (Figs 2, 3 and 5): layers of rate neurons that learn from one error an example.

Equations   v = r W + b    r = f(v)                     forward neurons, layer after layer; y the last
            e = target - y                              error neurons, beside the output neurons
            d = (e . f'(v_y)) W^T,  d = (d . f'(v)) W^T backprop, from layer to layer; '.' is elementwise
            d = e B,  d = d B                           feedback alignment: fixed random B, no slopes on the way
            d = (e . f'(v_y)) B                         the same with the output's slope, see mnist
            dW_ij = eta r_i f'(v_j) d_j - gamma W_ij    for every example; for the output d = e
            dW_ij = eta (L - L_xi) xi_j / sigma^2 r_i   node perturbation of hidden layers: L = |e|^2 / 2 without and
                                                        L_xi with noise xi ~ N(0, sigma^2) added to their potentials
One time step is one example; node perturbation takes two, with noise and then without, and learns at the end.
"""

import numpy as np
from brian2 import Clock, Network, ms

from neurosim import neurons
from neurosim.analysis import angle
from neurosim.connectivity import Dense, Random, Transposed
from neurosim.experiment import Parameter
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection, Uniform
from neurosim.recording import Guard, ModulatorAngle, Readout, SquaredError
from neurosim.training import Circuit

SLOPED = "error*slope"  # what B carries from the error neurons, where it is not the bare error
BACKPROP, ALIGNMENT, SHALLOW, PERTURBATION = "backprop", "feedback_alignment", "shallow", "node_perturbation"

FORWARD = "v_post = w * r_pre"
THREE_FACTORS = "w += eta * r_pre * psi_post * m_post - decay * w"
GUESS = "guess_post = r_pre"
SLOPE = "slope_post = psi_pre"
MODULATE = "m_post = d_pre"
RANDOM_FEEDBACK = "d_post = w * d_pre"
SLOPED_FEEDBACK = "d_post = w * d_pre * slope_pre"
PERTURB = "v_post = noise_pre\nkick_post = noise_pre"
LOSS = "loss_post = 0.5 * d_pre**2"

TEXTS = {
    "W, b transmit": FORWARD,
    "W, b rule": THREE_FACTORS,
    "B transmit, feedback alignment": f"{RANDOM_FEEDBACK}    (mnist: as the next line)",
    "W read backwards, backprop: weight transport": SLOPED_FEEDBACK,
    "output to error": f"{GUESS}, {SLOPE}",
    "feedback to hidden, error to output": MODULATE,
    "noise to hidden, node perturbation": PERTURB.replace("\n", ", "),
    "error to critic, node perturbation": LOSS,
    "W, b rule of hidden layers, node perturbation": library.NODE_PERTURBATION.events,
}
FEEDBACK_NEURONS = {
    "input": neurons.INPUT,
    "error": neurons.RATE_ERROR,
    "feedback": neurons.RATE_FEEDBACK,
    "bias": neurons.ON,
    "noise (node perturbation)": neurons.NOISE,
    "critic (node perturbation)": neurons.CRITIC,
}
TEST_LANES = 250  # the copy of a network in which tests run shows this many examples side by side


def parameters(section, algorithms, *, eta, hidden, w_width, b_width, sources):
    """Return what all experiments of this file have in common, with the values and sources of one of them."""
    return (
        Parameter(
            "algorithm", ALIGNMENT, "the conditions of the experiment",
            "what teaches the hidden layers", choices=algorithms,
        ),
        Parameter("hidden", hidden, section, "neurons in each hidden layer, input side first", "neurons", low=1),
        Parameter("eta", eta, sources["eta"], "learning rate", "1/example", low=0),
        Parameter("w_width", w_width, sources["w_width"], "half width of the uniform distribution of W", low=0),
        Parameter("b_width", b_width, sources["b_width"], "half width of the uniform distribution of B", low=0),
        Parameter("dt", 1 * ms, "ours: the paper counts examples", "time step", above=0),
    )  # fmt: skip


def build(values, data, seed, hidden, output, *, classes=None, biases=True, tester=False):
    """Return a layered circuit of rate neurons.

    Parameters
    ----------
    values : dict
        ``algorithm, hidden, eta, w_width, b_width, dt, lanes, replicas`` and, where the experiment has them, ``decay``,
        ``w_out_width`` (of W into the output), ``density`` (of that W and of B), ``signal`` (what B carries), ``frozen`` (hidden layers from the input up that do not learn) and ``sigma``.
    data : DataSet or FunctionTask
        Decides the numbers of inputs and outputs.
    seed : int
        Decides the weights: those of one name are the same for every algorithm.
    hidden, output : NeuronType
        Transfer functions.
    classes : int, optional
        The output names one of so many classes; otherwise its squared error is read.
    biases : bool
        Whether neurons have biases that learn.
    tester : bool
        Build the copy in which tests are run: more lanes, no plasticity, no feedback.
    """
    algorithm = SHALLOW if tester else values["algorithm"]
    perturbs = algorithm == PERTURBATION
    clock = Clock(values["dt"])
    lanes = TEST_LANES if tester else values["lanes"]
    shape = dict(replicas=values["replicas"], lanes=lanes, clock=clock)
    inputs = data.train_images.shape[1] if classes else data.inputs
    sizes = [inputs, *values["hidden"], classes or data.outputs]
    top = len(sizes) - 1
    names = [f"h{k}" for k in range(1, top)] + ["y"]

    x = Population(sizes[0], neurons.INPUT, order=0, name="x", **shape)
    kinds = [_with_noise(hidden) if perturbs else hidden] * (top - 1) + [output]
    forward = [
        Population(n, kind, order=k, name=name, **shape)
        for k, (n, kind, name) in enumerate(zip(sizes[1:], kinds, names, strict=True), start=1)
    ]
    y = forward[-1]
    error = Population(sizes[-1], neurons.RATE_ERROR, order=top + 1, name="error", **shape)
    shown = Presentation({"perturbed": clock.dt, "clean": clock.dt} if perturbs else {"clean": clock.dt}, clock=clock)
    objects = [x, *forward, error, shown]

    # Forward synapses: W, and b from a neuron that is always on.
    widths = [values["w_width"]] * (top - 1) + [values.get("w_out_width", values["w_width"])]
    seeds = lambda *key: np.random.SeedSequence(seed, spawn_key=key)  # noqa: E731
    density = values.get("density", 1.0)
    eta = {"eta": values["eta"], "decay": values.get("decay", 0.0)}
    plain = THREE_FACTORS if eta["decay"] else THREE_FACTORS.split(" - ")[0]
    plastic, gated = {}, []
    critic = None
    if perturbs:
        critic = Population(1, neurons.CRITIC, order=top + 2, name="critic", **shape)
        shown.keep(critic, "loss", "perturbed", "perturbed")
        objects += [critic, Projection(error, critic, LOSS, connectivity=Dense(), name="loss")]
    bias = Population(1, neurons.ON, order=0, name="bias", **shape) if biases else None
    objects += [bias] if biases else []
    for k, (below, here, width) in enumerate(zip([x, *forward], forward, widths, strict=False), start=1):
        learns = not tester and (here is y or (algorithm != SHALLOW and k > values.get("frozen", 0)))
        rule = dict(rule=plain, namespace=eta) if learns else {}
        if learns and perturbs and here is not y:
            constants = {"eta": values["eta"], "sigma": values["sigma"]}
            signals = {"reward": (critic, "reward")}
            rule = dict(rule=library.NODE_PERTURBATION, when=shown.end("clean"), namespace=constants, signals=signals)
            shown.keep(here, "kick", "noise", "perturbed")
        sparse = dict(connectivity=Random(density)) if density < 1 and here is y else {}
        for kind, source in (("W", below), ("b", bias)) if biases else (("W", below),):
            name = f"{kind}_{here.name}"
            plastic[name] = Projection(
                source, here, FORWARD, weights=Uniform(width), seed=seeds(k, kind == "b"), name=name, **rule,
                **(sparse if kind == "W" else {}),
            )  # fmt: skip
            if perturbs and here is y:
                gated.append(plastic[name])

    # The error, and what it teaches: the output directly, hidden neurons through feedback.
    relays = [
        Projection(y, error, f"{GUESS}\n{SLOPE}", name="guess"),
        Projection(error, y, MODULATE, name="modulate_y"),
    ]
    fixed, paths = {}, {}
    above = error
    for k, here in reversed(list(enumerate(forward[:-1], start=1))):
        if algorithm not in (BACKPROP, ALIGNMENT):
            break
        name = f"feedback_{here.name}"
        feedback = Population(here.n, neurons.RATE_FEEDBACK, order=2 * top + 1 - k, name=name, **shape)
        onward = plastic[f"W_{forward[k].name}"]
        if algorithm == BACKPROP:
            backward = Projection(
                above, feedback, SLOPED_FEEDBACK, connectivity=Transposed(onward), name=f"WT_{here.name}"
            )
        else:
            with_slope = above is error and values.get("signal") == SLOPED
            backward = fixed[f"B_{here.name}"] = Projection(
                above, feedback, SLOPED_FEEDBACK if with_slope else RANDOM_FEEDBACK, weights=Uniform(values["b_width"]), seed=seeds(k, 2),
                connectivity=Random(density) if density < 1 and above is error else None, name=f"B_{here.name}",
            )  # fmt: skip
            paths = {here.name: (feedback, onward), **paths}
        relays += [
            Projection(here, feedback, SLOPE, name=f"slope_{here.name}"),
            Projection(feedback, here, MODULATE, name=f"modulate_{here.name}"),
        ]
        objects += [feedback, backward]
        above = feedback
    if perturbs:
        for k, here in enumerate(forward[:-1], start=1):
            noise = Population(
                here.n, neurons.NOISE, order=0, namespace={"sigma": values["sigma"]}, name=f"noise_{here.name}", **shape
            )
            objects += [noise, Projection(noise, here, PERTURB, name=f"perturb_{here.name}")]
            shown.by_phase(noise, "on", {"perturbed": 1.0, "clean": 0.0})
        for projection in gated:
            shown.gate(projection, "clean")

    readout = Readout(shown, y, "v", classes, "clean") if classes else SquaredError(shown, error, "clean")
    alignment = ModulatorAngle(shown, error, paths) if paths else None
    guard = Guard.of(plastic.values())
    targets = np.eye(classes) if classes else None

    def feed(inputs, wanted):
        shown.clamp(x, "r", inputs)
        if classes:
            shown.clamp(error, "target", targets, rows=wanted)
        else:
            shown.clamp(error, "target", wanted)

    circuit = Circuit(
        network=Network(*objects, *plastic.values(), *relays, readout, guard, *([alignment] if alignment else [])),
        populations={p.name: p for p in (x, *forward, error)},
        projections=plastic | fixed,
        presentation=shown,
        readout=readout,
        feed=feed,
        alignment=alignment,
    )
    if not tester:
        if "B_" + names[-2] in fixed:
            circuit.measures["angle_W_B"] = (lambda: _flat_angle(plastic["W_y"], fixed[f"B_{names[-2]}"]), "degree")
        circuit.tester = build(values, data, seed, hidden, output, classes=classes, biases=biases, tester=True)
    return circuit


def _flat_angle(forward, feedback):
    """Return the angle between W^T and B, flattened, (replicas,)."""
    w, b = np.swapaxes(forward.w, 1, 2), feedback.w
    return angle(w.reshape(len(w), -1), b.reshape(len(b), -1))


def _with_noise(kind):
    """Return a neuron type that also keeps the perturbation of its potential."""
    symbols = {"kick": "perturbation of v in this step (1)", "noise": "that of the perturbed step, kept (1)"}
    equations = f"{kind.equations}\nkick : 1\nnoise : 1"
    return neurons.NeuronType(equations, kind.update, symbols={**kind.symbols, **symbols}, source=kind.source)

