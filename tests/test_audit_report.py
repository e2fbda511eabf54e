"""Timing is measured by disturbing it; a report says all that was found; the command line holds criteria against it."""

from pathlib import Path

import numpy as np
import pytest
from audited import VALUES, toy, toy_data
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from neurosim import plots
from neurosim.audit import report
from neurosim.audit.criteria import CRITERIA
from neurosim.audit.finding import Finding
from neurosim.audit.report import Audit
from neurosim.audit.timing import bears
from neurosim.data import DataSet
from neurosim.errors import ParameterError
from neurosim.job import Job

STEPS = 10
TARGETS = {("error", "target")}


def learns_in(phase, eta=0.2):
    """A network whose rules are carried out at the end of a phase: the first step, those between, the last."""
    rule = lambda parts: {"when": parts.shown.end(phase), "namespace": {"eta": eta}}  # noqa: E731
    return toy(phases={"first": 1, "middle": STEPS - 2, "last": 1}, hidden=rule, output=rule)


def timing_of(experiment, **values):
    return bears(experiment, VALUES | values, toy_data(train=300, tests=100), TARGETS)


def test_steps_that_nobody_learns_in_may_be_disturbed():
    """Neurons without a memory, which learn from the last step."""
    finding = timing_of(learns_in("last"))
    assert (finding.holds, finding.short) == (True, "8 of 10 or more"), finding
    counts = [line.split(" of ")[0] for line in finding.evidence[1:]]
    assert counts == ["1", "2", "5", "8"]
    errors = {line.rpartition(" ")[2] for line in finding.evidence[1:]}
    assert errors == {finding.evidence[0].rpartition(" ")[2]}, "nothing at all depends on those steps"


def test_disturbed_steps_in_which_it_learns_are_not_borne():
    finding = timing_of(learns_in("first"))
    assert (finding.holds, finding.short) == (False, "0 of 10"), finding
    assert len(finding.evidence) == 2 and finding.evidence[1].startswith("1 of 10 steps disturbed: error ")


def test_timing_is_left_open_where_it_cannot_be_measured():
    assert timing_of(toy()).short == "one step" and timing_of(toy()).holds is None
    still = timing_of(learns_in("last", eta=0.0))
    assert (still.holds, still.short) == (None, "not decided")
    assert "too little is learned in this time to say when learning fails" in still.evidence
    unsupervised = bears(learns_in("last"), VALUES, toy_data(), set())
    assert (unsupervised.holds, unsupervised.short) == (None, "no targets")


# Reports


def made(model="m.one", condition="a", **changed):
    """Return an audit in which all holds but what is changed: criterion to (holds, short)."""
    findings = {
        name: Finding(name, *changed.get(name, (True, "yes")), (f"line of {name}",), (f"check of {name}",))
        for name in CRITERIA
    }
    return Audit(model, "toy", (condition,), findings)


def test_conditions_with_the_same_verdicts_are_joined():
    audits = [made(), made(condition="b"), made(condition="c", dale=(False, "both signs")), made("m.two")]
    audits += [made(condition="d", dale=(False, "signs change")), made(condition="e", dale=(False, "both signs"))]
    joined = report.merged(audits)
    assert [each.name for each in joined] == ["m.one: a, b", "m.one: c, e", "m.two: a", "m.one: d"]


def test_what_fails_is_listed_by_the_criteria_asked_for():
    audits = [made(locality=(False, "other neurons"), dale=(None, "–")), made("m.two", dale=(False, "7 % mixed"))]
    assert report.strict(audits, ("locality",)) == ["m.one: a: locality (other neurons)"]
    assert report.strict(audits, ("dale", "locality")) == [
        "m.one: a: locality (other neurons)",
        "m.two: a: dale (7 % mixed)",
    ]
    assert report.strict(audits, ()) == report.strict(audits, ("transport",)) == []


def test_text_matrix_and_page_hold_every_verdict():
    each = made(locality=(False, "other neurons"), feedback=(None, "no targets"))
    text, matrix, page = report.text(each), report.matrix([each]), report.page([each])
    assert "  locality   fails  other neurons\n" in text and "  feedback   –      no targets\n" in text
    for name in CRITERIA:
        assert f"      line of {name}\n" in text and f"      checked: check of {name}\n" in text
        assert CRITERIA[name].__doc__ in text
    head, row = matrix.splitlines()
    assert head.split() == [name[:9] for name in CRITERIA]
    assert row.split()[2:] == [{"locality": "fails", "feedback": "–"}.get(name, "holds") for name in CRITERIA]
    _, shown = page.sections[:2]
    ((name, *cells),) = shown.tables[0].rows
    assert name == "m.one: a" and dict(zip(CRITERIA, cells, strict=True))["locality"] == "fails: other neurons"
    tones = [report.tone(cell) for cell in cells]
    assert tones.count("bad") == 1 and tones.count("") == 1 and tones.count("good") == len(CRITERIA) - 2


