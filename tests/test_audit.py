"""Each criterion of the audit: what is planted is found, with the lines that say so, and what is honest holds."""

import numpy as np
import pytest
from audited import CLASSES, FORWARD, HIDDEN, MODULATE, examined, found, said, toy, toy_data
from brian2 import NetworkOperation
from every import EVERY

from neurosim import Population, Projection, neurons
from neurosim.audit.criteria import CRITERIA
from neurosim.audit.examine import examine
from neurosim.connectivity import Convolution, Local, Masked, Transposed
from neurosim.neurons import NeuronType
from neurosim.weights import Uniform

# Weight transport

BACK = "d_post = w * d_pre"


def read_backwards(parts):
    return {"connectivity": Transposed(parts.W_y), "weights": None, "seed": None}


def once_in_a_while(parts):
    """Copy W^T into B after everything that is watched closely."""
    calls = []

    def copy():
        calls.append(1)
        if len(calls) == 10:
            parts.B.w[...] = np.swapaxes(parts.W_y.w, 1, 2)

    return [NetworkOperation(copy, clock=parts.x.clock, when="end", order=5)]


def copying(parts):
    """Copy W^T into B in every step."""

    def copy():
        parts.B.w[...] = np.swapaxes(parts.W_y.w, 1, 2)

    return [NetworkOperation(copy, clock=parts.x.clock, when="end", order=5)]


def transposed_at_first(parts):
    return {"weights": np.swapaxes(parts.W_y.w, 1, 2).copy()}


def sent_by_hand(parts):
    """Deliver, beside what B sends, what W^T would send."""
    step = parts.B._delivery
    run = step.run

    def run_and_add():
        run()
        parts.feedback.view("d")[...] += parts.error.view("target") @ np.swapaxes(parts.W_y.w, 1, 2)

    step.run = run_and_add
    return []


def two_ways_up(parts):
    """Feedback neurons get their signal by a population between them and the error."""
    between = Population(CLASSES, neurons.RATE_FEEDBACK, order=4, name="between", **parts.shape)
    up = Population(HIDDEN, neurons.RATE_FEEDBACK, order=5, name="up", **parts.shape)
    return [
        between,
        up,
        Projection(parts.error, between, "d_post = d_pre", name="error_between"),
        Projection(between, up, BACK, connectivity=Transposed(parts.W_y), name="WT"),
        Projection(up, parts.h, MODULATE, name="modulate_too"),
    ]


def reconstruction(parts):
    """A population that is told by W^T what it would take to make h, and that nobody who learns listens to."""
    dream = Population(HIDDEN, neurons.LINEAR, order=3, name="dream", **parts.shape)
    return [dream, Projection(parts.y, dream, FORWARD, connectivity=Transposed(parts.W_y), name="WT")]


TRANSPORT = {
    "backwards": (lambda: toy(feedback=read_backwards), "read backwards", "B: delivers along the weights of W_y"),
    "copied": (lambda: toy(copying), "copied", "B: its weights are written by something that is no rule"),
    "copied rarely": (
        lambda: toy(once_in_a_while),
        "copied",
        "B: its weights are written by something that is no rule",
    ),
    "inside a delivery": (lambda: toy(sent_by_hand), "others' weights", "B: what it delivers changes with the weights"),
    "on a detour": (lambda: toy(two_ways_up), "read backwards", "WT: delivers along the weights of W_y"),
}


@pytest.mark.parametrize(("make", "short", "line"), TRANSPORT.values(), ids=TRANSPORT)
def test_planted_weight_transport_is_found(make, short, line):
    finding = found("transport", make())
    assert (finding.holds, finding.short) == (False, short)
    assert any(each.startswith(line) for each in finding.evidence), said(finding)
    assert "deliveries along these weights replayed" in finding.checked[0]


def backprop(parts):
    """Return the error as the transposed weights would send it to h."""
    error = parts.error.view("target") - parts.error.view("guess")
    return error @ np.swapaxes(parts.W_y.copy_of_weights(), 1, 2)


def put_around(part, population, variable):
    """Return a plant: a Python function around a part of the network, which sets a variable by backprop."""

    def plant(parts):
        found = part(parts)
        run = found.run

        def wrapped():
            run()
            getattr(parts, population).view(variable)[...] = backprop(parts)

        found.run = wrapped
        return []

    return plant


def set_by_hand(parts):
    """Set what teaches h by backprop, in Python."""

    def write():
        parts.h.view("m")[...] = backprop(parts)

    return [NetworkOperation(write, clock=parts.x.clock, when="synapses", order=-1)]


def teach_by_hand(parts):
    """Change weights that have no rule by backprop, in Python."""

    def write():
        parts.W_h.w[...] += 0.05 * np.einsum("rli,rlj->rij", parts.x.view("r"), backprop(parts))

    return [NetworkOperation(write, clock=parts.x.clock, when="end", order=5)]


