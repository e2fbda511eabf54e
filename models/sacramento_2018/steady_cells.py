"""Cells of the microcircuit at rest, and what its synapses carry and learn by; see steady for the sweeps.

Equations   u = v_B + mix v_A                     pyramidal cell of a hidden area, v_A = v_TD + v_PI
            u = v_D + mix (taught - v_D)          interneuron, taught by the soma of a pyramidal cell above
            u = v_B + mix (target - v_B)          pyramidal cell of the output
            r = phi(u) = 1 / (1 + exp(-u))        predicted = phi(v_B), phi(v_D)    error = r - predicted
            error = phi'(v_B) v_A, output phi'(v_B) (target - v_B)    where errors come back by W^T or TD alone
"""

from neurosim import neurons
from neurosim.neurons import NeuronType

SOURCE = "Sacramento, Costa, Bengio, Senn 2018, main text: the steady state in two sweeps"

BASAL = "v_B_post = w * predicted_pre"
DENDRITE = "v_D_post = w * predicted_pre"
FROM_ABOVE, FROM_INTERNEURONS = "v_TD_post = w * r_pre", "v_PI_post = w * r_pre"
TEACH = "taught_post = u_pre"
PREDICT = "w += eta * step / lanes * error_post * r_pre"
SILENCE = "w += eta * step / lanes * (0 - v_A_post) * r_pre"
RECONSTRUCT = "w += eta * step / lanes * (r_post - reconstructed_post) * r_pre"
BACK = "v_A_post = w * error_pre"

TEXTS = {
    "W, b transmit": BASAL,
    "IP, b^I transmit": DENDRITE,
    "W, b, IP, b^I rule": PREDICT,
    "TD transmit": FROM_ABOVE,
    "TD rule, where plastic": RECONSTRUCT,
    "PI transmit": FROM_INTERNEURONS,
    "PI rule, where plastic": SILENCE,
    "pyramidal cell to the interneuron it teaches": TEACH,
    "backprop (W read backwards, weight transport), feedback alignment (TD): transmit": BACK,
}


def phi(u):
    """Return the text of the logistic function of a potential."""
    return f"0.5 * (1 + tanh(0.5 * {u}))"


RATES = {
    "predicted": "rate that the dendrite predicts (1)",
    "r": "rate (1)",
    "error": "what the dendrite does not predict of the rate: the factor of plasticity (1)",
}
FROM_BELOW = {"v_B": "basal potential: what arrives from the area below (1)"}
SOMA = {"u": "somatic potential (1)", "mix": "weight of what teaches the soma"} | RATES
CLAMPED = NeuronType(
    "r : 1\npredicted = r : 1",
    symbols={"r": "rate, set by the presentation (1)", "predicted": "the same"},
    source=SOURCE,
)
ON = NeuronType(
    "r = 1 : 1\npredicted = 1 : 1",
    symbols={"r": "always 1: the weight of its synapse is its target's bias", "predicted": "1"},
    source=neurons.ON.source,
)
TEACHER = NeuronType(
    "step : 1", symbols={"step": "factor of all learning rates: 1, less in later passes"}, source=SOURCE
)
PYRAMIDAL = NeuronType(
    equations=f"""
    v_B : 1
    v_TD : 1
    v_PI : 1
    v_A = v_TD + v_PI : 1
    u = v_B + mix * v_A : 1
    predicted = {phi("v_B")} : 1
    reconstructed = {phi("v_TD")} : 1
    r = {phi("u")} : 1
    error = r - predicted : 1
    """,
    symbols=FROM_BELOW
    | SOMA
    | {
        "v_TD": "what arrives from the area above (1)",
        "v_PI": "what arrives from the interneurons of the area (1)",
        "v_A": "apical potential: both together, 0 where the interneurons cancel the area above (1)",
        "reconstructed": "rate that the area above predicts (1)",
    },
    source=SOURCE,
)
INTERNEURON = NeuronType(
    equations=f"""
    v_D : 1
    taught : 1
    u = v_D + mix * (taught - v_D) : 1
    predicted = {phi("v_D")} : 1
    r = {phi("u")} : 1
    error = r - predicted : 1
    """,
    symbols=SOMA
    | {
        "v_D": "dendritic potential: what arrives from the pyramidal cells of the area (1)",
        "taught": "somatic potential of the pyramidal cell of the area above that teaches this cell (1)",
    },
    source=SOURCE,
)
OUTPUT = NeuronType(
    equations=f"""
    v_B : 1
    target : 1
    u = v_B + mix * (target - v_B) : 1
    predicted = {phi("v_B")} : 1
    r = {phi("u")} : 1
    error = r - predicted : 1
    """,
    symbols=FROM_BELOW | SOMA | {"target": "potential to which the soma is nudged (1)"},
    source=SOURCE,
)
SLOPE = "predicted * (1 - predicted)"
HIDDEN_LIMIT = NeuronType(
    equations=f"""
    v_B : 1
    v_A : 1
    predicted = {phi("v_B")} : 1
    r = predicted : 1
    error = {SLOPE} * v_A : 1
    """,
    symbols=FROM_BELOW | RATES | {"v_A": "error that has come back (1)", "error": "that times the slope of phi (1)"},
    source=f"{SOURCE}; its limit of small mixing",
)
OUTPUT_LIMIT = NeuronType(
    equations=f"""
    v_B : 1
    target : 1
    predicted = {phi("v_B")} : 1
    r = predicted : 1
    error = {SLOPE} * (target - v_B) : 1
    """,
    symbols=FROM_BELOW | RATES | {"target": "potential that the output should have (1)", "error": "phi' (t - v_B) (1)"},
    source=f"{SOURCE}; its limit of small mixing",
)
NEURONS = {
    "input": CLAMPED,
    "pyramidal cell, hidden": PYRAMIDAL,
    "interneuron": INTERNEURON,
    "pyramidal cell, output": OUTPUT,
    "bias": ON,
    "factor of learning rates": TEACHER,
    "hidden, backprop and feedback alignment": HIDDEN_LIMIT,
    "output, backprop and feedback alignment": OUTPUT_LIMIT,
}
