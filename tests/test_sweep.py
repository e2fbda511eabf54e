"""A sweep's tasks are those of its file, each is carried out once, and its workers may die whenever they like."""

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from neurosim.errors import NeurosimError, ParameterError, RunError
from neurosim.job import Job
from neurosim.outcomes import outcome
from neurosim.runs import Run
from neurosim.sweeps import campaign, cluster
from neurosim.sweeps import statement as sweep
from neurosim.sweeps.sampling import Range

ROOT = Path(__file__).parent.parent
FILES = ("metrics.csv", "weights.npz", "traces.npz")
SMALL = """
model = "lillicrap_2016.linear"
conditions = ["feedback_alignment"]
[settings]
inputs = 6
hidden = 5
outputs = 4
examples = 20
tests = 10
replicas = 3
"""
LONG = """
model = "lillicrap_2016.linear"
conditions = ["feedback_alignment"]
seeds = [1, 2]
[settings]
examples = 3000
tests = 20
epochs = 2
[grid]
eta = [0.001, 0.002]
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a sweep's file."""

    def write(text, name="rates.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def alone(task, folder):
    """Return the files of a task that is run by itself."""
    run = task.job.carry_out(folder)
    return {name: (run.folder / name).read_bytes() for name in FILES}


def results(folder, task):
    return {name: (folder / task.name / name).read_bytes() for name in FILES}


def records(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("tasks/*/run.json")}


def table(folder):
    with (folder / "table.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


# What a file stands for


def test_grid_is_every_combination_in_order_for_every_seed(write):
    text = "[grid]\neta = [0.01, 0.02]\nlanes = [1, 2, 5]\n[random]\nsamples = 2\nw_width = {low = 0.1, high = 1}\n"
    tasks = sweep.read(write("seeds = [7, 3]\n" + SMALL + text)).tasks
    found = [(t.job.seed, t.job.settings["eta"], t.job.settings["lanes"]) for t in tasks]
    assert found == [(s, e, n) for s in (7, 3) for e in ("0.01", "0.02") for n in ("1", "2", "5") for _ in range(2)]
    assert len({task.job.settings["w_width"] for task in tasks}) == 2, "every point gets the same samples"
    assert len({task.key for task in tasks}) == 24
    assert all(task.job.settings["hidden"] == "5" for task in tasks)


def test_conditions_can_be_an_axis_and_lists_go_together(write):
    text = SMALL.replace('conditions = ["feedback_alignment"]\n', "")
    made = sweep.read(write(text + '[grid]\nconditions = ["backprop", ["backprop", "feedback_alignment"]]\n'))
    assert [task.job.conditions for task in made.tasks] == [("backprop",), ("backprop", "feedback_alignment")]


def test_same_settings_in_other_words_are_one_task(write):
    made = sweep.read(write(SMALL + '[grid]\neta = [0.01, "1e-2", 0.02]\n'))
    assert (len(made.tasks), made.repeated) == (2, 1)


def test_draws_are_reproducible_and_more_of_them_begin_alike():
    drawn = Range(1e-4, 1e-1, "log").draw("eta", 50, 1)
    assert drawn == Range(1e-4, 1e-1, "log").draw("eta", 80, 1)[:50]
    assert drawn != Range(1e-4, 1e-1, "log").draw("eta", 50, 2)
    assert drawn != Range(1e-4, 1e-1, "log").draw("gamma", 50, 1)


@pytest.mark.parametrize("scale, transform", [("linear", np.asarray), ("log", np.log)])
def test_draws_are_uniform_on_their_scale_and_within_the_range(scale, transform):
    from scipy.stats import kstest

    drawn = np.array([float(text) for text in Range(0.02, 30.0, scale).draw("eta", 4000, 1)])
    low, high = transform([0.02, 30.0])
    assert drawn.min() >= 0.02 and drawn.max() <= 30
    assert kstest((transform(drawn) - low) / (high - low), "uniform").pvalue > 0.01


def test_whole_numbers_and_choices_all_occur_as_often():
    whole = np.array([int(text) for text in Range(2.0, 5.0, whole=True).draw("n", 8000, 1)])
    assert set(whole) == {2, 3, 4, 5}
    words = Range(choices=("a", "b")).draw("n", 8000, 1)
    for counts in (np.bincount(whole)[2:], [words.count("a"), words.count("b")]):
        expected = 8000 / len(counts)
        assert np.all(np.abs(np.array(counts) - expected) < 5 * np.sqrt(expected)), counts


def test_draws_keep_their_unit(write):
    text = 'model = "scellier_2017.spiking"\n[random]\nsamples = 5\n'
    tasks = sweep.read(write(text + 'tau_r = {low = "1*ms", high = "0.01*second", scale = "log"}\n')).tasks
    values = [float(task.prepared.values["tau_r"]) for task in tasks]
    assert len(set(values)) == 5 and all(0.001 <= value <= 0.01 for value in values)
    assert all(task.job.settings["tau_r"].endswith("*ms") for task in tasks)


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ('"lillicrap_2016.linear"', '"lilicrap_2016.linear"', 2, ["model", "'lillicrap_2016.linear'"]),
        ("hidden = 5", "hiden = 5", 6, ["parameter 'hiden'", "'hidden'"]),
        ("hidden = 5", "hidden = 0", 6, ["hidden", ">= 1"]),
        ("eta = [0.01, 0.02]", "etaa = [0.01]", 12, ["parameter 'etaa'", "'eta'"]),
        ("eta = [0.01, 0.02]", 'eta = [0.01, "fast"]', 12, ["eta", "number", "fast"]),
        ("eta = [0.01, 0.02]", "eta = []", 12, ["eta", "values are needed"]),
        ("eta = [0.01, 0.02]", "eta = 0.01", 12, ["eta", "a list is needed"]),
        ("eta = [0.01, 0.02]", "hidden = [5, 6]", 12, ["hidden", "[settings]", "[grid]"]),
        ("lanes = {low = 1", "lnes = {low = 1", 15, ["parameter 'lnes'", "'lanes'"]),
        ("low = 1", "low = 0, scale = 'log'", 15, ["lanes"]),
        ("low = 1", "low = 9", 15, ["lanes", "low must be below high"]),
        ("low = 1, high = 5", "high = 5", 15, ["lanes", "low is needed"]),
        ("low = 1", "low = 1, scale = 'lag'", 15, ["scale", "'log'"]),
        ("low = 1, high = 5", "choices = []", 15, ["lanes", "choices are needed"]),
        ("{low = 1, high = 5}", "5", 15, ["lanes", "low = "]),
        ("samples = 3", "samples = 0", 14, ["samples"]),
        ('["feedback_alignment"]', '["feedback_aligment"]', 3, ["condition", "'feedback_alignment'"]),
        ("[settings]", 'metric = "test eror"\n[settings]', 4, ["metric 'test eror'", "there are test nse"]),
        ("[settings]", 'metrik = "test nse"\n[settings]', 4, ["key 'metrik'", "'metric'"]),
        ("[settings]", 'when = "first"\n[settings]', 4, ["when"]),
        ("[settings]", "seed = 1\nseeds = [1]\n[settings]", 5, ["seed and seeds"]),
        ("[settings]", "seeds = [1, -1]\n[settings]", 4, ["seeds", "-1"]),
        ("[settings]", "limit = 5\n[settings]", 4, ["limit", "its own examples"]),
        ("[settings]", "[settings", 4, ["TOML"]),
        ("examples = 20", "examples = 1", 15, ["lanes", "need as many training examples"]),
    ],
)  # fmt: skip
def test_mistake_in_a_file_is_named_with_its_line_before_anything_runs(write, command, tmp_path, old, new, line, words):
    text = SMALL + "[grid]\neta = [0.01, 0.02]\n[random]\nsamples = 3\nlanes = {low = 1, high = 5}\n"
    assert old in text
    path = write(text.replace(old, new, 1))
    status, out, error = command("sweep", path)
    assert (status, out, error.count("\n")) == (2, "", 1), error
    assert f"rates.toml, line {line}:" in error, error
    assert all(word in error for word in words), error
    assert sorted(os.listdir(tmp_path)) == ["here", "rates.toml"] and not os.listdir(".")


