"""Where the tasks of a sweep are carried out: processes on this machine, or a Dask cluster by its address.

A task is a job with a folder of its own. Nothing but its folder has to outlive a worker: whoever gets the task next
goes on from the checkpoint that is there. The file ``.session`` in the sweep's folder names the command that workers
work for; a worker that finds another name in it, or none, stops at once.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import hashlib
import logging
import os
import re
import signal
import socket
import time
import uuid
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version_tuple

from neurosim.errors import BusyError, DivergedError, NeurosimError, ParameterError, RunError
from neurosim.job import Job

GIVE_UP = 5  # workers that a task may kill one after another without getting any further
ANSWER = 10  # seconds for a scheduler to answer
POLL = 0.5  # seconds between looks at what has become of the workers
LOOK = 1  # seconds between a worker's looks at the session's file
SESSION = ".session"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
OTHERS = ("ucx", "ws", "wss")  # ways to a scheduler that are left to Dask
ADDRESS = re.compile(r"((?P<scheme>tcp|tls|ucx|ws|wss)://)?(?P<host>\[[^\]]+\]|[^:/\s]+):(?P<port>\d+)")
COMPARED = ("neurosim", "brian2", "numpy", "scipy", "numba")


# Connecting


@contextlib.contextmanager
def connected(number=None, address=None):
    """Yield a client of a cluster: of ``number`` processes of one thread each, or of the scheduler at an address.

    Raises
    ------
    ParameterError
        If this is no address, or no scheduler answers there.
    """
    import dask
    from distributed import Client
    from distributed.comm import CommClosedError

    quiet = {"logging": {"distributed": "critical", "tornado": "critical", "asyncio": "critical"}}
    settings = quiet | {
        "distributed.scheduler.allowed-failures": GIVE_UP - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # who waits behind a task must not be blamed for it
        "distributed.comm.timeouts.connect": f"{ANSWER}s",
    }
    with dask.config.set(settings), _silent(), contextlib.ExitStack() as stack:
        if address is None:
            address = stack.enter_context(_processes(number))
        else:
            _check_answers(address)  # dask would say so too, in many lines
        try:
            client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "no scheduler answers there"
            raise ParameterError(f"--scheduler {address}: {reason}; one is started by: dask scheduler") from None
        try:
            with client.as_current():
                yield client
        except CommClosedError:
            raise lost(address) from None
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                client.close(timeout=1)


def _check_answers(address):
    """Raise a ParameterError if this is no address of a scheduler, or nothing listens there."""
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise ParameterError(f"--scheduler {address}: an address is needed, as tcp://10.0.0.5:8786")
    if parts["scheme"] in OTHERS:
        return
    try:
        socket.create_connection((parts["host"].strip("[]"), int(parts["port"])), timeout=ANSWER).close()
    except (OSError, OverflowError):
        told = "no scheduler answers there; one is started by: dask scheduler"
        raise ParameterError(f"--scheduler {address}: {told}") from None


def lost(address):
    """Return the error of a scheduler that no longer answers."""
    return RunError(f"the scheduler at {address} is lost; what is finished stays, and the same command goes on")


@contextlib.contextmanager
def _processes(number):
    """Start workers on this machine, each with one thread for all libraries; yields their scheduler's address."""
    from distributed import LocalCluster

    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")  # what the workers, and those that replace them, find before any import
    try:
        cluster = LocalCluster(
            n_workers=number, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            memory_limit=0, silence_logs=logging.CRITICAL,
        )  # fmt: skip
        try:
            yield cluster.scheduler_address
        finally:
            cluster.close(timeout=5)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _silent():
    """Keep distributed's log from the terminal: a worker that dies is no news, a lost scheduler is said in one line."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


# Who works


@functools.cache
def facts():
    """Return what the result of a task may depend on where it is run: versions, and a hash of our own sources."""
    found = {"Python": ".".join(python_version_tuple()[:2])}
    for package in COMPARED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    import neurosim
    import neurosim_models

    digest = hashlib.sha256()
    for package in (neurosim, neurosim_models):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}".encode() + path.read_bytes())
        found.setdefault("neurosim", getattr(package, "__version__", "unknown"))
    return found | {"neurosim's sources": digest.hexdigest()[:12]}


def differences(theirs, ours):
    """Return what differs between the facts of a worker and ours, in words; an empty text if nothing does.

    Examples
    --------
    >>> differences({"numpy": "1.26.4", "Python": "3.11"}, {"numpy": "2.3.0", "Python": "3.11"})
    'numpy is 1.26.4, here 2.3.0'
    """
    names = dict.fromkeys((*ours, *theirs))
    return ", ".join(
        f"{name} is {theirs.get(name, 'missing')}, here {ours.get(name, 'missing')}"
        for name in names
        if theirs.get(name) != ours.get(name)
    )


def check_workers(client, session):
    """Refuse workers with other versions, or that do not see the sweep's folder.

    Raises
    ------
    ParameterError
        Naming every such worker and what differs.
    """
    answers = client.run(_answer, str(session.folder), session.token, on_error="return")
    strange, blind = [], []
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            strange.append(f"{worker}: has no such neurosim ({_line(answer)})")
        elif differ := differences(answer["facts"], facts()):
            strange.append(f"{worker}: {differ}")
        elif not answer["sees"] or not (session.folder / answer["wrote"]).is_file():
            blind.append(worker)
    for path in session.folder.glob(f"{SESSION}-*"):
        path.unlink(missing_ok=True)
    if strange:
        raise ParameterError(
            f"{len(strange)} of {len(answers)} workers have other versions, and numbers would differ: "
            f"{'; '.join(strange)}"
        )
    if blind:
        raise ParameterError(
            f"{session.folder}: {len(blind)} of {len(answers)} workers do not see this folder: {', '.join(blind)}; "
            "--out must name a folder on a file system that all share"
        )


def prepare_workers(client, local):
    """Have every worker, also those that come later, import brian2 in its main thread: no other may."""
    from distributed import WorkerPlugin

    class Preparation(WorkerPlugin):
        """Prepares a worker."""

        name = "neurosim"

        def setup(self, worker):
            """Import brian2; leave Ctrl+C to the process that the user sees."""
            import brian2

            brian2.BrianLogger.log_level_error()
            if local:
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    client.register_plugin(Preparation())


def _answer(folder, token):
    """Say, on a worker, who it is and whether it can read and write the sweep's folder."""
    wrote = f"{SESSION}-{uuid.uuid4().hex[:12]}"
    sees = _token(Path(folder)) == token
    with contextlib.suppress(OSError):
        if sees:
            (Path(folder) / wrote).touch()
    return {"facts": facts(), "sees": sees, "wrote": wrote}


