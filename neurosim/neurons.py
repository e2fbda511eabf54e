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
PHI = "m = 0.5 * phi_gain * tanh(0.5 * d)"
PHI_SYMBOLS = {
    "m": "signal sent: phi_gain (sigma(d) - 1/2) = phi_gain tanh(d / 2) / 2, a sigmoid centred on 0",
    "phi_gain": "height of that sigmoid; its slope at 0 is phi_gain / 4",
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
