"""One number a replica of what a run gave: its error at the last epoch, the mean over epochs, when a level was reached.

A metric is named by split and column of metrics.csv, as "test error", "train nse" or "train angle_h1". When it is read:

    "last"            at the last epoch that was asked for
    5                 at that epoch
    "mean"            mean over epochs 1 to the last (the area under the curve: low where an error falls fast)
    "lowest"          the lowest of the epochs 1 to the last, "highest" the highest (chosen on the data it is read from)
    "first below X"   the first epoch at which it is below X, "first above X" likewise; infinite where none is
"""

import re

import numpy as np

from neurosim.errors import ParameterError, unknown

SPLITS = ("test", "train")
NO_METRIC = ("condition", "epoch", "replica", "split", "examples")
WORDS = ("last", "mean", "lowest", "highest", "first below X", "first above X")
FIRST = re.compile(r"first (below|above) ([-+0-9.eE]+)$")


def check_when(when):
    """Return when a metric is read, checked: one of the words above, or the number of an epoch.

    Raises
    ------
    ParameterError
        For anything else.
    """
    if isinstance(when, int) and not isinstance(when, bool):
        if when < 0:
            raise ParameterError(f"when: the number of an epoch is needed, got {when}")
        return when
    match = FIRST.match(when) if isinstance(when, str) else None
    try:
        if match and np.isfinite(float(match[2])):
            return when
    except ValueError:
        pass
    if when not in WORDS[:4]:
        raise unknown("value of when", when, (*WORDS, "the number of an epoch"))
    return when


def outcomes_known(run):
    """Return the metrics that a run has numbers of, as "test error".

    Parameters
    ----------
    run : neurosim.runs.Run
        With a metrics.csv.

    Returns
    -------
    tuple of str
    """
    table = run.metrics()
    columns = [name for name in table if name not in NO_METRIC]
    return tuple(
        f"{split} {name}"
        for split in SPLITS
        for name in columns
        if np.isfinite(table[name][table["split"] == split]).any()
    )


def outcomes_offered(experiment, circuit):
    """Return the metrics that runs of an experiment will have, from a circuit that its ``build`` has made.

    Measures are computed once: those that are not one number a replica are in no metrics.csv.
    """
    angles = [f"train angle_{layer}" for layer in circuit.alignment.paths] if circuit.alignment else []
    single = [f"train {name}" for name, (measure, _) in circuit.measures.items() if np.ndim(measure()) == 1]
    return (*(f"{split} {experiment.metric}" for split in SPLITS), *angles, *single)


def outcome(run, condition, metric, when="last"):
    """Return a metric of one condition, for each replica.

    Parameters
    ----------
    run : neurosim.runs.Run
        Finished, or cut off.
    condition : str or None
        Of the run; None is its first.
    metric : str
        As :func:`outcomes_known` has them.
    when : str or int
        See above.

    Returns
    -------
    ndarray, shape (replicas,)
        nan where a replica has no such number: the run diverged or was cut off before, or the epoch was not measured.

    Raises
    ------
    ParameterError
        If the run has no such condition, metric or epoch.
    """
    when = check_when(when)
    conditions = run.record["conditions"]
    condition = next(iter(conditions)) if condition is None else condition
    if condition not in conditions:
        raise unknown("condition", condition, conditions, f"; {run.folder} has no other")
    asked = conditions[condition].get("epochs", run.record["parameters"]["epochs"]["value"])
    if isinstance(when, int) and when > asked:
        raise ParameterError(f"when: {run.folder} has {asked} epochs, epoch {when} was asked for")
    replicas = conditions[condition].get("replicas", run.record["parameters"]["replicas"]["value"])
    if not (run.folder / "metrics.csv").is_file() and run.record["status"] == "diverged":
        return np.full(replicas, np.nan)
    values = _curves(run, condition, metric, asked, replicas)
    if isinstance(when, int) or when == "last":
        return values[asked if when == "last" else when]
    values = values[1:][np.isfinite(values[1:]).any(axis=1) | ~_done(run, condition, asked)[1:]]
    if not len(values):
        return np.full(replicas, np.nan)
    if when in ("mean", "lowest", "highest"):
        return {"mean": np.mean, "lowest": np.min, "highest": np.max}[when](values, axis=0)
    return _first(run, condition, metric, asked, replicas, *FIRST.match(when).groups())


def _curves(run, condition, metric, asked, replicas):
    """Return the metric at every epoch from 0, shape (epochs + 1, replicas); nan where there is no number."""
    table = run.metrics()
    split, _, column = metric.partition(" ")
    if split not in SPLITS or column in NO_METRIC or column not in table:
        raise unknown("metric", metric, outcomes_known(run))
    values = np.full((asked + 1, replicas), np.nan)
    rows = (table["condition"] == condition) & (table["split"] == split)
    values[table["epoch"][rows].astype(int), table["replica"][rows].astype(int)] = table[column][rows]
    if np.isnan(table[column][table["split"] == split]).all() and run.record["status"] == "finished":
        raise unknown("metric", metric, outcomes_known(run))
    values[~_done(run, condition, asked)] = np.nan
    return values


def _done(run, condition, asked):
    """Say for every epoch from 0 whether it is over: one that was cut short has been trained and not tested."""
    table = run.metrics()
    done = np.zeros(asked + 1, bool)
    mine = (table["condition"] == condition) & (table["split"] == "test")
    if run.record["status"] != "finished":
        mine &= np.isfinite(table[run.record["metric"]])
    done[table["epoch"][mine].astype(int)] = True
    return done


def _first(run, condition, metric, asked, replicas, side, level):
    """Return the first epoch from 1 at which the metric is below or above a level."""
    values = _curves(run, condition, metric, asked, replicas)[1:]
    there = values < float(level) if side == "below" else values > float(level)
    never = np.inf if _done(run, condition, asked)[asked] else np.nan
    return np.where(there.any(axis=0), there.argmax(axis=0) + 1.0, never)
