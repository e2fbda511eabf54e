"""Named rules: each once, as text, with its symbols, their units and its source.

A rule is given to a projection by name, ``Projection(..., rule=library.OJA, namespace={"eta": 1 * Hz})``; the
variables that it reads must exist in the two populations, the constants in the namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from neurosim.plasticity.parse import STEP


@dataclass(frozen=True)
class Rule:
    """A rule of plasticity as text.

    Parameters
    ----------
    name : str
        What the field calls it.
    events : str or mapping of str to str
        The text, or a text for each event.
    symbols : mapping of str to str
        One line for each symbol: meaning and unit.
    source : str
        Where the rule is from.
    when : str
        Event of a single text, or "end": give the projection ``when=presentation.end(phase)``.
    """

    name: str
    events: str | Mapping
    symbols: Mapping = field(default_factory=dict)
    source: str = ""
    when: str = STEP

    def __post_init__(self):
        object.__setattr__(self, "symbols", MappingProxyType(dict(self.symbols)))


RATES = {
    "w": "weight (its own unit; 1 unless said otherwise)",
    "r": "activity (1)",
    "eta": "learning rate (1/s)",
}

THREE_FACTOR = Rule(
    "three-factor rule",
    "dw/dt = eta * s_pre * psi_post * m_post - decay * w",
    symbols={
        "w": "weight (1)",
        "s": "1 in a step with a spike of the source, else 0 (1)",
        "psi": "slope of the target's transfer function at its potential (1)",
        "m": "modulatory signal at the target (1)",
        "eta": "learning rate (1/s)",
        "decay": "rate at which weights decay in every lane (1/s): decay / lanes is that of one",
    },
    source="Lillicrap, Cownden, Tweed, Akerman 2016, Methods, 'A deep network that integrates its activity and spikes'",
)

DELTA = Rule(
    "delta rule",
    "dw/dt = eta * r_pre * (target_post - r_post)",
    symbols=RATES | {"target": "activity that the target should have (1)"},
    source="Widrow, Hoff 1960, Adaptive switching circuits",
)

HEBB = Rule(
    "Hebb's rule",
    "dw/dt = eta * r_pre * r_post",
    symbols=RATES,
    source="Hebb 1949, The Organization of Behavior, in the usual form",
)

OJA = Rule(
    "Oja's rule",
    "dw/dt = eta * r_post * (r_pre - r_post * w)",
    symbols=RATES | {"r": "activity (1); the target's is linear, r = sum of w r_pre, for a principal component"},
    source="Oja 1982, J. Math. Biol. 15:267, in the limit of small steps",
)

BCM = Rule(
    "BCM rule",
    "dw/dt = eta * r_pre * r_post * (r_post - theta_post)",
    symbols=RATES
    | {"theta": "sliding threshold: mean of the target's squared activity over less time than learning takes (1)"},
    source="Bienenstock, Cooper, Munro 1982, J. Neurosci. 2:32; threshold as in Intrator, Cooper 1992",
)

COMPETITIVE = Rule(
    "competitive p-norm rule",
    "dw/dt = g_post * (R**p * v_pre - drive_post * w) / tau_L",
    symbols={
        "w": "weight (1)",
        "v": "input (1)",
        "drive": "what the target receives, I = <W, v>: transmit drive_post = sign(w) * abs(w)**(p - 1) * v_pre",
        "g": "learning activation of the target's state (1): positive for the winner, negative for those below it; "
        "weights converge where g * drive is not negative",
        "p": "exponent of the norm of a target's weights (1)",
        "R": "radius: the p-norm to which they converge (1)",
        "tau_L": "time constant of learning (s)",
    },
    source="Krotov, Hopfield 2018, arXiv:1806.10181, equation 2",
)

CONTRASTIVE = Rule(
    "contrastive rule",
    "w += eta / beta * (rho_pre * rho_post - free_pre * free_post)",
    symbols={
        "w": "weight (1)",
        "rho": "activity at the end of the nudged phase (1)",
        "free": "activity kept from the end of the free phase (1): presentation.keep(..., into='free', phase='free')",
        "eta": "learning rate (1)",
        "beta": "strength of the nudge (1)",
    },
    source="Scellier, Bengio 2017, Front. Comput. Neurosci. 11:24: the update of the weights, for a finite beta",
    when="end",
)

DENDRITIC = Rule(
    "dendritic prediction error",
    """ddelta/dt = ((r_post - predicted_post) * r_pre - delta) / tau_w : 1
    dw/dt = eta * delta""",
    symbols=RATES
    | {
        "r": "rate of the source's and of the target's soma, phi(u) (1)",
        "predicted": "rate that the target's dendrite predicts, phi of its attenuated potential (1)",
        "delta": "low-passed change, one a synapse (1)",
        "tau_w": "time constant of that low-pass (s)",
    },
    source="Urbanczik, Senn 2014, Neuron 81:521; low-passed as in Sacramento et al. 2018, Methods",
)

APICAL_INHIBITION = Rule(
    "apical inhibitory plasticity",
    """ddelta/dt = ((v_rest - v_A_post) * r_pre - delta) / tau_w : 1
    dw/dt = eta * delta""",
    symbols=RATES
    | {
        "r": "rate of the interneuron (1)",
        "v_A": "potential of the target's apical dendrite (1)",
        "v_rest": "potential to which inhibition brings it (1)",
        "delta": "low-passed change, one a synapse (1)",
        "tau_w": "time constant of that low-pass (s)",
    },
    source="Sacramento, Costa, Bengio, Senn 2018, section 2: interneuron to apical dendrite",
)

TOP_DOWN = Rule(
    "top-down prediction",
    """ddelta/dt = ((r_post - reconstructed_post) * r_pre - delta) / tau_w : 1
    dw/dt = eta * delta""",
    symbols=RATES
    | {
        "r": "rate of the source, in the area above, and of the target (1)",
        "reconstructed": "rate of the target that the area above predicts, phi of what arrives from there (1)",
        "delta": "low-passed change, one a synapse (1)",
        "tau_w": "time constant of that low-pass (s)",
    },
    source="Sacramento, Costa, Bengio, Senn 2018, section 2: top-down synapses where they are plastic",
)

HINGE = Rule(
    "hinge-gated Hebb",
    "w += eta * r_pre * (shown_post * int(h_post < S) - mu * (1 - shown_post) * int(h_post > -S))",
    symbols={
        "r": "activity of the source (1)",
        "h": "field of the target, the weighted sum that it receives (1)",
        "w": "weight (1)",
        "shown": "1 for the class shown, else 0 (1)",
        "mu": "weight of the classes not shown (1)",
        "S": "margin (1): 1 in equation 4, any in section 2.3",
        "eta": "learning rate (1)",
    },
    source="Amit 2019, Front. Comput. Neurosci. 13:18, equation 4; section 2.3 for the margin",
)

MIRRORED = Rule(
    "mirrored update of a feedback projection",
    "dw/dt = epsilon * eta * delta_pre * psi_pre * r_post - decay * w",
    symbols={
        "delta": "error signal of the feedback's source, the cell that the forward synapse leads to (1)",
        "psi": "slope of that cell's transfer function (1)",
        "r": "activity of the feedback's target, the cell that the forward synapse comes from (1)",
        "w": "weight of the feedback (1)",
        "epsilon": "1: the same change as the forward synapse's, 0: none (1)",
        "eta": "learning rate of the forward projection (1/s)",
        "decay": "rate of decay, the same as the forward projection's (1/s), in every lane; 0 for URFB",
    },
    source="Amit 2019, section 2.2 and equation 11 (decay 0); Kolen, Pollack 1994, with decay",
)

NODE_PERTURBATION = Rule(
    "node perturbation",
    "w += eta * reward * noise_post / sigma**2 * r_pre",
    symbols={
        "w": "weight (1)",
        "reward": "global signal: loss without the perturbation minus loss with it (1)",
        "noise": "perturbation of the target's potential, of mean 0 and standard deviation sigma (1)",
        "sigma": "its standard deviation (1)",
        "r": "activity of the source (1)",
        "eta": "learning rate (1)",
    },
    source="Werfel, Xie, Seung 2005, Neural Comput. 17:2699; Lillicrap et al. 2016 compare with it",
)

STDP = Rule(
    "pair STDP",
    {"pre": "w -= A_minus * recent_post", "post": "w += A_plus * recent_pre"},
    symbols={
        "w": "weight (its own unit)",
        "recent": "trace of the neuron's own spikes: drecent/dt = -recent / tau, plus 1 at a spike (1); where it holds "
        "this step's spike already, spikes of one step change the weight by A_plus - A_minus",
        "A_plus": "change of a synapse whose source spiked just before its target (unit of w)",
        "A_minus": "change of one whose target spiked just before its source, counted positive (unit of w)",
    },
    source="Song, Miller, Abbott 2000, Nat. Neurosci. 3:919; trace form of Morrison, Diesmann, Gerstner 2008",
)

ELIGIBILITY = Rule(
    "eligibility trace with a late third factor",
    """delig/dt = (x_pre * psi_post - elig) / tau_e : 1
    dw/dt = eta * elig * signal_post""",
    symbols={
        "x": "low-passed spikes of the source (1)",
        "psi": "slope, or pseudo-derivative, of the target's spike probability (1)",
        "w": "weight (1)",
        "elig": "eligibility of the synapse: x psi, low-passed with gain 1 (1)",
        "tau_e": "time constant for which it lasts (s)",
        "signal": "learning signal of the target (1), one step late or later: rates read the values before the step",
        "eta": "learning rate (1/s)",
    },
    source="the form of e-prop: Bellec et al. 2020, Nat. Commun. 11:3625, with one low-pass for its sum over time",
)

RULES = (
    THREE_FACTOR, DELTA, HEBB, OJA, BCM, COMPETITIVE, CONTRASTIVE, DENDRITIC, APICAL_INHIBITION, TOP_DOWN, HINGE,
    MIRRORED, NODE_PERTURBATION, STDP, ELIGIBILITY,
)  # fmt: skip
