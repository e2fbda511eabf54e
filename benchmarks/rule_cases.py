"""The rules that ``rules.py`` times, each as text, and the values that neurons hold while it is timed.

The text is given to our ``Projection`` and, where it says the same there, to plain brian2 ``Synapses``. Neurons have
no dynamics: what a rule reads stays as it is drawn, so that all contestants do the same in every step.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from brian2 import Hz, ms

DT = 1 * ms
TAU = 20 * ms


@dataclass(frozen=True)
class RuleCase:
    """One rule: its text, what it reads, and what plain Synapses are given.

    Parameters
    ----------
    text : str or dict of str to str
        The rule as our Projection takes it, for every step or by event.
    pre, post, signal : dict of str to tuple
        Variables of the source, the target and one global neuron, each with the range that it is drawn from.
    constants : dict
        Constants that the text names.
    touched : int
        Numbers read and written a synapse in a step, where the rule touches every synapse.
    products : int
        Products of matrices that a step of many lanes takes; 0 where none is possible.
    bounds : tuple, optional
        Range of the weights.
    spikes : tuple of str
        The events on which the rule acts, of "pre" and "post".
    density : float
        Share of the neurons that spike in a step.
    synapses : dict, optional
        Arguments of ``Synapses`` in place of ``text`` for every step.
    """

    name: str
    text: str | dict
    pre: dict
    post: dict
    signal: dict = field(default_factory=dict)
    constants: dict = field(default_factory=dict)
    touched: int = 2
    products: int = 1
    bounds: tuple | None = None
    spikes: tuple = ()
    density: float = 0.0
    synapses: dict | None = None

    @property
    def label(self):
        """Name and, for rules driven by spikes, the share of neurons that spike."""
        return f"{self.name}, {100 * self.density:g} % spike" if self.spikes else self.name

    def at(self, density):
        """Return the rule with another share of neurons that spike."""
        return replace(self, density=density)


UNIT, SIGNED, SLOPE = (0, 1), (-1, 1), (0, 0.25)
ETA = {"eta": 1 * Hz}

CASES = {
    case.name: case
    for case in (
        RuleCase(
            "three-factor",
            "dw/dt = eta * r_pre * psi_post * m_post",
            pre={"r": UNIT}, post={"psi": SLOPE, "m": SIGNED}, constants=ETA,
        ),
        RuleCase(
            "three-factor on spikes",
            {"pre": "w += rate * psi_post * m_post"},
            pre={"s": None}, post={"psi": SLOPE, "m": SIGNED}, constants={"rate": 1e-3}, spikes=("pre",), density=0.1,
            synapses={"model": "w : 1", "on_pre": "w += rate * psi_post * m_post"},
        ),
        RuleCase(
            "Oja",
            "dw/dt = eta * (r_post * r_pre - r_post**2 * w)",
            pre={"r": UNIT}, post={"r": UNIT}, constants=ETA,
        ),
        RuleCase(
            "BCM",
            "dw/dt = eta * r_pre * r_post * (r_post - theta_post)",
            pre={"r": UNIT}, post={"r": UNIT, "theta": UNIT}, constants=ETA,
        ),
        RuleCase(
            "pair STDP",
            {"pre": "w -= a_minus * y_post", "post": "w += a_plus * x_pre"},
            pre={"s": None, "x": UNIT}, post={"s": None, "y": UNIT},
            constants={"a_plus": 1e-3, "a_minus": 1.05e-3, "w_max": 1.0},
            products=2, bounds=(0.0, 1.0), spikes=("pre", "post"), density=0.1,
            synapses={
                "model": "w : 1",
                "on_pre": "w = clip(w - a_minus * y_post, 0, w_max)",
                "on_post": "w = clip(w + a_plus * x_pre, 0, w_max)",
            },
        ),
        RuleCase(
            "contrastive",
            "dw/dt = eta * (rho_pre * rho_post - free_pre * free_post)",
            pre={"rho": UNIT, "free": UNIT}, post={"rho": UNIT, "free": UNIT}, constants=ETA, products=2,
        ),
        RuleCase(
            "competitive",
            "dw/dt = eta * g_post * (R * v_pre - I_post * w)",
            pre={"v": UNIT}, post={"g": UNIT, "I": UNIT}, constants={**ETA, "R": 1.0},
        ),
        RuleCase(
            "eligibility",
            "dtrace/dt = (x_pre * psi_post - trace) / tau : 1\ndw/dt = eta * trace * reward",
            pre={"x": UNIT}, post={"psi": SLOPE}, signal={"reward": SIGNED}, constants={"eta": 20 * Hz, "tau": TAU},
            touched=4, products=0,
        ),
    )
}  # fmt: skip


class Values:
    """What the neurons of one case hold: float32 arrays (lanes, n) by name, and the weights to start from."""

    def __init__(self, case, n_pre, n_post, lanes, seed=0):
        self.case, self.n_pre, self.n_post, self.lanes = case, n_pre, n_post, lanes
        self.constants = {name: float(value) for name, value in case.constants.items()}  # in base units
        self.dt = float(DT)
        self._generator = np.random.default_rng(seed)
        self.pre = {name: self._draw(n_pre, limits) for name, limits in case.pre.items()}
        self.post = {name: self._draw(n_post, limits) for name, limits in case.post.items()}
        self.signal = {name: self._draw(1, limits) for name, limits in case.signal.items()}
        low, high = case.bounds or (-0.5, 0.5)
        self.weights = self._generator.uniform(low, high, (n_pre, n_post)).astype(np.float32)

    def _draw(self, n, limits):
        if limits is not None:
            return self._generator.uniform(*limits, (self.lanes, n)).astype(np.float32)
        spikes = np.zeros((self.lanes, n), np.float32)  # in every lane just as many
        for row in spikes:
            row[self._generator.permutation(n)[: max(1, round(self.case.density * n))]] = 1
        return spikes

    def new_weights(self):
        """Return a copy of the weights to start from, its rows in one piece."""
        return self.weights.copy()
