"""Experiment  linear (Fig. 2; Methods, 'Linear function approximation')
            A 30-20-10 network of linear neurons learns a random linear function T from a stream of examples
            x ~ N(0, 1), y* = T x, one after another. Every replica has its own T, weights and stream.
Equations   h = W0 x    y = W h    e = y* - y    dW = eta e h^T    dW0 = eta delta x^T
            delta = W^T e (backprop)    delta = B e (feedback alignment)    dW0 = 0 (shallow)
            dW0 = eta (L - L_xi) xi / sigma^2 x^T (node perturbation, xi ~ N(0, sigma^2) added to h)
Symbols     x input, h hidden activity, y output, y* target, e error, delta modulatory signal of hidden neurons (1);
            W0, W forward and B fixed random feedback weights, eta learning rate; T the target, L = |e|^2 / 2 the
            loss, L_xi that with the perturbation xi of standard deviation sigma
Departures  The paper prints neither the learning rates nor the scale of the perturbation ('manual search'), nor how
            many examples there were: see the parameters' sources. Figure 2 shows one network; here are 20.
Expect      after the last example, means over 20 replicas: backprop and feedback alignment below a normalised
            squared error of 1e-6, node perturbation between 0.001 and 0.01, shallow above 0.9 (at backprop's rate; with
            eta = 5 it would reach 0.37, the best that 20 random features of 30 inputs allow).
"""

from functools import partial

from neurosim import neurons
from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim.tasks import FunctionTask
from neurosim_models.lillicrap_2016 import rates
from neurosim_models.lillicrap_2016.rates import ALIGNMENT, BACKPROP, PERTURBATION, SHALLOW

METHODS = "Methods, 'Linear function approximation'"
SEARCHED = "ours, as the paper says: by search for speed, the largest with which each of 100 networks learns"

PARAMETERS = (
    *rates.parameters(
        METHODS, (SHALLOW, PERTURBATION, BACKPROP, ALIGNMENT), eta=0.008, hidden=(20,), w_width=0.01, b_width=0.5,
        sources={"eta": SEARCHED, "w_width": METHODS, "b_width": METHODS},
    ),
    Parameter("sigma", 0.01, "ours: 0.1 ends at a floor of 0.01", "standard deviation of the perturbation", above=0),
    Parameter("inputs", 30, METHODS, "inputs", "neurons", low=1),
    Parameter("outputs", 10, METHODS, "outputs", "neurons", low=1),
    Parameter("examples", 50, "ours: an epoch is what lies between two tests", "examples an epoch", "examples", low=1),
    Parameter("tests", 1000, "ours", "test examples", "examples", low=2),
)  # fmt: skip


def task(values, seed):
    """Return the linear functions that the replicas learn."""
    inputs, outputs = values["inputs"], values["outputs"]

    def draw_function(generator):
        matrix = generator.uniform(-1, 1, (inputs, outputs))
        return lambda x: x @ matrix

    return FunctionTask(
        "linear", inputs, outputs, lambda generator, count: generator.normal(size=(count, inputs)), draw_function,
        values["examples"], values["tests"], seed, f"{METHODS}: T uniform in [-1, 1], x ~ N(0, 1)",
    )  # fmt: skip


LINEAR = Experiment(
    name="linear",
    title="a linear network learns through fixed random feedback as quickly as by backprop (Fig. 2)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "linear": Preset(
            values={"replicas": (20, "ours"), "epochs": (40, "ours: 2000 examples")},
            inputs=30,
            duration="10 s",
            expect=(
                Expect(1e-6, "as backprop", ALIGNMENT),
                Expect(1e-6, "Fig. 2a: towards zero", BACKPROP),
                Expect(0.01, "Fig. 2a: slow", PERTURBATION, least=0.001),
                Expect(None, "Fig. 2a: hardly decreases", SHALLOW, least=0.9),
            ),
            task=task,
        )
    },
    build=partial(rates.build, hidden=neurons.LINEAR, output=neurons.LINEAR, biases=False),
    conditions={
        SHALLOW: {"algorithm": SHALLOW, "eta": 0.01},
        PERTURBATION: {"algorithm": PERTURBATION, "eta": 0.002},
        BACKPROP: {"algorithm": BACKPROP, "eta": 0.01},
        ALIGNMENT: {"algorithm": ALIGNMENT, "eta": 0.008},
    },
    metric="nse",
    comparisons=(
        Comparison(ALIGNMENT, BACKPROP, "Fig. 2a: just as quickly", alike=True),
        Comparison(ALIGNMENT, PERTURBATION, "Fig. 2a: faster than reinforcement learning"),
        Comparison(PERTURBATION, SHALLOW, "Fig. 2a: the loss hardly decreases with shallow learning"),
    ),
    neurons={"all": neurons.LINEAR, **rates.FEEDBACK_NEURONS},
    texts=rates.TEXTS,
    figures=("learning", "angles"),
)
