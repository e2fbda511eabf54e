"""A rule that needs to know more than its two cells and its synapse is found by replay, however it is hidden."""

import contextlib

import brian2
import numpy as np
import pytest
from audited import VALUES, examined, found, said, toy, toy_data
from brian2 import NetworkOperation
from numba import njit

from neurosim import Population, Projection, neurons, training
from neurosim.audit.criteria import CRITERIA
from neurosim.audit.examine import examples_of
from neurosim.audit.replay import Laboratory, Moment, disturbed, same
from neurosim.audit.wiring import Wiring
from neurosim.checkpoint import network_state
from neurosim.connectivity import Convolution, Dense
from neurosim.neurons import NeuronType
from neurosim.plasticity.custom import Kernel
from neurosim.weights import Uniform

# What is planted: the honest one and the one that cheats


@njit
def hebbian(w, r_pre, m_post):
    for r in range(w.shape[0]):
        for k in range(r_pre.shape[1]):
            for i in range(w.shape[1]):
                for j in range(w.shape[2]):
                    w[r, i, j] += 0.05 * r_pre[r, k, i] * m_post[r, k, j]


@njit
def competing(w, r_pre, m_post):
    for r in range(w.shape[0]):
        for k in range(r_pre.shape[1]):
            total = m_post[r, k].sum()
            for i in range(w.shape[1]):
                for j in range(w.shape[2]):
                    w[r, i, j] += 0.05 * r_pre[r, k, i] * (m_post[r, k, j] - 0.1 * total)


@njit
def drawing(w, r_pre, m_post):
    for r in range(w.shape[0]):
        for i in range(w.shape[1]):
            for j in range(w.shape[2]):
                w[r, i, j] += 0.05 * r_pre[r, 0, i] * m_post[r, 0, j] + 0.01 * np.random.normal()


def kernel(function):
    return {"rule": Kernel(function, reads=("r_pre", "m_post")), "namespace": {}}


def after(part, change):
    """Plant a change inside an object of brian2 that the network calls."""

    def plant(parts):
        step = part(parts)
        run = step.run

        def run_and_change():
            run()
            change(parts)

        step.run = run_and_change
        return []

    return plant


def after_rule(change):
    """Plant a change inside the rule of W_h."""
    return after(lambda parts: parts.W_h._plasticity, change)


def operation(change, when="synapses", order=-1):
    """Plant a network operation."""
    return lambda parts: [NetworkOperation(lambda: change(parts), clock=parts.x.clock, when=when, order=order)]


def confine(parts):
    np.clip(parts.W_h.w, -2, 2, out=parts.W_h.w)


def pull_to_other_weights(parts):
    parts.W_h.w[...] += 0.01 * parts.W_y.w.mean()


def pull_to_the_mean(parts):
    parts.W_h.w[...] -= 0.01 * parts.W_h.w.mean()


def follow_other_neurons(parts):
    parts.W_h.w[...] += 0.01 * parts.y.view("v").sum()


def counted():
    """Return a change that grows with every call."""
    calls = []

    def change(parts):
        calls.append(1)
        parts.W_h.w[...] += 0.001 * len(calls)

    return change


def drawn():
    generator = np.random.default_rng(3)

    def change(parts):
        parts.W_h.w[...] += 0.01 * generator.normal(size=parts.W_h.w.shape)

    return change


def look(parts):
    assert np.isfinite(parts.W_h.w).all()


def normalise(parts):
    parts.W_h.w[...] /= np.abs(parts.W_h.w).sum(axis=1, keepdims=True)


def halve(parts):
    parts.h.view("m")[...] *= 0.5


def subtract_mean(parts):
    m = parts.h.view("m")
    m -= m.mean(axis=-1, keepdims=True)


def subtract_mean_of_output(parts):
    parts.h.view("m")[...] -= parts.y.view("v").mean(axis=-1, keepdims=True)


def rewarded(parts):
    """A rule that reads one number for all."""
    parts.critic = Population(1, neurons.CRITIC, order=5, name="critic", **parts.shape)
    return {"rule": "w += eta * r_pre * reward", "signals": {"reward": (parts.critic, "reward")}}


def add_loss(parts):
    return [Projection(parts.error, parts.critic, "loss_post = 0.5 * d_pre**2", connectivity=Dense(), name="loss")]


@brian2.check_units(x=1, result=1)
def centred(x):
    """A function that looks as if it were of one number; it is given those of all neurons."""
    return x - np.mean(x)


@brian2.check_units(x=1, result=1)
def squashed(x):
    return x / (1 + np.abs(x))


def with_function(function):
    kind = NeuronType("v : 1\nm : 1\nq : 1\nr = tanh(v) : 1", update="q = own(m)")
    return toy(h=kind, namespace={"own": function}, hidden={"rule": "w += eta * r_pre * q_post"})


