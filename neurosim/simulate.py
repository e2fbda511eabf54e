"""Carry out an experiment into a run's folder: build, train, keep checkpoints and results; resume what was cut off."""

import contextlib
import time

import brian2
import numpy as np
from brian2.units.fundamentalunits import Quantity

from neurosim import checkpoint
from neurosim.analysis import mean_interval
from neurosim.errors import DivergedError, ParameterError, RunError
from neurosim.runs import Run, host, versions
from neurosim.target import can_stop_within_epoch, continued_draws, fresh_buffers, global_draws, set_global_draws
from neurosim.training import Keeper, presentations_an_epoch, sizes, train

ROOM = 20_000_000  # bytes for metrics, traces and figures, beside the weights
CHECKPOINT_EVERY = 180  # seconds between checkpoints within an epoch
WRITE_EVERY = 2  # seconds: results of shorter epochs are written together
LEFT_OUT = "left out"  # what a run's record says of a study that was not asked for
KEEP_EVERY = 10  # seconds: the same for checkpoints at the ends of epochs


def simulate(
    model, experiment, data, values, seed, folder, *, conditions=None, asked=None, target="numpy", force=False,
    tell=None, checkpoint_every=CHECKPOINT_EVERY, study=True,
):  # fmt: skip
    """Run an experiment and keep it in a folder.

    Parameters
    ----------
    model : str
        ``<author>_<year>.<experiment>``.
    experiment : Experiment
        What is run.
    data : DataSet or FunctionTask
        On what.
    values : dict
        Parameters by name, as :meth:`Experiment.resolve` returns them.
    seed : int
        Decides weights, order of examples and, with the target, all draws.
    folder : path
        The run's folder; see :meth:`Run.create`.
    conditions : dict of str to dict, optional
        Name to parameters by name, as :meth:`Experiment.choose` returns them; all of the experiment if left out.
    asked : dict, optional
        How the data were asked for, to be asked for again: data, limit, validation.
    target : {"numpy", "cython"}
        How brian2 runs the neurons.
    force : bool
        Write over a run that the folder holds.
    tell : callable (condition, phase, epoch, readout) -> None, optional
        Called after every presentation; see :func:`neurosim.training.train`.
    checkpoint_every : float
        Seconds after which a checkpoint is kept within an epoch, on the NumPy target.
    study : bool
        Whether to compute the experiment's study; without it, the run has no figures of that.

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
    conditions = experiment.choose(values) if conditions is None else conditions
    for each in conditions.values():
        presentations_an_epoch(sizes(data)[0], each["lanes"])
        if experiment.check is not None:
            experiment.check(each)
    brian2.prefs.codegen.target = target
    name, first_values = next(iter(conditions.items()))
    first = experiment.build(first_values, data, seed)  # says what is wrong before a folder is made
    room = 2 * len(conditions) * sum(p.stored.nbytes for p in first.projections.values()) + ROOM
    record = _record(model, experiment, data, values, conditions, seed, target, asked)
    record |= {} if study else {"study": LEFT_OUT}
    run = Run.create(folder, record, force, room)
    session = _Session(run, experiment, data, conditions, tell, checkpoint_every, began)
    session.built[name] = first
    return session.carry_out()


def resume(run, experiment, data, *, tell=None, note=None, checkpoint_every=CHECKPOINT_EVERY):
    """Go on with a run that was cut off, from its newest whole checkpoint; what it gives is as if nothing had happened.

    Parameters
    ----------
    run : Run
        As :meth:`Run.open` returns it.
    experiment : Experiment
        That of ``run.record["model"]``.
    data : DataSet or FunctionTask
        The data that the run had.
    tell, checkpoint_every
        As for :func:`simulate`.
    note : callable (text) -> None, optional
        Told which checkpoints are damaged; log.txt has it too.

    Returns
    -------
    Run

    Raises
    ------
    ParameterError
        If the run is finished, or the data are others.
    """
    began = time.monotonic()
    if run.record["status"] == "finished":
        raise ParameterError(f"{run.folder}: the run is finished; neurosim run --from {run.folder} repeats it")
    check_data(run, data)
    _, conditions = recorded(run, experiment)
    brian2.prefs.codegen.target = run.record["target"]
    try:
        kept = checkpoint.read(run.folder / "checkpoint")
    except ParameterError as error:
        raise ParameterError(f"{error}; neurosim run --from {run.folder} starts anew") from None
    run.go_on()
    session = _Session(run, experiment, data, conditions, tell, checkpoint_every, began)
    for name, was, now in changed_versions(run):
        run.log(f"{name} was {was}, is {now}")
        if note is not None:
            note(f"{name} was {was}, is {now}: numbers may differ in rounding")
    for complaint in kept.complaints if kept else ():
        run.log(complaint)
        if note is not None:
            note(complaint)
    if kept is None:
        run.log("resumed from the start: there is no checkpoint yet")
    else:
        session.restore(kept)
    return session.carry_out()


def check_data(run, data):
    """Raise a ParameterError if these are not the data that a run had."""
    then, now = run.record["data"]["sha256"], data.sha256
    if now != then:
        raise ParameterError(f"{run.folder}: the run had other data: hash {then[:12]}, now {now[:12]}")


def changed_versions(run):
    """Return (name, then, now) of what a run's numbers may depend on in rounding and has changed since."""
    now = versions() | {"threads": host()["numba_threads"]}
    then = run.record["versions"] | {"threads": run.record["host"].get("numba_threads")}
    return [
        (name, then.get(name), now.get(name))
        for name in sorted(set(now) | set(then))
        if now.get(name) != then.get(name)
    ]


