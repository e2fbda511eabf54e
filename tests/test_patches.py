"""Convolutions over lanes equal loops over positions and taps: by replica, in both precisions, serial and in parts."""

import os

import numba
import numpy as np
import pytest

from neurosim.connectivity import Convolution
from neurosim.plasticity import patches

INTERPRETED = "NEUROSIM_TESTS_INTERPRETED"
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
IMAGES = {
    "valid": dict(image=(5, 4, 1), kernel=3, channels=2),
    "valid, stride 2": dict(image=(7, 6, 2), kernel=(3, 2), channels=3, stride=2),
    "valid, stride 3, pixels that no window sees": dict(image=(7, 8, 2), kernel=(2, 1), channels=2, stride=3),
    "same": dict(image=(4, 5, 3), kernel=(3, 5), channels=2, padding="same"),
    "same, even kernel": dict(image=(4, 3, 2), kernel=(2, 4), channels=1, padding="same"),
    "same, stride 2": dict(image=(5, 6, 1), kernel=(3, 4), channels=2, stride=2, padding="same"),
    "same, stride 3": dict(image=(7, 6, 2), kernel=(4, 3), channels=3, stride=3, padding="same"),
    "same, stride 3, kernel 1": dict(image=(5, 7, 2), kernel=1, channels=2, stride=3, padding="same"),
    "one position": dict(image=(2, 3, 2), kernel=(2, 3), channels=3),
    "larger than the image": dict(image=(1, 2, 2), kernel=(5, 3), channels=2, padding="same"),
}


@pytest.fixture(params=[np.float32, np.float64])
def precision(request):
    return request.param


@pytest.fixture(params=["serial", "threaded"])
def threads(request, monkeypatch):
    """Serial as these small sizes are; threaded as if they were larger: three uneven parts of the lanes."""
    if request.param == "threaded":
        monkeypatch.setattr(patches, "_edges", lambda count, work: np.linspace(0, count, 4).astype(np.int64))


def geometry(kind):
    """What the kernels know of a convolution."""
    return (*kind.image, *kind.over, kind.stride, *kind.output[:2], kind.kernel[0], kind.kernel[1] * kind.image[2])


def synapses(kind):
    """All synapses of a convolution: index of the pixel, position, and tap, all flat."""
    (height, width, depth), (kh, kw), (rows, columns, _) = kind.image, kind.kernel, kind.output
    over = [max((m - 1) * kind.stride + k - n, 0) // 2 for n, k, m in ((height, kh, rows), (width, kw, columns))]
    top, left = over if kind.padding == "same" else (0, 0)
    for y, x, dy, dx, c in np.ndindex(rows, columns, kh, kw, depth):
        row, column = y * kind.stride + dy - top, x * kind.stride + dx - left
        if 0 <= row < height and 0 <= column < width:
            yield (row * width + column) * depth + c, y * columns + x, (dy * kw + dx) * depth + c


def case(name, precision, replicas=2, lanes=5, seed=1):
    """Return the kind, its taps by synapse, and images, signals and weights in a precision."""
    kind, draw = Convolution(**IMAGES[name]), np.random.default_rng(seed)
    rows, columns, channels = kind.output
    sizes = (replicas, lanes, int(np.prod(kind.image))), (replicas, lanes, rows * columns * channels)
    taps = (replicas, kind.kernel[0] * kind.kernel[1] * kind.image[2], channels)
    images, signals, weights = (draw.normal(size=size).astype(precision) for size in (*sizes, taps))
    return kind, list(synapses(kind)), images, signals, weights


def close(found, expected, precision):
    assert found.dtype == precision
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[precision] * max(1, np.abs(expected).max()))


every_image = pytest.mark.parametrize("name", IMAGES)


@pytest.mark.parametrize(("scale", "keep"), [(-0.7, True), (1.5, False)])
@every_image
def test_small_windows_times_weights_are_a_loop_over_positions_and_taps(name, precision, threads, scale, keep):
    kind, found, images, out, weights = case(name, precision)
    expected = keep * out.astype(float)
    view = expected.reshape(*out.shape[:2], -1, kind.channels)
    for pixel, position, tap in found:
        view[:, :, position] += scale * images[:, :, pixel, None] * weights[:, None, tap].astype(float)
    patches.convolve(geometry(kind), images, weights, out, scale, keep)
    close(out, expected, precision)


