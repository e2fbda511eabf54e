"""Areas of pyramidal cells, the lowest of which sees an image: all have apical dendrites but the output.

Equations   as in network, with areas k = 0 (visible), 1 .. N - 1 (hidden), N (output, one cell a class): area 0 too has
            interneurons and top-down synapses. v_B,0 is the image; all synapses learn, top-down ones as well.
            phi(u) = 1 / (1 + exp(-slope (u - theta)))
            every dendrite has a bias too: a synapse from a cell that is always on, which learns by the same rule
Released    inhibition removed, PI = 0, and the conductance between basal dendrites and somas lowered to a share s:
            u_k = (s g_B v_B + g_A v_TD) / (g_lk + s g_B + g_A) at rest
All populations take an Euler step from the values before it; synapses learn in every step but in the lag that follows
a change of image. Changes of lanes are averaged.
"""

import numpy as np
from brian2 import Clock, Network, ms, second

from neurosim import neurons
from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout, RootMeanSquare
from neurosim.training import Circuit
from neurosim.weights import glorot
from neurosim_models.sacramento_2018 import cells, network
from neurosim_models.sacramento_2018.network import BASAL, DENDRITE, FROM_ABOVE, FROM_INTERNEURONS, TEACH

SOFT, LOGISTIC = cells.phi("u").partition(" * (u")[0], "1 / (1 + exp(-slope"  # beginnings of the texts of phi
PLASTIC, FIXED = "plastic", "fixed"
SHOWN, OTHERS = 0.8, 0.1  # target rates: the paper's, MNIST


def logistic(kind):
    """Return a neuron type with logistic rates in the place of soft-rectified ones."""
    symbols = {name: words for name, words in kind.symbols.items() if name != "gamma"}
    symbols |= {"slope": "steepness of the logistic function (1)", "theta": "potential at which its rate is 1/2 (1)"}
    return NeuronType(
        kind.equations.replace(SOFT, LOGISTIC), kind.update.replace(SOFT, LOGISTIC), method=kind.method,
        symbols=symbols, source=kind.source,
    )  # fmt: skip


NEURONS = {
    "pyramidal cell, visible or hidden": logistic(network.without_noise(cells.PYRAMIDAL)),
    "interneuron": logistic(network.without_noise(cells.INTERNEURON)),
    "pyramidal cell, output": logistic(network.without_noise(cells.OUTPUT)),
    "bias": neurons.ON,
}
PYRAMIDAL, INTERNEURON, OUTPUT, ON = NEURONS.values()
TEXTS = {name: text for name, text in network.TEXTS.items() if name != "TD rule, where plastic"}
TEXTS |= {"TD rule": library.TOP_DOWN.events, "biases": "as the synapses beside them"}


def rate(u, values):
    """Return phi(u), also of arrays."""
    return 1 / (1 + np.exp(-values["slope"] * (u - values["theta"])))


def potential(r, values):
    """Return the potential at which the rate is r."""
    return values["theta"] + np.log(r / (1 - r)) / values["slope"]


def basal(images, values):
    """Return the basal potentials of the visible area for images: pixels 0 .. 1 become -contrast .. contrast."""
    return values["contrast"] * (2 * images - 1)


