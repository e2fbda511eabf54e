"""Hidden units that compete by rank learn features without labels, then a top layer learns to name them.

Equations   I = <W, v> = sum of sign(W) |W|^(p - 1) v    g = 1 for the largest I, -Delta for the k-th, else 0
            D = sum over a batch of g (R^p v - I W)    W <- W + epsilon D / max |D|                          R = 1
            epsilon = epsilon0 (1 - past epochs / epochs), then W is frozen; the top layer: top.py
            end_to_end: W and S together by backprop, f = max(W v, 0)^n
Symbols     v input, I current, g learning activation (1); W weights of the features, p exponent of their norm, S
            weights of the top layer
One time step is one batch: every lane shows an image.
"""

import numpy as np
from brian2 import Clock, Network, ms

from neurosim.competition import Ranking, check_rank
from neurosim.connectivity import Transposed
from neurosim.errors import ParameterError
from neurosim.experiment import Parameter
from neurosim.neurons import NeuronType
from neurosim.plasticity import adam, library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.training import Circuit
from neurosim.weights import Normal, Uniform, glorot
from neurosim_models.krotov_2019 import top
from neurosim_models.krotov_2019.fields import Encoder, ShownFields

PAPER = top.PAPER
COMPETING, BACKPROP = "competing", "end_to_end"
PIXELS, UNIT_LENGTH = "pixels", "unit length"
TEST_LANES = 250
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)

CURRENT = "drive_post = sign(w) * abs(w)**(p - 1) * v_pre"
FIELD = "v_post = w * v_pre"
BACK = "d_post = w * delta_pre"
BACKPROP_RULE = adam.rule("v_pre * m_post")

INPUT = NeuronType("v : 1", symbols={"v": "pixel, set by the presentation (1)"}, source=PAPER)
HIDDEN = NeuronType(
    equations="""
    drive : 1
    g : 1
    v : 1
    """,
    symbols={
        "drive": "current I = <W, v>, sum of sign(W) |W|^(p - 1) v (1)",
        "g": "learning activation: 1 for the largest current, -Delta for the k-th, else 0 (1)",
        "v": "field W v / a, in the supervised part, when W is frozen (1)",
    },
    source=f"Krotov, Hopfield 2018, {PAPER}, section 3 and equation 1",
)
TAUGHT = NeuronType(
    equations=f"""
    v : 1
    d : 1
    m = d * n * int(v > 0) * abs(v)**(n - 1) : 1
    {adam.EQUATIONS}
    """,
    update=adam.UPDATE,
    symbols={
        "v": "field W v (1)",
        "d": "error that has come back: weighted sum of the errors of the top layer (1)",
        "m": "error signal: d times the slope of max(v, 0)^n (1)",
        "n": "power of the features",
    }
    | adam.SYMBOLS,
    source=f"backprop, as in {PAPER}, section 4; {adam.SOURCE}",
)

TEXTS = {
    "W transmit": CURRENT,
    "W rule; scaled so that the largest change of a batch is epsilon": library.COMPETITIVE.events,
    "W transmit, once W is frozen, and end to end": FIELD,
    "S transmit": top.TRANSMIT,
    "S rule (Adam)": top.RULE,
    "end to end: S read backwards, weight transport": BACK,
    "end to end: W rule (Adam)": BACKPROP_RULE,
}
NEURONS = {"input": INPUT, "hidden": HIDDEN, "output": top.CLASSES, "hidden, end to end": TAUGHT}

PARAMETERS = (
    Parameter("algorithm", COMPETING, "the conditions of the experiment", "how W learns",
              choices=(COMPETING, BACKPROP)),
    Parameter("hidden", 2000, f"{PAPER}, section 4", "units that compete", "units", low=2),
    Parameter("p", 4.0, f"{PAPER}, appendix B", "exponent of the norm of a unit's weights", low=1),
    Parameter("k", 2, f"{PAPER}, section 3: second, or more generally k-th", "rank of the unit pushed away", low=2),
    Parameter("delta", 0.4, f"{PAPER}, appendix B", "how strongly it is pushed away", low=0),
    Parameter("epsilon0", 0.04, f"{PAPER}, appendix B", "first largest change of a weight in a batch; it falls to 0",
              low=0),
    Parameter("unsupervised", 0.25, f"{PAPER}, appendix B: 100 epochs, then 300",
              "part of the epochs in which W learns, without labels; in the rest the top layer does", low=0, high=1),
    Parameter("inputs", PIXELS, f"{PAPER}, section 4", "images as they are, or each scaled to length 1",
              choices=(PIXELS, UNIT_LENGTH)),
    *top.PARAMETERS,
    Parameter("dt", 1 * ms, "ours: the paper counts batches", "time step", above=0),
)  # fmt: skip


