"""The three neurons s, o and t of one class (section 2.3): as a map, as leaky neurons, and as spiking neurons."""

import numpy as np

from neurosim.errors import ParameterError
from neurosim.neurons import NeuronType

MAP, LEAKY, SPIKING, IDEAL = "map", "leaky", "spiking", "ideal"
FORMS = (MAP, LEAKY, SPIKING)
SYNCHRONOUS, ALTERNATING = "synchronous", "alternating"
AS_IT_IS, SUSTAINED, TIMED = "as_it_is", "sustained", "timed"
READINGS = (AS_IT_IS, SUSTAINED, TIMED)
SOURCE = "Amit 2018, section 2.3, equations 8 and 9"

FIELD = "h + 2*M*s - 2*M*tc + kick"
# Equation 9: o jumps at -2M-S, -M, M and 2M+S, and t halfway between 1 and 1 + eps and between -mu and -mu - eps.
STAIRCASE_O = "int({x} >= M) + eps*int({x} > 2*M + S) - mu*int({x} <= -M) - eps*int({x} < -2*M - S)"
STAIRCASE_T = "int({x} > 1 + 0.5*eps) - int({x} < -mu - 0.5*eps)"
STEP = "0.5*(1 + tanh(0.5*({x})/{width}))"


def _smooth_o(x):
    steps = {"": f"{x} - M", "eps*": f"{x} - 2*M - S", "-mu*": f"-M - {x}", "-eps*": f"-2*M - S - {x}"}
    return " + ".join(size + STEP.format(x=at, width="width") for size, at in steps.items()).replace("+ -", "- ")


def _smooth_t(x):
    up, down = (STEP.format(x=at, width="(width_t*eps)") for at in (f"{x} - 1 - 0.5*eps", f"-mu - 0.5*eps - {x}"))
    return f"{up} - {down}"


SYMBOLS = {
    "h": "field: the weighted sum that arrives from below (1)",
    "s": "activity of the supervisor: 1 if the class is shown, -1 if another is (1)",
    "tc": "activity t of the control neuron; t alone is the time (1)",
    "H": "full field of o, equation 8 (1)",
    "o": "activity of the output neuron (1)",
    "kick": "noise of the field, drawn anew in every step (1)",
    "d": "what synapses onto o learn from and what travels down the feedback connections (1)",
    "M": "all fields h lie between -M and M (1)",
    "S": "margin: learning threshold of the field (1)",
    "eps": "what tells an activity outside the margin from one inside (1)",
    "mu": "weight of the classes not shown (1)",
    "noise": "standard deviation of the kick (1)",
}
READING_SYMBOLS = {"z": "recent activity of o: its low-pass (1)", "tau_read": "time constant of that low-pass (s)"}
LEAKY_SYMBOLS = {
    "v": "potential: a leaky integral of H (1)",
    "tau_o": "time constant of v (s)",
    "width": "width of the logistic steps of o, in units of the field (1)",
}
SPIKING_SYMBOLS = {"rate": "mean activity: staircase of v (1)", "p": "probability of a spike, |rate| / (1 + eps) (1)"}
CONTROL_SYMBOLS = {key: SYMBOLS[key] for key in ("o", "tc", "eps", "mu")} | {
    "u": "potential: a leaky integral of o (1)",
    "tau_t": "time constant of u (s)",
    "width_t": "width of the logistic steps of t, in units of eps (1)",
    "rate": "mean activity: staircase of u (1)",
}

# A synapse that reads sustained activity passes o on while z is on constant activity's side of the midpoint between
# that, 1 or -mu, and the mean of a cycle, (1 + eps)/2 or -(mu + eps)/2.
GATE = "int(o > 0)*int((1 - eps)*(z - 0.75 - 0.25*eps) > 0) + int(o < 0)*int((mu - eps)*(-z - 0.75*mu - 0.25*eps) > 0)"
EQUATION_5 = "int(s > 0)*int(h < S) - mu*int(s < 0)*int(h > -S)"


def _typed(equations, update, symbols, source=SOURCE):
    return NeuronType("\n".join(equations), "\n".join(update), None, "exact", symbols, source)


def supervisor():
    """Return the neuron s: set by the presentation, which may also silence it."""
    symbols = {
        "s": SYMBOLS["s"],
        "shown": "1 if the class is shown, -1 if another is (1)",
        "on": "1 while there is a supervisor, else 0 (1)",
    }
    return _typed(["shown : 1", "on : 1", "s = on * shown : 1"], [], symbols)


def output(form, reading=AS_IT_IS):
    """Return the neuron o in one of its forms: "map", "leaky" or "spiking", or "ideal", which computes equation 5.

    Parameters
    ----------
    form : str
        One of FORMS or IDEAL.
    reading : {"as_it_is", "sustained", "timed"}
        What follows reads of o, as ``d``: its activity, whenever rules are open (a presentation opens them at one
        moment for "timed"), or its activity while it lasts.
    """
    if form == IDEAL:
        kept = ("h", "s", "d", "S", "mu")
        return _typed(
            ["h : 1", "s : 1", "d : 1"], [f"d = {EQUATION_5}"], {key: SYMBOLS[key] for key in kept},
            "Amit 2018, equation 5 (with h > -S in its second case, as in equation 4)",
        )  # fmt: skip
    equations = ["h : 1", "s : 1", "tc : 1", "o : 1", "d : 1", "kick : 1", f"H = {FIELD} : 1"]
    update, symbols = [], dict(SYMBOLS)
    if form == MAP:
        update += [f"o = {STAIRCASE_O.format(x='H')}"]
    else:
        equations += ["dv/dt = (H - v) / tau_o : 1"]
        symbols |= LEAKY_SYMBOLS
    if form == LEAKY:
        update += [f"o = {_smooth_o('v')}"]
    if form == SPIKING:
        equations += ["rate : 1", "p = abs(rate) / (1 + eps) : 1"]
        update += [f"rate = {_smooth_o('v')}", "o = (1 + eps) * sign(rate) * int(rand() < p)"]
        symbols |= SPIKING_SYMBOLS
    update += ["kick = noise * randn()"]
    if reading == SUSTAINED:
        equations += ["dz/dt = (o - z) / tau_read : 1"]
        update += [f"d = o * ({GATE})"]
        symbols |= READING_SYMBOLS
    else:
        update += ["d = o"]
    return _typed(equations, update, symbols)


