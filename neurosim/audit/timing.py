"""Timing: at how many time steps of each presentation the inputs may be another example's before learning fails."""

from dataclasses import replace

import brian2
import numpy as np

from neurosim import training
from neurosim.audit.finding import TOO_LITTLE, Finding
from neurosim.data import DataSet

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 0.75)  # of a presentation's steps that are disturbed
ENOUGH = 0.1  # the fraction that a plausible network should bear
STEPS = 12_000  # time steps of a training
TESTS = 200  # test examples


class Disturbance(brian2.core.base.BrianObject):
    """Shows the inputs of another example, drawn at random, in the first steps of every presentation.

    Targets and rules are as they would be: the network is asked for the answer to what it does not see yet.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    targets : set of (str, str)
        Populations and variables clamped to targets, which are left as they are.
    steps : int
        How many steps are disturbed.
    seed : int
        Decides which examples are shown instead.
    """

    add_to_magic_network = True

    def __init__(self, presentation, targets, steps, seed, name="disturbance*"):
        super().__init__(clock=presentation.clock, when="start", order=1, name=name)
        self.presentation, self.targets, self.steps = presentation, targets, steps
        self.generator, self.is_open = np.random.default_rng(seed), True

    def run(self):
        shown = self.presentation
        if not self.is_open or shown.step not in (0, self.steps):
            return
        chosen = shown.examples[shown.index]
        if shown.step == 0:
            chosen = self.generator.choice(shown.examples.ravel(), chosen.shape)
        for population, variable, values, rows, _ in shown._clamps:
            if (population.name, variable) not in self.targets:
                population.view(variable)[...] = values[chosen if rows is None else rows[chosen]]


def bears(experiment, values, data, targets, seed=1, tell=None):
    """Train with more and more disturbed steps; return the finding.

    Learning has failed where less than half of what it gains undisturbed is left, on test examples shown undisturbed.

    Parameters
    ----------
    experiment, values, data, seed
        As for :func:`neurosim.audit.examine.examine`.
    targets : set of (str, str)
        As of :class:`neurosim.audit.wiring.Wiring`.
    tell : callable (text) -> None, optional
        Told what is being measured.

    Returns
    -------
    Finding
    """
    circuit = experiment.build(values, data, seed)
    steps = sum(circuit.presentation.phases.values())
    if steps == 1:
        return Finding("timing", None, "one step", ("an example is one time step: there is none in between",))
    if not targets:
        return Finding("timing", None, "no targets")
    few = _few(data, circuit.lanes, steps)
    presentations = training.presentations_an_epoch(training.sizes(few)[0], circuit.lanes)
    untrained = _error(experiment, values, few, targets, 0, seed, trained=False)
    undisturbed = _error(experiment, values, few, targets, 0, seed)
    gain = untrained - undisturbed
    unit = experiment.metric
    lines = [f"untrained {unit} {untrained:.3g}; after {presentations} presentations {undisturbed:.3g}"]
    if not gain > 0.1 * untrained:
        lines.append("too little is learned in this time to say when learning fails")
        return Finding("timing", None, TOO_LITTLE, tuple(lines))
    borne, failed = 0, None
    for count in sorted({max(1, round(steps * fraction)) for fraction in FRACTIONS if round(steps * fraction) < steps}):
        if tell is not None:
            tell(f"{count} of {steps} steps disturbed")
        error = _error(experiment, values, few, targets, count, seed)
        lines.append(f"{count} of {steps} steps disturbed: {unit} {error:.3g}")
        if untrained - error < 0.5 * gain:
            failed = count
            break
        borne = count
    short = f"{borne} of {steps}" + (" or more" if failed is None else "")
    return Finding(
        "timing",
        borne >= max(1, round(ENOUGH * steps)),
        short,
        tuple(lines),
        ("trained and tested as told, one network",),
    )


def _few(data, lanes, steps):
    """Return a data set of no more examples than are needed."""
    count = min(training.sizes(data)[0], max(lanes, STEPS // steps * lanes))
    if not isinstance(data, DataSet):
        return replace(data, examples=count, tests=min(TESTS, data.tests))
    tests = slice(0, max(1, min(TESTS, len(data.test_labels))))
    return DataSet(
        data.name, data.train_images[:count], data.train_labels[:count], data.test_images[tests],
        data.test_labels[tests], data.n_classes, data.image_shape, data.source,
    )  # fmt: skip


def _error(experiment, values, data, targets, steps, seed, trained=True):
    """Return the mean test error after an epoch in which so many steps of each presentation were disturbed."""
    circuit = experiment.build(values, data, seed)
    brian2.seed(seed)
    if not trained:
        training.test(circuit, data)
        return float(np.mean((circuit.tester or circuit).readout.error))
    disturbance = Disturbance(circuit.presentation, targets, steps, seed)
    if steps:
        circuit.network.add(disturbance)

    set_training = circuit.set_training

    def switch(on):
        disturbance.is_open = on
        set_training(on)

    circuit.set_training = switch  # tests are shown as they are
    *_, last = training.train(circuit, data, 1, seed)
    return float(np.mean(last.test_error))
