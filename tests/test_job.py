"""A job is checked before data are read, known by what decides its result, and carried out once, whatever happens."""

import os

import numpy as np
import pytest

from neurosim import simulate
from neurosim.errors import BusyError, DataError, DivergedError, ParameterError
from neurosim.job import Job, find, find_one, models, recorded
from neurosim.runs import Run

SETTINGS = {"inputs": "6", "hidden": "5", "outputs": "4", "examples": "40", "tests": "20", "epochs": "3"}
JOB = Job("lillicrap_2016.linear", settings=SETTINGS, conditions=["feedback_alignment"], seed=3)
FILES = ("metrics.csv", "weights.npz", "traces.npz", "summary.json")


def changed(job=JOB, settings=(), **more):
    return Job(**{**vars(job), "settings": {**job.settings, **dict(settings)}, **more})


def results(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of the job that nothing has disturbed."""
    return JOB.carry_out(tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture
def stopping():
    """Return a function that stops a simulation at the n-th presentation, as Ctrl+C does."""

    def at(n):
        calls = []

        def tell(*_):
            calls.append(1)
            if len(calls) == n:
                raise KeyboardInterrupt

        return tell

    return at


# What is asked


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(model="lilicrap_2016.linear"), ["model", "lillicrap_2016.linear"]),
        (dict(model="lillicrap_2016"), ["several experiments", "lillicrap_2016.spiking"]),
        (dict(settings={"etta": "1"}), ["parameter", "'eta'"]),
        (dict(settings={"eta": "fast"}), ["eta", "a number is needed"]),
        (dict(settings={"hidden": "0"}), ["hidden", ">= 1"]),
        (dict(conditions=["backprob"]), ["condition", "'backprop'"]),
        (dict(target="numpi"), ["target", "'numpy'"]),
        (dict(data="digits"), ["makes its own"]),
        (dict(limit=10), ["--limit", "makes its own"]),
        (dict(seed=-1), ["seed", "0..4294967295", "-1"]),
        (dict(seed=1.5), ["seed", "1.5"]),
        (dict(seed=True), ["seed"]),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_with_what_would_be_right(wrong, words, tmp_path):
    with pytest.raises(ParameterError) as error:
        changed(**wrong).checked()
    assert all(word in str(error.value) for word in words)
    with pytest.raises(ParameterError):
        changed(**wrong).carry_out(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there_are_refused_without_reading_those_that_are(monkeypatch):
    from neurosim import data

    with pytest.raises(DataError, match="digits"):
        Job("lillicrap_2016.mnist", data="digts").checked()
    monkeypatch.setattr(data, "_load_digits", lambda: pytest.fail("data were read"))
    assert Job("lillicrap_2016.mnist", data="digits").checked().asked["data"] == "digits"


def test_every_experiment_is_found_by_its_name():
    for model, module in models().items():
        assert [full for full, *_ in find(model)] == [f"{model}.{each.name}" for each in module.EXPERIMENTS]
        for each in module.EXPERIMENTS:
            assert find_one(f"{model}.{each.name}") == (f"{model}.{each.name}", module, each)


# What decides a result


def test_key_is_that_of_the_result_and_not_of_the_words():
    assert changed(settings={"eta": "0.010"}).key() == changed(settings={"eta": "1e-2"}).key()
    default = str(JOB.checked().values["w_width"])
    assert changed(settings={"w_width": default}).key() == JOB.key(), "a default that is set is a default"
    others = [
        changed(seed=4), changed(settings={"examples": "41"}), changed(conditions=["backprop"]),
        changed(conditions=None), changed(target="cython"), changed(settings={"eta": "0.0100001"}),
    ]  # fmt: skip
    assert len({JOB.key(), *(job.key() for job in others)}) == 1 + len(others)
    digits = Job("lillicrap_2016.mnist", data="digits")
    assert len({digits.key(), changed(digits, limit=50).key(), changed(digits, validation=50).key()}) == 3


def test_job_goes_through_json():
    import json

    for job in (JOB, Job("lillicrap_2016.mnist", data="digits", limit=50, validation=20)):
        again = Job.from_json(json.loads(json.dumps(job.as_json())))
        assert again == job and again.key() == job.key()


def test_run_remembers_its_job(alone):
    assert recorded(Run.open(alone.folder)).key() == JOB.key()


# Carrying it out


def test_finished_run_is_opened_and_not_repeated(alone, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in alone.folder.rglob("*")}
    monkeypatch.setattr(simulate, "simulate", lambda *_, **__: pytest.fail("simulated again"))
    again = JOB.carry_out(alone.folder)
    assert again.record["status"] == "finished" and again.record["times"] == alone.record["times"]
    assert {path: path.stat().st_mtime_ns for path in alone.folder.rglob("*")} == before


@pytest.mark.parametrize("at", [1, 30, 100])
def test_run_that_was_cut_off_goes_on_and_gives_the_same(alone, stopping, tmp_path, at):
    run = JOB.carry_out(tmp_path / "run", tell=stopping(at), checkpoint_every=1e-6)
    assert run.record["status"] == "interrupted"
    again = JOB.carry_out(tmp_path / "run")
    assert again.record["status"] == "finished" and len(again.record["resumed"]) == 1
    assert again.record["times"]["started"] == run.record["times"]["started"]
    assert results(again.folder) == results(alone.folder)


@pytest.mark.parametrize(
    "other, words",
    [
        (dict(seed=4), ["seed 3 there, 4 asked for"]),
        (dict(settings={"eta": "0.5"}), ["eta (feedback_alignment)", "0.5 asked for"]),
        (dict(conditions=["backprop"]), ["conditions feedback_alignment there, backprop asked for"]),
        (dict(model="lillicrap_2016.deep", conditions=["backprop_4_layers"]), ["model lillicrap_2016.linear there"]),
        (dict(target="cython"), ["target numpy there, cython asked for"]),
    ],
)  # fmt: skip
def test_folder_of_another_job_is_refused_and_left_as_it_is(alone, other, words):
    before = results(alone.folder)
    if "model" in other:
        experiment = find_one(other["model"])[2]
        other = other | {"conditions": [next(iter(experiment.conditions))], "settings": {"examples": "40"}}
        job = Job(other["model"], settings=other["settings"], conditions=other["conditions"], seed=3)
    else:
        job = changed(**other)
    with pytest.raises(ParameterError, match="holds another run") as error:
        job.carry_out(alone.folder)
    assert all(word in str(error.value) for word in words)
    assert results(alone.folder) == before


def test_folder_that_a_killed_process_had_only_begun_is_taken(alone, tmp_path):
    folder = tmp_path / "run"
    for name in ("checkpoint", "figures"):
        (folder / name).mkdir(parents=True)
    (folder / ".run.json.123").write_text("{")
    assert results(JOB.carry_out(folder).folder) == results(alone.folder)


def test_folder_with_anything_else_is_not_taken(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").touch()
    with pytest.raises(ParameterError, match="not an empty folder"):
        JOB.carry_out(tmp_path)
    assert os.listdir(tmp_path) == ["figures"]


def test_run_that_another_process_simulates_is_busy(stopping, tmp_path):
    run = JOB.carry_out(tmp_path / "run", tell=stopping(30))
    holder = Run.open(run.folder)
    holder.hold()
    with pytest.raises(BusyError, match="another process"):
        JOB.carry_out(run.folder)
    holder.release()
    assert JOB.carry_out(run.folder).record["status"] == "finished"


def test_diverged_run_says_so_again_without_being_repeated(tmp_path, monkeypatch):
    job = changed(settings={"eta": "1e9"})
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as first:
        job.carry_out(tmp_path / "run")
    monkeypatch.setattr(simulate, "simulate", lambda *_, **__: pytest.fail("simulated again"))
    monkeypatch.setattr(simulate, "resume", lambda *_, **__: pytest.fail("gone on with"))
    with pytest.raises(DivergedError) as second:
        job.carry_out(tmp_path / "run")
    assert str(first.value) == str(second.value)
    assert Run.open(tmp_path / "run").record["status"] == "diverged"


def test_files_of_a_folder_that_have_changed_are_noticed(tmp_path):
    import gzip
    import struct

    from neurosim import data

    folder = tmp_path / "data"
    folder.mkdir()
    draw = np.random.default_rng(0)

    def write(seed):
        for name in data.PUBLISHED["mnist"].files:
            count = 20 if name.startswith("train") else 10
            if "idx3" in name:
                content = (
                    struct.pack(">IIII", 2051, count, 4, 4) + draw.integers(0, 255, 16 * count, np.uint8).tobytes()
                )
            else:
                content = struct.pack(">II", 2049, count) + (np.arange(count) % 3).astype(np.uint8).tobytes()
            with gzip.open(folder / f"{name}.gz", "wb") as stream:
                stream.write(content)

    write(0)
    job = Job("lillicrap_2016.mnist", str(folder), {"hidden": "5", "epochs": "1", "lanes": "5"}, ["backprop"])
    assert job.carry_out(tmp_path / "run").record["status"] == "finished"
    assert job.carry_out(tmp_path / "run").record["status"] == "finished"
    write(1)
    with pytest.raises(ParameterError, match="other data"):
        job.carry_out(tmp_path / "run")
