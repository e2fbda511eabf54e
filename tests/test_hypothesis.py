"""Hypotheses: stated before the runs, kept with their hash, judged by what the runs gave; mistakes have their line."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim.errors import ParameterError
from neurosim.hypotheses import statement as hypothesis
from neurosim.hypotheses import trial, verdicts
from neurosim.hypotheses.claims import Claim, judge
from neurosim.hypotheses.looks import Looks
from neurosim.hypotheses.pace import pace
from neurosim.outcomes import outcome
from neurosim.runs import Run

FILE = """title = "Small networks"
source = "nobody 2000"
model = "lillicrap_2016.linear"
metric = "test nse"
replicas = 4
seed = 3

[settings]
inputs = 6
outputs = 4
examples = 20
tests = 30
hidden = [5]
epochs = 2

[levels]
shallow = {conditions = "shallow"}
alignment = {conditions = "feedback_alignment", eta = 0.02}
[levels.backprop]
conditions = "backprop"

[[claims]]
name = "Lower"
predicts = "lower"
of = ["alignment", "shallow"]
smallest = 0.05

[[claims]]
name = "Same"
predicts = "equivalent"
of = ["alignment", "backprop"]
margin = 0.1

[[claims]]
name = "Trend"
predicts = "falling"
of = ["shallow", "alignment", "backprop"]
at = [0, 1, 3]
when = "mean"

[[claims]]
name = "Together"
predicts = "correlation"
of = ["shallow", "alignment"]
x = "train nse"
y = "test nse"
sign = "positive"

[full]
replicas = 6
settings = {epochs = 3}
levels.alignment = {eta = 0.01}
[[full.claims]]
name = "Same"
margin = 0.05
"""
WORDS = ("supported", "refuted", "undecided")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file with some texts replaced."""

    def put(changes=(), text=FILE, name="claim.toml"):
        for old, new in dict(changes).items():
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / name
        path.write_text(text)
        return path

    return put


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of a hypothesis that was put to the test; tests only read it."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "claim.toml").write_text(FILE)
    stated = hypothesis.read(folder / "claim.toml")
    planned = trial.plan(stated)
    record = trial.record(stated, planned, folder / "out")
    tested = trial.carry_out(stated, folder / "out")
    verdicts.write(tested, record, planned)
    return tested


# Reading


def test_file_says_levels_claims_and_replicas(write):
    found = hypothesis.read(write())
    assert list(found.levels) == ["shallow", "alignment", "backprop"]
    job = found.job("alignment", 0)
    assert (job.model, job.seed, job.settings["eta"], job.settings["hidden"]) == (
        "lillicrap_2016.linear", 3, "0.02", "5",
    )  # fmt: skip
    assert job.settings["replicas"] == "4" and found.batches == ((4, 3),)
    lower, same, trend, together = (stated.claim for stated in found.claims)
    assert lower == Claim("Lower", "lower", ("alignment", "shallow"), smallest=0.05)
    assert same.margin == 0.1 and trend.at == (0, 1, 3) and together.sign == "positive"
    assert [stated.metrics for stated in found.claims][2:] == [("test nse",), ("train nse", "test nse")]
    assert [stated.when for stated in found.claims] == ["last", "last", "mean", "last"]


def test_full_is_what_the_file_says_in_the_place_of_the_rest(write):
    found = hypothesis.read(write(), full=True)
    assert (found.replicas, found.seed) == (6, 3)
    assert [stated.claim.margin for stated in found.claims] == [None, 0.05, None, None]
    assert found.levels["alignment"].settings["eta"] == "0.01"
    assert {job.settings["epochs"] for job in found.levels.values()} == {"3"}
    assert found.levels["alignment"].settings["hidden"] == "5"
    assert trial.folder_of(found) == Path("runs/claim-full")


def test_file_that_comes_with_the_models_is_found_by_its_name(tmp_path, monkeypatch, command):
    assert hypothesis.find("half_connections").name == "half_connections.toml"
    assert hypothesis.read(hypothesis.find("half_connections")).title
    status, _, err = command("hypothesis", "half_conections")
    assert status == 2 and "unknown hypothesis 'half_conections': did you mean 'half_connections'?" in err
    status, _, err = command("hypothesis", "half_connections.toml")
    assert status == 2 and "half_connections.toml: cannot be read" in err
    Path("half_connections").write_text("title = 3")
    assert hypothesis.find("half_connections") == Path("half_connections")


