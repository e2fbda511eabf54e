"""Every kind of connectivity transmits and learns as the matrix that it stands for, or as SciPy says.

Most tests compare kinds in one network: convolution with scipy.signal and with loops over positions, untied with tied
weights, lists with matrices, one weight for all pairs with a matrix without its diagonal.
"""

from dataclasses import replace

import brian2
import numpy as np
import pytest
from brian2 import Network, NetworkOperation, mV
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal, stats
from wiring import cells, show

from neurosim import EquationError, Kernel, ParameterError, Presentation, Projection, Uniform
from neurosim.connectivity import (
    AllToAllButSelf,
    Backward,
    Convolution,
    Dense,
    Local,
    Masked,
    OneToOne,
    Pooling,
    Random,
    Transposed,
)

SIZES = [(1, 1), (3, 2)]  # lanes, replicas
IMAGES = {
    "valid": dict(image=(5, 4, 1), kernel=3, channels=1),
    "several channels": dict(image=(4, 5, 2), kernel=(3, 2), channels=3),
    "stride": dict(image=(7, 5, 2), kernel=(3, 1), channels=2, stride=2),
    "same": dict(image=(4, 5, 2), kernel=3, channels=2, padding="same"),
    "same, kernel 5 x 1": dict(image=(4, 3, 1), kernel=(5, 1), channels=2, padding="same"),
    "same, even kernel": dict(image=(4, 3, 2), kernel=(2, 4), channels=1, padding="same"),
    "same, stride": dict(image=(5, 6, 1), kernel=(3, 4), channels=2, stride=2, padding="same"),
    "one position": dict(image=(2, 3, 2), kernel=(2, 3), channels=3),
    "one position beyond the edge": dict(image=(1, 1, 2), kernel=3, channels=2, padding="same"),
}


def project(connectivity, n_pre, n_post, transmit="drive_post = w * m_pre", rule=None, weights=None, sizes=(1, 1),
            dtype=np.float64, beside=None, into="drive", **more):  # fmt: skip
    """A projection between two new populations, or between those of another projection."""
    lanes, replicas = sizes
    source = beside.source if beside else cells(n_pre, 0, lanes, replicas, dtype)
    target = beside.target if beside else cells(n_post, 1, lanes, replicas, dtype)
    transmit = transmit.replace("drive_post", f"{into}_post")
    return Projection(source, target, transmit, rule=rule, weights=weights, connectivity=connectivity, **more)


def pixels(shape):
    return int(np.prod(shape))


