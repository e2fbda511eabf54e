"""Sweeps: one experiment with many settings, from a file, on all cores or on a cluster; every task is a run's folder.

sweep.toml              the file
sweep.json              its hash, and the tasks that it stands for
tasks/KEY/              a run's folder for each task, see :mod:`neurosim.runs`; KEY is a hash of what decides its result
table.csv, .parquet     one row a task and condition
figures/                what the metric was over the settings
"""

import csv
import io
import json
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from neurosim import cluster
from neurosim.analysis import mean_interval
from neurosim.errors import BusyError, ParameterError, unknown
from neurosim.job import TARGETS, Job, Prepared, find_one, inputs_of
from neurosim.outcomes import SPLITS, check_when, outcome, outcomes_known, outcomes_offered
from neurosim.runs import Run, versions
from neurosim.sampling import combinations, heading, number_of, read_range
from neurosim.specification import Specification

FORMAT = 1
KEYS = (
    "title", "model", "data", "conditions", "seed", "seeds", "limit", "validation", "target", "metric", "when", "best",
    "settings", "grid", "random",
)  # fmt: skip
DONE = ("finished", "diverged")
CHECKPOINT_EVERY = 30  # seconds: what a killed worker costs at most
BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} tasks, {elapsed} passed, {remaining} left{postfix}"
TABLE_EVERY = 5  # seconds between tables while tasks run


@dataclass(frozen=True)
class Task:
    """One run of a sweep: the job, what is looked up for it, and what the sweep sets, as texts by name."""

    job: Job
    prepared: Prepared
    chosen: dict

    @cached_property
    def key(self):
        """Hash of what decides its result."""
        return self.prepared.key()

    @property
    def name(self):
        """Of its folder in that of the sweep."""
        return f"tasks/{self.key}"

    @property
    def words(self):
        """What the sweep sets, as a user would type it."""
        return " ".join(f"{name}={text}" for name, text in self.chosen.items())


@dataclass(frozen=True)
class Sweep:
    """A file that was read: its tasks, and what is looked at.

    Attributes
    ----------
    spec : Specification
        The file.
    tasks : tuple of Task
        Without repetitions, the first seed's first; each setting's grid and samples in the order of the file.
    parameters : dict of str to Parameter
        What the sweep sets differently from task to task, and how it is called, its unit and range.
    logarithmic : frozenset of str
        Parameters that were drawn, or whose grid was chosen, on a logarithmic scale.
    metric, when : str
        See :mod:`neurosim.outcomes`.
    best : {"lowest", "highest"}
        Which value of the metric is the best.
    repeated : int
        Tasks that were the same as others.
    """

    spec: Specification
    tasks: tuple
    parameters: dict
    logarithmic: frozenset
    metric: str
    when: object
    best: str
    repeated: int


def find(name):
    """Return the path of a file, or of one of ours by its name, as ``learning_rate``.

    Raises
    ------
    ParameterError
        If there is no such file.
    """
    import neurosim_models

    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    ours = {each.stem: each for each in sorted((Path(neurosim_models.__path__[0]) / "sweeps").glob("*.toml"))}
    if str(name) not in ours:
        raise unknown("sweep", name, ours, "; or name a file that ends in .toml")
    return ours[str(name)]


