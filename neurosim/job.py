"""A job: one thing that a user asks to be run, as data. The command line, sweeps and hypotheses all go this way.

job = Job("lillicrap_2016.spiking", data="digits", settings={"eta": "0.01"}, conditions=["backprop"], seed=2)
job.checked()               refuses what cannot be run, before data are read
job.carry_out("runs/first") simulates, goes on with what was cut off, or finds that all is done
"""

import hashlib
import importlib
import json
import os
import pkgutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from neurosim.errors import DivergedError, ParameterError, unknown

TARGETS = ("numpy", "cython")
LARGEST_SEED = 2**32 - 1
ASKED = ("data", "limit", "validation")  # how data are asked for


def models():
    """Return all models: name to module, read from the package of models."""
    import neurosim_models

    names = sorted(module.name for module in pkgutil.iter_modules(neurosim_models.__path__))
    return {name: importlib.import_module(f"neurosim_models.{name}") for name in names}


def find(name):
    """Return [(full name, module, experiment)] for ``model`` (all its experiments) or ``model.experiment``.

    Raises
    ------
    ParameterError
        For an unknown name, with the nearest.
    """
    there = models()
    known = {f"{m}.{e.name}": (f"{m}.{e.name}", module, e) for m, module in there.items() for e in module.EXPERIMENTS}
    if name in known:
        return [known[name]]
    if name in there:
        return [found for full, found in known.items() if full.split(".")[0] == name]
    raise unknown("model", name, [*there, *known], "; see neurosim list")


def find_one(name):
    """Return (full name, module, experiment) of ``model.experiment``, or of a model that has one experiment."""
    found = find(name)
    if len(found) > 1:
        raise ParameterError(f"{name} has several experiments; name one of {', '.join(full for full, *_ in found)}")
    return found[0]


def find_file(name, kind, folder):
    """Return the path of a TOML file, or of one that comes with the models, by its name, as ``learning_rate``.

    Parameters
    ----------
    name : path or str
        A file, or the name of one of ours.
    kind, folder : str
        What it is, in words, and the folder of ``models/`` that has ours.

    Raises
    ------
    ParameterError
        If there is neither, with the nearest names.
    """
    import neurosim_models

    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    ours = {each.stem: each for each in sorted((Path(neurosim_models.__path__[0]) / folder).glob("*.toml"))}
    if str(name) not in ours:
        raise unknown(kind, name, ours, "; or name a file that ends in .toml")
    return ours[str(name)]