def numbers(shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def edges(kind):
    """Rows and columns of zeros before and after an image, for each of the two axes."""
    if kind.padding == "valid":
        return [(0, 0), (0, 0)]
    over = [
        max((out - 1) * kind.stride + k - n, 0)
        for n, k, out in zip(kind.image, kind.kernel, kind.output, strict=False)
    ]  # fmt: skip
    return [(total // 2, total - total // 2) for total in over[:2]]


def taps(kind):
    """Every synapse of a convolution: (source pixel, target pixel), (dy, dx, channel in, channel out)."""
    (top, _), (left, _) = edges(kind)
    height, width, depth = kind.image
    for y, x, c in np.ndindex(*kind.output):
        for dy, dx, b in np.ndindex(*kind.kernel, depth):
            row, column = y * kind.stride + dy - top, x * kind.stride + dx - left
            if 0 <= row < height and 0 <= column < width:
                yield ((row, column, b), (y, x, c)), (dy, dx, b, c)


def correlated(image, weights, kind):
    """SciPy's cross-correlation, summed over the channels of the image, every stride-th row and column."""
    padded = np.pad(image, [*edges(kind), (0, 0)])
    out = np.zeros(kind.output)
    for b, c in np.ndindex(weights.shape[2:]):
        full = signal.correlate2d(padded[:, :, b], weights[:, :, b, c], mode="valid")
        out[:, :, c] += full[:: kind.stride, :: kind.stride]
        if kind.padding == "same" and kind.stride == 1 and all(k % 2 for k in kind.kernel):
            same = signal.correlate2d(image[:, :, b], weights[:, :, b, c], mode="same")
            np.testing.assert_allclose(full, same, atol=1e-12)
    return out


def of_images(kind, p, result):
    """What a convolution was given and what arrived, as images: arrays (steps, replicas, lanes, y, x, channel)."""
    a, b = (result.given[q]["m"] for q in (p.source, p.target))
    drive = result.drive[p]
    return (
        a.reshape(*a.shape[:3], *kind.image),
        b.reshape(*b.shape[:3], *kind.output),
        drive.reshape(*drive.shape[:3], *kind.output),
    )


def convolution(name, sizes=(1, 1), **more):
    """A convolution, its weights (replicas, height, width, channels in and out), and the projection."""
    kind = Convolution(**IMAGES[name])
    weights = numbers((sizes[1], *kind.kernel, kind.image[2], kind.channels), seed=3, scale=0.5)
    return kind, weights, project(kind, pixels(kind.image), pixels(kind.output), weights=weights, sizes=sizes, **more)


# Convolution


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", IMAGES)
def test_convolution_delivers_what_scipy_correlates(name, sizes):
    kind, weights, p = convolution(name, sizes)
    images, _, drive = of_images(kind, p, show([p]))
    for step, r, lane in np.ndindex(images.shape[:3]):
        expected = correlated(images[step, r, lane], weights[r], kind)
        np.testing.assert_allclose(drive[step, r, lane], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "output"),
    [
        ((28, 28, 1), 5, 1, "valid", (24, 24)),
        ((28, 28, 1), 5, 2, "valid", (12, 12)),
        ((28, 28, 3), (5, 3), 2, "same", (14, 14)),
        ((7, 5, 1), (3, 5), 3, "valid", (2, 1)),
        ((7, 5, 1), 2, 3, "same", (3, 2)),
    ],
)
def test_output_has_the_size_that_deep_learning_gives_it(image, kernel, stride, padding, output):
    for kind in (Convolution, Local):
        assert kind(image, kernel, 4, stride, padding).output == (*output, 4)


@pytest.mark.parametrize("name", IMAGES)
def test_three_factor_change_of_a_convolution_is_the_correlation_of_image_and_error(name):
    """dL/dw of a convolutional layer: the image correlated with the error, which a stride spreads out."""
    kind, weights, p = convolution(name, (3, 2), rule="w += m_pre * m_post")
    images, errors, _ = of_images(kind, p, show([p], steps=1))
    (kh, kw), s = kind.kernel, kind.stride
    expected = weights.copy()
    for r, lane in np.ndindex(images.shape[1:3]):
        padded = np.pad(images[0, r, lane], [*edges(kind), (0, 0)])
        spread = np.zeros([(n - 1) * s + 1 for n in kind.output[:2]])
        for b, c in np.ndindex(weights.shape[3:]):
            spread[::s, ::s] = errors[0, r, lane, :, :, c]
            expected[r, :, :, b, c] += signal.correlate2d(padded[:, :, b], spread, mode="valid")[:kh, :kw]
    np.testing.assert_allclose(p.w, expected, atol=1e-12)


RULES = {
    "w += m_pre * m_post": lambda w, a, b: a * b,
    "w += 0.1 * m_post * (m_pre - m_post * w)": lambda w, a, b: 0.1 * b * (a - b * w),
    "w += (1 - w) * m_pre * m_post": lambda w, a, b: (1 - w) * a * b,
    "w += 0.1 * tanh(m_pre - m_post)": lambda w, a, b: 0.1 * np.tanh(a - b),
    "w += 0.1 * m_post - 0.01 * w + 0.02": lambda w, a, b: 0.1 * b - 0.01 * w + 0.02,
    "dw/dt = (cos(m_pre) + sin(w)) * Hz": lambda w, a, b: 1e-4 * (np.cos(a) + np.sin(w)),
}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", [name for name in IMAGES if "same" in name or "position" in name] + ["stride"])
def test_change_of_a_convolution_is_the_sum_over_lanes_and_positions(name, sizes):
    """Of any rule, and only over the synapses there are: a field that is cut at the edge has fewer."""
    kind, weights, first = convolution(name, sizes)
    learning = [project(kind, 0, 0, rule=rule, weights=weights, beside=first) for rule in RULES]
    images, errors, _ = of_images(kind, first, show([first, *learning], steps=1))
    for p, (rule, change) in zip(learning, RULES.items(), strict=True):
        expected = weights.copy()
        for r, lane in np.ndindex(images.shape[1:3]):
            for (pre, post), tap in taps(kind):
                expected[r][tap] += change(weights[r][tap], images[0, r, lane][pre], errors[0, r, lane][post])
        np.testing.assert_allclose(p.w, expected, atol=1e-12, err_msg=rule)


def test_spikes_of_both_sides_change_a_convolution_by_the_sum_over_positions():
    for name, sizes in (("same, stride", (1, 1)), ("same, stride", (2, 2)), ("one position beyond the edge", (1, 2))):
        kind, weights, p = convolution(name, sizes, rule={"pre": "w -= 0.1 * v_post", "post": "w += 0.2 * v_pre"})
        given = show([p], steps=1).given
        s, v = ([given[q][x][0] for q in (p.source, p.target)] for x in "sv")
        expected = weights.copy()
        for r, lane in np.ndindex(sizes[::-1]):
            s_pre, v_pre = (x[0][r, lane].reshape(kind.image) for x in (s, v))
            s_post, v_post = (x[1][r, lane].reshape(kind.output) for x in (s, v))
            for (pre, post), tap in taps(kind):
                expected[r][tap] += 0.2 * s_post[post] * v_pre[pre] - 0.1 * s_pre[pre] * v_post[post]
        np.testing.assert_allclose(p.w, expected, atol=1e-12, err_msg=name)


def test_bounds_of_a_convolution_hold_for_the_summed_change():
    kind, weights, free = convolution("same", (2, 1), rule="w += m_pre * m_post")
    start = np.clip(weights, -1.2, 0.9)
    free.w[...] = start
    bounded = project(kind, 0, 0, rule="w += m_pre * m_post", bounds=(-1.2, 0.9), weights=start, beside=free)
    clipped = project(kind, 0, 0, rule="w = clip(w + m_pre * m_post, -1.2, 0.9)", weights=start, beside=free)
    show([free, bounded, clipped], steps=1)
    assert (free.w > 0.9).any() and (free.w < -1.2).any()
    for p in (bounded, clipped):
        np.testing.assert_allclose(p.w, np.clip(free.w, -1.2, 0.9), atol=1e-12)


def test_weights_of_a_convolution_that_reach_no_pixel_stay_as_they_are():
    """A 3 x 3 kernel on a single pixel has one weight with a synapse, whatever the form of the rule."""
    kind, weights, first = convolution("one position beyond the edge")
    there = np.zeros(weights.shape, bool)
    there[:, 1, 1] = True
    for rule in ("w += m_pre", "w = clip(w + m_pre + 3, -9, 9)", "w = 0.5 * w", "w *= 0.5", "w += 1 - w"):
        p = project(kind, 0, 0, rule=rule, weights=weights, beside=first)
        p.source.view("m")[...] = 1
        p.learning()
        assert np.array_equal(p.w[~there], weights[~there]) and (p.w != weights)[there].all(), rule


TRANSMITS = (
    "drive_post = w * m_pre",
    "drive_post = w * s_pre",
    "drive_post = cos(w) * m_pre - w * v_pre * v_post",
    "drive_post = tanh(w * m_pre + v_post)",
)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", ["several channels", "same, stride", "one position beyond the edge"])
@pytest.mark.parametrize("transmit", TRANSMITS)
def test_untied_with_equal_weights_delivers_as_the_convolution(transmit, name, sizes):
    kind, weights, tied = convolution(name, sizes, transmit=transmit)
    tied.w[...] = weights[0]
    local = project(Local(**IMAGES[name]), 0, 0, transmit, weights=weights[0], beside=tied, into="also")
    untied = Convolution(**IMAGES[name], shared=False)
    untied = project(untied, 0, 0, transmit, weights=weights[0], beside=tied, into="third")
    result = show([tied, local, untied])
    for p in (local, untied):
        np.testing.assert_array_equal(p.matrix(), tied.matrix())
        np.testing.assert_allclose(result.drive[p], result.drive[tied], atol=1e-12)


@pytest.mark.parametrize("name", ["several channels", "same, stride"])
def test_changes_of_the_untied_weights_add_up_to_that_of_the_convolution(name):
    kind, weights, tied = convolution(name, (2, 2))
    numbered = np.arange(1.0, weights[0].size + 1).reshape(weights[0].shape)
    which = project(kind, 0, 0, weights=numbered, beside=tied).matrix()[0].astype(int).ravel()
    pairs = [
        [project(k, 0, 0, rule=rule, weights=weights[0], beside=tied) for k in (kind, Local(**IMAGES[name]))]
        for rule in RULES
    ]
    before = pairs[0][1].matrix()
    show([tied, *(p for pair in pairs for p in pair)], steps=1)
    for (shared, local), rule in zip(pairs, RULES, strict=True):
        for r, change in enumerate(local.matrix() - before):
            summed = np.bincount(which, change.ravel(), minlength=numbered.size + 1)[1:]
            np.testing.assert_allclose(summed, (shared.w[r] - weights[0]).ravel(), atol=1e-12, err_msg=rule)


# Lists and matrices


FIELDS = Local((4, 3, 2), kernel=2, channels=2, padding="same")
ALIKE = {
    "product": "w += 0.1 * m_pre * m_post",
    "Oja": "w += 0.1 * m_post * (m_pre - m_post * w)",
    "does not separate": "w += 0.1 * tanh(w + m_pre * m_post)",
    "decay and constant": "w += 0.02 - 0.05 * w",
    "eligibility": "delig/dt = (m_pre * m_post - elig) / (3 * ms) : 1\nw += 0.1 * elig * v_post",
    "momentum": "mom : 1 (shared)\ndmom/dt = -mom / (3 * ms)\nmom += m_pre * m_post\nw += 0.1 * mom",
    "late change": "change : 1\nchange = 0.5 * change + m_pre * m_post\nw += 0.1 * change",
    "spikes": {"pre": "w -= 0.3 * v_post", "post": "w += 0.3 * v_pre"},
    "source's spikes": {"pre": "w += 0.3 * v_post * (1 - w)"},
    "target's spikes": {"post": "w += 0.3 * (v_pre - w)"},
}
BOUNDED = "product", "spikes", "momentum"


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("rule", "bounds"), [(rule, None) for rule in ALIKE] + [(r, (-0.21, 0.22)) for r in BOUNDED])
def test_local_learns_as_a_list_and_as_a_matrix_with_the_same_mask(rule, bounds, sizes):
    settings = dict(rule=ALIKE[rule], bounds=bounds)
    n_pre, n_post = pixels(FIELDS.image), pixels(FIELDS.output)
    local = project(FIELDS, n_pre, n_post, weights=Uniform(0.2), seed=1, sizes=sizes, **settings)
    start = local.matrix()
    mask = start[0] != 0
    matrix = project(Masked(mask), 0, 0, weights=start, beside=local, **settings)
    synapses = project(Masked(mask, store="list"), 0, 0, weights=start[:, mask], beside=local, **settings)
    show([local, matrix, synapses], steps=3)
    assert np.abs(local.matrix() - start)[:, mask].max() > 1e-3, "nothing was learned"
    for p in (matrix, synapses):
        np.testing.assert_allclose(p.matrix(), local.matrix(), atol=1e-12)
        assert p.storage == local.storage
    if bounds:
        assert {*bounds} <= {local.w.min(), local.w.max()}, "no weight reached the bounds"
    for name in set(local.storage) - {"w"}:
        np.testing.assert_allclose(synapses.view(name), local.view(name), atol=1e-12)
        np.testing.assert_allclose(matrix.view(name)[..., mask], local.view(name), atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("transmit", TRANSMITS)
def test_local_delivers_as_a_list_and_as_a_matrix_with_the_same_mask(transmit, sizes):
    n_pre, n_post = pixels(FIELDS.image), pixels(FIELDS.output)
    local = project(FIELDS, n_pre, n_post, transmit, weights=Uniform(0.5), seed=1, sizes=sizes)
    start = local.matrix()
    mask = start[0] != 0
    matrix = project(Masked(mask), 0, 0, transmit, weights=start, beside=local, into="also")
    synapses = project(Masked(mask, store="list"), 0, 0, transmit, weights=local.w, beside=local, into="third")
    result = show([local, matrix, synapses])
    for p in (matrix, synapses):
        np.testing.assert_allclose(result.drive[p], result.drive[local], atol=1e-12)


def test_lists_and_matrices_agree_to_single_precision_in_float32():
    mask = np.random.default_rng(0).random((30, 20)) < 0.3
    settings = dict(rule="w += 0.1 * m_post * (m_pre - m_post * w)", weights=numbers((30, 20)))
    matrix = project(Masked(mask), 30, 20, sizes=(3, 1), dtype=np.float32, **settings)
    synapses = project(Masked(mask, store="list"), 0, 0, beside=matrix, into="also", **settings)
    result = show([matrix, synapses])
    assert matrix.w.dtype == synapses.w.dtype == np.float32
    np.testing.assert_allclose(matrix.matrix(), synapses.matrix(), atol=1e-5)
    np.testing.assert_allclose(result.drive[matrix], result.drive[synapses], atol=1e-5)


def test_synapses_of_a_list_are_in_the_order_of_brian2():
    source, target = cells(6), cells(5, 1)
    synapses = brian2.Synapses(source, target)
    synapses.connect(condition="(i + 2*j) % 3 == 0")
    i, j = np.indices((6, 5))
    p = Projection(source, target, "drive_post = w * m_pre", weights=Uniform(1), seed=1,
                   connectivity=Masked((i + 2 * j) % 3 == 0, store="list"))  # fmt: skip
    np.testing.assert_array_equal(p.i, synapses.i[:])
    np.testing.assert_array_equal(p.j, synapses.j[:])
    np.testing.assert_array_equal(p.matrix()[0, p.i, p.j], p.w[0])


def test_weights_of_a_list_may_be_given_flat_by_replica_as_a_matrix_or_drawn():
    mask = np.array([[True, False], [True, True], [False, True]])
    flat, by_replica = np.arange(1.0, 5), np.arange(1.0, 9).reshape(2, 4)
    full = np.array([[1.0, 9], [2, 3], [9, 4]])
    kind = Masked(mask, store="list")
    for weights, expected in ((flat, [flat, flat]), (by_replica, by_replica), (full, [flat, flat])):
        assert np.array_equal(project(kind, 3, 2, weights=weights, sizes=(1, 2)).w, expected)
    drawn = project(kind, 3, 2, weights=Uniform(1), seed=4, sizes=(1, 2))
    assert drawn.w.shape == (2, 4) and not np.isclose(drawn.w[0], drawn.w[1]).any()
    with_unit = project(kind, 3, 2, "drive_post = w / mV * m_pre", weights=full * mV)
    np.testing.assert_allclose(with_unit.w, [flat * 1e-3])


@pytest.mark.parametrize("store", ["matrix", "list"])
def test_mask_without_any_synapse_delivers_and_learns_nothing(store):
    p = project(Masked(np.zeros((3, 2), bool), store), 3, 2, rule="w += 1 + m_pre * m_post", weights=np.ones((3, 2)))
    p.target.view("drive")[...] = 5
    assert not show([p]).drive[p].any() and not p.matrix().any() and p.matrix().shape == (1, 3, 2)


# Masked, random, one-to-one


@njit
def raise_all(w):
    w += 1.0


ANY_RULE = {
    "constant": "w += 1",
    "decay to 1": "dw/dt = 1000 * Hz * (1 - w)",
    "assigned": "w = 3",
    "product": "w += m_pre * m_post",
    "decay and product": "w += -0.5 * w + m_pre * m_post",
    "target alone": "w += v_post",
    "function of the weight": "w += cos(w)",
    "source's spikes": {"pre": "w += 1"},
    "target's spikes": {"post": "w += 1"},
    "eligibility": "delig/dt = (1 - elig) / (1 * ms) : 1\nw += elig + m_pre",
    "shared trace": "total : 1 (shared)\ntotal += 1\nw += total",
    "end": "w += 1",
    "compiled function": Kernel(raise_all, reads=()),
}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rule", ANY_RULE)
def test_pairs_without_a_synapse_stay_exactly_zero_under_any_rule(rule, sizes):
    lanes, replicas = sizes
    mask = np.random.default_rng(2).random((replicas, 6, 5)) < 0.5
    source, target = cells(6, 0, *sizes), cells(5, 1, *sizes)
    shown = Presentation({"only": source.clock.dt}, clock=source.clock)
    shown.show(np.zeros((3, lanes), int))
    more = {"when": shown.end("only")} if rule == "end" else {}
    p = Projection(source, target, "drive_post = w * m_pre", rule=ANY_RULE[rule], weights=np.full((6, 5), 0.5),
                   connectivity=Masked(mask), **more)  # fmt: skip
    assert np.array_equal(p.w, 0.5 * mask) and not mask.all()
    result = show([p], steps=3, more=[shown])
    assert not p.w[~mask].any() and not p.matrix()[~mask].any()
    assert not np.isclose(p.w[mask], 0.5).all(), "nothing was learned"
    for name, kept in p.storage.items():
        assert kept == "lanes" or not p.view(name)[~mask].any(), name
    first = np.einsum("rli,rij->rlj", result.given[source]["m"][0], 0.5 * mask)
    np.testing.assert_allclose(result.drive[p][0], first, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("store", ["matrix", "list"])
@pytest.mark.parametrize("sent", ["cos(w) * m_pre", "exp(w - m_post)", "m_pre"])
def test_pairs_without_a_synapse_deliver_nothing_also_where_zero_weights_would(sent, store, sizes):
    mask = np.random.default_rng(2).random((6, 5)) < 0.5
    weights = None if sent == "m_pre" else numbers((6, 5))
    p = project(Masked(mask, store), 6, 5, f"drive_post = {sent}", weights=weights, sizes=sizes)
    result = show([p])
    a, b = (result.given[q]["m"][..., None] for q in (p.source, p.target))
    every = {
        "cos(w) * m_pre": lambda: np.cos(weights) * a,
        "exp(w - m_post)": lambda: np.exp(weights - np.swapaxes(b, 3, 4)),
        "m_pre": lambda: a * np.ones((6, 5)),
    }[sent]()
    np.testing.assert_allclose(result.drive[p], (every * mask).sum(axis=3), atol=1e-12)


def test_random_pairs_are_as_many_as_the_density_says_and_each_replica_draws_its_own():
    n_pre, n_post, density = 60, 50, 0.3
    p = project(Random(density), n_pre, n_post, weights=np.ones((n_pre, n_post)), seed=5, sizes=(1, 3))
    masks = p.w != 0
    for mask in masks:
        assert stats.binomtest(int(mask.sum()), mask.size, density).pvalue > 1e-4
        assert stats.binomtest(int(mask[0].sum()), n_post, density).pvalue > 1e-4
    shared = (masks[0] & masks[1]).sum()
    assert stats.binomtest(int(shared), masks[0].size, density**2).pvalue > 1e-4, "replicas draw apart"

    def drawn(seed, replicas=1, store="matrix"):
        return project(
            Random(density, store), n_pre, n_post, weights=np.ones((n_pre, n_post)), seed=seed, sizes=(1, replicas)
        ).matrix()

    assert np.array_equal(drawn(5)[0], masks[0]), "neither the number of replicas nor a second call change the pairs"
    assert not np.array_equal(drawn(6)[0], masks[0])
    assert np.array_equal(drawn(5, store="list")[0], masks[0])
    lists = drawn(5, replicas=2, store="list")
    assert np.array_equal(lists[0], lists[1]), "a list has the same pairs in all replicas"
    assert drawn(5, store="list").any() and Random(1.0) == Random(1)


def test_weights_drawn_do_not_depend_on_the_pairs_drawn():
    """Weights and pairs come from two streams of one seed."""
    dense = project(None, 20, 30, weights=Uniform(1), seed=5)
    sparse = project(Random(0.5), 20, 30, weights=Uniform(1), seed=5)
    there = sparse.w != 0
    np.testing.assert_array_equal(sparse.w[there], dense.w[there])
    correlation = np.corrcoef(there.ravel(), dense.w.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(there.size)


@pytest.mark.parametrize("sizes", SIZES)
def test_one_to_one_is_a_diagonal(sizes):
    weights = numbers(7)
    p = project(OneToOne(), 7, 7, rule="w += 0.1 * m_pre * m_post", weights=weights, sizes=sizes)
    assert p.w.shape == (sizes[1], 7) and np.array_equal(p.i, np.arange(7)) and np.array_equal(p.j, p.i)
    result = show([p], steps=1)
    a, b = (result.given[q]["m"][0] for q in (p.source, p.target))
    np.testing.assert_allclose(result.drive[p][0], weights * a, atol=1e-12)
    np.testing.assert_allclose(p.w, weights + 0.1 * (a * b).sum(axis=1), atol=1e-12)
    np.testing.assert_array_equal(p.matrix(), p.w[:, :, None] * np.eye(7))


# Pooling


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("image", "size"), [((4, 6, 3), 2), ((6, 3, 1), 3), ((1, 6, 2), (1, 2)), ((3, 6, 2), (3, 2))])
def test_pooling_of_windows_side_by_side_is_a_reshape(image, size, sizes):
    """A rectangle in several rows would need two strides."""
    height, width = (size, size) if isinstance(size, int) else size
    height_out, width_out = image[0] // height, image[1] // width
    kinds = {reduce: Pooling(image, size, stride=width, reduce=reduce) for reduce in ("sum", "max")}
    summed = project(kinds["sum"], pixels(image), height_out * width_out * image[2], "drive_post = m_pre", sizes=sizes)
    largest = project(kinds["max"], 0, 0, "drive_post = m_pre", beside=summed, into="also")
    result = show([summed, largest])
    a = result.given[summed.source]["m"]
    windows = a.reshape(*a.shape[:3], height_out, height, width_out, width, image[2])
    for (reduce, kind), p in zip(kinds.items(), (summed, largest), strict=True):
        assert kind.output == (height_out, width_out, image[2])
        expected = getattr(windows, reduce)(axis=(4, 6)).reshape(result.drive[p].shape)
        np.testing.assert_allclose(result.drive[p], expected, atol=1e-12)
    assert Pooling((4, 6, 1), 2).output == (2, 3, 1), "without a stride, windows lie side by side"


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_pooling_of_windows_that_overlap_or_are_cut(reduce):
    kind = Pooling((5, 4, 2), 3, stride=1, reduce=reduce)
    p = project(kind, 40, pixels(kind.output), "drive_post = m_pre")
    result = show([p], steps=1)
    images = result.given[p.source]["m"][0, 0, 0].reshape(5, 4, 2)
    windows = sliding_window_view(images, (3, 3), axis=(0, 1))
    np.testing.assert_allclose(result.drive[p].ravel(), getattr(windows, reduce)(axis=(3, 4)).ravel(), atol=1e-12)

    cut = Pooling((5, 4, 2), 3, stride=1, reduce=reduce, padding="same")
    p = project(cut, 40, 40, "drive_post = m_pre")
    result = show([p], steps=1)
    images = result.given[p.source]["m"][0, 0, 0].reshape(5, 4, 2)
    for y, x, c in np.ndindex(5, 4, 2):
        window = images[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2, c]
        expected = getattr(window, reduce)()
        assert result.drive[p].reshape(5, 4, 2)[y, x, c] == pytest.approx(expected, abs=1e-12)


def test_largest_of_a_window_may_be_of_any_expression_and_negative():
    kind = Pooling((2, 4, 1), 2, reduce="max")
    p = project(kind, 8, 2, "drive_post = m_pre - 5 + v_post * 0", sizes=(2, 1))
    result = show([p], steps=1)
    windows = result.given[p.source]["m"][0, 0].reshape(2, 2, 2, 2) - 5
    np.testing.assert_allclose(result.drive[p][0, 0], windows.max(axis=(1, 3)), atol=1e-12)


def test_largest_of_a_window_with_a_value_that_is_not_a_number_is_not_a_number():
    kind = Pooling((1, 4, 1), (1, 2), stride=2, reduce="max")
    p = project(kind, 4, 2, "drive_post = m_pre")
    p.source.view("m")[...] = [np.nan, 1, 1, np.nan]
    Network(p.source, p.target, p).run(p.clock.dt)
    assert np.isnan(p.target.view("drive")).all()


# One weight for all pairs


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("transmit", [*TRANSMITS[:3], "drive_post = w**2 * (m_pre + v_post)", "drive_post = m_pre"])
def test_all_to_all_but_self_delivers_as_a_matrix_of_one_value_without_diagonal(transmit, sizes):
    one, all_pairs = ([0.3], np.full((6, 6), 0.3)) if transmit != "drive_post = m_pre" else (None, None)
    pairs = project(AllToAllButSelf(), 6, 6, transmit, weights=one, sizes=sizes)
    masked = project(Masked(~np.eye(6, dtype=bool)), 0, 0, transmit, weights=all_pairs, beside=pairs, into="also")
    result = show([pairs, masked])
    np.testing.assert_allclose(result.drive[pairs], result.drive[masked], atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    "rule",
    [
        "w += 0.1 * m_pre * m_post",
        "w += 0.1 * (1 - w) * m_pre - 0.02 * v_post + 0.01",
        "dw/dt = (cos(w) * m_pre + v_post * v_pre) * Hz",
        "w += 0.1 * w * v_post",
        "trace : 1\ntrace += m_pre * v_post\nw += 0.1 * trace",
        {"pre": "w += 0.1 * v_post", "post": "w -= 0.1 * v_pre"},
        {"pre": "w += 0.1 * m_post * m_pre"},
    ],
    ids=str,
)
def test_all_to_all_but_self_changes_by_the_sum_over_all_pairs(rule, sizes):
    """A matrix with equal weights, each changed by its own pair: its changes add up to that of the one weight."""
    diagonal = np.eye(6, dtype=bool)
    pairs = project(AllToAllButSelf(), 6, 6, rule=rule, weights=[0.3], sizes=sizes)
    masked = project(Masked(~diagonal), 0, 0, rule=rule, weights=np.full((6, 6), 0.3), beside=pairs)
    assert pairs.w.shape == (sizes[1], 1)
    show([pairs, masked], steps=1)
    change = (masked.w - 0.3 * ~diagonal).sum(axis=(1, 2))
    assert np.abs(change).max() > 1e-6
    np.testing.assert_allclose(pairs.w[:, 0] - 0.3, change, rtol=1e-10, atol=1e-13)


def test_all_to_all_but_self_says_what_it_costs_and_is_no_matrix():
    n = 20_000  # 400 million pairs: as a matrix 1.6 GB
    p = project(AllToAllButSelf(), n, n, rule="w += 1e-9 * m_pre * m_post", weights=[-0.5], dtype=np.float32)
    assert "O(n)" in p.explain() and f"{n * (n - 1):,} synapses" in p.explain()
    p.source.view("m")[...] = 1
    Network(p.source, p.target, p).run(p.clock.dt)
    np.testing.assert_allclose(p.target.view("drive"), -0.5 * (n - 1), rtol=1e-5)


@pytest.mark.parametrize(("sign", "end"), [(1, 0), (-1, -0.7)])
def test_all_to_all_but_self_keeps_its_bounds_and_its_sign(sign, end):
    settings = dict(rule="w += m_pre", weights=[-0.5])
    free = project(AllToAllButSelf(), 5, 5, **settings)
    held = project(AllToAllButSelf(), 0, 0, bounds=(-0.7, None), dale=-1, beside=free, **settings)
    free.source.view("m")[...] = sign
    Network(free.source, free.target, free, held).run(free.clock.dt)
    assert free.w.item() == -0.5 + sign * 20 and held.w.item() == end


# Read backwards


ORIGINALS = {
    "dense": (Dense(), 4, 6, (4, 6)),
    "masked": (Masked(np.random.default_rng(1).random((4, 6)) < 0.6), 4, 6, (4, 6)),
    "masked, each replica": (Masked(np.random.default_rng(1).random((2, 4, 6)) < 0.6), 4, 6, (4, 6)),
    "list": (Masked(np.random.default_rng(1).random((4, 6)) < 0.6, store="list"), 4, 6, (4, 6)),
    "one to one": (OneToOne(), 5, 5, (5,)),
    "all but self": (AllToAllButSelf(), 5, 5, (1,)),
    "local": (Local((4, 3, 2), 2, 3), 24, 18, (2, 2, 2, 3)),
    "convolution": (Convolution((4, 3, 2), 2, 3), 24, 18, (2, 2, 2, 3)),
    "convolution, same": (Convolution((4, 3, 2), 3, 2, stride=2, padding="same"), 24, 8, (3, 3, 2, 2)),
    "convolution, one position": (Convolution((1, 2, 1), 3, 2, stride=2, padding="same"), 2, 2, (3, 3, 1, 2)),
    "convolution, backward": (Backward(Convolution((4, 3, 2), 2, 3)), 18, 24, (2, 2, 2, 3)),
    "convolution, backward, stride": (Backward(Convolution((7, 5, 1), (3, 2), 3, stride=2)), 18, 35, (3, 2, 1, 3)),
    "local, backward": (Backward(Local((4, 3, 2), 2, 3)), 18, 24, (2, 2, 2, 3)),
}


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("original", ORIGINALS)
def test_transposed_delivers_along_the_transposed_weights_while_these_learn(original, lanes):
    kind, n_pre, n_post, shape = ORIGINALS[original]
    source, target = cells(n_pre, 0, lanes, 2), cells(n_post, 1, lanes, 2)
    forward = Projection(source, target, "drive_post = w * m_pre", rule="w += 0.1 * m_pre * m_post - 0.05 * w",
                         weights=numbers(shape), connectivity=kind)  # fmt: skip
    back = cells(n_pre, 2, lanes, 2)
    backward = Projection(target, back, "drive_post = 2 * w * m_pre * v_post", connectivity=Transposed(forward))
    seen = []
    look = NetworkOperation(lambda: seen.append(forward.matrix()), clock=source.clock, when="start", order=5)
    result = show([forward, backward], steps=3, more=[look])
    assert not np.allclose(seen[0], seen[2])
    sent, gates = result.given[target]["m"], result.given[back]["v"]
    expected = 2 * gates * np.einsum("trlj,trij->trli", sent, np.array(seen))
    np.testing.assert_allclose(result.drive[backward], expected, atol=1e-12)
    np.testing.assert_array_equal(backward.matrix(), forward.matrix().transpose(0, 2, 1))
    np.testing.assert_array_equal(backward.w, backward.matrix())


def test_transposed_has_no_weights_and_no_rule_of_its_own_and_says_what_it_is():
    forward = project(None, 4, 6, weights=numbers((4, 6)), name="forward")
    back = cells(4, 2)
    settings = dict(transmit="drive_post = w * m_pre", connectivity=Transposed(forward))
    backward = Projection(forward.target, back, **settings)
    assert "WEIGHT TRANSPORT" in backward.explain() and "forward" in backward.explain()
    with pytest.raises(ValueError, match="read-only"):
        backward.w[...] = 0
    for wrong, word in (
        ({"weights": np.zeros((6, 4))}, "weights"),
        ({"rule": "w += 1"}, "rule"),
        ({"rule": {"pre": "w += m_pre"}}, "rule"),
        ({"rule": Kernel(raise_all, reads=())}, "rule"),
        ({"bounds": (0, 1)}, "weights"),
    ):
        with pytest.raises((ParameterError, EquationError), match=word):
            Projection(forward.target, back, **settings, **wrong)
    with pytest.raises(EquationError, match="read backwards"):
        Projection(forward.target, back, "drive_post = tanh(w) * m_pre", connectivity=Transposed(forward))


# Backward: from the windows to the image


WINDOWS = {f"convolution, {name}": Convolution(**settings) for name, settings in IMAGES.items()} | {
    "valid, stride 3, pixels that no window sees": Convolution((7, 8, 2), (2, 1), 2, stride=3),
    "local": Local(**IMAGES["several channels"]),
    "local, same, stride": Local(**IMAGES["same, stride"]),
    "untied": Convolution(**IMAGES["same"], shared=False),
}


def there_and_back(kind, sizes=(1, 1), rule=None, **more):
    """A projection along windows, and one of the same kind backwards, each with weights of its own."""
    shape = (*kind.kernel, kind.image[2], kind.channels)
    n_pre, n_post = pixels(kind.image), pixels(kind.output)
    forward = project(kind, n_pre, n_post, weights=numbers(shape, seed=1), sizes=sizes, rule=rule, **more)
    weights = numbers((sizes[1], *shape), seed=2)
    if not isinstance(kind, Convolution) or not kind.shared:
        weights = weights[0]
    backward = Projection(forward.target, forward.source, "drive_post = w * m_pre", rule=rule, weights=weights,
                          connectivity=Backward(kind), **more)  # fmt: skip
    return forward, backward, weights


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", WINDOWS)
def test_backward_delivers_to_each_pixel_the_sum_over_the_windows_that_hold_it(name, sizes):
    kind = WINDOWS[name]
    _, backward, weights = there_and_back(kind, sizes)
    result = show([backward])
    sent = result.given[backward.source]["m"].reshape(2, *sizes[::-1], *kind.output)
    expected = np.zeros((2, *sizes[::-1], *kind.image))
    for (pixel, unit), tap in taps(kind):
        w = weights[..., *tap].reshape(-1, 1)
        expected[..., *pixel] += w * sent[..., *unit]
    np.testing.assert_allclose(result.drive[backward], expected.reshape(result.drive[backward].shape), atol=1e-12)


@pytest.mark.parametrize("name", WINDOWS)
def test_backward_with_the_forward_weights_has_the_transposed_matrix(name):
    kind = WINDOWS[name]
    forward, backward, weights = there_and_back(kind, (1, 2))
    again = project(kind, 0, 0, weights=weights, beside=forward)
    np.testing.assert_array_equal(backward.matrix(), again.matrix().transpose(0, 2, 1))
    assert backward.layout.synapses(2) == forward.layout.synapses(2)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", WINDOWS)
def test_backward_learns_by_the_sum_over_lanes_and_windows(name, sizes):
    """As the forward projection does under the rule in which pre and post have changed places."""
    kind = WINDOWS[name]
    forward, backward, weights = there_and_back(kind, sizes)
    learned, expected = [], []
    for rule, swapped in (
        ("w += 0.1 * v_pre * m_post + 0.2 * s_pre", "w += 0.1 * v_post * m_pre + 0.2 * s_post"),
        ({"pre": "w += v_post", "post": "w += m_pre"}, {"post": "w += v_pre", "pre": "w += m_post"}),
    ):
        learned.append(Projection(backward.source, backward.target, "also_post = w * m_pre", rule=rule, weights=weights,
                                  connectivity=Backward(kind)))  # fmt: skip
        expected.append(project(kind, 0, 0, rule=swapped, weights=weights, beside=forward))
    show([forward, backward, *learned, *expected], steps=3)
    for p, q in zip(learned, expected, strict=True):
        assert np.abs(p.matrix() - backward.matrix()).max() > 0.01, "nothing was learned"
        np.testing.assert_allclose(p.matrix(), q.matrix().transpose(0, 2, 1), atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("bounds", [None, (-2.5, 2.5)])
def test_backward_of_windows_with_weights_of_their_own_learns_by_any_rule(bounds, sizes):
    """What is no sum of products, as Adam: the change of a batch enters through a curve; and bounds."""
    rule = "change : 1 (shared)\nchange = v_pre * m_post\nw += change / (0.1 + abs(change)) - 0.1 * w"
    forward, backward, weights = there_and_back(WINDOWS["local, same, stride"], sizes, rule, bounds=bounds)
    swapped = rule.replace("v_pre * m_post", "v_post * m_pre")
    kind = WINDOWS["local, same, stride"]
    expected = project(kind, 0, 0, rule=swapped, weights=weights, bounds=bounds, beside=forward)
    start = backward.matrix()
    show([forward, backward, expected], steps=3)
    assert np.abs(backward.matrix() - start).max() > 0.1, "nothing was learned"
    assert bounds is None or {*bounds} & {backward.w.min(), backward.w.max()}, "no weight reached the bounds"
    np.testing.assert_allclose(backward.matrix(), expected.matrix().transpose(0, 2, 1), atol=1e-12)


def test_backward_convolution_decays_and_delivers_along_decayed_weights():
    """By a rate that holds for every lane and window; two steps come before the third delivery."""
    kind = WINDOWS["convolution, stride"]
    forward, backward, _ = there_and_back(kind, (2, 1), rule="w += -0.1 / lanes * w")
    start, left = backward.matrix(), 1 - 0.1 * pixels(kind.output[:2])
    result = show([forward, backward], steps=3)
    sent = result.given[backward.source]["m"][2]
    np.testing.assert_allclose(result.drive[backward][2], sent @ (left**2 * start), atol=1e-12)
    np.testing.assert_allclose(backward.matrix(), left**3 * start, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), ((2, 3), 1), (3, 3)])
def test_backward_pooling_sums_what_the_windows_of_a_pixel_send(size, stride, padding, sizes):
    kind = Pooling((5, 4, 2), size, stride, padding=padding)
    forward = project(kind, 40, pixels(kind.output), "drive_post = m_pre", sizes=sizes)
    back = Projection(forward.target, forward.source, "drive_post = v_pre - 2 * m_pre * m_post",
                      connectivity=Backward(kind))  # fmt: skip
    result = show([forward, back])
    there = np.zeros((40, pixels(kind.output)))
    one = Convolution((5, 4, 2), size, 1, stride, padding)
    for (pixel, unit), tap in taps(one):
        channel = tap[2]
        there[np.ravel_multi_index(pixel, (5, 4, 2)), (unit[0] * kind.output[1] + unit[1]) * 2 + channel] = 1
    sent, own = result.given[back.source], result.given[back.target]["m"]
    expected = sent["v"] @ there.T - 2 * own * (sent["m"] @ there.T)
    np.testing.assert_allclose(result.drive[back], expected, atol=1e-12)
    np.testing.assert_allclose(result.drive[forward], result.given[forward.source]["m"] @ there, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_errors_go_back_to_the_largest_of_a_window_and_to_all_that_are_as_large(sizes, dtype):
    """Values in steps of 1/4 tie often; windows overlap, so that a pixel may be the largest of several."""
    kind = Pooling((6, 5, 2), 3, 2, reduce="max", padding="same")
    lanes, replicas = sizes
    source, target = cells(60, 0, lanes, replicas, dtype), cells(pixels(kind.output), 1, lanes, replicas, dtype)
    forward = Projection(source, target, "drive_post = m_pre", connectivity=kind)
    text = "also_post = v_pre * int(m_post >= drive_pre)"
    back = Projection(target, source, text, connectivity=Backward(kind), order=2)
    draw = np.random.default_rng(4)
    source.view("m")[...] = np.round(4 * draw.uniform(-1, 1, source.shape)) / 4
    target.view("v")[...] = draw.normal(size=target.shape)
    Network(source, target, forward, back).run(source.clock.dt)
    image, sent = source.view("m").reshape(-1, 6, 5, 2), target.view("v").reshape(-1, *kind.output)
    found, expected, ties = source.view("also").reshape(image.shape), np.zeros(image.shape), 0
    for k, y, x, c in np.ndindex(len(image), *kind.output):
        rows, columns = (
            slice(2 * y, 2 * y + 3),
            slice(max(0, 2 * x - 1), 2 * x + 2),
        )  # 1 row over behind, 1 column a side
        window = image[k, rows, columns, c]
        largest = window == window.max()
        ties += largest.sum() > 1
        expected[k, rows, columns, c] += sent[k, y, x, c] * largest
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ties > 3


def test_backward_refuses_what_has_no_windows_and_sizes_that_do_not_fit():
    kind = Convolution((4, 3, 2), 3, 2)
    x, y = cells(24, 0), cells(4, 1)
    send = dict(transmit="drive_post = w * m_pre", weights=Uniform(1), seed=1)
    for other in (Dense(), OneToOne(), Random(0.5), Backward(kind)):
        with pytest.raises(ParameterError, match=f"needs a Convolution, Local or Pooling, got {type(other).__name__}"):
            Projection(y, x, connectivity=Backward(other), **send)
    for bounded in ({"bounds": (0, 1)}, {"dale": 1}):
        with pytest.raises(ParameterError, match=r"bounds: the weights of a Backward convolution have no bounds"):
            Projection(y, x, connectivity=Backward(kind), **send, **bounded)
    with pytest.raises(ParameterError, match="seed"):
        sparse = Backward(Convolution((4, 3, 2), 3, 2, density=0.5))
        Projection(y, x, "drive_post = w * m_pre", weights=np.ones((3, 3, 2, 2)), connectivity=sparse)
    for wrong, words in (
        ((x, y), f"the target {y.name} needs 4 x 3 x 2 = 24 neurons .* it has 4"),
        ((x, x), f"the source {x.name} needs 2 x 1 x 2 = 4 neurons .* it has 24"),
    ):
        with pytest.raises(ParameterError, match=words):
            Projection(*wrong, connectivity=Backward(kind), **send)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"transmit": "drive_post = tanh(w) * m_pre"}, r"deliver w \* g\(pre\) \* h\(post\), got the term tanh"),
        ({"transmit": "drive_post = w * tanh(m_pre - m_post)"}, "Backward convolution deliver"),
        ({"rule": "w += tanh(m_pre - m_post)"}, "Backward convolution learns by a sum of products"),
        ({"rule": "w = m_pre"}, "Backward convolution learns by a sum of products"),
        ({"rule": "w += m_pre * m_post * w"}, "Backward convolution learns by a sum of products"),
        ({"rule": "q : 1\nq += m_pre\nw += q"}, "Backward convolution learns by a sum of products"),
    ],
)  # fmt: skip
def test_backward_convolution_refuses_what_is_no_sum_of_products(texts, words):
    kind = Convolution((4, 3, 2), 3, 2)
    settings = {"transmit": "drive_post = w * m_pre"} | texts
    with pytest.raises(EquationError, match=words):
        Projection(cells(4, 1), cells(24, 0), weights=Uniform(1), seed=1, connectivity=Backward(kind), **settings)