def read(path):
    """Read a sweep's file and check all of its tasks before any is run.

    Raises
    ------
    NeurosimError
        With the line in the file, for what is unknown or out of its range.
    """
    spec = Specification.read(path)
    spec.check((), KEYS)
    model = spec.value("model", kind=str)
    if model is None:
        raise spec.error("model is needed, as model = 'lillicrap_2016.spiking' (see neurosim list)")
    with spec.naming(("model",)):
        full, _, experiment = find_one(model)
    more = {name: spec.value(name, kind=int) for name in ("limit", "validation")}
    more["target"] = spec.value("target", kind=TARGETS, default="numpy")
    base = Job(full, data=spec.value("data", kind=str), **more)
    with spec.naming(next(((name,) for name in ("limit", "validation") if name in spec.tables), ("data",))):
        prepared = base.checked()
        examples = None if prepared.makes_own_data else prepared.examples()
    base = replace(base, data=prepared.asked["data"])
    known = experiment.parameters_for(*((base.data,) if examples is None else (examples.name, inputs_of(examples))))
    settings = {name: spec.text(value) for name, value in spec.value("settings", kind=dict, default={}).items()}
    _check_names(spec, "settings", settings, known)
    for name, text in settings.items():
        with spec.naming(("settings", name)):
            known[name].read(text)
    grid, samples, logarithmic = _grid(spec, known, experiment), {}, set()
    stated = spec.value("random", kind=dict, default={})
    count = spec.value("random", "samples", kind=int, default=1, within=(1, 10**6))
    _check_names(spec, "random", [name for name in stated if name not in ("samples", "seed")], known)
    for name in stated:
        if name not in ("samples", "seed"):
            drawn = read_range(spec, ("random", name), known[name])
            seed = spec.value("random", "seed", kind=int, default=1, within=(0, 2**32 - 1))
            samples[name] = drawn.draw(name, count, seed)
            logarithmic |= {name} if drawn.scale == "log" else set()
    for one, other in (("settings", "grid"), ("settings", "random"), ("grid", "random")):
        for name in set(spec.get(one, default={})) & set(spec.get(other, default={})):
            raise spec.error(f"{name} is set in [{one}] and in [{other}]: leave one out", other, name)
    names = _conditions(spec, experiment)
    if names is not None and "conditions" in grid:
        raise spec.error("conditions are set twice: leave one out", "grid", "conditions")
    tasks = {}
    points = combinations(grid, samples)
    seeds = _seeds(spec)
    for seed in seeds:
        for chosen in points:
            own = {name: text for name, text in chosen.items() if name != "conditions"}
            conditions = chosen["conditions"].split(",") if "conditions" in chosen else names
            job = replace(base, settings=settings | own, conditions=conditions, seed=seed)
            with spec.naming(("grid",), ("random",), ("settings",)):
                prepared = job.checked(examples)
                prepared.check_values(prepared.examples() if examples is None else examples)
            told = chosen | ({"seed": str(seed)} if len(seeds) > 1 else {})
            task = Task(job, prepared, told)
            tasks.setdefault(task.key, task)
    metric, when = _metric(spec, experiment, next(iter(tasks.values())), examples)
    logarithmic |= {name for name in grid if name in known and _is_geometric(grid[name], known[name])}
    return Sweep(
        spec, tuple(tasks.values()), {name: known[name] for name in (*grid, *samples) if name in known},
        frozenset(logarithmic), metric, when, spec.value("best", kind=("lowest", "highest"), default="lowest"),
        len(seeds) * len(points) - len(tasks),
    )  # fmt: skip


def _check_names(spec, table, names, known):
    for name in names:
        if name not in known:
            raise unknown("parameter", name, known, error=lambda text, name=name: spec.error(text, table, name))


def _grid(spec, known, experiment):
    """Return {name: [texts]} of the file's grid."""
    stated = spec.value("grid", kind=dict, default={})
    _check_names(spec, "grid", stated, {**known, "conditions": None})
    grid = {}
    for name in stated:
        values = spec.value("grid", name, kind=list)
        if not values:
            raise spec.error(f"{name}: values are needed, got none", "grid", name)
        grid[name] = []
        for k, value in enumerate(values):
            with spec.naming(("grid", name, k)):
                text = spec.text(value)
                for each in text.split(",") if name == "conditions" else ():
                    if each not in experiment.conditions:
                        raise unknown("condition", each, experiment.conditions)
                if name != "conditions":
                    known[name].read(text)
                grid[name].append(text)
    return grid


def _conditions(spec, experiment):
    """Return the conditions of every task, or None for all of the experiment."""
    names = spec.value("conditions", kind=list)
    for k, name in enumerate(names or ()):
        if name not in experiment.conditions:
            raise unknown(
                "condition", name, experiment.conditions, error=lambda text, k=k: spec.error(text, "conditions", k)
            )
    return names