def check(values):
    """Raise a ParameterError for values that do not go together."""
    if values.get("algorithm") != BACKPROP:
        check_rank(values["k"], values["delta"], values["hidden"], "competing units")


def build(values, data, seed):
    """Return the circuit for these values, this data set and this seed.

    Raises
    ------
    ParameterError
        If k is larger than the number of units, or an image that is to be scaled to length 1 is all zero.
    """
    check(values)
    shapes = Shapes(values, data, seed)
    return _end_to_end(shapes) if values["algorithm"] == BACKPROP else competing(shapes)


def unsupervised_epochs(values):
    """Return how many of a run's epochs are without labels."""
    return 0 if values.get("algorithm") == BACKPROP else round(values["unsupervised"] * values["epochs"])


class Inputs:
    """Images as a network sees them: as they are, or each scaled to length 1, which is computed once."""

    def __init__(self, kind, data):
        self.scaled = {}
        if kind == UNIT_LENGTH:
            for split in ("train", "test"):
                images = getattr(data, f"{split}_images")
                self.scaled[id(images)] = images, unit_length(images, f"{data.name}, {split} split")

    def of(self, images):
        """Return the images as they are shown; the same array for the same images."""
        if not self.scaled:
            return images
        if id(images) not in self.scaled:
            self.scaled[id(images)] = images, unit_length(images, "images")
        return self.scaled[id(images)][1]


def unit_length(images, where):
    """Return images (m, n), each divided by its length.

    Raises
    ------
    ParameterError
        Names the first image that is all zero, which has no direction.
    """
    length = np.linalg.norm(images, axis=1, keepdims=True)
    if not length.all():
        zero = np.flatnonzero(length == 0)
        raise ParameterError(
            f"{where}: image {zero[0]} is all zero ({len(zero)} of {len(images)} are) and cannot be scaled to length "
            f"1; leave such images out, or use inputs={PIXELS}"
        )
    return (images / length).astype(np.float32)


class Shapes:
    """What the parts of a network have in common: values, data and seed."""

    def __init__(self, values, data, seed):
        self.values, self.data, self.seed = values, data, seed
        self.classes, self.pixels = data.n_classes, data.train_images.shape[1]
        self.hidden = values["hidden"]
        self.inputs = Inputs(values["inputs"], data)
        self.wanted = 2 * np.eye(self.classes) - 1

    def network(self, tests=False):
        """Return (arguments of populations, presentation) of a network: the one that learns, or the one for tests."""
        clock = Clock(self.values["dt"])
        lanes = min(TEST_LANES, len(self.data.test_labels)) if tests else self.values["lanes"]
        shape = dict(replicas=self.values["replicas"], lanes=lanes, clock=clock)
        return shape, Presentation(clock.dt, clock=clock)

    def output(self, shape, name="y", order=2):
        """Return the population of the classes."""
        fading, _ = top.constants(self.values)
        constants = fading | {"m": self.values["m"]}
        return Population(self.classes, top.CLASSES, order=order, name=name, namespace=constants, **shape)

    def classifier(self, h, y, learns, weights, power=None, name="S"):
        """Return the projection from features to classes."""
        _, constants = top.constants(self.values)
        constants = (constants if learns else {}) | {"n": self.values["n"] if power is None else power}
        return Projection(
            h, y, top.TRANSMIT, top.RULE if learns else None, weights=weights, name=name,
            seed=np.random.SeedSequence(self.seed, spawn_key=(2,)), namespace=constants,
        )  # fmt: skip


