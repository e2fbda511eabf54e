"""Which OpenBLAS kernels are named, by processor."""

import os
import subprocess
import sys

import pytest

from neurosim import blas

FLAGS = "fpu avx2 avx512f avx512bw avx512cd avx512dq avx512vl"


def cpuinfo(tmp_path, vendor="AuthenticAMD", family=26, flags=FLAGS):
    path = tmp_path / "cpuinfo"
    one = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"
    path.write_text(f"{one}\n{one}")
    return path


@pytest.fixture
def before_numpy(monkeypatch):
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "numpy")
    yield
    os.environ.pop(blas.VARIABLE, None)


def test_zen_5_gets_the_kernels_for_avx512(tmp_path, before_numpy):
    assert blas.name_kernels(cpuinfo(tmp_path)) == "SkylakeX"


@pytest.mark.parametrize(
    "other", [{"vendor": "GenuineIntel"}, {"family": 25}, {"flags": "fpu avx2"}, {"flags": FLAGS.replace("vl", "")}]
)
def test_other_processors_are_left_to_openblas(tmp_path, before_numpy, other):
    assert blas.name_kernels(cpuinfo(tmp_path, **other)) is None


def test_what_the_user_has_named_stays(tmp_path, before_numpy, monkeypatch):
    monkeypatch.setenv(blas.VARIABLE, "Zen")
    assert blas.name_kernels(cpuinfo(tmp_path)) == "Zen"


def test_nothing_is_named_once_numpy_is_loaded_or_without_cpuinfo(tmp_path, monkeypatch):
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    assert blas.name_kernels(cpuinfo(tmp_path)) is None, "too late to change anything"
    monkeypatch.delitem(sys.modules, "numpy")
    assert blas.name_kernels(tmp_path / "none") is None


def test_the_command_line_is_there_before_numpy():
    code = "import sys, neurosim.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
