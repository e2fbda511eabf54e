"""The top layer: features of frozen weights are named as classes; learned from labels by Adam (eq. 1, appendix B).

Equations   f = max(W v / a, 0)^n    c = tanh(b S f)    b = beta / <sum of f>    C = sum over all c of |c - t|^m
            delta = -dC/d(S f) = m |t - c|^(m - 1) sign(t - c) b (1 - c^2)    G = sum over a batch of f delta
            F <- F + (1 - b1) (G - F)    V <- V + (1 - b2) (G^2 - V)
            S <- S + eta sqrt(1 - b2^k) / (1 - b1^k) F / (sqrt(V) + e)                                        Adam
Symbols     v input, W v / a field of a feature, f feature, c class, t target 1 or -1 (1); n, m powers, a, b scales;
            <> mean over training images; F, V running means of gradient and squared gradient, k steps of Adam, eta
            its step
Adam is that of neurosim.plasticity.adam.
"""

import numpy as np

from neurosim.experiment import Parameter
from neurosim.neurons import NeuronType
from neurosim.plasticity import adam

PAPER = "arXiv:1806.10181"

FEATURE = "int(v_pre > 0) * abs(v_pre)**n"  # max(v, 0)^n, without powers of 0, which are slow
TRANSMIT = f"v_post = w * {FEATURE}"
RULE = adam.rule(f"{FEATURE} * delta_post")

CLASSES = NeuronType(
    equations=f"""
    v : 1
    target : 1
    gain : 1
    c = tanh(gain * v) : 1
    delta = m * abs(target - c)**(m - 1) * sign(target - c) * gain * (1 - c**2) : 1
    {adam.EQUATIONS}
    """,
    update=adam.UPDATE,
    symbols={
        "v": "field S f (1)",
        "c": "activity, -1 to 1 (1)",
        "target": "1 for the class shown, -1 for the others",
        "gain": "slope of c at v = 0: beta over the mean sum of an image's features; end to end beta",
        "delta": "minus the slope of the loss |c - target|^m against v",
        "m": "power of the loss",
    }
    | adam.SYMBOLS,
    source=f"Krotov, Hopfield 2018, {PAPER}, equation 1 and appendix B; {adam.SOURCE}",
)

DECLINES = {  # of Adam's step: (part of the epochs, factor), one after another
    "mnist": ((2, 1), (1, 0.5), (1, 0.1), (1, 0.05), (1, 0.01)),
    "cifar": (
        (2, 1), (1, 0.5), (1, 0.25), (1, 0.125), (1, 0.05), (1, 0.025), (1, 0.0125), (1, 0.005), (1, 0.0025),
    ),
    "end_to_end": ((1, 1), (1, 0.25)),
    "none": ((1, 1),),
}  # fmt: skip

PARAMETERS = (
    Parameter("n", 4.5, f"{PAPER}, Fig. 4 and appendix B", "power of the features", low=1),
    Parameter("m", 10.0, f"{PAPER}, appendix B", "power of the loss", low=1),
    Parameter("beta", 1500.0, "ours: not printed; see Departures of mnist",
              "slope of c against S f at 0, for features that add up to 1", above=0),
    Parameter("eta", 1e-3, f"{PAPER}, appendix B", "first step of Adam", "1/batch", low=0),
    Parameter("decline", "mnist", f"{PAPER}, appendix B", "how the step of Adam falls over its epochs",
              choices=tuple(DECLINES)),
    Parameter("b1", 0.9, "Kingma & Ba 2015", "Adam: fading of the mean gradient, a step", low=0, below=1),
    Parameter("b2", 0.999, "Kingma & Ba 2015", "Adam: fading of the mean squared gradient, a step", low=0, below=1),
    Parameter("tiny", 1e-8, "Kingma & Ba 2015", "Adam: kept from zero by this", above=0),
)  # fmt: skip


def constants(values):
    """Return (those of the neurons of Adam's target, those of the synapses)."""
    fading = {name: values[name] for name in ("b1", "b2")}
    return fading, fading | {"tiny": values["tiny"]}


def step_of_epoch(values, epoch, epochs):
    """Return Adam's eta in an epoch of so many, counted from 1: the published schedule, however long."""
    lengths, factors = np.array(DECLINES[values["decline"]]).T
    ends = np.cumsum(lengths) / lengths.sum()
    at = np.searchsorted(ends, (epoch - 1) / epochs + 1e-9, side="right")
    return values["eta"] * factors[min(at, len(factors) - 1)]
