"""The matrix in docs/audit.md is what the audit says."""

import re
from pathlib import Path

import pytest

from neurosim.audit.criteria import CRITERIA
from neurosim.audit.report import audit, mark, merged
from neurosim.job import Job

PAGE = Path(__file__).parent.parent / "docs" / "audit.md"
QUICK = (
    "krotov_2019.digits", "lillicrap_2016.mnist", "lillicrap_2016.phases", "sacramento_2018.digits",
    "scellier_2017.digits",
)  # fmt: skip


def rows():
    """Return the matrix: (experiment, conditions) to a dict of criterion to cell."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and ": " in line.split("|")[1]]
    found = {}
    for line in lines:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        model, _, conditions = name.replace("`", "").partition(": ")
        found[model, tuple(conditions.split(", "))] = dict(zip(CRITERIA, cells, strict=True))
    return found


def test_the_matrix_has_every_experiment(every_experiment):
    assert {model for model, _ in rows()} == set(every_experiment)


@pytest.fixture
def every_experiment():
    from every import EVERY

    return EVERY


def test_every_criterion_is_explained():
    table = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.M)
    assert set(table) >= set(CRITERIA)


@pytest.mark.parametrize("model", QUICK)
def test_the_matrix_says_what_the_audit_says(model):
    found = merged(audit(Job(model), timing=False))
    told = {conditions: cells for (name, conditions), cells in rows().items() if name == model}
    for each in found:
        fitting = [cells for conditions, cells in told.items() if set(each.conditions) & set(conditions)]
        assert fitting, each.conditions
        for cells in fitting:
            for name, finding in each.findings.items():
                if name != "timing":
                    assert cells[name].split(":")[0] == mark(finding), (each.name, name, cells[name], finding.short)