# Convolutions with a part of their weights


def sparse(density=0.5, replicas=2, seed=5, **more):
    """A convolution with some of its weights only, all 0.5."""
    kind = Convolution((6, 5, 3), 3, 8, padding="same", density=density)
    return project(kind, 90, 240, weights=np.full((3, 3, 3, 8), 0.5), seed=seed, sizes=(2, replicas), **more)


def test_weights_of_a_sparse_convolution_are_as_many_as_the_density_says_and_each_replica_draws_its_own():
    masks = sparse(0.3, replicas=3).w != 0
    for mask in masks:
        assert stats.binomtest(int(mask.sum()), mask.size, 0.3).pvalue > 1e-4
    both = int((masks[0] & masks[1]).sum())
    assert stats.binomtest(both, masks[0].size, 0.3**2).pvalue > 1e-4, "replicas draw apart"
    assert np.array_equal(sparse(0.3, replicas=1).w[0] != 0, masks[0]), "neither replicas nor a second call change them"
    assert not np.array_equal(sparse(0.3, seed=6).w[0] != 0, masks[0])
    assert (sparse(1.0).w == 0.5).all() and sparse(1.0).layout.mask is None
    drawn = [
        project(Convolution((6, 5, 3), 3, 8, density=each), 90, 96, weights=Uniform(1), seed=5) for each in (0.5, 1.0)
    ]
    there = drawn[0].w != 0
    np.testing.assert_array_equal(drawn[0].w[there], drawn[1].w[there])