def test_example_of_the_page_on_sweeps_and_our_own_files_are_read(write):
    page = (ROOT / "docs" / "sweeps.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert len(sweep.read(write(block)).tasks) == 240 and "240 tasks" in page
    for path in (ROOT / "models" / "sweeps").glob("*.toml"):
        assert sweep.find(path.stem).read_bytes() == path.read_bytes() and sweep.read(path).tasks


# Carrying it out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep that two processes have carried out: its file, read, and its folder."""
    folder = tmp_path_factory.mktemp("sweep")
    path = folder / "rates.toml"
    path.write_text(SMALL + "[grid]\neta = [0.001, 1e9]\nlanes = [4, 5]\n")
    made = sweep.read(path)
    assert campaign.carry_out(made, folder / "out", workers=2, say=lambda _: None), "tasks that diverge have not failed"
    return made, folder / "out"


def test_tasks_are_runs_that_equal_those_done_alone(finished, tmp_path):
    made, folder = finished
    assert {path.name for path in folder.iterdir()} == {
        "sweep.toml", "sweep.json", "table.csv", "table.parquet", "tasks", "figures",
    }  # fmt: skip
    done = [task for task in made.tasks if records(folder)[task.key]["status"] == "finished"]
    assert len(done) == 2
    for task in done:
        assert results(folder, task) == alone(task, tmp_path / task.key)


def test_table_says_what_the_runs_say(finished):
    made, folder = finished
    rows = table(folder)
    assert [row["task"] for row in rows] == [task.key for task in made.tasks]
    for row, task in zip(rows, made.tasks, strict=True):
        assert (float(row["eta"]), row["lanes"]) == (float(task.job.settings["eta"]), task.job.settings["lanes"])
        run = Run.open(folder / row["folder"])
        assert row["status"] == run.record["status"] == ("diverged" if float(row["eta"]) > 1 else "finished")
        if row["status"] == "finished":
            values = outcome(run, None, "test nse")
            assert float(row["mean"]) == pytest.approx(values.mean(), rel=1e-12) and int(row["n"]) == len(values) == 3
            assert float(row["low"]) < values.mean() < float(row["high"])
        else:
            assert row["mean"] == row["low"] == row["high"] == ""


def test_parquet_holds_the_same_as_csv(finished):
    _, folder = finished
    columns = pyarrow.parquet.read_table(folder / "table.parquet").to_pydict()
    rows = table(folder)
    assert list(columns) == list(rows[0])
    for k, row in enumerate(rows):
        for name, text in row.items():
            value = columns[name][k]
            assert text == ("" if value is None else str(value)), name
    assert {type(value) for value in columns["eta"]} == {float} and {type(value) for value in columns["seed"]} == {int}


def test_figures_are_there_and_have_titles(finished):
    from PIL import Image

    _, folder = finished
    assert {path.name for path in (folder / "figures").iterdir()} == {"parallel_coordinates.png", "heat_map.png"}
    for path in (folder / "figures").iterdir():
        assert Image.open(path).text["Title"].endswith(".")


def test_same_command_repeats_nothing_and_starts_no_worker(finished, monkeypatch):
    made, folder = finished
    before, said = records(folder), []
    monkeypatch.setattr(cluster, "connected", lambda *_: pytest.fail("workers were started"))
    assert campaign.carry_out(made, folder, say=said.append)
    assert records(folder) == before and "4 done before, 0 new" in said[0]
    assert any(line.startswith("diverged  2 of 4: eta=") for line in said)
    assert any(line.startswith("best      test nse") for line in said)


def test_file_may_add_tasks_of_which_one_fails_but_not_drop_any(finished, tmp_path):
    made, folder = finished
    folder = Path(shutil.copytree(folder, tmp_path / "out"))
    before = records(folder)
    path = tmp_path / "rates.toml"
    path.write_text(made.spec.content.decode().replace("1e9]", "1e9, 0.02]"))
    more, said = sweep.read(path), []
    bad, good = (task for task in more.tasks if task.key not in before)
    (folder / bad.name).mkdir()
    (folder / bad.name / "mine.txt").touch()
    assert not campaign.carry_out(more, folder, workers=1, say=said.append), "one has failed"
    assert "6 tasks, 4 done before, 2 new" in said[0]
    assert any(f"{bad.key} (eta=0.02 lanes=4): " in line and "not an empty folder" in line for line in said)
    after = records(folder)
    assert set(after) == {*before, good.key} and before.items() <= after.items()
    assert {row["task"]: row["status"] for row in table(folder)}[bad.key] == "failed"
    known = json.loads((folder / "sweep.json").read_text())
    assert [each["sha256"] for each in known["earlier"]] == [made.spec.sha256] and known["sha256"] == more.spec.sha256
    with pytest.raises(ParameterError, match="2 tasks that rates.toml no longer has"):
        campaign.carry_out(made, folder, say=said.append)
    assert (folder / "sweep.toml").read_bytes() == more.spec.content


def test_folder_of_something_else_is_refused(finished, tmp_path):
    made, _ = finished
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ParameterError, match="not the folder of a sweep"):
        campaign.carry_out(made, tmp_path, say=print)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_folder_is_for_one_command_at_a_time(finished):
    made, folder = finished
    holder = Run(folder, {})
    holder.hold()
    with pytest.raises(ParameterError, match="another neurosim sweep"):
        campaign.carry_out(made, folder, say=print)
    holder.release()


