"""Rules in one lane against brian2's Synapses: the same text, spikes and values, the same weights, to rounding.

Rates are clock-driven with method="euler", spikes run on_pre and on_post, "step" is a regular operation; transmits are
summed variables. The groups of a step are put into the order in which a projection runs them: what is delivered,
rates, step, pre, post, each followed by the bounds.
"""

import numpy as np
import pytest
from brian2 import (
    Function,
    Network,
    NetworkOperation,
    NeuronGroup,
    SpikeGeneratorGroup,
    Synapses,
    defaultclock,
    ms,
    start_scope,
)
from cases import CELL, DELIVERED, PHASES, SHOWN, Case, Inputs, compare, interpret
from grammar import CONSTANTS, rules, squash, transmits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference import Program

from neurosim import Population, Projection

EVENTS = {"step": -2, "pre": -1, "post": 1}  # event to its order within brian2's slot "synapses"
RATES = -3
FUNCTIONS = {"lanes": 1, "squash": Function(squash, stateless=True)}
# unit of the weights to: the weight as a number, a number as a weight, brian2's unit
WEIGHTS = {1.0: ("w", "", "1"), 0.002: ("(w/u)", "u*", "volt")}


@st.composite
def expressible(draw):
    """A case in one lane and one replica, with the events that Synapses have."""
    unit = draw(st.sampled_from((1.0, 1.0, 0.002)))
    weight, of_weight, _ = WEIGHTS[unit]
    declared = draw(st.sampled_from(({}, {"a": False}, {"a": False, "b": False})))
    rule, when = draw(rules(weight, of_weight, declared, lanes=1, events=tuple(EVENTS)))
    kind = draw(st.sampled_from(("dense", "masked", "list")))
    return Case(
        transmit=draw(transmits(weight, tuple(declared) if draw(st.booleans()) else ())),
        rule=rule,
        when=when,
        dtype=draw(st.sampled_from((np.float32, np.float64))),
        shape=(1, 1, draw(st.integers(1, 6)), draw(st.integers(1, 6))),
        kind=kind,
        unit=unit,
        bounds=draw(st.sampled_from((None, (-0.5, 0.5)))),
        seed=draw(st.integers(0, 1000)),
    )


def plain_brian2(case):
    """Run a case with NeuronGroup and Synapses; the result is a mapping as that of ``interpret``."""
    given = Inputs(case)
    texts = Program()
    for event, text in (case.rule if isinstance(case.rule, dict) else {case.when: case.rule}).items():
        texts.read(text, event)
    texts.read(case.transmit, "delivery")
    unit = WEIGHTS[case.unit][2]
    rates = dict(texts.rates)
    model = [f"{name} = {text} : 1" for name, text in texts.named.items()]
    model += [
        f"d{name}/dt = {rates[name]} : {unit if name == 'w' else 1}"
        if name in rates
        else f"{name} : {unit if name == 'w' else 1}"
        for name in sorted(texts.declared)
    ]
    model += [f"{target} = {text} : 1 (summed)" for target, _, text in texts.statements.pop("delivery")]
    model += ["reward : 1 (shared)"]
    clip = f"\nw = clip(w, {given.bounds[0]}*{unit}, {given.bounds[1]}*{unit})" if given.bounds else ""
    code = {
        event: "\n".join(f"{name} {operator} {text}" for name, operator, text in lines) + clip
        for event, lines in texts.statements.items()
    }

    start_scope()
    groups = {}
    for side, n in zip(("pre", "post"), case.shape[2:], strict=True):
        groups[side] = NeuronGroup(n, f"{CELL.equations}\ngain : 1", threshold="s > 0.5", reset="")
        groups[side].gain = given.gain[side]
    on = {f"on_{event}": code[event] for event in ("pre", "post") if event in code}
    synapses = Synapses(*groups.values(), "\n".join(model), method="euler", namespace=CONSTANTS | FUNCTIONS, **on)
    i, j = np.nonzero(given.exists[0])
    synapses.connect(i=i, j=j)
    synapses.w_[:] = given.weights[0, i, j]
    for event, order in EVENTS.items():
        if event in code and event != "step":
            (synapses.pre if event == "pre" else synapses.post).order = order
    if "step" in code:
        synapses.run_regularly(code["step"], when="synapses", order=EVENTS["step"])
    if clip:
        synapses.run_regularly(clip.strip(), when="synapses", order=RATES)

    steps = iter(np.repeat(np.arange(SHOWN), len(PHASES)))

    def clamp():
        now = given.at(next(steps))
        for side, group in groups.items():
            for variable in "smv":
                getattr(group, variable)[:] = now[f"{variable}_{side}"][0, 0]
        synapses.reward = now["reward"].item()

    delivered = []
    look = NetworkOperation(
        lambda: delivered.append([getattr(groups["post"], name)[:].copy() for name in DELIVERED]), when="end"
    )
    network = Network(*groups.values(), synapses, NetworkOperation(clamp, when="start"), look)
    network.run(SHOWN * len(PHASES) * defaultclock.dt)
    result = {}
    for name in texts.declared:
        result[name] = np.zeros(case.shape[2:])
        result[name][i, j] = getattr(synapses, f"{name}_")[:]
        result[name] = result[name].reshape(given.weights.shape if name == "w" else case.shape)
    totals = np.array(delivered)[:, :, None, None]
    return result | {name: totals[:, k] for k, name in enumerate(DELIVERED) if f"{name}_post" in case.transmit}


@settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=40)
@given(expressible())
def test_random_rules_and_transmits_equal_synapses(case):
    """brian2, the interpreter and the library agree; the interpreter to 1e-10 whatever the precision."""
    expected, largest = interpret(case)
    assume(largest < 30)
    plain = plain_brian2(case)
    assert plain.keys() == expected.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(expected[name], value, rtol=0, atol=1e-10, err_msg=f"{name} of {case}")
    compare(case, plain)


STDP = {
    "pre": """
        da/dt = -a/tau_a : 1  # trace of the source's spikes
        db/dt = -b/tau_b : 1  # trace of the target's spikes
        a += 0.07
        w = clip(w + b, 0, 1)
        """,
    "post": """
        b -= 0.05
        w = clip(w + a, 0, 1)
        """,
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_pair_stdp_over_many_spikes_equals_synapses(play, dtype, tolerance):
    """300 steps of Poisson spikes, so that weights reach both ends; each replica against a network of its own."""
    steps, replicas, n_pre, n_post = 300, 2, 7, 5
    draw = np.random.default_rng(3)
    spikes = [draw.random((steps, replicas, 1, n)) < 0.1 for n in (n_pre, n_post)]
    weights = draw.random((replicas, n_pre, n_post))
    constants = {"tau_a": 2 * ms, "tau_b": 3 * ms}
    cells = [Population(n, CELL, order=k, replicas=replicas, namespace={"gain": 1}, dtype=dtype)
             for k, n in enumerate((n_pre, n_post))]  # fmt: skip
    p = Projection(*cells, "drive_post = w*s_pre", STDP, weights=weights, namespace=constants)
    play([*cells, p], [(cell, "s", s) for cell, s in zip(cells, spikes, strict=True)])

    lines = [line.strip() for text in STDP.values() for line in text.splitlines()]
    model = "\n".join(["w : 1", *(line.replace(": 1", ": 1 (clock-driven)") for line in lines if "/dt" in line)])
    on = {event: "\n".join(x for x in text.splitlines() if "/dt" not in x) for event, text in STDP.items()}
    ends = set()
    for r in range(replicas):
        groups = []
        for s in spikes:
            step, neuron = np.nonzero(s[:, r, 0])
            groups.append(SpikeGeneratorGroup(s.shape[-1], neuron, step * defaultclock.dt))
        synapses = Synapses(*groups, model, on_pre=on["pre"], on_post=on["post"], method="euler", namespace=constants)
        synapses.connect()
        synapses.w[:] = weights[r].ravel()
        Network(*groups, synapses).run(steps * defaultclock.dt)
        for name, ours in (("w", p.w), ("a", p.view("a")), ("b", p.view("b"))):
            plain = getattr(synapses, name)[:].reshape(n_pre, n_post)
            np.testing.assert_allclose(ours[r], plain, rtol=0, atol=tolerance)
        ends |= set(synapses.w[:]) & {0.0, 1.0}
    assert ends == {0.0, 1.0}
