"""A report says what the runs' files say: verdicts, paired comparisons, provenance; whole, escaped, of no machine."""

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from neurosim.analysis import Interval, holm
from neurosim.errors import NeurosimError, ParameterError, RunError
from neurosim.pages import MARK
from neurosim.report import report, verdict, write
from neurosim.runs import Run

MODEL = "nobody_2000.nothing"
OURS = {"backprop": [0.02, 0.022, 0.024, 0.026], "shallow": [0.1, 0.101, 0.103, 0.108]}
VOID = {"br", "img", "meta", "hr", "link", "input"}
HOSTILE = "<script>alert('x')</script> | `a` *b* [c](http://d) & \"e\" _f_"


def published(value, text="2.1 % test error", data="MNIST", condition=None, split="test"):
    return {"value": value, "text": text, "data": data, "source": "Fig. 1", "condition": condition, "split": split}


def expect(most=None, least=None, condition=None, split="test"):
    return {"condition": condition, "most": most, "least": least, "split": split, "note": ""}


def parameter(value, source="ours", unit="1"):
    return {"value": value, "unit": unit, "source": source}


@pytest.fixture
def make(tmp_path):
    """Return a builder of run folders; ``finals`` is condition to the test values of its replicas in the last epoch."""

    def build(name="run", finals=OURS, *, metric="error", status="finished", epochs=3, results=True, **record):
        settings = record.pop("parameters", {})
        record = {
            "model": MODEL, "metric": metric, "preset": "mnist", "seed": 1, "target": "numpy",
            "parameters": {"eta": parameter(0.1), "epochs": parameter(3, unit="passes")} | settings,
            "conditions": {condition: {} for condition in finals},
            "data": {"name": "mnist", "source": "/home/me/mnist", "sha256": "ab12" * 16, "train": 600, "test": 100},
            "versions": {"python": "3.12.1", "numpy": "2.1.0", "git": "1a2b3c4-dirty"},
            "host": {"system": "Linux", "machine": "x86_64", "cores": 2, "threads": {"OMP_NUM_THREADS": "1"}},
            "published": [], "expect": [], "comparisons": [],
        } | record  # fmt: skip
        run = Run.create(tmp_path / name, record)
        run.set_status(status)
        run.record["times"]["wall_s"] = 60.0
        run.write_json("run.json", run.record)
        if results:
            run.write_metrics(
                [
                    {
                        "condition": condition,
                        "epoch": epoch,
                        "replica": replica,
                        "split": split,
                        "examples": 600 * epoch,
                    }
                    | {metric: float(value) + (epochs - epoch) + (split == "train") / 2, "angle_h": np.nan}
                    for condition, values in finals.items()
                    for epoch in range(epochs + 1)
                    for replica, value in enumerate(values)
                    for split in ("train", "test")
                ]
            )
            same = [entry | {"same_data": entry["data"].lower() == "mnist"} for entry in record["published"]]
            run.write_json("summary.json", {"metric": metric, "final": {}, "published": same})
        return run.folder

    return build


def draw(folder, name="learning", title=None):
    figure = Figure(figsize=(1, 1))
    figure.subplots()
    figure.savefig(folder / "figures" / f"{name}.png", metadata={"Title": title} if title else None)
    return folder / "figures" / f"{name}.png"


def table(folders, caption):
    """Return a table as a list of dicts, from its first words."""
    found = [t for section in report(folders).sections for t in section.tables if t.caption.startswith(caption)]
    return [dict(zip(t.columns, row, strict=True)) for t in found for row in t.rows]


def results(*folders):
    return table(folders, "Ours")


def within(*folders):
    return table(folders, "Conditions of one run")


def between(*folders):
    return table(folders, "Runs of one model")


def provenance(*folders):
    return [dict(s.tables[0].rows) for s in report(folders).sections if s.title.startswith("Run ")]


# Verdicts


SOME, ONE = Interval(0.02, 0.018, 0.022, 5), Interval(0.02, np.nan, np.nan, 1)