def recorded(run, experiment):
    """Return (values, conditions) of a run, by name, as they were and not as today's defaults have them.

    Raises
    ------
    ParameterError
        If the run's parameters are not those of the experiment as it is now.
    """
    known = experiment.parameters_for(run.record["preset"])
    kept = run.record["parameters"]
    if set(kept) != set(known):
        differ = ", ".join(sorted(set(kept) ^ set(known)))
        raise ParameterError(f"{run.folder}: the experiment's parameters have changed since the run: {differ}")
    values = {name: known[name].restore(kept[name]["value"]) for name in known}
    conditions = {
        condition: {**values, **{name: known[name].restore(value) for name, value in own.items()}}
        for condition, own in run.record["conditions"].items()
    }
    return values, conditions


class _Session:
    """The conditions of a run, one after another, in one process."""

    def __init__(self, run, experiment, data, conditions, tell, checkpoint_every, began):
        self.run, self.experiment, self.data, self.conditions = run, experiment, data, conditions
        self.tell, self.checkpoint_every, self.began = tell, checkpoint_every, began
        self.seed = run.record["seed"]
        self.built = {}  # circuits that are there already
        self.rows = []
        self.traces, self.weights = {}, {}  # of conditions that are over
        self.kept = None
        self.number = 0

    def restore(self, kept):
        """Take over what a checkpoint holds."""
        self.kept, self.number = kept, kept.number
        self.rows = [{k: np.nan if v is None else v for k, v in row.items()} for row in kept.header["rows"]]
        parts, units = checkpoint.unpack(kept.arrays), kept.header["units"]
        for name, store in (("traces", self.traces), ("weights", self.weights)):
            store |= {key: (value, units[key]) for key, value in parts.get(name, {}).items()}
        where = f"{kept.header['name']}, epoch {kept.header['epoch']}{' (within)' if kept.header['within'] else ''}"
        self.run.log(f"resumed from checkpoint {kept.number}: {where}")

    def carry_out(self):
        """Simulate what is left of the run; return the Run."""
        run = self.run
        run.hold()
        try:
            wanted = self.experiment.study is not None and run.record.get("study") != LEFT_OUT
            if wanted and not (run.folder / "study.npz").exists():
                run.write_arrays("study.npz", self.experiment.study(recorded(run, self.experiment)[0], self.seed))
            for k, (name, values) in enumerate(self.conditions.items()):
                if self.kept is not None and k < self.kept.header["condition"]:
                    continue
                self._condition(k, name, values)
                if run.record["status"] != "running":
                    break
            if run.record["status"] == "running":
                run.set_status("finished")
                run.empty("checkpoint")
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
        finally:
            run.release()
        return run

    def _condition(self, index, name, values):
        run = self.run
        brian2.seed(self.seed)
        with continued_draws() as draws:
            circuit = self.built.pop(name, None) or self.experiment.build(values, self.data, self.seed)
            keeper = _Checkpoints(self, index, name, circuit, draws)
            run.log(f"built {run.record['model']}, {name}, after {time.monotonic() - self.began:.2f} s")
            epochs = values["epochs"]
            done = keeper.first - 1  # a resumed run may have kept its last checkpoint at this condition's end
            for epoch in train(circuit, self.data, epochs, self.seed, self._telling(name), keeper):
                self.rows += _rows(name, epoch, circuit, self.experiment.metric)
                keeper.curve.add(epoch)
                last = epoch.number == epochs or not epoch.whole
                wrote = self._write(name, circuit, keeper.curve, hurry=last)
                run.log(
                    f"{name}, epoch {epoch.number}{'' if epoch.whole else ' (cut short)'}: train "
                    f"{self.experiment.metric} {epoch.train_error.mean():.4g}, test {epoch.test_error.mean():.4g}"
                )
                whole_epochs = epoch.number if epoch.whole else epoch.number - 1
                progress = {"condition": name, "epoch": max(0, whole_epochs)}
                if not epoch.whole:
                    run.set_status("interrupted", progress=progress)
                elif wrote:
                    run.set_status("running", progress=progress)
                if epoch.whole:
                    done = epoch.number
                    keeper.after(epoch.number, last)
            if run.record["status"] == "running" and done != epochs:
                run.set_status("interrupted")
            self._finish(name, circuit, keeper.curve)

    def _telling(self, condition):
        def call(phase, epoch, readout):
            self.run.record["times"].setdefault("first_presentation_s", round(time.monotonic() - self.began, 2))
            if self.tell is not None:
                self.tell(condition, phase, epoch, readout)

        return call

    def _write(self, name, circuit, curve, hurry):
        """Write what there is, if it is time or the last chance; return whether it was."""
        run = self.run
        if not hurry and time.monotonic() - run.written < WRITE_EVERY:
            return False
        run.write_metrics(self.rows)
        run.write_json("summary.json", summarise(self.experiment, self.data, self.rows))
        traces, weights = _arrays(name, circuit, curve)
        run.write_arrays("traces.npz", self.traces | traces)
        run.write_arrays("weights.npz", self.weights | weights)
        run.written = time.monotonic()
        return True

    def _finish(self, name, circuit, curve):
        traces, weights = _arrays(name, circuit, curve)
        self.traces |= {key: (np.array(value), unit) for key, (value, unit) in traces.items()}
        self.weights |= weights


