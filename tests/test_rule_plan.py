"""explain() says what each term became and what it costs; kernels are kept in a folder, one for each structure."""

import numpy as np
import pooch
import pytest
from brian2 import Network, check_units
from numba import njit
from wiring import cells

from neurosim import Kernel, Presentation, Projection
from neurosim.connectivity import AllToAllButSelf, Convolution, Dense, Masked, Transposed
from neurosim.plasticity import compile as compiling
from neurosim.plasticity.library import Rule

ROWS, COLUMNS = 20, 30
CUBIC = "w += a * m_pre * v_post * (1 - w**3)"
OURS = Rule("our rule", CUBIC)


def join(rule=None, lanes=5, replicas=2, transmit="drive_post = w * m_pre", dtype=np.float32, weights=None,
         sizes=(ROWS, COLUMNS), **more):  # fmt: skip
    a, b = cells(sizes[0], 0, lanes, replicas, dtype), cells(sizes[1], 1, lanes, replicas, dtype)
    weights = np.full(sizes, 0.5) if weights is None else weights
    return Projection(a, b, transmit, rule=rule, weights=weights, **more)


def plan(p, start):
    """The line of the plan that starts with these words, without them."""
    lines = [line.strip() for line in p.explain().splitlines()]
    found = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert len(found) == 1, f"{start!r} in\n{p.explain()}"
    return found[0]


# explain


def test_costs_of_a_product_over_lanes_are_those_counted_by_hand():
    """20 x 30 weights in 2 replicas are 1200 floats, 4.8 kB; with 5 lanes a product has 6000 multiplications."""
    p = join("w += 0.25 * m_pre * v_post - 0.001 * w")
    assert plan(p, "w: ") == "0.0048 MB"
    assert plan(p, "w * m_pre: ") == "matrix product over lanes; 12 kflop a step"
    # read and written: 2 x 4.8 kB
    assert plan(p, "0.25 * m_pre * v_post: ").endswith("added to the weights in place; 9.6 kB, 12 kflop a step")
    assert "one factor for all weights" in plan(p, "-0.001 * w: ")
    double = join("w += 0.25 * m_pre * v_post", dtype=np.float64)
    assert plan(double, "0.25 * m_pre * v_post: ").endswith("19.2 kB, 12 kflop a step")


def test_costs_of_variables_in_lanes_and_summed_are_those_counted_by_hand():
    """elig in 5 lanes, mom summed, w: 7 arrays of 4.8 kB, read and written: 67.2 kB.

    Operations a synapse: 3 for elig and 2 for its part of w in each lane, 2 for mom and 1 for w: 28, times 1200.
    """
    p = join("""elig : 1
                mom : 1
                elig = 0.5 * elig + m_pre * m_post
                mom = 0.9 * mom + m_pre * v_post
                w += elig * v_post
                w += mom""")
    assert plan(p, "elig: ") == "kept lanes, 0.024 MB" and plan(p, "mom: ") == "kept summed, 0.0048 MB"
    assert plan(p, "one fused pass") == "; 67.2 kB, 33.6 kflop a step"
    assert plan(p, "mom = m_pre * v_post: ") == "matrix product over lanes, tile by tile; 12 kflop a step"
    assert "every lane" in plan(p, "w += elig * v_post: ") and "elementwise" in plan(p, "w += mom: ")


def test_costs_of_a_list_are_those_of_its_synapses_and_not_of_the_pairs():
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask.ravel()[:100] = True
    settings = dict(replicas=1, weights=np.ones(100), connectivity=Masked(mask, "list"))
    one = join("w += m_pre * m_post", lanes=1, **settings)
    assert plan(one, "m_pre*w: ").endswith("400 B, 200 flop a step") and "100 synapses" in one.explain()
    many = join("w += m_pre * m_post * (1 - w)", lanes=5, **settings)
    assert plan(many, "w * m_pre: ").endswith("1 kflop a step")
    assert plan(many, "one fused pass, a list of synapses; ") == "800 B, 400 flop a step"  # P * (c + k * w), added