@dataclass(frozen=True)
class Job:
    """What is asked to be run, in a user's words; nothing is checked before :meth:`checked`.

    Parameters
    ----------
    model : str
        ``<author>_<year>.<experiment>``, or ``<author>_<year>`` where that has one experiment.
    data : str, optional
        Data set by name, or a folder; the experiment's first if left out.
    settings : dict of str to str
        Parameters by name, as in ``--set``; among them replicas, lanes and epochs.
    conditions : sequence of str, optional
        Conditions of the experiment by name; all if left out.
    seed : int
        Decides all that is random.
    limit, validation : int, optional
        Use the first N training examples; test on N of them held out.
    target : {"numpy", "cython"}
        How brian2 runs neurons.

    Examples
    --------
    >>> job = Job("lillicrap_2016.spiking", data="digits", settings={"hidden": "20,20"})
    >>> Job.from_json(job.as_json()).key() == job.key() != Job("lillicrap_2016.spiking", seed=2).key()
    True
    """

    model: str
    data: str | None = None
    settings: dict = field(default_factory=dict)
    conditions: tuple | None = None
    seed: int = 1
    limit: int | None = None
    validation: int | None = None
    target: str = "numpy"

    def __post_init__(self):
        object.__setattr__(self, "settings", {str(name): str(text) for name, text in self.settings.items()})
        if self.conditions is not None:
            object.__setattr__(self, "conditions", tuple(self.conditions))

    def checked(self, examples=None):
        """Return the job as it will run, with every name and value looked up.

        Parameters
        ----------
        examples : DataSet or FunctionTask, optional
            The data, as :meth:`examples` returns them: where the experiment has no constants for them, those for data
            with as many inputs are taken. Without them nothing large is read.

        Returns
        -------
        Prepared

        Raises
        ------
        ParameterError, DataError
            For an unknown model, parameter, condition, target or data set (with the nearest names), a value of the
            wrong kind, unit or range, or values that do not go together.
        """
        full, _, experiment = find_one(self.model)
        if self.target not in TARGETS:
            raise unknown("target", self.target, TARGETS)
        if type(self.seed) is not int or not 0 <= self.seed <= LARGEST_SEED:
            raise ParameterError(f"seed: a whole number within 0..{LARGEST_SEED} is needed, got {self.seed!r}")
        asked = {name: getattr(self, name) for name in ASKED}
        if asked["data"] is None:
            asked["data"] = next(iter(experiment.presets))
        data, inputs = asked["data"], None
        if examples is not None:
            data, inputs = examples.name, inputs_of(examples)
        values = experiment.resolve(data, self.settings, inputs)
        names = None if self.conditions is None else list(self.conditions)
        conditions = experiment.choose(values, self.settings, names)
        preset = experiment.preset_for(data, inputs)
        prepared = Prepared(full, experiment, values, conditions, asked, self.seed, self.target, preset)
        prepared.check_data_asked()
        return prepared

    def examples(self):
        """Return the data that the job asks for, a DataSet or a FunctionTask."""
        return self.checked().examples()

    def carry_out(self, folder, *, examples=None, tell=None, note=None, checkpoint_every=None, study=True):
        """Simulate the job into a folder; go on with it where it was cut off; find that it is finished already.

        Parameters
        ----------
        folder : path
            The run's folder: none yet, or one with a run of this job.
        examples : DataSet or FunctionTask, optional
            The data, where they have been read already.
        tell, checkpoint_every
            As for :func:`neurosim.simulate.simulate`.
        note : callable (text) -> None, optional
            As for :func:`neurosim.simulate.resume`.
        study : bool
            Whether a new run computes what the experiment has for its figures beside training.

        Returns
        -------
        Run
            Its ``record["status"]`` is "finished", or "interrupted" after Ctrl+C.

        Raises
        ------
        ParameterError
            What :meth:`checked` raises, and if the folder holds something else; a BusyError while another process is
            simulating the run.
        DivergedError
            Where a variable is not finite, now or when the folder's run was simulated.
        """
        from neurosim.runs import Run
        from neurosim.simulate import resume

        more = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
        prepared = self.checked()
        named = prepared.asked["data"] in prepared.experiment.presets
        there = (Path(folder) / "run.json").is_file()
        if examples is None and not (there and named):
            examples = prepared.examples()
        if not named:
            prepared = self.checked(examples)
        if not there:
            prepared = self.checked(examples)
            return prepared.simulate(folder, examples, tell=tell, study=study, **more)
        run = Run.open(folder)
        if run.record["status"] not in ("finished", "diverged"):
            run.hold()
            run.record = Run.open(folder).record  # as it is now that nobody else can change it
        try:
            prepared.check_is(run)
            if not named:
                _check_same_data(run, examples)
            if run.record["status"] == "finished":
                return run
            if run.record["status"] == "diverged":
                raise DivergedError(run.record.get("reason") or f"{folder}: the run diverged")
            examples = prepared.examples() if examples is None else examples
            return resume(run, prepared.experiment, examples, tell=tell, note=note, **more)
        finally:
            run.release()

    def key(self):
        """Return 16 hexadecimal digits that are the same for all jobs with the same result.

        They are a hash of the model, all values of all conditions, the seed, the target, and how data are asked for:
        ``0.010`` and ``0.01`` are one value, and a default that is set is a default.
        """
        return self.checked().key()

    def as_json(self):
        """Return it as what JSON can hold, without what is left out."""
        conditions = None if self.conditions is None else list(self.conditions)
        return {name: value for name, value in (asdict(self) | {"conditions": conditions}).items() if value is not None}

    @classmethod
    def from_json(cls, record):
        """Return the job that :meth:`as_json` gave."""
        return cls(**record)


