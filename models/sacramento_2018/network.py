"""The microcircuit in time: areas of pyramidal cells, with interneurons beside those of the hidden areas.

Equations   see cells; areas k = 0 (input), 1 .. N - 1 (hidden), N (output), interneurons of area k as many as k + 1 has
            v_B,k = W_k r_(k-1)    v_A,k = TD_k r_(k+1) + PI_k r^I_k    v_D,k = IP_k r_k
            tau_w d delta/dt = -delta + right-hand side    dw/dt = eta delta      with the right-hand sides
            W_k     (phi(u_k) - phi(v^_B,k)) r_(k-1)                              forward
            IP_k    (phi(u^I_k) - phi(v^_D,k)) r_k                                pyramidal cell to interneuron
            PI_k    (0 - v_A,k) r^I_k                                             interneuron to apical dendrite
            TD_k    (phi(u_k) - phi(v_TD,k)) r_(k+1)                              top-down, where plastic
Silent      the self-predicting state: PI_k = -TD_k, IP_k = f W_(k+1), f = g_B / (g_lk + g_B + g_A) (g_lk + g_D) / g_D
            (without g_A where k + 1 is the output): v_A = 0 for any input as long as there is no target
All populations take an Euler step from the values before it; synapses learn in every step, but in a lag after each
change of the input, if there is one. Changes of all lanes are summed.
"""

from dataclasses import replace

import numpy as np
from brian2 import Clock, Network, ms, nS, pF, second

from neurosim.analysis import angle_of_ways
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter, check_ranges
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout, RootMeanSquare, SquaredError, Window
from neurosim.tasks import FunctionTask
from neurosim.training import Circuit
from neurosim.weights import Uniform
from neurosim_models.sacramento_2018 import cells

SELF_PREDICTING, RANDOM = "self_predicting", "random"
BASAL, DENDRITE = "v_B_post = w * r_pre", "v_D_post = w * r_pre"
FROM_ABOVE, FROM_INTERNEURONS = "v_TD_post = w * r_pre", "v_PI_post = w * r_pre"
TEACH = "taught_post = u_pre"
TEXTS = {
    "W transmit": BASAL,
    "IP transmit": DENDRITE,
    "PI transmit": FROM_INTERNEURONS,
    "TD transmit": FROM_ABOVE,
    "pyramidal cell to the interneuron it teaches": TEACH,
    "W, IP rule": library.DENDRITIC.events,
    "PI rule": library.APICAL_INHIBITION.events,
    "TD rule, where plastic": library.TOP_DOWN.events,
}
TEST_LANES = 50  # the copy without noise in which tests are run shows at most so many patterns side by side
TRACED, PATTERNS = 3, 3  # cells of each area in the traces, and for how many patterns
PHI = ("gamma", "slope", "theta")
CONDUCTANCES = ("g_lk", "g_B", "g_A", "g_D", "g_som")
S25 = "two re-implementations (sheet 2.5)"