class _Curve:
    """What the epochs of one condition gave, beside the rows of metrics.csv."""

    def __init__(self):
        self.angles, self.at, self.epochs, self.measures = [], [], [], {}
        self.confusion = None

    def add(self, epoch):
        """Add an epoch."""
        self.angles.append(epoch.angles)
        self.at.append(epoch.angles_at)
        self.confusion = epoch.confusion
        if epoch.measures:
            self.epochs.append(epoch.number)
            for name, values in epoch.measures.items():
                self.measures.setdefault(name, []).append(np.asarray(values))

    def state(self):
        """Return it as arrays by name."""
        arrays = {"angles": np.concatenate(self.angles), "at": np.concatenate(self.at)} if self.angles else {}
        if self.epochs:
            arrays["epochs"] = np.array(self.epochs)
            arrays |= {f"measure {name}": np.stack(values) for name, values in self.measures.items()}
        return arrays if self.confusion is None else arrays | {"confusion": self.confusion}

    def set_state(self, arrays):
        """Take over arrays by name."""
        if "angles" in arrays:
            self.angles, self.at = [arrays["angles"]], [arrays["at"]]
        self.epochs = list(arrays.get("epochs", ()))
        self.confusion = arrays.get("confusion")
        named = {name.removeprefix("measure "): v for name, v in arrays.items() if name.startswith("measure ")}
        self.measures = {name: list(values) for name, values in named.items()}


class _Checkpoints(Keeper):
    """Keeps the state of one condition's network, and knows where a resumed one goes on."""

    def __init__(self, session, index, name, circuit, draws):
        self.session, self.index, self.name, self.circuit, self.draws = session, index, name, circuit, draws
        self.curve = _Curve()
        self.can_stop = can_stop_within_epoch(circuit.network)
        self.last = time.monotonic()
        kept, session.kept = session.kept, None
        if kept is None:
            return
        header, self.parts = kept.header, checkpoint.unpack(kept.arrays)
        self.curve.set_state(self.parts.get("curve", {}))
        if header["within"]:
            self.first, self.within = header["epoch"], self._restore
        else:
            self.first = header["epoch"] + 1
            self._restore()

    def begin(self, epoch):
        fresh_buffers()

    def due(self):
        return self.can_stop and time.monotonic() - self.last >= self.session.checkpoint_every

    def keep(self, epoch, within=True):
        if within and not self.can_stop:
            return  # it could not be exact: a resumed run goes back to the epoch's start
        session = self.session
        header = {"condition": self.index, "name": self.name, "epoch": epoch, "within": within}
        header["rows"] = [{k: None if v != v else v for k, v in row.items()} for row in session.rows]
        parts = {
            "network": checkpoint.network_state(self.circuit.network),
            "draws": self.draws.state(),
            "global draws": global_draws(),
            "curve": self.curve.state(),
            "traces": {key: value for key, (value, _) in session.traces.items()},
            "weights": {key: value for key, (value, _) in session.weights.items()},
        }
        header["units"] = {key: unit for key, (_, unit) in (session.traces | session.weights).items()}
        session.number += 1
        checkpoint.write(session.run.folder / "checkpoint", session.number, header, checkpoint.pack(parts))
        self.last = time.monotonic()

    def after(self, epoch, last):
        """An epoch is over: keep a checkpoint, unless another is only seconds old."""
        if last or time.monotonic() - self.last >= min(KEEP_EVERY, self.session.checkpoint_every):
            self.keep(epoch, within=False)

    def _restore(self):
        checkpoint.set_network_state(self.circuit.network, self.parts["network"])
        self.draws.set_state(self.parts.get("draws", {}))
        set_global_draws(self.parts["global draws"])
        self.parts = None


