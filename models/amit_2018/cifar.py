"""Experiments  simpnet, deepernet, deepernet_s (section 4, Tables 1 to 3, Figs 5, 6)
            Convolutional networks of three depths learn CIFAR-10: softmax against hinge loss, backprop against updated
            (URFB) and fixed (FRFB) random feedback, all synapses or half of them, and with convolutions untied.
Experiment  simpnet: conv 32 5x5, pool 3, drop .8, full 500, drop .3, output
            deepernet: conv 16 3x3 twice, sum, conv 32 3x3 twice, sum, pool 3, drop .5, conv 64 3x3 twice, sum, pool 3,
            conv 128 3x3 twice, sum, pool 3, drop .8, full 500, output
            deepernet_s: conv 16 3x3 twice, sum, pool 3, drop .5, conv 64 3x3 twice, sum, pool 2, conv 64 2x2 twice,
            sum, pool 2, drop .5, full 500, output
Equations   h_l = W_l x_(l-1), a product or a convolution    x_l = clip(gain h_l, -1, 1)    pool: largest of a window
            delta_c = 1 if c is shown and h_c < S; -mu / (C - 1) if not and h_c > -S; else 0       hinge (eqs 3 to 5)
            delta_(l-1) = R_l (delta_l sigma'(h_l))    dW_l = dR_l = eta <delta_l sigma'(h_l) x_(l-1)>   URFB (eqs 6, 7)
            dR_l = 0 (FRFB)    R_l = W_l^T (backprop)    <.> the mean over a batch
            pool, back: to those neurons that were as large as the largest of their window
            tied: one filter for all positions, dW its sum over them; untied: every position has, and changes, its own
Symbols     x input and activities, h fields, y output (1); W forward and R feedback weights, eta step, sigma' slope of
            the saturated linearity; delta error signal; S margin, mu weight of the C - 1 classes not shown
Departures  - 20 passes by default, not 1000; the paper's batch of 500 is the default (lanes).
            - "drop" is the fraction dropped, as in the authors' code.
            - Equation 6 as printed sends delta_l back without sigma'(h_l), and so, as far as its description goes, does
              the authors' code; the text says that R = W^T gives the gradient, which needs it. Without it (--set
              chain=printed) units that are saturated teach those below as if they were not, which runs away in deep
              networks with updated feedback: within 50 batches of deepernet_s all units of the lower layers are at
              their borders. So sigma' is sent back by default.
            - In the paper R learns after it has carried the error, in the code before: --set feedback_learns=first.
            - simpnet's pool has stride 2 in the text and 3 in the code: --set pool_stride=3.
            - The untied runs go on with the batch that they began with (the code: 50). All convolutions of simpnet are
              untied; of deepernet_s the first stays as it was after the tied passes, as in the code.
            - "deepnet" is not here: the figure that lists its layers is lost. CIFAR-100 is not among the data.
            - Removed synapses are drawn for W and for R; in a convolution one draw holds for all positions. Untied with
              half of the synapses (Table 1: .06/.36) is not here.
            - Table 3's untied runs: 100 tied passes, then the first layer frozen and the others from new weights. Ours
              go on from the tied weights after --set tied_epochs (1), as section 4.1 has it for simpnet.
Expect      Published after 1000 passes: see the table of `neurosim run`. After 20 passes of 10,000 images, batches of
            100: see models/README.md. The order is backprop, updated, fixed feedback, and the gap grows with depth.
"""

from neurosim.experiment import Comparison, Experiment, Parameter, Preset, Published
from neurosim_models.amit_2018 import figures, layers
from neurosim_models.amit_2018.layers import (
    BACKPROP,
    FIXED,
    HINGE,
    SOFTMAX,
    TIED,
    UNTIED,
    UPDATED,
    Conv,
    Full,
    Pool,
    Sum,
)

SECTION, CODE = "section 4", "section 4.1 and the authors' code"


def simpnet(values):
    """Return the layers of simpnet."""
    return Conv(32, 5), Pool(3, values["pool_stride"], drop=0.8), Full(500, drop=0.3)


def deepernet(values):
    """Return the layers of deepernet."""
    stride = values["pool_stride"]
    pairs = [(Conv(n, 3), Conv(n, 3), Sum()) for n in (16, 32, 64, 128)]
    first, second, third, fourth = pairs
    return (
        *first, *second, Pool(3, stride, drop=0.5), *third, Pool(3, stride), *fourth, Pool(3, stride, drop=0.8),
        Full(500),
    )  # fmt: skip


def deepernet_s(values):
    """Return the layers of deepernet_s."""
    return (
        Conv(16, 3), Conv(16, 3), Sum(), Pool(3, 3, drop=0.5), Conv(64, 3), Conv(64, 3), Sum(), Pool(2, 2),
        Conv(64, 2), Conv(64, 2), Sum(), Pool(2, 2, drop=0.5), Full(500),
    )  # fmt: skip


