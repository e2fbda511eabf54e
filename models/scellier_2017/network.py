"""Networks of units that settle (equation 5): a chain of layers between a clamped input and an output that is nudged.

Equations   E = 1/2 sum_k |s_k|^2 - sum_k rho(s_k) W_k rho(s_(k+1)) - sum_k b_k rho(s_k)    rho(s) = clip(s, 0, 1)
            C = sum_i (y_i - d_i)^2    F = E + beta C
            tau ds/dt = -rho'(s) dF/drho = W^T rho_below + W rho_above + b - s + 2 beta (d - s)     the nudge in y only
            s <- clip(s, 0, 1), and rho'(0) = rho'(1) = 1: with 0 there, units at a border could never leave it
            dW_ij = dW_ji = alpha / beta <rho_i^nudged rho_j^nudged - rho_i^free rho_j^free>       <.> mean over a batch
One time step is one Euler step of dt / tau = epsilon; all layers take it from the values before it.
"""

from dataclasses import dataclass, field

import numpy as np
from brian2 import Clock, Network, ms

from neurosim import neurons
from neurosim.analysis import angle_of_ways
from neurosim.connectivity import Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.plasticity.parse import STEP
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.settling import Persistence, Redelivery, Settling
from neurosim.training import Circuit
from neurosim.weights import glorot

RANDOM_SIGN, POSITIVE, CENTRED = "random_sign", "positive", "centred"
SYMMETRIC, APART, FIXED = "symmetric", "apart", "fixed"
SOURCE = "Scellier, Bengio 2017, Front. Comput. Neurosci. 11:24, equations 1 to 9, with the authors' code"

KEPT = {
    "rho": "what the unit sends: rho(s) = s, as s is kept within 0 and 1 (1)",
    "free": "s at the end of the free phase (1)",
    "raised": "s at the end of the phase that is nudged by +beta, where one by -beta follows (1)",
}
CLAMPED = NeuronType(
    equations="""
    rho : 1
    free = rho : 1
    raised = rho : 1
    """,
    symbols=KEPT | {"rho": "activity, set by the presentation (1)", "free": "the same", "raised": "the same"},
    source=SOURCE,
)
ON = NeuronType(
    equations="""
    rho = 1 : 1
    free = 1 : 1
    raised = 1 : 1
    """,
    symbols={"rho": "always 1: the weight of its synapse is its target's bias", "free": "1", "raised": "1"},
    source=neurons.ON.source,
)
UNIT = NeuronType(
    equations="""
    ds/dt = (drive - s) / tau : 1
    drive : 1
    rho = s : 1
    free : 1
    raised : 1
    """,
    update="s = clip(s, 0, 1)",
    method="euler",
    symbols={
        "s": "state (potential, 1)",
        "drive": "weighted sum of the activities of the layers below and above, and the bias (1)",
        "tau": "time constant (s); dt / tau is the step epsilon of the paper",
    }
    | KEPT,
    source=SOURCE,
)
OUTPUT = NeuronType(
    equations="""
    ds/dt = (drive - s + 2 * nudge * beta * (target - s)) / tau : 1
    drive : 1
    nudge : 1
    beta : 1
    target : 1
    rho = s : 1
    free : 1
    raised : 1
    """,
    update="s = clip(s, 0, 1)",
    method="euler",
    symbols=UNIT.symbols
    | {
        "target": "1 for the class shown, else 0 (1)",
        "beta": "strength of the nudge, with its sign (1)",
        "nudge": "0 in the free phase, 1 in the nudged one, -1 in one with the opposite sign",
    },
    source=SOURCE,
)
TEACHER = NeuronType(
    "beta : 1", symbols={"beta": "strength of the nudge, with its sign: one number for all synapses"}, source=SOURCE
)

TRANSMIT = "drive_post = w * rho_pre"
CENTRED_RULE = "w += eta / (2 * beta) * (raised_pre * raised_post - rho_pre * rho_post)"
DECAY = " - decay * w / lanes"

NEURONS = {"input": CLAMPED, "hidden": UNIT, "output": OUTPUT, "bias": ON, "teacher": TEACHER}
TEXTS = {
    "W, b transmit": TRANSMIT,
    "W, b rule": library.CONTRASTIVE.events,
    "W, b rule, centred": CENTRED_RULE,
    "W read backwards, symmetric: the energy's weights": TRANSMIT,
    "R transmit and rule, apart": f"as W; both with {DECAY.strip()} where there is decay",
}


