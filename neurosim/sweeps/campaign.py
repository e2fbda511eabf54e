"""Carry out a sweep: hand its tasks to workers, keep its table, and say what came out."""

import os
import time

from neurosim.sweeps import cluster
from neurosim.sweeps.folder import DONE, Folder

CHECKPOINT_EVERY = 30  # seconds: what a killed worker costs at most
BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} tasks, {elapsed} passed, {remaining} left{postfix}"
TABLE_EVERY = 5  # seconds between tables while tasks run


def carry_out(sweep, path, *, workers=None, scheduler=None, checkpoint_every=CHECKPOINT_EVERY, say=print):
    """Carry out the tasks of a sweep that are not finished.

    Parameters
    ----------
    sweep : Sweep
        As :func:`neurosim.sweeps.statement.read` returns it.
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

    say("workers   starting" if scheduler is None else f"workers   those of {scheduler} are asked")
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


def _best(sweep, rows, several):
    """Return the best setting in words: of several seeds the mean over those that all settings have finished with."""
    alike = {}
    settings = {task.key: " ".join(f"{n}={v}" for n, v in task.chosen.items() if n != "seed") for task in sweep.tasks}
    for row in rows:
        alike.setdefault((row["condition"], settings[row["task"]]), []).append(row)
    most = max(map(len, alike.values()))
    means = {key: sum(row["mean"] for row in own) / most for key, own in alike.items() if len(own) == most}
    condition, setting = (min if sweep.best == "lowest" else max)(means, key=means.get)
    row = alike[condition, setting][0]
    spread = f" ({row['low']:.4g} to {row['high']:.4g})" if most == 1 and row["low"] is not None else ""
    seeds = f", mean of {most} seeds" * (most > 1)
    name = f"{condition} " * (several and "conditions" not in setting)
    return f"{means[condition, setting]:.4g}{spread}{seeds}: {name}{setting}".rstrip(": ")


def _say_results(sweep, folder, rows, reasons, say):
    several = len({row["condition"] for row in rows}) > 1
    words = {task.key: task.words for task in sweep.tasks}
    found = [row for row in rows if row["mean"] is not None]
    if found:
        say(f"best      {sweep.metric} {_best(sweep, found, several)}")
    diverged = list(dict.fromkeys(row["task"] for row in rows if row["status"] == "diverged"))
    if diverged:
        shown = "; ".join(words[key] for key in diverged[:3]) + "; ..." * (len(diverged) > 3)
        say(f"diverged  {len(diverged)} of {len(sweep.tasks)}: {shown}")
    for key, reason in reasons.items():
        say(f"failed    {folder.path / 'tasks' / key} ({words[key]}): {reason}")
    say(f"table     {folder.path / 'table.csv'}, {folder.path / 'table.parquet'}")
    for path in folder.draw(rows):
        say(f"figure    {path}")
