"""Adam in the language of rules: running means of gradient and squared gradient, one of each a synapse.

Equations   G = sum over a batch of the gradient, with the sign of the change    F <- F + (1 - b1) (G - F)
            V <- V + (1 - b2) (G^2 - V)    w <- w + eta sqrt(1 - b2^k) / (1 - b1^k) F / (sqrt(V) + tiny)
Written as Kingma & Ba (2015) have it at the end of their section 2, with the correction of both means in the step, so
that it is one number for all synapses of a neuron: the target keeps it.
"""

from types import MappingProxyType

SOURCE = "Kingma & Ba 2015, algorithm 1 and the end of section 2"


def rule(gradient):
    """Return the rule of Adam for what is added up over lanes: minus the gradient of the loss, as text."""
    return f"""
    G : 1 (shared)
    F : 1
    V : 1
    G = {gradient}
    F += (1 - b1) * (G - F)
    V += (1 - b2) * (G**2 - V)
    w += step_post / lanes * F / (sqrt(V) + tiny)
    """


EQUATIONS = """
    eta : 1
    filled1 : 1
    filled2 : 1
    step : 1
    """
UPDATE = """
    filled1 += int(eta > 0) * (1 - b1) * (1 - filled1)
    filled2 += int(eta > 0) * (1 - b2) * (1 - filled2)
    step = eta * sqrt(filled2) / clip(filled1, 1 - b1, 1)
    """
SYMBOLS = MappingProxyType(
    {
        "eta": "step of Adam in this epoch (1); 0 while its synapses do not learn",
        "filled1": "1 - b1^k after k steps: how far the mean of the gradient has been filled",
        "filled2": "1 - b2^k: likewise, of the squared gradient",
        "step": "eta sqrt(1 - b2^k) / (1 - b1^k)",
        "b1": "factor by which the mean of the gradient fades in a step",
        "b2": "likewise, of the squared gradient",
    }
)