def test_costs_of_a_convolution_are_those_of_its_windows():
    """4 x 4 pixels, kernel 3 x 3, 2 channels out: 4 positions of 9 taps and 2 channels, 5 lanes, 2 replicas."""
    kind = Convolution((4, 4, 1), 3, 2)
    p = join("w += m_pre * m_post", sizes=(16, 8), weights=np.ones((3, 3, 1, 2)), connectivity=kind)
    assert (
        plan(p, "w * m_pre: ")
        == f"matrix products over the windows of image after image; {2 * 4 * 9 * 2 * 5 * 2 / 1000} kflop a step"
    )
    assert f"{4 * 9 * 2 * 2} synapses" in p.explain()


def test_synapses_of_masks_that_differ_between_replicas_are_all_counted():
    mask = np.zeros((3, ROWS, COLUMNS), bool)
    mask.ravel()[:7] = mask[2, 0, :4] = True
    assert ", 11 synapses," in join(replicas=3, connectivity=Masked(mask)).explain()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(lanes=1), ["w * m_pre: matrix-vector product, all rows", "2.4 kflop"]),
        (dict(lanes=1, transmit="drive_post = w * s_pre"), ["rows of the neurons that spiked", "120 B a spike"]),
        (dict(transmit="drive_post = tanh(w) * m_pre"), ["tanh(w) * m_pre", "transformed matrix, tile by tile"]),
        (
            dict(transmit="drive_post = tanh(w * m_pre)"),
            ["synapse by synapse in every lane, slower than a product", "does not separate"],
        ),
        (dict(lanes=1, transmit="drive_post = tanh(w * m_pre)"), ["synapse by synapse: it does not separate"]),
        (dict(rule="w += tanh(m_pre - m_post)"), ["in every lane, slower than a product: it does not separate"]),
        (dict(lanes=1, rule="w += s_pre * m_post"), ["event-driven: rows of the neurons that spiked"]),
        (dict(lanes=1, rule={"pre": "w += w * m_post"}), ["at pre", "rows of the neurons that spiked"]),
        (dict(lanes=1, rule={"post": "w += w * m_pre"}), ["at post", "columns of the neurons that spiked"]),
        (dict(lanes=1, rule="w += m_pre * m_post"), ["one fused pass"]),
        (
            dict(rule="w += m_pre * m_post", bounds=(0, 1), connectivity=Masked(np.ones((ROWS, COLUMNS), bool))),
            ["one fused pass with bounds and mask", "Masked"],
        ),
        (dict(rule=OURS, namespace={"a": 1}), ["our rule", CUBIC, "one fused pass"]),
        (dict(rule=Kernel(njit(lambda w, m_post: None), ("m_post",))), ["a compiled function; reads m_post; writes w"]),
        (dict(connectivity=Dense()), ["Dense, 1,200 synapses, 5 lanes", "delivered once while its input"]),
        (dict(transmit="drive_post = w * m_pre * v_post"), ["w * m_pre * v_post: matrix product"]),
        (
            dict(sizes=(9, 9), weights=[1], rule="w += m_pre * m_post", connectivity=AllToAllButSelf()),
            ["O(n)", "144 synapses", "one weight for all pairs"],
        ),
    ],
)  # fmt: skip
def test_plan_says_what_each_term_became(settings, words):
    text = join(**settings).explain()
    assert all(word in text for word in words), text


def test_plan_shows_texts_populations_names_of_rules_and_ends_of_phases():
    a, b = cells(2, name="pixels"), cells(2, 1, name="cells")
    shown = Presentation({"free": a.clock.dt, "nudged": a.clock.dt}, clock=a.clock)
    rule = {"step": "w += 0.1  # always", shown.end("nudged"): "w -= m_pre * v_post"}
    p = Projection(a, b, "x = w * m_pre : 1\ndrive_post = x", rule=rule, weights=np.zeros((2, 2)))
    text = p.explain()
    for words in (
        "pixels -> cells",
        "drive_post = x",
        "w += 0.1",
        "at the end of phase 'nudged'",
        "w -= m_pre * v_post",
    ):
        assert words in text, text
    back = Projection(b, a, "drive_post = w * m_pre", connectivity=Transposed(p))
    assert "WEIGHT TRANSPORT" in back.explain() and p.name in back.explain()


