"""Runs to one page: our numbers beside the published ones, paired comparisons, provenance, figures."""

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from neurosim import pages
from neurosim.analysis import holm, mean_interval, paired
from neurosim.errors import ParameterError
from neurosim.pages import Report, Section, Table
from neurosim.runs import Run

INSIDE, WITHIN, MISSED = "inside the interval", "within Expect", "not reached"
EXPECTED, UNEXPECTED = "as expected", "not as expected"
SINGLE, OTHER_DATA, NOTHING = "one replica: no interval", "another data set: not compared", "nothing to compare with"
EMPTY, UNFINISHED = "no results yet", "of a run that is not finished"
CLAIMED, OPPOSITE, ALIKE = "as claimed", "the opposite of the claim", "no difference found"
SAME, DIFFERENT = "no difference found, as claimed", "not alike, against the claim"
WORDS = (
    INSIDE,
    WITHIN,
    MISSED,
    EXPECTED,
    UNEXPECTED,
    SINGLE,
    OTHER_DATA,
    NOTHING,
    EMPTY,
    CLAIMED,
    OPPOSITE,
    ALIKE,
    SAME,
    DIFFERENT,
)
GOOD, BAD = (INSIDE, WITHIN, EXPECTED, CLAIMED, SAME), (MISSED, UNEXPECTED, OPPOSITE, DIFFERENT)
NONE = "–"
LEVEL = 0.05  # of a corrected p below which a difference counts as found
WITHIN_RANGE = {"error": (0, 1)}
COLUMNS = (
    "run", "experiment", "data", "condition", "measure", "epochs", "n", "ours", "published", "expect", "verdict",
)  # fmt: skip
PAIR_COLUMNS = ("comparison", "measure", "epoch", "difference", "d_z", "p", "p (Holm)", "n", "finding")
RESULTS = (
    "Ours: mean over n replicas with its 95 % interval (Student t), which is wide where replicas are few. Inside the "
    "interval: the published value lies in ours. Within Expect: it does not, but the mean is where the model says that "
    "it must be with its defaults."
)
PAIRS = (
    "Replicas of the same seed are pairs. Difference: mean of the first minus the second with its 95 % interval "
    "(Student t, not corrected; points are percentage points). d_z: effect size mean(d) / sd(d). p: two-sided paired "
    "t-test. p (Holm): corrected for the number of comparisons of a run or, between runs, of the table; a difference "
    f"counts as found where it is below {LEVEL}."
)

# What a report needs of run.json and summary.json: ANY stands for all names, a list for any number
ANY = object()
NUMBER, NUMBER_OR_NONE, TEXT_OR_NONE = (int, float), (int, float, type(None)), (str, type(None))
PUBLISHED = {"value": NUMBER, "text": str, "data": str, "source": str, "condition": TEXT_OR_NONE, "split": str}
EXPECT = {"condition": TEXT_OR_NONE, "split": str, "most": NUMBER_OR_NONE, "least": NUMBER_OR_NONE}
RECORD = {
    "model": str,
    "metric": str,
    "status": str,
    "seed": object,
    "preset": str,
    "data": {"name": str},
    "parameters": {ANY: {"value": object, "source": str}},
    "conditions": {ANY: {}},
    "published": [PUBLISHED],
    "expect": [EXPECT],
    "comparisons": [{"lower": str, "higher": str, "published": str}],
    "versions": {},
    "times": {"wall_s": NUMBER},
}
SUMMARY = {"published": [PUBLISHED | {"same_data": bool}]}


def write(folders, out):
    """Write the report on some runs into a file.

    Parameters
    ----------
    folders : iterable of path
        As :func:`report` takes them.
    out : path
        Ends in .html for one page with the figures inside it, in .md for Markdown with relative links to them. A
        report that is there is written over, another file is not.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        If the file's name has another ending or the file is not a report, and as :func:`report`.
    RunError
        If the file cannot be written.
    """
    return pages.write(report(folders), pages.check_out(out))