def parameters(*, hidden, eta_W, eta_IP, eta_PI, source, g_A=0.8, sigma=0.1, patterns=S25):
    """Return the parameters of all experiments that run in time; ``source`` is where the learning rates are from."""
    return (
        Parameter("hidden", hidden, patterns, "pyramidal cells in each hidden area, input side first", "cells", low=1),
        Parameter("eta_W", eta_W, source, "learning rates of W_1, W_2, ...", "1/ms", low=0),
        Parameter("eta_IP", eta_IP, source, "learning rates of IP, area by area", "1/ms", low=0),
        Parameter("eta_PI", eta_PI, source, "learning rates of PI, area by area", "1/ms", low=0),
        Parameter("eta_TD", 0.0, "section 2: fixed", "learning rate of TD", "1/ms", low=0),
        Parameter("start", SELF_PREDICTING, "the paper: self-predicting", "IP and PI at the start",
                  choices=(SELF_PREDICTING, RANDOM)),
        Parameter("w_width", 1.0, S25, "half width of the uniform distribution of W", low=0),
        Parameter("td_width", 1.0, S25, "half width of that of TD, and of IP and PI where they start random", low=0),
        Parameter("g_lk", 0.1 * nS, S25, "leak", low=0),
        Parameter("g_B", 1.0 * nS, S25, "basal dendrite to soma", above=0),
        Parameter("g_A", g_A * nS, S25, "apical dendrite to soma", low=0),
        Parameter("g_D", 1.0 * nS, S25, "dendrite to soma of interneurons", above=0),
        Parameter("g_som", 0.8 * nS, S25, "nudge at the soma, of interneurons and of the output", low=0),
        Parameter("capacitance", 1.0 * pF, "the paper: 1, so that conductances are rates", "of the membrane", above=0),
        Parameter("E_exc", 1.0, S25, "excitatory reversal potential", above=0),
        Parameter("E_inh", -1.0, S25, "inhibitory reversal potential", below=0),
        Parameter("gamma", 0.1, S25, "scale of rates", above=0),
        Parameter("slope", 1.0, S25, "steepness of the soft rectification", above=0),
        Parameter("theta", 3.0, S25, "threshold of the soft rectification"),
        Parameter("sigma", sigma, S25, "background noise while it learns; none in tests", "1/sqrt(ms)", low=0),
        Parameter("tau_w", 30 * ms, S25, "low-pass of the changes of weights", above=0),
        Parameter("tau_0", 3 * ms, S25, "low-pass of the input's rates", above=0),
        Parameter("pattern", 100 * ms, S25, "time for which a pattern is shown", above=0),
        Parameter("lag", 0 * ms, "the paper: none", "time after a change of input in which nothing is learned", low=0),
        Parameter("dt", 0.1 * ms, S25, "time step", above=0),
    )  # fmt: skip


def time_constants(values):
    """Return the time constants of a network, by the parameters that set them, in seconds."""
    leak, pull = values["g_lk"], values["g_som"]
    sums = {
        "g_lk + g_B + g_A": leak + values["g_B"] + values["g_A"],
        "g_lk + g_B + g_som": leak + values["g_B"] + pull,
        "g_lk + g_D + g_som": leak + values["g_D"] + pull,
    }
    membranes = {f"capacitance / ({words})": float(values["capacitance"] / total) for words, total in sums.items()}
    return {name: float(values[name]) for name in ("tau_w", "tau_0")} | membranes


def check(values):
    """Refuse values out of range, and such that do not go together."""
    check_ranges(parameters(hidden=(1,), eta_W=(0.0,), eta_IP=(0.0,), eta_PI=(0.0,), source=""), values)
    depth = len(values["hidden"])
    for name, count, words in (
        ("eta_W", depth + 1, "areas above the input"),
        ("eta_IP", depth, "hidden areas"),
        ("eta_PI", depth, "hidden areas"),
    ):  # fmt: skip
        if len(values[name]) != count:
            raise ParameterError(f"{name}: one learning rate for each of the {count} {words}, got {len(values[name])}")
    dt, taus = float(values["dt"]), time_constants(values)
    name = min(taus, key=taus.get)
    if taus[name] < dt:
        pattern = float(values["pattern"])
        fits = pattern / np.ceil(2 * pattern / taus[name])  # half of it, or less, and a part of the pattern
        raise ParameterError(
            f"{name} = {1e3 * taus[name]:g} ms, the shortest time constant, is below dt = {1e3 * dt:g} ms: an "
            f"Euler step would carry the state past where it is drawn to; dt = {1e3 * fits:.4g} ms would do"
        )
    for name in ("u_shown", "u_others"):
        if name in values and not values["E_inh"] <= values[name] <= values["E_exc"]:
            raise ParameterError(
                f"{name}: a target must lie between E_inh = {values['E_inh']:g} and E_exc = {values['E_exc']:g}, or a "
                f"conductance of the nudge would be below zero; got {values[name]:g}"
            )
    if values["lag"] >= values["pattern"]:
        raise ParameterError(
            f"lag: must be shorter than the pattern, {values['pattern']}, or nothing is learned; got {values['lag']}"
        )


