"""The lessons: they run from top to bottom, are stored clean, and define nothing that belongs into the package."""

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PROVIDED = {"neurosim", "neurosim_models", "brian2", "numpy", "matplotlib", *sys.stdlib_module_names}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|Users|root|tmp|work|opt|mnt|var)/|[A-Z]:\\\\|~/")
LONGEST = 10  # lines of a function: what is longer belongs into the package

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def definitions(source):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


def too_long(source):
    return [node.name for node in definitions(source) if node.end_lineno - node.lineno + 1 > LONGEST]


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_there_is_a_lesson():
    assert NOTEBOOKS


@every_notebook
def test_every_cell_runs_in_a_kernel_of_this_interpreter(path, tmp_path, monkeypatch):
    """In a folder that stays empty; every figure is drawn, and no cell complains."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("NEUROSIM_LESSON_SMALL", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):  # nothing of the user's, and nothing left
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import sys\nprint(sys.executable)"))
    # without folders to search, the kernel "python3" is ipykernel's own: the interpreter that runs this test
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": str(work)}}).execute()
    assert notebook.cells[0].outputs[0].text.strip() == sys.executable
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    complaints = [o.text for cell in cells for o in cell.outputs if o.get("name") == "stderr"]
    assert not complaints
    drawn = [cell for cell in cells if any("image/png" in output.get("data", {}) for output in cell.outputs)]
    draws = [cell for cell in cells if re.search(r"^(fig, |plots\.\w+\()", cell.source, re.M)]
    assert draws and drawn == draws
    assert not list(work.iterdir())


@every_notebook
def test_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}  # no version of the interpreter that saved it
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@every_notebook
def test_notebook_names_no_path_of_a_machine(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not MACHINE_PATH.search(cell.source), cell.id


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("in /home/me/x", 1),
        ("'/tmp/a'", 1),
        ("C:\\\\x", 1),
        ("0.008/ms", 0),
        ("https://a.org/abs/1", 0),
        ("a /work/ b", 1),
    ],
)
def test_machine_paths_are_told_from_other_slashes(text, found):
    assert bool(MACHINE_PATH.search(text)) == found


@every_notebook
def test_notebook_defines_nothing_that_belongs_into_the_package(path):
    for cell in code_cells(path):
        assert not too_long(cell.source), cell.id
        assert set(imported(cell.source)) <= PROVIDED, cell.id


def test_a_function_is_too_long_from_eleven_lines_on():
    function = "def short():\n" + 9 * "    pass\n"
    assert not too_long(function)
    assert too_long(function + "    pass\n") == ["short"]
    assert too_long("class Long:\n" + 10 * "    a = 1\n") == ["Long"]
