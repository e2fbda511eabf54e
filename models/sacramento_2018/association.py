"""Experiment  association (Fig. 1)
            A self-predicting 30-20-10 circuit is taught one target for one input pattern. The nudge makes apical
            potentials of the hidden area differ from zero; learning brings them back to it, since the output comes to
            predict its target, or since inhibition explains the top-down input away: which of the two decides the
            ratio of the learning rates.
Equations   see network; one pattern uniform in [-1, 1], a target potential uniform in [-1, 1] for every output cell
Symbols     see cells; error: squared error of the rates that the output's dendrites predict with the target's,
            normalised by the target's own distance from phi(0)
Theory      - Near rest the output's error decays at eta_W2 phi' lambda_out g_B / (g_lk + g_B) |r_1|^2, phi' = 0.0047,
              |r_1|^2 = 20 x 8e-5: 2.9e-6 eta_W2 per ms. What PI leaves of an apical potential decays at
              eta_PI |r^I|^2 = 2.4e-4 eta_PI. With equal rates, as published, inhibition is 80 times as fast: apical
              dendrites fall silent before anything has been learned, and the hidden area is taught nothing.
Departures  - Rates are larger than published (eta_W 5e4 times, see selfprediction), so that it takes 300 presentations.
              Noise moves weights the further the larger the rates are: with the published 0.1 the basal potentials
              wander within a pattern, and errors stay at 0.03. So sigma is 0.01.
            - Inhibition is slow in the condition microcircuit (0.025 per ms); published_ratio has eta_PI = eta_W2.
Expect      after 300 presentations, means over 5 replicas: error below 0.02; above 0.01 where inhibition is fast, and
            the hidden area's weights have changed by less
"""

import numpy as np

from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim.tasks import FunctionTask
from neurosim_models.sacramento_2018 import cells, figures, network
from neurosim_models.sacramento_2018.network import S25, Layers, RatesError

CIRCUIT, FAST = "microcircuit", "published_ratio"
OURS = "ours: the ratios of S25, 5e4 times as large"


class FromRestError(RatesError):
    """Squared error of rates, normalised by the distance of the targets from the rate at rest."""

    def read(self):
        """Return the rates of targets and of what dendrites predict, less phi(0), each (replicas, lanes, n)."""
        return tuple(each - network.rate(0.0, self.values) for each in super().read())

    @property
    def error(self):
        """The normalised squared error, shape (replicas,)."""
        spread = self._targets_squared.sum(axis=1)
        return np.divide(self._squared, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def task(values, seed):
    """Return one pattern, the same in all presentations, and each replica's own target for it."""
    inputs, outputs = values["inputs"], values["outputs"]
    pattern = np.random.default_rng(seed).uniform(-1, 1, inputs)

    def draw_function(generator):
        target = generator.uniform(-1, 1, outputs)
        return lambda x: np.tile(target, (len(x), 1))

    return FunctionTask(
        "association", inputs, outputs, lambda generator, count: np.tile(pattern, (count, 1)), draw_function,
        values["examples"], 1, seed, "Fig. 1: one pattern and one target; both drawn by us",
    )  # fmt: skip


def build(values, data, seed):
    """Return the circuit of a condition, with what its hidden area has learned as a measure."""

    def reads(layers: Layers):
        return FromRestError(layers.shown, layers.y, layers.values)

    circuit = network.build(values, data, seed, reads)
    w = circuit.projections["W_h1"]
    first = w.copy_of_weights()

    def moved():
        return np.sqrt(np.square(w.copy_of_weights() - first).mean(axis=(1, 2)))

    circuit.measures["moved_h1"] = (moved, "1")
    return circuit


ASSOCIATION = Experiment(
    name="association",
    title="one association: apical errors arise from a target, and vanish (Fig. 1)",
    notes=__doc__,
    parameters=(
        *network.parameters(hidden=(20,), eta_W=(59.375, 25.0), eta_IP=(59.375,), eta_PI=(0.025,), source=OURS),
        Parameter("inputs", 30, S25, "input cells", "cells", low=1),
        Parameter("outputs", 10, S25, "output cells", "cells", low=1),
        Parameter("examples", 20, "ours: an epoch is what lies between two tests", "presentations an epoch",
                  "presentations", low=1),
    ),
    presets={
        "association": Preset(
            values={
                "sigma": (0.01, "ours: see Departures"),
                "eta_PI": ((0.025,), "ours: slow beside eta_W, see Departures"),
                "replicas": (5, "ours"), "epochs": (15, "ours")},
            inputs=30,
            duration="3 min",
            expect=(
                Expect(0.02, "Fig. 1: the output reaches its target", CIRCUIT),
                Expect(None, "ours: explained away", FAST, least=0.01),
            ),
            task=task,
        )
    },
    build=build,
    conditions={CIRCUIT: {"eta_PI": (0.025,)}, FAST: {"eta_PI": (25.0,)}},
    factors=("eta_PI",),
    metric="nse",
    comparisons=(Comparison(CIRCUIT, FAST, "ours: fast inhibition explains the teaching signal away"),),
    neurons=cells.NEURONS,
    texts=network.TEXTS,
    figures=(figures.apical, figures.potentials, figures.learned),
    check=network.check,
)  # fmt: skip
