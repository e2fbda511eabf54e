"""The microcircuit at rest: two sweeps through the areas in the place of its dynamics, one time step a batch.

Equations   v_B,k = W_k r + b_k                  up: basal potentials, r = phi(v_B,k-1), for k = 1 the input
            u_N = v_B,N + l_N (t - v_B,N)        the output, nudged to the potential t
            v_D,k = IP_k phi(v_B,k) + b^I_k    u^I_k = v_D,k + l_I (u_k+1 - v_D,k)       down: interneurons, taught
            v_A,k = TD_k phi(u_k+1) + PI_k phi(u^I_k)    u_k = v_B,k + l_P v_A,k         apical dendrites and somas
            dW_k = eta_k / F_k <(phi(u_k) - phi(v_B,k)) r_k-1>    F_k = l_N (l_P (1 - l_I))^(N-k)
            dIP_k = following eta_k+1 / (F_k+1 l_I) <(phi(u^I_k) - phi(v_D,k)) r_k>
            dPI_k = eta_PI <(0 - v_A,k) r^I_k>
            dTD_k = eta_TD <(r_k - phi(TD_k r_k+1)) r_k+1>
            backprop, feedback alignment: dW_k = eta_k <delta_k r_k-1>    delta_N = phi'(v_B,N) (t - v_B,N)
            delta_k = phi'(v_B,k) B_k delta_k+1    B_k = W_k+1^T, or TD_k
Symbols     u soma, v_B, v_A, v_D basal, apical and interneurons' dendrites (1); r rates, phi logistic; k area, N
            output, t logit of the target rate; W forward, IP and PI onto and from interneurons, TD top-down weights; b
            biases; l_P, l_I, l_N mixing: weight of what teaches the soma of a hidden, an inter- and an output neuron;
            <.> mean over lanes
Theory      Self-predicting (PI = -TD, IP_k = W_k+1): u^I - v_D = l_I d with d = u_k+1 - v_B,k+1, so that to first order
            in d phi(u_k+1) - phi(u^I_k) = (1 - l_I) phi' d: area k gets F_k times the signal that feedback alignment
            through TD has, hence eta_k / F_k. The interneuron's own error is phi' l_I d: with following = 1 IP_k
            changes as W_k+1 does, and the circuit stays self-predicting while it learns. What sets the two apart,
            e = IP_k - W_k+1, fades: de = -eta_k+1 / F_k+1 <phi' (e r_k) r_k>. A batch at a time this is stable up to
            eta_k+1 / F_k+1 = 2 / (phi' |r_k|^2), about 0.06 for 500 units: it bounds the rates of all W but W_1.
"""

import numpy as np
from brian2 import Clock, Network, ms

from neurosim.analysis import angle_of_ways
from neurosim.connectivity import Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter, check_ranges
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout, RootMeanSquare
from neurosim.training import Circuit
from neurosim.weights import Uniform, glorot
from neurosim_models.sacramento_2018 import steady_cells as cells
from neurosim_models.sacramento_2018.network import distance

MICROCIRCUIT, BACKPROP, ALIGNMENT = "microcircuit", "backprop", "feedback_alignment"
TEST_LANES = 250  # the copy in which tests run shows at most this many images side by side


