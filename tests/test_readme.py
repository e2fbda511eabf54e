"""What a reader of the README copies must run."""

import re
from pathlib import Path

from neurosim.cli import commands
from neurosim.plasticity import library

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_network_written_by_hand_runs_and_learns(capsys, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    scope = {}
    exec(block, scope)
    errors = [float(e) for e in re.findall(r"training error ([\d.]+) %", capsys.readouterr().out)]
    assert len(errors) == 3
    assert errors[-1] < 30 < errors[0], "chance is 90 %"
    assert scope["spikes"].num_spikes == scope["spikes"].count[:].sum() > 0
    assert scope["trace"].v.shape == (1, 3 * 28 * 5)


def test_every_block_of_the_page_on_rules_runs():
    page = (Path(__file__).parent.parent / "docs" / "rules.md").read_text()
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, scope)
    named = set(re.findall(r"^[A-Z_]+(?= = Rule)", Path(library.__file__).read_text(), re.M))
    assert named and all(name in page for name in named)


def test_every_command_that_the_readme_names_exists():
    named = set(re.findall(r"^    (?:\.venv/bin/)?neurosim (\w+)", README, re.M))
    assert named == set(commands.commands), "the README shows each command once"


def test_the_makefile_has_every_target_that_the_readme_names():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    targets = set(re.findall(r"make (\w+)", README)) - {"and"}
    assert targets and all(f"\n{target}:" in makefile for target in targets)
