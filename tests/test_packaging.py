"""What is declared is what is there: packages, dependencies, models, figures, README; importing does nothing."""

import ast
import configparser
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from neurosim.cli import commands, main
from neurosim.experiment import Experiment
from neurosim.plots import FIGURES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TINY = "run lillicrap_2016.spiking --set hidden=20,20 --set output=10 --epochs 1 --limit 100 --replicas 2 --lanes 10"
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}  # others: as they are installed
FILES = [*(ROOT / "models").glob("*.py"), *(ROOT / "models").glob("*/__init__.py")]
MODELS = sorted(
    path.parent.name if path.stem == "__init__" else path.stem
    for path in FILES
    if "\nEXPERIMENTS = " in path.read_text()
)


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def experiments():
    for name in MODELS:
        module = importlib.import_module(f"neurosim_models.{name}")
        yield from (pytest.param(module, each, id=f"{name}.{each.name}") for each in module.EXPERIMENTS)


every_experiment = pytest.mark.parametrize(("module", "experiment"), list(experiments()))


def sources():
    return [path for top in ("neurosim", "models") for path in sorted((ROOT / top).rglob("*.py"))]


def imported(path):
    """Return the names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# setup.cfg


def test_packages_are_those_on_disk(setup):
    folders = {path.parent.relative_to(ROOT) for path in sources()}
    on_disk = {".".join(folder.parts).replace("models", "neurosim_models", 1) for folder in folders}
    assert set(setup["options"]["packages"].split()) == on_disk
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    assert setup["options"]["package_dir"].split() == ["neurosim_models", "=", "models"]


def test_files_of_claims_and_sweeps_are_installed(setup):
    """An installed package has the TOML files that ``neurosim hypothesis NAME`` finds."""
    patterns = setup["options.package_data"]["neurosim_models"].split()
    declared = {path for pattern in patterns for path in (ROOT / "models").glob(pattern)}
    assert declared == set((ROOT / "models").rglob("*.toml")) != set()


def test_every_package_that_is_imported_is_declared(setup):
    requirements = setup["options"]["install_requires"].split("\n")
    declared = {re.match(r"[\w-]+", line)[0] for line in requirements if line}
    used = {name.split(".")[0] for path in sources() for name in imported(path)}
    foreign = used - set(sys.stdlib_module_names) - {"neurosim", "neurosim_models"}
    assert foreign == {IMPORTED_AS.get(name, name) for name in declared}


def test_every_module_has_its_place_in_the_import_contract(setup):
    layers = set(setup["importlinter:contract:way"]["layers"].split())
    top = {"neurosim." + path.stem for path in (ROOT / "neurosim").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert layers - {"neurosim_models"} == top - {"neurosim.__init__", "neurosim.__pycache__"}


def test_entry_point_exists_and_versions_agree(setup):
    name, target = setup["options.entry_points"]["console_scripts"].strip().split(" = ")
    module, function = target.split(":")
    assert (name, getattr(importlib.import_module(module), function)) == ("neurosim", main)
    assert f"\nversion: {setup['metadata']['version']}\n" in (ROOT / "CITATION.cff").read_text()


# Models


def test_list_finds_every_model_on_disk(capsys):
    with pytest.raises(SystemExit):
        main(["list"])
    found = [line for line in capsys.readouterr().out.splitlines() if line and line[0] != " "]
    assert MODELS and sorted({line.split(".")[0] for line in found}) == MODELS
    assert len(found) == len(set(found)) == len(list(experiments()))


@every_experiment
def test_experiment_has_figures_that_can_be_drawn(module, experiment):
    assert isinstance(experiment, Experiment) and experiment.figures
    own = {figure.__name__ for figure in experiment.figures if callable(figure)}
    assert set(experiment.figure_names) - own <= set(FIGURES) and not own & set(FIGURES)
    assert len(set(experiment.figure_names)) == len(experiment.figures)


@every_experiment
def test_presets_set_parameters_that_exist_to_values_in_their_range(module, experiment):
    assert experiment.presets
    known = {p.name for p in experiment.parameters} | {"lanes", "replicas", "epochs"}
    for name, preset in experiment.presets.items():
        assert set(preset.values) <= known
        assert preset.duration
        for parameter in experiment.parameters_for(name).values():
            assert parameter.check(parameter.value) == parameter.value


@every_experiment
def test_every_parameter_has_a_source_and_a_meaning(module, experiment):
    for name in experiment.presets:
        for parameter in experiment.parameters_for(name).values():
            assert parameter.source.strip() and parameter.meaning.strip() and parameter.unit.strip()
            assert "\n" not in parameter.source + parameter.meaning
    assert len({p.name for p in experiment.parameters}) == len(experiment.parameters)


@every_experiment
def test_header_has_its_parts_and_every_symbol_is_explained(module, experiment):
    parts = re.findall(r"^([A-Z]\w+) {2,}\S", f"{module.__doc__}\n{experiment.notes}", re.M)
    assert {"Paper", "Equations", "Symbols", "Departures", "Expect"} <= set(parts)
    for neuron in experiment.neurons.values():
        assert neuron.source
        named = set(re.findall(r"^\s*(?:d(?=\w+/dt))?(\w+)(?:/dt)?\s*[=:]", neuron.equations, re.M))
        assert named and named <= set(neuron.symbols)


@every_experiment
def test_conditions_set_parameters_that_exist_and_what_is_expected_or_compared_names_them(module, experiment):
    known = {p.name for p in experiment.parameters} | {"lanes", "replicas", "epochs"}
    assert set(experiment.factors) <= known
    for own in experiment.conditions.values():
        assert set(own) <= known
    named = {each.condition for preset in experiment.presets.values() for each in preset.expect}
    named |= {each.condition for each in experiment.published}
    named |= {name for each in experiment.comparisons for name in (each.lower, each.higher)}
    assert named <= {None, *experiment.conditions}
    for preset in experiment.presets.values():
        assert all(each.split in ("train", "test") and each.note for each in preset.expect)
        assert all(None in (each.least, each.most) or each.least < each.most for each in preset.expect)


# README


def test_figures_and_models_that_the_readme_names_exist():
    figures = re.findall(r"`(\w+)\.png`", README)
    assert figures and set(figures) <= set(FIGURES)
    drawn = {name for _, experiment in (each.values for each in experiments()) for name in experiment.figure_names}
    assert set(figures) <= drawn
    named = re.findall(r"neurosim (?:run|show) ([^\s-]\S*)", README)
    assert named and set(named) <= {each.id for each in experiments()}
    for figure in re.findall(r"neurosim plot \S+ (\w+)", README):
        assert figure in FIGURES


def test_options_and_parameters_that_the_readme_names_exist():
    for line in re.findall(r"^    neurosim (.*?)(?:\s+#.*)?$", README, re.M):
        name, *words = line.split()
        options = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
        for each in experiments():
            if words and words[0] == each.id:
                _, experiment = each.values
                settings = [pair.split("=") for before, pair in pairwise(words) if before == "--set"]
                asked = [names.split(",") for before, names in pairwise(words) if before == "--conditions"]
                values = experiment.resolve(next(iter(experiment.presets)), dict(settings))
                experiment.choose(values, dict(settings), *asked)


# Importing

IMPORT = """
import os, random, signal, socket, sys, warnings
import brian2, matplotlib, numpy, pooch, sklearn, threadpoolctl, tqdm, numba  # what they do is theirs
from matplotlib import pyplot