def parameters(section):
    """Return the parameters of all experiments that train; ``section`` is where their values are from."""
    return (
        Parameter("hidden", (500,), section, "units in each hidden layer, input side first", "units", low=1),
        Parameter("alpha", (0.1, 0.05), section, "learning rates of W1, W2, ... and of their biases", low=0),
        Parameter("beta", 0.5, section, "strength of the nudge, for the cost |y - d|^2", above=0),
        Parameter("epsilon", 0.5, section, "Euler step, dt / tau", above=0, high=1),
        Parameter("free_steps", 20, section, "time steps of the free phase, at most", "steps", low=1),
        Parameter("nudged_steps", 4, section, "time steps of the nudged phase", "steps", low=1),
        Parameter(
            "nudging", RANDOM_SIGN, "authors' code", "sign of beta: random in each presentation, positive, or both",
            choices=(RANDOM_SIGN, POSITIVE, CENTRED),
        ),
        Parameter(
            "weights", SYMMETRIC, "equation 1: symmetric", "back: W itself, synapses apart, or fixed ones",
            choices=(SYMMETRIC, APART, FIXED),
        ),
        Parameter("decay", 0.0, "ours: none in the paper", "decay of all weights a presentation", low=0, below=1),
        Parameter(
            "tolerance", 1e-3, "ours: the code takes all steps",
            "the free phase ends when no unit moves by more in a step; 0: never", low=0,
        ),
        Parameter(
            "unsettled", "count", "ours", "what a free phase does that ends above the tolerance",
            choices=("count", "raise"),
        ),
        Parameter("persistent", "yes", "authors' code", "start where the example settled last", choices=("yes", "no")),
        Parameter("dt", 1 * ms, "ours: the paper counts steps", "time step", above=0),
    )  # fmt: skip


def check(values):
    """Refuse values that do not go together."""
    if len(values["alpha"]) != len(values["hidden"]) + 1:
        raise ParameterError(
            f"alpha: {len(values['hidden'])} hidden layers need {len(values['hidden']) + 1} learning rates, one for "
            f"each matrix of weights, got {len(values['alpha'])}"
        )
    if values["tolerance"] > 0 and values["free_steps"] < 2:
        raise ParameterError("free_steps: a free phase that may end early needs 2 steps or more; or set tolerance=0")


@dataclass(frozen=True)
class Cells:
    """The neuron types that a network is made of, and what its synapses carry and learn by."""

    hidden: NeuronType = UNIT
    output: NeuronType = OUTPUT
    input: NeuronType = CLAMPED
    bias: NeuronType = ON
    transmit: str = TRANSMIT
    state: str = "s"  # what settles
    sent: str = "s"  # what the unit sends: kept at the end of phases, and read out
    memory: tuple = ("s",)  # what a presentation starts from
    shown: str = "rho"  # variable of the input that is clamped
    constants: dict = field(default_factory=dict)  # that the types name, beside tau
    rule: str | None = None  # by which synapses learn in every nudged step, instead of the contrast at the end
    precision: type = np.float32


def build(values, data, seed, cells=None):
    """Return the circuit for these values, this data set and this seed."""
    return Layers(values, data, seed, cells or Cells()).circuit()


