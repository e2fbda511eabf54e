"""Units of target propagation as text: activities go up, targets come down, noise teaches the way back.

Equations   v_l = W_l h_(l-1) + b_l    h_l = tanh(v_l)    y = softmax(v_L)                             forward
            g_l(r) = tanh(V_l r + c_l)    r activity of the layer above                               inverse
            t_l = h_l - g_l(h_(l+1)) + g_l(t_(l+1))                                                   DTP, SDTP
            t_l = g_l(t_(l+1))                                                                        TP
            t_(L-1) = h_(L-1) - alpha dL/dh_(L-1) = h_(L-1) + alpha W_L^T (label - y)         DTP: weight transport
            t_L = label                                                                               TP, SDTP
            n_l = h_l + sigma xi_l    f_(l+1) = tanh(W_(l+1) n_l + b_(l+1))                           noise
            dW_l = eta <(t_l - h_l) (1 - h_l^2) h_(l-1)>    dW_L = eta <(label - y) h_(L-1)>          forward learning
            dV_l = eta' <(h_l - g_l(f)) (1 - g_l(f)^2) f_(l+1)>                                       denoising
            dV_l = eta' <(n_l - g_l(f)) (1 - g_l(f)^2) f_(l+1)>                                       noise-preserving
            d_l = W_(l+1)^T m_(l+1) (BP), B_(l+1) m_(l+1) (FA), B_l m_L (DFA); m = d (1 - h^2)        for t - h
<.> is the mean over a batch; losses are half of squared differences, summed over units. The target of a layer is the
activity of a population of its own beside it, whose cells receive what the layer above sends back. A synapse carries
up to three signals in one time step, side by side: that of the activity, of the target, and of the noisy activity.
"""

from types import MappingProxyType

from neurosim.neurons import NeuronType
from neurosim.plasticity import adam

SOURCE = "Bartunov et al. 2018, section 2.1; Lee et al. 2015"

SYMBOLS = MappingProxyType(
    {
        "v": "field W h + b: weighted sum of the layer below (1)",
        "v_noisy": "the same while the layer below is noisy",
        "h": "activity (1)",
        "slope": "slope of the activity at v",
        "d": "where the activity should move: target minus activity; in BP, FA, DFA the error that has come back (1)",
        "m": "error signal d slope: the postsynaptic factor of plasticity",
        "target": "activity that the unit should have (1)",
        "n": "noisy activity (1)",
        "sigma": "standard deviation of the noise",
        "f": "activity while the layer below is noisy (1)",
        "delta": "what backprop would send: minus the slope of the loss against h (1)",
        "back": "what backprop would send on: minus the slope of the loss against v",
    }
)


def hidden(targets=True, hears=True, noise=True, watched=False, linear=False):
    """Return units of a hidden layer.

    Parameters
    ----------
    targets : bool
        Whether they have targets, and so send back two signals; or errors come back to them.
    hears : bool
        Whether the noise of the layer below reaches them: a third signal, from which the way back learns.
    noise : bool
        Whether they are noisy for the layer above.
    watched : bool
        Whether what backprop would send comes back too, to be compared with.
    linear : bool
        Activity v in the place of tanh(v): for theory.
    """
    f, slope = ("v", "1") if linear else ("tanh(v)", "1 - h*h")
    parts = (
        (True, "v : 1\nd : 1\nh : 1\nslope : 1\nm = d * slope : 1", f"h = {f}\nslope = {slope}"),
        (targets, "target = h + d : 1", ""),
        (hears, "v_noisy : 1\nf : 1", f"f = {f.replace('v', 'v_noisy')}"),
        (noise, "n : 1", "n = h + sigma * randn()"),
        (watched, "delta : 1\nback = delta * slope : 1", ""),
    )
    equations, update = ("\n".join(part[k] for part in parts if part[0] and part[k]) for k in (1, 2))
    return NeuronType(equations, update, symbols=SYMBOLS, source=SOURCE)


def output(hears=True):
    """Return output units, whose activities are a softmax: each gets the sum over all of them."""
    noisy = "v_noisy : 1\ntotal_noisy : 1\nf = exp(v_noisy) / total_noisy : 1"
    return NeuronType(
        f"""
        v : 1
        total : 1
        h = exp(v) / total : 1
        target : 1
        m = target - h : 1
        back = m : 1
        {noisy if hears else ""}
        """,
        symbols=SYMBOLS
        | {
            "h": "activity: softmax of v",
            "m": "error signal, target minus activity: minus the slope of the cross-entropy against v",
            "target": "1 for the class shown, 0 for the others",
            "total": "sum of exp(v) over all output units, which none of them knows by itself",
            "total_noisy": "the same while the layer below is noisy",
        },
        source=SOURCE,
    )


AUXILIARY = NeuronType(
    "v : 1\nv_noisy : 1\nh : 1\nf : 1\ntarget = h : 1",
    "h = tanh(v)\nf = tanh(v_noisy)",
    symbols={**SYMBOLS, "target": "the same as the activity: what the classes do not tell is to stay as it is"},
    source="Bartunov et al. 2018, NeurIPS, AO-SDTP",
)