def report(folders):
    """Compare runs with what is published, and with one another.

    Parameters
    ----------
    folders : iterable of path
        Folders of runs, finished or not; one that is given twice is taken once.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError
        If there is no folder, a folder holds no run, or a file of a run is damaged.
    """
    folders = list({Path(folder).resolve(): folder for folder in folders}.values())
    if not folders:
        raise ParameterError("no folder: name the folder of at least one run, as runs/first")
    runs = [_read(number, folder) for number, folder in enumerate(folders, 1)]
    rows = tuple(row for run in runs for row in _results(run))
    sections = [Section("Results", (_lead(rows), *_cautions(runs)), (Table(RESULTS, COLUMNS, rows, _tone),))]
    comparisons = tuple(table for table in (_within(runs), _between(runs)) if table.rows)
    if comparisons:
        sections.append(Section("Paired comparisons", (PAIRS,), comparisons))
    sections += map(_provenance, runs)
    models = sorted({run.record["model"] for run in runs})
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return Report(f"Report on {count} of {', '.join(models)}", tuple(sections))


def verdict(found, published=None, expect=()):
    """Say in words how a condition's final result compares with the paper and with what the model says must come out.

    Parameters
    ----------
    found : Interval
        Ours, of at least one replica.
    published : dict, optional
        An entry of summary.json: ``value`` and ``same_data``.
    expect : iterable of dict
        Entries of run.json for the condition: the mean must be at most ``most`` and at least ``least``.

    Examples
    --------
    >>> from neurosim.analysis import Interval
    >>> verdict(Interval(0.02, 0.018, 0.022, 5), {"value": 0.021, "same_data": True})
    'inside the interval'
    >>> verdict(Interval(0.02, 0.018, 0.022, 5), None, [{"most": 0.03, "least": None}])
    'as expected'
    """
    limits = [(each["most"], each["least"]) for each in expect]
    holds = all(
        (most is None or found.mean <= most) and (least is None or found.mean >= least) for most, least in limits
    )
    alone = (EXPECTED if holds else UNEXPECTED) if limits else ""
    if published is None:
        return alone or NOTHING
    if not published["same_data"]:
        return f"{OTHER_DATA}; {alone}" if alone else OTHER_DATA
    if found.n == 1:
        return f"{SINGLE}; {WITHIN if holds else MISSED}" if limits else SINGLE
    if found.low <= published["value"] <= found.high:
        return INSIDE
    if limits and holds:
        return WITHIN
    return f"{MISSED}: ours is {'lower' if found.mean < published['value'] else 'higher'}"


# Reading


@dataclass(frozen=True)
class _Results:
    """A run with what its files say; ``curves`` is (condition, split) to (epochs, values (epochs, replicas))."""

    number: int
    folder: Path
    record: dict
    published: list
    curves: dict = field(default_factory=dict)
    replicas: tuple = ()

    def final(self, condition, split="test"):
        """Return the last epoch with a result, and the replicas' values in it."""
        epochs, values = self.curves.get((condition, split), (np.empty(0), np.empty((0, 0))))
        with_result = np.flatnonzero(np.isfinite(values).any(axis=1))
        return (int(epochs[with_result[-1]]), values[with_result[-1]]) if with_result.size else (None, np.empty(0))

    def setting(self, name, condition=None):
        """Return the value of a parameter, in a condition that sets it or as it is; None where there is none."""
        own = self.record["conditions"].get(condition) or {}
        return own.get(name, self.record["parameters"].get(name, {}).get("value"))

    @property
    def expect(self):
        """What must come out: nothing is known of data that the model has no parameters for."""
        record = self.record
        return record["expect"] if record["preset"] == record["data"]["name"] else []

    def name(self):
        """Return its number, with its status where it has not finished."""
        return str(self.number) if self.record["status"] == "finished" else f"{self.number} ({self.record['status']})"


def _read(number, folder):
    run = Run.open(folder)
    _require(run.folder / "run.json", run.record, RECORD)
    found = _Results(number, run.folder.resolve(), run.record, run.record["published"])
    path, table = run.folder / "summary.json", run.folder / "metrics.csv"
    if not path.is_file() or not table.is_file():
        return found
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ParameterError(f"{path}: cannot be read: {error}") from None
    _require(path, summary, SUMMARY)
    metrics, metric = run.metrics(), run.record["metric"]
    lacking = {"condition", "epoch", "replica", "split", metric} - set(metrics)
    if lacking:
        raise ParameterError(f"{table}: lacks the columns {', '.join(sorted(lacking))}")
    if not np.isfinite([metrics["epoch"], metrics["replica"]]).all():
        raise ParameterError(f"{table}: every row needs the number of its epoch and of its replica")
    replicas = np.unique(metrics["replica"])
    curves = {}
    for condition in run.record["conditions"]:
        for split in np.unique(metrics["split"]):
            chosen = (metrics["condition"] == condition) & (metrics["split"] == split)
            epochs, at = np.unique(metrics["epoch"][chosen], return_inverse=True)
            values = np.full((len(epochs), len(replicas)), np.nan)
            values[at, np.searchsorted(replicas, metrics["replica"][chosen])] = metrics[metric][chosen]
            curves[condition, str(split)] = epochs, values
    return _Results(number, found.folder, run.record, summary["published"], curves, tuple(replicas))