def attenuation(values):
    """Return how much of a dendrite's potential reaches the soma: of hidden areas, interneurons, the output."""
    g_lk, g_B, g_A, g_D = (float(values[name]) for name in ("g_lk", "g_B", "g_A", "g_D"))
    return {"hidden": g_B / (g_lk + g_B + g_A), "interneuron": g_D / (g_lk + g_D), "output": g_B / (g_lk + g_B)}


def mixing(values):
    """Return lambda, the weight of the teaching signal at the soma: of hidden areas, interneurons, the output."""
    g_lk, g_B, g_A, g_D, g_som = (float(values[name]) for name in CONDUCTANCES)
    return {
        "hidden": g_A / (g_lk + g_B + g_A),
        "interneuron": g_som / (g_lk + g_D + g_som),
        "output": g_som / (g_lk + g_B + g_som),
    }  # fmt: skip


def rate(u, values):
    """Return phi(u)."""
    gamma, slope, theta = (values[name] for name in PHI)
    return gamma * np.logaddexp(0, slope * (u - theta))


def without_noise(kind):
    """Return a neuron type without the background noise."""
    return replace(kind, equations=kind.equations.replace(" + sigma * xi", ""))


class RatesError(SquaredError):
    """Squared error of the rates that the output's dendrites predict, with the rates of the targets."""

    def __init__(self, presentation, population, values):
        self.values = values
        super().__init__(presentation, population, name="rates_error")

    def read(self):
        """Return the rates of targets and of the attenuated basal potential, each (replicas, lanes, n)."""
        share = attenuation(self.values)["output"]
        y = self.population
        return rate(y.view("target"), self.values), rate(share * y.view("v_B"), self.values)


def build(values, data, seed, reads=None):
    """Return the circuit for these values, with traces; tests are run in a copy without noise.

    Parameters
    ----------
    values : dict
        See :class:`Layers`; and ``tested``, how long a test shows a pattern, if not as long as training does.
    data : DataSet or FunctionTask
        What is learned.
    seed : int
        Decides weights and noise.
    reads : callable (Layers) -> SquaredError, optional
        What is read; without it the rates of the output, or the class.
    """
    layers = Layers(values, data, seed)
    circuit = layers.circuit(reads)
    circuit.windows = layers.windows()
    circuit.network.add(*circuit.windows.values())
    tests = len(data.test_labels) if hasattr(data, "test_labels") else data.tests
    shown = values.get("tested", values["pattern"])
    examined = {**values, "lanes": min(TEST_LANES, tests), "sigma": 0.0, "lag": 0 * ms, "pattern": shown}
    tester = Layers(examined, data, seed, learns=False)
    circuit.tester = tester.circuit(reads)
    circuit.measures |= {f"{name}_no_target": each for name, each in tester.measures("apical").items()}
    return circuit