def competing(shapes, powers=None):
    """Return the circuit of units that compete, with a copy of its top layer in which tests are run.

    With ``powers``, a dict of names of top layers to (n, beta), several top layers read the same features; the first is
    the circuit's readout, and the errors of all are measured after every epoch.
    """
    values, data = shapes.values, shapes.data
    shape, shown = shapes.network()
    x = Population(shapes.pixels, INPUT, order=0, name="x", **shape)
    h = Population(shapes.hidden, HIDDEN, order=1, name="h", **shape)
    w = Projection(
        x, h, CURRENT, library.COMPETITIVE, weights=Normal(1), name="W",
        seed=np.random.SeedSequence(shapes.seed, spawn_key=(1,)), largest_change=values["epsilon0"],
        namespace={"p": values["p"], "R": 1, "tau_L": values["dt"]},
    )  # fmt: skip
    ranking = Ranking(h, "drive", "g", values["k"], values["delta"], name="ranking")
    encoder = Encoder(w, shapes.inputs.of(data.train_images))
    powers = {"S": (values["n"], values["beta"])} if powers is None else powers
    learner = Tops(shapes, encoder, h, shape, shown, powers, learns=True)
    test_shape, test_shown = shapes.network(tests=True)
    h_test = Population(shapes.hidden, HIDDEN, order=1, name="h_test", **test_shape)
    tester = Tops(shapes, encoder, h_test, test_shape, test_shown, powers, learns=False)
    epochs, without = values["epochs"], unsupervised_epochs(values)

    def schedule(epoch):
        features = epoch <= without
        w.active = ranking.active = features
        learner.set_on(not features)
        tester.set_on(not features)
        eta = 0
        if features:
            encoder.forget()
            w.largest_change = values["epsilon0"] * (1 - (epoch - 1) / without)
        else:
            eta = top.step_of_epoch(values, epoch - without, epochs - without)
        learner.set_step(eta)

    schedule(1)
    measures = weight_measures(w, values["p"], data.image_shape)
    if len(powers) > 1:
        for split, each in (("train", learner), ("test", tester)):
            measures |= {f"{split}_error_{n}": (lambda r=r: _error(r), "1") for n, r in each.readouts.items()}
    circuit = learner.circuit([x, w, ranking], {"x": x, "h": h}, {"W": w}, x, [(h, "drive")])
    circuit.tester = tester.circuit([], {"h": h_test}, {}, None, [])
    circuit.schedule, circuit.measures = schedule, measures
    return circuit


class Tops:
    """Top layers over the features of one network."""

    def __init__(self, shapes, encoder, h, shape, shown, powers, learns):
        self.shapes, self.h, self.shown = shapes, h, shown
        suffix = "" if learns else "_test"
        tops = []
        self.fields = ShownFields(encoder, shown, h, tops, name=f"fields{suffix}")
        self.outputs, self.projections, self.readouts = {}, {}, {}
        for name, (power, beta) in powers.items():
            y = self.outputs[name] = shapes.output(shape, name=f"y{name[1:]}{suffix}")
            self.projections[name] = shapes.classifier(h, y, learns, Uniform(0), power, f"{name}{suffix}")
            tops.append((y, power, beta))
            kind = Readout if self.readouts else _Readouts
            self.readouts[name] = kind(shown, y, "v", shapes.classes, name=f"readout_{name}")
        first, *others = self.readouts.values()
        first.others = others

    def set_on(self, on):
        """Show features and let the top layers work, or not."""
        self.fields.on = on
        for projection in self.projections.values():
            projection.active = on

    def set_step(self, eta):
        """Set Adam's step."""
        for y in self.outputs.values():
            y.view("eta")[...] = eta

    def circuit(self, others, populations, projections, x, watched):
        """Return the network with what feeds and reads it."""
        shapes, shown = self.shapes, self.shown

        def feed(images, labels):
            images = shapes.inputs.of(images)
            self.fields.feed(images)
            if x is not None:
                shown.clamp(x, "v", images)
            for y in self.outputs.values():
                shown.clamp(y, "target", shapes.wanted, rows=labels)

        guard = Guard([*watched, *((y, "v") for y in self.outputs.values())])
        parts = [*self.outputs.values(), *self.projections.values(), *self.readouts.values()]
        return Circuit(
            network=Network(self.h, *others, *parts, self.fields, shown, guard),
            populations=populations | {name.replace("S", "y", 1): y for name, y in self.outputs.items()},
            projections=projections | self.projections,
            presentation=shown,
            readout=next(iter(self.readouts.values())),
            feed=feed,
        )


