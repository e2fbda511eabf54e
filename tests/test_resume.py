"""A run killed by SIGKILL, wherever it is, and resumed gives what a run that was never killed gives, to the bit."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from brian2.codegen.runtime.cython_rt import CythonCodeObject

from neurosim import checkpoint, data
from neurosim.errors import ParameterError
from neurosim.runs import Run
from neurosim.simulate import resume, simulate
from neurosim_models.lillicrap_2016 import LINEAR, MNIST, SPIKING

SMALL = {
    "spiking": {
        "hidden": "20,15", "output": "10", "replicas": "2", "lanes": "5", "steps": "4", "epochs": "3", "copies": "1",
    },
    "linear": {"replicas": "3", "epochs": "4", "examples": "20", "tests": "40"},
    "mnist": {"replicas": "2", "epochs": "2", "hidden": "10"},
}  # fmt: skip
CHOSEN = {
    "spiking": ["feedback_alignment"],
    "linear": ["node_perturbation", "feedback_alignment"],
    "mnist": ["sparse_feedback_alignment", "shallow"],
}
EXPERIMENTS = {"spiking": SPIKING, "linear": LINEAR, "mnist": MNIST}

# What a process does: carry out or resume, and kill itself at the n-th call of a function.
PROCESS = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import brian2
brian2.BrianLogger.log_level_error()
from neurosim import checkpoint, runs, simulate, training
simulate.KEEP_EVERY, simulate.WRITE_EVERY = {keep_every}, {write_every}
from test_resume import carry_out, go_on
calls = 0
def dying(function):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call
{where} = dying({where})
{action}({name!r}, {folder!r}, every={every})
"""
PLACES = {
    "a time step": "training.Progress.run",
    "renaming a file": "os.replace",
    "an epoch's arrays": "runs.Run.write_arrays",
    "a checkpoint": "checkpoint._write",
}


def examples(name):
    if name in ("spiking", "mnist"):
        return data.load("digits").limit(60)
    return LINEAR.presets["linear"].task(LINEAR.resolve("linear", SMALL["linear"]), 3)


def carry_out(name, folder, every=1e-9, **more):
    experiment, shown = EXPERIMENTS[name], examples(name)
    settings = SMALL[name]
    values = experiment.resolve(shown.name, settings)
    conditions = experiment.choose(values, settings, CHOSEN[name])
    return simulate(
        f"lillicrap_2016.{name}", experiment, shown, values, 3, folder,
        conditions=conditions, checkpoint_every=every, **more,
    )  # fmt: skip


def go_on(name, folder, every=1e-9, **more):
    return resume(Run.open(folder), EXPERIMENTS[name], examples(name), checkpoint_every=every, **more)


