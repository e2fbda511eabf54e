"""Experiment  selfprediction (section 2; Fig. S1)
            Interneurons learn to predict the pyramidal cells of the area above, and to cancel what these send back:
            from random lateral weights the apical potentials fall silent, whatever the input. There is no target;
            forward and top-down weights stay as they are. Beside it the same with lateral weights that start in the
            self-predicting state: they stay there.
Equations   see network: IP and PI learn, W and TD are fixed
Symbols     see cells; error: squared error of the rates that the dendrites of the interneurons predict, with the rates
            of the pyramidal cells above, normalised by the variance of these; apical: root mean square of v_A over
            patterns, without noise (apical_no_target) and with it; lateral_PI, lateral_IP: relative distances of PI
            from -TD, of IP from f W
Theory      - With IP at rest, r^I = r_above, PI + TD = D obeys dD/dt = -eta D <r^I r^I^T>: each mode of the rates
              decays at eta times its eigenvalue. Rates near phi(0) = 0.005 with a spread of 0.0002 have one large
              eigenvalue, 10 x 0.005^2, and others 10^4 times smaller: apical potentials fall to what the spread leaves,
              soon; the weights stay far from -TD, and need not come nearer.
            - IP is a delta rule whose error reaches the soma by g_som: rates eta phi' lambda_I times eigenvalues of
              <r r^T>, 8e-4 and less.
Departures  - With the published rates (eta_PI = 5e-4, eta_IP = 2.4e-4 per ms, rates as above) the first time constant
              is 8e6 ms of PI and 2e9 ms of IP: nothing would happen within the 1e7 ms of the paper's longest figure. A
              factor is lost in the sources, of the rates or of eta; ours are larger. Only eta x time counts (test).
            - Patterns are shown in lanes, their changes summed; U(-1, 1) as in the paper's regression.
Expect      30-20-10, means over 5 replicas after 15 epochs (6e5 ms): from random weights, apical potentials without
            noise are below a tenth of the first ones, the error is below 0.5; from the self-predicting state apical
            potentials stay below 1e-4 and the error below 0.15: what noise makes of weights that learn all the time
"""

import numpy as np

from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim.tasks import FunctionTask
from neurosim_models.sacramento_2018 import cells, figures, network
from neurosim_models.sacramento_2018.network import RANDOM, S25, SELF_PREDICTING

OURS = "ours: from the time constants that theory gives, see Departures"


def patterns(outputs, values, seed):
    """Return input patterns U(-1, 1) as a task; its targets, all 0, are not given to the network."""
    return FunctionTask(
        "patterns", values["inputs"], outputs,
        lambda generator, count: generator.uniform(-1, 1, (count, values["inputs"])),
        lambda generator: lambda x: np.zeros((len(x), outputs)),
        values["examples"], values["tests"], seed, f"{S25}: inputs uniform in [-1, 1]",
    )  # fmt: skip


class PredictionError(network.RatesError):
    """Squared error of the rates that interneurons' dendrites predict, with those of the cells that teach them."""

    def __init__(self, layers):
        self.interneurons = layers.interneurons[-1]
        super().__init__(layers.shown, layers.y, layers.values)

    def read(self):
        """Return rates of the pyramidal cells of the output, and those predicted, each (replicas, lanes, n)."""
        share = network.attenuation(self.values)["interneuron"]
        return self.population.view("r"), network.rate(share * self.interneurons.view("v_D"), self.values)


def build(values, data, seed):
    """Return the circuit of a condition, whose error is that of the interneurons' prediction."""
    return network.build({**values, "nudged": 0}, data, seed, PredictionError)


TASK_PARAMETERS = (
    Parameter("inputs", 30, S25, "input cells", "cells", low=1),
    Parameter("examples", 400, "ours: an epoch is what lies between two tests", "patterns an epoch", "patterns", low=1),
    Parameter("tests", 100, "ours", "test patterns", "patterns", low=2),
)

SELFPREDICTION = Experiment(
    name="selfprediction",
    title="lateral inhibition learns to cancel top-down input: apical dendrites fall silent (Fig. S1)",
    notes=__doc__,
    parameters=(
        *network.parameters(hidden=(20,), eta_W=(0.0, 0.0), eta_IP=(20.0,), eta_PI=(0.5,), source=OURS),
        *TASK_PARAMETERS,
        Parameter("outputs", 10, S25, "output cells", "cells", low=1),
    ),
    presets={
        "patterns": Preset(
            values={"lanes": (20, "ours"), "replicas": (5, "ours"), "epochs": (15, "ours")},
            inputs=30,
            duration="5 min",
            expect=(
                Expect(0.5, "Fig. S1: interneurons come to predict", RANDOM),
                Expect(0.15, "fixed point, but for noise", SELF_PREDICTING),
            ),
            task=lambda values, seed: patterns(values["outputs"], values, seed),
        )
    },
    build=build,
    conditions={RANDOM: {"start": RANDOM}, SELF_PREDICTING: {"start": SELF_PREDICTING}},
    factors=("start",),
    metric="nse",
    comparisons=(Comparison(SELF_PREDICTING, RANDOM, "section 2: the self-predicting state is a fixed point"),),
    neurons=cells.NEURONS,
    texts=network.TEXTS,
    figures=(figures.apical, figures.potentials, figures.lateral),
    check=network.check,
)