def test_another_seed_has_another_folder(write):
    path = write()
    assert trial.folder_of(hypothesis.read(path, seed=3)) == Path("runs/claim")
    other = hypothesis.read(path, seed=9)
    assert trial.folder_of(other) == Path("runs/claim-seed-9") and other.batches == ((4, 9),)


def test_looks_are_batches_with_seeds_of_their_own(write):
    found = hypothesis.read(write({"seed = 3": "[stop]\nlooks = [2, 4]", "replicas = 4": "replicas = 4"}, STOP))
    assert found.batches == ((2, 1), (2, 2)) and found.looks == Looks((2, 4))
    assert [found.job("a", k).seed for k in (0, 1)] == [1, 2]
    assert [found.job("a", k).settings["replicas"] for k in (0, 1)] == ["2", "2"]


STOP = """model = "lillicrap_2016.linear"
metric = "test nse"
replicas = 4
seed = 3
[settings]
inputs = 6
outputs = 4
examples = 20
tests = 30
hidden = 5
[levels]
a = {conditions = "shallow"}
b = {conditions = "backprop"}
[[claims]]
name = "Lower"
predicts = "lower"
of = ["b", "a"]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("source", "sourc", 2, "unknown key 'sourc': did you mean 'source'"),
        ("lillicrap_2016.linear", "lillicrap_2016.liner", 3, "unknown model 'lillicrap_2016.liner': did you mean"),
        ("lillicrap_2016.linear", "lillicrap_2016", 3, "has several experiments"),
        ("replicas = 4", "replicas = 1", 5, "1 are too few: the test of claim 'Lower' needs 2"),
        ("replicas = 4", "replicas = 2", 5, "2 are too few: the test of claim 'Together' needs 3"),
        ("replicas = 4", "replicas = 4.5", 5, "a whole number is needed, got 4.5"),
        ("replicas = 4", "", None, "replicas is needed"),
        ("seed = 3", "alpha = 0.5", 6, "alpha: must be above 0 and below 0.5"),
        ("seed = 3", "alpha = 0", 6, "alpha: must be above 0 and below 0.5"),
        ("seed = 3", "correction = 'holms'", 6, "unknown value of correction 'holms': did you mean 'holm'"),
        ("seed = 3", "diverged = 'worst'", 6, "unknown value of diverged 'worst'"),
        ("seed = 3", "data = 'digits'", 6, "unknown data 'digits'"),
        ("seed = 3", "when = 'lst'", 6, "did you mean 'last'"),
        ("seed = 3", "limit = 10", 6, "limit: this experiment makes its own examples"),
        ("inputs = 6", "input = 6", 9, "unknown parameter 'input': did you mean 'inputs'"),
        ("inputs = 6", "inputs = -6", 9, "inputs: must be >= 1, got -6"),
        ("inputs = 6", "replicas = 6", 9, "all levels have the same"),
        ('"feedback_alignment"', '"feedback_alinment"', 18, "unknown condition 'feedback_alinment': did you mean"),
        ("eta = 0.02", "etaa = 0.02", 18, "unknown parameter 'etaa': did you mean 'eta'"),
        ("eta = 0.02", "eta = 'x'", 18, "eta: a number is needed, got 'x'"),
        ('{conditions = "shallow"}', "{}", 17, "'shallow' has several conditions; conditions = one of shallow, node"),
        ('conditions = "backprop"', 'conditions = "shallow"', 20, "is the same as level 'shallow': nothing differs"),
        ('"feedback_alignment"', "3", 18, "conditions: a text is needed, got 3"),
        ('{conditions = "shallow"}', "{data = 3}", 17, "data: a text is needed, got 3"),
        ('["alignment", "shallow"]', '["alignment", nan]', 25, "of: must be finite, got nan"),
        ("eta = 0.02", "algorithm = 'shallow'", 18, "eta=0.008, a setting says otherwise"),
        ("shallow = {", '"a b" = {', 17, "a name of letters"),
        ('"lower"', '"lowr"', 24, "unknown value of predicts 'lowr': did you mean 'lower'"),
        ('["alignment", "shallow"]', '["alignmet", "shallow"]', 25, "unknown level 'alignmet': did you mean"),
        ('["alignment", "shallow"]', '["shallow", "shallow"]', 25, "'shallow' is there twice"),
        ('["alignment", "shallow"]', '["alignment"]', 25, "'lower' needs 2 levels, [a, b], got 1"),
        ('["alignment", "shallow"]', "[1, 2]", 25, "at least one level is needed"),
        ('["alignment", "shallow"]', '["alignment", ["shallow", "shallow"]]', 25, "is there twice"),
        ("smallest = 0.05", "smallest = 0", 26, "smallest: must be above 0, got 0"),
        ("smallest = 0.05", "margin = 0.05", 26, "margin: a claim that predicts 'lower' has none"),
        ("smallest = 0.05", "smalest = 0.05", 26, "unknown key 'smalest': did you mean 'smallest'"),
        ("smallest = 0.05", "sd = 0.05", 22, "difference and sd are needed both"),
        ("smallest = 0.05", "when = 3", 26, "level 'alignment' has 2 epochs, epoch 3 is asked for"),
        ('name = "Same"', 'name = "Lower"', 29, "claim 1 has this name too"),
        ("margin = 0.1\n", "\n", 30, "margin is needed"),
        ("margin = 0.1\n", "margin = -0.1\n", 32, "margin: must be above 0, got -0.1"),
        ('of = ["shallow", "alignment", "backprop"]', 'of = ["shallow", "alignment"]', 37, "needs at least 3 levels"),
        ("at = [0, 1, 3]", "at = [0, 1]", 38, "3 different numbers are needed"),
        ("at = [0, 1, 3]", "at = [0, 1, 1]", 38, "3 different numbers are needed"),
        ("at = [0, 1, 3]", "at = [0, 1, 'x']", 38, "at: a number is needed, got 'x'"),
        ('sign = "positive"\n', "\n", 43, "sign is needed"),
        ('y = "test nse"', 'y = "train nse"', 46, "another metric than x is needed"),
        ('x = "train nse"', 'metric = "test nse"', 45, "metric: a claim that predicts 'correlation' has none"),
        ('metric = "test nse"\n', "\n", 22, "metric is needed"),
        ('[[full.claims]]\nname = "Same"', '[[full.claims]]\nname = "Sam"', 54, "unknown claim 'Sam': did you"),
        ("levels.alignment = {eta", "levels.alignmen = {eta", 52, "unknown level 'alignmen': did you mean"),
    ],
)  # fmt: skip
def test_mistake_has_its_line_and_what_would_be_right(write, old, new, line, said):
    with pytest.raises(ParameterError, match=re.escape(said)) as caught:
        hypothesis.read(write({old: new}))
    where = "claim.toml:" if line is None else f"claim.toml, line {line}:"
    assert str(caught.value).startswith(where), caught.value


VALUES = (
    "3",
    "-1",
    "0.5",
    "'x'",
    "''",
    "[]",
    "[1]",
    "['a', 'b']",
    "[[1, 2], [3]]",
    "{}",
    "{a = 1}",
    "true",
    "nan",
    "inf",
    "1979-05-27",
)


@pytest.mark.parametrize("value", VALUES)
def test_whatever_a_value_is_the_mistake_is_told(write, value):
    """Every value of the file in turn is something else: it is read, or refused with a line."""
    lines = f"{FILE}[stop]\nlooks = [4]\nspending = 'pocock'\n".splitlines()
    for number, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals:
            continue
        text = "\n".join([*lines[:number], f"{key} = {value}", *lines[number + 1 :]])
        for full in (False, True):
            with contextlib.suppress(ParameterError):
                hypothesis.read(write(text=text), full=full)


def test_mistake_in_full_has_its_line(write):
    with pytest.raises(ParameterError, match="line 51: unknown parameter 'epoch'"):
        hypothesis.read(write({"settings = {epochs = 3}": "settings = {epoch = 3}"}), full=True)
    with pytest.raises(ParameterError, match="line 55: margin: must be above 0"):
        hypothesis.read(write({"margin = 0.05": "margin = 0"}), full=True)
    with pytest.raises(ParameterError, match=r"--full: the file has no table \[full\]"):
        hypothesis.read(write(text=STOP), full=True)


def test_level_in_no_claim_is_refused(write):
    with pytest.raises(ParameterError, match="line 14: level 'c' is in no claim"):
        hypothesis.read(write({"[[claims]]": 'c = {conditions = "feedback_alignment"}\n[[claims]]'}, STOP))


def test_too_few_replicas_says_how_many_would_do(write):
    path = write({"replicas = 4": "replicas = 1", '["b", "a"]': '["b", "a"]\neffect = 0.5'}, STOP)
    with pytest.raises(ParameterError, match=r"line 3: .* needs 2, and 27 for a power of 80 % at the effect"):
        hypothesis.read(path)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("looks = [2, 3]", "line 19: looks: the last look is at all replicas: 3 here, replicas = 4"),
        ("looks = [4, 2]", "line 19: looks: ascending numbers"),
        ("looks = [1, 4]", "line 19: looks: ascending numbers of replicas from 2 on"),
        ("looks = [2, 4.0]", "line 19: looks: a whole number is needed"),
        ("looks = [2, 4]\nspending = 'pocok'", "line 20: unknown value of spending 'pocok': did you mean 'pocock'"),
        ("look = [2, 4]", "line 19: unknown key 'look': did you mean 'looks'"),
    ],
)
def test_mistake_in_the_rule_to_stop(write, stop, said):
    with pytest.raises(ParameterError, match=re.escape(said)):
        hypothesis.read(write(text=f"{STOP}[stop]\n{stop}\n"))


def test_examples_of_the_page_are_hypotheses(write):
    page = (Path(__file__).parent.parent / "docs" / "hypotheses.md").read_text()
    whole, stop = re.findall(r"```toml\n(.*?)```", page, re.S)
    found = hypothesis.read(write(text=whole))
    assert [stated.claim.predicts for stated in found.claims] == ["lower", "equivalent"]
    assert hypothesis.read(write(text=whole), full=True).claims[1].claim.margin == 0.005
    lines, looks = stop.split("[stop]")
    again = hypothesis.read(write(text=whole.replace("replicas = 10", lines) + "\n[stop]" + looks))
    assert again.looks == Looks((5, 10, 20))
    for key in (*hypothesis.TOP, *hypothesis.CLAIM, *(key for keys in hypothesis.OWN.values() for key in keys)):
        assert f"`{key}`" in page or f"[{key}" in page or f"\n{key} = " in page, f"{key} is not on the page"


# The plan


def test_plan_says_cost_and_power_and_leaves_nothing_behind(command, write):
    changes = {'of = ["b", "a"]': 'of = ["b", "a"]\neffect = 2.0\n[stop]\nlooks = [2, 4]'}
    status, out, err = command("hypothesis", write(changes, STOP), "--plan")
    assert (status, err) == (0, "")
    assert "4 runs of 8 networks at most" in out and "looks     obrien fleming: 2 replicas at" in out
    assert re.search(r"80 % for d_z of 1\.6\d* with 4 replicas; |\d+ % for 2 as stated; 4 replicas make 80 %", out)
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {'metric = "test nse"': 'metric = "test nsee"'},
            "line 4: unknown metric 'test nsee': did you mean 'test nse'",
        ),
        ({'x = "train nse"': 'x = "train error"'}, "line 45: unknown metric 'train error': did you mean"),
        ({"hidden = [5]": "hidden = [5]\nlanes = 30"}, "line 14: lanes: 30 lanes need as many training examples"),
    ],
)
def test_what_only_a_network_knows_is_refused_before_anything_is_kept(command, write, changes, said):
    status, out, err = command("hypothesis", write(changes))
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_trying_a_level_changes_nothing_of_its_run(small, tmp_path):
    from neurosim.simulate import simulate

    experiment, data, settings = small("linear")
    values = experiment.resolve(data.name, settings)
    ((name, own),) = list(experiment.choose(values, settings, ["node_perturbation"]).items())
    before = simulate("m", experiment, data, values, 3, tmp_path / "before", conditions={name: own})
    found = pace(experiment, own, data, 3, seconds=0.1)
    after = simulate("m", experiment, data, values, 3, tmp_path / "after", conditions={name: own})
    assert (before.folder / "metrics.csv").read_bytes() == (after.folder / "metrics.csv").read_bytes()
    assert found.metrics == ("test nse", "train nse") and found.seconds(2) > 0


# Runs and verdicts


def test_verdicts_rest_on_the_runs(kept):
    """Judged again from the runs' own metrics, read by hand; each is the run that the command line would make."""
    runs = {name: Run.open(kept.folder / "runs" / f"{name}-1") for name in kept.hypothesis.levels}
    assert {run.record["seed"] for run in runs.values()} == {3}
    by_hand = [
        {name: outcome(run, None, "test nse") for name, run in runs.items()},
        {name: outcome(run, None, "test nse") for name, run in runs.items()},
        {name: outcome(run, None, "test nse", "mean") for name, run in runs.items()},
        {name: (outcome(run, None, "train nse"), outcome(run, None, "test nse")) for name, run in runs.items()},
    ]
    claims = [stated.claim for stated in kept.hypothesis.claims]
    assert repr(judge(claims, by_hand)) == repr(kept.verdicts)
    found = json.loads((kept.folder / "verdict.json").read_text())
    assert [each["verdict"] for each in found["claims"]] == [verdict.word for verdict in kept.verdicts]
    assert found["claims"][0]["values"]["shallow"] == by_hand[0]["shallow"].tolist()
    difference = np.subtract(*(found["claims"][0]["values"][name] for name in ("alignment", "shallow")))
    assert found["claims"][0]["estimate"] == pytest.approx(difference.mean(), rel=1e-12)


