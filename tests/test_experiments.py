"""Every experiment of every model runs with all its conditions, and conditions are compared on equal terms."""

import json

import numpy as np
import pytest
from every import EVERY

from neurosim.runs import FILES

every_experiment = pytest.mark.parametrize("name", EVERY)


def of(metrics, column, condition, split, epoch):
    """Return a column's values over replicas."""
    which = (metrics["condition"] == condition) & (metrics["split"] == split) & (metrics["epoch"] == epoch)
    return metrics[column][which]


@every_experiment
def test_experiment_finishes_with_numbers_for_every_condition_replica_and_epoch(small, small_run, name):
    experiment, data, settings = small(name)
    run = small_run(name)
    assert run.record["status"] == "finished" and run.record["metric"] == experiment.metric
    files = set(FILES) - ({"study.npz"} if experiment.study is None else set())
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == files
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


RATES = [f"lillicrap_2016.{name}" for name in ("linear", "mnist", "deep", "phases")]
LAYERS = [f"amit_2018.{name}" for name in ("mlp", "simpnet", "deepernet_s")]
DIFFERENT = "hidden", "density", "start", "width_first", "g_A"  # what else makes networks that start unlike


UNLIKE = (  # or only one, or so little learned that they still err alike
    ".spiking", ".circuit", ".selfprediction", ".regression", "krotov_2019.mnist", "krotov_2019.power",
    "krotov_2019.cifar",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in EVERY if not name.endswith(UNLIKE)])
def test_conditions_start_from_the_same_networks_and_data(small, small_run, name):
    """Tested before they learn, conditions with the same layers err alike, replica by replica; after it they do not."""
    experiment, data, settings = small(name)
    run = small_run(name)
    conditions = experiment.choose(experiment.resolve(data.name, settings), settings)
    alike = {}
    for condition, values in conditions.items():
        alike.setdefault(tuple(str(values.get(each)) for each in DIFFERENT), []).append(condition)
    metrics, last = run.metrics(), int(settings["epochs"])
    assert max(map(len, alike.values())) > 1
    for same in alike.values():
        before, after = ([of(metrics, experiment.metric, each, "test", k) for each in same] for k in (0, last))
        assert all(np.array_equal(each, before[0]) for each in before)
        assert experiment.metric == "error" or all((each != after[0]).all() for each in after[1:])


@pytest.mark.parametrize("name", RATES)
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


@pytest.mark.parametrize("name", LAYERS)
def test_forward_weights_learn_and_feedback_where_it_is_updated(small, small_run, name):
    """Untied weights are 0 until they take over those that are tied; of one name and density all start alike."""
    experiment, data, settings = small(name)
    run = small_run(name)
    for condition, values in experiment.choose(experiment.resolve(data.name, settings), settings).items():
        start = experiment.build(values, data, 3).projections
        after = {each: array for each, (array, _) in run.of_condition("weights.npz", condition).items()}
        assert after.keys() == start.keys()
        changed = {each for each in after if (after[each] != start[each].w).any()}
        untied = {each for each in after if each.endswith("_untied")}
        assert bool(untied) == (values.get("connections") == "untied")
        learning = "W" if values["algorithm"] == "fixed_feedback" else "WR"
        assert changed == {each for each in after if each[0] in learning} | untied
        assert any(each[0] == "R" for each in after) == (values["algorithm"] != "backprop")