# The command line

SMALL = ["lillicrap_2016.mnist", "--data", "digits", "--set", "hidden=10", "--no-timing"]


def test_strict_exits_with_1_where_a_criterion_fails_and_with_0_where_none_does(command):
    status, out, _ = command(
        "audit", *SMALL, "--conditions", "backprop,feedback_alignment", "--strict", "locality,transport"
    )
    assert status == 1
    assert out.splitlines()[-1] == "fails     lillicrap_2016.mnist: backprop: transport (read backwards)"
    assert out.count("\nfails ") == 1
    status, out, _ = command("audit", *SMALL, "--conditions", "feedback_alignment", "--strict", "locality,transport")
    assert status == 0 and "\nfails" not in out and "  timing     –      not measured\n" in out


def test_pages_are_written_where_asked_for(command):
    for name in ("found.md", "found.html"):
        status, out, _ = command("audit", *SMALL, "--conditions", "feedback_alignment", "--out", name)
        assert status == 0 and name in out
        text = Path(name).read_text()
        assert "lillicrap_2016.mnist: feedback_alignment" in text and all(each in text for each in CRITERIA)
        assert "W_h1, b_h1" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*SMALL, "--strict", "locality,transprot"], ["criterion", "'transprot'", "'transport'"]),
        (["lillicrap_2016.mnits"], ["model", "'lillicrap_2016.mnits'", "'lillicrap_2016.mnist'"]),
        ([], ["MODEL", "--all"]),
        (["lillicrap_2016.mnist", "--all"], ["MODEL", "--all", "not both"]),
        (["--all", "--data", "digits"], ["--all", "--data"]),
        ([*SMALL, "--conditions", "bakcprop"], ["condition", "'bakcprop'", "'backprop'"]),
        ([*SMALL, "--set", "etaa=1"], ["parameter", "'etaa'", "'eta'"]),
        (["lillicrap_2016.mnist", "--data", "digist"], ["'digist'", "'digits'"]),
        ([*SMALL, "--out", "found.txt"], ["found.txt", ".md"]),
        ([*SMALL, "--seed", "-1"], ["seed"]),
    ],
)
def test_bad_input_is_refused_in_one_line(command, arguments, words):
    status, out, line = command("audit", *arguments)
    assert (status, out) == (2, "") and line.count("\n") == 1 and "Traceback" not in line
    assert all(word in line for word in words), line
    assert not list(Path().iterdir())


def test_unknown_criterion_is_named_with_the_nearest():
    with pytest.raises(ParameterError, match="'spiks'.*'spikes'"):
        report.check_criteria(["locality", "spiks"])
    assert report.check_criteria(CRITERIA) == tuple(CRITERIA)


def test_stand_in_data_are_as_large_as_the_real_ones(monkeypatch, tmp_path):
    """Where a data set is not there, the matrix of all models is made with random images."""
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path))
    drawn = report._images(Job("amit_2018.simpnet", data="cifar10"))
    assert isinstance(drawn, DataSet) and drawn.image_shape == (32, 32, 3) and set(drawn.train_labels) == set(range(10))
    assert report._images(Job("lillicrap_2016.mnist", data="mnist")).image_shape == (28, 28)
    assert np.ptp(drawn.train_images) > 0.9


# The matrix as a figure


def test_figure_of_verdicts_has_a_cell_for_each_in_the_colour_of_its_verdict():
    audits = [made(locality=(False, "other neurons")), made("m.two", "b_c", timing=(None, "one step"))]
    ax = Figure().subplots()
    plots.plot_verdicts(ax, audits)
    names = list(CRITERIA)
    cells = {tuple(np.round(np.array(each.get_xy()) + 0.5).astype(int)): each.get_facecolor() for each in ax.patches}
    assert set(cells) == {(k, row) for k in range(len(names)) for row in (0, 1)}
    for (column, row), color in cells.items():
        finding = audits[row].findings[names[column]]
        assert to_hex(color) == to_hex(plots.VERDICTS[finding.holds])
    assert {each.get_text().replace("\n", " ") for each in ax.texts if each.get_text()} == {"other neurons", "one step"}
    assert [each.get_text() for each in ax.get_xticklabels()] == names
    assert [each.get_text() for each in ax.get_yticklabels()] == ["m.one\na", "m.two\nb c"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first audit is on top"