class _Readouts(Readout):
    """A readout that tells others, too, what is expected."""

    others = ()

    def expect(self, labels, counted=None):
        super().expect(labels, counted)
        for each in self.others:
            each.expect(labels, counted)


def _error(readout):
    """Return the error, (replicas,); that of chance before anything has been shown."""
    return readout.error if readout.shown else np.full(readout.population.replicas, 1 - 1 / readout.n_classes)


def weight_measures(w, p, image_shape):
    """Return what is measured of the features after every epoch: p-norms, extremes, weights at the images' border."""
    border = at_border(image_shape)
    return {
        "p_norms": (lambda: np.quantile(p_norms(w, p), QUANTILES, axis=1).T, "1"),
        "most_negative": (lambda: w.w.min(axis=(1, 2)).astype(float), "1"),
        "most_positive": (lambda: w.w.max(axis=(1, 2)).astype(float), "1"),
        "border": (lambda: np.abs(w.w[:, border]).mean(axis=(1, 2), dtype=float), "1"),
    }


def p_norms(w, p):
    """Return sum over inputs of |W|^p of every hidden unit, (replicas, units)."""
    return (np.abs(w.w) ** p).sum(axis=1, dtype=float)


def at_border(image_shape):
    """Return which pixels lie at the border of an image: its outermost fourteenth, at least one pixel, on each side."""
    height, width, *channels = image_shape
    inner = np.ones((height, width), bool)
    edge = max(1, height // 14)
    inner[edge:-edge, edge:-edge] = False
    return np.repeat(inner.ravel(), channels[0] if channels else 1)


def _end_to_end(shapes):
    """Return the circuit of a network of the same size that backprop trains, with a copy in which tests are run."""
    values, parts = shapes.values, []
    for learns in (True, False):
        shape, shown = shapes.network(tests=not learns)
        suffix = "" if learns else "_test"
        fading, synapses = top.constants(values)
        x = Population(shapes.pixels, INPUT, order=0, name=f"x{suffix}", **shape)
        constants = fading | {"n": values["n"]}
        h = Population(shapes.hidden, TAUGHT, order=1, name=f"h{suffix}", namespace=constants, **shape)
        y = shapes.output(shape, f"y{suffix}")
        w = Projection(
            x, h, FIELD, BACKPROP_RULE if learns else None, weights=glorot(x.n, h.n), name=f"W{suffix}",
            seed=np.random.SeedSequence(shapes.seed, spawn_key=(1,)), namespace=synapses if learns else {},
        )  # fmt: skip
        y.view("gain")[...] = values["beta"]
        s = shapes.classifier(h, y, learns, glorot(h.n, y.n), name=f"S{suffix}")
        back = [Projection(y, h, BACK, connectivity=Transposed(s), name="S_T")] if learns else []
        readout = Readout(shown, y, "v", shapes.classes)

        def feed(images, labels, shown=shown, x=x, y=y):
            shown.clamp(x, "v", shapes.inputs.of(images))
            shown.clamp(y, "target", shapes.wanted, rows=labels)

        parts.append(
            Circuit(
                network=Network(x, h, y, w, s, *back, shown, readout, Guard([(h, "v"), (y, "v")])),
                populations={"x": x, "h": h, "y": y},
                projections={"W": w, "S": s},
                presentation=shown,
                readout=readout,
                feed=feed,
            )
        )
    circuit, circuit.tester = parts

    def schedule(epoch):
        for name in ("h", "y"):
            circuit.populations[name].view("eta")[...] = top.step_of_epoch(values, epoch, values["epochs"])

    circuit.schedule = schedule
    circuit.measures = {
        name: measure
        for name, measure in weight_measures(circuit.projections["W"], 2, shapes.data.image_shape).items()
        if name != "p_norms"
    }
    return circuit
