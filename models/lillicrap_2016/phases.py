"""Experiment  phases (Fig. 5; Methods, 'Quadratic function approximation')
            A 20-1000-20 network of tanh hidden and linear output neurons learns y*_k = x^T Q_k x with x uniform in
            [-2, 2] and the elements of Q_k in [-0.5, 0.5], by feedback alignment in three artificial phases: first only
            W0 learns, then only W, then only W0 again.
Equations   dW = eta e h^T    dW0 = eta (B e . h') x^T
            While W0 learns alone, its changes carry B into the hidden activity (dh has the direction of B e). Then W
            learns from that activity and aligns with B^T. In the third phase B e teaches W0 what backprop would.
Symbols     x input, h hidden activity, y output, y* target, e error, delta modulatory signal of hidden neurons (1);
            W0, W forward and B fixed random feedback weights, eta learning rate; Q_k matrix of output k, h' slope of
            tanh
Departures  The paper prints neither widths nor rates nor the lengths of the phases; see the parameters' sources.
            The paper finds that B comes to act as the pseudoinverse of W. Here, flattened, it lies nearer to W^T (52
            degrees) than to the pseudoinverse (55).
Expect      phase by phase, means over 5 replicas: the error does not move (1.05), falls to 0.55 while W learns, and
            falls on to below 0.45 in the third phase, where W0 alone could not move it in the first. Angles of W to B^T
            stay at 90 degrees in the first phase and are near 53 at the end of the second.
"""

import numpy as np

from neurosim import neurons
from neurosim.analysis import angle
from neurosim.errors import ParameterError
from neurosim.experiment import Expect, Experiment, Parameter, Preset
from neurosim.tasks import FunctionTask
from neurosim_models.lillicrap_2016 import rates
from neurosim_models.lillicrap_2016.rates import ALIGNMENT, BACKPROP, PERTURBATION, SHALLOW

PHASED, TOGETHER = "phases", "together"
METHODS = "Methods, 'Quadratic function approximation'"

PARAMETERS = (
    *rates.parameters(
        METHODS, (ALIGNMENT, BACKPROP, SHALLOW, PERTURBATION), eta=2e-5, hidden=(1000,), w_width=0.1, b_width=0.2,
        sources={
            "eta": "ours: half of what diverges in the second phase with 100 lanes",
            "w_width": "ours, for W0 and its b", "b_width": "ours",
        },
    ),
    Parameter("w_out_width", 0.02, "ours", "half width of the uniform distribution of W and its b", low=0),
    Parameter(
        "schedule", PHASED, "Fig. 5", "what learns: W0, W and W0 alone in phases, or both together",
        choices=(PHASED, TOGETHER),
    ),
    Parameter("phases", (15, 15, 15), "ours", "epochs in which W0, then W, then W0 learns alone", "epochs", low=1),
    Parameter("sigma", 0.1, "ours", "standard deviation of the perturbation", above=0),
    Parameter("x_width", 2.0, METHODS, "half width of the uniform distribution of x", above=0),
    Parameter("q_width", 0.5, METHODS, "half width of the uniform distribution of Q", above=0),
    Parameter("inputs", 20, METHODS, "inputs", "neurons", low=1),
    Parameter("outputs", 20, METHODS, "outputs", "neurons", low=1),
    Parameter("examples", 10000, "ours: a test after each", "examples an epoch", "examples", low=1),
    Parameter("tests", 1000, "ours", "test examples", "examples", low=2),
)  # fmt: skip


def task(values, seed):
    """Return the quadratic functions that the replicas learn."""
    inputs, outputs = values["inputs"], values["outputs"]

    def draw_function(generator):
        q = generator.uniform(-values["q_width"], values["q_width"], (outputs, inputs, inputs))
        return lambda x: np.einsum("ti,kij,tj->tk", x, q, x, optimize=True)

    def draw_inputs(generator, count):
        return generator.uniform(-values["x_width"], values["x_width"], (count, inputs))

    return FunctionTask(
        "quadratic", inputs, outputs, draw_inputs, draw_function, values["examples"], values["tests"], seed,
        f"{METHODS}: y_k = x^T Q_k x",
    )  # fmt: skip


def build(values, data, seed):
    """Return the circuit, with the angles of W and B after every epoch and the schedule of what learns."""
    lengths = values["phases"]
    if len(lengths) != 3:
        raise ParameterError(f"phases: three numbers of epochs are needed, got {','.join(map(str, lengths))}")
    if values["schedule"] == PHASED and values["epochs"] < sum(lengths):
        raise ParameterError(
            f"epochs: the phases take {sum(lengths)} epochs, got {values['epochs']}; --set phases makes them shorter"
        )
    circuit = rates.build(values, data, seed, neurons.TANH, neurons.LINEAR)
    forward, feedback = circuit.projections["W_y"], circuit.projections.get("B_h1")
    if feedback is not None:
        circuit.measures |= {
            "angle_units": (lambda: angle(forward.w, np.swapaxes(feedback.w, 1, 2)), "degree"),
            "angle_pinv": (lambda: _to_pseudoinverse(forward.w, feedback.w), "degree"),
        }
    if values["schedule"] == PHASED:
        borders = np.cumsum(values["phases"])

        def schedule(epoch):
            phase = int(np.searchsorted(borders, epoch))
            for name, projection in circuit.projections.items():
                if projection.rule is not None:
                    projection.plastic = name.endswith("_y") == (phase % 2 == 1)

        circuit.schedule = schedule
    return circuit


def _to_pseudoinverse(forward, feedback):
    """Return the angle between B and the pseudoinverse of W, flattened, (replicas,)."""
    return np.array(
        [angle(np.linalg.pinv(w.T.astype(float)).ravel(), b.T.ravel()) for w, b in zip(forward, feedback, strict=True)]
    )


PHASES = Experiment(
    name="phases",
    title="how alignment comes about: W0 learns alone, then W, then W0 again (Fig. 5)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "quadratic": Preset(
            values={"replicas": (5, "ours"), "epochs": (45, "ours: the sum of phases"), "lanes": (100, "ours")},
            inputs=20,
            duration="1 to 2 min",
            expect=(
                Expect(0.45, "the third phase goes on where W stopped, near 0.55", "in_phases", least=0.3),
                Expect(0.08, "both layers learn together", "together"),
            ),
            task=task,
        )
    },
    build=build,
    conditions={
        "in_phases": {"algorithm": ALIGNMENT, "schedule": PHASED, "eta": 2e-5},
        "together": {"algorithm": ALIGNMENT, "schedule": TOGETHER, "eta": 5e-5},
        "backprop": {"algorithm": BACKPROP, "schedule": TOGETHER, "eta": 5e-5},
    },
    factors=("algorithm", "schedule"),
    metric="nse",
    neurons={"hidden": neurons.TANH, "output": neurons.LINEAR, **rates.FEEDBACK_NEURONS},
    texts=rates.TEXTS,
    figures=("learning", "phases", "angles"),
)