@pytest.mark.parametrize(
    ("make", "local"),
    [
        (lambda: toy(put_around(lambda parts: parts.modulate._delivery, "h", "m")), "others' signals"),
        (lambda: toy(put_around(lambda parts: parts.feedback.contained_objects[0], "feedback", "d")), None),
        (lambda: toy(set_by_hand), "NetworkOperation"),
        (lambda: toy(teach_by_hand, hidden={"rule": None, "namespace": None}), "written by hand"),
    ],
)
def test_backprop_in_python_is_neither_local_nor_without_transport(make, local):
    if local is not None:
        finding = found("locality", make())
        assert finding.holds is False and local in finding.short, finding
    finding = found("transport", make())
    assert finding.holds is False and "Python on the way" in finding.short, finding


def test_what_does_not_learn_is_not_called_local():
    finding = found("locality", toy(hidden={"namespace": {"eta": 0}}, output={"namespace": {"eta": 0}}))
    assert (finding.holds, finding.short, finding.is_open) == (None, "no change seen", True)


def test_fixed_random_feedback_is_no_transport_and_the_way_of_the_signal_is_told():
    finding = found("transport", toy())
    assert (finding.holds, finding.short) == (True, "yes")
    assert finding.evidence == (
        "weights on the way: B",
        "to W_h: targets, error: target of error is clamped, error: d = target - guess, "
        "feedback: d_post = w * d_pre (B), h: m_post = d_pre (modulate)",
    )
    assert finding.checked == (
        "2 deliveries along these weights replayed with all other projections' weights changed: 2 the same",
    )


def test_transposed_weights_that_no_learning_signal_uses_are_no_transport():
    assert found("transport", toy(reconstruction)).holds
    assert found("symmetry", toy(reconstruction)).evidence == ("WT has the weights of W_y: 0 degrees",)


@pytest.mark.parametrize("eta", [0.5, 1e-5])
def test_weights_that_are_alike_at_first_only_are_symmetry_and_no_transport(eta):
    """Also where learning is slow and they stay alike for long."""
    learns = {"namespace": {"eta": eta}}
    x = examined(toy(feedback=transposed_at_first, hidden=learns, output=learns))
    finding = CRITERIA["symmetry"](x)
    assert finding.holds is False and finding.short == "0 deg"
    assert finding.evidence == ("W_y and B, transposed: 0 degrees at the start",)
    (angle,) = [angle for *_, angle, _ in x.alike_after] or [90]
    assert angle > 20 if eta == 0.5 else angle < 0.1
    assert CRITERIA["transport"](x).holds is True, said(CRITERIA["transport"](x))


def test_a_network_without_targets_leaves_transport_and_feedback_open():
    unsupervised = {"rule": "w += eta * r_pre * (r_post - w)"}
    x = examined(toy(hidden=unsupervised, output={"rule": None, "namespace": {}}), no_targets())
    assert CRITERIA["transport"](x).short == "no targets" and CRITERIA["transport"](x).holds is None
    assert CRITERIA["feedback"](x).holds is None


def no_targets():
    """Return data in which all are of one class: to clamp it tells nothing."""
    data = toy_data()
    return type(data)(
        "toy", data.train_images, 0 * data.train_labels, data.test_images, 0 * data.test_labels, 3, (2, 3), "drawn"
    )


# Signs of weights


def signed_weights(n_pre, n_post, keep):
    """Arguments of a projection whose sources excite or inhibit, in turn."""
    signs = np.where(np.arange(n_pre) % 2, -1, 1)
    size = 0.05 + 0.2 * np.random.default_rng(1).random((n_pre, n_post))
    return {"weights": signs[:, None] * size} | ({"dale": signs} if keep else {})


def dale_toy(keep, eta=0.5):
    learns = {"namespace": {"eta": eta}}
    return toy(
        hidden=signed_weights(6, HIDDEN, keep) | learns,
        output=signed_weights(HIDDEN, CLASSES, keep) | learns,
        feedback=signed_weights(CLASSES, HIDDEN, False),
    )


def test_signs_that_are_kept_hold():
    finding = found("dale", dale_toy(keep=True))
    assert finding.holds and finding.short == "yes"
    assert "bounds or Dale's signs keep the signs of W_h, W_y" in finding.evidence
    assert finding.checked[0].count(" 0 % ") == 2


def test_planted_sign_change_is_found():
    x = examined(dale_toy(keep=False))
    finding = CRITERIA["dale"](x)
    assert x.mixed == 0 and x.mixed_after > 0.2 and x.turned > 0.05
    assert finding.holds is False and finding.short == "signs change"
    assert "nothing keeps the signs of W_h, W_y" in finding.evidence