def parameters(section):
    """Return the parameters of experiments at rest; ``section`` is where the sizes are from."""
    ours = "ours: not published; searched, see Departures"
    conductances = "ours: not published; 0.8 / 1.9, the conductances of the simulations in time"
    return (
        Parameter("hidden", (500, 500), section, "pyramidal cells in each hidden area, input side first", "cells",
                  low=1),
        Parameter("algorithm", MICROCIRCUIT, "the conditions of the experiment", "what carries errors back",
                  choices=(MICROCIRCUIT, BACKPROP, ALIGNMENT)),
        Parameter("eta", (0.025, 0.003, 0.0126), ours,
                  "learning rates of W_1, W_2, ..., before the division by F_k", "1/batch", low=0),
        Parameter("eta_backprop", (10.0, 10.0, 0.03), ours, "the same for backprop", "1/batch", low=0),
        Parameter("frozen", 0, "the conditions of the experiment", "areas whose W stays as it is, from the input up",
                  "areas", low=0),
        Parameter("width_first", 1.0, "ours: Glorot's", "width of W_1, in that of Glorot's distribution", above=0),
        Parameter("decay", 0.88, ours, "factor of all learning rates from pass to pass", above=0, high=1),
        Parameter("following", 1.0, "the derivation above; the simulations in time have it as well",
                  "rate of IP_k, in units of that at which it follows W_(k+1)", low=0),
        Parameter("eta_PI", 0.0, f"{section}: fixed", "learning rate of PI", "1/batch", low=0),
        Parameter("eta_TD", 0.0, f"{section}: fixed", "learning rate of TD", "1/batch", low=0),
        Parameter("top_down", (1.0, 10.0), ours, "half widths of the uniform distributions of TD_1, TD_2, ...", low=0),
        Parameter("mixing_hidden", 0.42, conductances, "l_P: weight of the apical potential", above=0, below=1),
        Parameter("mixing_interneuron", 0.42, conductances, "l_I: weight of the teaching soma", above=0, below=1),
        Parameter("mixing_output", 0.42, conductances, "l_N: weight of the target", above=0, below=1),
        Parameter("rate_shown", 0.8, section, "target rate of the class shown", above=0, below=1),
        Parameter("rate_others", 0.1, section, "target rate of the others", above=0, below=1),
        Parameter("dt", 1 * ms, "ours: the paper counts batches", "time step", above=0),
    )  # fmt: skip


def check(values):
    """Refuse values out of range, and such that do not go together."""
    depth = len(values["hidden"])
    every = "areas above the input"
    for name, count, words in (
        ("eta", depth + 1, every),
        ("eta_backprop", depth + 1, every),
        ("top_down", depth, "hidden areas"),
    ):
        if len(values[name]) != count:
            raise ParameterError(
                f"{name}: one number for each of the {count} {words} is needed, got {len(values[name])}"
            )
    for name in ("rate_shown", "rate_others"):
        if not 0 < values[name] < 1:
            raise ParameterError(
                f"{name}: a target must lie between 0 and 1, the limits of the output's rate, which no potential "
                f"reaches; got {values[name]:g}"
            )
    if values["rate_others"] >= values["rate_shown"]:
        raise ParameterError(
            f"rate_others: must be below rate_shown, {values['rate_shown']:g}, got {values['rate_others']:g}"
        )
    if values["frozen"] > depth:
        raise ParameterError(f"frozen: the output at least must learn: at most {depth}, got {values['frozen']}")
    learns_beside = [name for name in ("eta_PI", "eta_TD") if values[name]]
    if learns_beside and values["algorithm"] != MICROCIRCUIT:
        raise ParameterError(f"{learns_beside[0]}: a rule of the microcircuit only; {values['algorithm']} needs 0")
    check_ranges(parameters(""), values)


def signal(values):
    """Return F_k, the signal of area k of the circuit in units of that of feedback alignment, for k = 1 .. N."""
    an_area = values["mixing_hidden"] * (1 - values["mixing_interneuron"])
    return values["mixing_output"] * an_area ** np.arange(len(values["hidden"]), -1, -1.0)


def rates(values):
    """Return the learning rates of W_1, ..., W_N as they are in the rules, (N,)."""
    if values["algorithm"] == BACKPROP:
        eta = np.array(values["eta_backprop"])
    elif values["algorithm"] == ALIGNMENT:
        eta = np.array(values["eta"])
    else:
        eta = np.array(values["eta"]) / signal(values)
    return np.where(np.arange(len(eta)) < values["frozen"], 0.0, eta)