def _line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


# The session


class Session:
    """One command that carries out tasks of a sweep's folder.

    Attributes
    ----------
    folder : Path
        Absolute.
    token : str
        What ``.session`` holds as long as workers are to go on.
    """

    def __init__(self, folder):
        self.folder, self.token = Path(folder).absolute(), uuid.uuid4().hex

    def __enter__(self):
        (self.folder / SESSION).write_text(self.token)
        return self

    def __exit__(self, *_):
        if _token(self.folder) == self.token:
            (self.folder / SESSION).unlink(missing_ok=True)


def _token(folder):
    try:
        return (folder / SESSION).read_text()
    except OSError:
        return None


# On a worker


def work(order):
    """Carry out a task on a worker; return {"status", "reason"}.

    Parameters
    ----------
    order : dict
        ``folder`` of the sweep and ``name`` of the task's folder in it, ``job`` as JSON, ``token`` of the session,
        ``facts`` of who asks, ``checkpoint_every`` in seconds.

    Returns
    -------
    dict
        The status is that of the run (finished, diverged, interrupted), "busy" where another process is simulating
        it, "refused" where this worker must not, or "failed".
    """
    folder = Path(order["folder"])
    if differ := differences(facts(), order["facts"]):
        return {"status": "refused", "reason": differ}
    if (token := _token(folder)) != order["token"]:
        seen = token is not None
        return {"status": "interrupted" if seen else "refused", "reason": "" if seen else f"it does not see {folder}"}
    job = Job.from_json(order["job"])
    looked = time.monotonic()

    def tell(*_):
        nonlocal looked
        if time.monotonic() - looked > LOOK:
            looked = time.monotonic()
            if _token(folder) != order["token"]:
                raise KeyboardInterrupt

    try:
        run = job.carry_out(
            folder / order["name"], examples=_examples(job), tell=tell, checkpoint_every=order["checkpoint_every"]
        )
        return {"status": run.record["status"], "reason": ""}
    except DivergedError as error:
        return {"status": "diverged", "reason": str(error)}
    except BusyError as error:
        return {"status": "busy", "reason": str(error)}
    except NeurosimError as error:
        return {"status": "failed", "reason": str(error)}
    except MemoryError:
        return {"status": "failed", "reason": "not enough memory for a network of this size"}
    except Exception as error:  # a mistake in a model must not end the other tasks
        return {"status": "failed", "reason": _line(error)}


def warm_up(order):
    """Have the kernels of a job compiled and kept on the disk: show two presentations to a copy of its network."""
    import tempfile
    from dataclasses import replace

    job = Job.from_json(order["job"])
    with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as folder:  # the task itself will say
        examples = _examples(job) or job.examples()
        prepared = job.checked(examples)
        lanes = max(values["lanes"] for values in prepared.conditions.values())
        if prepared.makes_own_data:
            few = replace(examples, examples=2 * lanes, tests=lanes)
        else:
            tests = {f"test_{part}": getattr(examples, f"test_{part}")[:lanes] for part in ("images", "labels")}
            few = replace(examples.limit(min(2 * lanes, len(examples.train_labels))), **tests)
        conditions = {name: {**values, "epochs": 1} for name, values in prepared.conditions.items()}
        experiment = replace(prepared.experiment, study=None)
        replace(prepared, experiment=experiment, conditions=conditions).simulate(Path(folder) / "run", few)