@pytest.mark.parametrize(
    ("found", "value", "same", "limits", "words"),
    [
        (SOME, 0.021, True, [], "inside the interval"),
        (SOME, 0.022, True, [expect(0.01)], "inside the interval"),
        (SOME, 0.03, True, [expect(0.02)], "within Expect"),
        (SOME, 0.01, True, [expect(least=0.02)], "within Expect"),
        (SOME, 0.03, True, [expect(0.03, 0.01), expect(least=0.021)], "not reached: ours is lower"),
        (SOME, 0.01, True, [expect(0.019)], "not reached: ours is higher"),
        (SOME, 0.03, True, [], "not reached: ours is lower"),
        (SOME, 0.021, False, [], "another data set: not compared"),
        (SOME, 0.021, False, [expect(0.03)], "another data set: not compared; as expected"),
        (SOME, 0.021, False, [expect(0.01)], "another data set: not compared; not as expected"),
        (SOME, None, None, [], "nothing to compare with"),
        (SOME, None, None, [expect(0.03, 0.01)], "as expected"),
        (SOME, None, None, [expect(least=0.021)], "not as expected"),
        (ONE, 0.02, True, [], "one replica: no interval"),
        (ONE, 0.01, True, [expect(0.02)], "one replica: no interval; within Expect"),
        (ONE, 0.02, True, [expect(0.019)], "one replica: no interval; not reached"),
        (ONE, 0.02, False, [], "another data set: not compared"),
        (ONE, None, None, [expect(0.02)], "as expected"),
    ],
)
def test_verdict(found, value, same, limits, words):
    assert verdict(found, None if value is None else {"value": value, "same_data": same}, limits) == words


def test_results_hold_ours_beside_the_published_of_each_condition(make):
    numbers = [published(0.024, condition="backprop"), published(0.2, "20 %", condition="shallow")]
    limits = [expect(0.03, condition="backprop"), expect(0.12, 0.07, condition="shallow")]
    backprop, shallow = results(make(published=numbers, expect=limits))
    half = stats.t.ppf(0.975, 3) * stats.sem(OURS["backprop"])
    assert backprop == {
        "run": "1", "experiment": MODEL, "data": "mnist", "condition": "backprop", "measure": "test error",
        "epochs": "3", "n": "4", "ours": f"2.30 % ({100 * (0.023 - half):.2f} to {100 * (0.023 + half):.2f})",
        "published": "2.1 % test error on MNIST", "expect": "at most 3 %", "verdict": "inside the interval",
    }  # fmt: skip
    assert (shallow["published"], shallow["verdict"]) == ("20 % on MNIST", "within Expect")
    assert shallow["expect"] == "at most 12 % and at least 7 %"


def test_other_metrics_have_three_digits_and_no_percent(make):
    folder = make(finals={"only": [1.23456e-4, 1.23456e-4]}, metric="nse", expect=[expect(1e-3)])
    (row,) = results(folder)
    assert (row["measure"], row["ours"]) == ("test nse", "0.000123 (0.000123 to 0.000123)")
    assert (row["expect"], row["verdict"]) == ("at most 0.001", "as expected")


def test_numbers_on_training_examples_have_rows_of_their_own(make):
    test, train = results(make(finals={"only": [0.02, 0.02]}, published=[published(0.52, split="train")]))
    assert (test["measure"], test["ours"][:6], test["verdict"]) == ("test error", "2.00 %", "nothing to compare with")
    assert (train["measure"], train["ours"][:7], train["verdict"]) == ("train error", "52.00 %", "inside the interval")


def test_run_on_other_data_is_not_compared(make):
    (row,) = results(make(finals={"only": [0.02, 0.03]}, published=[published(0.025, data="CIFAR-10")]))
    assert row["verdict"] == "another data set: not compared"


def test_expect_is_not_for_data_that_the_model_has_no_parameters_for(make):
    (row,) = results(make(finals={"only": [0.02, 0.03]}, expect=[expect(0.01)], preset="digits"))
    assert (row["expect"], row["verdict"]) == ("–", "nothing to compare with")


