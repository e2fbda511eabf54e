"""Cells of the microcircuit: pyramidal cells of three compartments, interneurons of two, with conductances and noise.

Equations   C du_P/dt = -g_lk u_P + g_B (v_B - u_P) + g_A (v_A - u_P) + C sigma xi        hidden pyramidal cell
            C du_I/dt = -g_lk u_I + g_D (v_D - u_I) + g_som (u_above - u_I) + C sigma xi  interneuron, taught one to one
            C du_N/dt = -g_lk u_N + g_B (v_B - u_N) + i_N + C sigma xi                    pyramidal cell of the output
            i_N = g_exc (E_exc - u_N) + g_inh (E_inh - u_N) = g_som (u_trgt - u_N)        nudge by two conductances
            g_exc = g_som (u_trgt - E_inh) / (E_exc - E_inh)    g_inh = g_som (E_exc - u_trgt) / (E_exc - E_inh)
            v_B = W r_below    v_A = W_TD r_above + W_PI r_I    v_D = W_IP r_P            dendrites, at once
            r = phi(u) = gamma log(1 + exp(slope (u - theta)))                            rates
Attenuated  v^_B = g_B / (g_lk + g_B + g_A) v_B    (output: g_B / (g_lk + g_B) v_B)    v^_D = g_D / (g_lk + g_D) v_D
"""

from neurosim.neurons import NeuronType

SOURCE = "Sacramento, Costa, Bengio, Senn 2018, Dendritic cortical microcircuits approximate backprop, section 2"


def phi(u):
    """Return the text of a rate phi of a potential."""
    return f"gamma * log(1 + exp(slope * ({u} - theta)))"


RATE_SYMBOLS = {
    "u": "somatic potential (1)",
    "r": "rate phi(u) that the cell sends (1)",
    "predicted": "rate that the dendrite predicts: phi of its attenuated potential (1)",
    "gamma": "scale of rates (1)",
    "slope": "steepness of the soft rectification (1)",
    "theta": "its threshold (1)",
    "C": "membrane capacitance (F)",
    "g_lk": "leak conductance (S)",
    "sigma": "background noise (1/sqrt(s)): white noise xi on the potential",
}
INPUT = NeuronType(
    equations="""
    dr/dt = (shown - r) / tau_0 : 1
    shown : 1
    """,
    method="exact",
    symbols={
        "shown": "the pattern, set by the presentation (1)",
        "r": "input rate: the pattern, low-passed (1)",
        "tau_0": "time constant of that low-pass (s)",
    },
    source=SOURCE,
)
PYRAMIDAL = NeuronType(
    equations=f"""
    du/dt = (-g_lk * u + g_B * (v_B - u) + g_A * (v_A - u)) / C + sigma * xi : 1
    v_B : 1
    v_TD : 1
    v_PI : 1
    v_A = v_TD + v_PI : 1
    r : 1
    predicted = {phi("g_B / (g_lk + g_B + g_A) * v_B")} : 1
    reconstructed = {phi("v_TD")} : 1
    """,
    update=f"r = {phi('u')}",
    method="euler",
    symbols=RATE_SYMBOLS
    | {
        "v_B": "basal potential: what arrives from the area below (1)",
        "v_TD": "what arrives from the area above (1)",
        "v_PI": "what arrives from the interneurons of the area (1)",
        "v_A": "apical potential: both together, 0 where the interneurons cancel the area above (1)",
        "g_B": "conductance between the basal dendrite and the soma (S)",
        "g_A": "conductance between the apical dendrite and the soma (S)",
        "reconstructed": "rate that the area above predicts: phi(v_TD) (1)",
    },
    source=SOURCE,
)
INTERNEURON = NeuronType(
    equations=f"""
    du/dt = (-g_lk * u + g_D * (v_D - u) + g_som * (taught - u)) / C + sigma * xi : 1
    v_D : 1
    taught : 1
    r : 1
    predicted = {phi("g_D / (g_lk + g_D) * v_D")} : 1
    """,
    update=f"r = {phi('u')}",
    method="euler",
    symbols=RATE_SYMBOLS
    | {
        "v_D": "dendritic potential: what arrives from the pyramidal cells of the area (1)",
        "taught": "somatic potential of the pyramidal cell of the area above that teaches this cell (1)",
        "g_D": "conductance between the dendrite and the soma (S)",
        "g_som": "conductance of the nudge at the soma (S)",
    },
    source=SOURCE,
)
OUTPUT = NeuronType(
    equations=f"""
    du/dt = (-g_lk * u + g_B * (v_B - u) + nudged * i_N) / C + sigma * xi : 1
    i_N = g_exc * (E_exc - u) + g_inh * (E_inh - u) : siemens
    g_exc = g_som * (target - E_inh) / (E_exc - E_inh) : siemens
    g_inh = g_som * (E_exc - target) / (E_exc - E_inh) : siemens
    v_B : 1
    target : 1
    nudged : 1
    r : 1
    predicted = {phi("g_B / (g_lk + g_B) * v_B")} : 1
    """,
    update=f"r = {phi('u')}",
    method="euler",
    symbols=RATE_SYMBOLS
    | {
        "v_B": "basal potential: what arrives from the area below (1)",
        "g_B": "conductance between the basal dendrite and the soma (S)",
        "i_N": "current of the nudge, g_som (target - u) (S: potentials have no unit)",
        "g_exc": "excitatory conductance of the nudge (S)",
        "g_inh": "inhibitory conductance of the nudge (S)",
        "E_exc": "excitatory reversal potential (1)",
        "E_inh": "inhibitory reversal potential (1)",
        "g_som": "sum of the two conductances: strength of the nudge (S)",
        "target": "potential to which the soma is nudged (1)",
        "nudged": "1 while a target is given, else 0",
    },
    source=SOURCE,
)
NEURONS = {
    "input": INPUT,
    "pyramidal cell, hidden": PYRAMIDAL,
    "interneuron": INTERNEURON,
    "pyramidal cell, output": OUTPUT,
}
