"""A run is kept as it was: its parameters, numbers and arrays agree with one another, however it ended."""

import csv
import dataclasses
import json
import os
import re
import signal
from datetime import datetime

import brian2
import numpy as np
import pytest
import scipy
from scipy import stats

from neurosim import data
from neurosim.errors import DivergedError, ParameterError, RunError
from neurosim.runs import FILES, Run
from neurosim.simulate import simulate
from neurosim_models.lillicrap_2016 import SPIKING

MODEL, CONDITION = "lillicrap_2016.spiking", "feedback_alignment"
SETTINGS = {"hidden": "20,15", "output": "10", "epochs": "2", "replicas": "3", "lanes": "5", "steps": "4"}
EPOCHS, REPLICAS, LANES, STEPS, LIMIT, TEST = 2, 3, 5, 4, 102, 360
WHOLE = LIMIT // LANES * LANES  # examples of an epoch: those of the incomplete last group are left out
TINY = {"hidden": "20,20", "output": "10", "epochs": "1", "replicas": "2", "lanes": "10"}


def carry_out(folder, settings, seed=1, limit=100, **more):
    examples = data.load("digits").limit(limit)
    return simulate(MODEL, SPIKING, examples, SPIKING.resolve("digits", settings), seed, folder, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, opened from its folder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    carry_out(folder, {**SETTINGS, "dt": "2*ms"}, seed=5, limit=LIMIT)
    return Run.open(folder)


@pytest.fixture(scope="module")
def rows(run):
    with (run.folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def strict(path):
    """Read JSON as the standard has it: without NaN and Infinity, which Python alone writes and reads."""

    def refuse(word):
        raise ValueError(f"{path}: {word} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


# run.json


def test_every_parameter_is_kept_with_value_unit_and_source(run):
    kept = strict(run.folder / "run.json")["parameters"]
    known = SPIKING.parameters_for("digits")
    set_by_user = {"hidden", "output", "epochs", "replicas", "lanes", "steps", "dt"}
    assert kept.keys() == known.keys()
    for name, parameter in known.items():
        assert kept[name].keys() == {"value", "unit", "source"}
        assert kept[name]["source"] == ("set by the user" if name in set_by_user else parameter.source)
        if name not in set_by_user:
            assert (kept[name]["value"], kept[name]["unit"]) == (parameter.value, parameter.unit)
    assert kept["hidden"] == {"value": [20, 15], "unit": "neurons", "source": "set by the user"}
    assert (kept["dt"]["value"], kept["dt"]["unit"]) == (0.002, "s")
    assert kept["eta"] == {"value": 0.03, "unit": "1/step", "source": known["eta"].source}


def test_small_change_by_the_user_is_the_users(tmp_path):
    kept = carry_out(tmp_path / "run", {**TINY, "eta": "0.0300000001"}).record["parameters"]["eta"]
    assert kept["value"] == 0.0300000001 and kept["source"] == "set by the user"


def test_seed_data_versions_target_host_times_and_status_are_kept(run):
    record = strict(run.folder / "run.json")
    used = data.load("digits").limit(LIMIT)
    assert (record["model"], record["seed"], record["target"], record["status"]) == (MODEL, 5, "numpy", "finished")
    assert record["data"] == {
        "name": "digits", "source": used.source, "sha256": used.sha256, "train": LIMIT, "test": TEST,
        "asked": {"data": "digits"},
    }  # fmt: skip
    versions = record["versions"]
    found = (versions["brian2"], versions["numpy"], versions["scipy"])
    assert found == (brian2.__version__, np.__version__, scipy.__version__)
    assert record["host"]["cores"] == os.cpu_count()
    started, ended = (datetime.fromisoformat(record["times"][name]) for name in ("started", "ended"))
    assert started <= ended
    assert 0 < record["times"]["first_presentation_s"]
    assert abs((ended - started).total_seconds() - record["times"]["wall_s"]) < 2
    assert [each["text"] for each in record["published"]] == [each.text for each in SPIKING.published]
    assert (record["metric"], record["conditions"]) == ("error", {CONDITION: {}})


def test_run_holds_the_files_that_it_promises_and_no_others(run):
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == set(FILES) - {"study.npz"}
    log = (run.folder / "log.txt").read_text().splitlines()
    told = re.compile(rf"{CONDITION}, epoch (\d+): train error ([\d.]+), test ([\d.]+)$")
    assert [told.search(line)[1] for line in log[1:]] == ["1", "2"]


# metrics.csv and summary.json


def test_metrics_have_one_row_for_each_epoch_replica_and_split(rows):
    columns = ["condition", "epoch", "replica", "split", "examples", "error", "angle_h1", "angle_h2"]
    assert list(rows[0]) == columns and {row["condition"] for row in rows} == {CONDITION}
    expected = [(str(e), str(r), s) for e in (1, 2) for r in range(REPLICAS) for s in ("train", "test")]
    assert [(row["epoch"], row["replica"], row["split"]) for row in rows] == expected
    for row in rows:
        assert int(row["examples"]) == int(row["epoch"]) * WHOLE
        wrong = float(row["error"]) * (WHOLE if row["split"] == "train" else TEST)
        assert wrong == pytest.approx(round(wrong), abs=1e-6), "an error is a number of wrong guesses"
        for angle in (row["angle_h1"], row["angle_h2"]):
            assert (angle == "") if row["split"] == "test" else 0 < float(angle) < 180


def test_summary_is_mean_and_t_interval_of_the_last_epochs_errors(run, rows):
    summary = strict(run.folder / "summary.json")
    for split in ("train", "test"):
        errors = [float(row["error"]) for row in rows if row["split"] == split and row["epoch"] == str(EPOCHS)]
        final = summary["final"][CONDITION][split]
        half = stats.t.ppf(0.975, REPLICAS - 1) * np.std(errors, ddof=1) / np.sqrt(REPLICAS)
        mean = sum(errors) / REPLICAS
        assert (final["epoch"], final["n"], final["error"]) == (EPOCHS, REPLICAS, errors)
        assert [final["mean"], final["low"], final["high"]] == pytest.approx([mean, mean - half, mean + half])
    assert summary["metric"] == "error"
    assert [each["value"] for each in summary["published"]] == [each.value for each in SPIKING.published]
    assert all(each["same_data"] is False for each in summary["published"])


def test_summary_of_one_replica_is_json_without_an_interval(tmp_path):
    run = carry_out(tmp_path / "run", {**TINY, "replicas": "1"})
    final = strict(run.folder / "summary.json")["final"][CONDITION]["test"]
    assert final["n"] == 1 and final["mean"] == final["error"][0]
    assert final.get("low") is None and final.get("high") is None


# traces.npz and weights.npz


def test_every_array_is_numbers_or_text_with_its_unit(run):
    for file in ("traces.npz", "weights.npz"):
        with np.load(run.folder / file, allow_pickle=False) as stored:
            units = {name for name in stored if name.startswith("unit of ")}
            assert units == {f"unit of {name}" for name in stored if name not in units}
            assert all(stored[name].dtype.kind in "fiuU" for name in stored)
        assert all(name.removeprefix("unit of ").startswith(f"{CONDITION}/") for name in stored)
    units = {name: unit for name, (_, unit) in run.of_condition("traces.npz").items()}
    assert units["first/time"] == units["last/time"] == "s"
    assert units["angles/angle"] == "degree"
    assert {units[name] for name in units if name.endswith((".s", ".v", ".m"))} == {"1"}


def test_weights_have_the_shapes_of_the_network(run):
    weights = run.of_condition("weights.npz")
    sizes = {"x": 64 * 4, "h1": 20, "h2": 15, "y": 10}
    forward = zip(("x", "h1", "h2"), ("h1", "h2", "y"), strict=True)
    shapes = {f"W_{here}": (REPLICAS, sizes[below], sizes[here]) for below, here in forward}
    shapes |= {f"b_{here}": (REPLICAS, 1, sizes[here]) for here in ("h1", "h2", "y")}
    shapes |= {f"B_{here}": (REPLICAS, sizes[above], sizes[here]) for here, above in (("h1", "h2"), ("h2", "y"))}
    assert {name: array.shape for name, (array, _) in weights.items()} == shapes
    for array, unit in weights.values():
        assert np.isfinite(array).all() and unit == "1"
        assert all((array[k] != array[0]).any() for k in range(1, REPLICAS)), "replicas are networks of their own"


def test_learning_changes_forward_weights_and_nothing_else(run, tmp_path):
    """With eta = gamma = 0 the weights are those of the seed; feedback B is the same with learning and without."""
    frozen = carry_out(tmp_path / "run", {**SETTINGS, "eta": "0", "gamma": "0", "epochs": "1"}, seed=5, limit=LIMIT)
    before, after = frozen.of_condition("weights.npz"), run.of_condition("weights.npz")
    for name, (array, _) in before.items():
        assert np.array_equal(array, after[name][0]) == name.startswith("B_")
        width = SPIKING.parameters_for("digits")["b_width" if name.startswith("B_") else "w_width"].value
        assert np.abs(array).max() <= width
        assert array.size < 1000 or array.std() == pytest.approx(width / np.sqrt(3), rel=0.05)


def test_testing_teaches_nothing(tmp_path):
    """However many test examples there are, weights after the epoch before them are the same."""
    digits, found = data.load("digits").limit(100), []
    for n in (10, 360):
        some = dataclasses.replace(digits, test_images=digits.test_images[:n], test_labels=digits.test_labels[:n])
        run = simulate(MODEL, SPIKING, some, SPIKING.resolve("digits", TINY), 1, tmp_path / str(n))
        found.append({name: array for name, (array, _) in run.of_condition("weights.npz").items()})
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name], err_msg=name)


def test_windows_hold_the_first_and_the_last_presentations_step_by_step(run):
    traces, dt, kept = {name: array for name, (array, _) in run.of_condition("traces.npz").items()}, 0.002, 12
    assert traces["steps"] == STEPS
    an_epoch = WHOLE // LANES + TEST // LANES  # presentations; those of the test are not recorded
    last = an_epoch * (EPOCHS - 1) + WHOLE // LANES - kept
    for window, start in (("first", 0), ("last", last)):
        expected = (start * STEPS + np.arange(kept * STEPS)) * dt
        np.testing.assert_allclose(traces[f"{window}/time"], expected, rtol=0, atol=1e-9)
        shown = traces[f"{window}/shown"].reshape(kept, STEPS)
        assert (shown == shown[:, :1]).all() and len(set(shown[:, 0])) == kept, "a new image every `steps` steps"
        assert shown.min() >= 0 and shown.max() < WHOLE + LANES
        spikes = {name: traces[name] for name in traces if re.fullmatch(rf"{window}/\w+\.s", name)}
        assert {name.split("/")[1] for name in spikes} == {"x.s", "h1.s", "h2.s", "y.s"}
        for name, values in spikes.items():
            assert set(np.unique(values)) == {0, 1}, f"{name} is not silent and not always on"
            assert len(values) == kept * STEPS and values.shape[1] <= 40


def test_input_spikes_only_where_the_image_has_ink(run):
    """An input neuron's spike probability is 0.95 times its pixel: none at 0, and 0.95 x on average."""
    images = data.load("digits").limit(LIMIT).train_images
    spikes, shown = (run.of_condition("traces.npz")[f"last/{name}"][0] for name in ("x.s", "shown"))
    units = np.linspace(0, 64 * 4 - 1, 40).astype(int)
    pixels = images[shown][:, units // 4]
    assert not spikes[pixels == 0].any()
    variance = (0.95 * pixels * (1 - 0.95 * pixels)).sum()
    assert abs(spikes.sum() - 0.95 * pixels.sum()) < 4 * np.sqrt(variance)


def test_confusion_counts_the_test_examples_and_gives_the_error(run, rows):
    confusion = run.of_condition("traces.npz")["confusion"][0]
    labels = np.bincount(data.load("digits").test_labels, minlength=10)
    assert confusion.shape == (REPLICAS, 10, 10)
    np.testing.assert_array_equal(confusion.sum(axis=2), np.tile(labels, (REPLICAS, 1)))
    errors = [float(row["error"]) for row in rows if row["split"] == "test" and row["epoch"] == str(EPOCHS)]
    assert errors == pytest.approx(1 - np.trace(confusion, axis1=1, axis2=2) / TEST)


def test_angles_are_kept_along_the_way(run, rows):
    traces = {name: array for name, (array, _) in run.of_condition("traces.npz").items()}
    at, angles = traces["angles/examples"], traces["angles/angle"]
    assert angles.shape == (len(at), 2, REPLICAS) and traces["angles/layers"].tolist() == ["h1", "h2"]
    assert (np.diff(at) > 0).all() and (at % LANES == 0).all() and WHOLE < at[-1] <= EPOCHS * WHOLE
    last = [[float(row[f"angle_h{k}"]) for row in rows[-2 * REPLICAS :: 2]] for k in (1, 2)]
    np.testing.assert_allclose(angles[-1], last)


# Seeds and limits


def results(run):
    arrays = {file: run.of_condition(file) for file in ("weights.npz", "traces.npz")}
    flat = {f"{file}: {name}": array for file, found in arrays.items() for name, (array, _) in found.items()}
    return (run.folder / "metrics.csv").read_bytes(), flat


def test_seed_decides_everything(tmp_path):
    first_metrics, first = results(carry_out(tmp_path / "first", TINY, seed=3))
    np.random.seed(0)  # noqa: NPY002 - someone else's draws must not matter
    brian2.seed(99)
    np.random.random(7)  # noqa: NPY002
    again_metrics, again = results(carry_out(tmp_path / "again", TINY, seed=3))
    other_metrics, other = results(carry_out(tmp_path / "other", TINY, seed=4))
    assert first_metrics == again_metrics != other_metrics
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)
    for name in ("first/x.s", "first/shown", "angles/angle", "confusion"):
        assert (first[f"traces.npz: {name}"] != other[f"traces.npz: {name}"]).any()
    assert all((first[name] != other[name]).any() for name in first if name.startswith("weights"))


def test_limit_uses_the_first_examples_only(tmp_path):
    """A window holds twelve presentations: in one lane, each of the first twelve examples once, and no other."""
    run = carry_out(tmp_path / "run", {**TINY, "lanes": "1", "epochs": "2"}, limit=12)
    used = data.load("digits").limit(12)
    assert (run.record["data"]["train"], run.record["data"]["sha256"]) == (12, used.sha256)
    for window in ("first", "last"):
        shown = run.of_condition("traces.npz")[f"{window}/shown"][0][::5]
        assert sorted(shown) == list(range(12))


# How a run can end


def presentations_told(seen, then):
    """Return a `tell` that lists (phase, epoch) and calls then(readout) after the k-th presentation of an epoch."""

    def tell(condition, phase, epoch, readout):
        seen.append((phase, epoch))
        if action := then.get((phase, epoch, seen.count((phase, epoch)))):
            action(readout)

    return tell


def poison(readout):
    """Make a potential of the second replica's output not a number."""
    readout.population.view("v")[1, 0, 3] = np.nan


def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)