@pytest.mark.parametrize("status", ["running", "interrupted", "diverged", "failed"])
def test_run_that_did_not_finish_is_marked_and_not_counted_with_the_others(make, status):
    half = make("half", {"only": [0.02, 0.03]}, status=status, epochs=2, expect=[expect(0.03)], reason="v at 0.2 s")
    (row,) = results(half)
    assert (row["verdict"], row["epochs"]) == (f"{status}: as expected", "2 of 3")
    whole = make("whole", {"only": [0.02, 0.03]}, expect=[expect(0.03)])
    lead = report([half, whole]).sections[0].lines[0]
    assert lead == "2 results: 1 as expected, 1 of a run that is not finished."
    assert provenance(half)[0]["status"] == ("diverged: v at 0.2 s" if status == "diverged" else status)


def test_run_without_results_yet_says_so(make):
    folder = make(status="running", results=False, comparisons=[dict(lower="backprop", higher="shallow", published="")])
    for row in results(folder):
        assert (row["n"], row["epochs"], row["ours"], row["verdict"]) == (
            "0", "0 of 3", "no results yet", "running: no results yet",
        )  # fmt: skip
    assert [row["finding"] for row in within(folder)] == ["no results yet"]
    assert provenance(folder)[0]["wall time an epoch"] == "no epoch yet"


def test_replicas_without_a_number_are_not_counted(make):
    (row,) = results(make(finals={"only": [0.02, np.nan, 0.04]}))
    assert (row["n"], row["ours"][:6]) == ("2 of 3", "3.00 %")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": {"eta": parameter(0.2, "set by the user")}}, "eta set by the user"),
        ({"parameters": {"replicas": parameter(4, "set by the user")}}, None),
        ({"asked": {"data": "/home/me/data", "limit": 50}}, "the first 50 training examples only"),
        ({"asked": {"data": "mnist", "validation": 50}}, "tested on examples held out from training"),
        ({"asked": {"data": "mnist", "limit": None, "validation": None}}, None),
    ],
)
def test_reader_is_told_where_a_run_is_not_what_the_numbers_are_for(make, changes, words):
    asked = changes.pop("asked", None)
    folder = make(expect=[expect(0.03)], **changes)
    if asked:
        record = json.loads((folder / "run.json").read_text())
        record["data"]["asked"] = asked
        (folder / "run.json").write_text(json.dumps(record))
    cautions = report([folder]).sections[0].lines[1:]
    assert cautions == ((f"Run 1: {words}. The paper's number and Expect are not for that.",) if words else ())


# Paired comparisons


def test_conditions_are_paired_by_replica_and_claims_come_first(make):
    finals = OURS | {"third": [0.03, 0.02, 0.04, 0.025]}
    claim = {"lower": "third", "higher": "shallow", "published": "P = 9e-13 (n = 20)"}
    rows = within(make(finals=finals, comparisons=[claim]))
    pairs = [("third", "shallow"), ("backprop", "shallow"), ("backprop", "third")]
    assert [row["comparison"] for row in rows] == [f"{a} minus {b}" for a, b in pairs]
    tests = [stats.ttest_rel(finals[a], finals[b]) for a, b in pairs]
    for row, (a, b), test, p in zip(rows, pairs, tests, holm([test.pvalue for test in tests]), strict=True):
        d, interval = 100 * np.subtract(finals[a], finals[b]), test.confidence_interval()
        low, high = 100 * interval.low, 100 * interval.high
        assert row["difference"] == f"{d.mean():+.3g} ({low:+.3g} to {high:+.3g}) points"
        assert (row["d_z"], row["p"]) == (f"{d.mean() / d.std(ddof=1):.2g}", f"{test.pvalue:.2g}")
        assert (row["p (Holm)"], row["n"], row["epoch"], row["run"]) == (f"{p:.2g}", "4", "3", "1")
    assert [row["finding"] for row in rows] == ["as claimed", "backprop lower", "no difference found"]
    assert [row["published"] for row in rows] == ["P = 9e-13 (n = 20)", "–", "–"]