def _seeds(spec):
    if "seed" in spec.tables and "seeds" in spec.tables:
        raise spec.error("seed and seeds are both set: leave one out", "seeds")
    if "seeds" not in spec.tables:
        return [spec.value("seed", kind=int, default=1, within=(0, 2**32 - 1))]
    seeds = spec.value("seeds", kind=list)
    if not seeds:
        raise spec.error("seeds are needed, got none", "seeds")
    return [spec.value("seeds", k, kind=int, within=(0, 2**32 - 1)) for k in range(len(seeds))]


def _metric(spec, experiment, task, examples):
    """Return the metric and when it is read; one that is not the experiment's own is looked for in a network."""
    metric = spec.value("metric", kind=str, default=f"test {experiment.metric}")
    when = spec.get("when", default="last")
    with spec.naming(("when",)):
        check_when(when)
    usual = [f"{split} {experiment.metric}" for split in SPLITS]
    if metric not in usual:
        examples = task.prepared.examples() if examples is None else examples
        offered = dict.fromkeys(usual)
        for values in task.prepared.conditions.values():
            offered |= dict.fromkeys(outcomes_offered(experiment, experiment.build(values, examples, task.job.seed)))
        if metric not in offered:
            raise unknown("metric", metric, offered, error=lambda text: spec.error(text, "metric"))
    return metric, when


def _is_geometric(texts, parameter):
    """Say whether the values of a grid are spaced by factors rather than by steps."""
    values = np.array([v for v in (number_of(parameter, parameter.read(text)) for text in texts) if not _is_text(v)])
    if len(values) < 3 or len(values) < len(texts) or (values <= 0).any() or len(set(values)) < 3:
        return False
    values = np.sort(values.astype(float))
    return np.ptp(np.diff(np.log(values))) < 0.5 * np.ptp(np.log(values)) and values[-1] > 5 * values[0]


def _is_text(value):
    return isinstance(value, str)


# The folder