def test_divergence_stops_at_once_and_keeps_what_there_is(tmp_path):
    seen, settings = [], {**TINY, "epochs": "3"}
    with pytest.raises(DivergedError) as error:
        carry_out(tmp_path / "run", settings, tell=presentations_told(seen, {("train", 2, 3): poison}))
    an_epoch = 100 // 10 + 360 // 10  # presentations of 5 ms
    where = re.match(r"\w+\.\w+ is nan at t = (\d+) ms: neuron \d+, replica 1, lane 0 ", str(error.value))
    assert where and int(where[1]) == 5 * (an_epoch + 3), "the first step after the poison"
    assert seen.count(("train", 2)) == 3 and seen[-1] == ("train", 2)
    run = Run.open(tmp_path / "run")
    assert (run.record["status"], run.record["reason"]) == ("diverged", str(error.value))
    metrics = run.metrics()
    assert metrics["epoch"].tolist() == [1] * 4 + [2] * 4
    assert metrics["examples"].tolist() == [100] * 4 + [130] * 4
    late_tests = (metrics["epoch"] == 2) & (metrics["split"] == "test")
    assert np.array_equal(np.isnan(metrics["error"]), late_tests)
    final = strict(run.folder / "summary.json")["final"][CONDITION]
    assert (final["train"]["epoch"], final["test"]["epoch"]) == (2, 1)
    assert str(error.value) in (run.folder / "log.txt").read_text()