VANILLA, DIFFERENCE, GRADIENT = "vanilla", "difference", "gradient"
TARGETS = {VANILLA: "tanh(u_target)", DIFFERENCE: "h + tanh(u_target) - g", GRADIENT: "h + pull"}


def targets(kind=DIFFERENCE, preserving=False, linear=False):
    """Return the cells beside a hidden layer whose activities are its targets.

    Parameters
    ----------
    kind : {"vanilla", "difference", "gradient"}
        How the target is made: see TARGETS.
    preserving : bool
        Whether the way back learns to reconstruct the noisy activity, or the activity without noise.
    linear : bool
        As for :func:`hidden`.
    """
    bare = (lambda text: text.replace("tanh", "")) if linear else (lambda text: text)
    equations, update = "h : 1\ntarget : 1\n", ""
    if kind == GRADIENT:
        equations += "pull : 1\n"
    else:
        equations += f"""
        u : 1
        u_target : 1
        u_noisy : 1
        wanted {": 1" if preserving else "= h : 1"}
        g : 1
        q : 1
        miss : 1
        """
        update = f"g = {bare('tanh(u)')}\nq = {bare('tanh(u_noisy)')}\n"
        update += f"miss = (wanted - q) * {'1' if linear else '(1 - q*q)'}\n"
    return NeuronType(
        equations,
        f"{update}target = {bare(TARGETS[kind])}",
        symbols={
            "h": "activity of the unit beside this cell (1)",
            "target": "activity: what that unit's should be (1)",
            "pull": "minus the loss' slope against h, times alpha",
            "u": "field V h + c: weighted sum of the layer above (1)",
            "u_target": "the same of its targets",
            "u_noisy": "the same of its activities while this layer is noisy",
            "g": "reconstruction of h (1)",
            "q": "reconstruction out of what the noise made of the layer above (1)",
            "wanted": "what q should be: h (denoising) or n (noise-preserving)",
            "miss": "(wanted - q) times the slope at q: the postsynaptic factor of the way back's plasticity",
        },
        source=SOURCE,
    )


ON = NeuronType(
    "h = 1 : 1\nn = 1 : 1\nf = 1 : 1\ntarget = 1 : 1",
    symbols={"h": "always 1: the weight of its synapse is its target's bias", "n": "1", "f": "1", "target": "1"},
    source="the usual reading of a bias as the weight of an input that is always on",
)
INPUT = NeuronType("h : 1", symbols={"h": "activity, set by the presentation (1)"}, source=SOURCE)


def with_adam(kind):
    """Return a neuron type whose synapses learn by Adam."""
    return NeuronType(
        f"{kind.equations}\n{adam.EQUATIONS}", f"{kind.update}\n{adam.UPDATE}", symbols=kind.symbols | adam.SYMBOLS,
        source=f"{kind.source}; {adam.SOURCE}",
    )  # fmt: skip


UP, UP_NOISY = "v_post = w * h_pre", "v_noisy_post = w * n_pre"
DOWN, DOWN_NOISY = "u_post = w * h_pre\nu_target_post = w * target_pre", "u_noisy_post = w * f_pre"
BESIDE, BESIDE_NOISY = "h_post = h_pre", "wanted_post = n_pre"
TOLD = "d_post = target_pre - h_pre"
PULL = "pull_post = alpha * w * m_pre"
BACK, WATCHED = "d_post = w * m_pre", "delta_post = w * back_pre"
TOTAL, TOTAL_NOISY = "total_post = exp(v_pre)", "total_noisy_post = exp(v_noisy_pre)"

FORWARD_CHANGE, INVERSE_CHANGE = "h_pre * m_post", "f_pre * miss_post"
PLAIN = "w += eta / lanes * {}"


def rule(change, by_adam):
    """Return the text of a rule: plain steps along a change, or Adam's."""
    return adam.rule(f"{change} / lanes") if by_adam else PLAIN.format(change)


TEXTS = {
    "W, b transmit": f"{UP}; where the layer above sends back: {UP_NOISY}",
    "W, b rule": PLAIN.format(FORWARD_CHANGE),
    "V, c transmit: the way back, with weights of its own": f"{DOWN}; {DOWN_NOISY}".replace("\n", "; "),
    "V, c rule": PLAIN.format(INVERSE_CHANGE),
    "unit to target cell, and back": f"{BESIDE}; {TOLD}; noise-preserving: {BESIDE_NOISY}",
    "DTP's penultimate target: W read backwards, weight transport": PULL,
    "BP: W read backwards, weight transport; FA, DFA: fixed random weights": BACK,
    "softmax, output to output": f"{TOTAL}; {TOTAL_NOISY}",
    "W, b rule, V, c rule by Adam: see plasticity.adam": f"G = {FORWARD_CHANGE} / lanes; G = {INVERSE_CHANGE} / lanes",
}
NEURONS = {
    "input": INPUT,
    "bias": ON,
    "hidden": hidden(),
    "hidden, BP, FA, DFA": hidden(targets=False, hears=False, noise=False),
    "output": output(),
    "auxiliary output, AO-SDTP": AUXILIARY,
    "targets": targets(),
    "targets, TP": targets(VANILLA),
    "targets, DTP's last hidden layer": targets(GRADIENT),
}
