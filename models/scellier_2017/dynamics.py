"""Experiment  dynamics (sections 2 and 3)
            What happens while a network settles. The study takes a network with three hidden layers of 32 units that
            has learned a little and looks at every step: the energy falls, the nudge moves the output towards the
            target and travels down layer by layer, weights that change while it travels end where the contrastive
            update puts them. Training compares the two rules on digits, with traces of units early and late.
Equations   as in mnist;  stdp, in every step of the nudged phase:
            dw/dt = alpha / beta (drho_pre/dt rho_post + rho_pre drho_post/dt)
Symbols     as in mnist; drho/dt change of the activity in the last time step; rho in the rule is that halfway between
            the last two steps
Theory      - Euler steps go down the gradient of F. If epsilon < 2 / Lambda F falls in every step, see theory; that is
              sufficient, not needed. Far beyond it units flip together, up and down.
            - At rest nothing moves but the output, in the first nudged step by epsilon 2 beta (d - y). Layers see each
              other's last step, so the layer k below moves k steps later, by as much as epsilon W leads on each time.
              In continuous time all move at once, but the layer k below as time to the power k + 1.
            - drho_pre rho_post + rho_pre drho_post is the change of the product. With rho halfway the sum over steps is
              exactly rho_pre rho_post at the end less that at the start: the contrastive update. With rho from before
              the step, the sum of drho_pre drho_post is missing: in proportion to epsilon.
            - If the weights change meanwhile, they are w + alpha / beta (rho rho - rho rho at the start) all the while.
              This acts back on the units: for beta > 0 it drives them on, for beta < 0 it holds them back, about as
              strongly as alpha / beta |rho|^2, with |rho|^2 the squared activity of the layer below. So alpha has to be
              small beside beta.
Departures  - 32 to 50 units a layer; states start from 0 in every presentation and take all steps.
            - Learning rates are ours.
Expect      digits, means over 5 replicas after 8 epochs: at most 20 % test error with either rule and alpha = 0.04,
            0.02; with 0.1, 0.05 too for the contrastive rule, but at least 40 % for stdp, which runs away
"""

import numpy as np

from neurosim.errors import ParameterError
from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim.recording import Window
from neurosim_models.scellier_2017 import dynamics_figures, network
from neurosim_models.scellier_2017.dynamics_study import STDP, cells, study
from neurosim_models.scellier_2017.network import CENTRED, POSITIVE, RANDOM_SIGN

CONTRASTIVE, EVERY_STEP = "contrastive", "stdp"
OURS = "ours: few units"
UNITS, PRESENTATIONS = 6, 2  # of each layer, and how many presentations, in the traces


def build(values, data, seed):
    """Return the circuit of a condition, with traces of some units of every layer."""
    circuit = network.build(values, data, seed, cells(STDP) if values["rule"] == EVERY_STEP else network.Cells())
    for keep in ("first", "last"):
        chosen = {
            f"{name}.s": (
                population,
                "s",
                np.arange(min(UNITS, population.n)) if name != "y" else np.arange(population.n),
            )
            for name, population in circuit.populations.items()
            if name != "x"
        }
        y = circuit.populations["y"]
        chosen["y.target"] = (y, "target", np.arange(y.n))
        circuit.windows[keep] = Window(circuit.presentation, chosen, PRESENTATIONS, keep, name=f"window_{keep}")
        circuit.network.add(circuit.windows[keep])
    return circuit


def check(values):
    """Refuse values that do not go together."""
    network.check(values)
    if values["rule"] == EVERY_STEP and (values["nudging"] == CENTRED or values["decay"]):
        raise ParameterError(
            f"rule: {EVERY_STEP} follows one nudged phase and has no decay; set nudging={RANDOM_SIGN} or {POSITIVE}, "
            f"and decay=0, or rule={CONTRASTIVE}"
        )


SMALL, FAST = (0.04, 0.02), (0.1, 0.05)  # alpha: ours, and that of the authors' code
CONDITIONS = {
    CONTRASTIVE: {"rule": CONTRASTIVE, "alpha": SMALL},
    EVERY_STEP: {"rule": EVERY_STEP, "alpha": SMALL},
    "contrastive_fast": {"rule": CONTRASTIVE, "alpha": FAST},
    "stdp_fast": {"rule": EVERY_STEP, "alpha": FAST},
}

DYNAMICS = Experiment(
    name="dynamics",
    title="a network that settles, is nudged, and changes its weights meanwhile",
    notes=__doc__,
    parameters=(
        *network.parameters("authors' code, net1"),
        Parameter(
            "rule",
            CONTRASTIVE,
            "section 2: the update; Bengio et al. 2015: its form in continuous time",
            "weights change at the end of the nudged phase, or in each of its steps",
            choices=(CONTRASTIVE, EVERY_STEP),
        ),
    ),
    presets={
        "digits": Preset(
            values={
                "hidden": ((50,), OURS),
                "nudging": (RANDOM_SIGN, "authors' code"),
                "free_steps": (60, "ours: states start from 0"),
                "nudged_steps": (15, "ours"),
                "persistent": ("no", "ours: so that traces show the way"),
                "tolerance": (0.0, "ours: traces of one length"),
                "lanes": (20, "authors' code"),
                "replicas": (5, "ours"),
                "epochs": (8, "ours"),
            },
            inputs=64,
            duration="2 min",
            expect=(
                *(Expect(0.2, "it learns", name) for name in CONDITIONS if name != "stdp_fast"),
                Expect(None, "units are driven on by their own changes", "stdp_fast", least=0.4),
            ),
        ),
    },
    build=build,
    conditions=CONDITIONS,
    factors=("rule",),
    comparisons=(
        Comparison(EVERY_STEP, CONTRASTIVE, "ours: the same update for small alpha", alike=True),
        Comparison("contrastive_fast", "stdp_fast", "ours: changes act back on the units"),
    ),
    neurons=network.NEURONS | {"hidden, stdp": cells(STDP).hidden, "output, stdp": cells(STDP).output},
    texts=network.TEXTS | {"W, b rule, stdp": STDP},
    figures=(
        dynamics_figures.energy,
        dynamics_figures.nudge,
        dynamics_figures.first_movement,
        dynamics_figures.weight_changes,
        dynamics_figures.traces,
        "learning",
    ),
    study=study,
    check=check,
)