def test_kernels_that_a_task_needs_are_compiled_by_the_warm_up(tmp_path, monkeypatch, write):
    from neurosim.plasticity import compile as compiling

    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "_compiled", {})
    task = sweep.read(write(SMALL.replace('["feedback_alignment"]', '["feedback_alignment", "backprop"]'))).tasks[0]
    cluster.warm_up({"job": task.job.as_json()})
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    task.job.carry_out(tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()} == files


def test_jobs_that_differ_in_numbers_only_are_of_one_kind():
    def kind(**settings):
        return cluster.kind(Job("lillicrap_2016.deep", settings={k: str(v) for k, v in settings.items()}))

    assert kind(eta=0.1) == kind(eta=0.2, lanes=5) == kind(lanes=7)
    assert len({kind(), kind(lanes=1), kind(replicas=1 + 8), kind(replicas=1)}) >= 2


# Workers


def test_worker_with_other_versions_is_told_by_what_differs():
    ours = {"Python": "3.11", "numpy": "2.3.0", "neurosim's sources": "abc"}
    assert cluster.differences(dict(ours), ours) == ""
    assert cluster.differences(ours | {"numpy": "1.26"}, ours) == "numpy is 1.26, here 2.3.0"
    assert cluster.differences({"Python": "3.11", "numpy": "2.3.0"}, ours) == "neurosim's sources is missing, here abc"