def test_backward_draws_its_weights_apart_by_its_own_seed():
    forward = sparse()

    def back(seed):
        return Projection(forward.target, forward.source, "drive_post = w * m_pre", weights=np.ones((3, 3, 3, 8)),
                          seed=seed, connectivity=Backward(forward.connectivity)).w != 0  # fmt: skip

    assert np.array_equal(back(5), forward.w != 0)
    apart = int((back(6) & (forward.w != 0)).sum())
    assert stats.binomtest(apart, forward.w.size, 0.25).pvalue > 1e-4
    assert np.array_equal(back(6), back(6))


SPARSE_RULES = [rule for rule in ANY_RULE if rule != "end"]


@pytest.mark.parametrize("rule", SPARSE_RULES)
def test_weights_that_a_sparse_convolution_lacks_stay_exactly_zero_under_any_rule(rule):
    p = sparse(rule=ANY_RULE[rule])
    mask, before = p.w != 0, p.w.copy()
    result = show([p], steps=3)
    assert 0.3 < mask.mean() < 0.7 and not p.w[~mask].any()
    assert not np.isclose(p.w[mask], 0.5).all(), "nothing was learned"
    whole = project(Convolution((6, 5, 3), 3, 8, padding="same"), 90, 240, weights=before, sizes=(2, 2))
    sent = result.given[p.source]["m"][0]
    np.testing.assert_allclose(result.drive[p][0], sent @ whole.matrix(), atol=1e-12)


