"""One random projection: what it gets from outside, and what the interpreter and the library make of it."""

from dataclasses import dataclass

import numpy as np
from brian2 import Network, NetworkOperation, start_scope, volt
from grammar import CONSTANTS, NAMESPACE, PHASES, squash
from reference import Reference

from neurosim import Population, Presentation, Projection
from neurosim.connectivity import Dense, Masked, OneToOne
from neurosim.neurons import NeuronType

CELL = NeuronType(
    equations="""
    s : 1
    m : 1
    v : 1
    drive : 1
    also : 1
    psi = gain * m * (1 - m) : 1
    """,
    spike="s",
    symbols={"s": "spikes", "m, v": "values from outside", "drive, also": "what arrives", "psi": "an expression"},
)
GLOBAL = NeuronType(equations="r : 1", symbols={"r": "one number for all, as dopamine would be"})
GRID = np.arange(-8, 9) / 8
SHOWN = 3  # presentations, of one step a phase
DELIVERED = "drive", "also"
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


@dataclass
class Case:
    """One projection: texts, size (replicas, lanes, n_pre, n_post), connectivity, the unit of its weights."""

    transmit: str
    rule: str | dict | None = None
    when: str = "step"
    dtype: type = np.float64
    shape: tuple = (1, 1, 1, 1)
    kind: str = "dense"
    unit: float = 1.0
    bounds: tuple | None = None
    dale: bool = False
    recurrent: bool = False
    seed: int = 0
    initial: bool = True  # whether there are weights


class Inputs:
    """What a case gets: values (presentations, replicas, lanes, n), synapses that exist, initial weights and limits."""

    def __init__(self, case):
        replicas, lanes, n_pre, n_post = case.shape
        draw = np.random.default_rng(case.seed)
        sizes = {"pre": n_pre, "post": n_post}
        self.values = {}
        for side, n in sizes.items():
            for variable in "mv":
                self.values[f"{variable}_{side}"] = draw.choice(GRID, (SHOWN, replicas, lanes, n))
            spikes = draw.random((SHOWN, replicas, lanes, n)) < draw.choice([0.1, 0.5, 0.9])
            self.values[f"s_{side}"] = 1.0 * spikes
        for value in self.values.values():
            if draw.random() < 0.3:
                value[1:] = value[0]  # what holds still
        if case.recurrent:
            self.values |= {f"{name[0]}_post": self.values[f"{name[0]}_pre"] for name in self.values}
        self.values["reward"] = draw.choice(GRID, (SHOWN, replicas, lanes, 1))
        self.gain = {"pre": 0.7, "post": 0.7 if case.recurrent else 1.3}
        self.exists, self.connectivity = _connect(case, draw)
        self.signs = draw.choice([-1, 1], n_pre) if case.dale else None
        self.bounds = (-0.6, 0.7) if case.dale and case.bounds else case.bounds
        self.weights = draw.choice(GRID, self.exists.shape)
        if case.dale:
            self.weights = np.abs(self.weights) * self.signs[:, None]
        if self.bounds:
            low, high = (np.copysign(np.inf, k - 0.5) if b is None else b for k, b in enumerate(self.bounds))
            self.weights = np.clip(self.weights, low, high)
            self.bounds = tuple(b if b is None else b * case.unit for b in self.bounds)
        self.weights = self.weights * case.unit * self.exists

    def at(self, k):
        """Return the values of presentation k, the populations' expressions among them."""
        now = {name: value[k] for name, value in self.values.items()}
        for side, gain in self.gain.items():
            now[f"psi_{side}"] = gain * now[f"m_{side}"] * (1 - now[f"m_{side}"])
        return now

    @property
    def constants(self):
        """Constants as numbers in base units."""
        numbers = {name: float(value) for name, value in CONSTANTS.items()}
        return numbers | {"squash": squash} | {f"gain_{side}": gain for side, gain in self.gain.items()}


def _connect(case, draw):
    """Return which synapses exist (replicas, n_pre, n_post), and the connectivity."""
    replicas, _, n_pre, n_post = case.shape
    whole = np.full((replicas, n_pre, n_post), True)
    if case.kind == "copy":  # one-to-one without weights
        return whole & np.eye(n_pre, dtype=bool), None
    if case.kind == "one_to_one":
        return whole & np.eye(n_pre, dtype=bool), OneToOne()
    if case.kind == "dense":
        return whole, Dense()
    mask = draw.random(whole.shape) < 0.6
    if case.kind == "replicas":
        return mask, Masked(mask)
    mask[0, 0, -1] = True
    return whole & mask[0], Masked(mask[0], store="list") if case.kind == "list" else Masked(mask[0])