def _require(path, value, shape, place="the file"):
    """Raise a ParameterError that names the place in a JSON file where something is missing or of another kind."""
    kind = dict if isinstance(shape, dict) else list if isinstance(shape, list) else shape
    if not isinstance(value, kind):
        words = {dict: "an object", list: "a list", str: "a text", NUMBER: "a number", bool: "true or false"}
        raise ParameterError(f"{path}: damaged: {place} must be {words.get(kind, 'null or a value of its kind')}")
    if kind is list:
        for number, each in enumerate(value):
            _require(path, each, shape[0], f"{place}[{number}]")
    elif kind is dict:
        for key, inner in shape.items():
            for name in value if key is ANY else [key]:
                if name not in value:
                    raise ParameterError(f"{path}: damaged: {place} has no {name!r}")
                _require(path, value[name], inner, name if place == "the file" else f"{place}.{name}")


# Results beside the published ones


def _results(run):
    """Return the rows of one run: one a condition, split and published number."""
    record, metric = run.record, run.record["metric"]
    shared = (str(run.number), record["model"], record["data"]["name"])
    status = "" if record["status"] == "finished" else f"{record['status']}: "
    for condition in record["conditions"]:
        published = [entry for entry in run.published if entry["condition"] in (None, condition)]
        expect = [entry for entry in run.expect if entry["condition"] in (None, condition)]
        for split in dict.fromkeys(["test", *(entry["split"] for entry in [*published, *expect])]):
            must = [entry for entry in expect if entry["split"] == split]
            epoch, values = run.final(condition, split)
            found = mean_interval(values, within=WITHIN_RANGE.get(metric, (0, np.inf)))
            for entry in [entry for entry in published if entry["split"] == split] or [None]:
                yield (
                    *shared, condition, f"{split} {metric}", _epochs(run, condition, epoch), _count(found.n, run),
                    _interval(metric, found) if found.n else EMPTY,
                    NONE if entry is None else f"{entry['text']} on {entry['data']}",
                    "; ".join(_limits(metric, each) for each in must) or NONE,
                    status + (verdict(found, entry, must) if found.n else EMPTY),
                )  # fmt: skip


def _lead(rows):
    """Return the line that says it all."""
    found = Counter(_word(row[-1]) for row in rows)
    count = "1 result" if len(rows) == 1 else f"{len(rows)} results"
    return f"{count}: {', '.join(f'{found[word]} {word}' for word in (*WORDS, UNFINISHED) if word in found)}."


def _word(text):
    """Return the last of a verdict's words: after those on the comparison with the paper, that on Expect."""
    last = text.split("; ")[-1] if text.startswith(WORDS) else ""
    return next((word for word in WORDS if last.startswith(word)), UNFINISHED)


def _tone(text):
    word = _word(text)
    return "good" if word in GOOD else "bad" if word in BAD else ""


def _cautions(runs):
    """Say of which runs the numbers that they are compared with are not made for."""
    for run in runs:
        changed = [name for name in _changed(run) if name != "replicas"]
        asked = run.record["data"].get("asked") or {}
        facts = {
            f"{', '.join(changed)} set by the user": changed,
            f"the first {asked.get('limit')} training examples only": asked.get("limit"),
            "tested on examples held out from training": asked.get("validation"),
        }
        parts = [fact for fact, holds in facts.items() if holds]
        if parts and (run.expect or run.published):
            yield f"Run {run.number}: {'; '.join(parts)}. The paper's number and Expect are not for that."


