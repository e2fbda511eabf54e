"""All experiments of all models, by the names that the command line has for them, and small settings for each."""

import importlib
from pathlib import Path

import numpy as np
from brian2 import second

from neurosim import data
from neurosim.data import DataSet

MODELS = sorted(path.parent.name for path in (Path(__file__).parent.parent / "models").glob("*/__init__.py"))
EVERY = {
    f"{model}.{each.name}": each
    for model in MODELS
    for each in importlib.import_module(f"neurosim_models.{model}").EXPERIMENTS
}

# What makes an experiment small: fewer neurons, examples and epochs, and of the networks that are costly to build fewer
# conditions. Data are 60 digits, a small function, or 20 random images in the place of CIFAR-10.
FUNCTION = {"inputs": "6", "outputs": "4", "examples": "20", "tests": "30"}
SMALL = {
    "lillicrap_2016.linear": FUNCTION | {"hidden": "5", "epochs": "2"},
    "lillicrap_2016.mnist": {"hidden": "20", "lanes": "5", "epochs": "2"},
    "lillicrap_2016.deep": FUNCTION | {"lanes": "5", "epochs": "2"},
    "lillicrap_2016.spiking": {
        "hidden": "20,15", "output": "10", "copies": "1", "lanes": "10", "steps": "4", "epochs": "2",
    },
    "lillicrap_2016.phases": FUNCTION | {"hidden": "30", "lanes": "5", "phases": "1,1,1", "epochs": "3"},
    "amit_2018.mlp": {"lanes": "5", "epochs": "2", "density": "1"},
    "amit_2018.simpnet": {"lanes": "10", "epochs": "2"},
    "amit_2018.deepernet": {"lanes": "10", "epochs": "1", "loss": "hinge", "density": "1"},
    "amit_2018.deepernet_s": {"lanes": "10", "epochs": "2", "algorithm": "updated_feedback"},
    "krotov_2019.mnist": {"hidden": "10", "lanes": "10", "epochs": "4"},
    "krotov_2019.power": {"hidden": "10", "lanes": "10", "epochs": "4"},
    "krotov_2019.cifar": {"hidden": "10", "lanes": "10", "epochs": "4", "unsupervised": "0.5"},
    "amit_2018.circuit": {"hidden": "10", "lanes": "20", "epochs": "2"},
    "amit_2018.linear": {
        "inputs": "6", "hidden": "5,5", "outputs": "4", "lanes": "6", "iterations": "20", "epochs": "2",
    },
    "bartunov_2018.mnist_fc": {"hidden": "8,7", "auxiliary": "6", "lanes": "10", "epochs": "2"},
    "bartunov_2018.mnist_local": {"algorithm": "sdtp", "lanes": "10", "epochs": "2"},
    "bartunov_2018.cifar_fc": {"algorithm": "sdtp", "hidden": "8,7", "lanes": "10", "epochs": "2"},
    "bartunov_2018.cifar_local": {"algorithm": "dtp", "lanes": "10", "epochs": "2"},
    "krotov_2019.dynamics": {"hidden": "10", "lanes": "20", "hold": "60*ms", "dt": "1*ms", "epochs": "2"},
    "krotov_2019.digits": {
        "hidden": "20", "lanes": "20", "hold": "25*ms", "tau": "2*ms", "dt": "0.2*ms", "tau_L": "1*second",
        "unsupervised": "0.5", "epochs": "4",
    },
    "scellier_2017.dynamics": {"hidden": "6", "lanes": "20", "free_steps": "8", "nudged_steps": "4", "epochs": "1"},
    "scellier_2017.gradient": {"hidden": "6", "lanes": "20", "free_steps": "8", "nudged_steps": "4", "epochs": "1"},
    "scellier_2017.mnist": {"lanes": "10", "free_steps": "6", "nudged_steps": "2", "epochs": "1"},
    "scellier_2017.digits": {"lanes": "20", "free_steps": "10", "nudged_steps": "4", "epochs": "1"},
    "scellier_2017.spiking": {"hidden": "10", "lanes": "30", "beta": "1", "tau_r": "10*ms", "epochs": "1"},
    "scellier_2017.symmetry": {"lanes": "20", "free_steps": "10", "epochs": "1"},
    "sacramento_2018.selfprediction": FUNCTION | {"hidden": "6", "lanes": "10", "pattern": "5*ms", "epochs": "2"},
    "sacramento_2018.association": {
        "hidden": "6", "inputs": "6", "outputs": "4", "examples": "3", "pattern": "5*ms", "epochs": "2",
    },
    "sacramento_2018.regression": FUNCTION | {"hidden": "6", "lanes": "10", "pattern": "20*ms", "epochs": "2"},
    "sacramento_2018.disinhibition": {"hidden": "6", "lanes": "20", "shares": "1,0.1", "epochs": "2"},
    "sacramento_2018.mnist": {"hidden": "6,5", "lanes": "20", "epochs": "2"},
    "sacramento_2018.gradient": {"hidden": "6", "lanes": "20", "pattern": "5*ms", "tested": "5*ms", "epochs": "1"},
    "sacramento_2018.digits": {"hidden": "6", "lanes": "20", "tested": "5*ms", "epochs": "1"},
}  # fmt: skip


