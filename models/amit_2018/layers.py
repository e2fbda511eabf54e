"""Layers of saturated linear units with an error that comes back along synapses of its own (sections 2 and 4).

Equations   h_l = W_l x_(l-1)    x_l = sigma(h_l) = clip(gain h_l, -1, 1)                forward, layer after layer
            delta_c = 1 if c is shown and h_c < S; -mu if not and h_c > -S; else 0       output: hinge loss (eqs 3 to 5)
            delta_c = [c is shown] - exp(h_c) / sum exp(h)                               output: softmax, cross-entropy
            delta_(l-1) = R_l (delta_l sigma'(h_l))                                      back along R_l (eq 6)
            dW_l = dR_l = eta / lanes sum over lanes of delta_l sigma'(h_l) x_(l-1)      updated feedback, URFB (eq 7)
            dR_l = 0                                                                     fixed feedback, FRFB
            R_l = W_l^T                                                                  backprop
            delta_(l-1) = R_l delta_l                                                    eq 6 as printed, chain=printed
One time step is one batch: every lane shows an image. A neuron receives its field v and, later in the same sweep, the
signal d that comes back to it.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Clock, Network, ms

from neurosim import neurons
from neurosim.analysis import angle
from neurosim.connectivity import Backward, Convolution, Dense, Pooling, Random, Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.training import Circuit
from neurosim.weights import Uniform, glorot

BACKPROP, UPDATED, FIXED = "backprop", "updated_feedback", "fixed_feedback"
HINGE, SOFTMAX = "hinge", "softmax"
PRINTED, SLOPED = "printed", "sloped"
AFTER, FIRST = "after", "first"
TIED, UNTIED = "tied", "untied"
TEST_LANES = 250  # the copy of a network in which tests run shows at most this many images side by side
PLACES, CHANNELS = 4, 3  # of untied filters that are kept after every epoch, to be looked at

FORWARD = "v_post = w * r_pre"
HEBBIAN = "w += eta / lanes * r_pre * m_post"
FEEDBACK = "d_post = w * sent_pre"
UPDATE = "w += eta / lanes * m_pre * r_post"
PASS_ON, PASS_BACK = "v_post = r_pre", "d_post = sent_pre"
TO_LARGEST = "d_post = sent_pre * int(r_post >= v_pre)"

TEXTS = {
    "W transmit": FORWARD,
    "W rule": HEBBIAN,
    "R transmit; backprop: W read backwards, weight transport": FEEDBACK,
    "R rule, updated feedback": UPDATE,
    "largest of a window, sum of two layers: transmit": PASS_ON,
    "sum, back": PASS_BACK,
    "largest of a window, back": TO_LARGEST,
    "softmax: output to total, total to output": "total_post = exp(v_pre); total_post = total_pre",
}
NEURONS = {
    "input": neurons.INPUT,
    "hidden": neurons.saturated(dropout=True),
    "largest of a window, sum of two layers": neurons.relay(dropout=True),
    "output, hinge": neurons.HINGE_OUTPUT,
    "output, softmax": neurons.SOFTMAX_OUTPUT,
    "total, softmax": neurons.TOTAL,
}


@dataclass(frozen=True)
class Full:
    """A layer in which every unit sees the whole layer below; ``drop`` is the fraction of its units that drop out."""

    n: int
    drop: float = 0.0


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1 that keeps height and width."""

    channels: int
    kernel: int


@dataclass(frozen=True)
class Pool:
    """The largest of each window of an image, with padding at its edges."""

    size: int
    stride: int
    drop: float = 0.0


@dataclass(frozen=True)
class Sum:
    """The sum of the two layers before it."""