def bare(value):
    """Return a parameter's value as JSON has it: in base units."""
    return float(value) if isinstance(value, Quantity) else value


def _record(model, experiment, data, values, conditions, seed, target, asked):
    inputs = data.inputs if hasattr(data, "inputs") else data.train_images.shape[1]
    known = experiment.parameters_for(data.name, inputs)
    parameters = {}
    for name, parameter in known.items():
        value = values[name]
        changed = not np.array_equal(value, parameter.value)
        parameters[name] = {
            "value": bare(value),
            "unit": str(value.get_best_unit().dim) if isinstance(value, Quantity) else parameter.unit,
            "source": "set by the user" if changed else parameter.source,
        }
    own = {
        condition: {name: bare(value) for name, value in each.items() if not np.array_equal(value, values[name])}
        for condition, each in conditions.items()
    }
    preset = experiment.preset_for(data.name, inputs)
    train_count, test_count = sizes(data)
    return {
        "model": model,
        "title": experiment.title,
        "metric": experiment.metric,
        "parameters": parameters,
        "conditions": own,
        "preset": preset,
        "seed": seed,
        "data": {
            "name": data.name,
            "source": data.source,
            "sha256": data.sha256,
            "train": train_count,
            "test": test_count,
            "asked": asked or {"data": data.name},
        },
        "versions": versions(),
        "target": target,
        "host": host(),
        "published": [vars(each) for each in experiment.published],
        "expect": [vars(each) for each in experiment.presets[preset].expect],
        "comparisons": [vars(each) for each in experiment.comparisons],
    }


def _rows(condition, epoch, circuit, metric):
    """Return the epoch's rows of metrics.csv, one a replica and split."""
    layers = list(circuit.alignment.paths) if circuit.alignment else []
    rows = []
    for replica in range(circuit.replicas):
        last = epoch.angles[-1, :, replica] if len(epoch.angles) else np.full(len(layers), np.nan)
        for split, error in (("train", epoch.train_error), ("test", epoch.test_error)):
            row = {"condition": condition, "epoch": epoch.number, "replica": replica, "split": split}
            row |= {"examples": epoch.examples, metric: float(error[replica])}
            for layer, value in zip(layers, last, strict=True):
                row[f"angle_{layer}"] = float(value) if split == "train" else np.nan
            for name, values in epoch.measures.items():
                if np.ndim(values) == 1:
                    row[name] = float(values[replica]) if split == "train" else np.nan
            rows.append(row)
    return rows


def _arrays(condition, circuit, curve):
    """Return (traces, weights) of a condition, as {name: (array, unit)}."""
    traces = {
        f"{keep}/{name}": (values, "s" if name == "time" else "1")
        for keep, window in circuit.windows.items()
        for name, values in window.arrays().items()
    }
    traces["angles/layers"] = (np.array(list(circuit.alignment.paths) if circuit.alignment else []), "1")
    traces["angles/examples"] = (np.concatenate(curve.at), "1")
    traces["angles/angle"] = (np.concatenate(curve.angles), "degree")
    traces["measures/epochs"] = (np.array(curve.epochs, int), "1")
    for name, values in curve.measures.items():
        traces[f"measures/{name}"] = (np.stack(values), circuit.measures[name][1])
    if curve.confusion is not None:
        traces["confusion"] = (curve.confusion, "1")
    traces["steps"] = (np.array(sum(circuit.presentation.phases.values())), "1")
    weights = {name: (p.copy_of_weights(), str(p.unit)) for name, p in circuit.projections.items()}
    return tuple({f"{condition}/{name}": value for name, value in each.items()} for each in (traces, weights))


def summarise(experiment, data, rows):
    """Return final numbers (mean, 95 % interval, replicas) of every condition beside the published ones."""
    metric = experiment.metric
    within = (0, 1) if metric == "error" else (0, np.inf)
    final = {}
    for condition in dict.fromkeys(row["condition"] for row in rows):
        for split in ("train", "test"):
            mine = [row for row in rows if (row["condition"], row["split"]) == (condition, split)]
            done = [row for row in mine if np.isfinite(row[metric])]
            last = [row for row in done if row["epoch"] == max(r["epoch"] for r in done)]
            if last:
                values = [row[metric] for row in last]
                found = {"epoch": last[0]["epoch"], metric: values, **vars(mean_interval(values, within=within))}
                final.setdefault(condition, {})[split] = found
    same = [each.data.lower() == data.name.lower() for each in experiment.published]
    published = [{**vars(each), "same_data": own} for each, own in zip(experiment.published, same, strict=True)]
    return {"metric": metric, "final": final, "published": published}