def test_finding_needs_the_corrected_p(make):
    """Two conditions differ with p below 0.05 where they are alone; as one of six pairs that is no finding."""
    finals = {"a": [0.1, 0.1, 0.1, 0.1], "b": [0.103, 0.102, 0.104, 0.107]}
    more = {"c": [0.1, 0.3, 0.2, 0.1], "d": [0.3, 0.1, 0.1, 0.2]}
    assert 0.05 / 6 < stats.ttest_rel(finals["a"], finals["b"]).pvalue < 0.05
    assert within(make("two", finals))[0]["finding"] == "a lower"
    assert within(make("four", finals | more))[0]["finding"] == "no difference found"


def test_claims_that_fail_or_cannot_be_tested_say_so(make):
    claims = [
        {"lower": "shallow", "higher": "backprop", "published": "lower"},
        {"lower": "backprop", "higher": "deep", "published": "much lower"},
    ]
    opposite, absent = within(make("run", OURS, comparisons=claims))
    assert opposite["finding"] == "the opposite of the claim"
    assert (absent["finding"], absent["n"], absent["published"]) == ("deep not in this run", "0", "much lower")
    single = make("single", {name: values[:1] for name, values in OURS.items()}, comparisons=claims[:1])
    (row,) = within(single)
    assert (row["finding"], row["difference"], row["p"], row["n"]) == ("too few pairs", "+8 points", "–", "1")


def test_conditions_are_compared_at_the_last_epoch_that_both_have(make):
    folder = make(finals=OURS, status="interrupted")
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("shallow,2", "shallow,3"))]
    (folder / "metrics.csv").write_text("".join(kept))
    (row,) = within(folder)
    assert (row["run"], row["epoch"], row["difference"][:4]) == ("1 (interrupted)", "1", "-8 (")


def test_replicas_are_paired_by_number_where_some_have_no_result(make):
    finals = {"a": [np.nan, 0.02, 0.03, 0.05], "b": [0.03, np.nan, 0.02, 0.01]}
    (row,) = within(make(finals=finals))
    assert (row["n"], row["difference"].split()[0]) == ("2", "+2.5")


def test_runs_that_differ_in_parameters_only_are_compared(make):
    changed = {name: np.add(values, [0.01, 0.011, 0.012, 0.01]) for name, values in OURS.items()}
    first = make("first")
    second = make("second", changed, parameters={"eta": parameter(0.2, "set by the user")}, status="interrupted")
    rows = between(first, second)
    assert [row["comparison"] for row in rows] == [f"run 2 (interrupted) minus run 1: {name}" for name in OURS]
    for row, name in zip(rows, OURS, strict=True):
        p = stats.ttest_rel(changed[name], OURS[name]).pvalue
        assert (row["p"], row["n"], row["finding"]) == (f"{p:.2g}", "4", "run 1 lower")
        assert (row["difference"][:5], row["what differs"]) == ("+1.07", "eta 0.2 (was 0.1)")
        assert row["p (Holm)"] == f"{2 * p:.2g}"


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2}, {"model": "nobody_2000.other"}, {"metric": "nse"}, {"finals": {"backprop": [0.1, 0.2]}},
        {"data": {"name": "mnist", "sha256": "cd" * 32}}, {"data": {"name": "mnist"}}, {"results": False},
    ],
    ids=str,
)  # fmt: skip
def test_runs_whose_replicas_are_no_pairs_are_not_compared(make, other):
    assert between(make("first"), make("second")) and not between(make("third"), make("fourth", **other))


def test_data_without_a_hash_are_like_no_others(make):
    assert not between(*(make(name, data={"name": "mnist"}) for name in ("first", "second")))


def test_runs_of_different_length_are_compared_at_their_ends(make):
    rows = between(make("first"), make("second", epochs=2))
    assert [row["epoch"] for row in rows] == ["2 and 3"] * 2