def test_divergence_during_the_test_keeps_the_training_before_it(tmp_path):
    with pytest.raises(DivergedError):
        carry_out(tmp_path / "run", TINY, tell=presentations_told([], {("test", 1, 2): poison}))
    run = Run.open(tmp_path / "run")
    assert run.record["status"] == "diverged"
    metrics = run.metrics()
    assert np.isfinite(metrics["error"][metrics["split"] == "train"]).all()


def test_ctrl_c_ends_the_epoch_after_the_time_step(tmp_path):
    seen, handler = [], signal.getsignal(signal.SIGINT)
    tell = presentations_told(seen, {("train", 2, 3): interrupt})
    run = carry_out(tmp_path / "run", {**TINY, "epochs": "3"}, tell=tell)
    assert seen[-1] == ("train", 2) and seen.count(("train", 2)) == 3
    assert Run.open(run.folder).record["status"] == "interrupted"
    metrics = run.metrics()
    assert metrics["examples"].tolist() == [100] * 4 + [130] * 4
    assert np.isnan(metrics["error"][[5, 7]]).all() and np.isfinite(metrics["error"][[0, 1, 2, 3, 4, 6]]).all()
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_during_the_test_keeps_the_training_before_it(tmp_path):
    seen = []
    run = carry_out(tmp_path / "run", TINY, tell=presentations_told(seen, {("test", 1, 2): interrupt}))
    assert seen[-1] == ("test", 1) and seen.count(("test", 1)) == 2
    assert run.record["status"] == "interrupted"
    assert np.isfinite(run.metrics()["error"][::2]).all() and np.isnan(run.metrics()["error"][1::2]).all()


