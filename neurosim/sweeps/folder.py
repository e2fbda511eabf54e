"""The folder of a sweep: runs of its tasks, and the table of what they gave.

sweep.toml              the file
sweep.json              its hash, and the tasks that it stands for
tasks/KEY/              a run's folder for each task, see :mod:`neurosim.runs`; KEY is a hash of what decides its result
table.csv, .parquet     one row a task and condition
figures/                what the metric was over the settings
"""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from neurosim.analysis import mean_interval
from neurosim.errors import BusyError, ParameterError
from neurosim.outcomes import outcome, outcomes_known
from neurosim.runs import Run, versions
from neurosim.sweeps.sampling import heading, number_of

FORMAT = 1
DONE = ("finished", "diverged")


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
        from neurosim.sweeps import figures as sweep_figures

        (self.path / "figures").mkdir(exist_ok=True)
        paths = []
        for name, image in sweep_figures.images(self.sweep, rows):
            self._files.write(f"figures/{name}.png", image)
            paths.append(self.path / "figures" / f"{name}.png")
        return paths
