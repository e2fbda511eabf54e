"""A hypothesis as a file states it: levels to compare, claims on them, replicas, and what would decide. See
docs/hypotheses.md for the format; :mod:`neurosim.hypotheses.trial` puts it to the test.
"""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from neurosim.errors import ParameterError, unknown
from neurosim.hypotheses.claims import CORRECTIONS, PREDICTIONS, SIGNS, TRENDS, Claim, level
from neurosim.hypotheses.looks import SPENDING, Looks
from neurosim.hypotheses.power import needed
from neurosim.job import LARGEST_SEED, Job, find_file
from neurosim.outcomes import check_when
from neurosim.specification import Specification

DATA = {
    "model": str,
    "data": str,
    "limit": int,
    "validation": int,
    "target": str,
}  # of the file or of a level, beside settings
TABLES = ("settings", "levels", "claims", "stop")
TOP = ("title", "source", *DATA, "metric", "when", "replicas", "seed", "alpha", "correction", "diverged", *TABLES)
CLAIM = ("name", "predicts", "of", "metric", "when", "smallest", "effect", "difference", "sd")
OWN = {
    "equivalent": ("margin",),
    "rising": ("at", "over"),
    "falling": ("at", "over"),
    "correlation": ("x", "y", "sign"),
}
LACKS = {"equivalent": ("smallest", "effect", "difference"), "correlation": ("metric", "difference", "sd")}
DROP = "drop"
NAME = re.compile(r"[\w+-][\w+.-]*$")  # of a level: its runs' folders are called after it


@dataclass(frozen=True)
class Stated:
    """A claim with what it is measured by.

    Attributes
    ----------
    claim : Claim
    metrics : tuple of str
        One, as "test error"; x and y for a correlation.
    when : str or int
        See :mod:`neurosim.outcomes`.
    effect : float or None
        The standardised effect that the file expects: d_z, a correlation, or margin / sd of an equivalence.
    place : int
        Of the claim in the file.
    """

    claim: Claim
    metrics: tuple
    when: object
    effect: float | None
    place: int


@dataclass(frozen=True)
class Hypothesis:
    """What a file states.

    Attributes
    ----------
    spec : Specification
        The file.
    full : bool
        Whether what ``[full]`` says holds.
    title, source : str
        What is claimed and where.
    levels : dict of str to Job
        For the first batch of replicas.
    conditions : dict of str to str
        The condition of each level's runs.
    claims : tuple of Stated
    replicas, seed : int
    alpha : float
    correction : str
    drop : bool
        Whether replicas without a number are left out.
    looks : Looks or None
        The rule to stop early.
    epochs : dict of str to int
        By level.
    file_seed : int
        The file's own, where another was asked for.
    """

    spec: Specification
    full: bool
    title: str
    source: str
    levels: dict
    conditions: dict
    claims: tuple
    replicas: int
    seed: int
    alpha: float
    correction: str
    drop: bool
    looks: Looks | None
    epochs: dict = field(repr=False)
    file_seed: int = 1

    @property
    def batches(self):
        """(replicas, seed) of the runs of each level: one batch, or one a look with the replicas that it adds."""
        counts = (self.replicas,) if self.looks is None else np.diff(self.looks.at, prepend=0).tolist()
        return tuple((count, self.seed + k) for k, count in enumerate(counts))

    @property
    def level(self):
        """The level at which the plan's power is computed; see :func:`neurosim.hypotheses.claims.level`."""
        return level(self.alpha, len(self.claims), self.correction)

    def job(self, name, batch):
        """Return the job of a level and a batch, counted from 0."""
        count, seed = self.batches[batch]
        job = self.levels[name]
        return replace(job, seed=seed, settings=job.settings | {"replicas": str(count)})


def find(name):
    """Return the path of a hypothesis's file; see :func:`neurosim.job.find_file`."""
    return find_file(name, "hypothesis", "hypotheses")