def control(form):
    """Return the neuron t in one of its forms: "map", "leaky" or "spiking"."""
    if form == MAP:
        kept = {key: CONTROL_SYMBOLS[key] for key in ("o", "tc", "eps", "mu")}
        return _typed(["o : 1", "tc : 1"], [f"tc = {STAIRCASE_T.format(x='o')}"], kept)
    equations, symbols = ["o : 1", "tc : 1", "du/dt = (o - u) / tau_t : 1"], dict(CONTROL_SYMBOLS)
    if form == LEAKY:
        del symbols["rate"]
        return _typed(equations, [f"tc = {_smooth_t('u')}"], symbols)
    update = [f"rate = {_smooth_t('u')}", "tc = sign(rate) * int(rand() < abs(rate))"]
    return _typed([*equations, "rate : 1"], update, symbols)


def check(M, S, eps, mu, reading=AS_IT_IS):
    """Raise where equations 8 and 9 leave the circuit no room.

    Parameters
    ----------
    M, S, eps, mu : float
        Bound of the fields, margin, excess activity, weight of the classes not shown.
    reading : str
        See :func:`output`.

    Raises
    ------
    ParameterError
        Naming the inequality that fails.
    """
    if not 0 < mu < 1:
        why = "t would not tell -mu from 0" if mu <= 0 else "equation 9 is stated for mu < 1"
        raise ParameterError(f"mu: 0 < mu < 1 must hold ({why}), got mu = {mu:g}")
    if not eps > 0:
        raise ParameterError(
            f"eps: eps > 0 must hold (t tells 1 + eps outside the margin from 1 inside), got eps = {eps:g}"
        )
    if not M > 0:
        raise ParameterError(f"M: M > 0 must hold (fields lie in [-M, M]), got M = {M:g}")
    if not S < M:
        raise ParameterError(
            f"S: S < M must hold (no field in (S, M] is left for which o is switched off), got S = {S:g}, M = {M:g}"
        )
    if not S > -M:
        raise ParameterError(
            f"S: S > -M must hold (no field in [-M, S) is left for which o stays on, and [M, 2M + S] is empty), "
            f"got S = {S:g}, M = {M:g}"
        )
    if reading == TIMED and S < 0:
        raise ParameterError(
            f"S: S >= 0 must hold for the reading 'timed' (without a supervisor o and t do not come to rest at 0 for "
            f"S < h < -S), got S = {S:g}"
        )
    if reading == SUSTAINED and eps in (1, mu):
        raise ParameterError(
            f"eps: eps != {eps:g} must hold for the reading 'sustained' ((1 + eps)/2 must differ from 1 and "
            f"(mu + eps)/2 from mu, or a cycle has the mean of constant activity), got eps = {eps:g}, mu = {mu:g}"
        )


# Theory, for sharp steps and a class that is shown; with -h, mu and mu + eps for 1 and 1 + eps it holds for the others
# but for the levels. ``delay`` is the time from a change of o to its effect on o through t, both synapses together.


def period_of_slow_output(h, M, S, tau_o, delay):
    """Return (period, lowest v, fraction with v above 2M + S) beyond the margin if t has no time constant: tau_t = 0.

    v rises towards h + 2M until ``delay`` after it has crossed 2M + S, then falls towards h until ``delay`` after it
    has crossed it again: a relay with a delay. o visits 0 if the lowest v lies below M; otherwise its mean is
    1 + eps times that fraction, which goes to (h - S)/2M for a slow o.
    """
    jump = 2 * M + S
    high = h + 2 * M - (h - S) * np.exp(-delay / tau_o)
    low = h + (jump - h) * np.exp(-delay / tau_o)
    fall, rise = np.log((high - h) / (jump - h)), np.log((h + 2 * M - low) / (h - S))
    period = 2 * delay + tau_o * (fall + rise)
    return period, low, (delay + tau_o * fall) / period


def period_of_slow_control(eps, tau_t, delay, level=1.0):
    """Return (period, fraction of it in which o is on) beyond the margin if o has no time constant: tau_o = 0.

    u rises towards level + eps until ``delay`` after it has crossed level + eps/2, then falls towards 0 until ``delay``
    after it has crossed it again. o visits 0 whatever tau_t; its mean moves from (level + eps)/2 at tau_t = 0 to
    level + eps/2 for a slow t.
    """
    top, jump = level + eps, level + eps / 2
    high = top - (top - jump) * np.exp(-delay / tau_t)
    low = jump * np.exp(-delay / tau_t)
    off = delay + tau_t * np.log(high / jump)
    on = delay + tau_t * np.log((top - low) / (top - jump))
    return on + off, on / (on + off)


def largest_tau_o(h, M, S, delay):
    """Return the tau_o up to which o visits 0, if t has no time constant."""
    return delay / np.log((2 * M + S - h) / (M - h))
