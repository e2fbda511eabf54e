"""Every experiment of every model reaches, with all its defaults, what its presets say that it must."""

import functools

import brian2
import pytest
from every import EVERY

from neurosim import data
from neurosim.errors import DataError
from neurosim.training import train

pytestmark = pytest.mark.slow

FEW = {  # fewer replicas: on MNIST, or in continuous time, one takes minutes to hours
    "lillicrap_2016.spiking", "amit_2018.circuit", "krotov_2019.dynamics", "krotov_2019.digits", "krotov_2019.mnist",
    "scellier_2017.mnist", "bartunov_2018.mnist_fc",
}  # fmt: skip


@functools.cache
def learned(name, preset, condition):
    """Return the errors of the last epoch with all defaults, split to array over replicas."""
    experiment = EVERY[name]
    task = experiment.presets[preset].task
    defaults = experiment.resolve(preset, {})
    examples = task(defaults, 1) if task else data.load(preset)
    conditions = experiment.choose(defaults)
    values = conditions[condition or next(iter(conditions))]
    brian2.seed(1)
    for epoch in train(experiment.build(values, examples, 1), examples, values["epochs"], 1):  # noqa: B007
        pass
    return {"train": epoch.train_error, "test": epoch.test_error}


EXPECTED = [
    pytest.param(name, preset, expect, id=f"{name}-{preset}-{expect.condition}")
    for name, each in EVERY.items()
    for preset in each.presets
    for expect in each.presets[preset].expect
]


@pytest.mark.parametrize(("name", "preset", "expect"), EXPECTED)
def test_defaults_reach_what_the_model_expects(name, preset, expect):
    try:
        errors = learned(name, preset, expect.condition)[expect.split]
    except DataError as error:
        pytest.skip(str(error))
    assert expect.holds(errors.mean()), errors
    assert len(errors) >= (3 if preset in ("mnist", "matrix", "cifar10") else 5) or name in FEW