def kind(job):
    """Return what decides which kernels a job needs: its words and lengths, and whether lanes and replicas are one."""
    prepared = job.checked()
    shapes = [
        (name, value if isinstance(value, str) else len(value) if isinstance(value, tuple) else value == 1)
        for values in prepared.conditions.values()
        for name, value in sorted(values.items())
        if isinstance(value, (str, tuple)) or name in ("lanes", "replicas")
    ]
    return repr((prepared.model, prepared.target, prepared.asked["data"], list(prepared.conditions), shapes))


def _examples(job):
    """Return a job's data, read once a worker; None where the experiment makes its own."""
    prepared = job.checked()
    if prepared.makes_own_data:
        return None
    return _read(prepared.asked["data"], prepared.asked["limit"], prepared.asked["validation"], prepared.model)


@functools.lru_cache(maxsize=2)
def _read(data, limit, validation, model):
    return Job(model, data=data, limit=limit, validation=validation).examples()


# Handing out


def hand_out(client, orders, tell, name):
    """Have workers carry out orders, as many at a time as there are threads; yields (key, result) as they end.

    Parameters
    ----------
    client : distributed.Client
    orders : dict of str to dict
        What :func:`work` gets, by key.
    tell : callable (text) -> None
        Told what goes on beside: that workers are lacking, that a task waits for another process.
    name : str
        What to call the scheduler in an error.

    Raises
    ------
    RunError
        If the scheduler is lost.
    ParameterError
        If a worker that came later has other versions.
    """
    pending, out, deaths, times = deque(orders), {}, dict.fromkeys(orders, 0), {}
    marks, waiting, later, heard = {}, set(), 0.0, time.monotonic()
    while pending or out:
        try:
            threads = sum(client.nthreads().values()) if client.status == "running" else None
        except (OSError, RuntimeError, ValueError):
            threads = None
        if threads is None or any(future.status == "cancelled" for future in out):
            raise lost(name)
        if threads:
            heard = time.monotonic()
        elif time.monotonic() - heard > ANSWER:
            heard = time.monotonic()
            tell(f"{name} has no workers: waiting for some")
        while pending and len(out) < threads and time.monotonic() >= later:
            key = pending.popleft()
            times[key] = times.get(key, 0) + 1
            marks.setdefault(key, _progress(orders[key]))
            out[client.submit(work, orders[key], key=f"{key}-{orders[key]['token']}-{times[key]}", pure=False)] = key
        if not out:
            time.sleep(POLL)
            continue
        _wait(out)
        for future in [each for each in out if each.status in ("finished", "error")]:
            key = out.pop(future)
            result = _result(future)
            if result["status"] == "refused":
                raise ParameterError(f"a worker that came later cannot be used: {result['reason']}")
            if result["status"] == "busy":
                if key not in waiting:
                    tell(f"{result['reason']}: waiting for it")
                waiting.add(key)
                pending.append(key)
                later = time.monotonic() + 2 * POLL * (not out)
                continue
            if result["status"] == "killed":
                mark = _progress(orders[key])
                deaths[key] = deaths[key] + result["deaths"] if mark == marks[key] else 0
                marks[key] = mark
                if deaths[key] < GIVE_UP:
                    pending.append(key)
                    continue
                result = {"status": "failed", "reason": f"{deaths[key]} workers were killed at it, one after another"}
            yield key, result


def _result(future):
    from distributed import KilledWorker

    if future.status == "finished":
        return future.result()
    error = future.exception()
    if isinstance(error, KilledWorker):
        return {"status": "killed", "deaths": error.allowed_failures + 1}
    return {"status": "refused" if isinstance(error, ImportError) else "failed", "reason": _line(error)}


def _progress(order):
    """Return what changes where a task gets further, however often its worker is killed: its checkpoints."""
    try:
        return sorted(os.listdir(Path(order["folder"]) / order["name"] / "checkpoint"))
    except OSError:
        return []


def warm(client, orders):
    """Have the kernels for these orders compiled, one worker each, before the others need them."""
    name = f"warm-{uuid.uuid4().hex}"
    futures = [client.submit(warm_up, order, key=f"{name}-{k}", pure=False) for k, order in enumerate(orders)]
    while pending := [future for future in futures if future.status == "pending"]:
        _wait(pending)


def _wait(futures):
    """Wait a little for one of these to end; whether they have been lost is to be seen from their status."""
    from distributed import wait

    with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError, asyncio.CancelledError):
        wait(list(futures), timeout=POLL, return_when="FIRST_COMPLETED")