class Folder:
    """The folder of a sweep: its tasks' runs, and its table."""

    def __init__(self, path, sweep):
        self.path, self.sweep = Path(path), sweep
        self._files = Run(self.path, {})
        self._rows = {}

    def begin(self):
        """Make the folder, or go on with the one there; return the status of each task's run, by key.

        Raises
        ------
        ParameterError
            If the folder holds something else, a sweep with tasks that this one has not, or another command is at it.
        """
        before = self._before()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"{self.path}: cannot be made: {error.strerror}") from None
        try:
            self._files.hold()
        except BusyError:
            raise BusyError(f"{self.path}: another neurosim sweep is at work in this folder") from None
        spec, tasks = self.sweep.spec, self.sweep.tasks
        earlier = before.get("earlier", [])
        if before and before["sha256"] != spec.sha256:
            earlier = [*earlier, {"sha256": before["sha256"], "at": before["at"]}]
        self._files.write("sweep.toml", spec.content)
        self._files.write_json("sweep.json", {
            "format": FORMAT, "file": spec.path.name, "sha256": spec.sha256,
            "at": datetime.now(UTC).isoformat(timespec="seconds"), "earlier": earlier, "metric": self.sweep.metric,
            "when": self.sweep.when, "versions": versions(),
            "tasks": [{"key": task.key, "job": task.job.as_json()} for task in tasks],
        })  # fmt: skip
        return {task.key: self.status(task) for task in tasks}

    def _before(self):
        """Return sweep.json as it was left, or an empty dict."""
        if not self.path.exists():
            return {}
        path = self.path / "sweep.json"
        if not self.path.is_dir() or (not path.is_file() and any(self.path.iterdir())):
            raise ParameterError(f"{self.path} is not the folder of a sweep; give another to --out")
        try:
            before = json.loads(path.read_text()) if path.is_file() else {}
            keys = {each["key"] for each in before.get("tasks", ())}
        except (OSError, ValueError, KeyError, TypeError):
            raise ParameterError(f"{path}: cannot be read; give another folder to --out") from None
        if gone := keys - {task.key for task in self.sweep.tasks}:
            raise ParameterError(
                f"{self.path} holds a sweep with {len(gone)} tasks that {self.sweep.spec.path.name} no longer has; a "
                "file may add tasks to its folder: for another sweep give another folder to --out"
            )
        return before

    def end(self):
        """Let others work in the folder."""
        self._files.release()

    def status(self, task):
        """Return the status of a task's run, "waiting" where there is none yet."""
        try:
            return Run.open(self.path / task.name).record["status"]
        except ParameterError:
            return "waiting"

    def rows(self, statuses):
        """Return the table: a dict for each task and condition, None where there is no number (yet).

        Parameters
        ----------
        statuses : dict of str to str
            Status of each task by key.
        """
        found = []
        for task in self.sweep.tasks:
            status = statuses[task.key]
            if status in DONE and task.key not in self._rows:
                self._rows[task.key] = self._rows_of(task, status)
            found += self._rows.get(task.key) or self._rows_of(task, status)
        return found

    def _rows_of(self, task, status):
        run = Run.open(self.path / task.name) if status in DONE else None
        wall = run.record["times"].get("wall_s") if run else None
        return [
            {
                "task": task.key,
                "condition": condition,
                **{heading(p): number_of(p, values[name]) for name, p in self.sweep.parameters.items()},
                "seed": task.job.seed,
                "metric": self.sweep.metric,
                **self._numbers(run, condition),
                "status": status,
                "wall_s": wall,
                "folder": task.name,
            }
            for condition, values in task.prepared.conditions.items()
        ]

    def _numbers(self, run, condition):
        """Return mean, interval and number of the replicas that have the metric."""
        empty = {"mean": None, "low": None, "high": None, "n": 0}
        if run is None or (run.record["status"] == "diverged" and not (run.folder / "metrics.csv").is_file()):
            return empty
        if run.record["status"] == "diverged" and self.sweep.metric not in outcomes_known(run):
            return empty
        bounds = (0, 1) if self.sweep.metric.endswith(" error") and self.sweep.when == "last" else (-np.inf, np.inf)
        found = vars(mean_interval(outcome(run, condition, self.sweep.metric, self.sweep.when), within=bounds))
        return {name: value if np.isfinite(value) else None for name, value in found.items()}

    def write_table(self, rows):
        """Write table.csv and table.parquet."""
        import pyarrow
        import pyarrow.parquet

        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._files.write("table.csv", text.getvalue().encode())
        types = {"mean": "double", "low": "double", "high": "double", "wall_s": "double"}
        columns = {name: pyarrow.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
        stream = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), stream)
        self._files.write("table.parquet", stream.getvalue())

    def draw(self, rows):
        """Draw the figures; return their paths."""
        from neurosim import sweep_figures

        (self.path / "figures").mkdir(exist_ok=True)
        paths = []
        for name, image in sweep_figures.images(self.sweep, rows):
            self._files.write(f"figures/{name}.png", image)
            paths.append(self.path / "figures" / f"{name}.png")
        return paths


# Carrying it out