def test_workers_that_do_not_see_the_folder_are_listed(tmp_path):
    class Client:
        def run(self, function, *_, **__):
            good = {"facts": cluster.facts(), "sees": True, "wrote": cluster.SESSION + "-1"}
            (tmp_path / good["wrote"]).touch()
            return {"tcp://one": good, "tcp://two": good | {"sees": False}, "tcp://three": good | {"wrote": "nothing"}}

    with cluster.Session(tmp_path) as session, pytest.raises(ParameterError, match="2 of 3 workers") as error:
        cluster.check_workers(Client(), session)
    assert "tcp://two, tcp://three" in str(error.value) and "tcp://one" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_task_that_kills_its_worker_again_and_again_is_given_up_and_the_others_are_done(tmp_path, monkeypatch):
    def work(order):
        if order["name"] == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"status": "finished", "reason": ""}

    monkeypatch.setattr(cluster, "work", work)
    monkeypatch.setattr(cluster, "GIVE_UP", 2)
    orders = {name: {"folder": str(tmp_path), "name": name, "token": "t"} for name in ("one", "killer", "two", "three")}
    with cluster.connected(2) as client:
        ended = dict(cluster.hand_out(client, orders, print, "here"))
    assert ended.pop("killer") == {"status": "failed", "reason": "2 workers were killed at it, one after another"}
    assert {name: each["status"] for name, each in ended.items()} == dict.fromkeys(("one", "two", "three"), "finished")