def updater(parts):
    return parts.h.contained_objects[0]


def wire(parts):
    return parts.modulate._delivery


NONLOCAL = {
    "kernel": (lambda: toy(hidden=kernel(competing)), "other neurons"),
    "one scale": (lambda: toy(hidden={"largest_change": 0.01}), "one scale for all"),
    "weights of another projection": (lambda: toy(after_rule(pull_to_other_weights)), "other neurons"),
    "weights of the same projection": (lambda: toy(after_rule(pull_to_the_mean)), "other neurons"),
    "neurons elsewhere": (lambda: toy(after_rule(follow_other_neurons)), "other neurons"),
    "weights by hand": (lambda: toy(operation(normalise)), "written by hand"),
    "weights by hand, at the end": (lambda: toy(operation(normalise, "end")), "written by hand"),
    "factor of all neurons": (lambda: toy(operation(subtract_mean)), "NetworkOperation"),
    "factor of other neurons": (lambda: toy(operation(subtract_mean_of_output)), "NetworkOperation"),
    "function of all neurons": (lambda: with_function(centred), "neurons look around"),
    "inside an update": (lambda: toy(after(updater, subtract_mean)), "neurons look around"),
    "inside a wire": (lambda: toy(after(wire, subtract_mean)), "others' signals"),
    "memory": (lambda: toy(after_rule(counted())), "hidden memory"),
    "draws": (lambda: toy(after_rule(drawn())), "hidden memory"),
    "kernel that draws": (lambda: toy(hidden=kernel(drawing)), "hidden memory"),
}
NOISY = NeuronType("v : 1\nm : 1\nnoise : 1\nr = tanh(v) + noise : 1", update="noise = 0.1 * randn()")
LOCAL = {
    "text": lambda: toy(),
    "kernel": lambda: toy(hidden=kernel(hebbian)),
    "limits, by hand, weight by weight": lambda: toy(after_rule(confine)),
    "weights are looked at": lambda: toy(operation(look)),
    "factor, neuron by neuron": lambda: toy(operation(halve)),
    "function of one neuron": lambda: with_function(squashed),
    "inside an update, neuron by neuron": lambda: toy(after(updater, halve)),
    "inside a wire, neuron by neuron": lambda: toy(after(wire, halve)),
    "neurons that draw": lambda: toy(h=NOISY),
    "one number for all, declared": lambda: toy(add_loss, hidden=rewarded),
}


@pytest.mark.parametrize(("make", "short"), NONLOCAL.values(), ids=NONLOCAL)
def test_planted_rule_that_is_not_local_is_found(make, short):
    finding = found("locality", make())
    assert finding.holds is False
    assert short in finding.short.split(", ")
    lines = [line for line in finding.evidence if _tells(short) in line]
    both = "W_h, W_y: " if short == "neurons look around" else "W_h: "  # W_y reads h too
    assert lines and all(line.startswith(both) for line in lines), said(finding)


def _tells(short):
    return {
        "other neurons": "its change is another one when other",
        "one scale for all": "so that the largest has one size",
        "written by hand": "while its rule is not at work",
        "hidden memory": "the same moment twice gives two changes",
        "neurons look around": "depends on h, whose neurons are updated by what others do",
        "others' signals": "depends on what modulate delivers, which is not only its partner's",
        "NetworkOperation": "depends on m of h, which NetworkOperation writes in Python",
    }[short]


@pytest.mark.parametrize("make", LOCAL.values(), ids=LOCAL)
@pytest.mark.parametrize("seed", [1, 2])
def test_local_rule_is_called_local(make, seed):
    finding = found("locality", make(), seed=seed, replicas=1 + (seed == 2))
    assert (finding.holds, finding.short) == (True, "yes"), said(finding)
    assert "4 weight changes replayed" in finding.checked[0] and ": 4 the same to the bit" in finding.checked[0]
    *_, told = finding.checked
    count = 6 if "reward" in said(finding) else 5
    assert told.endswith(f"in {count} of {count} populations they do not notice")


def test_weight_that_is_shared_is_not_compared_neuron_by_neuron():
    """Whose change it is cannot be told: that is the criterion of sharing."""
    kind = Convolution((2, 3, 1), (1, 2), 1)
    finding = found("locality", toy(hidden={"connectivity": kind, "weights": Uniform(0.5)}, sizes=(6, 4)))
    assert finding.holds and "4 the same" in finding.checked[0]
    planted = toy(after_rule(pull_to_other_weights), hidden={"connectivity": kind}, sizes=(6, 4))
    assert found("locality", planted).short == "other neurons"


def test_rule_that_had_nothing_to_learn_is_named():
    finding = found("locality", toy(hidden={"namespace": {"eta": 0.0}}))
    assert finding.holds and "2 weight changes" in finding.checked[0]
    assert finding.checked[1] == "no change came up to be replayed: W_h"


