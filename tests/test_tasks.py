"""A function to learn and its examples are decided by the seed and the replica, and by nothing else."""

import dataclasses

import numpy as np
import pytest

from neurosim.tasks import FunctionTask
from neurosim_models.lillicrap_2016 import EXPERIMENTS

MADE = [each for each in EXPERIMENTS if any(preset.task for preset in each.presets.values())]
every_task = pytest.mark.parametrize("name", [each.name for each in MADE])


def draw_inputs(generator, count):
    return generator.normal(size=(count, 3))


def draw_function(generator):
    matrix = generator.normal(size=(3, 2))
    return lambda x: x @ matrix


@pytest.fixture
def task():
    """Random linear functions of three inputs: five training examples an epoch and four to test."""
    return FunctionTask("matrix", 3, 2, draw_inputs, draw_function, examples=5, tests=4, seed=7, source="ours")


def test_epochs_and_tests_have_the_sizes_asked_for(task):
    for arrays, count in ((task.training(1, 6), 5), (task.testing(6), 4)):
        assert [array.shape for array in arrays] == [(6, count, 3), (6, count, 2)]


def test_targets_are_one_function_of_the_inputs_in_all_epochs_and_the_test(task):
    """Least squares over all of a replica's examples leaves nothing: one matrix gives them all, another in each."""
    matrices = []
    for replica in range(3):
        parts = [task.training(epoch, 3) for epoch in (1, 2, 3)] + [task.testing(3)]
        x, y = (np.concatenate([part[k][replica] for part in parts]) for k in (0, 1))
        matrix, *_ = np.linalg.lstsq(x, y)
        np.testing.assert_allclose(x @ matrix, y, atol=1e-12)
        matrices.append(matrix)
    assert all(np.abs(one - other).max() > 0.1 for one, other in zip(matrices, matrices[1:], strict=False))


def test_same_seed_gives_the_same_examples_and_another_seed_others(task):
    again, other = dataclasses.replace(task), dataclasses.replace(task, seed=8)
    for draw in (lambda t: t.training(2, 3), lambda t: t.testing(3)):
        for one, same, different in zip(draw(task), draw(again), draw(other), strict=True):
            np.testing.assert_array_equal(one, same)
            assert (one != different).all()


def test_streams_differ_between_replicas_epochs_and_the_test(task):
    """No example is shown twice: not in another replica, epoch or test, not even as what came first or last."""
    streams = [task.training(epoch, 4)[0] for epoch in range(5)] + [task.testing(4)[0]]
    shown = np.concatenate([stream.reshape(-1, 3) for stream in streams])
    assert len(np.unique(shown, axis=0)) == len(shown) == 4 * (5 * 5 + 4)


@pytest.mark.parametrize("replicas", [1, 2, 9])
def test_replica_is_the_same_however_many_there_are(task, replicas):
    for few, many in ((task.training(3, replicas), task.training(3, 10)), (task.testing(replicas), task.testing(10))):
        for one, other in zip(few, many, strict=True):
            np.testing.assert_array_equal(one, other[:replicas])


def test_number_of_examples_has_no_part_in_the_function(task):
    """A longer epoch begins as a shorter one does, and teaches the same function."""
    longer = dataclasses.replace(task, examples=11)
    for one, other in zip(task.training(1, 2), longer.training(1, 2), strict=True):
        np.testing.assert_allclose(one, other[:, :5], rtol=1e-12)


def test_hash_changes_with_seed_and_function_and_with_nothing_else(task):
    def steeper(generator):
        matrix = 2 * generator.normal(size=(3, 2))
        return lambda x: x @ matrix

    assert task.sha256 == dataclasses.replace(task).sha256 and len(task.sha256) == 64
    others = [dataclasses.replace(task, seed=8), dataclasses.replace(task, draw_function=steeper)]
    others.append(dataclasses.replace(task, draw_inputs=lambda generator, count: generator.uniform(size=(count, 3))))
    assert len({task.sha256, *(other.sha256 for other in others)}) == 4


@every_task
def test_tasks_of_the_models_are_decided_by_the_seed(small, name):
    _, one, _ = small(name, seed=3)
    _, same, _ = small(name, seed=3, replicas="5")
    _, other, _ = small(name, seed=4)
    assert one.sha256 == same.sha256 != other.sha256
    x, y = one.training(1, 2)
    assert x.shape == (2, one.examples, one.inputs) and y.shape == (2, one.examples, one.outputs)
    assert np.isfinite(x).all() and np.isfinite(y).all() and (y.std(axis=1) > 0.01).all()


def test_linear_functions_are_linear(small):
    """y(x) of any example is the sum of what its parts have: least squares without a constant leaves nothing."""
    _, task, _ = small("linear", examples="40")
    x, y = task.training(1, 1)
    matrix, *_ = np.linalg.lstsq(x[0], y[0])
    np.testing.assert_allclose(x[0] @ matrix, y[0], atol=1e-12)
    assert np.abs(matrix).max() <= 1


def test_quadratic_functions_are_quadratic_forms(small):
    """They are sums over products of two inputs, which lie in [-2, 2]; nothing linear or constant is left."""
    _, task, _ = small("phases", inputs="3", examples="40")
    x, y = (array[0] for array in task.training(1, 1))
    products = np.einsum("ti,tj->tij", x, x).reshape(len(x), -1)
    q, *_ = np.linalg.lstsq(products, y)  # the smallest of all Q alike: symmetric
    np.testing.assert_allclose(products @ q, y, atol=1e-10)
    assert np.abs(x).max() <= 2 and np.abs(q).max() <= 0.5
    assert np.abs(y - x @ np.linalg.lstsq(x, y)[0]).max() > 0.1


def test_teacher_is_bounded_where_its_hidden_neurons_saturate(small):
    """Tanh hidden neurons send at most 1, so that no output exceeds the sum of its ten weights of at most 0.5."""
    _, task, _ = small("deep")
    function = task.draw_function(np.random.default_rng(1))
    x = np.random.default_rng(2).normal(size=(50, 6))
    assert np.abs(function(1e6 * x)).max() <= 10 * 0.5
    np.testing.assert_allclose(function(1e6 * x), function(1e9 * x), rtol=1e-6)
    assert np.abs(function(x) + function(-x)).max() < 1e-12, "without biases the function is odd"