def test_equal_runs_are_called_identical(make):
    for row in between(make("first"), make("second")):
        assert (row["finding"], row["what differs"]) == ("identical", "no parameter")
        assert (row["p"], row["epoch"]) == ("–", "3")


def test_single_conditions_are_compared_by_what_they_set(make):
    """A run with a parameter of the conditions set by the user has one condition, named after it."""
    first = make("first", {"noise=1": [0.1, 0.2, 0.3]}, conditions={"noise=1": {"noise": 1.0}})
    second = make("second", {"noise=2": [0.2, 0.3, 0.5]}, conditions={"noise=2": {"noise": 2.0}})
    (row,) = between(first, second)
    assert (row["comparison"], row["what differs"]) == ("run 2 minus run 1: noise=2 and noise=1", "noise 2 (was 1)")


# Provenance


def test_provenance_says_what_a_run_rests_on(make):
    settings = {"eta": parameter(0.25, "set by the user", "mV"), "sizes": parameter([20, 10], "set by the user")}
    folder = make(parameters=settings, conditions={"backprop": {"feedback": "transposed"}, "shallow": {}})
    (facts,) = provenance(folder)
    assert facts["set by the user"] == "eta = 0.25 mV, sizes = 20,10"
    assert (facts["condition backprop"], facts["condition shallow"]) == ("feedback = transposed", "as it is")
    assert facts["data"] == "mnist: 600 train, 100 test; SHA-256 ab12ab12ab12"
    assert facts["versions"] == "python 3.12.1, numpy 2.1.0" and facts["git"].startswith("1a2b3c4-dirty: ")
    assert facts["host"] == "Linux x86_64, 2 cores, OMP_NUM_THREADS=1"
    assert (facts["seed"], facts["target"], facts["status"]) == ("1", "numpy", "finished")
    assert (facts["wall time"], facts["wall time an epoch"]) == ("60.0 s", "10 s, all replicas together")
    assert report([folder]).sections[-1].title == "Run 1: run"


def test_same_folder_is_taken_once(make, monkeypatch):
    folder = make()
    link = folder.with_name("link")
    link.symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    assert report([folder, "run", f"{folder}/", link]).markdown() == report([folder]).markdown()


# The page


class Page(HTMLParser):
    """Reads strictly: every element is closed where it was opened; keeps texts, attributes and table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes, self.cells = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert tag not in VOID and self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.fixture
def several(make):
    """Folders of two comparable runs, one with a figure and one unfinished, and one without results."""
    first = make("first", published=[published(0.03, condition="backprop")], expect=[expect(0.01)])
    draw(first)
    second = make("second", {name: np.add(OURS[name], 0.01) for name in OURS}, status="interrupted")
    return first, second, make("third", results=False)


def test_html_is_well_formed_with_what_the_tables_hold(several):
    page = Page(report(several).html())
    found = report(several)
    cells = [cell for s in found.sections for t in s.tables for row in (t.columns, *t.rows) for cell in row]
    assert page.cells == cells and len(cells) > 100
    assert page.tags.count("table") == page.tags.count("tbody") == sum(len(s.tables) for s in found.sections)
    assert {line for s in found.sections for line in (s.title, *s.lines)} <= set(page.texts)
    assert ("lang", "en") in page.attributes and page.tags.count("h1") == 1


def test_html_needs_nothing_and_tells_nothing_of_the_machine(several, tmp_path):
    text = report(several).html()
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not {"href", "onload", "style", "onerror"} & {name for name, _ in page.attributes}
    assert all(value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")
    bare = re.sub(r"base64,[\w+/=]+", "", text)
    for secret in ("http", "url(", "@import", "file:", str(tmp_path), str(Path.home()), "/home", "/tmp", os.sep + "me"):
        assert secret not in bare, secret


def test_figures_are_inside_the_html_with_words_for_who_cannot_see(make):
    """Those of the figure's title, or of its name where it has none or cannot be read."""
    folder = make()
    path = draw(folder, title="Error over epochs, 50 % & <more>")
    other, broken = draw(folder, "my_figure"), folder / "figures" / "no_picture.png"
    broken.write_bytes(b"not a PNG")
    page = Page(report([folder]).html())
    sources = [value.partition(",")[2] for name, value in page.attributes if name == "src"]
    assert [base64.b64decode(source) for source in sources] == [each.read_bytes() for each in (path, other, broken)]
    shown = [value for name, value in page.attributes if name == "alt"]
    assert shown == ["Error over epochs, 50 % & <more>", "my figure", "no picture"]


