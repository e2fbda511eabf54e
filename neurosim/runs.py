"""A run's folder: write, read, provenance.

    run.json       model, parameters with units and sources, conditions, seed, data with hash, versions, target, host,
                   times, status
    metrics.csv    one row a condition, epoch, replica and split: examples, error or nse, angles
    summary.json   final numbers beside the published ones
    traces.npz     traces, angles and measures; ``CONDITION/NAME`` and, as text, ``unit of CONDITION/NAME``
    weights.npz    weights, likewise
    study.npz      what an experiment computes beside training, by name
    checkpoint/    state from which a run that was cut off can go on; empty once it has finished
    figures/       one PNG a figure
    log.txt        what happened when

Every file is written aside and renamed, so that it is there whole or not at all. Nothing is pickled.
"""

import contextlib
import csv
import errno
import io
import json
import os
import platform
import shutil
import subprocess
import time
import zipfile
import zlib
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba
import numpy as np
from threadpoolctl import threadpool_info

from neurosim.errors import BusyError, ParameterError, RunError

try:
    import fcntl
except ImportError:  # Windows has other locks: runs are not held there
    fcntl = None

FILES = ("run.json", "metrics.csv", "summary.json", "traces.npz", "weights.npz", "study.npz", "log.txt")
FOLDERS = ("checkpoint", "figures")
UNIT = "unit of "
FORMAT = 2
WORDS = {"condition", "split"}  # columns of metrics.csv that are no numbers
COLUMNS = {"condition", "epoch", "replica", "split"}  # what every metrics.csv has
NEEDED = {"model", "times", "status"}  # what every run.json has


