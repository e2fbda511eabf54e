"""Experiment  power (Fig. 4)
            The features of mnist are learned once; top layers with powers n of 1, 2, 3, 4.5, 6 and 8 learn from them
            side by side, each with weights and errors of its own.
Equations   f_n = max(W v / a, 0)^n    c_n = tanh(b_n S_n f_n)    each S_n by Adam on its own loss |c_n - t|^m
Symbols     as in mnist
Departures  Those of mnist. In the paper every power has hyperparameters of its own, which are not printed; here every
            power has its beta, the best of a few that does not saturate tanh for good, and all else is the same. 300
            epochs with labels, as in mnist, and not 500.
Expect      As in Fig. 4, features that are neither linear nor close to a winner that takes all do best
"""

from dataclasses import replace

from neurosim.experiment import Experiment
from neurosim_models.krotov_2019 import fast, figures
from neurosim_models.krotov_2019.mnist import PRESETS

POWERS = {1.0: 200.0, 2.0: 500.0, 3.0: 1000.0, 4.5: 1500.0, 6.0: 1500.0, 8.0: 1500.0}  # n to beta


def build(values, data, seed):
    """Return the circuit: ``n`` is the power whose errors are the run's, beside those of :data:`POWERS`."""
    fast.check(values)
    several = {values["n"]: values["beta"]} | {n: beta for n, beta in POWERS.items() if n != values["n"]}
    powers = {f"S_{f'{n:g}'.replace('.', '_')}": (n, beta) for n, beta in several.items()}
    return fast.competing(fast.Shapes(values, data, seed), powers)


POWER = Experiment(
    name="power",
    title="the power of the features: neither linear nor a winner that takes all (Fig. 4)",
    notes=__doc__,
    parameters=tuple(p for p in fast.PARAMETERS if p.name != "algorithm"),
    presets={name: replace(preset, expect=()) for name, preset in PRESETS.items()},
    build=build,
    check=fast.check,
    conditions={"p4": {"p": 4.0}},
    factors=("p",),
    neurons={name: each for name, each in fast.NEURONS.items() if name != "hidden, end to end"},
    texts={name: text for name, text in fast.TEXTS.items() if not name.startswith("end to end")},
    figures=(figures.powers, figures.feature_images),
)