def test_level_is_the_run_that_the_command_line_makes(kept, command):
    settings = "inputs=6 outputs=4 examples=20 tests=30 hidden=5 eta=0.02".split()
    chosen = [word for each in settings for word in ("--set", each)]
    more = "--conditions feedback_alignment --seed 3 --replicas 4 --epochs 2 --out alone".split()
    assert command("run", "lillicrap_2016.linear", *chosen, *more)[0] == 0
    theirs = kept.folder / "runs/alignment-1"
    assert (Path("alone") / "metrics.csv").read_bytes() == (theirs / "metrics.csv").read_bytes()


STUDIED = """model = "amit_2018.linear"
metric = "test nse"
replicas = 2
settings = {inputs = 6, lanes = 6, hidden = [5, 5], outputs = 4, iterations = 20, epochs = 2}
levels = {a = {conditions = "gradient"}, b = {conditions = "urfb"}}
claims = [{name = "Same", predicts = "equivalent", of = ["a", "b"], margin = 0.1}]
"""


def test_study_of_an_experiment_is_left_out(write, command):
    """What is computed for figures beside training is not needed; other figures can be drawn."""
    assert command("hypothesis", write(text=STUDIED))[0] == 0
    folder = Path("runs/claim/runs/a-1")
    assert not (folder / "study.npz").exists() and Run.open(folder).record["study"] == "left out"
    assert command("plot", folder)[0] == 0 and list((folder / "figures").iterdir())


