"""A run's folder holds whole files only, whatever happens while they are written, and says what it cannot read."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from neurosim.cli import main
from neurosim.errors import ParameterError, RunError
from neurosim.runs import FILES, FOLDERS, Run, host, new_folder, versions

resource = pytest.importorskip("resource", reason="limits on the size of files are a matter of POSIX")

ARRAYS = {
    "h1.v": (np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "mV"),
    "shown": (np.arange(3), "1"),
    "layers": (np.array(["h1", "h2"]), "1"),
    "none": (np.zeros((0, 2)), "degree"),
}
ROWS = [
    {"condition": "a", "epoch": 1, "replica": 0, "split": "train", "error": 0.1, "angle_h1": 91.5},
    {"condition": "a", "epoch": 1, "replica": 0, "split": "test", "error": 1 / 3, "angle_h1": float("nan")},
]


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", {"model": "nobody_2000.nothing"})


@contextlib.contextmanager
def files_of_at_most(size):
    """Let every write that would make a file larger than this fail, as on a full disk: half of it is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# Writing and reading


def test_new_run_is_running_since_now(run):
    opened = Run.open(run.folder).record
    assert opened == run.record
    assert (opened["model"], opened["status"]) == ("nobody_2000.nothing", "running")
    started = datetime.fromisoformat(opened["times"]["started"])
    assert timedelta(seconds=-2) < datetime.now(UTC) - started < timedelta(minutes=1)
    assert "ended" not in opened["times"]
    assert {path.name for path in run.folder.iterdir()} == {"run.json", *FOLDERS}


@pytest.mark.parametrize("status", ["finished", "interrupted", "diverged", "failed"])
def test_end_is_written_with_its_time(run, status):
    run.set_status("running", progress=3)
    run.set_status(status, reason="said so")
    record = Run.open(run.folder).record
    assert (record["status"], record["progress"], record["reason"]) == (status, 3, "said so")
    times = {name: datetime.fromisoformat(record["times"][name]) for name in ("started", "ended")}
    assert times["started"] <= times["ended"] and record["times"]["wall_s"] >= 0


def test_arrays_come_back_with_values_types_and_units(run):
    run.write_arrays("traces.npz", ARRAYS)
    found = run.arrays("traces.npz")
    assert found.keys() == ARRAYS.keys()
    for name, (array, unit) in ARRAYS.items():
        np.testing.assert_array_equal(found[name][0], array)
        assert (found[name][0].dtype, found[name][1]) == (array.dtype, unit)


def test_arrays_that_would_be_pickled_are_not_read(run):
    np.savez(run.folder / "traces.npz", a=np.array([{}], object), **{"unit of a": "1"})
    with pytest.raises(ParameterError, match="traces.npz.*pickle"):
        run.arrays("traces.npz")


def test_metrics_come_back_to_the_last_digit(run):
    run.write_metrics(ROWS)
    found = run.metrics()
    assert list(found) == list(ROWS[0])
    for name in ("epoch", "replica", "error", "angle_h1"):
        np.testing.assert_array_equal(found[name], [row[name] for row in ROWS])
    assert list(found["split"]) == ["train", "test"] and list(found["condition"]) == ["a", "a"]
    lines = (run.folder / "metrics.csv").read_text().splitlines()
    assert lines[0] == "condition,epoch,replica,split,error,angle_h1" and lines[2].endswith(",")


def test_json_takes_numpy_numbers_and_arrays(run):
    run.write_json("summary.json", {"n": np.int64(3), "mean": np.float32(0.5), "all": np.arange(3)})
    assert json.loads((run.folder / "summary.json").read_text()) == {"n": 3, "mean": 0.5, "all": [0, 1, 2]}


def test_log_grows_by_lines_with_a_time(run):
    run.log("one")
    run.log("two")
    lines = [line.split(" ", 1) for line in (run.folder / "log.txt").read_text().splitlines()]
    assert [text for _, text in lines] == ["one", "two"]
    assert all(datetime.fromisoformat(time).tzinfo for time, _ in lines)


def test_what_is_not_there_yet_is_said(run):
    with pytest.raises(ParameterError, match="metrics.csv.*first epoch"):
        run.metrics()
    with pytest.raises(ParameterError, match="weights.npz.*first epoch"):
        run.arrays("weights.npz")
    with pytest.raises(ParameterError, match="nowhere.*run.json is missing"):
        Run.open(run.folder / "nowhere")


def test_archive_cut_anywhere_is_said_to_be_unreadable(run):
    run.write_arrays("traces.npz", ARRAYS)
    path = run.folder / "traces.npz"
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(ParameterError, match="traces.npz: cannot be read"):
            run.arrays("traces.npz")