class Layers:
    """Areas under construction: x, h1, h2, ..., y, and interneurons i1, i2, ...

    Parameters
    ----------
    values : dict
        As :func:`parameters` names them, with lanes and replicas, and ``nudged`` (1 if left out): whether the output is
        given targets.
    data : DataSet or FunctionTask
        Decides the numbers of inputs and outputs.
    seed : int
        Decides the weights.
    learns : bool
        Whether synapses learn and targets are given.
    precision : numpy dtype
        Of all states.
    """

    def __init__(self, values, data, seed, learns=True, precision=np.float32):
        check(values)
        self.values, self.data, self.seed, self.learns = values, data, seed, learns
        self.clock = Clock(values["dt"])
        self.shape = dict(
            replicas=values["replicas"], lanes=values["lanes"], clock=self.clock, dtype=precision, order=0
        )  # fmt: skip
        lag, pattern = values["lag"], values["pattern"]
        phases = {"lag": lag, "learning": pattern - lag} if lag > 0 * second else {"learning": pattern}
        self.shown = Presentation(phases, clock=self.clock)
        self.function = isinstance(data, FunctionTask)
        sizes = (data.inputs, data.outputs) if self.function else (data.train_images.shape[1], data.n_classes)
        silent = not values["sigma"]
        kinds = {name: without_noise(kind) if silent else kind for name, kind in cells.NEURONS.items()}
        areas = range(1, len(values["hidden"]) + 1)
        self.x = self._population("x", sizes[0], kinds["input"])
        self.hidden = [
            self._population(f"h{k}", n, kinds["pyramidal cell, hidden"])
            for k, n in zip(areas, values["hidden"], strict=True)
        ]
        self.y = self._population("y", sizes[1], kinds["pyramidal cell, output"])
        self.areas = [self.x, *self.hidden, self.y]
        self.interneurons = [
            self._population(f"i{k}", self.areas[k + 1].n, kinds["interneuron"]) for k in areas
        ]  # fmt: skip
        self.W = [self._forward(k) for k in range(1, len(self.areas))]
        self.TD, self.PI, self.IP, self.teach = [], [], [], []
        for k in areas:
            self._beside(k)
        self.y.view("nudged")[...] = learns and values.get("nudged", 1)
        self.apical = RootMeanSquare(
            self.shown, {h.name: lambda h=h: h.view("v_TD") + h.view("v_PI") for h in self.hidden}, values["replicas"],
            name="apical",
        )  # fmt: skip

    def _population(self, name, n, kind):
        values = self.values
        known = {name: values[name] for name in (*CONDUCTANCES, *PHI, "tau_0", "E_exc", "E_inh")}
        sigma = values["sigma"] * second**-0.5 * np.sqrt(1000)
        return Population(
            n, kind, name=name, namespace=known | {"C": values["capacitance"], "sigma": sigma}, **self.shape
        )

    def _projection(self, name, source, target, transmit, key, weights, eta=0.0, rule=None, **constants):
        """Make synapses, which learn where they have a rate."""
        learning = {}
        if eta > 0 and self.learns:
            namespace = {"eta": eta / ms, "tau_w": self.values["tau_w"], **constants}
            learning = dict(rule=rule, namespace=namespace)
        seed = np.random.SeedSequence(self.seed, spawn_key=key)
        made = Projection(source, target, transmit, name=name, weights=weights, seed=seed, **learning)
        if learning and "lag" in self.shown.phases:
            self.shown.gate(made, "learning")
        return made

    def _forward(self, k):
        """Make W into an area."""
        values, here = self.values, self.areas[k]
        start = values.get("weights", {}).get(f"W_{here.name}", Uniform(values["w_width"]))
        return self._projection(
            f"W_{here.name}", self.areas[k - 1], here, BASAL, (k, 0), start, values["eta_W"][k - 1], library.DENDRITIC
        )

    def _beside(self, k):
        """Make the top-down synapses onto a hidden area, and those from and onto its interneurons."""
        values, here, above, beside = self.values, self.areas[k], self.areas[k + 1], self.interneurons[k - 1]
        width = Uniform(values["td_width"])
        td = self._projection(
            f"TD_{here.name}", above, here, FROM_ABOVE, (k, 1), width, values["eta_TD"], library.TOP_DOWN
        )
        ip, pi = width, width
        if values["start"] == SELF_PREDICTING:
            ip = self.following(k) * self.W[k].w
            pi = -td.w
        eta_IP, eta_PI = values["eta_IP"][k - 1], values["eta_PI"][k - 1]
        self.TD.append(td)
        self.IP.append(
            self._projection(f"IP_{here.name}", here, beside, DENDRITE, (k, 2), ip, eta_IP, library.DENDRITIC)
        )
        self.PI.append(
            self._projection(
                f"PI_{here.name}",
                beside,
                here,
                FROM_INTERNEURONS,
                (k, 3),
                pi,
                eta_PI,
                library.APICAL_INHIBITION,
                v_rest=0,
            )
        )
        self.teach.append(Projection(above, beside, TEACH, name=f"teach_{beside.name}"))

    def following(self, k):
        """Return f: how much larger than W_(k+1) IP_k is in the self-predicting state."""
        share = attenuation(self.values)
        return share["output" if k == len(self.hidden) else "hidden"] / share["interneuron"]

    @property
    def projections(self):
        """All synapses with weights, by name."""
        return {p.name: p for p in (*self.W, *self.IP, *self.PI, *self.TD)}

    def feed(self, inputs, targets):
        """Clamp patterns, and targets as potentials of the output; states start from rest."""
        values = self.values
        self.shown.clamp(self.x, "shown", inputs)
        if self.function:
            rows, wanted = None, np.asarray(targets)
        else:
            rows, wanted = targets, np.where(np.eye(self.y.n, dtype=bool), values["u_shown"], values["u_others"])
        if self.learns and self.y.view("nudged").any():
            check_targets(wanted, values)
        self.shown.clamp(self.y, "target", wanted, rows=rows)
        if not self.learns:  # a test does not depend on the one before
            for each in (*self.hidden, *self.interneurons, self.y):
                each.view("u")[...] = 0
        self.apical.begin()

    def measures(self, *names):
        """Return measures by name: "apical" potentials, "angle" of W to TD, "lateral" distance from self-prediction."""
        made = {}
        for k, h in enumerate(self.hidden, start=1):
            w, td, ip, pi = self.W[k], self.TD[k - 1], self.IP[k - 1], self.PI[k - 1]
            f = self.following(k)
            every = {
                "apical": (lambda h=h: self.apical[h.name], "1"),
                "angle": (
                    lambda w=w, td=td: angle_of_ways(w.copy_of_weights(), td.copy_of_weights()),
                    "degree",
                ),
                "lateral_PI": (lambda td=td, pi=pi: distance(pi, td, -1), "1"),
                "lateral_IP": (lambda w=w, ip=ip, f=f: distance(ip, w, f), "1"),
            }
            made |= {f"{name}_{h.name}": each for name, each in every.items() if name.startswith(names)}
        return made

    def windows(self):
        """Return traces of the first cells of every area, over the first and the last patterns."""
        target = ("target",) if self.y.view("nudged").any() else ()
        kept = {"h": ("u", "v_B", "v_TD", "v_PI"), "i": ("u", "v_D"), "y": ("u", "v_B", *target)}
        chosen = {
            f"{each.name}.{variable}": (each, variable, np.arange(min(TRACED, each.n)))
            for each in (*self.hidden, *self.interneurons, self.y)
            for variable in kept[each.name[0]]
        }
        return {keep: Window(self.shown, chosen, PATTERNS, keep, name=f"window_{keep}") for keep in ("first", "last")}

    def circuit(self, reads=None):
        """Return the network with what feeds and reads it."""
        shown, y = self.shown, self.y
        if reads is not None:
            readout = reads(self)
        elif self.function:
            readout = RatesError(shown, y, self.values)
        else:
            readout = Readout(shown, y, "v_B", y.n, at_end=True, name="readout")
        populations = [*self.areas, *self.interneurons]
        synapses = [*self.projections.values(), *self.teach]
        return Circuit(
            network=Network(
                *populations, *synapses, shown, readout, self.apical, Guard.of(self.projections.values(), shown)
            ),
            populations={p.name: p for p in populations},
            projections=self.projections,
            presentation=shown,
            readout=readout,
            feed=self.feed,
            measures=self.measures("apical", "angle", "lateral"),
        )


def check_targets(wanted, values):
    """Refuse target potentials for which the nudge would need a conductance below zero."""
    low, high = values["E_inh"], values["E_exc"]
    outside = (wanted < low) | (wanted > high)
    if outside.any():
        raise ParameterError(
            f"targets: potentials must lie between E_inh = {low:g} and E_exc = {high:g}, or a conductance of the nudge "
            f"would be below zero; got {wanted.min():g} to {wanted.max():g} ({outside.mean():.1%} outside): "
            "wider reversal potentials, or smaller targets"
        )


def distance(lateral, other, factor):
    """Return |lateral - factor other| / |factor other|, (replicas,)."""
    wanted = factor * other.copy_of_weights()
    difference = lateral.copy_of_weights() - wanted
    return np.sqrt(np.square(difference).sum(axis=(1, 2)) / np.square(wanted).sum(axis=(1, 2)))