# What makes a study coarse: module of the model, and its constants.
COARSE = {
    "amit_2018.linear": (
        "linear_study", {"STEPS": 100, "POINTS": 50, "SIZES": 3, "RANDOM": 4, "LADDER": np.array([0, 1.0])},
    ),
    "amit_2018.circuit": ("circuit_study", {"GRID": 4, "FIELDS": 16}),
    "bartunov_2018.mnist_fc": ("inverse_study", {"UNITS": 12, "CLASSES": 4, "LANES": 20, "LOOKS": 3}),
    "krotov_2019.dynamics": ("dynamics_study", {
        "HIDDEN": 12, "PASSES": 1, "LANES": 20, "STRENGTHS": np.array([0, 0.9]), "FINE": np.array([0, 0.9]),
        "ALONE_WINS": np.array([0.9, 1.2]), "GRID": 3, "SHOWN": 5, "LONG": 0.2 * second,
    }),
    "sacramento_2018.disinhibition": ("disinhibition_study", {"IMAGES": 4, "SETTLING": 5, "LASTING": 5}),
    "sacramento_2018.gradient": (
        "gradient_study", {"DEPTHS": {2: (5, 4)}, "LAMBDAS": np.array([0.001, 0.01, 0.1, 0.2]), "EXAMPLES": 2},
    ),
    "scellier_2017.dynamics": ("dynamics_study", {
        "DEPTHS": {3: ((6, 6, 6), (0.4, 0.1, 0.05, 0.02), 1)}, "EXAMPLES": 60, "LANES": 2, "AMONG": 9, "MOST": 50,
        "FREE": 10, "NUDGED": 5, "GAINS": (1.0,), "EPSILONS": (0.5,), "LADDER": (0.5,), "ALPHAS": (1e-3,),
    }),
    "scellier_2017.gradient": ("gradient_study", {
        "DEPTHS": {2: ((6, 6), (0.4, 0.1, 0.02), 1)}, "EXAMPLES": 60, "BATCH": 2, "AMONG": 9, "MOST": 50,
        "BETAS": np.array([1e-3, 1e-2]), "LADDER": (4,),
    }),
    "scellier_2017.spiking": (
        "spiking_study", {"TIMES": (3,), "NUDGES": (0.1, 1.0), "COPIES": 2, "LONG": 1, "LONGEST": 10},
    ),
}  # fmt: skip


def small_data(experiment, settings, seed, pictures):
    """Return few examples for an experiment: of its task, digits, or random images in the place of CIFAR-10."""
    preset = next(iter(experiment.presets))
    task = experiment.presets[preset].task
    if task is not None:
        return task(experiment.resolve(preset, settings), seed)
    if preset == "digits":
        return data.load(preset).limit(60)
    side = 14 if experiment.name == "deepernet_s" else 8  # which leaves its last images more than one window
    few = pictures(n_inputs=side * side * 3, n_classes=10, train=20, test=10)
    arrays = few.train_images, few.train_labels, few.test_images, few.test_labels
    return DataSet(preset, *arrays, 10, (side, side, 3), "drawn")
