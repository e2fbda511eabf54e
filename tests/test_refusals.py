"""What does not fit is refused where it is given, in one line, and not in the middle of a run."""

import subprocess
import sys

import numpy as np
import pytest
from brian2 import Clock, ms

import neurosim
from neurosim import EquationError, ParameterError, Population, Presentation, Projection, Uniform
from neurosim.analysis import mean_interval
from neurosim.neurons import NeuronType
from neurosim.runs import Run

SPIKES = NeuronType("s : 1", spike="s")
DRIVEN = NeuronType("drive : 1\nm : 1")


def pair(model=DRIVEN, **options):
    return Population(2, SPIKES, order=0, **options), Population(2, model, order=1, **options)


def projection(pre, post, **changes):
    return Projection(pre, post, **{"transmit": "drive_post = w * s_pre", "weights": np.eye(2), **changes})


def test_source_and_target_on_two_clocks():
    pre = Population(2, SPIKES, order=0, clock=Clock(1 * ms))
    post = Population(2, DRIVEN, order=1, clock=Clock(1 * ms))
    with pytest.raises(ParameterError, match="share one clock"):
        projection(pre, post)


def test_presentation_on_another_clock_than_the_population():
    pre, _ = pair()
    with pytest.raises(ParameterError, match="another clock"):
        Presentation(1 * ms, clock=Clock(1 * ms)).clamp(pre, "s", np.eye(2))


def test_integer_target():
    with pytest.raises(EquationError, match="'drive' is no real number"):
        projection(*pair(NeuronType("drive : integer")))


@pytest.mark.parametrize("n", [1, 2])
def test_variable_shared_by_the_group(n):
    pre = Population(n, SPIKES, order=0)
    post = Population(n, NeuronType("drive : 1\ng : 1 (shared)"), order=1)
    with pytest.raises(EquationError, match="'g_post' does not exist here"):
        Projection(pre, post, "g_post = w * s_pre", weights=np.eye(n))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": Uniform(0.1), "seed": -1}, "seed"),
        ({"weights": "abc"}, "real numbers"),
        ({"weights": np.eye(2) * 1j}, "real numbers"),
        ({"rule": "w += s_pre / 0"}, "not finite"),
        ({"rule": "w += k * s_pre", "namespace": {"k": np.ones(2)}}, "'k' must be one number"),
        ({"rule": "w += k * s_pre", "namespace": {"k": "2"}}, "'k' must be one number"),
    ],
)
def test_arguments_of_a_projection(changes, words):
    with pytest.raises((ParameterError, EquationError), match=words):
        projection(*pair(), **changes)


@pytest.mark.parametrize(
    ("values", "rows", "words"),
    [(np.eye(2), [], "whole numbers"), (np.eye(2), [0.5], "whole numbers"), ([[0, np.nan]], None, "finite")],
)
def test_values_to_clamp(values, rows, words):
    pre, _ = pair()
    with pytest.raises(ParameterError, match=words):
        Presentation(pre.clock.dt).clamp(pre, "s", values, rows=rows)


def test_precision_without_a_kernel():
    with pytest.raises(ParameterError, match="float32 or float64"):
        pair(dtype=np.float16)


def test_more_neurons_or_synapses_than_memory_holds():
    with pytest.raises(ParameterError, match=r"Population .*more memory than the machine has"):
        Population(10**15, SPIKES, order=0)
    pre, post = (Population(10**7, model, order=k) for k, model in enumerate((SPIKES, DRIVEN)))
    with pytest.raises(ParameterError, match=r"weights: 1 x 10000000 x 10000000 values need 4e\+05 GB"):
        projection(pre, post, weights=Uniform(1), seed=1)


def test_one_seed_sequence_gives_the_same_weights_twice():
    seed = np.random.SeedSequence(5)
    pre, post = pair(replicas=2)
    first, second = (projection(pre, post, weights=Uniform(1), seed=seed).w for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1]), "replicas draw apart"


def test_every_public_name_is_there():
    for name in neurosim.__all__:
        assert getattr(neurosim, name) is not None


def test_disk_that_fills_up_ends_the_run_as_failed_with_one_line(tmp_path):
    """In a process of its own, with a limit on the size of files: weights.npz does not fit any more."""
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)); "
    code += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from neurosim.cli import main; main()"
    run = ["run", "lillicrap_2016.spiking", "--replicas", "1", "--epochs", "1", "--limit", "100"]
    found = subprocess.run(
        [sys.executable, "-c", code, *run, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, "not a crash"
    assert found.stderr.splitlines()[-1].startswith("neurosim: ") and "weights.npz" in found.stderr
    assert "Traceback" not in found.stderr
    record = Run.open(tmp_path / "run").record
    assert record["status"] == "failed" and "weights.npz" in record["reason"]


def test_ctrl_c_while_brian2_loads_is_one_line():
    """The command line is there before anything heavy is loaded."""
    code = "import sys, neurosim.cli; sys.exit(any(name in sys.modules for name in ('numpy', 'brian2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_output_that_cannot_be_written_is_one_line():
    code = "from neurosim.cli import main; main(['list'])"
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert found.returncode == 1 and len(found.stderr.splitlines()) == 1, found.stderr


def test_interval_of_an_error_ends_where_errors_do():
    found = mean_interval([0.01, 0.3], within=(0, 1))
    assert found.low == 0 < found.mean < found.high == 1