@pytest.mark.slow
def test_task_that_gets_further_each_time_is_not_given_up(tmp_path, monkeypatch):
    def work(order):
        folder = Path(order["folder"]) / order["name"] / "checkpoint"
        folder.mkdir(parents=True, exist_ok=True)
        done = len(list(folder.iterdir()))
        if done == 9:
            return {"status": "finished", "reason": ""}
        (folder / str(done)).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(cluster, "work", work)
    monkeypatch.setattr(cluster, "GIVE_UP", 2)
    with cluster.connected(1) as client:
        orders = {"a": {"folder": str(tmp_path), "name": "a", "token": "t"}}
        assert dict(cluster.hand_out(client, orders, print, "here"))["a"]["status"] == "finished"


def test_scheduler_that_no_longer_answers_is_said_in_one_line(tmp_path):
    class Client:
        status = "connecting"

    with pytest.raises(RunError, match="scheduler at tcp://x is lost.*the same command goes on"):
        list(cluster.hand_out(Client(), {"a": {"folder": str(tmp_path), "name": "a", "token": "t"}}, print, "tcp://x"))


class Processes:
    """A scheduler and workers of Dask as processes of their own."""

    def __init__(self, folder):
        self.folder, self.running = folder, []
        self.address = None

    def start(self, name, *arguments, **environment):
        """Start ``dask scheduler`` or ``dask worker``."""
        log = (self.folder / f"{name}-{len(self.running)}.log").open("w")
        settings = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        each = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments],
            env=os.environ | settings | environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
        )  # fmt: skip
        self.running.append(each)
        return each

    def scheduler(self):
        """Start a scheduler and wait for its address."""
        path = self.folder / f"scheduler-{len(self.running)}.json"
        each = self.start("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={path}")
        for _ in range(600):
            if path.is_file() and (text := path.read_text()):
                self.address = json.loads(text)["address"]
                return each
            time.sleep(0.05)
        pytest.fail("no scheduler")

    def worker(self, *arguments, **environment):
        """Start a worker with one thread, without a nanny."""
        options = (
            "--nthreads=1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit=0",
            f"--local-directory={self.folder}",
        )
        return self.start("worker", self.address, *options, *arguments, **environment)

    def end(self):
        """Kill what still runs."""
        for each in self.running:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


@pytest.fixture
def processes(tmp_path):
    (tmp_path / "dask").mkdir()
    found = Processes(tmp_path / "dask")
    yield found
    found.end()