class Layers:
    """A chain of layers under construction: x, h1, h2, ..., y."""

    def __init__(self, values, data, seed, cells):
        check(values)
        self.values, self.data, self.seed, self.cells = values, data, seed, cells
        self.clock = Clock(values["dt"])
        self.shape = dict(
            replicas=values["replicas"], lanes=values["lanes"], clock=self.clock, dtype=cells.precision
        )  # fmt: skip
        self.tau = self.clock.dt / values["epsilon"]
        phases = {"free": values["free_steps"], "nudged": values["nudged_steps"]}
        self.centred = values["nudging"] == CENTRED
        if self.centred:
            phases["opposite"] = values["nudged_steps"]
        self.shown = Presentation({name: steps * self.clock.dt for name, steps in phases.items()}, clock=self.clock)
        self.classes = data.n_classes
        self.x = self._population("x", data.train_images.shape[1], cells.input, 0, namespace=cells.constants)
        sizes = values["hidden"]
        names = [f"h{k}" for k in range(1, len(sizes) + 1)]
        self.hidden = [self._settles(name, n, cells.hidden) for name, n in zip(names, sizes, strict=True)]
        self.y = self._settles("y", self.classes, cells.output)
        self.bias = self._population("bias", 1, cells.bias, 0)
        self.teacher = self._population("teacher", 1, TEACHER, 0)
        self.layers = [*self.hidden, self.y]
        self.plastic, self.others = {}, []
        self._phases()
        for k, (below, here, alpha) in enumerate(
            zip([self.x, *self.hidden], self.layers, values["alpha"], strict=True), start=1
        ):
            self._connect(k, below, here, alpha)

    def _population(self, name, n, kind, order, **more):
        return Population(n, kind, order=order, name=name, **self.shape, **more)

    def _settles(self, name, n, kind):
        return self._population(name, n, kind, 1, namespace={"tau": self.tau, **self.cells.constants})

    def _phases(self):
        """Say what is kept and what is nudged in which phase."""
        shown, beta, sent = self.shown, self.values["beta"], self.cells.sent
        for layer in self.layers:
            shown.keep(layer, sent, "free", "free")
            if self.centred:
                shown.keep(layer, sent, "raised", "nudged")
                shown.recall(layer, sent, "free", "opposite")
        shown.by_phase(self.y, "nudge", {"free": 0, "nudged": 1} | ({"opposite": -1} if self.centred else {}))
        nudged = self.teacher, self.y
        if self.values["nudging"] == RANDOM_SIGN:
            shown.draw([(population, "beta") for population in nudged], (-beta, beta), self.seed)
        for population in nudged:
            population.view("beta")[...] = beta

    def _connect(self, k, below, here, alpha):
        """Make W into a layer, its bias, and the way back."""
        start = glorot(below.n, here.n)
        self._plastic(f"W_{here.name}", below, here, alpha, start, (k, 0))
        self._plastic(f"b_{here.name}", self.bias, here, alpha, np.zeros((1, here.n)), (k, 1))
        if below is self.x:
            return
        if self.values["weights"] != SYMMETRIC:
            learns = self.values["weights"] == APART
            self._plastic(f"R_{below.name}", here, below, alpha, start, (k, 2), learns)
        else:
            back = Transposed(self.plastic[f"W_{here.name}"])
            self.others.append(Projection(here, below, self.cells.transmit, connectivity=back, name=f"WT_{below.name}"))

    def _plastic(self, name, source, target, alpha, weights, key, learns=True):
        """Make synapses that are kept, and learn."""
        own = self.cells.rule
        rule = own or (CENTRED_RULE if self.centred else library.CONTRASTIVE.events)
        constants = {"eta": alpha / self.values["lanes"]}
        if self.values["decay"]:
            rule, constants["decay"] = rule + DECAY, self.values["decay"]
        learning = (
            dict(
                rule=rule,
                namespace=constants,
                signals={"beta": (self.teacher, "beta")},
                when=STEP if own else self.shown.end("opposite" if self.centred else "nudged"),
            )
            if learns
            else {}
        )
        self.plastic[name] = Projection(
            source, target, self.cells.transmit, weights=weights, name=name,
            seed=np.random.SeedSequence(self.seed, spawn_key=key), **learning,
        )  # fmt: skip
        if own and learns:
            self.shown.gate(self.plastic[name], "nudged")

    def circuit(self):
        """Return the network with what feeds and reads it."""
        shown, cells, data, values = self.shown, self.cells, self.data, self.values
        states = [(layer, cells.state) for layer in self.layers]
        memory = [(p, each) for p in (self.x, *self.layers) for each in cells.memory if each in p.state_variables]
        settling = Settling(shown, "free", states, values["tolerance"], values["unsettled"])
        sets = {"train": len(data.train_labels), "test": len(data.test_labels)}
        persistent = values["persistent"] == "yes"
        synapses = [*self.plastic.values(), *self.others]
        anew = Redelivery(shown, synapses, ["free", *(["opposite"] if self.centred else [])])
        persistence = Persistence(shown, memory, "free", sets if persistent else {})
        readout = Readout(shown, self.y, cells.sent, self.classes, "free", at_end=True)
        one_hot = np.eye(self.classes)

        def feed(inputs, labels):
            shown.clamp(self.x, cells.shown, inputs)
            shown.clamp(self.y, "target", one_hot, rows=labels)
            known = {"train": data.train_images, "test": data.test_images}
            chosen = [name for name, images in known.items() if images is inputs]
            persistence.choose(chosen[0] if persistent and chosen else None)

        return Circuit(
            network=Network(
                self.x, self.bias, self.teacher, *self.layers, *synapses, shown, settling,
                persistence, anew, readout, Guard.of(self.plastic.values(), shown),
            ),
            populations={p.name: p for p in (self.x, *self.layers)},
            projections=self.plastic,
            presentation=shown,
            readout=readout,
            feed=feed,
            settling=settling,
            test_phases=("free",),
            measures=self._measures(settling),
        )  # fmt: skip

    def _measures(self, settling):
        """Return what is computed after every epoch: how the network settled, and how alike the two ways are."""
        replicas = self.values["replicas"]

        def taken():
            return np.full(replicas, settling.steps / max(1, settling.presentations))

        def unsettled():
            return np.full(replicas, settling.unsettled_presentations / max(1, settling.presentations))

        measures = {"free_steps": (taken, "steps"), "unsettled": (unsettled, "1")}
        if self.values["weights"] != SYMMETRIC:
            for below, here in zip(self.hidden, self.layers[1:], strict=True):
                w, r = self.plastic[f"W_{here.name}"], self.plastic[f"R_{below.name}"]
                measures[f"angle_{below.name}_{here.name}"] = (
                    lambda w=w, r=r: angle_of_ways(w.copy_of_weights(), r.copy_of_weights()),
                    "degree",
                )
        return measures
