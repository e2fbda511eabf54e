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
from neurosim.analysis import angle_of_ways
from neurosim.connectivity import Dense, Random, Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, ModulatorAngle, Readout, SquaredError
from neurosim.training import Circuit
from neurosim.weights import Uniform

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


def build(values, data, seed, hidden, output, *, classes=None, biases=True):
    """Return a layered circuit of rate neurons, with a copy of more lanes in which tests are run.

    Parameters
    ----------
    values : dict
        ``algorithm, hidden, eta, w_width, b_width, dt, lanes, replicas`` and, where the experiment has them, ``decay``,
        ``w_out_width`` (of W into the output), ``density`` (of that W and of B), ``signal`` (what B carries),
        ``frozen`` (hidden layers from the input up that do not learn) and ``sigma``.
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
    """
    if values.get("frozen", 0) > len(values["hidden"]):
        raise ParameterError(f"frozen: there are {len(values['hidden'])} hidden layers, got {values['frozen']}")
    inputs, outputs = (data.train_images.shape[1], classes) if classes else (data.inputs, data.outputs)
    sizes = [inputs, *values["hidden"], outputs]
    examined = {**values, "algorithm": SHALLOW, "lanes": TEST_LANES}
    circuit = _Layers(values, seed, sizes, hidden, output, biases, learns=True).circuit(classes)
    circuit.tester = _Layers(examined, seed, sizes, hidden, output, biases, learns=False).circuit(classes)
    return circuit


