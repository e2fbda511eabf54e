"""The audit of models: verdicts of every criterion, as text for the terminal, and as pages."""

from dataclasses import dataclass, replace

import numpy as np

from neurosim.audit.criteria import CRITERIA
from neurosim.audit.examine import examine
from neurosim.audit.finding import UNMEASURED, Finding
from neurosim.audit.timing import bears
from neurosim.data import DataSet
from neurosim.errors import DataError, NeurosimError, ParameterError, unknown
from neurosim.pages import Report, Section, Table

FEW_LANES = 10  # inputs side by side while a network is examined
FEW_EXAMPLES = 1000  # training examples that it is shown some of
HOLDS, FAILS, OPEN = "holds", "fails", "–"
HEADS = {True: "holds", False: "fails; it would hold if this were true", None: "is open; it holds if this is true"}
LEAD = (
    "A criterion holds where nothing in the equations and the wiring stands against it, and the experiment found "
    "nothing either. A dash: the question does not arise, or could not be decided."
)


@dataclass(frozen=True)
class Audit:
    """The findings on one condition of an experiment.

    Attributes
    ----------
    model, data : str
        Full name of the experiment, and the data set.
    conditions : tuple of str
        Those with these findings.
    findings : dict of str to Finding
        By criterion.
    """

    model: str
    data: str
    conditions: tuple
    findings: dict

    @property
    def name(self):
        """The experiment with its conditions."""
        return f"{self.model}: {', '.join(self.conditions)}"

    def failing(self, criteria):
        """Return those of some criteria that fail, or that could not be decided."""
        return [name for name in criteria if self.findings[name].holds is False or self.findings[name].is_open]


def check_criteria(names):
    """Return names of criteria, or raise a ParameterError with the nearest."""
    for name in names:
        if name not in CRITERIA:
            raise unknown("criterion", name, CRITERIA)
    return tuple(names)


def audit(job, *, timing=True, tell=None, stand_in=False):
    """Audit the conditions of a job, one after another.

    Parameters
    ----------
    job : neurosim.job.Job
        Which experiment, data, conditions and settings.
    timing : bool
        Also train the networks that take several time steps an example again and again, with disturbed steps.
    tell : callable (text) -> None, optional
        Told what is going on.
    stand_in : bool
        Take random images where the data set is not there.

    Returns
    -------
    list of Audit
        One for each condition.
    """
    try:
        examples = job.examples()
    except DataError:
        if not stand_in:
            raise
        examples = _images(job)
    prepared = job.checked(examples)
    few = examples
    if isinstance(examples, DataSet) and len(examples.train_labels) > FEW_EXAMPLES:
        few = examples.limit(FEW_EXAMPLES)
    found, tell = [], tell or (lambda text: None)
    for condition, values in prepared.conditions.items():
        tell(f"{prepared.model}: {condition}")
        lanes = values["lanes"] if "lanes" in job.settings else min(values["lanes"], FEW_LANES)
        single = values | {"replicas": 1}
        try:
            x = examine(prepared.experiment, single | {"lanes": lanes}, few, prepared.seed)
        except ParameterError:  # what an experiment shows may need its lanes
            x = examine(prepared.experiment, single, few, prepared.seed)
        x.timing = Finding("timing", None, UNMEASURED)
        if timing:
            x.timing = _timing(prepared, single, examples, x.wiring.targets, tell)
        findings = {name: criterion(x) for name, criterion in CRITERIA.items()}
        found.append(Audit(prepared.model, examples.name, (condition,), findings))
    return found


def _timing(prepared, values, examples, targets, tell):
    try:
        return bears(prepared.experiment, values, examples, targets, prepared.seed, tell)
    except NeurosimError as error:  # a network may refuse what it is shown, as one that has not settled
        return Finding("timing", False, "refused", (f"with disturbed steps the network stops: {error}",))


