"""One number a replica of what a run gave: read at the epoch that was asked for, nan where a replica has none."""

import numpy as np
import pytest

from neurosim.errors import ParameterError
from neurosim.outcomes import check_when, outcome, outcomes_known
from neurosim.runs import Run

ERROR = np.array([[0.9, 0.8], [0.5, 0.6], [0.3, 0.7], [0.4, 0.2]])  # (epochs 0 to 3, replicas)


def run_of(folder, error=ERROR, status="finished", conditions=None, **more):
    """Return a run of 3 epochs and 2 replicas with this test error; the angle goes down from 90 by 10 an epoch."""
    conditions = conditions or {"a": {}}
    record = {"model": "m", "metric": "error", "conditions": conditions}
    record["parameters"] = {"epochs": {"value": 3}, "replicas": {"value": 2}}
    run = Run.create(folder, record)
    rows = []
    for name in conditions:
        for epoch, values in enumerate(error):
            for replica, value in enumerate(values):
                row = {"condition": name, "epoch": epoch, "replica": replica, "examples": 10 * epoch}
                angle = 90.0 - 10 * epoch if epoch else float("nan")
                rows.append(row | {"split": "train", "error": value / 2 if epoch else float("nan"), "angle_h1": angle})
                rows.append(row | {"split": "test", "error": value})
    run.write_metrics(rows)
    run.set_status(status, **more)
    return Run.open(folder)


@pytest.mark.parametrize(
    ("metric", "when", "expected"),
    [
        ("test error", "last", [0.4, 0.2]),
        ("train error", "last", [0.2, 0.1]),
        ("test error", 0, [0.9, 0.8]),
        ("test error", 2, [0.3, 0.7]),
        ("test error", "mean", [0.4, 0.5]),  # without the test before training
        ("test error", "lowest", [0.3, 0.2]),
        ("test error", "highest", [0.5, 0.7]),
        ("test error", "first below 0.45", [2, 3]),
        ("test error", "first above 0.65", [np.inf, 2]),
        ("train angle_h1", "last", [60, 60]),
        ("train angle_h1", "mean", [70, 70]),
    ],
)
def test_outcome_is_read_at_the_epoch_that_was_asked_for(tmp_path, metric, when, expected):
    run = run_of(tmp_path / "run")
    np.testing.assert_allclose(outcome(run, "a", metric, when), expected, rtol=1e-12)


def test_condition_with_epochs_of_its_own_is_read_at_its_own_last(tmp_path):
    run = run_of(tmp_path / "run", ERROR[:3], conditions={"a": {"epochs": 2}})
    assert outcome(run, "a", "test error").tolist() == [0.3, 0.7]
    assert outcome(run, None, "test error").tolist() == [0.3, 0.7]


def test_epoch_that_was_cut_short_is_none(tmp_path):
    """A run that diverges in epoch 3 has a row of it, with an error while training and no test."""
    cut = ERROR.copy()
    cut[3] = np.nan
    run = run_of(tmp_path / "run", cut, status="diverged", reason="h1.v is not finite")
    for metric in ("test error", "train error", "train angle_h1"):
        assert np.isnan(outcome(run, "a", metric, "last")).all()
        assert np.isnan(outcome(run, "a", metric, "mean")).all()
        assert np.isnan(outcome(run, "a", metric, 3)).all()
        assert np.isfinite(outcome(run, "a", metric, 2)).all()
    first = outcome(run, "a", "test error", "first below 0.45")
    assert first[0] == 2 and np.isnan(first[1])  # not infinite: it might have come there


def test_one_replica_without_a_number_is_one_nan(tmp_path):
    error = ERROR.copy()
    error[2, 1] = np.nan
    run = run_of(tmp_path / "run", error)
    assert outcome(run, "a", "test error", "lowest")[0] == 0.3
    assert np.isnan(outcome(run, "a", "test error", "lowest")[1])


def test_run_that_diverged_before_its_first_row_has_no_numbers(tmp_path):
    run = run_of(tmp_path / "run", status="diverged")
    (run.folder / "metrics.csv").unlink()
    assert np.isnan(outcome(run, "a", "test error")).tolist() == [True, True]


def test_metrics_are_those_with_numbers(tmp_path):
    run = run_of(tmp_path / "run")
    assert outcomes_known(run) == ("test error", "train error", "train angle_h1")


@pytest.mark.parametrize(
    ("condition", "metric", "when", "said"),
    [
        ("a", "test eror", "last", "unknown metric 'test eror': did you mean 'test error'"),
        ("a", "error", "last", "unknown metric 'error'"),
        ("a", "test angle_h1", "last", "did you mean 'train angle_h1'"),
        ("a", "test examples", "last", "unknown metric"),
        ("b", "test error", "last", "unknown condition 'b'"),
        ("a", "test error", 4, "has 3 epochs, epoch 4 was asked for"),
        ("a", "test error", -1, "the number of an epoch is needed"),
        ("a", "test error", "lats", "did you mean 'last'"),
        ("a", "test error", "first below", "unknown value of when"),
        ("a", "test error", "first below nan", "unknown value of when"),
    ],
)
def test_what_a_run_does_not_have_is_refused(tmp_path, condition, metric, when, said):
    with pytest.raises(ParameterError, match=said):
        outcome(run_of(tmp_path / "run"), condition, metric, when)


def test_truth_is_no_epoch():
    with pytest.raises(ParameterError, match="unknown value of when"):
        check_when(True)