def parameters(section, *, eta, source):
    """Return the parameters that all networks of this file have."""
    code = "the paper; the authors' code: {}"
    return (
        Parameter("algorithm", UPDATED, "the conditions of the experiment", "what carries errors back",
                  choices=(UPDATED, FIXED, BACKPROP)),
        Parameter("loss", HINGE, "the conditions of the experiment", "loss of the output", choices=(HINGE, SOFTMAX)),
        Parameter("density", 1.0, "the conditions of the experiment",
                  "fraction of the synapses that exist, of W and of R drawn apart; all of those of the output", above=0,
                  high=1),
        Parameter("eta", eta, source, "step on the batch's mean", "1/batch", low=0),
        Parameter("margin", 1.0, "eq 3", "S: margin of the hinge loss", above=0),
        Parameter("mu", 1.0, "the authors' code: 1 over all other classes together",
                  "weight of the classes not shown, all together: each has mu / (classes - 1)", above=0),
        Parameter("gain", 1.0, code.format("0.5"), "slope of the saturated linearity", above=0),
        Parameter("chain", SLOPED, "ours: R = W^T is the gradient with it; as eq 6 is printed deep networks run away",
                  "whether sigma' is a part of what is sent back from layer to layer", choices=(PRINTED, SLOPED)),
        Parameter("feedback_learns", AFTER, code.format("first"),
                  "whether R learns after it has carried the errors of a batch, or before", choices=(AFTER, FIRST)),
        Parameter("scale", 1.0, "the authors' code: Glorot's uniform distribution, W and R drawn apart",
                  "widths of W and R, in those of Glorot", above=0),
        Parameter("dt", 1 * ms, "ours: the paper counts batches", "time step", above=0),
    )  # fmt: skip


def check_untied(values, architecture):
    """Raise a ParameterError where convolutions cannot be untied as the values ask for."""
    if values["connections"] != UNTIED:
        return
    count = sum(isinstance(layer, Conv) for layer in architecture)
    if values["frozen"] >= count:
        raise ParameterError(
            f"frozen: at least one of the {count} convolutions must be left to be untied, got {values['frozen']}"
        )
    if values["density"] < 1:
        raise ParameterError(
            f"density: untied convolutions have all their synapses, got {values['density']:g}; tied ones may have "
            "some of the filter's"
        )
    if not values["eta"] > 0:
        raise ParameterError("eta: untied convolutions need a step above 0, that of the tied passes is relative to it")


def build(values, data, seed, architecture):
    """Return the circuit of an architecture, with a copy in which tests are run.

    Parameters
    ----------
    values : dict
        Those of :func:`parameters`, lanes, replicas and, for images, ``connections``, ``tied_epochs``, ``eta_tied`` and
        ``frozen`` (convolutions from the input up that stay tied, and as they are, once the others are untied).
    data : DataSet
        Images.
    seed : int
        Decides weights and masks: those of one name are the same for every algorithm.
    architecture : tuple of Full, Conv, Pool and Sum
        Layers from the input up, without the output.

    Raises
    ------
    ParameterError
        If a unit has no input, or sums do not fit.
    """
    if not values["mu"] / (data.n_classes - 1) < 1:
        raise ParameterError(
            f"mu: mu / (classes - 1) must be less than 1, or other classes outweigh the one shown, got "
            f"{values['mu']:g} / {data.n_classes - 1}"
        )
    if "connections" in values:
        check_untied(values, architecture)
    learner = _Layers(values, data, seed, architecture, learns=True)
    examined = {**values, "lanes": min(TEST_LANES, values["lanes"])}
    tester = _Layers(examined, data, seed, architecture, learns=False)
    circuit = learner.circuit()
    circuit.tester = tester.circuit()
    if learner.untied:

        def schedule(epoch):
            for each in (learner, tester):
                each.untie(epoch)

        circuit.schedule = schedule
        schedule(0)
    return circuit