def test_good_and_bad_words_are_marked_in_their_own_cells_only(make):
    limits = [expect(0.05, condition="backprop"), expect(0.05, condition="shallow")]
    text = report([make(expect=limits)]).html()
    assert re.findall(r'<td class="(?:good|bad)[^>]*>[^<]*', text) == [
        '<td class="good short">as expected', '<td class="bad short">not as expected',
    ]  # fmt: skip


def unescaped(markdown):
    """Return the text that Markdown shows."""
    shown = re.sub(r"\\([\\`*_\[\]|~#])", r"\1", markdown)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def markdown_cells(text):
    lines = [line for line in text.splitlines() if line.startswith("| ") and not set(line) <= set("|- ")]
    return [[unescaped(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_tables_hold_the_same_cells(several):
    found = report(several)
    tables = [t for s in found.sections for t in s.tables]
    expected = [list(row) for t in tables for row in (t.columns, *t.rows) if row]
    assert markdown_cells(found.markdown()) == expected
    assert "condition | measure" in re.sub(" +", " ", found.markdown()) and "\\_2000" not in found.markdown()


def test_markdown_links_to_figures_from_where_it_lies(make, tmp_path):
    folder = make("a run (1)")
    path = draw(folder)
    for beside in (folder, tmp_path, tmp_path / "elsewhere"):
        (link,) = re.findall(r"!\[.*\]\(([^()]*)\)", report([folder]).markdown(beside))
        assert " " not in link and not link.startswith("/")
        assert Path(os.path.normpath(beside / unquote(link))) == path


def test_hostile_texts_are_shown_not_run(make):
    """Every text of a run that a page shows may hold anything."""
    folder = make(
        finals={HOSTILE: [0.02, 0.03], "b": [0.1, 0.2]}, model=HOSTILE, target=HOSTILE, seed=HOSTILE,
        parameters={HOSTILE: parameter(HOSTILE, "set by the user", HOSTILE)},
        conditions={HOSTILE: {HOSTILE: HOSTILE}, "b": {}},
        versions={HOSTILE: HOSTILE, "git": HOSTILE}, published=[published(0.1, HOSTILE, HOSTILE, HOSTILE)],
        comparisons=[{"lower": HOSTILE, "higher": "b", "published": HOSTILE}],
    )  # fmt: skip
    draw(folder, "<b>")
    found = report([folder, make("short", {"<b>": [0.1, 0.2]}, status="<a>")])
    page = Page(found.html())
    assert not {"script", "b", "a", "code", "em"} & set(page.tags) and "<b>" in page.cells
    shown = [cell for cell in page.cells if "alert" in cell]
    assert len(shown) > 12 and all(HOSTILE in cell for cell in shown)
    markdown = found.markdown()
    assert not re.search(r"<(?!!--)|(?<!\\)[`*]|(?<![\\!])\[|(?<!\\)_f", markdown)
    assert [cell for row in markdown_cells(markdown) for cell in row if "alert" in cell] == shown


# Writing


@pytest.mark.parametrize("name", ["report.html", "deep/er/report.md", "REPORT.HTML"])
def test_report_is_written_and_written_over(several, tmp_path, name):
    out = write(several[:1], tmp_path / name)
    assert out == tmp_path / name and out.read_text().endswith(f"{MARK}\n")
    write(several, out)
    found = report(several)
    text = found.html() if name.lower().endswith("html") else found.markdown(out.parent)
    assert out.read_text() == f"{text}{MARK}\n"
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")], "nothing is left beside it"


@pytest.mark.parametrize("name", ["report", "report.pdf", "report.txt", ".md"])
def test_other_kinds_of_file_are_refused(several, tmp_path, name):
    with pytest.raises(ParameterError, match=r"--out: .*\.html or \.md"):
        write(several, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("content", [b"# My notes\n", b"\xff\xfe\x00", None])
def test_file_that_is_no_report_is_not_written_over(several, tmp_path, content):
    path = tmp_path / "notes.md"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ParameterError, match="notes.md is there and not a report"):
        write(several, path)
    assert path.is_dir() if content is None else path.read_bytes() == content


def test_nothing_is_written_where_a_run_is_damaged_or_the_disk_refuses(make, tmp_path):
    with pytest.raises(ParameterError):
        write([tmp_path / "nowhere"], tmp_path / "new" / "report.html")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="report.html: cannot be written"):
        write([make()], tmp_path / "file" / "report.html")


# Bad input


def test_no_folder_and_no_run_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="no folder"):
        report([])
    with pytest.raises(ParameterError, match=r"no run here \(run.json is missing\)"):
        report([tmp_path])


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("run.json", lambda r: r.pop("metric"), "the file has no 'metric'"),
        ("run.json", lambda r: r.pop("seed"), "the file has no 'seed'"),
        ("run.json", lambda r: r.update(published={}), "published must be a list"),
        ("run.json", lambda r: r.update(conditions=[]), "conditions must be an object"),
        ("run.json", lambda r: r["data"].update(name=3), "data.name must be a text"),
        ("run.json", lambda r: r["parameters"]["eta"].pop("source"), "parameters.eta has no 'source'"),
        ("run.json", lambda r: r["expect"][0].update(most="low"), r"expect\[0\].most must be"),
        ("run.json", lambda r: r["times"].pop("wall_s"), "times has no 'wall_s'"),
        ("summary.json", lambda s: s.pop("published"), "the file has no 'published'"),
        ("summary.json", lambda s: s["published"][0].pop("same_data"), r"published\[0\] has no 'same_data'"),
        ("summary.json", lambda s: s["published"][0].update(value=None), r"published\[0\].value must be a number"),
    ],
)
def test_damaged_record_is_refused_with_the_file_and_the_place(make, name, change, words):
    path = make(published=[published(0.1)], expect=[expect(0.1)]) / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ParameterError, match=f"{name}: damaged: {words}"):
        report([path.parent])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", "{", "cannot be read"),
        ("summary.json", "{", "cannot be read"),
        ("summary.json", "[]", "the file must be an object"),
        ("metrics.csv", "", "not a run's metrics"),
        ("metrics.csv", "condition,epoch,replica,split,error\na,1,0,test\n", "cut off"),
        ("metrics.csv", "condition,epoch,replica,split,error\na,1,0,test,low\n", "not a table of numbers"),
        ("metrics.csv", "condition,epoch,replica,split,nse\na,1,0,test,1\n", "lacks the columns error"),
        ("metrics.csv", "condition,epoch,replica,split,error\na,1,,test,1\n", "number of its epoch and of its replica"),
        ("metrics.csv", "condition,epoch,replica,split,error\na,inf,0,test,1\n", "number of its epoch"),
    ],
)
def test_damaged_file_is_refused_by_name(make, name, content, words):
    folder = make()
    (folder / name).write_text(content)
    with pytest.raises(ParameterError, match=f"{name}.*{words}"):
        report([folder])


@pytest.mark.parametrize("name", ["run.json", "summary.json", "metrics.csv"])
def test_file_cut_off_anywhere_is_read_or_refused(make, name):
    folder = make(published=[published(0.1)])
    whole = (folder / name).read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        (folder / name).write_bytes(whole[:length])
        try:
            report([folder]).html()
        except NeurosimError as error:
            assert name in str(error)