class Run:
    """A run's folder, to write into or to read from.

    Use :meth:`create` for a new one and :meth:`open` for one that exists.

    Attributes
    ----------
    folder : Path
        Where it is.
    record : dict
        What run.json holds.
    """

    def __init__(self, folder, record):
        self.folder, self.record = Path(folder), record
        self._started = time.monotonic()
        self._before = 0.0  # seconds that earlier processes spent on the run
        self._held = None
        self.written = -np.inf  # when results were last written

    @classmethod
    def create(cls, folder, record, force=False, room=0):
        """Make a new run's folder and write its run.json.

        Parameters
        ----------
        folder : path
            Must not exist, or be empty, unless ``force``.
        record : dict
            What is known before the run starts.
        force : bool
            Write over a run that the folder holds.
        room : int
            Bytes that the run will need on the disk.

        Raises
        ------
        ParameterError
            If the folder holds a run (without ``force``) or other files, cannot be made, or the disk has no room.
        """
        folder = Path(folder)
        try:
            taken = folder.exists() and (not folder.is_dir() or not _is_empty(folder))
            if taken and not _holds_run(folder):
                raise ParameterError(f"{folder} is not an empty folder; give a new one to --out")
            if taken and not force:
                raise ParameterError(f"{folder} holds a run already; give another folder to --out, or --force")
            parent = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
            free = shutil.disk_usage(parent).free
            if free < room:
                raise ParameterError(
                    f"{folder}: no room on the disk: {free / 1e6:.0f} MB left, the run needs {room / 1e6:.0f} MB"
                )
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, {})
            run.hold()
            for name in FILES if taken else ():
                (folder / name).unlink(missing_ok=True)
            for name in FOLDERS if taken else ():
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"{folder}: cannot be made: {error.strerror}") from None
        run.record = {"format": FORMAT, **record, "times": {"started": _now()}}
        run.set_status("running")
        run.release()
        return run

    @classmethod
    def open(cls, folder):
        """Open a run that exists, finished or running.

        Raises
        ------
        ParameterError
            If the folder holds no run or its run.json cannot be read.
        """
        path = Path(folder) / "run.json"
        try:
            if not path.is_file():
                raise ParameterError(f"{folder}: no run here (run.json is missing)")
            record = json.loads(path.read_text())
        except ParameterError:
            raise
        except (OSError, ValueError) as error:
            raise ParameterError(f"{path}: cannot be read: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT or not NEEDED <= set(record):
            raise ParameterError(f"{path}: not a run of this version of neurosim (format {FORMAT})")
        return cls(folder, record)

    def hold(self):
        """Keep other processes from writing into the folder until :meth:`release`, or until this process ends.

        Raises
        ------
        BusyError
            If another process is writing into it.
        """
        if fcntl is None or self._held is not None:
            return
        self._held = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise BusyError(f"{self.folder}: another process is simulating this run") from None
        except OSError:
            self.release()  # a file system without locks

    def release(self):
        """Let other processes write into the folder again."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def go_on(self):
        """Take a run that was cut off up again: it is running, and its time counts on."""
        self.hold()
        self._before = float(self.record["times"].get("wall_s") or 0)
        self._started = time.monotonic()
        self.record["times"].pop("ended", None)
        self.record.pop("reason", None)
        again = {"at": _now(), "versions": versions(), "host": host()}
        self.set_status("running", resumed=[*self.record.get("resumed", []), again])

    def set_status(self, status, **more):
        """Write run.json with this status (running, finished, interrupted, diverged or failed) and the time spent."""
        self.record |= {"status": status, **more}
        self.record["times"]["wall_s"] = round(self._before + time.monotonic() - self._started, 2)
        if status != "running":
            self.record["times"]["ended"] = _now()
        self.write_json("run.json", self.record)

    def log(self, line):
        """Add a line with the time to log.txt."""
        with writing(self.folder / "log.txt"), (self.folder / "log.txt").open("a") as stream:
            stream.write(f"{_now()} {line}\n")

    def write_json(self, name, value):
        """Write a JSON file."""
        self.write(name, (json.dumps(_without_nan(value), indent=2, default=_as_json, allow_nan=False) + "\n").encode())

    def write_metrics(self, rows):
        """Write metrics.csv from a list of dicts; nan, and what a row does not have, is left empty."""
        stream = io.StringIO()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(stream, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()})
        self.write("metrics.csv", stream.getvalue().encode())

    def write_arrays(self, name, arrays):
        """Write an .npz of ``{name: (array, unit)}``."""
        stream = io.BytesIO()
        flat = {key: value for key, (value, _) in arrays.items()}
        units = {UNIT + key: np.array(unit) for key, (_, unit) in arrays.items()}
        np.savez(stream, **flat, **units)
        self.write(name, stream.getvalue())

    def empty(self, name):
        """Remove the files of a folder of the run."""
        for path in (self.folder / name).glob("*"):
            with writing(path):
                path.unlink(missing_ok=True)

    def write(self, name, content):
        """Write a file of the folder aside, then rename it; a RunError says what failed."""
        path = self.folder / name
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with writing(path):
            try:
                with aside.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)

    def metrics(self):
        """Read metrics.csv: a dict of columns, numbers as floats (nan where empty), condition and split as text.

        Raises
        ------
        ParameterError
            If there are no metrics yet, or they cannot be read.
        """
        path = self.folder / "metrics.csv"
        if not path.is_file():
            raise ParameterError(f"{path}: no metrics yet; they are written at the end of the first epoch")
        try:
            with path.open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            if any(None in row.values() for row in rows):
                raise ParameterError(f"{path}: cut off: a row has fewer values than there are columns")
            if not rows or not COLUMNS <= set(rows[0]):
                raise ParameterError(
                    f"{path}: not a run's metrics, which have the columns {', '.join(sorted(COLUMNS))}"
                )
            return {
                key: np.array([row[key] if key in WORDS else float(row[key] or "nan") for row in rows])
                for key in rows[0]
            }
        except ParameterError:
            raise
        except (TypeError, ValueError, OSError, csv.Error):
            raise ParameterError(f"{path}: not a table of numbers") from None

    def of_condition(self, name, condition=None):
        """Read what an .npz holds of one condition, the first if it is left out, as ``{name: (array, unit)}``.

        Raises
        ------
        ParameterError
            If the file cannot be read, or holds nothing of that condition yet.
        """
        condition = next(iter(self.record["conditions"])) if condition is None else condition
        prefix = f"{condition}/"
        arrays = self.arrays(name)
        found = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        if not found:
            raise ParameterError(f"{self.folder / name}: nothing of condition {condition} yet")
        return found

    def arrays(self, name):
        """Read an .npz as ``{name: (array, unit)}``.

        Raises
        ------
        ParameterError
            If the file is not there yet or cannot be read.
        """
        path = self.folder / name
        if not path.is_file():
            raise ParameterError(f"{path}: not there yet; it is written at the end of the first epoch")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {key: (stored[key], str(stored[UNIT + key])) for key in stored if not key.startswith(UNIT)}
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ParameterError(f"{path}: cannot be read: {error}") from None


@contextlib.contextmanager
def writing(path):
    """Turn a failure to write this file into a RunError of one line."""
    try:
        yield path
    except OSError as error:
        reason = "no room on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise RunError(f"{path}: cannot be written: {reason}") from None


def new_folder(model, data):
    """Return a folder under ``runs/`` that does not exist yet, named by model, data and time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{model}-{data}-{stamp}"
    folder, k = base, 1
    while folder.exists():
        k += 1
        folder = base.with_name(f"{base.name}-{k}")
    return folder


def versions():
    """Return the versions of what a run rests on."""
    found = {"python": platform.python_version()}
    for package in ("neurosim", "brian2", "numpy", "scipy", "numba", "matplotlib", "scikit-learn"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        here = Path(__file__).resolve().parent
        if (here.parent / ".git").exists():
            git = ["git", "-C", str(here), "describe", "--always", "--dirty"]
            found["git"] = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return found


def host():
    """Return facts about the machine that a run's time depends on."""
    threads = {
        name: os.environ[name]
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        if name in os.environ
    }
    blas = [
        {key: pool[key] for key in ("internal_api", "version", "architecture", "num_threads") if key in pool}
        for pool in threadpool_info()
    ]
    facts = {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()}
    return facts | {"threads": threads, "numba_threads": numba.get_num_threads(), "pools": blas}


def _is_empty(folder):
    """Say whether a folder holds nothing, or only what a process leaves that is killed before run.json is there."""
    return all(
        path.name.startswith(".run.json.") or (path.name in FOLDERS and path.is_dir() and not any(path.iterdir()))
        for path in folder.iterdir()
    )


def _holds_run(folder):
    """Say whether a folder holds a run of ours, of whatever version."""
    try:
        record = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and "format" in record and NEEDED <= set(record)


def _without_nan(value):
    """Return a value with None in the place of what is not finite, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def _as_json(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
