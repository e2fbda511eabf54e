"""Networks that learn by target propagation, backprop or random feedback: one builder, equations in units.py.

One time step is one batch: every lane shows an image. Activities go up the sweep, layer after layer, and targets come
down in the same sweep; weights learn after it, all from the same values.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Clock, Network, ms

from neurosim.connectivity import Backward, Dense, Local, Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter, check_ranges
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.training import Circuit
from neurosim.weights import Orthogonal, glorot
from neurosim_models.bartunov_2018 import measures, units

TP, DTP, SDTP, AO_SDTP = "tp", "dtp", "sdtp", "ao_sdtp"
BP, FA, DFA = "bp", "fa", "dfa"
BY_TARGETS = (TP, DTP, SDTP, AO_SDTP)
ALGORITHMS = (*BY_TARGETS, BP, FA, DFA)
DENOISING, PRESERVING = "denoising", "noise_preserving"
PARALLEL, ALTERNATING = "parallel", "alternating"
PLAIN, ADAM = "plain", "adam"
GLOROT, ORTHOGONAL = "glorot", "orthogonal"
TEST_LANES = 250  # the copy of a network in which tests run shows at most this many images side by side
W, V, B, Z = range(4)  # keys of weights: those of one key and layer are the same for every algorithm

ICLR = "Bartunov et al. 2018, ICLR workshop version"
NEURIPS = "Bartunov et al. 2018, NeurIPS"


@dataclass(frozen=True)
class Full:
    """A layer in which every unit sees the whole layer below."""

    n: int


@dataclass(frozen=True)
class LocalLayer:
    """A layer of local receptive fields, every synapse with a weight of its own."""

    channels: int
    kernel: int
    stride: int = 1
    padding: str = "same"


def parameters(*, eta, eta_inverse, alpha, sigma, source):
    """Return the parameters of all experiments; ``source`` is where the values of the four given are from."""
    chosen = "the conditions of the experiment"
    adam = f"{NEURIPS}, supplement: MNIST, fully connected, DTP parallel"
    return (
        Parameter("algorithm", DTP, chosen, "how the layers below the output get what they learn from",
                  choices=ALGORITHMS),
        Parameter("inverse", DENOISING, f"{ICLR}, section 2.1; Lee et al. 2015: noise_preserving",
                  "what the way back reconstructs", choices=(DENOISING, PRESERVING)),
        Parameter("schedule", PARALLEL, chosen,
                  "both ways learn in every step; or the way back in odd epochs and the way up in even ones",
                  choices=(PARALLEL, ALTERNATING)),
        Parameter("update", PLAIN, "ours: the plainest; the paper uses adam", "what a change makes of a weight",
                  choices=(PLAIN, ADAM)),
        Parameter("eta", eta, source, "step of the way up on the batch's mean, plain", "1/batch", low=0),
        Parameter("output_step", 1.0, "ours: targets and the loss' slope differ in scale",
                  "step of the output layer in those of the hidden ones, plain", above=0),
        Parameter("eta_inverse", eta_inverse, source, "step of the way back, plain", "1/batch", low=0),
        Parameter("alpha", alpha, source, "step against dL/dh that makes DTP's last hidden target", above=0),
        Parameter("sigma", sigma, source, "standard deviation of the noise that teaches the way back", low=0),
        Parameter("init", GLOROT, f"{ICLR}, section 3; Lee et al. 2015: orthogonal", "initial weights, both ways",
                  choices=(GLOROT, ORTHOGONAL)),
        Parameter("auxiliary", 512, f"{NEURIPS}, AO-SDTP", "auxiliary outputs of AO-SDTP", "units", low=1),
        Parameter("adam_eta", 7.57e-4, adam, "Adam's step, way up", "1/batch", low=0),
        Parameter("adam_eta_inverse", 7.68e-4, adam, "Adam's step, way back", "1/batch", low=0),
        Parameter("b1", 0.99, adam, "Adam, way up: fading of the mean gradient, a step", low=0, below=1),
        Parameter("b2", 0.95, adam, "Adam, way up: fading of the mean squared gradient, a step", low=0, below=1),
        Parameter("tiny", 1e-3, adam, "Adam, way up: kept from zero by this", above=0),
        Parameter("b1_inverse", 0.9, "Kingma & Ba 2015", "Adam, way back: as b1", low=0, below=1),
        Parameter("b2_inverse", 0.999, "Kingma & Ba 2015", "Adam, way back: as b2", low=0, below=1),
        Parameter("tiny_inverse", 1e-8, "Kingma & Ba 2015", "Adam, way back: as tiny", above=0),
        Parameter("dt", 1 * ms, "ours: the paper counts batches", "time step", above=0),
    )  # fmt: skip


def check(values):
    """Refuse values out of range, and such that do not go together."""
    check_ranges(parameters(eta=0.0, eta_inverse=0.0, alpha=1.0, sigma=0.0, source=""), values)
    if values["schedule"] == ALTERNATING and values["algorithm"] not in BY_TARGETS:
        raise ParameterError(
            f"schedule: {values['algorithm']} has no way back that learns, which epochs could alternate with; use "
            f"{PARALLEL}, or one of {', '.join(BY_TARGETS)}"
        )


def build(values, data, seed, architecture, *, change=None, precision=np.float32, linear=False):
    """Return the circuit of an architecture, with a copy in which tests are run and one in which it is looked at.

    Parameters
    ----------
    values : dict
        Those of :func:`parameters`, lanes and replicas.
    data : DataSet
        Images.
    seed : int
        Decides the weights: W of a layer is the same for every algorithm.
    architecture : sequence of Full and LocalLayer
        Hidden layers from the input up.
    change : callable, optional
        Changes the images shown while it learns, see :meth:`Presentation.clamp`.
    precision : numpy dtype
        Of states and weights.
    linear : bool
        Hidden units without tanh, for theory.

    Raises
    ------
    ParameterError
        If values do not go together, or a layer does not fit on the one below it.
    """
    check(values)
    options = dict(data=data, seed=seed, architecture=tuple(architecture), precision=precision, linear=linear)
    learner = Layers(values, **options)
    circuit = learner.circuit(change)
    tested = values | {"lanes": min(TEST_LANES, values["lanes"])}
    circuit.tester = Layers(tested, **options, learns=False, targets=False).circuit()
    if values["algorithm"] != BP:
        circuit.measures |= measures.of(circuit, Layers(values, **options, learns=False), data)
    return circuit


def inverse(forward, above, below, text, **more):
    """Return the projection that leads back from a layer to the layer below it, with weights of its own.

    Parameters
    ----------
    forward : Projection
        The way up; from windows of an image (Local) or from all to all.
    above, below : Population
        Where it comes from, and the target cells that it leads to: as many as ``forward`` leads to and comes from.
    text : str
        What it transmits.
    **more
        What else a Projection takes.

    Raises
    ------
    ParameterError
        If the sizes are not those of the way up, reversed.
    """
    sizes, needed = (above.n, below.n), (forward.target.n, forward.source.n)
    if sizes != needed:
        raise ParameterError(
            f"the inverse of {forward.name} must lead from {needed[0]} to {needed[1]} units, the shape of "
            f"{forward.name} reversed; {above.name} and {below.name} have {sizes[0]} and {sizes[1]}"
        )
    window = _window(forward)
    return Projection(above, below, text, connectivity=Backward(window) if window else Dense(), **more)


@dataclass
class Layer:
    """A layer of a network, and what serves it."""

    units: Population
    place: int  # in the sweep, from the input, 0, to the output
    image: tuple | None  # (height, width, channels), None where there is none
    forward: Projection | None = None  # W, that leads to it
    cells: Population | None = None  # whose activities are its targets
    sends_back: bool = False  # whether an inverse leads from it to the layer below


class Layers:
    """A network under construction: the input x, hidden layers h1, h2, ... and the output y.

    Parameters
    ----------
    values, data, seed, architecture, precision, linear
        As for :func:`build`.
    learns : bool
        Whether there is noise, and weights learn.
    targets : bool
        Whether anything comes back; False for tests.
    """

    def __init__(self, values, data, seed, architecture, precision, linear, learns=True, targets=True):
        self.values, self.seed, self.linear, self.learns = values, seed, linear, learns
        self.classes, self.algorithm = data.n_classes, values["algorithm"]
        self.by_targets = targets and self.algorithm in BY_TARGETS
        self.watched = targets and not learns
        self.adam = learns and values["update"] == ADAM
        self.clock = Clock(values["dt"])
        self.shape = dict(
            replicas=values["replicas"], lanes=values["lanes"], clock=self.clock, dtype=precision
        )  # fmt: skip
        self.shown = Presentation(self.clock.dt, clock=self.clock)
        self.forward, self.backward, self.others = {}, {}, []  # what learns, way up and way back; all else
        self.top = len(architecture) + 1
        self.on = self._population("on", 1, units.ON, 0)
        self.x = self._population("x", data.train_images.shape[1], units.INPUT, 0)
        image = (*data.image_shape, 1)[:3]
        self.layers = [Layer(self.x, 0, image if np.prod(image) == self.x.n else None)]
        for place, spec in enumerate(architecture, start=1):
            self._add(spec, place)
        self._add(Full(self.classes), self.top)
        self.y = self.layers[-1].units
        self._normalise()
        if targets:
            self._come_back()

    def _population(self, name, n, kind, order, **constants):
        return Population(n, kind, order=order, name=name, namespace=constants, **self.shape)

    def _learning(self, kind, constants, back=False):
        """Return a neuron type and its constants, with what Adam needs where it is used."""
        if not self.adam:
            return kind, constants
        end = "_inverse" if back else ""
        return units.with_adam(kind), constants | {name: self.values[name + end] for name in ("b1", "b2")}

    def _seed(self, place, key):
        return np.random.SeedSequence(self.seed, spawn_key=(place, key))

    def _start(self, window, n_in, n_out):
        """Return the distribution of a layer's initial weights."""
        if self.values["init"] == ORTHOGONAL:
            if window:
                raise ParameterError(f"init: local layers have no matrix that could be {ORTHOGONAL}; use {GLOROT}")
            return Orthogonal()
        if window:
            n_in, n_out = (np.prod(window.kernel) * n for n in (window.image[2], window.channels))
        return glorot(n_in, n_out)

    # the way up

    def _add(self, spec, place):
        """Make a layer, W and b."""
        below, name = self.layers[-1], f"h{place}" if place < self.top else "y"
        window, image, n = None, None, getattr(spec, "n", None)
        if isinstance(spec, LocalLayer):
            if below.image is None:
                raise ParameterError(
                    f"architecture: the local layer {name} needs an image below it, not {below.units.name}"
                )
            window = Local(below.image, spec.kernel, spec.channels, spec.stride, spec.padding)
            image, n = window.output, int(np.prod(window.output))
        sends_back = self._sends_back(place)
        model, constants = self._kind(place)
        here = Layer(self._population(name, n, model, place, **constants), place, image, sends_back=sends_back)
        self.layers.append(here)
        start = self._start(window, below.units.n, n)
        here.forward = self._up(f"W_{name}", below.units, here, window or Dense(), start, self._seed(place, W))
        self._up(f"b_{name}", self.on, here, Dense(), np.zeros((1, n)), None)

    def _sends_back(self, place):
        """Say whether an inverse leads from a layer to the one below: no input, nor a target by the gradient."""
        return self.by_targets and 1 < place <= self.top - (self.algorithm == DTP)

    def _kind(self, place):
        """Return the neuron type and the constants of the units of a layer."""
        hears = self.learns and self._sends_back(place)
        if place == self.top:
            return self._learning(units.output(hears), {})
        noise = self.learns and self._sends_back(place + 1)
        model = units.hidden(self.by_targets, hears, noise, self.watched, self.linear)
        return self._learning(model, {"sigma": self.values["sigma"]} if noise else {})

    def _up(self, name, source, here, kind, weights, seed):
        self.forward[name] = Projection(
            source, here.units, self._carries(units.UP, units.UP_NOISY, here), connectivity=kind, weights=weights,
            seed=seed, name=name, **self._rule(units.FORWARD_CHANGE, output=here.place == self.top),
        )  # fmt: skip
        return self.forward[name]

    def _carries(self, text, noisy, above):
        """Return the text of a transmit: with the line of the noisy signal where the layer above hears it."""
        return f"{text}\n{noisy}" if self.learns and above.sends_back else text

    def _rule(self, change, back=False, output=False):
        """Return rule and constants of synapses that learn."""
        if not self.learns:
            return {}
        end = "_inverse" if back else ""
        constants = {"eta": self.values[f"eta{end}"] * (self.values["output_step"] if output else 1)}
        if self.adam:
            constants = {name: self.values[name + end] for name in ("b1", "b2", "tiny")}
        return {"rule": units.rule(change, self.adam), "namespace": constants}

    def _normalise(self):
        text = self._carries(units.TOTAL, units.TOTAL_NOISY, self.layers[-1])
        self._other(self.y, self.y, text, "softmax", connectivity=Dense(), order=self.top + 1)

    def _other(self, source, target, text, name, **more):
        made = Projection(source, target, text, name=name, **more)
        self.others.append(made)
        return made

    # the way back

    def _leaves(self, place):
        """Return the place in the sweep at which a layer sends back; its target cells come right before it."""
        return self.top + 2 + 2 * (self.top - place)

    def _come_back(self):
        for here in self.layers[-2:0:-1]:
            above = self.layers[here.place + 1]
            if self.by_targets:
                self._make_cells(above, here)
            elif self.algorithm == DFA:
                self._feed_back(self.layers[-1], here, None)
            else:
                self._feed_back(above, here, above.forward)
            if self.watched:
                self._transport(above, here.units, units.WATCHED, f"backprop_{here.units.name}")

    def _transport(self, above, target, text, name, **more):
        """Send back along the weights of the way up: weight transport."""
        return self._other(above.units, target, text, name, connectivity=Transposed(above.forward),
                           order=self._leaves(above.place), **more)  # fmt: skip

    def _feed_back(self, above, here, forward):
        """Make the way on which errors come back to a layer."""
        name = here.units.name
        if self.algorithm == BP:
            self._transport(above, here.units, units.BACK, f"WT_{name}")
            return
        window = _window(forward)
        self.backward[f"B_{name}"] = Projection(
            above.units, here.units, units.BACK, connectivity=Backward(window) if window else Dense(),
            weights=self._start(window, above.units.n, here.units.n), seed=self._seed(here.place, B), name=f"B_{name}",
            order=self._leaves(above.place),
        )  # fmt: skip

    def _make_cells(self, above, here):
        """Make a layer's target cells, what reaches them from above, and what they tell the layer."""
        name = here.units.name
        by_gradient = not above.sends_back
        kind = units.GRADIENT if by_gradient else units.VANILLA if self.algorithm == TP else units.DIFFERENCE
        preserving = self.learns and self.values["inverse"] == PRESERVING and not by_gradient
        model = units.targets(kind, preserving, self.linear)
        model, constants = (model, {}) if by_gradient else self._learning(model, {}, back=True)
        here.cells = self._population(f"t{here.place}", here.units.n, model, self._leaves(here.place) - 1, **constants)
        text = f"{units.BESIDE}\n{units.BESIDE_NOISY}" if preserving else units.BESIDE
        self._other(here.units, here.cells, text, f"beside_{name}")
        self._other(here.cells, here.units, units.TOLD, f"told_{name}")
        if by_gradient:
            self._transport(above, here.cells, units.PULL, f"WT_{name}", namespace={"alpha": self.values["alpha"]})
        else:
            self._send_back(above, here)

    def _send_back(self, above, here):
        """Make V and c, from a layer to the target cells of the one below it; from auxiliary outputs too."""
        name, n = here.units.name, here.units.n
        text = self._carries(units.DOWN, units.DOWN_NOISY, above)
        learns = dict(order=self._leaves(above.place)) | self._rule(units.INVERSE_CHANGE, back=True)
        sources = [(f"V_{name}", above.units, above.forward, V)]
        if self.algorithm == AO_SDTP and above.place == self.top:
            sources.append((f"V_{name}_z", *self._auxiliary(above, here), Z + 1))
        for made, source, forward, key in sources:
            start, seed = self._start(_window(forward), source.n, n), self._seed(above.place, key)
            self.backward[made] = inverse(
                forward, source, here.cells, text, weights=start, seed=seed, name=made, **learns
            )  # fmt: skip
        made = f"c_{name}"
        self.backward[made] = Projection(self.on, here.cells, text, weights=np.zeros((1, n)), name=made, **learns)

    def _auxiliary(self, output, below):
        """Return auxiliary outputs, random features of the last hidden layer that send back too, and their synapses."""
        z = self._population("z", self.values["auxiliary"], units.AUXILIARY, self.top)
        self.others.append(z)
        text = self._carries(units.UP, units.UP_NOISY, output)
        weights, seed = self._start(None, below.units.n, z.n), self._seed(self.top, Z)
        return z, self._other(below.units, z, text, "W_z", weights=weights, seed=seed)

    # what it is made into

    @property
    def populations(self):
        """All layers and target cells, in the order of the sweep."""
        return [each.units for each in self.layers] + [each.cells for each in self.layers[::-1] if each.cells]

    def circuit(self, change=None):
        """Return the network with what feeds and reads it."""
        shown, x, y = self.shown, self.x, self.y
        readout = Readout(shown, y, "v", self.classes)
        one_hot = np.eye(self.classes)
        plastic = self.forward | self.backward

        def feed(images, labels):
            shown.clamp(x, "h", images, change=change)
            shown.clamp(y, "target", one_hot, rows=labels)

        self._set_steps()
        alternates = self.learns and self.values["schedule"] == ALTERNATING
        guard = Guard([(y, "v")])
        return Circuit(
            network=Network(self.on, *self.populations, *self.others, *plastic.values(), shown, readout, guard),
            populations={p.name: p for p in self.populations},
            projections=plastic,
            presentation=shown,
            readout=readout,
            feed=feed,
            schedule=self._alternate if alternates else None,
        )  # fmt: skip

    def _set_steps(self, up=True, back=True):
        """Set Adam's steps, and hold them where a way does not learn."""
        if self.adam:
            for layer in self.layers[1:]:
                layer.units.view("eta")[...] = up * self.values["adam_eta"]
                if layer.cells and "eta" in layer.cells.state_variables:
                    layer.cells.view("eta")[...] = back * self.values["adam_eta_inverse"]

    def _alternate(self, epoch):
        """Let the way back learn in odd epochs, and the way up in even ones."""
        back = epoch % 2 == 1
        for learns, projections in ((not back, self.forward), (back, self.backward)):
            for projection in projections.values():
                projection.plastic = learns
        self._set_steps(not back, back)


def _window(forward):
    """Return the local windows of a projection, or None."""
    kind = getattr(forward, "connectivity", None)
    return kind if isinstance(kind, Local) else None