@every_image
def test_small_sums_of_windows_times_signals_are_added_to_the_weights(name, precision, threads):
    kind, found, images, signals, weights = case(name, precision)
    expected = weights.astype(float)
    view = signals.astype(float).reshape(*signals.shape[:2], -1, kind.channels)
    for pixel, position, tap in found:
        expected[:, tap] += -0.3 * np.einsum("rl,rlc->rc", images[:, :, pixel].astype(float), view[:, :, position])
    patches.correlate(geometry(kind), images, signals, weights, -0.3)
    close(weights, expected, precision)


@pytest.mark.parametrize(("scale", "keep"), [(-0.7, True), (1.5, False)])
@every_image
def test_small_signals_are_added_up_where_windows_lie(name, precision, threads, scale, keep):
    kind, found, images, signals, weights = case(name, precision)
    expected = keep * images.astype(float)
    view = signals.astype(float).reshape(*signals.shape[:2], -1, kind.channels)
    for pixel, position, tap in found:
        expected[:, :, pixel] += scale * np.einsum("rlc,rc->rl", view[:, :, position], weights[:, tap].astype(float))
    patches.spread(geometry(kind), signals, weights, images, scale, keep)
    close(images, expected, precision)


@pytest.mark.parametrize(("replicas", "lanes"), [(1, 1), (1, 4), (3, 1)])
def test_small_numbers_of_replicas_and_lanes(precision, threads, replicas, lanes):
    """Parts of the lanes that hold one or none, and that begin in the middle of a replica."""
    kind, found, images, out, weights = case("same, stride 2", precision, replicas, lanes)
    expected = np.zeros(out.shape).reshape(replicas, lanes, -1, kind.channels)
    for pixel, position, tap in found:
        expected[:, :, position] += images[:, :, pixel, None] * weights[:, None, tap].astype(float)
    patches.convolve(geometry(kind), images, weights, out)
    close(out, expected.reshape(out.shape), precision)


def test_small_results_that_keep_nothing_forget_what_is_not_finite(precision, threads):
    kind, _, images, out, weights = case("same", precision)
    given = images.copy()
    out[...] = np.nan
    patches.convolve(geometry(kind), given, weights, out)
    images[...] = np.nan
    patches.spread(geometry(kind), out, weights, images)
    assert np.isfinite(out).all() and np.isfinite(images).all()


def test_small_value_that_is_not_finite_reaches_its_own_windows_only(precision, threads):
    """A guard must see a network that diverges; the other lanes are not touched by scratch that is used again."""
    kind, found, images, out, weights = case("valid", precision)
    images[0, 1, 0] = np.nan
    patches.convolve(geometry(kind), images, weights, out)
    lost = np.isnan(out).reshape(*out.shape[:2], -1, kind.channels)
    assert lost.sum() == kind.channels * sum(pixel == 0 for pixel, *_ in found) and lost[0, 1, 0].all()


@pytest.mark.skipif(INTERPRETED in os.environ, reason="too large to interpret")
@pytest.mark.parametrize(("lanes", "several"), [(patches.SHARE - 1, False), (patches.SHARE, True)])
def test_threads_share_the_lanes_where_there_are_many_and_much_work(lanes, several, monkeypatch):
    """From SHARE lanes and THREADS_FROM multiplications on; results are those of one thread, the same every time."""
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    asked = []
    for name in ("_convolve_threads", "_correlate_threads", "_spread_threads"):
        own = getattr(patches, name)
        monkeypatch.setattr(patches, name, lambda *given, own=own: asked.append(given[0].tolist()) or own(*given))
    kind = Convolution((16, 16, 16), kernel=5, channels=32, padding="same")
    draw = np.random.default_rng(2)
    images, weights = draw.normal(size=(1, lanes, 16 * 16 * 16)), draw.normal(size=(1, 5 * 5 * 16, 32))
    out, back, change = np.empty((1, lanes, 16 * 16 * 32)), np.empty_like(images), np.zeros_like(weights)

    def carry_out():
        patches.convolve(geometry(kind), images, weights, out)
        patches.spread(geometry(kind), out, weights, back)
        change[...] = 0
        patches.correlate(geometry(kind), images, out, change, 0.1)
        return [array.copy() for array in (out, back, change)]

    assert out.size * weights.shape[1] >= patches.THREADS_FROM
    first, again = carry_out(), carry_out()
    assert asked == (6 * [[0, lanes // 2, lanes]] if several else [])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    monkeypatch.setattr(patches, "SHARE", lanes + 1)
    for a, b in zip(first, carry_out(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_little_work_is_done_on_one_thread():
    """However many lanes: to wake the others costs more."""
    assert patches._edges(10_000, patches.THREADS_FROM - 1).tolist() == [0, 10_000]
