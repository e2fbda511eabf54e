"""Experiment  dynamics (equations 2, 3 and 4)
            The algorithm as it stands, before its shortcuts: hidden units relax under global inhibition while their
            weights follow the plasticity rule, in continuous time. First in parts (the study): units that relax, how
            many stay active, when the ranking of currents would have given the same, single units on the sphere of
            radius R. Then 50 units learn digits, for p = 2, 3 and 4; a layer of classes reads which units win.
Equations   tau dh/dt = I - w_inh sum over the others of max(h, 0) - h    I = <W, v>                   equation 4
            tau_L dW/dt = g(h) (R^p v - <W, v> W)    <X, Y> = sum of |W|^(p-2) X Y                     equation 2
            g(h) = 1 above h_*, -Delta for 0 < h < h_*, 0 below
            a unit by itself: g(Q), Q = <W, v> / <W, W>^((p-1)/p), and L = G(Q), G' = g, rises        equations 3, 5
            classes: dS = eta (target - y) won^T at the end of a presentation, y = S won
Symbols     v input, I current, h activity, g learning activation, L Lyapunov function (1); W weights, R radius; w_inh
            inhibition, h_* threshold, theta = h_* / (R^(p-1) mean |v|_p), Delta; tau, tau_L time constants (s);
            won = 1 where h > h_*, S weights of the classes, y their activity, eta learning rate
Theory      - Rest, speed and winners of equation 4: see competing.py.
            - d<W, W>/dt = p g I (R^p - <W, W>) / tau_L: the sphere attracts a unit as long as the mean of g I is above
              0, and repels it below. If m units share -Delta with one that wins, that asks for m Delta I_lost < I_won:
              fewer than 2.5 losers for Delta = 0.4. w_inh sets m.
            - Currents scale with |W|^(p-1). On the sphere they are at most R^(p-1) |v|_p (Hoelder; reached by W along
              v), from N(0, 1) they begin (for p = 4 and digits) 20 times as large. Who is active does not depend on
              that, but h_* does: far from the sphere all active units are pushed towards the input, the threshold tells
              them apart only near it. That costs nothing: nothing has to adapt as |W| shrinks. But h_* must lie below
              what a winner reaches on the sphere, I_1 / (1 + w_inh) where another has nearly its current, so theta
              below 1 / (1 + w_inh) times the cosine-like overlap I_1 / |v|_p of 0.9: 0.47. Above, the weakly driven
              winners are pushed away too, and norms stop outside of the sphere, where activity reaches h_*.
            - k units that have come to the same input share it, each with h = I / (1 + w_inh (k - 1)); all are pushed
              towards it as long as that is above h_*, so k < 1 + (1 / theta - 1) / w_inh: up to three with ours.
            - With several inputs side by side L, summed over them, rises too: its rate is equation 5 with sum of g v
              for g v.
Departures  - The paper has no numbers for w_inh, h_*, tau and tau_L; ours, see the parameters' sources.
            - Inputs are shown in lanes, side by side, and their changes added up, for speed (--set lanes=1: one
              after another, as the paper has it).
            - h goes on from one input to the next; for w_inh < 1 the state of rest does not depend on it.
            - The delta rule of the classes is ours: a quick look at what has been learned. The paper trains a top layer
              afterwards, see digits.
Numbers     Digits, learned weights, w_inh 0.9, theta 0.35: the largest current has g = 1 for 99 % of the images, but g
            of all units is that of the ranking for 20 % (at most 26 %, over all w_inh and theta; 36 % with weights at
            the start). One w_inh cannot make two units active for all images: it must lie between
            I_3 / (I_1 + I_2 - I_3) and I_2 / I_1, other numbers for each.
Expect      digits, one replica: after 20 epochs the median p-norm of the units that win is R = 1 within 10 % for p = 3
            and 4, within 25 % for p = 2, and test errors are at most 25 %, 35 % for p = 2, as units are few. All
            presentations settle.
"""

import numpy as np
from brian2 import Clock, Network, ms, second

from neurosim import neurons
from neurosim.experiment import Expect, Experiment, Parameter, Preset
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.training import Circuit
from neurosim.weights import Normal
from neurosim_models.krotov_2019 import competing, dynamics_figures, dynamics_study, sphere
from neurosim_models.krotov_2019.competing import (
    COMPETING,
    COUNT,
    CURRENT,
    INHIBITION,
    INPUT,
    ON,
    PAPER,
    Competition,
    inhibit,
)

READ = "v_post = w * won_pre"
LEARN = "w += eta * won_pre * (target_post - v_post)"
CLASSES = neurons.NeuronType(
    equations="""
    v : 1
    target : 1
    """,
    symbols={"v": "activity S won (1)", "target": "1 for the class shown, else 0"},
    source="ours: the delta rule, Widrow, Hoff 1960",
)
TEXTS = {
    "W transmit": CURRENT,
    "W rule, at every moment": library.COMPETITIVE.events,
    "inhibition transmit": INHIBITION,
    "S transmit": READ,
    "S rule, at the end of a presentation": LEARN,
}
NEURONS = {"input": INPUT, "hidden": COMPETING, "class": CLASSES, "a unit by itself": sphere.ALONE}
QUANTILES = (0.05, 0.5, 0.95)