def test_small_steps_turn_no_sign_but_nothing_keeps_them():
    x = examined(dale_toy(keep=False, eta=1e-6))
    finding = CRITERIA["dale"](x)
    assert finding.holds and "nothing keeps the signs of W_h, W_y" in finding.evidence


def test_bounds_that_hold_both_signs_keep_none():
    finding = found("dale", toy(hidden={"bounds": (-2, 2)}, output={"bounds": (None, 2)}))
    assert "nothing keeps the signs of W_h, W_y" in finding.evidence and finding.short == "both signs"


def test_share_of_neurons_with_both_signs_is_counted():
    """Sources of W_h: 6, of which 2 are mixed; h: 5, none; error: 3, all. Without learning they stay so."""
    above = np.full((6, HIDDEN), 0.1)
    above[[1, 4], 2] = -0.1
    still = {"namespace": {"eta": 0.0}}
    network = toy(hidden={"weights": above} | still, output={"weights": np.full((HIDDEN, CLASSES), 0.1)} | still)
    x = examined(network)
    assert x.mixed == x.mixed_after == pytest.approx((2 + 0 + 3) / (6 + 5 + 3)) and x.turned == 0


# Sharing of weights


def test_shared_weights_are_found_and_local_ones_hold():
    convolution = {"connectivity": Convolution((2, 3, 1), (1, 2), 1)}
    finding = found("sharing", toy(hidden=convolution, sizes=(6, 4)))
    assert (finding.holds, finding.short) == (False, "Convolution")
    assert finding.evidence == ("W_h: 2 weights stand for 8 synapses",)
    windows = {"connectivity": Local((2, 3, 1), (1, 2), 1)}
    assert found("sharing", toy(hidden=windows, sizes=(6, 4))).holds
    mask = {"connectivity": Masked(np.random.default_rng(0).random((6, 5)) < 0.6, store="list")}
    assert found("sharing", toy(hidden=mask)).holds and found("sharing", toy()).holds


def test_shared_weights_that_do_not_learn_are_remarked_upon_only():
    fixed = {"connectivity": Convolution((2, 3, 1), (1, 2), 1), "rule": None, "namespace": {}}
    finding = found("sharing", toy(hidden=fixed, sizes=(6, 4)))
    assert finding.holds and finding.evidence == ("W_h: 2 weights stand for 8 synapses; it has no rule",)


# Time: phases, switching


def test_plasticity_that_is_gated_is_switched():
    def gate(parts):
        parts.shown.gate(parts.W_h, "late")
        return []

    x = examined(toy(gate, phases={"early": 2, "late": 3}))
    finding = CRITERIA["switching"](x)
    assert (finding.holds, finding.short) == (False, "switched")
    assert finding.evidence == ("W_h: open in late only",)
    assert x.seen["W_h"].steps == 15 and x.seen["W_h"].learned == 9 and x.seen["W_y"].learned == 15
    assert CRITERIA["phases"](x).short == "2"


def test_rule_at_the_end_of_a_phase_is_switched_and_one_that_is_always_open_is_not():
    at_end = lambda parts: {"when": parts.shown.end("shown")}  # noqa: E731
    finding = found("switching", toy(phases=4, hidden=at_end))
    assert finding.holds is False and finding.evidence == ("W_h: at the end of phase 'shown' only",)
    always = found("switching", toy(phases=4))
    assert (always.holds, always.short) == (True, "always on")
    assert always.checked == ("weights changed in 12 of 12 time steps",)
    assert found("switching", toy()).short == "one step"
    assert found("phases", toy(phases=4)).holds


# Wires, spikes, feedback, signals


def test_wires_from_neuron_to_neuron_are_counted_and_tried():
    finding = found("wiring", toy())
    assert finding.holds is False and finding.short == "3 one-to-one"
    assert finding.checked == ("changed in half of the neurons, 3 of 3 wires reached their partners only",)
    assert "error to y, feedback to h: m_post = d_pre" in finding.evidence


SPIKING = NeuronType(
    "v : 1\nm : 1\np : 1\nr : 1\npsi = p * (1 - p) : 1",
    update="p = 0.5 * (1 + tanh(0.5 * v))\nr = int(rand() < p)",
    spike="r",
)
MISCALLED = NeuronType("v : 1\nm : 1\nr : 1", update="r = tanh(v)", spike="r")


def test_spikes_are_told_from_rates():
    assert found("spikes", toy()).short == "rates"
    finding = found("spikes", toy(h=SPIKING))
    assert (finding.holds, finding.short) == (False, "spikes and rates")
    assert "spikes, forward: W_y" in finding.evidence and "rates, forward: W_h" in finding.evidence
    assert "rates, back: B" in finding.evidence
    assert finding.checked == ("what is called a spike was 0 or 1 in every step",)