def test_ctrl_c_while_an_epoch_is_written_costs_no_further_epoch(tmp_path, monkeypatch):
    seen, write = [], Run.write_metrics

    def write_and_interrupt(self, rows):
        write(self, rows)
        if not seen.count(("train", 2)):
            interrupt(None)

    monkeypatch.setattr(Run, "write_metrics", write_and_interrupt)
    run = carry_out(tmp_path / "run", {**TINY, "epochs": "3"}, tell=presentations_told(seen, {}))
    assert Run.open(run.folder).record["status"] == "interrupted"
    assert seen.count(("train", 2)) <= 1


def test_second_ctrl_c_stops_within_the_step(tmp_path):
    seen = []

    def twice(readout):
        interrupt(readout)
        interrupt(readout)

    run = carry_out(tmp_path / "run", {**TINY, "epochs": "3"}, tell=presentations_told(seen, {("train", 2, 3): twice}))
    assert seen.count(("train", 2)) == 3
    assert Run.open(run.folder).record["status"] == "interrupted"
    assert set(run.metrics()["epoch"]) == {1}


def test_failure_is_kept_as_the_reason(tmp_path):
    def fail(readout):
        raise ZeroDivisionError("of the listener")

    with pytest.raises(ZeroDivisionError):
        carry_out(tmp_path / "run", TINY, tell=presentations_told([], {("train", 1, 2): fail}))
    record = Run.open(tmp_path / "run").record
    assert record["status"] == "failed" and "of the listener" in record["reason"]


def test_disk_that_fills_up_in_the_second_epoch_keeps_the_first(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(readout):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    try:
        with pytest.raises(RunError, match="traces.npz: cannot be written"):
            carry_out(tmp_path / "run", {**TINY, "epochs": "2"}, tell=presentations_told([], {("train", 2, 1): fill}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run = Run.open(tmp_path / "run")
    assert run.of_condition("traces.npz")["confusion"][0].sum() == 2 * TEST
    assert all(np.isfinite(array).all() for array, _ in run.arrays("weights.npz").values())
    assert set(run.metrics()["epoch"]) in ({1}, {1, 2})
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == set(FILES) - {"study.npz"}


def test_bad_values_are_refused_before_a_folder_is_made(tmp_path):
    for settings, said in (({"lanes": "101"}, "lanes"), ({"output": "15"}, "output")):
        with pytest.raises(ParameterError, match=said):
            carry_out(tmp_path / "run", {**TINY, **settings})
    assert not (tmp_path / "run").exists()