def refuse(*arguments, **settings):
    raise AssertionError("the network is used on import")

def state():
    generator = numpy.random.get_state()
    return {
        "preferences": {name: brian2.prefs[name] for name in brian2.prefs},
        "clock": float(brian2.defaultclock.dt),
        "draws": (generator[1].tolist(), generator[2], random.getstate()),
        "errors": numpy.geterr(),
        "warnings": list(warnings.filters),
        "interrupt": signal.getsignal(signal.SIGINT),
        "matplotlib": (dict(matplotlib.rcParams), pyplot.get_fignums(), matplotlib.get_backend()),
        "environment": dict(os.environ),
        "threads": [pool["num_threads"] for pool in threadpoolctl.threadpool_info()],
        "log level": brian2.BrianLogger.console_handler.level,
    }

socket.socket.connect = socket.getaddrinfo = refuse
before = state()
for name in sys.argv[1:]:
    __import__(name)
after = state()
changed = {name for name in before if before[name] != after[name]}
assert not changed, changed
assert not os.listdir(), os.listdir()
"""


def test_importing_anything_sets_nothing_writes_nothing_and_needs_no_network(tmp_path):
    paths = [path.relative_to(ROOT).with_suffix("") for path in sources()]
    names = [".".join(path.parts).removesuffix(".__init__").replace("models", "neurosim_models", 1) for path in paths]
    environment = os.environ | {"NEUROSIM_DATA": str(tmp_path / "nowhere")}
    code = [sys.executable, "-c", IMPORT, *names]
    ended = subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""


def test_only_figures_without_windows_are_used():
    """Pyplot keeps figures and chooses windows; brian2 imports it, we must not use it."""
    for path in sources():
        assert not any(name.startswith(("matplotlib.pyplot", "pylab")) for name in imported(path)), path


# What a stranger does first: clone, install into an empty environment, run from another folder


def call(*command, **settings):
    """Run a command without what this environment would lend it; return what ended."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(list(map(str, command)), env=clean, capture_output=True, text=True, **settings)