def test_what_is_called_a_spike_and_is_none_is_found():
    finding = found("spikes", toy(h=MISCALLED))
    assert finding.holds is False and finding.short == "rates"
    assert finding.checked == ("called spikes, but not 0 or 1 in every step: W_y",)
    assert not any(line.startswith("spikes") for line in finding.evidence)


def test_feedback_that_reaches_the_activity_is_told_from_feedback_that_teaches_only():
    finding = found("feedback", toy(phases=3))
    assert (finding.holds, finding.short) == (False, "kept apart")
    assert finding.evidence == ("no variable on the forward path depends on a target",)
    nudged = NeuronType("v : 1\nm : 1\nr = tanh(v + 0.1 * m) : 1")
    finding = found("feedback", toy(phases=3, h=nudged))
    assert (finding.holds, finding.short) == (True, "changes it")
    assert any(line.startswith("targets reach r of h, sent by W_y") for line in finding.evidence), said(finding)


def test_signals_that_a_neuron_keeps_apart_are_counted():
    finding = found("signals", toy())
    assert (finding.holds, finding.short) == (True, "2")
    assert "h: v (from W_h), m (from modulate)" in finding.evidence
    assert finding.checked == ("4 of these 4 signals arrived while the network was watched",)
    three = NeuronType("v : 1\nm : 1\nside : 1\nr = tanh(v) * (1 + side) : 1")

    def add(parts):
        drive = Projection(parts.x, parts.h, "side_post = w * r_pre", weights=Uniform(0.1), seed=9, name="side")
        return [drive]

    finding = found("signals", toy(add, h=three))
    assert (finding.holds, finding.short) == (False, "3")
    unread = NeuronType("v : 1\nm : 1\nside : 1\nr = tanh(v) : 1")
    assert found("signals", toy(add, h=unread)).short == "2"


# All experiments

QUICK = {
    "lillicrap_2016.linear/feedback_alignment": {"locality": True, "transport": True, "switching": True},
    "lillicrap_2016.linear/node_perturbation": {"locality": True, "phases": False, "switching": False},
    "lillicrap_2016.mnist/backprop": {"locality": True, "transport": False, "spikes": False, "feedback": False},
    "scellier_2017.digits/one_layer": {"locality": True, "transport": False, "phases": False, "feedback": True},
    "sacramento_2018.regression/microcircuit": {"locality": True, "transport": True, "feedback": True},
    "krotov_2019.mnist/p4": {"locality": False, "sharing": True},
    "amit_2018.simpnet/updated_feedback": {"locality": True, "transport": True, "sharing": False},
    "bartunov_2018.mnist_fc/sdtp_parallel": {"locality": True, "transport": True, "phases": True},
}
CONDITIONS = [f"{name}/{each}" for name, experiment in EVERY.items() for each in experiment.conditions]
RANKED = "krotov_2019.mnist", "krotov_2019.power", "krotov_2019.cifar", "krotov_2019.digits"


def all_findings(small, name):
    """Examine a condition of an experiment with small settings; return it with its findings, timing left out."""
    name, _, condition = name.partition("/")
    experiment, data, settings = small(name, replicas="1")
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    if condition not in conditions:
        pytest.skip("the small settings leave this condition out")
    x = examine(experiment, conditions[condition], data, seed=2)
    return x, {each: criterion(x) for each, criterion in CRITERIA.items() if each != "timing"}


def assert_consistent(x, findings, name):
    """What was measured agrees with what the texts say."""
    assert not [line for line in findings["signed"].checked if "OUTSIDE" in line]
    for projection in x.wiring.plastic:
        watch = x.seen[projection.name]
        assert watch.exact and not watch.outside, projection.name
        ranked = name.startswith(RANKED) and projection.scales
        assert watch.local == watch.looks or ranked, projection.name
    for projection in x.wiring.weighted:
        watch = x.seen[projection.name]
        assert (watch.own == watch.deliveries) == (x.wiring.owner(projection) is projection) or not watch.deliveries
    assert x.neurons and not [name for name, own in x.neurons.items() if not own]
    assert all(x.seen[each.name].single in (True, None) for each in x.wiring.one_to_one)
    if findings["feedback"].holds:
        assert "no variable" not in said(findings["feedback"])
    for finding in findings.values():
        assert finding.short and finding.holds in (True, False, None)


@pytest.mark.parametrize("name", QUICK)
def test_models_are_what_their_papers_say(small, name):
    x, findings = all_findings(small, name)
    assert_consistent(x, findings, name)
    assert {each: findings[each].holds for each in QUICK[name]} == QUICK[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_what_is_measured_agrees_with_the_texts(small, name):
    assert_consistent(*all_findings(small, name), name)