def die(name, folder, action, where, at, every=1e-9, keep_every=10, write_every=2):
    """Run a process that kills itself; return whether it did."""
    script = textwrap.dedent(PROCESS).format(
        tests=os.path.dirname(__file__), name=name, folder=str(folder), action=action, where=where, at=at,
        every=every, keep_every=keep_every, write_every=write_every,
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == -signal.SIGKILL


def assert_same(run, other):
    """Metrics and all arrays of two runs are equal to the bit."""
    assert run.record["status"] == other.record["status"] == "finished"
    assert (run.folder / "metrics.csv").read_bytes() == (other.folder / "metrics.csv").read_bytes()
    assert (run.folder / "summary.json").read_bytes() == (other.folder / "summary.json").read_bytes()
    for name in ("weights.npz", "traces.npz"):
        mine, theirs = run.arrays(name), other.arrays(name)
        assert mine.keys() == theirs.keys()
        for key, (values, unit) in mine.items():
            assert unit == theirs[key][1]
            np.testing.assert_array_equal(values, theirs[key][0], err_msg=key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that were never killed, by name."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: carry_out(name, folder / name) for name in EXPERIMENTS}


@pytest.mark.parametrize("name", ["spiking", "linear"])
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_and_resumed_gives_the_same(name, place, whole, tmp_path):
    """Twice: the process that resumes is killed too, before the last one finishes."""
    folder = tmp_path / "run"
    first, second = {"a time step": (75, 23), "renaming a file": (9, 8)}.get(place, (4, 2))
    assert die(name, folder, "carry_out", PLACES[place], first)
    assert die(name, folder, "go_on", PLACES[place], second)
    finished = go_on(name, folder)
    assert_same(finished, whole[name])
    assert len(finished.record["resumed"]) == 2
    assert not list((folder / "checkpoint").glob("checkpoint*"))


AT_ENDS = {"every": 1e9, "keep_every": 0}  # checkpoints at the ends of epochs only


@pytest.mark.parametrize(("name", "kills"), [("linear", (10, 150, 40)), ("spiking", (40, 500)), ("mnist", (31, 10))])
def test_killed_between_checkpoints_at_ends_of_epochs_and_resumed_gives_the_same(name, kills, whole, tmp_path):
    """After the test before the first epoch, in the middle of an epoch, and after the end of a condition."""
    folder, action = tmp_path / "run", "carry_out"
    for at in kills:
        assert die(name, folder, action, PLACES["a time step"], at, **AT_ENDS)
        action = "go_on"
    ends = [checkpoint.read(folder / "checkpoint").header]
    assert not any(each["within"] for each in ends)
    assert_same(go_on(name, folder), whole[name])


def test_killed_before_the_first_checkpoint_of_a_later_condition_and_resumed_gives_the_same(whole, tmp_path):
    """run.json then speaks of that condition, and the newest checkpoint of the end of the one before."""
    folder = tmp_path / "run"
    assert die("mnist", folder, "carry_out", PLACES["a time step"], 50, every=1e9, keep_every=1e9, write_every=0)
    assert Run.open(folder).record["progress"] == {"condition": "shallow", "epoch": 1}
    assert checkpoint.read(folder / "checkpoint").header["name"] == "sparse_feedback_alignment"
    assert_same(go_on("mnist", folder), whole["mnist"])


def cut_off(name, folder, monkeypatch, at, **more):
    """Carry out until Ctrl+C after so many presentations."""
    count = 0

    def tell(*arguments):
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGINT)

    run = carry_out(name, folder, tell=tell, **more)
    assert run.record["status"] == "interrupted"
    return run


@pytest.mark.parametrize("at", [3, 20, 60, 90])
def test_interrupted_and_resumed_gives_the_same(at, whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, at)
    assert_same(go_on("spiking", folder), whole["spiking"])


def test_damaged_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, 60)
    newest = sorted((folder / "checkpoint").glob("checkpoint-*"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert_same(go_on("spiking", folder), whole["spiking"])
    assert newest.name in (folder / "log.txt").read_text()


def test_all_checkpoints_damaged_is_refused_by_name(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, 60)
    names = [path.name for path in (folder / "checkpoint").glob("checkpoint-*")]
    for name in names:
        (folder / "checkpoint" / name).write_bytes(b"")
    with pytest.raises(ParameterError) as refused:
        go_on("spiking", folder)
    assert all(name in str(refused.value) for name in names)


def test_checkpoints_do_not_change_what_a_run_gives(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(checkpoint, "write", lambda *arguments: None)
    assert_same(carry_out("spiking", folder), whole["spiking"])


def test_finished_run_is_not_resumed(whole):
    with pytest.raises(ParameterError, match="finished"):
        go_on("spiking", whole["spiking"].folder)


def test_other_data_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, 5)
    with pytest.raises(ParameterError, match="other data"):
        resume(Run.open(folder), SPIKING, data.load("digits").limit(59))


def test_run_killed_before_its_first_checkpoint_starts_anew(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, 5)
    shutil.rmtree(folder / "checkpoint")
    assert_same(go_on("spiking", folder), whole["spiking"])


def test_when_results_are_written_does_not_change_them(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("neurosim.simulate.WRITE_EVERY", 1e9)
    assert_same(carry_out("spiking", tmp_path / "run"), whole["spiking"])


@pytest.mark.slow  # compiles for minutes
@pytest.mark.skipif(not CythonCodeObject.is_available(), reason="no C++ compiler for brian2's Cython target")
def test_cython_target_goes_back_to_the_start_of_the_epoch(tmp_path, monkeypatch):
    """Its draws wait in buffers that cannot be stored, so that no checkpoint is kept within an epoch."""
    whole = carry_out("spiking", tmp_path / "whole", target="cython")
    folder = tmp_path / "run"
    cut_off("spiking", folder, monkeypatch, 90, target="cython")
    header = checkpoint.read(folder / "checkpoint").header
    assert (header["epoch"], header["within"]) == (1, False)
    assert_same(go_on("spiking", folder), whole)


def test_run_that_is_going_on_is_not_resumed(tmp_path):
    """Two processes would write into one folder."""
    seen = []

    def tell(*arguments):
        if not seen:
            with pytest.raises(ParameterError, match="another process") as refused:
                go_on("spiking", tmp_path / "run")
            seen.append(refused)

    run = carry_out("spiking", tmp_path / "run", tell=tell)
    assert seen and run.record["status"] == "finished"
    carry_out("spiking", tmp_path / "run", force=True)
