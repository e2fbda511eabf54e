"""Examine a circuit: let it learn from a few presentations under watch, and note what can be measured by that."""

import gc
from dataclasses import dataclass, field

import brian2
import numpy as np

from neurosim import training
from neurosim.audit.moment import same
from neurosim.audit.replay import Laboratory, signals
from neurosim.audit.signs import Borders
from neurosim.audit.wiring import Wiring
from neurosim.checkpoint import network_state, set_network_state
from neurosim.connectivity import BACKWARDS, LIST, MATRIX, PAIRS
from neurosim.tasks import FunctionTask

PRESENTATIONS = 3  # shown under watch
EXERCISE = 12  # shown after these, for what learning does to signs
STEPS = 3000  # time steps that the exercise may take


@dataclass
class Examination:
    """What was found out about a circuit.

    Attributes
    ----------
    wiring : Wiring
        What its texts say.
    borders : Borders
        Between which borders its variables lie, by its texts.
    seen, written
        See :class:`neurosim.audit.replay.Laboratory`.
    neurons
        See :class:`neurosim.audit.replay.Laboratory`.
    answered : bool or None
        Whether other targets changed what is sent along the forward path; None without targets.
    mixed, mixed_after : float
        Fraction of neurons whose outgoing weights have both signs, before and after the examination.
    turned : float
        Fraction of plastic weights that changed their sign.
    alike : list of (str, str, float, bool)
        Two projections, the angle between their weights in degrees, and whether the second is read transposed: those
        below 45 degrees, before learning.
    alike_after : list
        The same after it.
    presentations : int
        How many there were.
    rewritten : set of str
        Projections without a rule whose weights are others after the examination.
    fixed_signs : set of str
        Projections whose bounds keep every weight on its side of zero.
    scheduled : set of str
        Projections that a schedule of epochs lets learn in some epochs and not in others.
    timing : Finding
        What :mod:`neurosim.audit.timing` found.
    """

    wiring: Wiring
    borders: Borders
    seen: dict
    written: dict
    answered: bool | None
    mixed: float
    mixed_after: float
    turned: float
    alike: list
    alike_after: list
    presentations: int
    rewritten: set = field(default_factory=set)
    fixed_signs: set = field(default_factory=set)
    scheduled: set = field(default_factory=set)
    neurons: dict = field(default_factory=dict)
    timing: object = None


def examples_of(data, replicas):
    """Return the inputs and targets of a first epoch, as :func:`neurosim.training.prepare` takes them."""
    if isinstance(data, FunctionTask):
        return data.training(1, replicas)
    return data.train_images, data.train_labels


def other_targets(targets):
    """Return for every example the target of another."""
    if targets.ndim == 1:
        return (targets + 1) % (int(targets.max()) + 1)
    others = np.roll(targets, 1, axis=-2)
    return others if not np.array_equal(others, targets) else targets[..., ::-1]  # one target for all examples


def examine(experiment, values, data, seed=1):
    """Build a circuit, let it learn from a few presentations under watch, and return what was found.

    Parameters
    ----------
    experiment : neurosim.experiment.Experiment
        Whose circuit it is.
    values : dict
        Parameters of a condition, by name.
    data : DataSet or FunctionTask
        On what.
    seed : int
        Decides the weights, the examples and what is changed at random.

    Returns
    -------
    Examination
    """
    circuit = experiment.build(values, data, seed)
    gc.collect()
    gc.freeze()  # as training does: brian2 collects garbage at the start of every run
    try:
        return _examine(circuit, values, data, seed)
    finally:
        gc.unfreeze()