def build(values, data, seed, precision=np.float32):
    """Return the circuit for these values, this data set and this seed; tests run in a copy without targets."""
    check(values)
    learner = Areas(values, data, seed, precision)
    circuit = learner.circuit()
    examined = {**values, "lanes": min(TEST_LANES, len(data.test_labels))}
    tester = Areas(examined, data, seed, precision, learns=False)
    circuit.tester = tester.circuit()
    circuit.measures = learner.measures(tester)

    def schedule(epoch):
        learner.teacher.view("step")[...] = values["decay"] ** (epoch - 1)

    circuit.schedule = schedule
    schedule(1)
    return circuit


class Areas:
    """Areas under construction: x, h1, h2, ..., y, and interneurons i1, i2, ...

    Parameters
    ----------
    values : dict
        As :func:`parameters` names them, with lanes and replicas.
    data : DataSet
        Decides the numbers of inputs and outputs.
    seed : int
        Decides the weights: those of one name are the same for every algorithm.
    precision : numpy dtype
        Of all states.
    learns : bool
        Whether synapses learn and targets are given.
    """

    def __init__(self, values, data, seed, precision=np.float32, learns=True):
        self.values, self.seed, self.learns = values, seed, learns
        self.local = values["algorithm"] == MICROCIRCUIT
        self.clock = Clock(values["dt"])
        self.shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=self.clock, dtype=precision)
        self.shown = Presentation(self.clock.dt, clock=self.clock)
        self.rates, top = rates(values), len(values["hidden"]) + 1
        self.x = self._population("x", data.train_images.shape[1], cells.CLAMPED, 0)
        self.bias = self._population("bias", 1, cells.ON, 0)
        self.teacher = self._population("teacher", 1, cells.TEACHER, 0)
        kinds = (cells.PYRAMIDAL, cells.OUTPUT) if self.local else (cells.HIDDEN_LIMIT, cells.OUTPUT_LIMIT)
        self.hidden = [
            self._population(f"h{k}", n, kinds[0], k, "mixing_hidden") for k, n in enumerate(values["hidden"], start=1)
        ]  # fmt: skip
        self.y = self._population("y", data.n_classes, kinds[1], top, "mixing_output")
        self.areas = [self.x, *self.hidden, self.y]
        self.plastic, self.others, self.interneurons = {}, [], []
        for k in range(1, top + 1):
            below, here = self.areas[k - 1], self.areas[k]
            w, b = glorot(below.n, here.n, values["width_first"] if k == 1 else 1.0), np.zeros((1, here.n))
            self._synapses(f"W_{here.name}", below, here, cells.BASAL, w, (k, 0), cells.PREDICT, self.rates[k - 1])
            self._synapses(f"b_{here.name}", self.bias, here, cells.BASAL, b, (), cells.PREDICT, self.rates[k - 1])
        for k in range(top - 1, 0, -1):
            (self._beside if self.local else self._back)(k, 2 * (top - k) + top - 2)
        apical = {h.name: lambda h=h: h.view("v_TD") + h.view("v_PI") for h in self.hidden if self.local}
        self.apical = RootMeanSquare(self.shown, apical, values["replicas"], name="apical")

    def _population(self, name, n, kind, order, mixing=None):
        constants = {}
        if mixing and self.local:
            nudged = self.learns or kind is not cells.OUTPUT
            constants = {"mix": self.values[mixing] if nudged else 0.0}
        return Population(n, kind, order=order, name=name, namespace=constants, **self.shape)

    def _synapses(self, name, source, target, transmit, weights, key, rule, eta, order=None):
        """Make synapses with weights, which learn where they have a rate."""
        learning = {}
        if self.learns and eta > 0:
            learning = dict(rule=rule, namespace={"eta": float(eta)}, signals={"step": (self.teacher, "step")})
        seed = np.random.SeedSequence(self.seed, spawn_key=key) if key else None
        made = Projection(source, target, transmit, weights=weights, seed=seed, name=name, order=order, **learning)
        self.plastic[name] = made
        return made

    def _beside(self, k, order):
        """Make the top-down synapses onto area k, at this place in the sweep, and its interneurons."""
        values, here, above = self.values, self.areas[k], self.areas[k + 1]
        name = f"i{k}"
        beside = self._population(name, above.n, cells.INTERNEURON, k, "mixing_interneuron")
        self.interneurons.insert(0, beside)
        eta = values["following"] * self.rates[k] / values["mixing_interneuron"]
        start = {each: self.plastic[f"{each}_{above.name}"].copy_of_weights() for each in "Wb"}
        self._synapses(f"IP_{here.name}", here, beside, cells.DENDRITE, start["W"], (), cells.PREDICT, eta)
        self._synapses(f"b_{name}", self.bias, beside, cells.DENDRITE, start["b"], (), cells.PREDICT, eta)
        self.others.append(Projection(above, beside, cells.TEACH, name=f"teach_{name}", order=order))
        width = Uniform(values["top_down"][k - 1])
        td = self._synapses(
            f"TD_{here.name}", above, here, cells.FROM_ABOVE, width, (k, 1), cells.RECONSTRUCT, values["eta_TD"], order
        )
        cancelling = -td.copy_of_weights()
        self._synapses(
            f"PI_{here.name}", beside, here, cells.FROM_INTERNEURONS, cancelling, (), cells.SILENCE, values["eta_PI"],
            order + 1,
        )  # fmt: skip

    def _back(self, k, order):
        """Make the way back of errors onto area k: along W, or along weights of its own."""
        here, above = self.areas[k], self.areas[k + 1]
        if self.values["algorithm"] == BACKPROP:
            kind = Transposed(self.plastic[f"W_{above.name}"])
            self.others.append(
                Projection(above, here, cells.BACK, connectivity=kind, order=order, name=f"WT_{here.name}")
            )
            return
        width = Uniform(self.values["top_down"][k - 1])
        self._synapses(f"TD_{here.name}", above, here, cells.BACK, width, (k, 1), None, 0.0, order)

    def measures(self, tester):
        """Return what is computed after every epoch: how self-predicting, and how aligned, the areas are."""
        made = {}
        for k, h in enumerate(self.hidden, start=1):
            w, td = self.plastic[f"W_{self.areas[k + 1].name}"], self.plastic.get(f"TD_{h.name}")
            if td is not None:
                ways = lambda w=w, td=td: angle_of_ways(w.copy_of_weights(), td.copy_of_weights())  # noqa: E731
                made[f"angle_{h.name}"] = (ways, "degree")
            if self.local:
                ip = self.plastic[f"IP_{h.name}"]
                made[f"lateral_{h.name}"] = (lambda w=w, ip=ip: distance(ip, w, 1), "1")
                made[f"apical_{h.name}"] = (lambda h=h: self.apical[h.name], "1")
                made[f"apical_no_target_{h.name}"] = (lambda h=h: tester.apical[h.name], "1")
        return made

    def circuit(self):
        """Return the network with what feeds and reads it."""
        shown, values = self.shown, self.values
        targets = np.where(np.eye(self.y.n, dtype=bool), values["rate_shown"], values["rate_others"])
        wanted = np.log(targets / (1 - targets))
        readout = Readout(shown, self.y, "v_B", self.y.n)

        def feed(images, labels):
            shown.clamp(self.x, "r", images)
            shown.clamp(self.y, "target", wanted, rows=labels)
            self.apical.begin()

        populations = [*self.areas, *self.interneurons]
        synapses = [*self.plastic.values(), *self.others]
        return Circuit(
            network=Network(
                *populations, self.bias, self.teacher, *synapses, shown, readout, self.apical,
                Guard.of(self.plastic.values()),
            ),
            populations={p.name: p for p in populations},
            projections=self.plastic,
            presentation=shown,
            readout=readout,
            feed=feed,
        )  # fmt: skip