def read(path, full=False, seed=None):
    """Read a hypothesis and check all that can be checked without data.

    Parameters
    ----------
    path : path
        A TOML file.
    full : bool
        Let what ``[full]`` says hold.
    seed : int, optional
        In the place of the file's.

    Raises
    ------
    ParameterError
        With the line, for what cannot be tested as it is stated.
    """
    spec = Specification.read(path)
    spec.check((), (*TOP, "full"))
    spec.check(("full",), TOP)
    if full and "full" not in spec.tables:
        raise spec.error("--full: the file has no table [full] that says what that is")
    asked = _Asked(spec, full)
    replicas = asked.need("replicas", kind=int, within=(1, 10**6))
    file_seed = asked.value("seed", kind=int, within=(0, LARGEST_SEED - 1000), default=1)
    seed = file_seed if seed is None else seed
    levels, conditions, epochs = _levels(asked, replicas, seed)
    claims = tuple(_claim(asked, i, levels, epochs) for i in range(len(asked.need("claims", kind=list))))
    if not claims:
        raise spec.error("claims: at least one [[claims]] is needed", "claims")
    for name in levels:
        if not any(name in stated.claim.levels for stated in claims):
            raise spec.error(f"level {name!r} is in no claim: leave it out, or name it in one's `of`", "levels", name)
    found = Hypothesis(
        spec, full,
        title=asked.value("title", kind=str, default=spec.name),
        source=asked.value("source", kind=str, default=""),
        levels=levels, conditions=conditions, claims=claims, replicas=replicas, seed=seed,
        alpha=asked.value("alpha", kind=float, default=0.05, above=0, below=0.5),
        correction=asked.value("correction", kind=CORRECTIONS, default="holm"),
        drop=asked.value("diverged", kind=(DROP, "refuse"), default="refuse") == DROP,
        looks=_looks(asked, replicas), epochs=epochs, file_seed=file_seed,
    )  # fmt: skip
    _check_replicas(asked, found)
    return found


class _Asked:
    """What a file says at a place; with --full what [full] says there, if it says anything."""

    def __init__(self, spec, full):
        self.spec, self.full = spec, full
        self.claims = {}
        names = [spec.get("claims", i, "name") for i in range(len(spec.value("claims", kind=list, default=())))]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise spec.error(f"name: claim {names.index(name) + 1} has this name too", "claims", i, "name")
        if spec.get("full", "claims") is not None:
            self._match_claims(names)

    def _match_claims(self, names):
        for j in range(len(self.spec.value("full", "claims", kind=list))):
            name = self.spec.get("full", "claims", j, "name")
            if name not in names:
                place = "full", "claims", j, "name"
                raise unknown("claim", name, names, error=lambda text, place=place: self.spec.error(text, *place))
            self.claims[names.index(name)] = j

    def place(self, *place):
        """Return where the file says it."""
        if not self.full or place in {(name,) for name in TABLES}:  # tables are put together key by key
            return place
        own = place
        if place[0] == "claims" and len(place) > 1:
            if place[1] not in self.claims:
                return place
            own = ("claims", self.claims[place[1]], *place[2:])
        return place if self.spec.get("full", *own) is None else ("full", *own)

    def value(self, *place, **kind):
        """Return what the file says; see :meth:`Specification.value`."""
        return self.spec.value(*self.place(*place), **kind)

    def need(self, *place, **kind):
        """Return what the file says; raise an error if it says nothing."""
        found = self.value(*place, **kind)
        if found is None:
            raise self.spec.error(f"{place[-1]} is needed", *place)
        return found

    def table(self, *place):
        """Return a table with what [full] says in it on top."""
        found = dict(self.spec.value(*place, kind=dict, default={}))
        return found | (self.spec.value("full", *place, kind=dict, default={}) if self.full else {})