class _Layers:
    """A network under construction."""

    def __init__(self, values, data, seed, architecture, learns):
        self.values, self.seed, self.learns, self.classes = values, seed, learns, data.n_classes
        self.algorithm = values["algorithm"]
        self.untied = values.get("connections") == UNTIED
        self.clock = Clock(values["dt"])
        self.shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=self.clock)
        self.shown = Presentation(self.clock.dt, clock=self.clock)
        self.plastic, self.others, self.angles = {}, [], {}
        self.counts, self.twins = {}, []
        self.top = len(architecture) + 1
        self.x = self._population("x", int(np.prod(data.image_shape)), neurons.INPUT, 0)
        self.populations = [self.x]
        self.images = [(*data.image_shape, 1)[:3]]  # (height, width, channels) of every layer, None where it has none
        for place, layer in enumerate(architecture, start=1):
            self._add(layer, place)
        self._add_output()

    def _population(self, name, n, kind, order, **constants):
        return Population(n, kind, order=order, name=name, namespace=constants, **self.shape)

    def _projection(self, source, target, transmit, name, key=(), **more):
        """Make a projection; W and R of a layer have the key of its place and 0 or 1."""
        if key:
            more["seed"] = np.random.SeedSequence(self.seed, spawn_key=key)
        return Projection(source, target, transmit, name=name, **more)

    def _add(self, layer, place):
        """Make a layer's population, what leads to it, and what leads back from it."""
        kind = type(layer).__name__
        letter = {"Full": "f", "Conv": "c", "Pool": "p", "Sum": "s"}[kind]
        self.counts[letter] = self.counts.get(letter, 0) + 1
        name = f"{letter}{self.counts[letter]}"
        below, image = self.populations[-1], self.images[-1]
        drops = getattr(layer, "drop", 0) > 0 and self.learns
        constants = {"drop": layer.drop} if drops else {}
        if kind in ("Full", "Conv"):
            sloped = self.algorithm == BACKPROP or self.values["chain"] == SLOPED
            neuron, constants["gain"] = neurons.saturated(sloped, drops), self.values["gain"]
        else:
            neuron = neurons.relay(drops)
        window, fans = None, None
        if kind == "Full":
            image, fans = None, (below.n, layer.n)
        elif image is None:
            raise ParameterError(f"architecture: {kind} needs an image below it")
        elif kind == "Conv":
            window = Convolution(image, layer.kernel, layer.channels, padding="same", density=self.values["density"])
            image, fans = window.output, tuple(layer.kernel**2 * n for n in (image[2], layer.channels))
        elif kind == "Pool":
            window = Pooling(image, layer.size, layer.stride, reduce="max", padding="same")
            image = window.output
        n = layer.n if image is None else int(np.prod(image))
        here = self._population(name, n, neuron, place, **constants)
        self.populations.append(here)
        self.images.append(image)
        if kind == "Sum":
            self._sum(here, name)
        elif kind == "Pool":
            self._pool(below, here, window, name)
        else:
            self._connect(below, here, window, fans, self.values["density"])

    def _back(self, here):
        """Return the place in the sweep at which a population sends back, after the output knows its error."""
        return 2 * self.top - here.place + 2

    def _sum(self, here, name):
        two = self.populations[-3:-1]
        if len(two) < 2 or self.x in two or self.images[-2] != self.images[-3]:
            raise ParameterError(
                f"architecture: Sum needs two layers of one shape above the input, got {self.images[1:-1][-2:]}"
            )
        for k, each in enumerate(two):
            self.others.append(self._projection(each, here, PASS_ON, f"sum_{name}_{each.name}"))
            if self._needs_errors(each):
                back = self._projection(here, each, PASS_BACK, f"back_{name}_{k}", order=self._back(here))
                self.others.append(back)

    def _pool(self, below, here, window, name):
        self.others.append(self._projection(below, here, PASS_ON, f"pool_{name}", connectivity=window))
        if self._needs_errors(below):
            route = dict(connectivity=Backward(window), order=self._back(here))
            self.others.append(self._projection(here, below, TO_LARGEST, f"back_{name}", **route))

    def _needs_errors(self, population):
        return self.learns and population is not self.x

    def _connect(self, below, here, window, fans, density):
        """Make W into a layer and R back from it."""
        values = self.values
        start = dict(weights=glorot(*fans, values["scale"]), namespace={"eta": values["eta"]})
        kind = window or (Random(density) if density < 1 else Dense())
        learns = {"rule": HEBBIAN} if self.learns else {}
        w = self._add_plastic(f"W_{here.name}", below, here, FORWARD, (here.place, 0), kind, start | learns)
        _check_inputs(w)
        if not self._needs_errors(below):
            return
        order = self._back(here)
        if self.algorithm == BACKPROP:
            both = [w, *(untied for tied, untied in self.twins if tied is w)]
            made = [
                self._projection(here, below, FEEDBACK, f"{w.name}_T", connectivity=Transposed(w), order=order)
                for w in both
            ]
            self.others += made
            self.twins += [tuple(made)] if len(made) > 1 else []
            return
        kind = Backward(window) if window else kind
        learns = {}
        if self.algorithm == UPDATED:
            learns = {"rule": UPDATE, "learns_first": values["feedback_learns"] == FIRST}
        name = f"R_{here.name}"
        r = self._add_plastic(name, here, below, FEEDBACK, (here.place, 1), kind, start | learns | {"order": order})
        self.angles[here.name] = (w, r)

    def _add_plastic(self, name, source, target, transmit, key, kind, start):
        """Make a projection with weights; where it is to be untied, with its untied form beside it."""
        p = self.plastic[name] = self._projection(source, target, transmit, name, key, connectivity=kind, **start)
        window = getattr(kind, "kind", kind)
        if self.untied and isinstance(window, Convolution) and self.counts["c"] > self.values["frozen"]:
            free = Convolution(window.image, window.kernel, window.channels, padding=window.padding, shared=False)
            kind = Backward(free) if isinstance(kind, Backward) else free
            name = f"{name}_untied"
            start = start | {"weights": Uniform(0)}
            self.plastic[name] = self._projection(source, target, transmit, name, key, connectivity=kind, **start)
            self.twins.append((p, self.plastic[name]))
        return p

    def _add_output(self):
        values = self.values
        if values["loss"] == HINGE:
            constants = {"margin": values["margin"], "mu": values["mu"] / (self.classes - 1)}
            self.y = self._population("y", self.classes, neurons.HINGE_OUTPUT, self.top, **constants)
        else:
            self.y = self._population("y", self.classes, neurons.SOFTMAX_OUTPUT, self.top)
            total = self._population("total", 1, neurons.TOTAL, self.top)
            self.others += [
                total,
                self._projection(self.y, total, "total_post = exp(v_pre)", "normalise", connectivity=Dense()),
                self._projection(
                    total, self.y, "total_post = total_pre", "normalised", connectivity=Dense(), order=self.top + 1
                ),
            ]
        below = self.populations[-1]
        self._connect(below, self.y, None, (below.n, self.classes), 1.0)
        self.y.view("step")[...] = 1
        self.populations.append(self.y)

    def untie(self, epoch):
        """Let the convolutions be tied or untied as the schedule has it; they are untied once, at an epoch's start."""
        free = epoch > self.values["tied_epochs"]
        self.y.view("step")[...] = 1 if free else self.values["eta_tied"] / self.values["eta"]
        for tied, untied in self.twins:
            if epoch == self.values["tied_epochs"] + 1 and untied.stored is not None:
                untied.w = tied.copy_of_weights().reshape(len(tied.w), -1)[:, untied.layout.tap]
            tied.active, untied.active = not free, free
        for k in range(1, self.values["frozen"] + 1):
            for name in (f"W_c{k}", f"R_c{k}"):
                if name in self.plastic and free:
                    self.plastic[name].plastic = False

    def circuit(self):
        """Return the network with what feeds and reads it."""
        shown, x, y = self.shown, self.x, self.y
        readout = Readout(shown, y, "v", self.classes)
        wanted = np.eye(self.classes) if self.values["loss"] == SOFTMAX else 2 * np.eye(self.classes) - 1

        def feed(images, labels):
            shown.clamp(x, "r", images)
            shown.clamp(y, "target", wanted, rows=labels)

        guard = Guard([(y, "v")])
        twins = dict(self.twins)
        measures = {
            f"angle_{name}": (lambda pair=pair: angle(*_flat(*(_active(p, twins) for p in pair))), "degree")
            for name, pair in self.angles.items()
        }
        free = [untied for _, untied in self.twins if untied.name.startswith("W_") and untied.stored is not None]
        if self.learns:
            measures |= {f"similarity_{p.target.name}": (lambda p=p: similarity(p), "1") for p in free}
            measures |= {"filters": (lambda: _some_filters(free[0]), "1")} if free else {}
        return Circuit(
            network=Network(*self.populations, *self.others, *self.plastic.values(), shown, readout, guard),
            populations={p.name: p for p in self.populations},
            projections=self.plastic,
            presentation=shown,
            readout=readout,
            feed=feed,
            measures=measures,
        )


