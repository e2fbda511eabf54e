"""A small network for audits to look at, into which a test plants what it should find."""

from types import SimpleNamespace

import numpy as np
from brian2 import Clock, Network, ms

from neurosim import Population, Presentation, Projection, neurons
from neurosim.audit.criteria import CRITERIA
from neurosim.audit.examine import examine
from neurosim.data import DataSet
from neurosim.recording import Readout
from neurosim.training import Circuit
from neurosim.weights import Uniform

FORWARD, MODULATE = "v_post = w * r_pre", "m_post = d_pre"
HEBB = "w += eta * r_pre * m_post"
INPUTS, HIDDEN, CLASSES = 6, 5, 3
VALUES = {"lanes": 2, "replicas": 1, "epochs": 1}


def toy_data(train=60, tests=30, seed=0):
    """Return random images whose class a linear network can learn."""
    draw = np.random.default_rng(seed)
    images = draw.uniform(size=(train + tests, INPUTS)).astype(np.float32)
    labels = ((images - 0.5) @ draw.normal(size=(INPUTS, CLASSES))).argmax(axis=1)
    return DataSet(
        "toy", images[:train], labels[:train], images[train:], labels[train:], CLASSES, (2, 3), "drawn for tests"
    )


def toy(
    plant=None, *, phases=1, hidden=(), output=(), feedback=(), h=neurons.TANH, namespace=None, sizes=(INPUTS, HIDDEN)
):
    """Return an experiment: x -> h -> y, an error beside y, which random feedback B carries to h.

    Parameters
    ----------
    plant : callable (parts) -> iterable of objects, optional
        Adds objects to the network, or changes those that are in it; ``parts`` has them by name.
    phases : int or dict of str to int
        Time steps of a presentation.
    hidden, output, feedback : dict
        Arguments of the projections W_h, W_y and B, in the place of the usual ones.
    h, namespace : NeuronType, dict
        Of the hidden population.
    sizes : (int, int)
        Of x and h.
    """

    def build(values, data, seed):
        clock = Clock(1 * ms)
        steps = phases if isinstance(phases, dict) else {"shown": phases}
        shown = Presentation({name: count * clock.dt for name, count in steps.items()}, clock=clock)
        shape = dict(clock=clock, lanes=values["lanes"], replicas=values["replicas"])
        made = {
            name: Population(n, kind, order=order, name=name, namespace=namespace if name == "h" else None, **shape)
            for name, n, kind, order in (
                ("x", sizes[0], neurons.INPUT, 0),
                ("h", sizes[1], h, 1),
                ("y", CLASSES, neurons.LINEAR, 2),
                ("error", CLASSES, neurons.RATE_ERROR, 3),
                ("feedback", sizes[1], neurons.RATE_FEEDBACK, 4),
            )
        }
        parts = SimpleNamespace(shown=shown, shape=shape, **made)
        learns = dict(weights=Uniform(0.5), rule=HEBB, namespace={"eta": 0.05})

        def connect(name, source, target, transmit, given, **usual):
            given = given(parts) if callable(given) else dict(given)
            setattr(parts, name, Projection(source, target, transmit, name=name, **(usual | given)))

        connect("W_h", parts.x, parts.h, FORWARD, hidden, seed=1, **learns)
        connect("W_y", parts.h, parts.y, FORWARD, output, seed=2, **learns)
        connect("guess", parts.y, parts.error, "guess_post = r_pre", ())
        connect("teach", parts.error, parts.y, MODULATE, ())
        connect("B", parts.error, parts.feedback, "d_post = w * d_pre", feedback, weights=Uniform(0.5), seed=3)
        connect("modulate", parts.feedback, parts.h, MODULATE, ())
        more = [] if plant is None else list(plant(parts))
        objects = [each for name, each in vars(parts).items() if name != "shape"]
        readout = Readout(shown, parts.y, "v", CLASSES, at_end=True)

        def feed(inputs, wanted):
            shown.clamp(parts.x, "r", inputs)
            shown.clamp(parts.error, "target", np.eye(CLASSES), rows=wanted)

        learning = {each.name: each for each in (*objects, *more) if getattr(each, "rule", None) is not None}
        return Circuit(Network(*objects, *more, readout), made, learning | {"B": parts.B}, shown, readout, feed)

    return SimpleNamespace(build=build, metric="error")


def examined(experiment, data=None, seed=1, **values):
    """Return what an examination finds out."""
    return examine(experiment, VALUES | values, data or toy_data(), seed)


def found(criterion, experiment, data=None, seed=1, **values):
    """Return the finding on one criterion."""
    return CRITERIA[criterion](examined(experiment, data, seed, **values))


def said(finding):
    """Return the evidence of a finding as one text."""
    return "\n".join(finding.evidence)