def interpret(case):
    """Return what the interpreter gives, and the largest number in it.

    The result is a mapping: delivered variables to arrays (steps, replicas, lanes, n_post), "w" and per-synapse
    variables to their state after the last step.
    """
    given = Inputs(case)
    reference = Reference(
        given.weights, case.shape[1], case.transmit, case.rule, case.when, given.exists, given.bounds, given.signs,
        given.constants,
    )  # fmt: skip
    delivered = []
    for k in range(SHOWN):
        now = given.at(k)
        for phase in PHASES:
            delivered.append(reference.deliver(now))
            now["drive_post"] = delivered[-1]["drive"]
            reference.learn(now, ended={phase})
    result = {name: np.array([step[name] for step in delivered]) for name in delivered[0]} | reference.state
    largest = max(np.abs(x).max(initial=0) / (case.unit if name == "w" else 1) for name, x in result.items())
    return result, largest


def simulate(case):
    """Build the case with the library and run it; return (projection, delivered variables to arrays as above)."""
    given = Inputs(case)
    replicas, lanes, n_pre, n_post = case.shape
    start_scope()
    settings = dict(replicas=replicas, lanes=lanes, dtype=case.dtype)
    source = target = Population(n_pre, CELL, order=0, namespace={"gain": given.gain["pre"]}, **settings)
    if not case.recurrent:
        target = Population(n_post, CELL, order=1, namespace={"gain": given.gain["post"]}, **settings)
    reward = Population(1, GLOBAL, order=0, **settings)
    shown = Presentation({phase: source.clock.dt for phase in PHASES}, clock=source.clock)
    more = {}
    in_list = case.kind in ("list", "one_to_one")
    if case.initial:
        weights = given.weights[:, given.exists[0]] if in_list else given.weights
        more["weights"] = weights if case.unit == 1 else weights * volt
    if case.rule is not None:
        moments = {phase: shown.end(phase) for phase in PHASES}
        more["rule"], more["when"] = case.rule, moments.get(case.when, case.when)
        if isinstance(case.rule, dict):
            more["rule"] = {moments.get(event, event): text for event, text in case.rule.items()}
        bounds = given.bounds
        if bounds and case.unit != 1:
            bounds = tuple(b if b is None else b * volt for b in bounds)
        more |= {"bounds": bounds, "dale": given.signs, "signals": {"reward": (reward, "r")}}
    p = Projection(source, target, case.transmit, namespace=NAMESPACE, connectivity=given.connectivity, **more)
    assert p.explain().startswith(source.name)
    if case.initial and in_list:  # as an argument, (replicas, synapses) may be taken for a matrix of equal shape
        p.w[...] = weights

    of = {"pre": source, "post": target}
    for name, value in given.values.items():
        population, variable = (reward, "r") if name == "reward" else (of[name[2:]], name[0])
        shown.clamp(population, variable, value.reshape(-1, population.n))
    shown.show(np.arange(SHOWN * replicas * lanes).reshape(SHOWN, replicas, lanes))
    seen = []
    look = NetworkOperation(
        lambda: seen.append({variable: target.view(variable).copy() for variable in DELIVERED}),
        clock=source.clock, when="end",
    )  # fmt: skip
    Network(*dict.fromkeys([source, target, reward]), p, shown, look).run(shown.remaining)
    return p, {variable: np.array([step[variable] for step in seen]) for variable in DELIVERED}


def stored(p, variable, state, exists):
    """Return a per-synapse variable as the projection stores it, and the interpreter's values for the same places."""
    storage = p.storage[variable]
    if storage == "summed":
        state = state.sum(axis=1)
    elif storage == "common":
        assert np.ptp(state, axis=1).max() < 1e-9, f"{variable} differs between lanes"
        state = state[:, 0]
    view = p.view(variable)
    if view.ndim < state.ndim:
        return view, state[..., p.i, p.j]
    assert view.shape == state.shape, variable
    where = np.broadcast_to(exists if state.ndim == 3 else exists[:, None], state.shape)
    return view[where], state[where]


def compare(case, expected):
    """Assert that the library agrees with what is expected: 1e-10 in double precision, 1e-5 in single.

    Of the largest number of each variable, or of 1, the size of what is put in, where that is larger.
    """
    p, delivered = simulate(case)
    exists = Inputs(case).exists
    for name, state in expected.items():
        if name in DELIVERED:
            ours = delivered[name]
        elif name == "w":
            if not case.initial:
                continue
            ours = p.matrix()
            assert not ours[~exists].any(), f"a synapse that does not exist has a weight: {case}"
        else:
            ours, state = stored(p, name, state, exists)
        assert ours.dtype == case.dtype and ours.shape == state.shape, f"{name} of {case}"
        scale = max(np.abs(state).max(initial=0), case.unit if name == "w" else 1)
        np.testing.assert_allclose(ours, state, rtol=0, atol=TOLERANCE[case.dtype] * scale, err_msg=f"{name} of {case}")
