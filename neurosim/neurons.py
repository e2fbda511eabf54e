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