def _epochs(run, condition, epoch):
    asked = run.setting("epochs", condition)
    done = "0" if epoch is None else str(epoch)
    return done if asked in (None, epoch) else f"{done} of {asked}"


def _count(n, run):
    return str(n) if n in (0, len(run.replicas)) else f"{n} of {len(run.replicas)}"


def _number(metric, value):
    return f"{100 * value:.2f} %" if metric == "error" else f"{value:.3g}"


def _interval(metric, found):
    text = _number(metric, found.mean)
    if found.n == 1:
        return text
    low, high = (_number(metric, value).removesuffix(" %") for value in (found.low, found.high))
    return f"{text} ({low} to {high})"


def _limits(metric, entry):
    words = (("at most", entry["most"]), ("at least", entry["least"]))
    scale, unit = (100, " %") if metric == "error" else (1, "")
    return " and ".join(f"{word} {scale * value:.3g}{unit}" for word, value in words if value is not None)


# Paired comparisons


def _within(runs):
    """Return the table of all pairs of conditions of every run; those that the paper claims come first."""
    rows = []
    for run in runs:
        metric, conditions = run.record["metric"], run.record["conditions"]
        claims = {(each["lower"], each["higher"]): each for each in run.record["comparisons"]}
        claimed = {frozenset(pair) for pair in claims}
        pairs = [*claims, *(pair for pair in combinations(conditions, 2) if frozenset(pair) not in claimed)]
        tests = []
        for a, b in pairs:
            (epochs, first), (others, second) = (run.curves.get((each, "test"), ((), ())) for each in (a, b))
            found = paired([], [])
            for epoch in np.intersect1d(epochs, others)[::-1]:  # the last one that both have
                found = paired(first[list(epochs).index(epoch)], second[list(others).index(epoch)])
                if found.n:
                    break
            tests.append((found, f"{epoch:g}" if found.n else NONE))
        corrected = holm([found.p for found, _ in tests])
        for (a, b), (found, epoch), p in zip(pairs, tests, corrected, strict=True):
            if not found.n and (a, b) not in claims:
                continue
            absent = " and ".join(each for each in (a, b) if each not in conditions)
            finding = f"{absent} not in this run" if absent else _finding(found, p, a, b, claims.get((a, b)))
            cells = _paired_cells(metric, f"{a} minus {b}", epoch, found, p)
            rows.append((run.name(), *cells, finding, claims[a, b]["published"] if (a, b) in claims else NONE))
    return Table("Conditions of one run", ("run", *PAIR_COLUMNS, "published"), tuple(rows), _tone)


def _between(runs):
    """Return the table of pairs of runs of one model whose replicas are pairs: same seed, data and replicas."""
    tests = []
    for first, second in combinations(runs, 2):
        if _pairing(first) != _pairing(second):
            continue
        ours, theirs = list(first.record["conditions"]), list(second.record["conditions"])
        alone = len(ours) == len(theirs) == 1  # named after what the user set, where that is what differs
        for a, b in zip(ours, theirs, strict=True) if alone else ((each, each) for each in ours if each in theirs):
            (last, x), (before, y) = second.final(b), first.final(a)
            if x.size and y.size:
                epoch = f"{last}" if last == before else f"{last} and {before}"
                tests.append((first, second, a, b, epoch, paired(x, y)))
    rows = []
    for (first, second, a, b, epoch, found), p in zip(tests, holm([test[-1].p for test in tests]), strict=True):
        one, other = f"run {second.name()}", f"run {first.name()}"
        name = a if a == b else f"{b} and {a}"
        cells = _paired_cells(first.record["metric"], f"{one} minus {other}: {name}", epoch, found, p)
        rows.append((*cells, _finding(found, p, one, other), _changes(first, second, a, b)))
    caption = "Runs of one model with the same seed, data and replicas"
    return Table(caption, (*PAIR_COLUMNS, "what differs"), tuple(rows), _tone)


def _pairing(run):
    record = run.record
    data = record["data"].get("sha256") or run.number  # what has no hash is like nothing else
    return record["model"], record["metric"], record["seed"], data, run.replicas


