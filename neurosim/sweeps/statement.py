"""What the file of a sweep says: its tasks, each a job with settings of its own."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from neurosim.errors import unknown
from neurosim.job import TARGETS, Job, Prepared, find_file, find_one, inputs_of
from neurosim.outcomes import SPLITS, check_when, outcomes_offered
from neurosim.specification import Specification
from neurosim.sweeps.sampling import combinations, number_of, read_range

KEYS = (
    "title", "model", "data", "conditions", "seed", "seeds", "limit", "validation", "target", "metric", "when", "best",
    "settings", "grid", "random",
)  # fmt: skip


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
    """Return the path of a sweep's file; see :func:`neurosim.job.find_file`."""
    return find_file(name, "sweep", "sweeps")


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
    one = isinstance(spec.get("conditions"), str)
    names = [spec.value("conditions", kind=str)] if one else spec.value("conditions", kind=list)
    for k, name in enumerate(names or ()):
        if name not in experiment.conditions:
            raise unknown(
                "condition",
                name,
                experiment.conditions,
                error=lambda text, k=k: spec.error(text, "conditions", *([] if one else [k])),
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
    found = [spec.value("seeds", k, kind=int, within=(0, 2**32 - 1)) for k in range(len(seeds))]
    if len(set(found)) < len(found):
        raise spec.error(f"seeds: each once, got {', '.join(map(str, found))}", "seeds")
    return found


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