def _check_inputs(projection):
    """Refuse a mask that leaves a unit without input."""
    mask = projection.layout.mask
    if mask is None:
        return
    inputs = mask.reshape(-1, projection.layout.rows, projection.layout.columns).any(axis=1)
    if not inputs.all():
        replica, unit = np.argwhere(~inputs)[0]
        raise ParameterError(
            f"density: {(~inputs).sum()} units of {projection.target.name} are left without input, the first is unit "
            f"{unit} of replica {replica}; more synapses or more units below are needed, or another seed"
        )


def _active(projection, twins):
    """Return the projection that is used: the one given, or its untied form."""
    return projection if projection.active else twins[projection]


def _flat(forward, feedback):
    """Return the weights of W and R, each (replicas, synapses), synapse by synapse."""
    w, r = forward.copy_of_weights(), feedback.copy_of_weights()
    if hasattr(forward.layout, "i"):
        return w, r[:, np.lexsort((feedback.i, feedback.j))]
    if w.shape != r.shape or w.ndim == 3:
        r = np.swapaxes(r, 1, 2)
    return w.reshape(len(w), -1), r.reshape(len(r), -1)


def filters(projection):
    """Return the weights of untied windows, (replicas, positions, taps, channels), of the windows within the image."""
    layout, kind = projection.layout, projection.connectivity
    window = getattr(kind, "kind", kind)
    height, width, below, channels = layout.kernel_shape
    taps, positions = height * width * below, window.output[0] * window.output[1]
    full = np.full((len(projection.stored), positions, taps * channels), np.nan)
    units = projection.i if isinstance(kind, Backward) else projection.j
    full[:, units // channels, layout.tap] = projection.copy_of_weights()
    whole = np.isfinite(full[0]).all(axis=1)
    return full[:, whole].reshape(len(full), -1, taps, channels)


def _some_filters(projection):
    """Return filters of some channels at some places, (replicas, PLACES, height, width, channels below, CHANNELS)."""
    found = filters(projection)
    places = np.linspace(0, found.shape[1] - 1, PLACES).astype(int)
    some = found[:, places][..., :CHANNELS]
    return some.reshape(*some.shape[:2], *projection.layout.kernel_shape[:3], -1)


def similarity(projection):
    """Return how alike the filters of one channel are across positions: mean cosine of all pairs, (replicas,).

    1 where all positions have one filter, as in a convolution; 0 where they have nothing in common; nan where fewer
    than two windows lie within the image.
    """
    if not projection.active:
        return np.ones(len(projection.stored))
    found = filters(projection)
    length = np.linalg.norm(found, axis=2, keepdims=True)
    unit = found / np.where(length > 0, length, 1)
    count = found.shape[1]
    together = (unit.sum(axis=1) ** 2).sum(axis=1)  # of all pairs, each with itself as well
    pairs = count * (count - 1) if count > 1 else np.nan
    return ((together - count) / pairs).mean(axis=-1)
