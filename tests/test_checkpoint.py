"""What is stored is all there is: a run cut anywhere, and taken up by another process, ends bit for bit the same."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import brian2
import numpy as np
import pytest
from brian2 import (
    Clock,
    Hz,
    Network,
    NetworkOperation,
    NeuronGroup,
    SpikeGeneratorGroup,
    SpikeMonitor,
    StateMonitor,
    Synapses,
    ms,
)

from neurosim import ParameterError, Population, Presentation, Projection, Uniform, checkpoint, neurons
from neurosim.checkpoint import network_state, pack, read, set_network_state, unpack, write
from neurosim.connectivity import Convolution, Dense, Masked, Random, Transposed
from neurosim.errors import RunError
from neurosim.neurons import NeuronType
from neurosim.recording import Alignment, Guard, Readout, SquaredError, Window
from neurosim.target import continued_draws, global_draws, set_global_draws

STEPS = 20
NOISY = NeuronType(
    equations="""
    dv/dt = (drive + late - v) / tau + 0.3 * xi * tau**-0.5 : 1
    drive : 1
    late : 1
    s : 1
    m : 1
    kept : 1
    target : 1
    guess : 1
    """,
    update="""
    s = int(rand() < 0.5 * (1 + tanh(v)))
    m = 0.2 * randn() + 0.1 * v
    """,
    spike="s",
    method="euler",
)
TRACES = """
dtrace/dt = (s_pre * v_post - trace) / tau_e : 1
total : 1 (shared)
total += 0.1 * s_pre * m_post / lanes
dw/dt = eta * trace * m_post + 0.1 * eta * total
"""


class Everything:
    """A network with all that has a memory: built anew, it is the same."""

    def __init__(self, lanes, replicas=2):
        self.clock = clock = Clock(1 * ms)
        shape = dict(replicas=replicas, lanes=lanes, clock=clock)
        constants = {"tau": 5 * ms, "p_max": 0.9}
        rates = {"eta": 20 * Hz, "decay": 8 * Hz, "tau_e": 3 * ms}
        x = Population(8, neurons.BERNOULLI_INPUT, order=0, namespace=constants, name="x", **shape)
        h = Population(6, NOISY, order=1, namespace=constants, name="h", **shape)
        y = Population(4, NOISY, order=2, namespace=constants, name="y", **shape)
        d = Population(5, NOISY, order=0, namespace=constants, name="d", dtype=np.float64, **shape)
        self.populations = x, h, y, d
        shown = Presentation({"free": 2 * ms, "nudged": 1 * ms}, clock=clock, name="shown")
        self.shown = shown
        draw = np.random.default_rng(0)
        forward = dict(weights=Uniform(0.8), namespace=rates, seed=1)
        decaying = "dw/dt = eta * s_pre * m_post - decay * w"
        W = Projection(x, h, "drive_post = w * s_pre", decaying, name="W", **forward)
        mask = Masked(draw.random((6, 4)) < 0.7)
        M = Projection(
            h, y, "drive_post = w * s_pre", TRACES, connectivity=mask, bounds=(-1, 1), name="M", **forward
        )  # fmt: skip
        back = Projection(
            y, h, "drive_post = w * m_pre", weights=Uniform(0.5), seed=2, name="back"
        )  # later in the sweep than its target: its contribution waits for the next step
        transposed = Projection(y, h, "late_post = w * s_pre", connectivity=Transposed(M), name="transposed")
        steady = Projection(
            x, y, "late_post = w * x_pre\nm_post = abs(w) * x_pre", "w -= 0.1 * w", when=shown.end("nudged"),
            weights=Uniform(0.5), seed=3, name="steady",
        )  # fmt: skip
        kernel = Convolution((4, 2, 1), (3, 1), 3, padding="valid")
        C = Projection(
            x, Population(12, NOISY, order=1, namespace=constants, name="c", **shape), "drive_post = w * s_pre",
            "w += 0.05 * s_pre * m_post / lanes", connectivity=kernel, weights=Uniform(0.4), seed=4, name="C",
        )  # fmt: skip
        listed = Projection(
            d, d, "drive_post = w * s_pre", {"step": TRACES, "pre": "w += 0.01 * v_post"}, weights=Uniform(0.4), seed=5,
            connectivity=Random(0.6, store="list"), name="listed", namespace=rates,
        )  # fmt: skip
        nudged = Projection(
            d, d, "late_post = w * kept_pre", "w += 0.05 * kept_pre * m_post / lanes", when=shown.end("nudged"),
            weights=Uniform(0.3), seed=6, connectivity=Dense(), name="nudged", dale=None,
        )  # fmt: skip
        self.projections = W, M, back, transposed, steady, C, listed, nudged
        shown.gate(W, "free")
        shown.keep(d, "v", into="kept", phase="free")
        shown.by_phase(y, "target", {"free": 0.0, "nudged": 0.5})
        self.readout = Readout(shown, y, "v", 2)
        self.errors = SquaredError(shown, y)
        self.windows = [
            Window(shown, {"x.s": (x, "s", [0, 1]), "y.v": (y, "v", [2])}, 2, keep, name=f"window_of_the_{keep}")
            for keep in ("first", "last")
        ]
        self.alignment = Alignment(shown, {"h": (back, M)})
        self.network = Network(
            *self.populations, C.target, *self.projections, shown, self.readout, self.errors, *self.windows,
            self.alignment, Guard.of(self.projections),
        )  # fmt: skip
        labels = np.arange(9) % 2
        shown.clamp(x, "x", draw.random((9, 8)))
        self.readout.expect(labels)
        shown.show(draw.integers(9, size=(-(-STEPS // 3), replicas, lanes)))

    def run(self, steps):
        self.network.run(steps * self.clock.dt)

    def results(self):
        """What a run gives, with all that the next step depends on."""
        found = network_state(self.network)
        found["t"] = np.round(found["t"] / self.clock.dt_)  # brian2 adds up the runs' durations; its clocks count steps
        found |= {f"trace {w.keep} {name}": array for w in self.windows for name, array in w.arrays().items()}
        return found | {
            "error": self.readout.error,
            "nse": self.errors.error,
            "angles": np.array(self.alignment.angles),
        }


def assert_same(first, second):
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def begin(lanes):
    brian2.seed(7)
    return Everything(lanes)


def whole(lanes):
    with continued_draws():
        everything = begin(lanes)
        everything.run(STEPS)
    return everything.results()


@pytest.mark.parametrize("lanes", [1, 3])
def test_run_does_not_depend_on_where_it_is_cut(lanes):
    """Into pieces, by a stop, and after every single step."""
    expected = whole(lanes)
    changed = {
        "W/w",
        "W/scale",
        "M/w",
        "M/variable trace",
        "M/variable total",
        "listed/w",
        "nudged/w",
        "C/w",
        "steady/w",
    }
    start = network_state(begin(lanes).network)
    assert {name for name in start if not np.array_equal(start[name], expected[name])} >= changed - {"steady/w"}
    for pieces in ([3, STEPS - 3], [7, 1, STEPS - 8], [1] * STEPS):
        with continued_draws():
            everything = begin(lanes)
            for steps in pieces:
                everything.run(steps)
        assert_same(everything.results(), expected)


def test_stop_in_the_middle_of_a_run_is_such_a_cut():
    expected = whole(3)
    everything = begin(3)
    stops = NetworkOperation(
        lambda: everything.network.stop() if everything.shown._next in (4, 11) else None,
        clock=everything.clock,
        when="end",
    )
    everything.network.add(stops)
    with continued_draws():
        while left := STEPS - everything.shown._next:
            everything.run(left)
    assert_same(everything.results(), expected)


@pytest.mark.parametrize("lanes", [1, 3])
def test_state_set_back_repeats_what_followed(lanes):
    with continued_draws() as draws:
        everything = begin(lanes)
        everything.run(4)
        for more in (1, 6):  # within the presentation that is going on, and beyond it
            state, generators, others = network_state(everything.network), draws.state(), global_draws()
            everything.run(more)
            expected = everything.results()
            for further in (2, 0):  # what happened since is undone
                everything.run(further)
                set_network_state(everything.network, state)
                draws.set_state(generators)
                set_global_draws(others)
                everything.run(more)
                assert_same(everything.results(), expected)


def keep(folder, number, everything, draws):
    parts = {"network": network_state(everything.network), "draws": draws.state(), "numpy": global_draws()}
    write(folder, number, {"steps": everything.shown._next}, pack(parts))


def go_on(folder, lanes):
    """What a new process does: build, read, set, run to the end; returns the results."""
    brian2.seed(1234)
    np.random.rand(5)
    for _ in range(3):
        Clock(1 * ms), Presentation(1 * ms)  # what takes the default names
    everything, found = Everything(lanes), read(folder)
    parts = unpack(found.arrays)
    set_network_state(everything.network, parts["network"])
    draws = continued_draws()
    draws.set_state(parts["draws"])
    set_global_draws(parts["numpy"])
    with draws:
        everything.run(STEPS - found.header["steps"])
    return everything.results()


@pytest.mark.parametrize(("lanes", "steps"), [(1, 7), (3, 5)])
def test_another_process_goes_on_bit_for_bit(tmp_path, lanes, steps):
    with continued_draws() as draws:
        everything = begin(lanes)
        everything.run(steps)
        keep(tmp_path, 1, everything, draws)
        everything.run(STEPS - steps)
    out = tmp_path / "results.npz"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import brian2; brian2.prefs.codegen.target = 'numpy'\n"
        "import numpy, test_checkpoint as t\n"
        "numpy.savez(sys.argv[4], **t.go_on(sys.argv[2], int(sys.argv[3])))"
    )
    arguments = [str(Path(__file__).parent), str(tmp_path), str(lanes), str(out)]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with np.load(out) as results:
        assert_same(dict(results), everything.results())
    assert_same(everything.results(), whole(lanes))


def test_state_is_a_copy_and_folds_nothing():
    everything = begin(3)
    everything.run(3)
    state = network_state(everything.network)
    W = everything.projections[0]
    assert state["W/scale"] == W.scale != 1 and np.array_equal(state["W/w"], W.stored)
    before = {name: values.copy() for name, values in state.items()}
    everything.run(3)
    assert_same(state, before)


# What does not fit


def small(lanes=2, dtype=np.float32, n=3, dt=1, **rule):
    clock = Clock(dt * ms)
    shape = dict(lanes=lanes, dtype=dtype, clock=clock)
    x = Population(2, neurons.BERNOULLI_INPUT, order=0, namespace={"p_max": 1.0}, name="x", **shape)
    h = Population(n, neurons.BERNOULLI, order=1, namespace={"tau": 5 * ms}, name="h", **shape)
    return Network(x, h, Projection(x, h, "drive_post = w * s_pre", weights=Uniform(0.5), seed=1, name="W", **rule))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (dict(lanes=3), ("x/_spikespace", "(5,)", "(7,)")),
        (dict(dtype=np.float64), ("float32", "float64")),
        (dict(n=4), ("(1, 2, 3)", "(1, 2, 4)")),
        (dict(dt=2), ("clock*/dt", "0.001", "0.002")),
        (dict(rule="trace : 1\ntrace += s_pre"), ("W", "has variable trace")),
    ],
)
def test_state_of_another_network_is_refused_and_nothing_is_set(other, words):
    network = small()
    before = network_state(network)
    with pytest.raises(ParameterError) as caught:
        set_network_state(network, network_state(small(**other)))
    assert all(word in str(caught.value) for word in words)
    assert_same(network_state(network), before)


def test_missing_and_foreign_objects_are_named():
    network = small()
    state = network_state(network)
    for change, words in (
        ({"z/v": np.zeros(3)}, "it has z"),
        ({"t": None}, "it lacks the time"),
        ({"W/w": None}, "not that of W: it lacks w"),
        ({"h/v": None, "h/u": np.zeros(6)}, "not that of h: it lacks v; it has u"),
    ):
        other = {name: values for name, values in {**state, **change}.items() if values is not None}
        with pytest.raises(ParameterError, match=words):
            set_network_state(network, other)


def test_presentation_cannot_go_on_beyond_what_is_shown():
    shown = Presentation(2 * ms, clock=Clock(1 * ms))
    shown.show([[0], [0]])
    for steps in (-1, 5):
        with pytest.raises(ParameterError, match=f"2 presentations of 2 steps cannot go on from step {steps}"):
            shown.set_state({"next": np.array(steps), "begun": np.array(0)})
    shown.set_state({"next": np.array(3), "begun": np.array(0)})
    assert (shown.index, shown.step) == (1, 0) and shown.remaining == 1 * ms


def test_objects_that_cannot_be_stored_are_named():
    group = NeuronGroup(2, "v : 1", threshold="v > 1", name="group")
    synapses = Synapses(group, group, on_pre="v += 1", name="wires")
    synapses.connect()
    for each in (synapses, SpikeGeneratorGroup(1, [0], [1] * ms, name="generator")):
        with pytest.raises(ParameterError, match=f"{each.name}.*cannot be kept in a checkpoint"):
            network_state(Network(group, each))


@pytest.mark.parametrize("kind", ["population", "projection", "window"])
def test_objects_whose_order_a_default_name_would_decide_need_a_name(kind):
    network = small()
    x = next(each for each in network.objects if each.name == "x")
    more = {
        "population": lambda: [Population(1, neurons.BIAS, order=0, clock=x.clock)],
        "projection": lambda: [Projection(x, x, "x_post = s_pre")],
        "window": lambda: [Window(Presentation(x.clock.dt, clock=x.clock), {}, 1, "first") for _ in range(2)],
    }
    network.add(more[kind]())
    with pytest.raises(ParameterError, match=f"{kind}.*needs a name of its own"):
        network_state(network)


def test_groups_and_monitors_of_brian2_are_stored():
    """Also arrays that grow, into monitors that hold less or more."""

    def build():
        clock = Clock(1 * ms, name="beat")
        group = NeuronGroup(3, "dv/dt = 0.4 / ms : 1 (unless refractory)", threshold="v > 1", reset="v = 0",
                            refractory=2 * ms, method="euler", clock=clock, name="group")  # fmt: skip
        group.v = [0, 0.3, 0.6]
        spikes, traces = SpikeMonitor(group, name="spikes"), StateMonitor(group, "v", [0, 2], name="traces")
        return Network(group, spikes, traces), spikes, traces

    network, spikes, traces = build()
    network.run(6 * ms)
    state = network_state(network)
    assert {"group/lastspike", "group/_spikespace", "spikes/i", "traces/v"} <= set(state)
    network.run(7 * ms)
    expected = network_state(network)
    for start in (0, 10):
        other, spikes, traces = build()
        other.run(start * ms)
        set_network_state(other, state)
        other.run(7 * ms)
        assert_same(network_state(other), expected)
        assert len(spikes.i) == spikes.num_spikes > 5 and traces.v.shape == (2, 13)


# Files

ARRAYS = {
    "network/h/v": np.linspace(-1, 1, 40).astype(np.float32),
    "scale": np.array(0.1 + 0.2),
    "none": np.zeros((0, 3), np.int64),
    "whole/numbers": np.arange(12, dtype=np.uint64).reshape(3, 4) << np.uint64(50),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    header = {"epoch": 3, "errors": [0.1 + 0.2, 1e-300, float("nan")], "n": np.int64(4), "list": np.arange(3)}
    write(tmp_path / "new", 7, header, ARRAYS)
    found = read(tmp_path / "new")
    assert found.number == 7 and found.complaints == ()
    assert found.header["errors"][:2] == header["errors"][:2] and np.isnan(found.header["errors"][2])
    assert (found.header["n"], found.header["list"]) == (4, [0, 1, 2])
    assert_same(found.arrays, ARRAYS)
    assert all(found.arrays[name].dtype == values.dtype for name, values in ARRAYS.items())
    assert os.listdir(tmp_path / "new") == ["checkpoint-000007.bin"]


def test_first_line_says_what_the_file_is(tmp_path):
    write(tmp_path, 1, {"epoch": 3}, ARRAYS)
    content = (tmp_path / "checkpoint-000001.bin").read_bytes()
    line, rest = content.split(b"\n", 1)
    known = json.loads(line)
    assert known["format"] == 1 and known["bytes"] == len(rest) and known["header"] == {"epoch": 3}
    assert set(known) == {"format", "neurosim", "sha256", "bytes", "header"}


def test_two_newest_are_kept_and_what_a_killed_write_left_is_removed(tmp_path):
    for number in (1, 2, 3):
        write(tmp_path, number, {"k": number}, ARRAYS)
    (tmp_path / ".checkpoint-000004.bin.99").write_bytes(b"half of it")
    (tmp_path / "notes.txt").write_text("not ours")
    assert read(tmp_path).header == {"k": 3} and read(tmp_path).complaints == ()
    write(tmp_path, 4, {"k": 4}, ARRAYS)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-000003.bin", "checkpoint-000004.bin", "notes.txt"]


def test_next_after_a_damaged_one_takes_its_place(tmp_path):
    for number in (1, 2):
        write(tmp_path, number, {"k": number}, ARRAYS)
    (tmp_path / "checkpoint-000002.bin").write_bytes(b"")
    write(tmp_path, read(tmp_path).number + 1, {"k": "again"}, ARRAYS)
    assert read(tmp_path).header == {"k": "again"} and len(os.listdir(tmp_path)) == 2
    write(tmp_path, 1, {"k": "from the start"}, ARRAYS)
    assert os.listdir(tmp_path) == ["checkpoint-000001.bin"] and read(tmp_path).header == {"k": "from the start"}


def test_there_may_be_none(tmp_path):
    assert read(tmp_path) is None and read(tmp_path / "nowhere") is None


def test_every_single_bit_that_is_wrong_is_noticed(tmp_path):
    """One bit in every byte of the file in turn: the file is named and the one before is taken."""
    small = {"v": np.arange(3.0)}
    for number in (1, 2):
        write(tmp_path, number, {"k": number}, small)
    path = tmp_path / "checkpoint-000002.bin"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        found = read(tmp_path)
        assert found.header == {"k": 1}, place
        assert len(found.complaints) == 1 and "checkpoint-000002.bin" in found.complaints[0]
    path.write_bytes(content)
    assert read(tmp_path).header == {"k": 2}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "empty"),
        (lambda content: content[:20], "first line cannot be read"),
        (lambda content: content[: content.index(b"\n") + 1], "0 bytes follow"),
        (lambda content: content[: len(content) // 2], "bytes follow the first line"),
        (lambda content: content[:-1], "bytes follow the first line"),
        (lambda content: content + b"x", "bytes follow the first line"),
        (lambda content: content.replace(b'"format": 1', b'"format": 2'), "format 1"),
        (lambda content: content[:-40] + bytes(40), "SHA-256"),
        (lambda content: b"\n" + content, "first line cannot be read"),
        (lambda content: b"[1, 2]\n" + content, "not a checkpoint"),
        (lambda content: b'{"format": 1}\n' + content, "incomplete"),
        (lambda content: bytes(len(content)), "first line cannot be read"),
        (lambda content: b"\xff\xfe" + content, "first line cannot be read"),
    ],
)
def test_damage_is_named_and_the_one_before_is_taken(tmp_path, damage, words):
    for number in (1, 2):
        write(tmp_path, number, {"k": number}, ARRAYS)
    path = tmp_path / "checkpoint-000002.bin"
    path.write_bytes(damage(path.read_bytes()))
    found = read(tmp_path)
    assert found.header == {"k": 1} and found.number == 1
    assert_same(found.arrays, ARRAYS)
    (complaint,) = found.complaints
    assert str(path) in complaint and words in complaint and "\n" not in complaint


def test_what_cannot_be_opened_is_named(tmp_path):
    write(tmp_path, 1, {"k": 1}, ARRAYS)
    (tmp_path / "checkpoint-000002.bin").mkdir()
    assert "cannot be read: Is a directory" in read(tmp_path).complaints[0]


def test_nothing_but_damaged_ones_is_an_error_that_names_all(tmp_path):
    for number in (1, 2):
        write(tmp_path, number, {}, ARRAYS)
        (tmp_path / f"checkpoint-00000{number}.bin").write_bytes(b"")
    with pytest.raises(ParameterError, match=r"no checkpoint is whole: .*000002.bin: empty; .*000001.bin: empty"):
        read(tmp_path)


def test_objects_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="'x'.*objects"):
        write(tmp_path, 1, {}, {"x": np.array([{}])})
    with pytest.raises(ParameterError, match="JSON.*PosixPath|JSON.*WindowsPath"):
        write(tmp_path, 1, {"folder": tmp_path}, ARRAYS)
    assert read(tmp_path) is None and os.listdir(tmp_path) == []


def test_full_disk_is_one_line_and_leaves_the_one_before(tmp_path, monkeypatch):
    write(tmp_path, 1, {"k": 1}, ARRAYS)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(RunError, match="checkpoint-000002.bin: cannot be written: no room on the disk"):
        write(tmp_path, 2, {"k": 2}, ARRAYS)
    assert os.listdir(tmp_path) == ["checkpoint-000001.bin"] and read(tmp_path).header == {"k": 1}


LIMITED = """
import resource, signal, sys
import numpy as np
from neurosim.checkpoint import write
from neurosim.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write(sys.argv[1], 2, {}, {"large": np.zeros(10**6), "small": np.zeros(3)})
except RunError as error:
    print(error)
"""


def test_disk_that_fills_up_in_the_middle_is_one_line_too(tmp_path):
    pytest.importorskip("resource")
    write(tmp_path, 1, {"k": 1}, ARRAYS)
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True)
    assert "checkpoint-000002.bin: cannot be written: File too large" in ended.stdout, ended.stderr
    assert os.listdir(tmp_path) == ["checkpoint-000001.bin"]


KILLED = """
import sys
import numpy as np
from neurosim.checkpoint import write
arrays = {str(k): np.full(200_000, k, float) for k in range(8)}
print("ready", flush=True)
for number in range(1, 10**6):
    write(sys.argv[1], number, {"number": number}, {name: a + number for name, a in arrays.items()})
"""


def test_killed_at_any_moment_a_whole_one_is_left(tmp_path):
    """SIGKILL in the middle of writing one after another: what is read is whole, and as it was written."""
    for delay in (0.3, 0.35, 0.41):
        folder = tmp_path / str(delay)
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.communicate()
        found = read(folder)
        assert found.complaints == () and found.number == found.header["number"]
        for name, values in found.arrays.items():
            assert (values == int(name) + found.number).all()
        write(folder, found.number + 1, {}, ARRAYS)
        assert len(os.listdir(folder)) == 2