COMPETITION = (
    Parameter("w_inh", 0.9, "ours: two units stay active, see Theory", "inhibition between hidden units", low=0),
    Parameter("theta", 0.35, "ours: below 0.47, see Theory", "threshold h_* in units of R^(p-1) mean |v|_p", low=0),
    Parameter("tau", 5 * ms, "ours: a membrane's", "time constant of hidden units", above=0),
    Parameter("tau_L", 10 * second, "ours: 67 presentations; section 2.1: longer than one", "time constant of learning",
              above=0),
    Parameter("hold", 150 * ms, "ours: 3 tau / (1 - w_inh)", "how long an input is held", above=0),
    Parameter("tolerance", 0.05, "ours", "part of the largest current that a settled unit may move in tau", above=0),
    Parameter("unsettled", COUNT, "ours", "what a presentation does that ends before all have settled", choices=ON),
    Parameter("R", 1.0, "section 2.1", "radius of the sphere", above=0),
    Parameter("dt", 0.5 * ms, "ours: tau / 10 follows up to 22 active units", "time step", above=0),
)  # fmt: skip

PARAMETERS = (
    Parameter("p", 4.0, f"{PAPER}, appendix B", "exponent of the norm", low=1),
    Parameter("hidden", 50, "ours", "hidden units", "units", low=2),
    Parameter("delta", 0.4, f"{PAPER}, appendix B", "Delta: how strongly units below h_* are pushed away", low=0),
    *COMPETITION,
    Parameter("eta", 0.05, "ours", "learning rate of the classes, of one input", low=0),
)


def threshold(values, images):
    """Return h_*: theta times the mean of the largest currents R^(p-1) |v|_p that these images can give."""
    lengths = (np.abs(images.astype(float)) ** values["p"]).sum(axis=1) ** (1 / values["p"])
    return float(values["theta"] * values["R"] ** (values["p"] - 1) * lengths.mean())


def hidden_layer(values, images, shape, seed):
    """Return (input, units, weights, inhibition): equations 2 and 4 wired up.

    Parameters
    ----------
    values : dict
        The experiment's parameters by name.
    images : array (examples, inputs)
        Decide the number of inputs and the threshold, see :func:`threshold`.
    shape : dict
        Replicas, lanes and clock of both populations.
    seed : int or SeedSequence
        Decides the weights.
    """
    constants = {"tau": values["tau"], "delta": values["delta"], "h_star": threshold(values, images)}
    x = Population(images.shape[1], INPUT, order=0, name="x", **shape)
    units = Population(values["hidden"], COMPETING, order=1, name="h", namespace=constants, **shape)
    weights = Projection(
        x, units, CURRENT, library.COMPETITIVE, weights=Normal(1), seed=seed, name="W",
        namespace={name: values[name] for name in ("p", "R", "tau_L")},
    )  # fmt: skip
    return x, units, weights, inhibit(units, values["w_inh"])


def norms(weights, p):
    """Return the p-norm of every hidden unit's weights, (replicas, units)."""
    return (np.abs(weights.w.astype(float)) ** p).sum(axis=1) ** (1 / p)


def norm_measures(weights, p, competition):
    """Return what is measured of the weights after every epoch: quantiles of p-norms, over units that won in it."""

    def quantiles():
        found = [each[used] for each, used in zip(norms(weights, p), competition.used, strict=True)]
        return np.array([np.quantile(each, QUANTILES) if each.size else np.full(3, np.nan) for each in found])

    return {"p_norms": (quantiles, "1")}


def build(values, data, seed):
    """Return the circuit: units that compete while their weights learn, and classes that read which of them win.

    Raises
    ------
    ParameterError
        For numbers with which the units cannot compete, see :func:`competing.check`.
    """
    competing.check(values)
    clock = Clock(values["dt"])
    shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=clock)
    shown = Presentation({"held": values["hold"]}, clock=clock)
    x, units, weights, inhibition = hidden_layer(
        values, data.train_images, shape, np.random.SeedSequence(seed, spawn_key=(1,))
    )
    y = Population(data.n_classes, CLASSES, order=2, name="y", **shape)
    classes = Projection(
        units, y, READ, LEARN, weights=np.zeros((units.n, y.n)), name="S", namespace={"eta": values["eta"]},
        when=shown.end("held"),
    )  # fmt: skip
    competition = Competition(
        shown, weights, values["w_inh"], values["tolerance"], unsettled=values["unsettled"]
    )  # fmt: skip
    readout = Readout(shown, y, "v", data.n_classes, at_end=True)
    one_hot = np.eye(data.n_classes)

    def feed(images, labels):
        shown.clamp(x, "v", images)
        shown.clamp(y, "target", one_hot, rows=labels)

    return Circuit(
        network=Network(
            x, units, y, weights, inhibition, classes, shown, competition, readout, Guard([(units, "h"), (y, "v")])
        ),
        populations={"x": x, "h": units, "y": y},
        projections={"W": weights, "S": classes},
        presentation=shown,
        readout=readout,
        feed=feed,
        measures=norm_measures(weights, values["p"], competition) | competition.measures,
        schedule=lambda epoch: competition.begin(),
    )


DYNAMICS = Experiment(
    name="dynamics",
    title="hidden units that relax under global inhibition while they learn (equations 2 to 4)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "digits": Preset(
            values={
                "lanes": (50, "ours, see Departures"),
                "replicas": (1, "ours"),
                "epochs": (20, "ours"),
            },
            inputs=64,
            duration="2 min",
            expect=(
                Expect(0.35, "few units, slowly to the sphere", "p2"),
                *(Expect(0.25, "few units", name) for name in ("p3", "p4")),
            ),
        )
    },
    build=build,
    check=competing.check,
    conditions={f"p{p}": {"p": float(p)} for p in (2, 3, 4)},
    factors=("p",),
    neurons=NEURONS,
    texts=TEXTS,
    figures=(
        dynamics_figures.relaxing, dynamics_figures.active, dynamics_figures.ranking, dynamics_figures.sphere,
        dynamics_figures.norms, "learning",
    ),
    study=dynamics_study.study,
)  # fmt: skip