class Areas:
    """Areas under construction: v, h1, h2, ..., y, and interneurons i_v, i_h1, ... of all but y.

    Parameters
    ----------
    values : dict
        As the experiment's parameters name them, with lanes and replicas.
    pixels, classes : int
        Numbers of visible cells and of output cells.
    seed : int
        Decides the weights.
    learns : bool
        Whether synapses learn and the output is given targets.
    """

    def __init__(self, values, pixels, classes, seed, learns=True):
        self.values, self.seed, self.learns = values, seed, learns
        self.clock = Clock(values["dt"])
        lag, pattern = values["lag"], values["pattern"]
        phases = {"lag": lag, "learning": pattern - lag} if lag > 0 * second else {"learning": pattern}
        self.shown = Presentation(phases, clock=self.clock)
        names = ["v", *(f"h{k}" for k in range(1, len(values["hidden"]) + 1))]
        below = [self._population(*each, PYRAMIDAL) for each in zip(names, (pixels, *values["hidden"]), strict=True)]
        self.y = self._population("y", classes, OUTPUT)
        self.areas = [*below, self.y]
        self.v, self.inhibited = self.areas[0], below  # the areas with interneurons
        self.bias = self._population("on", 1, ON)
        self.projections, self.others, self.interneurons = {}, [], []
        for k, here in enumerate(self.inhibited):
            self._between(k, here, self.areas[k + 1])
        self.y.view("nudged")[...] = learns
        reads = {f"apical_{p.name}": lambda p=p: p.view("v_TD") + p.view("v_PI") for p in self.inhibited}
        reads |= {f"top_down_{p.name}": lambda p=p: p.view("v_TD") for p in self.inhibited}
        self.potentials = RootMeanSquare(self.shown, reads, values["replicas"], name="potentials")

    def _population(self, name, n, kind):
        values = self.values
        known = (*network.CONDUCTANCES, "slope", "theta", "E_exc", "E_inh")
        return Population(
            n, kind, name=name, order=0, replicas=values["replicas"], lanes=values["lanes"], clock=self.clock,
            namespace={each: values[each] for each in known} | {"C": values["capacitance"]},
        )  # fmt: skip

    def _between(self, k, here, above):
        """Make the synapses between two areas, and those from and onto the interneurons of the lower one."""
        values = self.values
        beside = self._population(f"i_{here.name}", above.n, INTERNEURON)
        self.interneurons.append(beside)
        eta_W = values["eta_W"] if above is self.y or values["forward"] == PLASTIC else 0
        eta_PI = values["eta_PI"] if values["inhibition"] == PLASTIC else 0
        following = eta_W / network.mixing(values)["interneuron"]
        share = network.attenuation(values)
        f = share["output" if above is self.y else "hidden"] / share["interneuron"]
        start = glorot(here.n, above.n)
        w = self._synapses(f"W_{above.name}", here, above, BASAL, (k, 0), start, eta_W, library.DENDRITIC)
        td = self._synapses(
            f"TD_{here.name}", above, here, FROM_ABOVE, (k, 1), start, values["eta_TD"], library.TOP_DOWN
        )
        self._synapses(f"IP_{here.name}", here, beside, DENDRITE, (k, 2), f * w.w, following, library.DENDRITIC)
        self._synapses(
            f"PI_{here.name}", beside, here, FROM_INTERNEURONS, (k, 3), -td.w, eta_PI,
            library.APICAL_INHIBITION, v_rest=0,
        )  # fmt: skip
        self.others.append(Projection(above, beside, TEACH, name=f"teach_{beside.name}"))

    def _synapses(self, name, source, target, transmit, key, weights, eta, rule, **constants):
        """Make synapses and biases of a kind, which learn where they have a rate; return those without the biases."""
        learning = {}
        if eta > 0 and self.learns:
            known = {"eta": eta / self.values["lanes"] / ms, "tau_w": self.values["tau_w"], **constants}
            learning = dict(rule=rule, namespace=known)
        bias = np.zeros((1, target.n))
        for each, start, origin in ((f"{name}_bias", bias, self.bias), (name, weights, source)):
            made = Projection(
                origin, target, transmit, weights=start, name=each, **learning,
                seed=np.random.SeedSequence(self.seed, spawn_key=key),
            )  # fmt: skip
            self.projections[each] = made
            if learning and "lag" in self.shown.phases:
                self.shown.gate(made, "learning")
        return made

    @property
    def populations(self):
        """All populations, pyramidal cells first."""
        return [*self.areas, *self.interneurons]

    @property
    def objects(self):
        """What a Network is made of, without what shows images and reads."""
        return [*self.populations, self.bias, *self.projections.values(), *self.others]

    def rest(self):
        """Set all potentials to rest."""
        for each in self.populations:
            each.view("u")[...] = 0

    def take(self, other, inhibited=True, share=1.0):
        """Take over the weights of other areas; without inhibition PI is 0. The conductance of basal dendrites is
        ``share`` g_B."""
        for name, projection in self.projections.items():
            silenced = name.startswith("PI") and not inhibited
            projection.w[...] = 0 if silenced else other.projections[name].w
        for each in self.inhibited:
            each.namespace["g_B"] = share * self.values["g_B"]

    def feed(self, images, labels):
        """Clamp images and targets."""
        values = self.values
        wanted = np.where(np.eye(self.y.n, dtype=bool), potential(SHOWN, values), potential(OTHERS, values))
        network.check_targets(wanted, values)
        self.shown.clamp(self.v, "v_B", basal(images, values))
        self.shown.clamp(self.y, "target", wanted, rows=labels)
        if not self.learns:  # a test does not depend on the one before
            self.rest()
        self.potentials.begin()

    def circuit(self):
        """Return the network with what feeds and reads it."""
        shown = self.shown
        readout = Readout(shown, self.y, "v_B", self.y.n, at_end=True, name="readout")
        guard = Guard.of(self.projections.values(), shown)
        return Circuit(
            network=Network(*self.objects, shown, readout, self.potentials, guard),
            populations={each.name: each for each in self.populations},
            projections=self.projections,
            presentation=shown,
            readout=readout,
            feed=self.feed,
            measures={name: (lambda name=name: self.potentials[name], "1") for name in self.potentials.reads},
        )