def test_changed_value_in_an_archive_is_noticed(run):
    values = np.arange(50.0)
    run.write_arrays("weights.npz", {"W": (values, "1")})
    path = run.folder / "weights.npz"
    content = bytearray(path.read_bytes())
    content[content.index(values.tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ParameterError, match="weights.npz: cannot be read"):
        run.arrays("weights.npz")


def test_run_is_written_over_only_by_force(run):
    run.write_metrics(ROWS)
    run.write_arrays("weights.npz", ARRAYS)
    run.log("the old run")
    (run.folder / "figures" / "learning.png").write_bytes(b"old")
    (run.folder / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match="holds a run already"):
        Run.create(run.folder, {"model": "other"})
    assert Run.open(run.folder).record == run.record and run.metrics()["epoch"].size == 2
    Run.create(run.folder, {"model": "other"}, force=True)
    assert Run.open(run.folder).record["model"] == "other"
    assert not any((run.folder / name).exists() for name in FILES if name != "run.json")
    assert not any((run.folder / "figures").iterdir())
    assert (run.folder / "notes.txt").read_text() == "mine", "what no run writes is not a run's to delete"


# Failing to write


def write_all(run, factor):
    """Write every kind of file, larger than 4 kB."""
    big = np.full(2000, factor, float)
    yield "metrics.csv", lambda: run.write_metrics([ROWS[0] | {"epoch": factor}] * 2000)
    yield "weights.npz", lambda: run.write_arrays("weights.npz", {"W": (big, "1")})
    yield "summary.json", lambda: run.write_json("summary.json", {"all": big})


def test_file_that_cannot_be_written_whole_leaves_the_old_one(run):
    for _, write in write_all(run, 1):
        write()
    before = {path: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    for name, write in write_all(run, 2):
        with files_of_at_most(4096), pytest.raises(RunError, match=f"{name}: cannot be written: File too large"):
            write()
    assert {path: path.read_bytes() for path in run.folder.iterdir() if path.is_file()} == before
    for _, write in write_all(run, 2):
        write()
    assert set(run.metrics()["epoch"]) == {2} and set(run.arrays("weights.npz")["W"][0]) == {2}


def test_first_file_that_cannot_be_written_whole_is_not_there(run):
    before = set(run.folder.iterdir())
    for name, write in write_all(run, 1):
        with files_of_at_most(4096), pytest.raises(RunError, match=name):
            write()
    assert set(run.folder.iterdir()) == before


def test_log_that_cannot_be_written_is_named(run):
    with files_of_at_most(10), pytest.raises(RunError, match="log.txt: cannot be written"):
        run.log("a line longer than that")


def test_folder_that_is_gone_is_named(run):
    for path in sorted(run.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run.folder.rmdir()
    with pytest.raises(RunError, match=r"metrics.csv: cannot be written: No such file"):
        run.write_metrics(ROWS)


KILLED_WHILE_WRITING = """
import logging, resource, signal, sys
from neurosim import data
from neurosim.simulate import simulate
from neurosim_models.lillicrap_2016 import SPIKING

def tell(condition, phase, epoch, readout):
    if epoch == 2:  # from now on a file that grows beyond 4 kB costs the process its life, in the middle of it
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        logging.getLogger("brian2").handlers.clear()  # brian2's own log is such a file
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

settings = {"hidden": "20,20", "output": "10", "epochs": "2", "replicas": "2", "lanes": "10"}
digits = data.load("digits").limit(100)
simulate("lillicrap_2016.spiking", SPIKING, digits, SPIKING.resolve("digits", settings), 1, sys.argv[1], tell=tell)
"""


def test_killed_run_leaves_whole_files_only_and_can_be_plotted(tmp_path, capsys):
    """The system kills the process, as by SIGKILL, when half of traces.npz is written in the second epoch."""
    folder = tmp_path / "run"
    code = [sys.executable, "-c", KILLED_WHILE_WRITING, str(folder)]
    ended = subprocess.run(code, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGXFSZ, ended.stderr
    run = Run.open(folder)
    assert (run.record["status"], run.record["progress"]) == (
        "running",
        {"condition": "feedback_alignment", "epoch": 1},
    )
    metrics = run.metrics()
    assert metrics["epoch"].tolist() in ([1] * 4, [1] * 4 + [2] * 4) and np.isfinite(metrics["error"]).all()
    assert json.loads((folder / "summary.json").read_text())["final"]["feedback_alignment"]["test"]["n"] == 2
    assert run.of_condition("traces.npz")["first/time"][0].size == 50, (
        "the first epoch's: ten presentations of five steps"
    )
    assert all(np.isfinite(array).all() for array, _ in run.arrays("weights.npz").values())
    half = [path for path in folder.iterdir() if path.is_file() and path.name not in FILES]
    assert all(path.name.startswith(".") and path.stat().st_size <= 4096 for path in half) and len(half) == 1
    with pytest.raises(SystemExit) as end:
        main(["plot", str(folder)])
    assert end.value.code == 0
    paths = capsys.readouterr().out.split()
    assert paths and all(Path(path).read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in paths)


# Where and on what


def test_new_folder_does_not_exist_even_within_one_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for _ in range(3):
        found.append(new_folder("nobody_2000.nothing", "digits"))
        found[-1].mkdir(parents=True)
    assert len(set(found)) == 3
    assert all(folder.parent == Path("runs") and "nobody_2000.nothing-digits-" in folder.name for folder in found)


def test_provenance_names_what_a_result_depends_on(monkeypatch):
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert {"brian2", "scipy", "numba"} <= found.keys()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert host()["threads"]["OMP_NUM_THREADS"] == "3"
    assert host()["cores"] == os.cpu_count() and host()["machine"] == os.uname().machine