def _levels(asked, replicas, seed):
    """Return jobs, conditions and numbers of epochs by level."""
    spec = asked.spec
    shared = {name: asked.value(name, kind=kind) for name, kind in DATA.items()}
    settings = asked.table("settings")
    jobs, conditions, epochs, keys = {}, {}, {}, {}
    there = asked.need("levels", kind=dict)
    spec.check(("full", "levels"), there, "level")
    for name in there:
        if not NAME.match(name):
            raise spec.error(f"level {name!r}: a name of letters, digits and -_+. is needed", "levels", name)
        own = asked.table("levels", name)
        places = [(*full, *each) for each in (("levels", name), ("settings",), ()) for full in (("full",), ())]
        chosen = {key: _own(asked, name, key, own.pop(key, None), value) for key, value in shared.items()}
        condition = asked.value("levels", name, "conditions", kind=str)
        own.pop("conditions", None)
        texts = {key: spec.text(value) for key, value in {**settings, **own}.items()}
        if "replicas" in texts:
            place = next((*each, "replicas") for each in places if spec.get(*each, "replicas") is not None)
            raise spec.error("replicas: all levels have the same; say so at the top of the file", *place)
        if chosen["model"] is None:
            raise spec.error(f"model is needed: of the file, or of level {name!r}", "levels", name)
        given = {key: value for key, value in chosen.items() if value is not None}
        with spec.naming(("levels", name), *places):
            named = None if condition is None else [condition]
            job = Job(settings=texts | {"replicas": str(replicas)}, conditions=named, seed=seed, **given)
            prepared = job.checked()
            if len(prepared.conditions) != 1:
                known = ", ".join(prepared.conditions)
                raise ParameterError(f"level {name!r} has several conditions; conditions = one of {known}")
            if (key := prepared.key()) in keys:
                raise ParameterError(f"level {name!r} is the same as level {keys[key]!r}: nothing differs")
        keys[key], jobs[name] = name, job
        ((conditions[name], values),) = prepared.conditions.items()
        epochs[name] = values["epochs"]
    return jobs, conditions, epochs


def _own(asked, level, key, own, shared):
    """Return what a level says of its model or data, or else what the file says."""
    return shared if own is None else asked.value("levels", level, key, kind=DATA[key])


def _claim(asked, i, levels, epochs):
    """Return claim i of the file."""
    spec = asked.spec
    predicts = asked.need("claims", i, "predicts", kind=PREDICTIONS)
    known = [key for key in (*CLAIM, *OWN.get(predicts, ())) if key not in LACKS.get(predicts, ())]
    for place in (("claims", i), ("full", "claims", asked.claims.get(i))):
        others = {key for keys in OWN.values() for key in keys} | set(CLAIM)
        for key in others - set(known):
            if spec.get(*place, key) is not None:
                raise spec.error(f"{key}: a claim that predicts {predicts!r} has none", *place, key)
        spec.check(place, known)
    name = asked.need("claims", i, "name", kind=str)
    of = _of(asked, i, predicts, levels)
    margin = asked.value("claims", i, "margin", kind=float, above=0)
    if predicts == "equivalent" and margin is None:
        line = ("claims", i, "predicts")
        raise spec.error("margin is needed: how large a difference would still count as none, as margin = 0.005", *line)
    sign = asked.value("claims", i, "sign", kind=SIGNS)
    if predicts == "correlation" and sign is None:
        raise spec.error('sign is needed: "positive" or "negative"', "claims", i, "predicts")
    most = {"below": 1} if predicts == "correlation" else {}
    smallest = asked.value("claims", i, "smallest", kind=float, above=0, **most)
    at = tuple(asked.value("claims", i, "at", kind=list, default=()))
    for k in range(len(at)):
        asked.value("claims", i, "at", k, kind=float)
    if at and (len(at) != len(of) or len(set(at)) < len(at)):
        raise spec.error(f"at: {len(of)} different numbers are needed, one a level, got {list(at)}", "claims", i, "at")
    over = asked.value("claims", i, "over", kind=str, default="level")
    claim = Claim(name, predicts, of, margin, smallest, at, over, sign or "positive")
    keys = ("x", "y") if predicts == "correlation" else ("metric",)
    metrics = tuple(_metric(asked, i, key) for key in keys)
    if len(set(metrics)) < len(metrics):
        raise spec.error("y: another metric than x is needed", "claims", i, "y")
    place = ("claims", i, "when") if asked.spec.get("claims", i, "when") is not None else ("when",)
    when = asked.spec.get(*asked.place("claims", i, "when"))
    when = asked.spec.get(*asked.place("when"), default="last") if when is None else when
    with spec.naming(asked.place(*place)):
        check_when(when)
        few = [name for name in claim.levels if isinstance(when, int) and when > epochs[name]]
        if few:
            raise ParameterError(f"when: level {few[0]!r} has {epochs[few[0]]} epochs, epoch {when} is asked for")
    return Stated(claim, metrics, when, _effect(asked, i, claim, most), i)