def done(ended):
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git repository")
    folder = tmp_path_factory.mktemp("clone") / "neurosim"
    done(call("git", "clone", "--quiet", ROOT, folder))
    return folder


@pytest.fixture(scope="module")
def scripts(clone, tmp_path_factory):
    """The folder of an empty environment's scripts after ``pip install .`` in the clone."""
    folder = tmp_path_factory.mktemp("environment")
    done(call(sys.executable, "-m", "venv", folder))
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (scripts / "python", "-m", "pip", "--disable-pip-version-check")
    probe = call(*pip, "download", "--quiet", "--no-deps", "--retries", "1", "--dest", folder / "probe", "setuptools")
    if probe.returncode:
        pytest.skip(f"pip cannot reach an index: {probe.stderr.strip().splitlines()[-1]}")
    done(call(*pip, "install", "--quiet", ".", cwd=clone))
    return scripts


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_list_works_from_any_folder(scripts, elsewhere):
    assert "lillicrap_2016.spiking" in done(call(scripts / "neurosim", "list")).splitlines()
    assert not any(elsewhere.iterdir())


@pytest.mark.slow
def test_version_is_that_of_setup_cfg(scripts, elsewhere):
    assert "version = " + done(call(scripts / "neurosim", "--version")).split()[-1] in (ROOT / "setup.cfg").read_text()


@pytest.mark.slow
def test_run_works_from_any_folder(scripts, elsewhere):
    out = done(call(scripts / "neurosim", *TINY.split(), "--out", "run"))
    assert "test      error" in out
    record = json.loads((elsewhere / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["versions"]["neurosim"] in (ROOT / "setup.cfg").read_text() and "git" not in record["versions"]
    assert len(list((elsewhere / "run" / "figures").glob("*.png"))) == 4
    assert [path.name for path in elsewhere.iterdir()] == ["run"]


@pytest.mark.slow
def test_only_our_packages_are_installed(scripts, elsewhere):
    code = "import neurosim, neurosim_models; print(neurosim.__file__, neurosim_models.__file__)"
    found = done(call(scripts / "python", "-c", code)).split()
    packages = Path(found[0]).parent.parent
    assert Path(found[1]).parent.parent == packages and "site-packages" in packages.parts
    assert not {"models", "tests", "benchmarks", "notebooks", "data"} & {path.name for path in packages.iterdir()}


@pytest.mark.slow
def test_installation_leaves_the_clone_clean(scripts, clone):
    assert done(call("git", "-C", clone, "status", "--porcelain")) == ""