def _changes(first, second, a, b):
    names = dict.fromkeys([*first.record["parameters"], *second.record["parameters"]])
    names |= dict.fromkeys([*first.record["conditions"][a], *second.record["conditions"][b]])
    before = {name: _plain(first.setting(name, a)) for name in names}
    after = {name: _plain(second.setting(name, b)) for name in names}
    changed = [f"{name} {after[name]} (was {before[name]})" for name in names if after[name] != before[name]]
    return ", ".join(changed) or "no parameter"


def _paired_cells(metric, name, epoch, found, p):
    scale, unit = (100, " points") if metric == "error" else (1, "")
    text = f"{scale * found.difference:+.3g}" if found.n else NONE
    if found.n > 1:
        text += f" ({scale * found.low:+.3g} to {scale * found.high:+.3g})"
    tests = [NONE if np.isnan(value) else f"{value:.2g}" for value in (found.effect, found.p, p)]
    return name, f"test {metric}", epoch, text + unit * bool(found.n), *tests, str(found.n)


def _finding(found, p, a, b, claim=None):
    """Say which of two is lower; of a claim, that the first is or that they are alike, whether it holds."""
    if found.n < 2:
        return "too few pairs" if found.n else EMPTY
    lower = f"{a if found.difference < 0 else b} lower"
    alike = claim is not None and claim.get("alike", False)
    if not p < LEVEL:
        return "identical" if found.low == found.high == 0 else SAME if alike else ALIKE
    if alike:
        return f"{DIFFERENT}: {lower}"
    if claim is not None:
        return CLAIMED if found.difference < 0 else OPPOSITE
    return lower


# Provenance


def _provenance(run):
    record, times = run.record, run.record["times"]
    data, versions = record["data"], dict(record["versions"])
    git, hours = versions.pop("git", "not from a clone"), times["wall_s"] / 3600
    epochs = sum(np.sum(run.curves[key][0] > 0) for key in {c: (c, s) for c, s in run.curves}.values())
    cost = f"{times['wall_s'] / epochs:.3g} s, all replicas together" if epochs else "no epoch yet"
    changed = ", ".join(_with_unit(name, entry) for name, entry in _changed(run).items())
    diverged = f": {record['reason']}" if record["status"] == "diverged" and "reason" in record else ""
    rows = {
        "status": record["status"] + diverged,
        "model": record["model"],
        "set by the user": changed or "nothing: defaults",
        **{f"condition {name}": _settings(settings) for name, settings in record["conditions"].items()},
        "seed": str(record["seed"]),
        "data": f"{data['name']}: {data.get('train')} train, {data.get('test')} test; "
        f"SHA-256 {str(data.get('sha256'))[:12]}",
        "published in": "; ".join(dict.fromkeys(str(entry.get("source")) for entry in run.published)) or "nothing",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "git": f"{git}: changes that are not committed" if git.endswith("-dirty") else git,
        "target": str(record.get("target")),
        "host": _host(record.get("host") or {}),
        "started": str(times.get("started")),
        **({"taken up again": f"{len(record['resumed'])} times"} if record.get("resumed") else {}),
        "wall time": f"{times['wall_s']:.1f} s" + (f" ({hours:.2g} hours)" if hours >= 0.1 else ""),
        "wall time an epoch": cost,
    }
    figures = sorted((run.folder / "figures").glob("*.png"))
    shown = tuple((path, _shows(path)) for path in figures)
    return Section(f"Run {run.number}: {run.folder.name}", (), (Table("", (), tuple(rows.items())),), shown)


def _changed(run):
    return {name: entry for name, entry in run.record["parameters"].items() if entry["source"] == "set by the user"}


def _settings(settings):
    return ", ".join(f"{name} = {_plain(value)}" for name, value in settings.items()) or "as it is"


def _with_unit(name, entry):
    unit = entry.get("unit", "1")
    return f"{name} = {_plain(entry['value'])}" + ("" if unit == "1" else f" {unit}")


def _host(host):
    threads = ", ".join(f"{name}={value}" for name, value in host.get("threads", {}).items())
    facts = [f"{host.get('system')} {host.get('machine')}", f"{host.get('cores')} cores", threads]
    return ", ".join(fact for fact in facts if fact)


def _plain(value):
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shows(path):
    """Return what a figure shows, from the title that it carries."""
    try:
        with Image.open(path) as image:
            return image.text.get("Title") or path.stem.replace("_", " ")
    except (OSError, AttributeError, ValueError):  # no PNG
        return path.stem.replace("_", " ")
