"""Carry out an experiment into a run's folder: build, train, write after every epoch."""

import contextlib
import time

import brian2
import numpy as np
from brian2.units.fundamentalunits import Quantity

from neurosim.analysis import mean_interval
from neurosim.errors import DivergedError, RunError
from neurosim.runs import Run, host, versions
from neurosim.training import presentations_an_epoch, train

ROOM = 20_000_000  # bytes for metrics, traces and figures, beside the weights


def simulate(model, experiment, data, values, seed, folder, *, target="numpy", force=False, tell=None):
    """Run an experiment and keep it in a folder.

    Parameters
    ----------
    model : str
        ``<author>_<year>.<experiment>``.
    experiment : Experiment
        What is run.
    data : DataSet
        On what.
    values : dict
        Parameters by name, as :meth:`Experiment.resolve` returns them.
    seed : int
        Decides weights, order of examples and, with the target, all draws.
    folder : path
        The run's folder; see :meth:`Run.create`.
    target : {"numpy", "cython"}
        How brian2 runs the neurons.
    force : bool
        Write over a run that the folder holds.
    tell : callable, optional
        Called after every presentation; see :func:`neurosim.training.train`.

    Returns
    -------
    Run
        Its ``record["status"]`` is "finished", or "interrupted" after Ctrl+C.

    Raises
    ------
    DivergedError
        Where a variable is not finite; the run's folder keeps what there is, and the status is "diverged".
    RunError
        Where the folder cannot be written.
    """
    began = time.monotonic()
    presentations_an_epoch(len(data.train_labels), values["lanes"])
    brian2.prefs.codegen.target = target
    brian2.seed(seed)
    circuit = experiment.build(values, data, seed)
    weight_bytes = sum(p.stored.nbytes for p in circuit.projections.values())
    run = Run.create(folder, _record(model, experiment, data, values, seed, target), force, 2 * weight_bytes + ROOM)
    run.log(f"built {model} on {data.name} in {time.monotonic() - began:.2f} s")
    rows, epochs = [], []
    try:
        for epoch in train(circuit, data, values["epochs"], seed, _first_step(run, began, tell)):
            rows += _rows(epoch, circuit)
            epochs.append(epoch)
            _write(run, circuit, experiment, data, rows, epochs)
            run.log(
                f"epoch {epoch.number}{'' if epoch.whole else ' (cut short)'}: "
                f"train error {epoch.train_error.mean():.4f}, test error {epoch.test_error.mean():.4f}"
            )
            whole_epochs = epoch.number if epoch.whole else epoch.number - 1
            run.set_status("running" if epoch.whole else "interrupted", progress=whole_epochs)
        if run.record["status"] == "running":
            whole = run.record.get("progress", 0) == values["epochs"]
            run.set_status("finished" if whole else "interrupted")
    except DivergedError as error:
        run.log(str(error))
        run.set_status("diverged", reason=str(error))
        raise
    except KeyboardInterrupt:
        run.set_status("interrupted")
    except RunError as error:
        with contextlib.suppress(RunError):
            run.set_status("failed", reason=str(error))
        raise
    except BaseException as error:
        run.set_status("failed", reason=repr(error))
        raise
    return run


def _first_step(run, began, tell):
    """Note when the first presentation is over, then pass on."""

    def call(phase, epoch, readout):
        run.record["times"].setdefault("first_presentation_s", round(time.monotonic() - began, 2))
        if tell is not None:
            tell(phase, epoch, readout)

    return call


def _record(model, experiment, data, values, seed, target):
    inputs = data.train_images.shape[1]
    known = experiment.parameters_for(data.name, inputs)
    parameters = {}
    for name, parameter in known.items():
        value = values[name]
        changed = not np.array_equal(value, parameter.value)
        parameters[name] = {
            "value": float(value) if isinstance(value, Quantity) else value,
            "unit": str(value.get_best_unit().dim) if isinstance(value, Quantity) else parameter.unit,
            "source": "set by the user" if changed else parameter.source,
        }
    return {
        "model": model,
        "parameters": parameters,
        "preset": experiment.preset_for(data.name, inputs),
        "seed": seed,
        "data": {
            "name": data.name,
            "source": data.source,
            "sha256": data.sha256,
            "train": len(data.train_labels),
            "test": len(data.test_labels),
        },
        "versions": versions(),
        "target": target,
        "host": host(),
        "published": vars(experiment.published),
    }


def _rows(epoch, circuit):
    """Return the epoch's rows of metrics.csv, one a replica and split."""
    layers = list(circuit.alignment.paths) if circuit.alignment else []
    rows = []
    for replica in range(circuit.replicas):
        last = epoch.angles[-1, :, replica] if len(epoch.angles) else np.full(len(layers), np.nan)
        for split, error in (("train", epoch.train_error), ("test", epoch.test_error)):
            row = {"epoch": epoch.number, "replica": replica, "split": split, "examples": epoch.examples}
            row["error"] = float(error[replica])
            row |= {
                f"angle_{layer}": float(value) if split == "train" else np.nan
                for layer, value in zip(layers, last, strict=True)
            }
            rows.append(row)
    return rows


def _write(run, circuit, experiment, data, rows, epochs):
    run.write_metrics(rows)
    run.write_json("summary.json", summarise(experiment, data, rows))
    traces = {
        f"{keep}/{name}": (values, "s" if name == "time" else "1")
        for keep, window in circuit.windows.items()
        for name, values in window.arrays().items()
    }
    traces["angles/layers"] = (np.array(list(circuit.alignment.paths) if circuit.alignment else []), "1")
    traces["angles/examples"] = (np.concatenate([e.angles_at for e in epochs]), "1")
    traces["angles/angle"] = (np.concatenate([e.angles for e in epochs]), "degree")
    traces["confusion"] = (epochs[-1].confusion, "1")
    traces["steps"] = (np.array(circuit.presentation.steps), "1")
    run.write_arrays("traces.npz", traces)
    weights = {name: (p.w, str(p.unit)) for name, p in circuit.projections.items()}
    run.write_arrays("weights.npz", weights)


def summarise(experiment, data, rows):
    """Return final numbers (mean, 95 % interval, replicas) beside the published one."""
    final = {}
    for split in ("train", "test"):
        done = [row for row in rows if row["split"] == split and np.isfinite(row["error"])]
        last = [row for row in done if row["epoch"] == max(r["epoch"] for r in done)]
        if last:
            errors = [row["error"] for row in last]
            interval = mean_interval(errors, within=(0, 1))
            final[split] = {"epoch": last[0]["epoch"], "error": errors, **vars(interval)}
    published = experiment.published
    return {
        "final": final,
        "published": {**vars(published), "same_data": published.data.lower() == data.name.lower()},
    }
