"""A hypothesis put to the test: plan and cost, the file's hash before the first run, runs, verdicts.

claim.toml        the file, as it was
hypothesis.json   its SHA-256, when that was recorded, versions, the plan; written before the first run
runs/LEVEL-BATCH  one run a level and batch of replicas
verdict.json      every claim's verdict, with the values that it rests on
report.md, .html  the same as pages
figures/          one PNG a claim
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from neurosim.errors import DivergedError, ParameterError, unknown
from neurosim.hypotheses.claims import judge
from neurosim.hypotheses.pace import pace
from neurosim.hypotheses.power import POWER, detectable, needed
from neurosim.hypotheses.statement import Hypothesis
from neurosim.outcomes import outcome
from neurosim.runs import Run, versions, writing

FORMAT = 1
RECORD, FILE = "hypothesis.json", "claim.toml"


@dataclass(frozen=True)
class Plan:
    """What a hypothesis will cost, and what it can show.

    Attributes
    ----------
    seconds : dict of str to (list of float or None)
        About how long the run of each batch takes, by level; None where the level diverged at once.
    epochs : dict of str to int
    power : tuple of dict
        For each claim: the standardised effect that is shown with a power of 0.8 ("detectable"), and where the file
        states an effect that ("effect"), its "power", the replicas "needed" for 0.8, and with looks their mean number.
    """

    seconds: dict
    epochs: dict
    power: tuple

    @classmethod
    def from_json(cls, found):
        """Return the plan that hypothesis.json holds."""
        power = tuple({name: np.nan if value is None and name != "needed" else value for name, value in each.items()}
                      for each in found["power"])  # fmt: skip
        return cls(found["seconds"], found["epochs"], power)

    @property
    def total(self):
        """About how many seconds all runs take."""
        return sum(each or 0 for own in self.seconds.values() for each in own)


def plan(hypothesis, tell=None):
    """Build every level, let it run for about a second, and check the metrics of the claims.

    Parameters
    ----------
    hypothesis : Hypothesis
    tell : callable (level) -> None, optional
        Called before a level is tried.

    Returns
    -------
    Plan

    Raises
    ------
    ParameterError, DataError
        With the line: for a metric that a level's runs will not have, data that are not there, or values that do not go
        together.
    """
    spec, seconds = hypothesis.spec, {}
    for name in hypothesis.levels:
        if tell is not None:
            tell(name)
        seconds[name], offered = [], ()
        with spec.naming(("levels", name), ("settings",), ()):
            counts = {}
            for k, (count, _) in enumerate(hypothesis.batches):
                if count not in counts:
                    counts[count], offered = _seconds(hypothesis.job(name, k), hypothesis.epochs[name], offered)
                seconds[name].append(counts[count])
        for stated in hypothesis.claims if offered else ():
            for key, metric in zip(
                ("x", "y") if len(stated.metrics) == 2 else ("metric",), stated.metrics, strict=True
            ):
                if name in stated.claim.levels and metric not in offered:
                    own = spec.get("claims", stated.place, key) is not None
                    place = ("claims", stated.place, key) if own else (key,)
                    raise unknown(
                        "metric", metric, offered, f" in level {name}",
                        error=lambda text, place=place: spec.error(text, *place),
                    )  # fmt: skip
    return Plan(seconds, dict(hypothesis.epochs), tuple(_power(hypothesis, stated) for stated in hypothesis.claims))


def _seconds(job, epochs, offered):
    """Return (seconds of a job's run or None, names of its metrics)."""
    examples = job.examples()
    prepared = job.checked(examples)
    prepared.check_values(examples)
    ((_, values),) = prepared.conditions.items()
    try:
        found = pace(prepared.experiment, values, examples, job.seed, job.target)
    except DivergedError:
        return None, offered
    return found.seconds(epochs), found.metrics


def _power(hypothesis, stated):
    """Return what the plan says of a claim's power."""
    claim, n, alpha, looks = stated.claim, hypothesis.replicas, hypothesis.level, hypothesis.looks
    most = 1 - 1e-9 if claim.predicts == "correlation" else 1e3

    def power(effect, n, alpha):
        if looks is None:
            return claim.power(effect, n, alpha)
        return looks.power(effect, alpha, claim.predicts == "equivalent")[0]

    found = {"alpha": alpha, "detectable": detectable(power, n, alpha, most)}
    if stated.effect is not None:
        found |= {
            "effect": stated.effect,
            "power": power(stated.effect, n, alpha),
            "needed": needed(claim.power, stated.effect, alpha, claim.least),
        }
        if looks is not None:
            _, found["replicas"] = looks.power(stated.effect, alpha, claim.predicts == "equivalent")
    return found


def folder_of(hypothesis):
    """Return the folder that a hypothesis is kept in unless another is named: runs/NAME[-full][-seed-N]."""
    other = f"-seed-{hypothesis.seed}" if hypothesis.seed != hypothesis.file_seed else ""
    return Path("runs") / f"{hypothesis.spec.name}{'-full' * hypothesis.full}{other}"


def opened(hypothesis, folder):
    """Return what a folder holds of this hypothesis: its hypothesis.json, or None where the folder is not there yet.

    Raises
    ------
    ParameterError
        If the folder holds another hypothesis, or this one as it was before its file was changed.
    """
    folder = Path(folder)
    path = folder / RECORD
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ParameterError(f"{folder} is not an empty folder and holds no hypothesis; give a new one to --out")
        return None
    try:
        record = json.loads(path.read_text())
        then = {name: record[name] for name in ("sha256", "recorded", "full", "seed", "plan")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path}: cannot be read: {error!r}") from None
    spec = hypothesis.spec
    if then["sha256"] != spec.sha256:
        raise ParameterError(
            f"{spec.path} is not the file whose hash {then['sha256'][:12]} was recorded in {folder} on "
            f"{then['recorded']}, before the runs: its hash is {spec.sha256[:12]}; {folder / FILE} is the file as it "
            f"was, and another --out is another hypothesis"
        )
    for name, asked in (("full", hypothesis.full), ("seed", hypothesis.seed)):
        if then[name] != asked:
            raise ParameterError(f"{folder} holds the hypothesis with {name} {then[name]}, got {asked}; see --out")
    return record


def check_place(folder):
    """Raise a ParameterError where a folder cannot be made, before a plan is made for it."""
    parent = next(each for each in Path(folder).absolute().parents if each.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ParameterError(f"--out {folder}: cannot be made: {parent} is no folder that can be written into")


def record(hypothesis, planned, folder):
    """Write the file and its hash into a new folder, before anything runs; return what hypothesis.json then holds."""
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = {
        "format": FORMAT,
        "sha256": hypothesis.spec.sha256,
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": str(hypothesis.spec.path),
        "title": hypothesis.title,
        "full": hypothesis.full,
        "seed": hypothesis.seed,
        "versions": versions(),
        "levels": {name: job.as_json() for name, job in hypothesis.levels.items()},
        "batches": [list(each) for each in hypothesis.batches],
        "plan": asdict(planned),
    }
    writer = Run(folder, {})
    writer.write(FILE, hypothesis.spec.content)
    writer.write_json(RECORD, found)
    return json.loads((folder / RECORD).read_text())


def run_folder(folder, name, batch):
    """Return the folder of the run of a level and a batch, counted from 0."""
    return Path(folder) / "runs" / f"{name}-{batch + 1}"


@dataclass(frozen=True)
class Trial:
    """A hypothesis after some of its batches.

    Attributes
    ----------
    hypothesis : Hypothesis
    folder : Path
    values : tuple of dict
        For each claim, level to values (replicas,), or to a pair of such for a correlation.
    verdicts : tuple of Verdict
    batches : int
        How many were run.
    diverged : dict of Path to str
        Runs that diverged, and where.
    whole : bool
        False after Ctrl+C.
    """

    hypothesis: Hypothesis
    folder: Path
    values: tuple
    verdicts: tuple
    batches: int
    diverged: dict
    whole: bool = True

    @property
    def runs(self):
        """Folders of the runs, by level and batch."""
        names = self.hypothesis.levels
        return {(name, k): run_folder(self.folder, name, k) for k in range(self.batches) for name in names}


def carry_out(hypothesis, folder, watch=None, note=None):
    """Run what is not there yet, look, and judge.

    Parameters
    ----------
    hypothesis : Hypothesis
        Recorded in the folder, see :func:`record`.
    folder : path
        Where.
    watch : callable (name, conditions, examples) -> context manager, optional
        Entered around a run; gives what training calls after every presentation.
    note : callable (text) -> None, optional
        Told what is worth a line.

    Returns
    -------
    Trial
    """
    folder, diverged, gathered = Path(folder), {}, {name: [] for name in hypothesis.levels}
    found = None
    for k in range(len(hypothesis.batches)):
        for name in hypothesis.levels:
            run = _run(hypothesis, folder, name, k, watch, note, diverged)
            if run.record["status"] == "interrupted":
                values = found.values if found else ()
                return Trial(hypothesis, folder, values, found.verdicts if found else (), k, diverged, whole=False)
            gathered[name].append(run)
        values = tuple(_values(hypothesis, stated, gathered) for stated in hypothesis.claims)
        verdicts = judge(
            [stated.claim for stated in hypothesis.claims], values, hypothesis.alpha, hypothesis.correction,
            hypothesis.drop, hypothesis.looks,
        )  # fmt: skip
        found = Trial(hypothesis, folder, values, verdicts, k + 1, diverged)
        if all(verdict.decided for verdict in verdicts):
            break
    return found


def _run(hypothesis, folder, name, batch, watch, note, diverged):
    """Return the run of a level and a batch: simulated, gone on with, or as it is there."""
    job, place = hypothesis.job(name, batch), run_folder(folder, name, batch)
    finished = (place / "run.json").is_file() and Run.open(place).record["status"] in ("finished", "diverged")
    examples = None if finished else job.examples()
    watching = contextlib.nullcontext()
    if watch is not None and not finished:
        watching = watch(place.name, job.checked(examples).conditions, examples)
    try:
        with watching as tell:
            return job.carry_out(place, examples=examples, tell=tell, note=note, study=False)
    except DivergedError as error:
        diverged[place] = str(error)
        if note is not None:
            note(f"{place.name} diverged: {error}")
        return Run.open(place)


def _values(hypothesis, stated, gathered):
    """Return a claim's values by level: those of all batches, one after another."""

    def of(name, metric):
        condition = hypothesis.conditions[name]
        return np.concatenate([outcome(run, condition, metric, stated.when) for run in gathered[name]])

    found = {name: tuple(of(name, metric) for metric in stated.metrics) for name in stated.claim.levels}
    return found if len(stated.metrics) == 2 else {name: each for name, (each,) in found.items()}


def as_json(trial):
    """Return a trial as verdict.json has it."""
    hypothesis = trial.hypothesis
    claims = []
    for stated, verdict, values in zip(hypothesis.claims, trial.verdicts, trial.values, strict=True):
        own = {name: [np.asarray(each).tolist() for each in v] if isinstance(v, tuple) else v.tolist()
               for name, v in values.items()}  # fmt: skip
        claims.append(
            {
                "name": stated.claim.name,
                "verdict": verdict.word,
                "predicts": stated.claim.predicts,
                "of": [list(each) if isinstance(each, tuple) else each for each in stated.claim.of],
                "metrics": list(stated.metrics),
                "when": stated.when,
                "margin": stated.claim.margin,
                "smallest": stated.claim.smallest,
                **{name: getattr(verdict.finding, name) for name in ("estimate", "low", "high", "effect", "sd", "n")},
                "without": verdict.finding.without,
                "said": verdict.finding.said,
                "p": verdict.finding.p,
                "p_opposite": verdict.finding.opposite,
                "p_corrected": verdict.p,
                "p_opposite_corrected": verdict.opposite,
                "power": verdict.power,
                "detectable": verdict.detectable,
                "decided_at_look": verdict.decided if hypothesis.looks is not None else None,
                "looks": [asdict(found) for found in verdict.looks] if hypothesis.looks is not None else [],
                "values": own,
            }
        )
    return {
        "format": FORMAT,
        "sha256": hypothesis.spec.sha256,
        "alpha": hypothesis.alpha,
        "correction": hypothesis.correction,
        "target_power": POWER,
        "claims": claims,
        "runs": {f"{name}-{batch + 1}": str(path.relative_to(trial.folder))
                 for (name, batch), path in trial.runs.items()},
        "diverged": {str(path.relative_to(trial.folder)): said for path, said in trial.diverged.items()},
    }  # fmt: skip
