"""Neuron types: equation text, symbols, units and source.

A neuron type is text: brian2 equations integrated in every step, then statements executed in the same step
(probabilities, draws, transfer functions). Constants that the text names (``tau``) come from the population's
``namespace``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class NeuronType:
    """Neurons of one kind, as text.

    Parameters
    ----------
    equations : str
        brian2 equations; every variable that a projection drives or a rule names is declared here.
    update : str
        Statements executed in every step after the integration, in order.
    spike : str or None
        Name of the variable that is 1 in a step in which the neuron spikes and 0 otherwise, and nothing
        else: projections sum over spikes where that is quicker. None for neurons that do not spike.
    method : str or tuple of str
        brian2's integration method, or several of which brian2 takes the first that can do it.
    symbols : mapping of str to str
        One line for each symbol: meaning and unit.
    source : str
        Where the equations are from.
    """

    equations: str
    update: str = ""
    spike: str | None = None
    method: str | tuple = ("exact", "euler")
    symbols: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self):
        object.__setattr__(self, "symbols", MappingProxyType(dict(self.symbols)))


LILLICRAP = "Lillicrap et al. 2016, Methods, 'A deep network that integrates its activity and spikes'"

# The signal of error and feedback neurons: a sigmoid of their potential d, centred on 0.
PHI = "m = 0.5 * phi_gain * tanh(0.5 * phi_slope * d)"
PHI_SYMBOLS = {
    "m": "signal sent, a sigmoid centred on 0: phi_gain (sigma(phi_slope d) - 1/2), as a tanh",
    "phi_gain": "height of that sigmoid; its slope at 0 is phi_gain phi_slope / 4",
    "phi_slope": "steepness of that sigmoid",
}

BERNOULLI_INPUT = NeuronType(
    equations="""
    x : 1
    s : 1
    """,
    update="s = int(rand() < clip(x, 0, p_max))",
    spike="s",
    symbols={
        "x": "intensity of the input, 0 to 1",
        "p_max": "largest probability of a spike in a step",
        "s": "1 in a step with a spike, else 0",
    },
    source=LILLICRAP,
)

BERNOULLI = NeuronType(
    equations="""
    dv/dt = (drive - v) / tau : 1
    drive : 1
    p : 1
    s : 1
    psi = p * (1 - p) : 1
    m : 1
    """,
    update="""
    p = 0.5 * (1 + tanh(0.5 * v))
    s = int(rand() < p)
    """,
    spike="s",
    method="exact",
    symbols={
        "v": "potential (a leaky integral of the synaptic drive, 1)",
        "drive": "sum of the weights of the synapses that are active (1)",
        "tau": "integration time constant (s)",
        "p": "probability of a spike in this step: sigma(v) = (1 + tanh(v / 2)) / 2, the logistic function",
        "s": "1 in a step with a spike, else 0: a Bernoulli draw of probability p",
        "psi": "derivative of the logistic function at v: the postsynaptic factor of plasticity",
        "m": "modulatory signal that the neuron receives: the third factor of plasticity (1)",
    },
    source=LILLICRAP,
)

ERROR = NeuronType(
    equations="""
    target : 1
    guess : 1
    d = target - guess : 1
    m : 1
    """,
    update=PHI,
    symbols={
        "target": "1 for the neurons of the class shown, else 0",
        "guess": "activity of the output neuron beside this one, 0 to 1",
        "d": "potential of the error neuron, target - guess (1)",
    }
    | PHI_SYMBOLS,
    source=LILLICRAP,
)

FEEDBACK = NeuronType(
    equations="""
    dd/dt = (drive - d) / tau : 1
    drive : 1
    m : 1
    """,
    update=PHI,
    method="exact",
    symbols={
        "d": "potential of the feedback neuron (1)",
        "drive": "weighted sum of the signals that arrive from the layer above (1)",
        "tau": "integration time constant (s)",
    }
    | PHI_SYMBOLS,
    source=LILLICRAP,
)

BIAS = NeuronType(
    equations="s = 1 : 1",
    symbols={"s": "always 1: the weight of its synapse is its target's bias"},
    source="the usual reading of a bias as the weight of an input that is always on",
)

RATES = "Lillicrap et al. 2016, Methods, 'Nonlinear networks': neurons without a memory, one update an example"
RATE_SYMBOLS = MappingProxyType(
    {
        "v": "potential: the weighted sum that arrives in this step (1)",
        "r": "activity that the neuron sends (1)",
        "psi": "slope of the transfer function at v: the postsynaptic factor of plasticity (1)",
        "m": "modulatory signal that the neuron receives: the third factor of plasticity (1)",
    }
)

INPUT = NeuronType(equations="r : 1", symbols={"r": "activity, set by the presentation (1)"}, source=RATES)


def _rate(activity, slope):
    equations = f"""
    v : 1
    m : 1
    r = {activity} : 1
    psi = {slope} : 1
    """
    return NeuronType(equations=equations, symbols=RATE_SYMBOLS, source=RATES)


LINEAR = _rate("v", "1")
LOGISTIC = _rate("0.5 * (1 + tanh(0.5 * v))", "0.25 * (1 - tanh(0.5 * v)**2)")
TANH = _rate("tanh(v)", "1 - tanh(v)**2")

RATE_ERROR = NeuronType(
    equations="""
    target : 1
    guess : 1
    slope : 1
    d = target - guess : 1
    """,
    symbols={
        "target": "activity that the output neuron beside this one should have (1)",
        "guess": "activity that it has (1)",
        "slope": "slope of its transfer function (1)",
        "d": "error, target - guess (1)",
    },
    source=RATES,
)

RATE_FEEDBACK = NeuronType(
    equations="""
    d : 1
    slope : 1
    """,
    symbols={
        "d": "modulatory signal: weighted sum of the signals that arrive from above (1)",
        "slope": "slope of the transfer function of the hidden neuron beside this one (1)",
    },
    source=RATES,
)

ON = NeuronType(
    equations="r = 1 : 1",
    symbols={"r": "always 1: the weight of its synapse is its target's bias"},
    source="the usual reading of a bias as the weight of an input that is always on",
)

NOISE = NeuronType(
    equations="""
    on : 1
    noise : 1
    """,
    update="noise = on * sigma * randn()",
    symbols={
        "on": "1 while the network is perturbed, else 0",
        "noise": "perturbation of the hidden neuron beside this one (1)",
        "sigma": "standard deviation of the perturbation (1)",
    },
    source="Werfel, Xie, Seung 2005, Neural Comput. 17:2699",
)

CRITIC = NeuronType(
    equations="""
    loss : 1
    perturbed : 1
    reward : 1
    """,
    update="reward = loss - perturbed",
    symbols={
        "loss": "half the squared error of the output in this step (1)",
        "perturbed": "loss of the same example with the perturbation, kept (1)",
        "reward": "what the perturbation gained: one number for all neurons (1)",
    },
    source="Werfel, Xie, Seung 2005, Neural Comput. 17:2699",
)

AMIT = "Amit 2018, Biologically plausible deep learning"
ERROR_BACK = MappingProxyType(
    {
        "d": "signal that has come back: weighted sum of the signals of the layer above (1)",
        "m": "error signal of the neuron, delta sigma'(h): the factor of plasticity (1)",
        "sent": "signal that the neuron sends back in its turn (1)",
        "kept": "dropout: 1 / (1 - drop) in a step in which the neuron takes part, else 0",
        "drop": "fraction of the neurons that take no part in a step",
    }
)


def saturated(sloped=True, dropout=False):
    """Return saturated linear units (Amit 2018, section 2.2), whose error signal comes back along other synapses.

    Parameters
    ----------
    sloped : bool
        Whether the slope is a part of what is sent back, as in the gradient, or not, as in the paper's equation 6.
    dropout : bool
        Whether units drop out, with probability ``drop``.
    """
    kept = " * kept" if dropout else ""
    return NeuronType(
        equations=f"""
        v : 1
        d : 1
        {"kept : 1" if dropout else ""}
        r = clip(gain * v, -1, 1){kept} : 1
        psi = gain * int(abs(gain * v) < 1){kept} : 1
        m = d * psi : 1
        sent = {"m" if sloped else f"d{kept}"} : 1
        """,
        update=DROPOUT if dropout else "",
        symbols={
            "v": "field h: weighted sum of the layer below (1)",
            "gain": "slope of the saturated linearity sigma at 0",
            "r": "activity sigma(h), h cut at -1 and 1 (1)",
            "psi": "slope sigma'(h): gain within the borders, 0 outside (1)",
        }
        | ERROR_BACK,
        source=f"{AMIT}, section 2.2",
    )


def relay(dropout=False):
    """Return linear units that pass on a maximum or a sum, and errors in the other direction (Amit 2018, section 4)."""
    kept = " * kept" if dropout else ""
    return NeuronType(
        equations=f"""
        v : 1
        d : 1
        {"kept : 1" if dropout else ""}
        r = v{kept} : 1
        sent = d{kept} : 1
        """,
        update=DROPOUT if dropout else "",
        symbols={
            "v": "largest activity of a window, or sum of the activities of two layers (1)",
            "r": "activity (1)",
        }
        | ERROR_BACK,
        source=f"{AMIT}, section 4",
    )


DROPOUT = "kept = int(rand() >= drop) / (1 - drop)"

HINGE_OUTPUT = NeuronType(
    equations="""
    v : 1
    target : 1
    step : 1
    m = step * (int(target > 0) * int(v < margin) - mu * int(target < 0) * int(v > -margin)) : 1
    sent = m : 1
    """,
    symbols={
        "v": "field h_c: weighted sum of the layer below (1)",
        "target": "1 for the class shown, -1 for the others",
        "step": "factor of the error: 1, less while steps are to be smaller",
        "margin": "S: from this field on the class is learned well enough",
        "mu": "weight of the classes that are not shown",
        "m": "error signal, equation 5: 1, -mu or 0",
        "sent": "the same, sent back",
    },
    source=f"{AMIT}, section 2.1",
)

SOFTMAX_OUTPUT = NeuronType(
    equations="""
    v : 1
    target : 1
    step : 1
    total : 1
    m = step * (target - exp(v) / total) : 1
    sent = m : 1
    """,
    symbols={
        "v": "field h_c: weighted sum of the layer below (1)",
        "target": "1 for the class shown, 0 for the others",
        "step": "factor of the error: 1, less while steps are to be smaller",
        "total": "sum of exp(v) over all output neurons, which none of them knows by itself",
        "m": "error signal: target minus softmax",
        "sent": "the same, sent back",
    },
    source="cross-entropy of the softmax, the baseline of Amit 2018",
)

TOTAL = NeuronType(
    equations="total : 1",
    symbols={"total": "sum of exp(v) over all output neurons (1)"},
    source="the normalisation of the softmax, which is not local",
)