def test_weights_that_a_sparse_backward_convolution_lacks_stay_exactly_zero():
    forward = sparse(rule="w += 0.1 * m_pre * m_post")
    kind = forward.connectivity
    back = Projection(forward.target, forward.source, "drive_post = w * m_pre", rule="w += 0.1 * m_pre * m_post",
                      weights=Uniform(1), seed=7, connectivity=Backward(kind))  # fmt: skip
    whole = Projection(forward.target, forward.source, "also_post = w * m_pre", rule="w += 0.1 * m_pre * m_post",
                       weights=back.w, connectivity=Backward(replace(kind, density=1.0)))  # fmt: skip
    read = Projection(forward.target, forward.source, "third_post = w * m_pre", connectivity=Transposed(forward))
    mask, start = back.w != 0, back.matrix()
    result = show([forward, back, whole, read], steps=3)
    assert 0.3 < mask.mean() < 0.7 and not back.w[~mask].any()
    np.testing.assert_allclose(back.w[mask], whole.w[mask], atol=1e-12)
    np.testing.assert_allclose(result.drive[back][0], result.given[forward.target]["m"][0] @ start, atol=1e-12)
    np.testing.assert_array_equal(read.matrix(), forward.matrix().transpose(0, 2, 1))


@pytest.mark.parametrize("sent", ["cos(w) * m_pre", "exp(w - m_post)"])
def test_weights_that_a_sparse_convolution_lacks_deliver_nothing_also_where_zero_weights_would(sent):
    p = sparse(transmit=f"drive_post = {sent}")
    result = show([p], steps=1)
    a, b = (result.given[q]["m"][0][..., None] for q in (p.source, p.target))
    w = p.matrix()[:, None]
    every = np.cos(w) * a if "cos" in sent else np.exp(w - np.swapaxes(b, 2, 3))
    np.testing.assert_allclose(result.drive[p][0], (every * (w != 0)).sum(axis=2), atol=1e-12)