def _parameters(frozen, stride):
    known = layers.parameters(SECTION, eta=0.1, source=f"{SECTION}: fixed time step of .1")
    own = (
        Parameter("connections", TIED, "the conditions of the experiment",
                  "convolutions share their weights, or every position has its own", choices=(TIED, UNTIED)),
        Parameter("tied_epochs", 1, CODE, "passes before convolutions are untied", "passes", low=0),
        Parameter("eta_tied", 0.01, CODE, "step in those passes", "1/batch", above=0),
        Parameter("frozen", frozen, CODE, "convolutions, from the input up, that stay tied and stop learning", low=0),
    )  # fmt: skip
    if stride:
        text = f"{SECTION}: half of the height and width; the authors' code has 3 in simpnet"
        own += (Parameter("pool_stride", 2, text, "stride of the pooling windows of 3", "pixels", low=1, high=3),)
    return (*known, *own)


def _build(architecture):
    def build(values, data, seed):
        """Return the circuit for these values, this data set and this seed."""
        return layers.build(values, data, seed, architecture(values))

    return build


def _condition(algorithm, loss=HINGE, density=1.0, connections=TIED):
    return {"algorithm": algorithm, "loss": loss, "density": density, "connections": connections}


CONDITIONS = {
    "backprop_softmax": _condition(BACKPROP, SOFTMAX),
    "backprop": _condition(BACKPROP),
    "updated_feedback": _condition(UPDATED),
    "fixed_feedback": _condition(FIXED),
    "updated_feedback_half": _condition(UPDATED, density=0.5),
    "fixed_feedback_half": _condition(FIXED, density=0.5),
    "updated_feedback_untied": _condition(UPDATED, connections=UNTIED),
    "fixed_feedback_untied": _condition(FIXED, connections=UNTIED),
}


def _experiment(architecture, title, *, frozen, stride, conditions, duration, published, source, passes="1000"):
    names = [name for name, *_ in published]
    drawn = [figures.filters] if any(name.endswith("untied") for name in conditions) else []
    return Experiment(
        name=architecture.__name__,
        title=title,
        notes=__doc__,
        parameters=_parameters(frozen, stride),
        presets={
            "cifar10": Preset(
                values={
                    "lanes": (500, f"{SECTION}: batch size of 500"),
                    "replicas": (3, "ours: what two cores can do"),
                    "epochs": (20, "ours: what two cores can do; the paper has 1000"),
                },
                inputs=3072,
                duration=duration,
            )
        },
        build=_build(architecture),
        check=lambda values: layers.check_untied(values, architecture(values)),
        conditions={name: CONDITIONS[name] for name in conditions},
        factors=("algorithm", "loss", "density", "connections"),
        published=tuple(
            Published(value, f"{100 * value:.0f} % {split} error after {passes} epochs", "cifar10", source, name, split)
            for name, train, test in published
            for value, split in ((train, "train"), (test, "test"))
            if value is not None
        ),
        comparisons=tuple(
            Comparison(lower, higher, words)
            for lower, higher, words in (
                ("backprop", "updated_feedback", "less error by backprop"),
                ("updated_feedback", "fixed_feedback", "less error with updated feedback"),
                ("updated_feedback_half", "fixed_feedback_half", "more so with half of the synapses"),
                ("updated_feedback_untied", "fixed_feedback_untied", "also with untied synapses"),
            )
            if {lower, higher} <= {*names, *conditions}
        ),
        neurons=layers.NEURONS,
        texts=layers.TEXTS,
        figures=("learning", "final", figures.feedback_angles, *drawn),
    )


SIMPNET = _experiment(
    simpnet,
    "one convolution: updated and fixed random feedback, whole, halved and untied (Table 1, Fig. 6)",
    frozen=0,
    stride=True,
    conditions=CONDITIONS,
    duration="15 to 30 s an epoch, replica and condition: 2 to 4 h in all",
    source="Table 1",
    published=(
        ("backprop_softmax", 0.02, 0.25),
        ("backprop", 0.11, 0.27),
        ("updated_feedback", 0.07, 0.31),
        ("fixed_feedback", 0.27, 0.36),
        ("updated_feedback_half", 0.14, 0.31),
        ("fixed_feedback_half", 0.38, 0.45),
        ("updated_feedback_untied", 0.04, 0.33),
        ("fixed_feedback_untied", 0.30, 0.37),
    ),
)
DEEPERNET = _experiment(
    deepernet,
    "eight convolutions with sums of two: the deeper, the more fixed feedback falls behind (Table 2, Fig. 5)",
    frozen=0,
    stride=True,
    conditions=[name for name in CONDITIONS if not name.endswith("untied")],
    duration="3 min an epoch, replica and condition: a day in all",
    source="Table 2",
    published=(),
)
DEEPERNET_S = _experiment(
    deepernet_s,
    "six convolutions with sums of two, tied and untied (Table 3)",
    frozen=1,
    stride=False,
    conditions=[name for name in CONDITIONS if not name.endswith("half")],
    duration="1.5 min an epoch, replica and condition: 10 h in all",
    source="Table 3",
    passes="up to 1000",
    published=(
        ("backprop_softmax", 0.21, 0.21),
        ("backprop", 0.22, 0.22),
        ("updated_feedback", 0.21, 0.23),
        ("fixed_feedback", 0.51, 0.56),
        ("updated_feedback_untied", 0.06, 0.29),
        ("fixed_feedback_untied", 0.53, 0.75),
    ),
)