def _images(job):
    """Return random images of the size that a preset names, in the place of a data set that is not there."""
    prepared = job.checked()
    inputs = prepared.experiment.presets[prepared.preset].inputs
    side = int(np.sqrt(inputs if int(np.sqrt(inputs)) ** 2 == inputs else inputs // 3))
    shape = (side, side) if side * side == inputs else (side, side, 3)
    drawn = np.random.default_rng(0)
    train, test = (drawn.random((n, inputs), dtype=np.float32) for n in (600, 100))
    labels = (np.arange(len(each)) % 10 for each in (train, test))
    train_labels, test_labels = labels
    return DataSet(prepared.preset, train, train_labels, test, test_labels, 10, shape, "random images")


def merged(audits):
    """Return audits with conditions of one experiment joined whose verdicts are the same."""
    found = {}
    for each in audits:
        key = each.model, tuple((f.holds, f.short) for f in each.findings.values())
        before = found.get(key)
        found[key] = each if before is None else replace(before, conditions=(*before.conditions, *each.conditions))
    return list(found.values())


def mark(finding):
    """Return a verdict in a word."""
    return OPEN if finding.holds is None else HOLDS if finding.holds else FAILS


def tone(text):
    """Say whether a cell of a table is good or bad."""
    return "good" if text.startswith(HOLDS) else "bad" if text.startswith(FAILS) else ""


def _cell(finding):
    word = mark(finding)
    return word if finding.short in ("yes", word) else f"{word}: {finding.short}"


def text(each):
    """Return one audit as text for the terminal: a table, then the evidence."""
    width = max(map(len, CRITERIA))
    lines = [f"{each.name} ({each.data})", ""]
    for name, finding in each.findings.items():
        lines.append(f"  {name:{width}}  {mark(finding):5}  {finding.short}")
    for name, finding in each.findings.items():
        if finding.evidence or finding.checked:
            lines += ["", f"  {name} {HEADS[finding.holds]}: {CRITERIA[name].__doc__}"]
            lines += [f"      {line}" for line in finding.evidence]
            lines += [f"      checked: {line}" for line in finding.checked]
    return "\n".join(lines) + "\n"


def page(audits, title="What the synapses of these models need to know"):
    """Return a report with the matrix of every model by every criterion, and the evidence for each."""
    columns = ("model", *CRITERIA)
    rows = tuple((each.name, *(_cell(each.findings[name]) for name in CRITERIA)) for each in audits)
    questions = tuple((name, criterion.__doc__) for name, criterion in CRITERIA.items())
    sections = [
        Section("Criteria", (LEAD,), (Table("", ("criterion", "it holds where"), questions),)),
        Section("Matrix", (), (Table("", columns, rows, tone),)),
    ]
    for each in audits:
        rows = tuple(
            (name, _cell(f), "; ".join(f.evidence) or "–", "; ".join(f.checked) or "–")
            for name, f in each.findings.items()
        )
        table = Table("", ("criterion", "verdict", "evidence", "checked"), rows, tone)
        sections.append(Section(each.name, (f"Data: {each.data}.",), (table,)))
    return Report(title, tuple(sections))


def strict(audits, criteria):
    """Return lines that say which criteria fail, or could not be decided, and where."""
    lines = []
    for each in audits:
        failing = each.failing(criteria)
        if failing:
            lines.append(f"{each.name}: {', '.join(f'{n} ({each.findings[n].short})' for n in failing)}")
    return lines


def matrix(audits):
    """Return the matrix as text for the terminal: a letter a criterion, and the short words of what fails."""
    width = max(len(each.name) for each in audits)
    names = list(CRITERIA)
    lines = [" " * min(width, 60) + "  " + " ".join(f"{name[:9]:9}" for name in names)]
    for each in audits:
        cells = " ".join(f"{mark(each.findings[name]):9}" for name in names)
        name = each.name if len(each.name) <= 60 else each.name[:57] + "..."
        lines.append(f"{name:{min(width, 60)}}  {cells}")
    return "\n".join(lines) + "\n"