def test_folder_has_file_hash_report_and_figures(kept):
    record = json.loads((kept.folder / "hypothesis.json").read_text())
    assert (kept.folder / "claim.toml").read_text() == FILE
    assert record["sha256"] == kept.hypothesis.spec.sha256
    started = Run.open(kept.folder / "runs/shallow-1").record["times"]["started"]
    assert record["recorded"] <= started
    page, text = ((kept.folder / f"report.{ending}").read_text() for ending in ("html", "md"))
    for said in ("Lower", "90 % interval", record["sha256"], "runs/backprop-1", "nobody 2000", kept.verdicts[0].word):
        assert said in page and said.replace("_", "_") in text
    assert page.count("<img") == 4
    for number in range(1, 5):
        assert (kept.folder / f"figures/claim_{number}.png").read_bytes().startswith(b"\x89PNG")


def test_command_goes_on_and_prints_verdicts(command, write, tmp_path):
    """The second time nothing runs again, and the same is said; a changed file is refused, and says what was when."""
    path = write({"replicas = 4": "replicas = 3"})
    first = command("hypothesis", path)
    assert first[0] == 0
    assert re.search(r"^claim +verdict +estimate +90 % interval +effect +p +p \(holm\) +power +n$", first[1], re.M)
    for number in range(1, 5):
        assert re.search(rf"^{number} +({'|'.join(WORDS)}) .* 3$", first[1], re.M)
    assert first[1].count("\nrun ") == 3 and first[1].count("\nfigure ") == 4
    kept = {p: p.read_bytes() for p in Path("runs/claim").rglob("*") if p.name in ("run.json", "hypothesis.json")}
    assert len(kept) == 4
    assert re.findall(r"^running +(.*)$", first[1], re.M) == ["shallow-1", "alignment-1", "backprop-1"]
    assert command("hypothesis", path)[1] == re.sub(r"(?m)^running.*\n", "", first[1])
    assert {p: p.read_bytes() for p in kept} == kept

    path.write_text(path.read_text().replace("smallest = 0.05", "smallest = 0.04"))
    status, out, err = command("hypothesis", path)
    assert (status, out) == (2, "") and err.count("\n") == 1
    record = json.loads(Path("runs/claim/hypothesis.json").read_text())
    assert record["sha256"][:12] in err and record["recorded"] in err and "another --out is another hypothesis" in err
    assert {p: p.read_bytes() for p in kept} == kept
    status, out, err = command(
        "hypothesis", write({"replicas = 4": "replicas = 3"}), "--seed", "4", "--out", "runs/claim"
    )
    assert status == 2 and "seed 3, got 4" in err


