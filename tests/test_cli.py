"""The command line keeps its contract: what it prints, its exit status, and one clear line for whatever is wrong."""

import contextlib
import csv
import dataclasses
import errno
import gzip
import importlib.metadata
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from brian2 import ms
from matplotlib.figure import Figure

from neurosim import data
from neurosim.cli import commands, main
from neurosim.runs import Run, versions
from neurosim_models.lillicrap_2016 import EXPERIMENTS, PAPER, SPIKING

MODEL = "lillicrap_2016.spiking"
TINY = "--set hidden=20,20 --set output=10 --epochs 1 --limit 100 --replicas 2 --lanes 10".split()
RUN = ["run", MODEL, *TINY]
FIGURES = SPIKING.figures
IDX_FILES = list(data.PUBLISHED["mnist"].files)
CIFAR10_FILES = list(data.PUBLISHED["cifar10"].files)


@pytest.fixture
def refused(command):
    """Return a function that checks that a command line is refused in one line that says these words."""

    def check(arguments, *words):
        before = contents(Path.cwd())
        status, out, line = command(*arguments)
        assert_one_line(line)
        for word in words:
            assert str(word) in line
        assert (status, out) == (2, "")
        assert contents(Path.cwd()) == before, "a refused command leaves nothing behind"
        return line

    return check


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run and what the command line printed; tests that change files copy it."""
    folder, out = tmp_path_factory.mktemp("runs") / "finished", io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as end:
        main([*RUN, "--out", str(folder)])
    assert end.value.code == 0
    return folder, out.getvalue()


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished[0], tmp_path / "copied"))


def assert_one_line(text):
    assert re.fullmatch(r"neurosim: \S[^\r\n]*\n", text), text


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def process(*arguments, **settings):
    settings = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) | settings
    return subprocess.Popen([sys.executable, "-m", "neurosim.cli", *map(str, arguments)], **settings)


# What it says


def test_version_is_that_of_the_installed_package(command):
    try:
        installed = importlib.metadata.version("neurosim")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("neurosim is not installed")
    status, out, err = command("--version")
    assert (status, err) == (0, "") and installed in out


@pytest.mark.parametrize("name", ["", *commands.commands])
def test_help_names_all_options_with_a_line_for_each(command, name):
    status, out, err = command(*name.split(), "--help")
    asked = commands.commands[name] if name else commands
    assert (status, err) == (0, "")
    assert " ".join(asked.help.split()) in " ".join(out.split())
    for parameter in asked.params:
        for option in (o for o in parameter.opts if o.startswith("--")):
            assert re.search(rf"{option}\b.*\w", out)
    assert name or all(f"\n  {each} " in out for each in commands.commands)


def test_list_names_every_experiment_with_its_paper_published_number_data_and_time(command):
    status, out, err = command("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    start = lines.index(MODEL)
    entry = "\n".join(lines[start : start + 3 + len(SPIKING.presets)])
    for words in (PAPER, SPIKING.title, *(words for each in SPIKING.published for words in (each.text, each.data))):
        assert words in entry
    for name, preset in SPIKING.presets.items():
        assert re.search(rf"--data {name} .*{preset.duration}", entry)


def test_show_states_equations_symbols_and_departures(command):
    status, out, err = command("show", MODEL)
    assert (status, err) == (0, "")
    for words in ("Equations", "Departures", "doi:10.1038/ncomms13276", *SPIKING.texts.values()):
        assert words in out
    for neuron in SPIKING.neurons.values():
        for line in (*neuron.equations.strip().splitlines(), *neuron.update.strip().splitlines()):
            assert line.strip() in out
        for symbol, meaning in neuron.symbols.items():
            assert re.search(rf"^ +{symbol} +{re.escape(meaning)}$", out, re.M)


@pytest.mark.parametrize("name", SPIKING.presets)
def test_show_gives_every_parameter_with_value_unit_meaning_and_source(command, name):
    _, out, _ = command("show", MODEL, "--data", name)
    assert out.count("Parameters, --data") == 1
    table = out.partition(f"Parameters, --data {name}\n")[2].splitlines()
    rows = dict(zip((line.split()[0] for line in table[::2]), zip(table[::2], table[1::2], strict=True), strict=True))
    parameters = SPIKING.parameters_for(name)
    assert list(rows) == list(parameters)
    for parameter, (line, source) in zip(parameters.values(), rows.values(), strict=True):
        assert parameter.meaning in line
        assert source.strip() == parameter.source
        value = line.split()[1]
        if isinstance(parameter.value, tuple):
            assert tuple(map(int, value.split(","))) == parameter.value
        elif parameter.name == "dt":
            assert value == "1*ms" and parameter.value == 1 * ms
        elif isinstance(parameter.value, str):
            assert value == parameter.value
        else:
            assert float(value) == parameter.value
        assert parameter.name == "dt" or parameter.unit == "1" or line.split()[2] == parameter.unit


def test_show_takes_a_whole_model_with_all_its_data_sets(command):
    _, out, _ = command("show", "lillicrap_2016")
    assert [e for e in EXPERIMENTS if f"lillicrap_2016.{e.name}" in out.splitlines()] == list(EXPERIMENTS)
    assert re.findall("^Parameters, --data (.*)$", out, re.M) == [name for e in EXPERIMENTS for name in e.presets]


def test_run_says_where_it_is_kept_its_error_beside_the_papers_and_its_figures(finished):
    folder, out = finished
    summary = json.loads((folder / "summary.json").read_text())
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith("figure"))
    assert lines["run"] == f"{folder}/"
    for split in ("train", "test"):
        final = summary["final"]["feedback_alignment"][split]
        assert lines[split].startswith(f"error {100 * final['mean']:.2f} %")
        assert f"{100 * final['low']:.2f} to {100 * final['high']:.2f} %, 2 replicas" in lines[split]
    assert "1.8 %" in lines["paper"] and "MNIST" in lines["paper"] and "another data set" in lines["paper"]
    figures = re.findall("^figure +(.*)$", out, re.M)
    assert figures == [str(folder / "figures" / f"{name}.png") for name in FIGURES]
    assert all(Path(path).is_file() for path in figures)


def test_run_without_out_makes_a_folder_named_by_model_and_data(command):
    status, out, _ = command(*RUN, "--limit", "10")
    assert status == 0
    (folder,) = Path("runs").iterdir()
    assert out.startswith(f"run       {folder}/\n") and folder.name.startswith(f"{MODEL}-digits-")


def test_options_set_what_they_name(command):
    status, *_ = command(*RUN, "--seed", "7", "--set", "dt=500*us", "--set", "eta=0.5", "--out", "run")
    record = Run.open("run").record
    values = {name: entry["value"] for name, entry in record["parameters"].items()}
    assert status == 0
    assert (record["seed"], record["data"]["train"], record["target"]) == (7, 100, "numpy")
    given = {"hidden": [20, 20], "output": 10, "epochs": 1, "replicas": 2, "lanes": 10, "dt": 0.0005, "eta": 0.5}
    assert {name: values[name] for name in given} == given


def test_plot_draws_all_figures_or_one(command, copied):
    shutil.rmtree(copied / "figures")
    status, out, err = command("plot", copied, "learning")
    assert (status, err) == (0, "")
    assert out.split() == [str(copied / "figures" / "learning.png")]
    assert [path.name for path in (copied / "figures").iterdir()] == ["learning.png"]
    status, out, err = command("plot", copied)
    assert (status, err) == (0, "")
    assert out.split() == [str(copied / "figures" / f"{name}.png") for name in FIGURES]
    assert {path.name for path in (copied / "figures").iterdir()} == {f"{name}.png" for name in FIGURES}


def test_data_says_where_each_data_set_is(command, monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache")
    status, out, err = command("data")
    assert (status, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == list(data.NAMES)
    assert "whole: 1437 train, 360 test images 8x8" in out.splitlines()[0]
    assert all("not found" in line and "NEUROSIM_DATA" in line for line in out.splitlines()[1:])
    assert command("data", "digits") == (0, out.splitlines()[0] + "\n", "")


def test_output_into_a_closed_pipe_is_no_accident():
    reading, writing = os.pipe()
    os.close(reading)
    with process("list", stdout=writing) as listing:
        os.close(writing)
        assert listing.stderr.read() == ""
    assert listing.returncode in (0, 1)


# What it refuses


BAD = [
    (["lst"], ["command 'lst'", "'list'"]),
    (["--lst"], ["--lst"]),
    (["show"], ["MODEL"]),
    (["show", "lilicrap_2016"], ["model 'lilicrap_2016'", "'lillicrap_2016'", "neurosim list"]),
    (["show", MODEL, "--data", "minst"], ["data set 'minst'", "'mnist'"]),
    (["run", "lillicrap_2016.spikes", *TINY], ["model 'lillicrap_2016.spikes'", f"'{MODEL}'"]),
    (["run", *TINY], ["MODEL"]),
    ([*RUN, "more"], ["more"]),
    ([*RUN, "--replica", "3"], ["--replica", "--replicas"]),
    ([*RUN, "--data", "digit"], ["data set 'digit'", "'digits'"]),
    ([*RUN, "--data", "./digit"], ["digit", "does not exist"]),
    ([*RUN, "--data", ""], ["data"]),
    ([*RUN, "--data", "x" * 300], ["x" * 300]),
    ([*RUN, "--target", "numpi"], ["target 'numpi'", "'numpy'"]),
    ([*RUN, "--set", "hiden=3"], ["parameter 'hiden'", "'hidden'"]),
    ([*RUN, "--set", "eta"], ["--set", "NAME=VALUE", "'eta'"]),
    ([*RUN, "--set", "=1"], ["--set", "NAME=VALUE", "'=1'"]),
    ([*RUN, "--set", "eta="], ["eta", "number"]),
    ([*RUN, "--set", "eta=fast"], ["eta", "number", "'fast'"]),
    ([*RUN, "--set", "eta=nan"], ["eta", "nan"]),
    ([*RUN, "--set", "eta=inf"], ["eta", "inf"]),
    ([*RUN, "--set", "eta=-0.1"], ["eta", ">= 0", "-0.1"]),
    ([*RUN, "--set", "eta=1*ms"], ["eta", "number", "1*ms"]),
    ([*RUN, "--set", "gamma=0.1"], ["gamma", "< 0.1"]),
    ([*RUN, "--set", "integration=1"], ["integration", "< 1"]),
    ([*RUN, "--set", "p_max=1.01"], ["p_max", "<= 1"]),
    ([*RUN, "--set", "steps=2.5"], ["steps", "whole number", "2.5"]),
    ([*RUN, "--set", "hidden=20,-3"], ["hidden", ">= 1", "-3"]),
    ([*RUN, "--set", "hidden=20;20"], ["hidden", "commas", "20;20"]),
    ([*RUN, "--set", "hidden="], ["hidden", "whole numbers"]),
    ([*RUN, "--set", "hidden=1e15"], ["memory"]),
    ([*RUN, "--set", "output=15"], ["output", "10", "15"]),
    ([*RUN, "--set", "dt=1"], ["dt", "unit", "ms", "'1'"]),
    ([*RUN, "--set", "dt=1*mV"], ["dt", "unit", "ms", "1*mV"]),
    ([*RUN, "--set", "dt=1*parsec"], ["dt", "unit", "parsec"]),
    ([*RUN, "--set", "dt=-1*ms"], ["dt", "> 0", "-1*ms"]),
    ([*RUN, "--lanes", "0"], ["lanes", ">= 1", "0"]),
    ([*RUN, "--lanes", "ten"], ["lanes", "whole number", "'ten'"]),
    ([*RUN, "--lanes", ""], ["lanes", "whole number"]),
    ([*RUN, "--lanes", "101"], ["lanes", "101", "100"]),
    ([*RUN, "--epochs", "0"], ["epochs", ">= 1"]),
    ([*RUN, "--replicas", "-2"], ["replicas", ">= 1", "-2"]),
    ([*RUN, "--limit", "0"], ["0", "1437", "digits"]),
    ([*RUN, "--limit", "1438"], ["1438", "1437", "digits"]),
    ([*RUN, "--limit", "1.5"], ["--limit", "1.5"]),
    ([*RUN, "--seed", "-1"], ["--seed", "-1"]),
    ([*RUN, "--seed", "one"], ["--seed", "one"]),
    ([*RUN, "--out", "x" * 300], ["x" * 300]),
    (["plot"], ["FOLDER"]),
    (["plot", "nowhere"], ["nowhere", "run.json"]),
    (["data", "minst"], ["data set 'minst'", "'mnist'"]),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(arguments[-2:])[:40] for arguments, _ in BAD])
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(refused, arguments, words):
    refused(arguments, *words)


def test_large_seed_is_either_used_or_refused_in_one_line(command):
    status, _, err = command(*RUN, "--seed", 2**32, "--out", "run")
    if status:
        assert status == 2
        assert_one_line(err)
    else:
        assert Run.open("run").record["seed"] == 2**32


def test_no_command_at_all_is_answered_with_help_that_can_be_read(command):
    status, out, err = command()
    assert status in (0, 2)
    assert all(name in out + err for name in commands.commands)
    assert max(map(len, (out + err).splitlines())) < 200, "a page of help in one line is no help"


def test_run_asks_which_experiment_where_a_model_has_several(refused, monkeypatch):
    several = (SPIKING, dataclasses.replace(SPIKING, name="other"))
    monkeypatch.setattr("neurosim_models.lillicrap_2016.EXPERIMENTS", several)
    refused(["run", "lillicrap_2016"], MODEL, "lillicrap_2016.other")


# Data in a folder


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    """A folder with four IDX files: 40 + 20 random images of 6 x 6 in ten classes."""
    draw, path = np.random.default_rng(1), tmp_path / "garments"
    path.mkdir()
    for images, labels, n in zip(IDX_FILES[::2], IDX_FILES[1::2], (40, 20), strict=True):
        (path / images).write_bytes(idx(draw.integers(0, 256, (n, 6, 6))))
        (path / labels).write_bytes(idx(np.arange(n) % 10))
    return path


def use(folder):
    return [*RUN, "--limit", "40", "--data", str(folder)]


def test_run_on_a_folder_records_its_name_and_hash(command, folder):
    status, *_ = command(*use(folder), "--out", "run")
    loaded = data.load(folder).limit(40)
    assert status == 0
    found = Run.open("run").record["data"]
    assert (found["name"], found["sha256"], found["train"], found["test"]) == ("garments", loaded.sha256, 40, 20)
    assert str(folder) in found["source"]


@pytest.mark.parametrize("file", IDX_FILES)
def test_missing_file_is_named(refused, folder, file):
    (folder / file).unlink()
    refused(use(folder), folder, file)


@pytest.mark.parametrize("file", IDX_FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-7],
        lambda content: content[:3],
        lambda content: b"",
        lambda content: content + b"\0",
        lambda content: b"<html>404 Not Found</html>",
        lambda content: content[:4] + b"\xff" + content[5:],
        lambda content: content[:2] + b"\x0d" + content[3:],
    ],
    ids=["truncated", "header cut", "empty", "too long", "a page of an error", "size changed", "type changed"],
)
def test_damaged_file_is_named(refused, folder, file, damage):
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    refused(use(folder), folder / file)


@pytest.mark.parametrize("keep", [0.6, 1.0], ids=["truncated", "bit flipped"])
def test_damaged_compressed_file_is_named(refused, folder, keep):
    packed = bytearray(gzip.compress((folder / IDX_FILES[0]).read_bytes()))
    packed[len(packed) // 2] ^= 0x10
    (folder / IDX_FILES[0]).unlink()
    path = folder / f"{IDX_FILES[0]}.gz"
    path.write_bytes(packed[: int(keep * len(packed))])
    refused(use(folder), path)


def test_interchanged_files_are_named(refused, folder):
    images, labels = folder / IDX_FILES[0], folder / IDX_FILES[1]
    first, second = images.read_bytes(), labels.read_bytes()
    images.write_bytes(second)
    labels.write_bytes(first)
    refused(use(folder), images, "interchanged")


@pytest.mark.parametrize(("split", "n"), [("train", 40), ("test", 20)])
def test_images_and_labels_of_different_number_are_refused(refused, folder, split, n):
    (folder / IDX_FILES[1 if split == "train" else 3]).write_bytes(idx(np.arange(n - 1) % 10))
    refused(use(folder), "garments", split, f"{n} images", f"{n - 1} labels")


def test_label_out_of_range_is_refused(refused, folder, tmp_path):
    batches = tmp_path / "cifar-10-batches-bin"
    batches.mkdir()
    for file in CIFAR10_FILES:
        (batches / file).write_bytes(bytes([3, *bytes(3072)]) * 2)
    (batches / CIFAR10_FILES[2]).write_bytes(bytes([3, *bytes(3072)]) + bytes([11, *bytes(3072)]))
    refused([*use(batches), "--limit", "10"], batches / CIFAR10_FILES[2], "label 1 is 11", "0..9")
    (folder / IDX_FILES[3]).write_bytes(idx(np.full(20, 250)))
    refused(use(folder), "labels go up to 250", "classes", "garments")


def test_folder_without_data_and_file_instead_of_folder_are_refused(refused, folder, tmp_path):
    refused(use(tmp_path / "here"), "here", IDX_FILES[0])
    refused(use(folder / IDX_FILES[0]), folder / IDX_FILES[0], "folder")


def test_failed_download_is_one_line(tmp_path):
    without = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    without.pop("NEUROSIM_DATA", None)
    unreachable = {"https_proxy": "http://127.0.0.1:1", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    with process("data", "mnist", env=without | unreachable) as fetching:
        out, err = fetching.communicate()
    assert fetching.returncode in (1, 2) and out == ""
    assert "mnist/train-images-idx3-ubyte.gz" in err and "NEUROSIM_DATA" in err
    assert_one_line(err)


# Where the run is kept


def test_folder_of_a_run_is_left_as_it_is_unless_forced(refused, command, copied):
    before = contents(copied)
    refused([*RUN, "--out", copied], copied, "--force")
    assert contents(copied) == before
    status, *_ = command(*RUN, "--out", copied, "--force", "--seed", "2", "--set", "steps=3")
    record = Run.open(copied).record
    assert (status, record["status"], record["seed"], record["parameters"]["steps"]["value"]) == (0, "finished", 2, 3)
    assert contents(copied).keys() == before.keys()
    assert len((copied / "log.txt").read_text().splitlines()) == len(before[Path("log.txt")].splitlines())


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "forced"])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years of work"},
        {"metrics.csv": "mine", "figures/holiday.png": "mine"},
        {"run.json": '{"distance": "10 km"}', "log.txt": "mine", "figures/route.png": "mine"},
        {"run.json": "not JSON", "weights.npz": "mine"},
    ],
    ids=["other files", "same names", "another program's run.json", "a run.json that is not JSON"],
)
def test_foreign_folder_is_never_touched(refused, tmp_path, files, force):
    foreign = tmp_path / "foreign"
    for name, text in files.items():
        (foreign / name).parent.mkdir(parents=True, exist_ok=True)
        (foreign / name).write_text(text)
    before = contents(foreign)
    try:
        refused([*RUN, "--out", foreign, *force], foreign)
    finally:
        assert contents(foreign) == before


def test_file_where_a_folder_is_needed_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused([*RUN, "--out", tmp_path / "file"], tmp_path / "file")
    refused([*RUN, "--out", tmp_path / "file" / "below", "--force"], tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_refused_folder_is_the_only_thing_that_a_real_process_mentions(copied, tmp_path):
    """Brian2 has much to say, on the standard error of the process, about objects that never ran."""
    with process(*RUN, "--out", copied, cwd=tmp_path) as running:
        out, err = running.communicate()
    assert (running.returncode, out) == (2, "")
    assert_one_line(err)


# The disk


@pytest.fixture
def full_disk(monkeypatch):
    """A disk with a few bytes left."""
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as during:
        during.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 4096, 4096))
        yield during


def test_disk_without_room_is_refused_before_the_run(refused, full_disk):
    refused([*RUN, "--out", "run"], "run", "disk", "MB")


def test_folder_refused_for_lack_of_room_can_be_used_later(command, full_disk):
    assert command(*RUN, "--out", "run")[0] == 2
    full_disk.undo()
    status, _, err = command(*RUN, "--out", "run")
    assert status == 0, err


def test_disk_without_room_does_not_cost_the_run_that_force_would_replace(refused, copied, full_disk):
    before = contents(copied)
    refused([*RUN, "--out", copied, "--force"], "disk")
    assert contents(copied) == before


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_that_fills_up_during_the_run_is_named_and_what_was_written_stays(command, monkeypatch):
    written, synchronise = [], os.fsync

    def fill(descriptor):
        written.append(descriptor)
        return synchronise(descriptor) if len(written) <= 3 else no_room()

    monkeypatch.setattr(os, "fsync", fill)
    status, out, err = command(*RUN, "--out", "run")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"neurosim: run/\S+: cannot be written: no room on the disk", err.splitlines()[-1])
    assert "Traceback" not in err
    kept = {path.name for path in Path("run").iterdir() if path.is_file()}
    assert {"run.json", "metrics.csv"} <= kept <= {"run.json", "log.txt", "metrics.csv", "summary.json"}
    run = Run.open("run")
    assert set(run.metrics()["epoch"]) == {1}


def test_disk_without_room_for_a_figure_is_one_line(command, copied, monkeypatch):
    before = contents(copied)
    monkeypatch.setattr(Figure, "savefig", no_room)
    status, out, err = command("plot", copied, "learning")
    assert (status, out) == (1, "")
    assert_one_line(err)
    assert contents(copied) == before


# Damaged runs


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", b""),
        ("run.json", b'{"format": 1, "mod'),
        ("run.json", b"[1, 2]"),
        ("run.json", b'{"format": 1}'),
        ("run.json", b'{"format": 99, "model": "lillicrap_2016.spiking"}'),
        ("run.json", b"\xff\xfe\x00"),
        ("metrics.csv", None),
        ("metrics.csv", b""),
        ("metrics.csv", b"epoch,replica,split,examples,error\n1,0,train,many,0.5\n"),
        ("metrics.csv", b"\xff\xfe\x00"),
        ("metrics.csv", b"wavelength,intensity\n1,2\n"),
        ("traces.npz", None),
        ("traces.npz", b""),
        ("traces.npz", b"PK\x03\x04 and then the disk was full"),
        ("traces.npz", b"not an archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:24],
)
def test_plot_names_the_file_of_a_run_that_cannot_be_read(command, copied, file, content):
    (copied / file).unlink() if content is None else (copied / file).write_bytes(content)
    status, _, err = command("plot", copied, "raster" if file == "traces.npz" else "learning")
    assert status == 2
    assert_one_line(err)
    assert str(copied / file) in err


def test_plot_of_a_model_that_is_gone_names_it(refused, copied):
    record = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(record | {"model": "lillicrap_2015.spiking"}))
    refused(["plot", copied], "model 'lillicrap_2015.spiking'", f"'{MODEL}'")


def test_plot_of_an_unknown_figure_names_the_nearest(refused, copied):
    before = contents(copied)
    refused(["plot", copied, "lerning"], "figure 'lerning'", "'learning'")
    assert contents(copied) == before


# What stops a run


def test_diverging_run_says_where_and_when_and_can_be_plotted(command):
    status, out, err = command(*RUN, "--set", "eta=3e38", "--out", "run")
    assert (status, out) == (1, "")
    where = re.fullmatch(
        r"neurosim: (\w+\.\w+) is (?:nan|-?inf) at t = (\d+) ms: neuron (\d+), replica (\d+), .* kept in run",
        err.splitlines()[-1],
    )
    assert where, err
    population = {"h1": 20, "h2": 20, "y": 10, "error": 10, "feedback_h1": 20, "feedback_h2": 20}
    assert int(where[3]) < population[where[1].split(".")[0]] and int(where[4]) < 2
    assert int(where[2]) < 3, "the second step has the weights that the first one made infinite"
    run = Run.open("run")
    assert run.record["status"] == "diverged" and where[1] in run.record["reason"]
    assert set(run.metrics()["epoch"]) == {1}
    status, _, err = command("plot", "run")
    assert (status, err) == (0, "") or status == 2
    if status:
        assert_one_line(err)


def test_ctrl_c_keeps_what_there_is(tmp_path, command):
    folder = tmp_path / "run"
    with process(*RUN, "--epochs", "10000", "--out", folder) as running:
        try:
            deadline = time.monotonic() + 60
            while not (folder / "metrics.csv").exists() and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 1
    assert "Traceback" not in err
    assert out.startswith(f"run       {folder}/ (interrupted)\n") and "test      error" in out
    assert all(line.split()[0] in ("run", "train", "test", "paper", "figure") for line in out.splitlines())
    run = Run.open(folder)
    assert run.record["status"] == "interrupted" and "ended" in run.record["times"]
    error = run.metrics()["error"]
    assert error.size >= 4 and np.isfinite(error[:4]).all()
    assert command("plot", folder) == (0, "".join(f"{folder}/figures/{name}.png\n" for name in FIGURES), "")


# Conditions


def options(name, small, **more):
    """Return the command line of a small experiment with this name, and the name of its data."""
    _, used, settings = small(name, **more)
    pairs = [word for each, value in settings.items() for word in ("--set", f"{each}={value}")]
    return [
        "run",
        f"lillicrap_2016.{name}",
        "--seed",
        "3",
        *pairs,
        *([] if used.name != "digits" else ["--limit", "60"]),
    ]


def rows_of(run, conditions):
    """Return the lines of metrics.csv that are of these conditions: cells by column, without columns of no values."""
    with (run.folder / "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["condition"] in conditions]
    filled = {name for row in rows for name, value in row.items() if value}
    return [{name: value for name, value in row.items() if name in filled} for row in rows]


@pytest.mark.parametrize(("name", "chosen"), [("linear", [3, 1]), ("mnist", [2]), ("deep", [-1, 0])])
def test_conditions_asked_for_give_what_they_give_in_company(command, small, small_run, name, chosen):
    """Only they run, in the order asked for, with the very numbers that a run of all conditions has for them."""
    names = [list(small(name)[0].conditions)[k] for k in chosen]
    status, out, err = command(*options(name, small), "--conditions", ", ".join(names), "--out", "run")
    assert status == 0, err
    run, whole = Run.open("run"), small_run(name)
    assert list(run.record["conditions"]) == list(json.loads(Path("run/summary.json").read_text())["final"]) == names
    mine = rows_of(run, names)
    assert mine and {row["condition"] for row in mine} == set(names)
    for each in names:
        assert rows_of(run, [each]) == rows_of(whole, [each])
        for key, (array, _) in run.of_condition("weights.npz", each).items():
            np.testing.assert_array_equal(array, whole.of_condition("weights.npz", each)[key][0], err_msg=key)
    assert [line for line in out.splitlines() if line in whole.record["conditions"]] == names * (len(names) > 1)


def test_setting_chooses_the_conditions_that_agree_with_it(command, small):
    status, *_ = command(*options("linear", small, epochs="1"), "--set", "algorithm=backprop", "--out", "one")
    assert status == 0 and list(Run.open("one").record["conditions"]) == ["backprop"]
    status, *_ = command(*options("deep", small, epochs="1", hidden="7"), "--out", "other")
    record = Run.open("other").record
    assert status == 0 and record["conditions"] == {"hidden=7": {}}
    assert record["parameters"]["hidden"] == {"value": [7], "unit": "neurons", "source": "set by the user"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("backprob", ["condition 'backprob'", "'backprop'"]),
        ("backprop,,shallow", ["condition ''"]),
        ("", ["condition ''"]),
        ("backprop,shallow,nothing", ["condition 'nothing'", "feedback_alignment"]),
    ],
)
def test_unknown_condition_is_refused(refused, small, asked, words):
    refused([*options("linear", small), "--conditions", asked], *words)


def test_condition_that_another_setting_excludes_is_refused(refused, small):
    arguments = options("linear", small, algorithm="shallow")
    refused([*arguments, "--conditions", "shallow,backprop"], "'backprop'", "algorithm=backprop", "--set")


def test_show_names_all_conditions_with_what_they_set(command):
    for experiment in EXPERIMENTS:
        _, out, _ = command("show", f"lillicrap_2016.{experiment.name}")
        table = re.search(r"^Conditions\n((?:    .*\n)+)", out, re.M)[1].splitlines()
        assert [line.split()[0] for line in table] == list(experiment.conditions)
        for line, own in zip(table, experiment.conditions.values(), strict=True):
            assert all(f"{name}=" in line for name in own)


ALONE = [
    (each.name, condition)
    for each in EXPERIMENTS
    for condition, own in each.conditions.items()
    if own.get("algorithm") != "feedback_alignment" or own.get("schedule") == "together"
]


@pytest.mark.parametrize(("name", "condition"), ALONE)
def test_one_condition_alone_runs_and_draws_the_figures_that_apply(command, small, name, condition):
    """Without random feedback there is no angle to draw: the run is as good as any other, and so is its status."""
    arguments = options(name, small, epochs="1", replicas="1")
    status, out, err = command(*arguments, "--conditions", condition, "--out", "run")
    assert status == 0, err
    drawn = [Path(path).stem for path in re.findall("^figure +(.*)$", out, re.M)]
    assert "learning" in drawn and all((Path("run/figures") / f"{each}.png").is_file() for each in drawn)
    status, out, err = command("plot", "run")
    assert (status, err) == (0, "") and [Path(path).stem for path in out.split()] == drawn


# Validation


def test_validation_tests_on_examples_held_out_from_training(command, small):
    status, *_ = command(*options("mnist", small), "--validation", "20", "--conditions", "shallow", "--out", "run")
    run = Run.open("run")
    held = data.load("digits").limit(60).validation(20, seed=1)
    assert status == 0
    record = run.record["data"]
    assert (record["train"], record["test"], record["sha256"]) == (40, 20, held.sha256)
    assert record["asked"] == {"data": "digits", "limit": 60, "validation": 20}
    assert run.of_condition("traces.npz")["confusion"][0].sum(axis=(1, 2)).tolist() == [20, 20]
    status, *_ = command(*options("mnist", small), "--seed", "4", "--validation", "20", "--conditions", "shallow")
    assert status == 0
    (other,) = Path("runs").iterdir()
    assert Run.open(other).record["data"]["sha256"] == held.sha256, "the seed of the run has no part in the split"


@pytest.mark.parametrize(("n", "words"), [("60", ["60", "59", "digits"]), ("0", ["0", "digits"]), ("x", ["'x'"])])
def test_number_held_out_that_cannot_be_is_refused(refused, small, n, words):
    refused([*options("mnist", small), "--validation", n], *words)


@pytest.mark.parametrize("option", ["--limit", "--validation"])
def test_experiments_that_make_their_examples_take_no_part_of_them(refused, small, option):
    refused([*options("linear", small), option, "5"], option, "makes its own examples", "--set examples")


@pytest.mark.parametrize("name", ["digits", "linaer"])
def test_experiments_that_make_their_examples_take_no_other_data(refused, small, name):
    refused([*options("linear", small), "--data", name], f"data '{name}'", "linear", "makes its own")


# Again


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("linear", {"conditions": "node_perturbation,backprop"}),
        ("deep", {"set": "target_width=0.123456789", "seed": "4"}),
        ("phases", {"conditions": "together", "set": "q_width=0.30000000000000004"}),
        ("mnist", {"validation": "20", "conditions": "sparse_feedback_alignment"}),
        ("spiking", {"set": "dt=0.7*ms"}),
    ],
)
def test_from_repeats_a_run_to_the_last_digit(command, small, name, more):
    """All that the run was asked for is repeated: settings, however many digits they have, conditions, seed, data."""
    extra = [word for option, value in more.items() for word in (f"--{option}", value)]
    status, first_out, err = command(*options(name, small, epochs="1"), *extra, "--out", "first")
    assert status == 0, err
    status, out, err = command("run", "--from", "first", "--out", "again")
    assert status == 0, err
    first, again = Run.open("first"), Run.open("again")
    assert (first.folder / "metrics.csv").read_bytes() == (again.folder / "metrics.csv").read_bytes()
    assert (first.folder / "summary.json").read_bytes() == (again.folder / "summary.json").read_bytes()
    for file in ("weights.npz", "traces.npz"):
        for key, (array, _) in first.arrays(file).items():
            np.testing.assert_array_equal(array, again.arrays(file)[key][0], err_msg=key)
    for record in (first.record, again.record):
        del record["times"], record["host"], record["versions"]
    assert again.record["data"]["asked"].pop("repeats") == "first"
    assert first.record == again.record
    said = [line.replace("again/", "first/") for line in out.splitlines() if not line.startswith("note ")]
    assert said == first_out.splitlines()  # a note is said where there was a commit meanwhile


def test_from_notes_other_versions(command, copied):
    record = json.loads((copied / "run.json").read_text())
    record["versions"]["numpy"] = "1.0.0"
    (copied / "run.json").write_text(json.dumps(record))
    status, out, _ = command("run", "--from", copied, "--out", "again")
    assert status == 0 and f"note      numpy was 1.0.0, is {np.__version__}" in out


def changed(copied, change):
    record = json.loads((copied / "run.json").read_text())
    change(record)
    (copied / "run.json").write_text(json.dumps(record))


def test_from_refuses_other_data_and_other_parameters(refused, copied):
    changed(copied, lambda record: record["data"].update(sha256="0" * 64))
    refused(["run", "--from", copied], copied, "other data", "0" * 12)
    changed(copied, lambda record: record["parameters"].pop("eta"))
    refused(["run", "--from", copied], copied, "parameters", "eta")


def test_finished_run_is_not_resumed(refused, copied):
    before = contents(copied)
    refused(["run", "--resume", copied], copied, "finished", f"--from {copied}")
    assert contents(copied) == before


@pytest.mark.parametrize("again", ["--resume", "--from"])
@pytest.mark.parametrize(
    ("extra", "word"),
    [([MODEL], "MODEL"), (["--set", "eta=1"], "--set"), (["--seed", "1"], "--seed"), (["--limit", "9"], "--limit")],
)
def test_run_again_takes_no_other_settings(refused, copied, again, extra, word):
    line = refused(["run", again, copied, *extra], again, word)
    assert "settings" not in line, "options are named as they are typed"


@pytest.mark.parametrize("again", ["--resume", "--from"])
def test_run_again_needs_a_run(refused, again, tmp_path):
    refused(["run", again, tmp_path / "nowhere"], "nowhere", "run.json")
    refused(["run", again], again)


def test_resume_and_from_exclude_each_other(refused, copied):
    refused(["run", "--resume", copied, "--from", copied], "--from")


def test_from_needs_another_folder_than_its_origin(refused, copied):
    changed(copied, lambda record: record.update(versions=versions()))  # a commit meanwhile would be noted
    before = contents(copied)
    refused(["run", "--from", copied, "--out", copied], copied, "--force")
    assert contents(copied) == before


# Report


def test_report_prints_a_table_of_all_conditions(command, small_run):
    run = small_run("linear")
    status, out, err = command("report", run.folder)
    assert (status, err) == (0, "")
    summary = json.loads((run.folder / "summary.json").read_text())
    for condition, splits in summary["final"].items():
        rows = [line for line in out.splitlines() if line.startswith("|") and condition.replace("_", r"_") in line]
        assert any(f"{splits['test']['mean']:.3g}" in row for row in rows), condition
    assert "lillicrap_2016.linear" in out


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_report_of_several_runs_is_written_into_a_file(command, finished, small_run, suffix):
    folders = [finished[0], small_run("mnist").folder]
    status, out, err = command("report", *folders, "--out", f"page.{suffix}")
    assert (status, err) == (0, "") and out.strip().endswith(f"page.{suffix}")
    text = Path(f"page.{suffix}").read_text()
    assert "lillicrap_2016.spiking" in text and "lillicrap_2016.mnist" in text


def test_report_of_what_is_no_run_is_refused(refused, tmp_path):
    refused(["report", tmp_path / "nowhere"], "nowhere", "run.json")
    refused(["report"], "FOLDER")
