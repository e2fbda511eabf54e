"""Experiment  mnist (Fig. 3a,b; Methods, 'MNIST data set')
            A 784-1000-10 network of logistic neurons learns handwritten digits, one-hot targets, squared error.
Equations   dW = eta (e . y') h^T - gamma W    dW0 = eta (delta . h') x^T - gamma W0    e = y* - y
            delta = W^T (e . y') (backprop)    delta = B e (feedback alignment)    dW0 = 0 (shallow)
            sparse: feedback alignment with half of the elements of W and of B removed at random
Departures  - The paper prints eta = 1e-3 and neither the widths of W and B nor the number of passes.
            - Whether y' enters B's signal was lost with the typesetting. As the words have it, delta = B e with e the
              bare error. That is not a detail: the bare error teaches where an output is confidently wrong.
            - Some images are shown side by side (lanes) and their changes summed, as single examples would have it but
              for the weights' moving meanwhile.
Expect      see the parameters and the results in models/README.md
"""

from neurosim import neurons
from neurosim.experiment import Comparison, Experiment, Parameter, Preset, Published
from neurosim_models.lillicrap_2016 import rates
from neurosim_models.lillicrap_2016.rates import ALIGNMENT, BACKPROP, PERTURBATION, SHALLOW

METHODS = "Methods, 'MNIST data set'"
SPARSE = "sparse_feedback_alignment"

PARAMETERS = (
    *rates.parameters(
        METHODS, (BACKPROP, ALIGNMENT, SHALLOW, PERTURBATION), eta=0.01, hidden=(1000,), w_width=0.05, b_width=0.2,
        sources={"eta": "ours", "w_width": "ours", "b_width": "ours"},
    ),
    Parameter("decay", 1e-6, METHODS + ": alpha", "decay of W and b", "1/example", low=0, below=0.1),
    Parameter("density", 1.0, "all synapses are there", "fraction of the synapses of W and B that exist", above=0, high=1),
    Parameter("sigma", 0.1, "ours", "standard deviation of the perturbation", above=0),
)  # fmt: skip


def build(values, data, seed):
    """Return the circuit for these values, this data set and this seed."""
    return rates.build(values, data, seed, neurons.LOGISTIC, neurons.LOGISTIC, classes=data.n_classes)


MNIST = Experiment(
    name="mnist",
    title="a network with a hidden layer learns handwritten digits as well as by backprop (Fig. 3a,b)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "digits": Preset(
            values={
                "hidden": ((100,), "ours: 64 pixels ask for less than 784"),
                "w_width": (0.2, "ours: wider, as there are fewer inputs to a neuron"),
                "lanes": (10, "ours"),
                "replicas": (5, "ours"),
                "epochs": (20, "ours"),
            },
            inputs=64,
            duration="20 s",
        ),
        "mnist": Preset(
            values={"lanes": (10, "ours"), "epochs": (100, "ours")},
            inputs=784,
            duration="15 s an epoch and condition",
        ),
    },
    build=build,
    conditions={
        BACKPROP: {"algorithm": BACKPROP, "density": 1.0},
        ALIGNMENT: {"algorithm": ALIGNMENT, "density": 1.0},
        SPARSE: {"algorithm": ALIGNMENT, "density": 0.5},
        SHALLOW: {"algorithm": SHALLOW, "density": 1.0},
    },
    published=(
        Published(0.024, "2.4 % test error (n = 20)", "MNIST", "Results", BACKPROP),
        Published(0.021, "2.1 % test error (n = 20)", "MNIST", "Results", ALIGNMENT),
        Published(0.024, "2.4 % test error (n = 20)", "MNIST", "Results", SPARSE),
        Published(0.072, "7.2 % test error", "MNIST", "Fig. 3a", SHALLOW),
    ),
    comparisons=(
        Comparison(ALIGNMENT, BACKPROP, "2.1 % and 2.4 %"),
        Comparison(ALIGNMENT, SHALLOW, "2.1 % and 7.2 %"),
    ),
    neurons={"hidden and output": neurons.LOGISTIC, **rates.FEEDBACK_NEURONS},
    texts=rates.TEXTS,
    figures=("learning", "angles", "features"),
)