def test_network_without_a_rule_leaves_the_question_open():
    x = examined(toy(hidden={"rule": None, "namespace": {}}, output={"rule": None, "namespace": {}}))
    assert CRITERIA["locality"](x).holds is None and CRITERIA["switching"](x).holds is None


# What is kept from phase to phase

KEEPING = NeuronType("v : 1\nm : 1\nbefore : 1\nr = tanh(v) : 1")


@pytest.mark.parametrize("rule", ["w += eta * r_pre * m_post", "w += eta * (r_pre * m_post - r_pre * before_post)"])
def test_memory_matters_where_the_rule_reads_it(rule):
    def keep(parts):
        parts.shown.keep(parts.h, "v", "before", "free")
        return []

    hidden = lambda parts: {"rule": rule, "when": parts.shown.end("nudged")}  # noqa: E731
    x = examined(toy(keep, phases={"free": 3, "nudged": 2}, hidden=hidden, h=KEEPING))
    finding, node = CRITERIA["phases"](x), ("h", "before")
    assert finding.holds is False and "phases, with their time steps: free 3, nudged 2" in finding.evidence
    if "before" in rule:
        assert x.seen["W_h"].remembers == {node: True}
        assert finding.short == "2, 1 kept" and "h: before = v at the end of phase 'free'" in finding.evidence
        assert finding.checked == ("changed at random, what is kept changes what is learned: before of h",)
    else:
        assert not x.seen["W_h"].remembers and finding.short == "2" and not finding.checked
    assert CRITERIA["locality"](x).holds


# The replay itself


def test_disturbed_values_are_others_of_the_same_kind():
    draw = np.random.default_rng(1)
    spikes = (draw.random((2, 3, 40)) < 0.3).astype(np.float32)
    for values in (spikes, np.zeros((1, 1, 5)), np.ones((1, 1, 5), np.float32), draw.normal(size=(1, 4, 9))):
        other = disturbed(values, draw)
        assert other.shape == values.shape and other.dtype == values.dtype and not same(other, values)
    other = disturbed(spikes, draw)
    np.testing.assert_array_equal(other.sum(axis=-1), spikes.sum(axis=-1))
    assert set(np.unique(disturbed(np.ones((1, 1, 5)), draw))) == {0}


def test_moment_goes_back_to_the_bit():
    """All populations and projections, after everything was changed; what differs is named."""
    circuit = toy().build(VALUES, toy_data(), 1)
    wiring, draw = Wiring(circuit), np.random.default_rng(0)
    data = toy_data()
    training.prepare(circuit, *examples_of(data, 1), np.arange(4)[None])
    training.run_presentations(circuit)
    before = Moment(wiring)
    for population in wiring.populations.values():
        for variable in population.state_variables:
            population.view(variable)[...] = draw.normal(size=population.shape)
    for projection in wiring.projections.values():
        if projection.stored is not None:
            projection.stored[...] += 1
    changed = before.differs(Moment(wiring))
    assert {("h", "v"), ("error", "target"), ("W_h", "w"), ("B", "w")} <= changed
    before.restore()
    assert not before.differs(Moment(wiring))


QUICK = (
    "lillicrap_2016.linear/node_perturbation", "lillicrap_2016.spiking/feedback_alignment", "scellier_2017.digits",
    "scellier_2017.spiking", "sacramento_2018.association", "krotov_2019.digits", "amit_2018.simpnet",
    "bartunov_2018.mnist_fc/dtp_parallel",
)  # fmt: skip


def chosen(small, name):
    """Return (experiment, data, values) of an experiment and a condition, its first unless one is named."""
    name, _, condition = name.partition("/")
    experiment, data, settings = small(name, replicas="1")
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    return experiment, data, conditions[condition or next(iter(conditions))]


@pytest.mark.parametrize("name", QUICK)
def test_network_that_is_watched_learns_as_one_that_is_not(small, name):
    """Bit for bit: weights, populations, recorders, what was sent last."""
    experiment, data, values = chosen(small, name)
    ends = []
    for watched in (False, True):
        brian2.start_scope()
        circuit = experiment.build(values, data, 5)
        laboratory = Laboratory(Wiring(circuit), 1)
        inputs, targets = examples_of(data, 1)
        brian2.seed(4)
        circuit.set_training(True)
        if circuit.schedule is not None:
            circuit.schedule(1)
        training.prepare(circuit, inputs, targets, np.arange(2 * circuit.lanes)[None] % inputs.shape[-2])
        with laboratory.watching() if watched else contextlib.nullcontext():
            training.run_presentations(circuit)
        ends.append(network_state(circuit.network))
    plain, looked = ends
    assert sum(watch.looks for watch in laboratory.seen.values()) >= 1
    assert plain.keys() == looked.keys()
    assert not [key for key, values in plain.items() if not same(values, looked[key])]
