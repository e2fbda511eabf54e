"""Every experiment of every model runs with all its conditions, and conditions are compared on equal terms."""

import json

import numpy as np
import pytest

from neurosim.plots import draw
from neurosim.runs import FILES
from neurosim_models.lillicrap_2016 import EXPERIMENTS

every_experiment = pytest.mark.parametrize("name", [each.name for each in EXPERIMENTS])


def of(metrics, column, condition, split, epoch):
    """Return a column's values over replicas."""
    which = (metrics["condition"] == condition) & (metrics["split"] == split) & (metrics["epoch"] == epoch)
    return metrics[column][which]


@every_experiment
def test_experiment_finishes_with_numbers_for_every_condition_replica_and_epoch(small, small_run, name):
    experiment, data, settings = small(name)
    run = small_run(name)
    assert run.record["status"] == "finished" and run.record["metric"] == experiment.metric
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == set(FILES)
    assert not list((run.folder / "checkpoint").iterdir())
    metrics, replicas = run.metrics(), int(settings["replicas"])
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    assert list(dict.fromkeys(metrics["condition"])) == list(run.record["conditions"]) == list(conditions)
    for condition, values in conditions.items():
        for epoch in range(1, values["epochs"] + 1):
            for split in ("train", "test"):
                assert of(metrics, "replica", condition, split, epoch).tolist() == list(range(replicas))
                found = of(metrics, experiment.metric, condition, split, epoch)
                assert np.isfinite(found).all() and (found >= 0).all()
        for file in ("traces.npz", "weights.npz"):
            arrays = run.of_condition(file, condition)
            assert all(np.isfinite(array).all() for array, _ in arrays.values() if array.dtype.kind == "f")
            assert all(len(array) == replicas for array, _ in arrays.values()) or file == "traces.npz"


@every_experiment
def test_summary_has_every_condition_and_split_in_the_last_epoch(small, small_run, name):
    experiment, *_ = small(name)
    run = small_run(name)
    metrics, final = run.metrics(), json.loads((run.folder / "summary.json").read_text())["final"]
    assert list(final) == list(run.record["conditions"])
    for condition, splits in final.items():
        for split in ("train", "test"):
            errors = of(metrics, experiment.metric, condition, split, metrics["epoch"].max())
            assert splits[split][experiment.metric] == errors.tolist() and splits[split]["n"] == len(errors)
            assert splits[split]["mean"] == pytest.approx(errors.mean())


@every_experiment
def test_every_figure_of_an_experiment_is_drawn(small, small_run, name):
    experiment, *_ = small(name)
    paths = draw(small_run(name), experiment.figures)
    assert [path.stem for path in paths] == list(experiment.figures)
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in paths)


@pytest.mark.parametrize("name", ["linear", "mnist", "deep", "phases"])
def test_conditions_start_from_the_same_networks_and_data(small, small_run, name):
    """Tested before they learn, conditions with the same layers err alike, replica by replica; after it they do not."""
    experiment, data, settings = small(name)
    run = small_run(name)
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    alike = {}
    for condition, values in conditions.items():
        alike.setdefault((values["hidden"], values.get("density")), []).append(condition)
    metrics, last = run.metrics(), int(settings["epochs"])
    assert max(map(len, alike.values())) > 1
    for same in alike.values():
        before, after = ([of(metrics, experiment.metric, each, "test", k) for each in same] for k in (0, last))
        assert all(np.array_equal(each, before[0]) for each in before)
        assert name == "mnist" or all((each != after[0]).all() for each in after[1:])


@pytest.mark.parametrize("name", ["linear", "mnist", "deep", "phases"])
def test_all_that_learns_has_learned_and_nothing_else(small, small_run, name):
    """W and b of all layers but for shallow and frozen ones; of two conditions with the same seed B is the same."""
    experiment, data, settings = small(name)
    run = small_run(name)
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    for condition, values in conditions.items():
        start = experiment.build(values, data, 3).projections
        after = run.of_condition("weights.npz", condition)
        assert after.keys() == start.keys()
        changed = {each for each in after if (after[each][0] != start[each].w).any()}
        hidden = [f"h{k}" for k in range(1, len(values["hidden"]) + 1)]
        learning = [] if values["algorithm"] == "shallow" else hidden[values.get("frozen", 0) :]
        kinds = "Wb" if "b_y" in after else "W"
        assert changed == {f"{kind}_{layer}" for kind in kinds for layer in [*learning, "y"]}
