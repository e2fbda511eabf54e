"""Experiment  deep (Fig. 3d; Methods, 'Deep nonlinear function approximation')
            Networks of 30-20-10 and of 30-20-10-10 neurons, tanh hidden and linear output, learn what a 30-20-10-10
            network computes. Every replica has its own target network, weights and stream of examples x ~ N(0, 1).
Equations   backprop            delta2 = W^T e    delta1 = W1^T (delta2 . h2')
            feedback alignment  delta2 = B2 e     delta1 = B1 delta2
            dW = eta e h2^T    dW1 = eta (delta2 . h2') h1^T    dW0 = eta (delta1 . h1') x^T
            frozen: feedback alignment with four layers whose first, W0, does not learn
Symbols     x input, h hidden activity, y output, y* target, e error, delta modulatory signal of hidden neurons (1);
            W0, W forward and B fixed random feedback weights, eta learning rate; h1, h2 hidden layers, W0, W1, W
            from the input up, h' slopes of tanh
Departures  The paper prints the width of the target's weights (0.5) only; see the sources of the others.
            Our backprop learns the four-layer target to the end, which feedback alignment is still on its way to after
            200,000 examples; the paper stops both at the same number of examples, which it does not print. Where its
            figure has them alike, ours are so up to some 30,000.
Expect      four layers end lower than three, for both algorithms, and lower than with a frozen first layer. Means over
            20 replicas of the normalised squared error: backprop 0.075 and below 0.001, feedback alignment 0.10 and
            below 0.04, frozen above 0.4.
"""

from functools import partial

import numpy as np

from neurosim import neurons
from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim.tasks import FunctionTask
from neurosim_models.lillicrap_2016 import rates
from neurosim_models.lillicrap_2016.rates import ALIGNMENT, BACKPROP, PERTURBATION, SHALLOW

METHODS = "Methods, 'Deep nonlinear function approximation'"
THREE, FOUR = (20,), (20, 10)

PARAMETERS = (
    *rates.parameters(
        METHODS, (BACKPROP, ALIGNMENT, SHALLOW, PERTURBATION), eta=0.02, hidden=FOUR, w_width=0.1, b_width=0.5,
        sources={
            "eta": "ours: 0.01 takes twice as many examples to the same end", "w_width": "ours, for W and b",
            "b_width": "ours: 'uniform', as for the target",
        },
    ),
    Parameter("frozen", 0, "Supplementary Fig. 6", "hidden layers, lowest first, that do not learn", "layers", low=0),
    Parameter("sigma", 0.1, "ours", "standard deviation of the perturbation", above=0),
    Parameter("target_width", 0.5, METHODS, "half width of the uniform distribution of the target's weights", above=0),
    Parameter("target_hidden", FOUR, METHODS, "the target's hidden layers", "neurons", low=1),
    Parameter("inputs", 30, METHODS, "inputs", "neurons", low=1),
    Parameter("outputs", 10, METHODS, "outputs", "neurons", low=1),
    Parameter("examples", 10000, "ours: a test after each", "examples an epoch", "examples", low=1),
    Parameter("tests", 5000, "arXiv:1411.0247", "test examples", "examples", low=2),
)  # fmt: skip


def task(values, seed):
    """Return the target networks that the replicas learn."""
    sizes = [values["inputs"], *values["target_hidden"], values["outputs"]]
    width = values["target_width"]

    def draw_function(generator):
        weights = [generator.uniform(-width, width, shape) for shape in zip(sizes[:-1], sizes[1:], strict=True)]

        def function(x):
            for w in weights[:-1]:
                x = np.tanh(x @ w)
            return x @ weights[-1]

        return function

    return FunctionTask(
        "teacher", sizes[0], sizes[-1], lambda generator, count: generator.normal(size=(count, sizes[0])),
        draw_function, values["examples"], values["tests"], seed,
        f"{METHODS}: a random network of tanh neurons, x ~ N(0, 1)",
    )  # fmt: skip


DEEP = Experiment(
    name="deep",
    title="feedback alignment, like backprop, makes use of a second hidden layer (Fig. 3d)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "teacher": Preset(
            values={"replicas": (20, "Results: n = 20"), "epochs": (20, "ours"), "lanes": (10, "ours")},
            inputs=30,
            duration="1 min",
            expect=(
                Expect(0.09, "as far as three layers go", "backprop_3_layers", least=0.06),
                Expect(0.001, "the target is learned", "backprop_4_layers"),
                Expect(0.115, "as far as three layers go", "feedback_alignment_3_layers", least=0.08),
                Expect(0.04, "less than any network of three layers", "feedback_alignment_4_layers"),
                Expect(None, "random features", "frozen_first_layer", least=0.4),
            ),
            task=task,
        )
    },
    build=partial(rates.build, hidden=neurons.TANH, output=neurons.LINEAR),
    conditions={
        "backprop_3_layers": {"algorithm": BACKPROP, "hidden": THREE, "frozen": 0},
        "backprop_4_layers": {"algorithm": BACKPROP, "hidden": FOUR, "frozen": 0},
        "feedback_alignment_3_layers": {"algorithm": ALIGNMENT, "hidden": THREE, "frozen": 0},
        "feedback_alignment_4_layers": {"algorithm": ALIGNMENT, "hidden": FOUR, "frozen": 0},
        "frozen_first_layer": {"algorithm": ALIGNMENT, "hidden": FOUR, "frozen": 1},
    },
    factors=("algorithm", "hidden", "frozen"),
    metric="nse",
    comparisons=(
        Comparison("feedback_alignment_4_layers", "feedback_alignment_3_layers", "P = 9e-13 (t-test, n = 20)"),
        Comparison("backprop_4_layers", "backprop_3_layers", "P = 3e-12 (t-test, n = 20)"),
        Comparison("feedback_alignment_4_layers", "backprop_4_layers", "performed as well as backprop", alike=True),
        Comparison(
            "feedback_alignment_4_layers", "frozen_first_layer", "Supplementary Fig. 6: W0 learns something useful"
        ),
    ),
    neurons={"hidden": neurons.TANH, "output": neurons.LINEAR, **rates.FEEDBACK_NEURONS},
    texts=rates.TEXTS,
    figures=("learning", "final", "angles"),
)