def _examine(circuit, values, data, seed):
    inputs, targets = examples_of(data, circuit.replicas)
    order = _order(circuit, inputs, PRESENTATIONS, 0)
    brian2.seed(seed)
    wiring = Wiring(circuit, _clamped_to_targets(circuit, inputs, targets, order))
    answered = _answers(circuit, wiring, inputs, targets, order[:, : circuit.lanes], seed)

    before = {name: _own(each) for name, each in wiring.projections.items()}
    mixed, alike = _mixed(wiring), _alike(wiring)
    laboratory = Laboratory(wiring, seed)
    scheduled = _scheduled(circuit, wiring, values["epochs"])
    stages = [None] if circuit.schedule is None else sorted({1, values["epochs"]})
    brian2.seed(seed)
    circuit.set_training(True)
    for stage in stages:
        if stage is not None:
            circuit.schedule(stage)
        training.prepare(circuit, inputs, targets, order)
        with laboratory.watching():
            training.run_presentations(circuit)
        more = min(EXERCISE, STEPS // circuit.presentation.steps)
        if more:
            training.prepare(circuit, inputs, targets, _order(circuit, inputs, more, PRESENTATIONS))
            training.run_presentations(circuit)
    for hook, written in laboratory.written.items():
        wiring.add_hook(hook, written)
    shown = len(stages) * (PRESENTATIONS + more)
    rewritten = _rewritten(wiring, before)
    turned = _turned(wiring, before, rewritten)
    return Examination(
        wiring, Borders(wiring), laboratory.seen, laboratory.written, answered, mixed, _mixed(wiring), turned,
        alike, _alike(wiring), shown, rewritten,
        {each.name for each in wiring.plastic if _keeps_signs(each)}, scheduled,
        neurons=laboratory.neurons,
    )  # fmt: skip


def _order(circuit, inputs, presentations, first):
    count = inputs.shape[-2]
    order = (first * circuit.lanes + np.arange(presentations * circuit.lanes)) % count
    return np.broadcast_to(order, (circuit.replicas, len(order)))


def _clamped_to_targets(circuit, inputs, targets, order):
    """Return the (population, variable) that are clamped to something else where targets are others."""
    shown = []
    for each in (targets, other_targets(targets)):
        training.prepare(circuit, inputs, each, order)
        shown.append(
            {
                (population.name, variable): values if rows is None else values[rows]
                for population, variable, values, rows, _ in circuit.presentation._clamps
            }
        )
    return {node for node, values in shown[0].items() if not np.array_equal(values, shown[1][node])}


def _answers(circuit, wiring, inputs, targets, order, seed):
    """Say whether what is sent along the forward path depends on the targets within a presentation."""
    if not wiring.targets or not wiring.forward:
        return None
    circuit.set_training(True)
    frozen = [each for each in wiring.projections.values() if each.plastic]
    for each in frozen:
        each.plastic = False
    start, sent = network_state(circuit.network), []
    try:
        for wanted in (targets, other_targets(targets)):
            brian2.seed(seed)
            training.prepare(circuit, inputs, wanted, order)
            sent.append(_recorded(circuit, wiring))
            set_network_state(circuit.network, start)
    finally:
        for each in frozen:
            each.plastic = True
    return len(sent[0]) != len(sent[1]) or not all(map(same, *sent))


def _recorded(circuit, wiring):
    """Run; return what was sent along the forward path, delivery by delivery."""
    nodes = {}
    for edge in wiring.forward:
        nodes.setdefault(edge.by.name, set()).add(edge.source[1])
    sent, runs = [], []

    def recording(run, factors):
        def recorded():
            sent.extend(factor().copy() for factor in factors)
            run()

        return recorded

    for name, variables in nodes.items():
        part = wiring.projections[name]._delivery
        sends = signals(wiring.projections[name])
        factors = [factor for each, factor in sends.items() if each.removesuffix("_pre") in variables]
        runs.append((part, part.run))
        part.run = recording(part.run, factors)
    try:
        training.run_presentations(circuit)
    finally:
        for part, run in runs:
            part.run = run
    return sent


def _scheduled(circuit, wiring, epochs):
    """Return the names of projections that are plastic in some epochs and frozen in others."""
    if circuit.schedule is None:
        return set()
    plastic = []
    for epoch in range(1, epochs + 1):
        circuit.schedule(epoch)
        plastic.append({each.name for each in wiring.plastic if each.plastic})
    return set.union(*plastic) - set.intersection(*plastic)


def _own(projection):
    return None if projection.stored is None else projection.copy_of_weights()


def _keeps_signs(projection):
    """Say whether bounds keep every weight on its side of zero."""
    if projection.bounds is None:
        return False
    low, high = projection.bounds
    return bool(((low >= 0) | (high <= 0)).all())


def _mixed(wiring):
    """Return the fraction of neurons with outgoing weights of both signs; the neuron of biases is none."""
    above, below = {}, {}
    for projection in wiring.weighted:
        source, layout = projection.source, projection.layout
        if source.n == 1:
            continue
        for found, sign in ((above, 1), (below, -1)):
            found.setdefault(source.name, np.zeros((source.replicas, source.n), bool))
            found[source.name] |= _has(projection, layout, sign)
    both = [(above[name] & below[name]).ravel() for name in above]
    return float(np.concatenate(both).mean()) if both else 0.0


def _has(projection, layout, sign):
    """Say of every neuron of the source whether one of its weights has this sign, (replicas, n)."""
    if layout.form == BACKWARDS:
        weights = layout.projection.copy_of_weights()
        if weights.ndim == 3 and weights.shape[2] == projection.source.n:
            return (sign * weights > 0).any(axis=1)
        return (sign * weights > 0).reshape(len(weights), -1).any(axis=1)[:, None]
    signs = sign * projection.stored > 0
    if layout.form == MATRIX and signs.shape[1] == projection.source.n:
        return signs.any(axis=2)
    if layout.form == LIST and signs.shape[1:] == (len(layout.i),):
        found = np.zeros((len(signs), projection.source.n), bool)
        np.logical_or.at(found, (slice(None), layout.i), signs)
        return found
    return signs.reshape(len(signs), -1).any(axis=1)[:, None]  # shared: every neuron sends along them all


def _rewritten(wiring, before):
    """Return the names of projections without a rule whose weights have changed."""
    fixed = [each for each in wiring.weighted if each.rule is None and each.stored is not None]
    return {each.name for each in fixed if not same(before[each.name], _own(each))}


def _turned(wiring, before, rewritten):
    changes, weights = 0, 0
    for projection in (each for each in wiring.weighted if each.rule is not None or each.name in rewritten):
        first, last = before[projection.name], _own(projection)
        if first is not None:
            changes += np.count_nonzero(first * last < 0)
            weights += first.size
    return changes / weights if weights else 0.0


def _alike(wiring, below=45.0):
    """Return pairs of projections whose weights point almost the same way, as they are or transposed."""
    own = [
        (each, weights)
        for each in wiring.weighted
        if each.stored is not None and each.layout.form != PAIRS
        for weights in (_own(each),)
        if weights[0].size > 1 and weights.any()
    ]
    found = []
    for k, (first, w) in enumerate(own):
        for second, v in own[k + 1 :]:
            if w.ndim != v.ndim:
                continue
            for transposed in (False, True):
                if transposed and w.ndim != 3:
                    continue
                other = np.swapaxes(v, 1, 2) if transposed else v
                if other.shape != w.shape or 1 in w.shape[1:]:
                    continue
                w1, w2 = w / np.linalg.norm(w), other / np.linalg.norm(other)
                apart = min(np.linalg.norm(w1 - w2), np.linalg.norm(w1 + w2))  # exactly 0 for copies
                angle = float(np.degrees(2 * np.arcsin(min(1.0, apart / 2))))
                if angle < below:
                    found.append((first.name, second.name, angle, transposed))
    return found