def test_strict_fails_where_a_claim_is_not_supported(command, write):
    path = write({"replicas = 4": "replicas = 2"}, STOP)
    assert command("hypothesis", path)[0] == 0
    status, out, _ = command("hypothesis", path, "--strict")
    supported = re.search(r"^1 +supported", out, re.M)
    assert status == (0 if supported else 1)
    other = write({"replicas = 4": "replicas = 2", '"lower"': '"higher"'}, STOP, "other.toml")
    status, out, _ = command("hypothesis", other, "--strict")
    assert not (supported and re.search(r"^1 +supported", out, re.M))
    assert status == (0 if re.search(r"^1 +supported", out, re.M) else 1)


def test_folder_that_cannot_be_made_is_refused_before_the_plan(command, write):
    status, out, error = command("hypothesis", write(), "--out", "/dev/null/claim")
    assert (status, out, error.count("\n")) == (2, "", 1) and "/dev/null/claim: cannot be made" in error


def test_folder_with_something_else_is_refused(command, write):
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    status, _, err = command("hypothesis", write(text=STOP), "--out", "full")
    assert status == 2 and "holds no hypothesis" in err
    Path("full/hypothesis.json").write_text("{}")
    status, _, err = command("hypothesis", write(text=STOP), "--out", "full")
    assert status == 2 and "hypothesis.json: cannot be read" in err


