"""The papers' claims as files: each is read, its levels are built, and its replicas are enough for what it states."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from neurosim import cli
from neurosim.hypotheses import pace, trial
from neurosim.hypotheses import statement as hypothesis

FILES = sorted((Path(__file__).parent.parent / "models" / "hypotheses").glob("*.toml"))
OWN_TASK = {"larger_epsilon"}  # no images, so that --full is longer, not larger
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def powers(asked):
    """Return the power of each claim for the effect that it states."""
    return [stated.claim.power(stated.effect, asked.replicas, asked.level) for stated in asked.claims]


def test_every_claim_of_the_papers_has_its_file():
    assert {path.stem for path in FILES} >= {
        "feedback_alignment", "updated_feedback", "larger_epsilon", "half_connections", "nudge_and_noise",
        "symmetric_weights", "lateral_inhibition", "settling_transient",
    }  # fmt: skip


@every_file
def test_a_file_says_what_is_claimed_and_where(path):
    asked = hypothesis.read(path)
    assert len(asked.title) > 20 and any(digit.isdigit() for digit in asked.source)
    assert asked.correction == "holm"
    for stated in asked.claims:
        assert stated.claim.name[0].islower() and stated.effect


@every_file
def test_levels_are_built_and_measure_what_the_claims_name(path, monkeypatch):
    """As the plan does it, for one presentation each; a metric that a level has not is refused with its line."""
    monkeypatch.setattr(trial, "pace", partial(pace.pace, seconds=0))
    asked = hypothesis.read(path)
    planned = trial.plan(replace(asked, replicas=2))
    assert set(planned.seconds) == set(asked.levels)
    assert all(seconds is not None for own in planned.seconds.values() for seconds in own)
    assert min(powers(asked)) >= 0.8


@every_file
def test_full_asks_for_more_and_has_the_replicas_for_it(path, tiny_data):
    """MNIST stands here for itself by its shape, as it may not be there."""
    few, full = hypothesis.read(path), hypothesis.read(path, full=True)
    assert [each.claim.name for each in few.claims] == [each.claim.name for each in full.claims]
    images = tiny_data(n_inputs=784, train=200)
    images.name, images.image_shape = "mnist", (28, 28)
    for name, job in full.levels.items():
        data = job.examples() if path.stem in OWN_TASK else images
        assert path.stem in OWN_TASK or (job.data, few.levels[name].data) == ("mnist", "digits")
        prepared = job.checked(data)
        prepared.check_values(data)
        assert len(prepared.conditions) == 1
    assert min(powers(full)) >= 0.8
    margins = [(a.claim.margin, b.claim.margin) for a, b in zip(few.claims, full.claims, strict=True)]
    assert all(small is None or large <= small for small, large in margins)


def test_a_shipped_file_made_small_gives_verdicts(tmp_path, capsys):
    text = (FILES[0].parent / "feedback_alignment.toml").read_text()
    small = text.replace("replicas = 20", "replicas = 3\nlimit = 60\nsettings = { hidden = 10, epochs = 1 }")
    assert small != text
    (tmp_path / "small.toml").write_text(small)
    arguments = ["hypothesis", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out")]
    assert not cli.commands.main(arguments, standalone_mode=False)
    told = capsys.readouterr().out
    assert "feedback alignment ends within a margin of backprop" in told
    assert any(word in told for word in ("supported", "refuted", "undecided"))
    runs = sorted(each.name for each in (tmp_path / "out" / "runs").iterdir())
    assert runs == ["backprop-1", "feedback_alignment-1"]
