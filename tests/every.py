"""All experiments of all models, by the names that the command line has for them, and small settings for each."""

import importlib
from pathlib import Path

import numpy as np

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
    "amit_2018.circuit": {"hidden": "10", "lanes": "20", "epochs": "2"},
    "amit_2018.linear": {
        "inputs": "6", "hidden": "5,5", "outputs": "4", "lanes": "6", "iterations": "20", "epochs": "2",
    },
}  # fmt: skip


# What makes a study coarse: module of the model, and its constants.
COARSE = {
    "amit_2018.linear": (
        "linear_study", {"STEPS": 100, "POINTS": 50, "SIZES": 3, "RANDOM": 4, "LADDER": np.array([0, 1.0])},
    ),
    "amit_2018.circuit": ("circuit_study", {"GRID": 4, "FIELDS": 16}),
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