def sweeping(folder, *arguments):
    """Start ``neurosim sweep rates.toml --out out`` as a process."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "neurosim.cli", "sweep", "rates.toml", "--out", "out", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def wait_until(condition, seconds=60):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def statuses(folder):
    return [each["status"] for each in records(folder).values()]


def test_workers_killed_at_random_change_nothing(write, processes, tmp_path):
    made = sweep.read(write(LONG))
    processes.scheduler()
    workers = [processes.worker(), processes.worker()]
    asked = sweeping(tmp_path, "--scheduler", processes.address, "--checkpoint-every", "0.2")
    wait_until(lambda: "finished" in statuses(tmp_path / "out"))
    draw, killed, seen = random.Random(5), 0, {}
    while asked.poll() is None and killed < 3:
        time.sleep(draw.uniform(0.2, 1.2))
        seen |= {key: each for key, each in records(tmp_path / "out").items() if each["status"] == "finished"}
        victim = draw.randrange(2)
        workers[victim].kill()
        workers[victim] = processes.worker()
        killed += 1
    out, error = asked.communicate(timeout=120)
    assert asked.returncode == 0, error
    ended = records(tmp_path / "out")
    assert killed >= 1 and {each["status"] for each in ended.values()} == {"finished"}
    assert any("resumed" in each for each in ended.values()), "no kill has hit a task"
    assert seen and all(ended[key] == each for key, each in seen.items()), "a finished task was repeated"
    resumed = [task for task in made.tasks if "resumed" in ended[task.key]]
    for task in {task.key: task for task in (*resumed, *made.tasks[:2])}.values():
        assert results(tmp_path / "out", task) == alone(task, tmp_path / "alone" / task.key)


@pytest.mark.slow
def test_lost_scheduler_ends_the_command_and_the_same_one_goes_on(write, processes, tmp_path):
    made = sweep.read(write(LONG))
    scheduler = processes.scheduler()
    processes.worker()
    asked = sweeping(tmp_path, "--scheduler", processes.address, "--checkpoint-every", "0.2")
    wait_until(lambda: "finished" in statuses(tmp_path / "out"))
    scheduler.kill()
    out, error = asked.communicate(timeout=60)
    assert asked.returncode == 1
    assert f"the scheduler at {processes.address} is lost" in error.splitlines()[-1] and "Traceback" not in error
    before = {key: each for key, each in records(tmp_path / "out").items() if each["status"] == "finished"}
    assert 1 <= len(before) < 4 and len(table(tmp_path / "out")) == 4
    processes.scheduler()
    processes.worker()
    asked = sweeping(tmp_path, "--scheduler", processes.address)
    out, error = asked.communicate(timeout=120)
    assert asked.returncode == 0, error
    after = records(tmp_path / "out")
    assert f"{len(before)} done before" in out and before.items() <= after.items()
    assert [each["status"] for each in after.values()] == ["finished"] * 4
    resumed = [task for task in made.tasks if "resumed" in after[task.key]]
    for task in resumed or made.tasks[:1]:
        assert results(tmp_path / "out", task) == alone(task, tmp_path / "alone" / task.key)


def test_workers_with_another_neurosim_are_refused_and_listed(write, processes, tmp_path):
    write(SMALL + "[grid]\neta = [0.01, 0.02]\n")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "neurosim", copy / "neurosim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", copy / "neurosim_models", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "neurosim" / "analysis.py").open("a") as stream:
        stream.write("# changed\n")
    processes.scheduler()
    processes.worker("--name=same")
    processes.worker("--name=other", PYTHONPATH=os.pathsep.join([str(copy), *sys.path]))
    from distributed import Client

    with Client(processes.address) as client:
        client.wait_for_workers(2, timeout=60)
        addresses = {each["name"]: address for address, each in client.scheduler_info()["workers"].items()}
    asked = sweeping(tmp_path, "--scheduler", processes.address)
    out, error = asked.communicate(timeout=60)
    assert asked.returncode == 2 and error.count("\n") == 1, error
    assert "1 of 2 workers have other versions" in error and "neurosim's sources is" in error
    assert addresses["other"] in error and addresses["same"] not in error
    assert records(tmp_path / "out") == {}


def test_unreachable_scheduler_is_refused_in_one_line(write, command, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 1)
    path = write(SMALL + "[grid]\neta = [0.01, 0.02]\n")
    for address, word in (("tcp://127.0.0.1:9", "no scheduler answers"), ("nonsense", "nonsense")):
        status, _, error = command("sweep", path, "--scheduler", address)
        assert (status, error.count("\n")) == (2, 1) and f"--scheduler {address}: " in error and word in error, error


@pytest.mark.slow
def test_interrupted_sweep_stops_its_workers_and_goes_on_later(write, tmp_path):
    made = sweep.read(write(LONG))
    asked = sweeping(tmp_path, "--workers", "2", "--checkpoint-every", "0.2")
    wait_until(lambda: "finished" in statuses(tmp_path / "out"))
    os.killpg(asked.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, error = asked.communicate(timeout=30)
    assert asked.returncode == 1 and error.splitlines()[-1] == "neurosim: interrupted" and "Traceback" not in error
    before = {key: each for key, each in records(tmp_path / "out").items() if each["status"] == "finished"}
    assert 1 <= len(before) < 4
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    time.sleep(1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == again, "a worker goes on"
    assert campaign.carry_out(made, tmp_path / "out", workers=1, say=lambda _: None)
    after = records(tmp_path / "out")
    assert before.items() <= after.items() and statuses(tmp_path / "out") == ["finished"] * 4
    for task in made.tasks:
        assert results(tmp_path / "out", task) == alone(task, tmp_path / "alone" / task.key)


def test_options_that_exclude_each_other_are_refused(write, command):
    path = write(SMALL)
    status, _, error = command("sweep", path, "--workers", "1", "--scheduler", "tcp://127.0.0.1:9")
    assert status == 2 and "leave one out" in error


def test_wrong_folder_or_missing_file_is_one_line(command):
    status, _, error = command("sweep", "missing.toml")
    assert status == 2 and "missing.toml" in error and error.count("\n") == 1
    assert issubclass(ParameterError, NeurosimError)