class _Layers:
    """A layered network under construction."""

    def __init__(self, values, seed, sizes, hidden, output, biases, learns):
        self.values, self.seed, self.learns = values, seed, learns
        self.algorithm = values["algorithm"]
        self.density = values.get("density", 1.0)
        clock = Clock(values["dt"])
        self.shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=clock)
        perturbs = self.algorithm == PERTURBATION
        phases = {"perturbed": clock.dt, "clean": clock.dt} if perturbs else {"clean": clock.dt}
        self.shown = Presentation(phases, clock=clock)

        self.top = len(sizes) - 1
        names = [f"h{k}" for k in range(1, self.top)] + ["y"]
        kinds = [_with_noise(hidden) if perturbs else hidden] * (self.top - 1) + [output]
        self.x = self._population("x", sizes[0], neurons.INPUT, 0)
        self.forward = [
            self._population(name, n, kind, k)
            for k, (name, n, kind) in enumerate(zip(names, sizes[1:], kinds, strict=True), start=1)
        ]
        self.bias = self._population("bias", 1, neurons.ON, 0) if biases else None
        self.error = self._population("error", sizes[-1], neurons.RATE_ERROR, self.top + 1)
        self.objects = [self.x, *self.forward, self.error, *([self.bias] if biases else [])]
        self.plastic, self.fixed, self.paths = {}, {}, {}
        self.critic = self._perturb() if perturbs else None
        self._connect_forward()
        self.objects += [
            Projection(self.forward[-1], self.error, f"{GUESS}\n{SLOPE}", name="guess"),
            Projection(self.error, self.forward[-1], MODULATE, name="modulate_y"),
        ]
        if self.algorithm in (BACKPROP, ALIGNMENT):
            self._connect_feedback()

    def _population(self, name, n, kind, order, **more):
        return Population(n, kind, order=order, name=name, **self.shape, **more)

    def _seed(self, *key):
        return np.random.SeedSequence(self.seed, spawn_key=key)

    def _connect_forward(self):
        """Make W, and b from a neuron that is always on, of every layer."""
        values = self.values
        widths = [values["w_width"]] * (self.top - 1) + [values.get("w_out_width", values["w_width"])]
        for k, (below, here, width) in enumerate(
            zip([self.x, *self.forward], self.forward, widths, strict=False), start=1
        ):
            learns = self._rule(k, here)
            start = dict(transmit=FORWARD, weights=Uniform(width), **learns)
            sparse = Random(self.density) if self.density < 1 and k == self.top else None
            name = f"W_{here.name}"
            self.plastic[name] = Projection(below, here, seed=self._seed(k, 0), name=name, connectivity=sparse, **start)
            if self.bias is not None:
                name = f"b_{here.name}"
                self.plastic[name] = Projection(self.bias, here, seed=self._seed(k, 1), name=name, **start)
        if self.critic is not None:
            for kind in ("W", "b") if self.bias is not None else ("W",):
                self.shown.gate(self.plastic[f"{kind}_y"], "clean")

    def _rule(self, k, here):
        """Return what the weights into layer k learn by, as arguments of a Projection."""
        values = self.values
        into_output = k == self.top
        taught = into_output or (self.algorithm != SHALLOW and k > values.get("frozen", 0))
        if not (self.learns and taught):
            return {}
        if self.critic is not None and not into_output:
            constants = {"eta": values["eta"], "sigma": values["sigma"]}
            signals = {"reward": (self.critic, "reward")}
            end = self.shown.end("clean")
            return dict(rule=library.NODE_PERTURBATION, when=end, namespace=constants, signals=signals)
        if not values.get("decay"):
            return dict(rule=THREE_FACTORS.split(" - ")[0], namespace={"eta": values["eta"]})
        return dict(rule=THREE_FACTORS, namespace={"eta": values["eta"], "decay": values["decay"]})

    def _connect_feedback(self):
        """Make feedback neurons, from the highest hidden layer down, that carry the error to the hidden neurons."""
        above = self.error
        for k in range(self.top - 1, 0, -1):
            here, onward = self.forward[k - 1], self.plastic[f"W_{self.forward[k].name}"]
            feedback = self._population(f"feedback_{here.name}", here.n, neurons.RATE_FEEDBACK, 2 * self.top + 1 - k)
            if self.algorithm == BACKPROP:
                backward = Projection(
                    above, feedback, SLOPED_FEEDBACK, connectivity=Transposed(onward), name=f"WT_{here.name}"
                )
            else:
                sloped = above is self.error and self.values.get("signal") == SLOPED
                backward = self.fixed[f"B_{here.name}"] = Projection(
                    above, feedback, SLOPED_FEEDBACK if sloped else RANDOM_FEEDBACK,
                    weights=Uniform(self.values["b_width"]), seed=self._seed(k, 2),
                    connectivity=Random(self.density) if self.density < 1 and above is self.error else None,
                    name=f"B_{here.name}",
                )  # fmt: skip
                self.paths = {here.name: (feedback, onward), **self.paths}
            slope = Projection(here, feedback, SLOPE, name=f"slope_{here.name}")
            modulate = Projection(feedback, here, MODULATE, name=f"modulate_{here.name}")
            self.objects += [feedback, backward, slope, modulate]
            above = feedback

    def _perturb(self):
        """Make the noise of node perturbation and the critic who says what it gained; return the critic."""
        critic = self._population("critic", 1, neurons.CRITIC, self.top + 2)
        self.objects += [critic, Projection(self.error, critic, LOSS, connectivity=Dense(), name="loss")]
        self.shown.keep(critic, "loss", "perturbed", "perturbed")
        for here in self.forward[:-1]:
            sigma = {"sigma": self.values["sigma"]}
            noise = self._population(f"noise_{here.name}", here.n, neurons.NOISE, 0, namespace=sigma)
            self.objects += [noise, Projection(noise, here, PERTURB, name=f"perturb_{here.name}")]
            self.shown.by_phase(noise, "on", {"perturbed": 1.0, "clean": 0.0})
            self.shown.keep(here, "kick", "noise", "perturbed")
        return critic

    def circuit(self, classes):
        """Return the network with what feeds and reads it."""
        shown, x, y, error = self.shown, self.x, self.forward[-1], self.error
        readout = Readout(shown, y, "v", classes, "clean") if classes else SquaredError(shown, error, "clean")
        alignment = ModulatorAngle(shown, error, self.paths) if self.paths else None
        recorders = [readout, Guard.of(self.plastic.values()), *([alignment] if alignment else [])]
        one_hot = np.eye(classes) if classes else None

        def feed(inputs, wanted):
            shown.clamp(x, "r", inputs)
            if classes:
                shown.clamp(error, "target", one_hot, rows=wanted)
            else:
                shown.clamp(error, "target", wanted)

        last = f"B_{self.forward[-2].name}"
        measures = {}
        if last in self.fixed:
            w, b = self.plastic["W_y"], self.fixed[last]
            measures["angle_W_B"] = (lambda: angle_of_ways(w.copy_of_weights(), b.copy_of_weights()), "degree")
        return Circuit(
            network=Network(*self.objects, *self.plastic.values(), shown, *recorders),
            populations={p.name: p for p in (x, *self.forward, error)},
            projections=self.plastic | self.fixed,
            presentation=shown,
            readout=readout,
            feed=feed,
            alignment=alignment,
            measures=measures,
        )


def _with_noise(kind):
    """Return a neuron type that also keeps the perturbation of its potential."""
    symbols = {"kick": "perturbation of v in this step (1)", "noise": "that of the perturbed step, kept (1)"}
    equations = f"{kind.equations}\nkick : 1\nnoise : 1"
    return neurons.NeuronType(equations, kind.update, symbols={**kind.symbols, **symbols}, source=kind.source)