@dataclass(frozen=True)
class Prepared:
    """A job as it will run, or a run as it was.

    Attributes
    ----------
    model : str
        Full name.
    experiment : Experiment
        What is run.
    values : dict
        Parameters by name.
    conditions : dict of str to dict
        Condition to parameters by name.
    asked : dict
        How the data are asked for: data, limit, validation.
    seed : int
    target : str
    preset : str
        The data set whose constants are used.
    """

    model: str
    experiment: object
    values: dict
    conditions: dict
    asked: dict
    seed: int
    target: str
    preset: str

    @property
    def makes_own_data(self):
        """Whether the experiment makes its examples itself."""
        return all(each.task for each in self.experiment.presets.values())

    def check_data_asked(self):
        """Raise an error if there are no such data, as far as that can be said without reading them."""
        from neurosim import data as datasets

        name, presets = self.asked["data"], self.experiment.presets
        if self.makes_own_data:
            if name not in presets:
                raise unknown("data", name, presets, "; this experiment makes its own")
            for option in ("limit", "validation"):
                if self.asked[option] is not None:
                    raise ParameterError(
                        f"--{option}: this experiment makes its own examples; see --set examples and tests"
                    )
        elif name not in datasets.NAMES and not os.path.isdir(name):  # false for what can be no path
            datasets.load(name)  # says what is wrong

    def examples(self):
        """Return the data: a DataSet or a FunctionTask."""
        from neurosim import data as datasets

        self.check_data_asked()
        if self.makes_own_data:
            return self.experiment.presets[self.asked["data"]].task(self.values, self.seed)
        examples = datasets.load(self.asked["data"])
        if self.asked.get("limit") is not None:
            examples = examples.limit(self.asked["limit"])
        if self.asked.get("validation") is not None:
            examples = examples.validation(self.asked["validation"], seed=1)
        return examples

    def check_values(self, examples):
        """Raise a ParameterError where the values do not go together or need more examples, in any condition."""
        from neurosim.training import presentations_an_epoch, sizes

        for each in self.conditions.values():
            presentations_an_epoch(sizes(examples)[0], each["lanes"])
            if self.experiment.check is not None:
                self.experiment.check(each)

    def simulate(self, folder, examples, **more):
        """Simulate it into a new folder; see :func:`neurosim.simulate.simulate`."""
        from neurosim.simulate import simulate

        return simulate(
            self.model, self.experiment, examples, self.values, self.seed, folder,
            conditions=self.conditions, asked=self.asked, target=self.target, **more,
        )  # fmt: skip

    def check_is(self, run):
        """Raise a ParameterError that says what differs, if a run is not one of this job."""
        other = recorded(run)
        here = self._identity()
        differ = [
            f"{name} {there} there, {here.get(name)} asked for"
            for name, there in other._identity().items()
            if here.get(name) != there
        ] + [f"no {name} there" for name in set(here) - set(other._identity())]
        if differ:
            raise ParameterError(f"{run.folder} holds another run: {'; '.join(differ[:4])}; give another folder")

    def key(self):
        """Return a hash of what decides the result; see :meth:`Job.key`."""
        return hashlib.sha256(json.dumps(self._identity(), sort_keys=True).encode()).hexdigest()[:16]

    def _identity(self):
        """Return what decides the result, as flat as can be said to differ, in numbers of base units."""
        from neurosim.simulate import bare

        found = {"model": self.model, "seed": self.seed, "target": self.target}
        found |= {name: self.asked.get(name) for name in ASKED}
        found["conditions"] = ", ".join(self.conditions)
        for condition, values in self.conditions.items():
            found |= {f"{name} ({condition})": bare(value) for name, value in values.items()}
        return json.loads(json.dumps(found, default=float))


def recorded(run):
    """Return a run as it was as a Prepared."""
    from neurosim.simulate import recorded as values_of

    record = run.record
    full, _, experiment = find_one(record["model"])
    values, conditions = values_of(run, experiment)
    asked = {"limit": None, "validation": None, **record["data"]["asked"]}
    return Prepared(full, experiment, values, conditions, asked, record["seed"], record["target"], record["preset"])


def repeated(prepared, run):
    """Return a run as it was, to be simulated again: its record will say which run it repeats."""
    return replace(prepared, asked={**prepared.asked, "repeats": run.folder.name})


def inputs_of(examples):
    """Return the number of inputs of a DataSet or a FunctionTask."""
    return examples.inputs if hasattr(examples, "inputs") else examples.train_images.shape[1]


def _check_same_data(run, examples):
    from neurosim.simulate import check_data

    check_data(run, examples)