def test_hash_is_recorded_before_the_first_run(command, write, monkeypatch):
    from neurosim.job import Job

    seen = []

    def carry_out(self, folder, **more):
        seen.append(json.loads((Path(folder).parent.parent / "hypothesis.json").read_text())["sha256"])
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "carry_out", carry_out)
    path = write(text=STOP)
    status, _, err = command("hypothesis", path)
    assert (status, err.strip()) == (1, "neurosim: interrupted")
    assert seen == [hypothesis.read(path).spec.sha256]
    path.write_text(path.read_text() + "alpha = 0.1\n")
    assert command("hypothesis", path)[0] == 2  # although nothing has run yet


def test_command_that_is_interrupted_says_so_and_goes_on(command, write, monkeypatch):
    """Ctrl+C in the first epoch of three: the run is interrupted, no verdict is there; then all goes on."""
    from neurosim import simulate

    monkeypatch.setattr(simulate, "WRITE_EVERY", 0)
    write_metrics, calls = Run.write_metrics, []

    def interrupting(self, rows):
        write_metrics(self, rows)
        calls.append(rows)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "write_metrics", interrupting)
    path = write({"hidden = 5": "hidden = 5\nepochs = 3"}, STOP)
    status, out, err = command("hypothesis", path)
    assert status == 1 and "interrupted; the same command goes on in runs/claim" in err and "verdict" not in out
    assert Run.open("runs/claim/runs/a-1").record["status"] == "interrupted"
    assert not Path("runs/claim/verdict.json").exists()
    status, out, _ = command("hypothesis", path)
    assert status == 0 and Run.open("runs/claim/runs/a-1").record["resumed"] and re.search(r"^1 +\w+", out, re.M)


def test_level_that_diverges_keeps_its_claim_from_being_judged(command, write):
    path = write({'"backprop"': '"backprop", eta = 1e9', "replicas = 4": "replicas = 3"}, STOP)
    status, out, _ = command("hypothesis", path)
    assert status == 0
    assert "diverged when it was tried" in out and re.search(r"^1 +undecided", out, re.M)
    assert "3 of 3 replicas have no number" in out and "note      b-1 diverged" in out
    assert "diverged" in Path("runs/claim/report.md").read_text()
    found = json.loads(Path("runs/claim/verdict.json").read_text())
    assert found["claims"][0]["values"]["b"] == [None] * 3 and list(found["diverged"]) == ["runs/b-1"]