def carry_out(sweep, path, *, workers=None, scheduler=None, checkpoint_every=CHECKPOINT_EVERY, say=print):
    """Carry out the tasks of a sweep that are not finished.

    Parameters
    ----------
    sweep : Sweep
        As :func:`read` returns it.
    path : path
        The sweep's folder; one of the same sweep is gone on with.
    workers : int, optional
        Processes on this machine; one a core if left out.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers carry out the tasks instead.
    checkpoint_every : float
        Seconds between checkpoints of a task.
    say : callable (text) -> None
        Told what is done.

    Returns
    -------
    bool
        Whether no task failed; one that diverged has not failed.

    Raises
    ------
    ParameterError
        If the folder or the scheduler cannot be used, or workers have other versions.
    RunError
        If the scheduler is lost; the same call goes on.
    """
    folder = Folder(path, sweep)
    statuses = folder.begin()
    try:
        _say_plan(sweep, statuses, say)
        reasons = {}
        try:
            left = [task for task in sweep.tasks if statuses[task.key] not in DONE]
            if left:
                count = min(workers or _cores(), len(left))
                _carry_out(folder, left, statuses, reasons, count, scheduler, checkpoint_every, say)
        finally:
            rows = folder.rows(statuses)
            folder.write_table(rows)
        _say_results(sweep, folder, rows, reasons, say)
    finally:
        folder.end()
    return not reasons


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _carry_out(folder, left, statuses, reasons, count, scheduler, checkpoint_every, say):
    from tqdm.auto import tqdm

    with cluster.Session(folder.path) as session, cluster.connected(count, scheduler) as client:
        name = scheduler or "this machine"
        _wait_for_workers(client, name, say)
        cluster.check_workers(client, session)
        cluster.prepare_workers(client, local=scheduler is None)
        threads = sum(client.nthreads().values())
        say(f"workers   {threads} at {scheduler}" if scheduler else f"workers   {threads} processes on this machine")
        common = {"folder": str(session.folder), "token": session.token, "facts": cluster.facts()}
        orders = {
            task.key: common | {"name": task.name, "job": task.job.as_json(), "checkpoint_every": checkpoint_every}
            for task in left
        }
        kinds = {}
        for task in left:
            kinds.setdefault(cluster.kind(task.job), []).append(orders[task.key])
        cluster.warm(client, [alike[0] for alike in kinds.values() if len(alike) > 1])
        done, written = len(statuses) - len(left), time.monotonic()
        with tqdm(total=len(statuses), initial=done, desc="sweep", bar_format=BAR, dynamic_ncols=True) as bar:
            for key, result in cluster.hand_out(client, orders, lambda text: bar.write(f"note      {text}"), name):
                statuses[key] = result["status"]
                if result["status"] not in DONE:
                    reasons[key] = result["reason"]
                    bar.set_postfix_str(f"{len(reasons)} failed")
                bar.update()
                if time.monotonic() - written > TABLE_EVERY:
                    folder.write_table(folder.rows(statuses))
                    written = time.monotonic()


def _wait_for_workers(client, name, say):
    began = time.monotonic()
    told = False
    while not client.nthreads():
        if not told and time.monotonic() - began > 2:
            say(f"note      {name} has no workers yet: waiting for some")
            told = True
        time.sleep(cluster.POLL)


def _say_plan(sweep, statuses, say):
    done = sum(status in DONE for status in statuses.values())
    begun = sum(status not in (*DONE, "waiting") for status in statuses.values())
    words = [f"{done} done before"] * (done > 0) + [f"{begun} begun before"] * (begun > 0)
    words += [f"{len(statuses) - done - begun} new"]
    say(f"sweep     {sweep.spec.name}: {len(statuses)} tasks, {', '.join(words)}")
    if sweep.repeated:
        say(f"note      {sweep.repeated} settings are the same as others and run once")


def _say_results(sweep, folder, rows, reasons, say):
    several = len({row["condition"] for row in rows}) > 1
    words = {task.key: task.words for task in sweep.tasks}
    found = [row for row in rows if row["mean"] is not None]
    if found:
        best = (min if sweep.best == "lowest" else max)(found, key=lambda row: row["mean"])
        name = f"{best['condition']} " * (several and "conditions" not in words[best["task"]])
        interval = f" ({best['low']:.4g} to {best['high']:.4g})" if best["low"] is not None else ""
        say(f"best      {sweep.metric} {best['mean']:.4g}{interval}: {name}{words[best['task']]}".rstrip(": "))
    diverged = list(dict.fromkeys(row["task"] for row in rows if row["status"] == "diverged"))
    if diverged:
        shown = "; ".join(words[key] for key in diverged[:3]) + "; ..." * (len(diverged) > 3)
        say(f"diverged  {len(diverged)} of {len(sweep.tasks)}: {shown}")
    for key, reason in reasons.items():
        say(f"failed    {folder.path / 'tasks' / key} ({words[key]}): {reason}")
    say(f"table     {folder.path / 'table.csv'}, {folder.path / 'table.parquet'}")
    for path in folder.draw(rows):
        say(f"figure    {path}")