def _of(asked, i, predicts, levels):
    """Return what a claim is about: level names, pairs of them, numbers."""
    spec, found = asked.spec, []
    for k, each in enumerate(asked.need("claims", i, "of", kind=list)):
        place = asked.place("claims", i, "of")
        pair = each if isinstance(each, list) else [each]
        number = isinstance(each, (int, float)) and not isinstance(each, bool)
        if isinstance(each, list) and (predicts == "correlation" or len(each) != 2):
            raise spec.error(f"of: a level, or a pair of levels for their difference, is needed, got {each}", *place, k)
        if number:
            spec.value(*place, k, kind=float)
        if number and (predicts in TRENDS or predicts == "correlation"):
            raise spec.error(f"of: {predicts!r} needs levels, got the number {each}", *place, k)
        for name in () if number else pair:
            if not isinstance(name, str) or name not in levels:
                raise unknown("level", name, levels, error=lambda text, place=(*place, k): spec.error(text, *place))
        one = tuple(each) if isinstance(each, list) else each
        if one in found or len(set(pair)) < len(pair):
            raise spec.error(f"of: {each!r} is there twice; other levels are needed", *place, k)
        found.append(one)
    place = asked.place("claims", i, "of")
    if predicts in TRENDS and len(found) < 3:
        raise spec.error(f"of: a trend needs at least 3 levels, got {len(found)}", *place)
    if predicts not in (*TRENDS, "correlation") and len(found) != 2:
        raise spec.error(f"of: {predicts!r} needs 2 levels, [a, b], got {len(found)}", *place)
    if not any(isinstance(each, (str, tuple)) for each in found):
        raise spec.error("of: at least one level is needed", *place)
    return tuple(found)


def _metric(asked, i, key):
    """Return a metric of claim i; that a run has it is known when one has been built."""
    own = asked.value("claims", i, key, kind=str)
    if own is None and key == "metric":
        own = asked.value("metric", kind=str)
    if own is None:
        raise asked.spec.error(f'{key} is needed, as {key} = "test error"', "claims", i)
    return own


def _effect(asked, i, claim, most):
    """Return the standardised effect that a claim expects, or None."""
    effect = asked.value("claims", i, "effect", kind=float, above=0, **most)
    difference, sd = (asked.value("claims", i, key, kind=float, above=0) for key in ("difference", "sd"))
    if claim.predicts == "equivalent":
        return None if sd is None else claim.margin / sd
    if (difference is None) != (sd is None):
        raise asked.spec.error("difference and sd are needed both, or effect alone", "claims", i)
    if effect is not None and sd is not None:
        raise asked.spec.error("effect: difference and sd say it already", "claims", i, "effect")
    return effect if sd is None else difference / sd


def _looks(asked, replicas):
    """Return the rule to stop early, or None."""
    spec = asked.spec
    if not asked.table("stop"):
        return None
    for place in (("stop",), ("full", "stop")):
        spec.check(place, ("looks", "spending"))
    at = asked.need("stop", "looks", kind=list)
    place = asked.place("stop", "looks")
    for k in range(len(at)):
        spec.value(*place, k, kind=int)
    with spec.naming(place):
        looks = Looks(tuple(at), asked.value("stop", "spending", kind=SPENDING, default="obrien_fleming"))
        if at[-1] != replicas:
            raise ParameterError(f"looks: the last look is at all replicas: {at[-1]} here, replicas = {replicas}")
    return looks


def _check_replicas(asked, found):
    """Raise an error where a test cannot be made with so many replicas, or looks do not go with a claim."""
    spec, first = asked.spec, found.replicas if found.looks is None else found.looks.at[0]
    for stated in found.claims:
        claim = stated.claim
        if found.looks is not None and claim.predicts == "correlation":
            raise spec.error("a correlation is tested once: leave [stop] out", "claims", stated.place)
        if first < claim.least:
            place = asked.place("replicas") if found.looks is None else asked.place("stop", "looks")
            more = ""
            if stated.effect is not None:
                enough = needed(claim.power, stated.effect, found.level, claim.least)
                more = f", and {enough or 'more than 100,000'} for a power of 80 % at the effect that it states"
            raise spec.error(
                f"{place[-1]}: {first} are too few: the test of claim {claim.name!r} needs {claim.least}{more}", *place
            )
    if found.looks is not None:
        with spec.naming(asked.place("alpha"), asked.place("stop")):
            found.looks.levels(found.level)