def test_sparse_convolution_refuses_what_is_no_fraction_and_untied_weights():
    for density in (0, -0.5, 1.5, "half", None):
        with pytest.raises(ParameterError, match=r"connectivity: a density above 0 and up to 1 is needed, got"):
            sparse(density)
    kind = Convolution((6, 5, 3), 3, 8, padding="same", density=0.5, shared=False)
    with pytest.raises(ParameterError, match="a density needs shared weights, got 0.5"):
        project(kind, 90, 240, weights=Uniform(1), seed=1)
    with pytest.raises(ParameterError, match="seed"):
        sparse(seed=None)


# What all kinds have in common


KINDS = {name: entry for name, entry in ORIGINALS.items() if name != "masked, each replica"} | {
    "random": (Random(0.5), 4, 6, (4, 6)),
    "random list": (Random(0.5, store="list"), 4, 6, (4, 6)),
    "untied": (Convolution((4, 3, 2), 2, 3, shared=False), 24, 18, (2, 2, 2, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_of_every_kind_is_what_it_delivers_from_one_neuron_at_a_time(kind):
    connectivity, n_pre, n_post, shape = KINDS[kind]
    p = project(connectivity, n_pre, n_post, weights=numbers(shape), seed=3, sizes=(n_pre, 1))
    p.source.view("m")[0] = np.eye(n_pre)
    Network(p.source, p.target, p).run(p.clock.dt)
    matrix = p.matrix()
    np.testing.assert_allclose(matrix[0], p.target.view("drive")[0], atol=1e-12)
    matrix[...] = 7
    assert not (p.matrix() == 7).any(), "the matrix is a copy"


@pytest.mark.parametrize("name", IMAGES)
def test_matrix_of_a_convolution_is_a_loop_over_positions(name):
    kind, weights, p = convolution(name, (1, 2))
    expected = np.zeros((2, *kind.image, *kind.output))
    for (pre, post), tap in taps(kind):
        expected[(slice(None), *pre, *post)] = weights[(slice(None), *tap)]
    np.testing.assert_array_equal(p.matrix(), expected.reshape(2, p.source.n, p.target.n))
    local = project(Local(**IMAGES[name]), p.source.n, p.target.n, weights=weights[1])
    np.testing.assert_array_equal(local.matrix()[0], p.matrix()[1])
    assert f"{np.count_nonzero(expected[0]):,} synapses" in local.explain()
    assert f"{np.count_nonzero(expected):,} synapses" in p.explain()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_every_kind_are_live(kind):
    connectivity, n_pre, n_post, shape = KINDS[kind]
    p = project(connectivity, n_pre, n_post, weights=np.zeros(shape), seed=3, sizes=(2, 2))
    assert not p.matrix().any()
    held = p.w
    held[...] = 2
    p.source.view("m")[...] = 1
    Network(p.source, p.target, p).run(p.clock.dt)
    np.testing.assert_allclose(p.target.view("drive")[:, 0], p.matrix().sum(axis=1), atol=1e-12)
    assert p.matrix().max() == 2 and p.w is not None and np.shares_memory(p.w, held)


def test_kinds_with_weights_by_replica_start_with_each_its_own():
    for connectivity, n_pre, n_post, shape in KINDS.values():
        full = project(connectivity, n_pre, n_post, weights=np.zeros(shape), seed=1, sizes=(1, 2)).w.shape
        weights = numbers(full)
        p = project(connectivity, n_pre, n_post, weights=weights, seed=1, sizes=(1, 2))
        kept = p.w != 0
        np.testing.assert_array_equal(p.w[kept], weights[kept])


def test_indices_exist_for_lists_only():
    p = project(None, 3, 2, weights=np.zeros((3, 2)))
    with pytest.raises(ParameterError, match="matrix"):
        _ = p.i


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("kind", [name for name in KINDS if not name.startswith("convolution")])
def test_weights_of_every_kind_relax_at_the_rate_that_the_rule_says(kind, lanes):
    """dw/dt = (1 - w) / tau for 2 steps of tau / 100: w = 1 - 0.99^2, whether there is one lane or many."""
    connectivity, n_pre, n_post, shape = KINDS[kind]
    namespace = {"pairs": n_pre * (n_pre - 1) if kind == "all but self" else 1}
    p = project(connectivity, n_pre, n_post, rule="dw/dt = (1 - w) / (10 * ms) / lanes / pairs", seed=1,
                weights=np.zeros(shape), sizes=(lanes, 1), namespace=namespace)  # fmt: skip
    Network(p.source, p.target, p).run(2 * p.clock.dt)
    matrix = p.matrix()
    assert matrix.any()
    np.testing.assert_allclose(matrix[matrix != 0], 1 - 0.99**2, atol=1e-12)


@pytest.mark.parametrize("kind", [OneToOne(), AllToAllButSelf()])
def test_kinds_that_pair_neurons_need_equal_sizes(kind):
    with pytest.raises(ParameterError, match="equal sizes, got 3 and 4"):
        project(kind, 3, 4, weights=[1])