# The cache of kernels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A new folder for kernels, and none in memory."""
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "_compiled", {})
    return tmp_path / "cache" / "kernels"


def learn(p):
    """One step from weights of 1/2, both sides 1."""
    p.source.view("m")[...] = p.target.view("v")[...] = 1
    Network(p.source, p.target, p).run(p.clock.dt)
    return p.w[0, 0, 0]


def test_kernels_are_kept_in_the_folder_that_the_environment_names(folder, monkeypatch):
    p = join(CUBIC, lanes=1, namespace={"a": 1.0})
    (file,) = folder.glob("*.py")
    assert learn(p) == pytest.approx(0.5 + 1 - 0.125)
    assert list((folder / "__pycache__").glob("*.nbc")), "numba keeps what it compiled beside it"

    monkeypatch.setattr(compiling, "_compiled", {})  # as in a new process
    again = join(CUBIC, lanes=1, namespace={"a": 2.0})
    assert learn(again) == pytest.approx(0.5 + 2 * (1 - 0.125))
    (kernel,) = compiling._compiled.values()
    assert sum(kernel.serial.stats.cache_hits.values()) == 1 and not kernel.serial.stats.cache_misses
    assert list(folder.glob("*.py")) == [file]
    monkeypatch.delenv("NEUROSIM_CACHE")
    assert compiling.cache_folder() == pooch.os_cache("neurosim") / "kernels"


def test_texts_of_one_structure_share_one_kernel(folder):
    """Names, numbers, sizes, replicas and units differ; another structure is another kernel."""
    join(CUBIC, lanes=1, namespace={"a": 1.0})
    for settings in (
        dict(rule="w += (1 - w**3) * b * v_pre * m_post", namespace={"b": -0.3}),
        dict(rule=CUBIC, namespace={"a": 7.0}, sizes=(3, 2), replicas=1, dtype=np.float64),
        dict(rule="w += rate * v_pre * m_post * (1 - w**3)", namespace={"rate": 1}),
    ):
        join(lanes=1, **settings)
    assert len(list(folder.glob("*.py"))) == len(compiling._compiled) == 1
    join("w += a * m_pre * v_post * (1 - w**2)", lanes=1, namespace={"a": 1.0})
    join(CUBIC, lanes=1, namespace={"a": 1.0}, bounds=(0, 1))
    assert len(list(folder.glob("*.py"))) == 3


def test_file_that_is_not_what_it_should_be_is_written_anew(folder):
    join(CUBIC, lanes=1, namespace={"a": 1.0})
    (file,) = folder.glob("*.py")
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    compiling._compiled.clear()
    assert learn(join(CUBIC, lanes=1, namespace={"a": 1.0})) == pytest.approx(1.375)
    assert file.read_text() == text and list(folder.glob("*.py")) == [file]


@pytest.mark.parametrize("how", ["a file is in the way", "no permission", "no space"])
def test_without_a_folder_that_can_be_written_kernels_work_for_the_process(how, folder, monkeypatch):
    def refuse(*arguments, **named):
        raise PermissionError if how == "no permission" else OSError("no space left on device")

    if how == "a file is in the way":
        folder.parent.write_text("")
    elif how == "no permission":
        monkeypatch.setattr(compiling.Path, "mkdir", refuse)
    else:
        monkeypatch.setattr(compiling.Path, "write_text", refuse)
    assert learn(join(CUBIC, lanes=1, namespace={"a": 1.0})) == pytest.approx(1.375)
    assert not list(folder.parent.glob("kernels/*.py"))


def test_kernels_with_functions_of_the_user_are_not_kept(folder):
    @check_units(x=1, result=1)
    def cubic(x):
        return 1 - x**3

    p = join("w += m_pre * v_post * cubic(w)", lanes=1, namespace={"cubic": cubic})
    assert learn(p) == pytest.approx(1.375)
    assert not list(folder.glob("*.py"))