def test_looks_stop_where_all_is_decided(write, tmp_path):
    """A level of 15 epochs against one of 1 is decided early; the rest of the replicas never run."""
    text = STOP.replace("replicas = 4", "replicas = 12").replace(
        '{conditions = "shallow"}', '{conditions = "backprop"}'
    )
    text = text.replace('b = {conditions = "backprop"}', 'b = {conditions = "backprop", epochs = 15}')
    stated = hypothesis.read(write(text=f"{text}[stop]\nlooks = [6, 9, 12]\nspending = 'pocock'\n"))
    found = trial.carry_out(stated, tmp_path / "out")
    (verdict,) = found.verdicts
    assert verdict.word != "undecided" and (verdict.decided, found.batches) == (1, 1)
    assert sorted(path.name for path in (tmp_path / "out/runs").iterdir()) == ["a-1", "b-1"]
    equal = text.replace("epochs = 15", "eta = 0.0100001").replace('"lower"', '"higher"')
    stated = hypothesis.read(write(text=f"{equal}[stop]\nlooks = [2, 12]\n"))
    found = trial.carry_out(stated, tmp_path / "other")
    assert found.batches == 2 and len(found.values[0]["a"]) == 12
    second = Run.open(tmp_path / "other/runs/a-2")
    assert second.record["seed"] == 4
    assert found.values[0]["a"][2:].tolist() == outcome(second, None, "test nse").tolist()


def test_killed_command_goes_on_and_ends_as_if_nothing_had_happened(kept, write, tmp_path):
    """Killed in the second level's second epoch: its first level is not repeated, its second resumes."""
    script = (
        "import os, signal, sys\n"
        "from neurosim import runs, simulate\n"
        "from neurosim.cli import main\n"
        "simulate.KEEP_EVERY = simulate.WRITE_EVERY = 0\n"
        "write, calls = runs.Run.write_arrays, []\n"
        "def dying(self, *arguments):\n"
        "    calls.append(self.folder.name)\n"
        "    if calls.count('alignment-1') == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(self, *arguments)\n"
        "runs.Run.write_arrays = dying\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["hypothesis", str(write()), "--out", str(tmp_path / "out")]
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", script, *arguments], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    out = tmp_path / "out"
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["alignment-1", "shallow-1"]
    first = (out / "runs/shallow-1/run.json").read_bytes()
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "neurosim.cli", *arguments], capture_output=True, text=True,
        env=os.environ,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert (out / "runs/shallow-1/run.json").read_bytes() == first
    assert Run.open(out / "runs/alignment-1").record["resumed"]
    for name in kept.hypothesis.levels:
        ours, theirs = (folder / f"runs/{name}-1/metrics.csv" for folder in (out, kept.folder))
        assert ours.read_bytes() == theirs.read_bytes()
    assert (out / "verdict.json").read_bytes() == (kept.folder / "verdict.json").read_bytes()


# In words


def test_numbers_of_errors_are_points(write):
    text = STOP.replace("lillicrap_2016.linear", "lillicrap_2016.mnist").replace("nse", "error")
    text = text.replace("inputs = 6\noutputs = 4\nexamples = 20\ntests = 30\n", "") + "smallest = 0.02\n"
    (stated,) = hypothesis.read(write(text=text)).claims
    assert verdicts.prediction(stated) == "test error of b is lower than a"
    chance = replace(stated, claim=Claim("chance", "equivalent", (0.9, "a"), margin=0.01))
    assert verdicts.prediction(chance) == "test error of a is 0.9 within 1 point"
    values = {"a": np.array([0.5, 0.6, 0.55, 0.5]), "b": np.array([0.45, 0.5, 0.5, 0.47])}
    (verdict,) = judge([stated.claim], [values])
    cells = verdicts.row(stated, verdict, 1)
    assert cells[1:3] == ("supported", "-5.75 points") and cells[7].endswith("for smallest 2 points")
    figure = verdicts.figure(stated, verdict, values, "90 % interval")
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("test error (%)", "difference (points)")
    lines = [line.get_ydata() for line in left.lines]
    assert any(np.allclose(line, [45, 50]) for line in lines) and any(np.allclose(line, [48, 53.75]) for line in lines)
    assert any(np.allclose(line.get_ydata(), -2) for line in right.lines)
