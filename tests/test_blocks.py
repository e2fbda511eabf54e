"""Windows with weights of their own equal loops over positions and taps, whichever way their weights are kept."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from test_patches import IMAGES as OTHERS
from test_patches import close, synapses

from neurosim.connectivity import Backward, Local
from neurosim.plasticity import blocks

IMAGES = OTHERS | {"kernel 1": dict(image=(2, 3, 2), kernel=1, channels=2)}  # windows side by side are two, not one
every_image = pytest.mark.parametrize(
    "name",
    [
        "valid, stride 2",
        "same, even kernel",
        "same, stride 2",
        "same, stride 3, kernel 1",
        "larger than the image",
        "kernel 1",
    ],
)
every_sum = pytest.mark.parametrize(
    ("precision", "scale", "keep"), [(np.float32, -0.7, True), (np.float64, 1.5, False)]
)


@pytest.fixture(params=["serial", "threaded"], autouse=True)
def threads(request, monkeypatch):
    """Serial as these small sizes are; threaded as if they were larger: three uneven parts."""
    if request.param == "threaded":
        monkeypatch.setattr(blocks, "_edges", lambda count, work: np.linspace(0, count, 4).astype(np.int64))


@pytest.fixture(params=["forward", "backward"])
def case(request):
    """Return a function: name of an image to its blocks, synapses, and images, signals and weights in a precision."""

    def make(name, precision, replicas=2, lanes=5):
        kind, draw = Local(**IMAGES[name]), np.random.default_rng(1)
        image, windows = (SimpleNamespace(n=int(np.prod(shape)), name="x") for shape in (kind.image, kind.output))
        if request.param == "forward":
            layout = kind.layout(image, windows, None, "")
            order = {(i, j): s for s, (i, j) in enumerate(zip(layout.i, layout.j, strict=True))}
        else:
            layout = Backward(kind).layout(windows, image, None, "")
            order = {(i, j): s for s, (j, i) in enumerate(zip(layout.i, layout.j, strict=True))}
        found = [
            (i, p * kind.channels + c, order[i, p * kind.channels + c])
            for i, p, _ in synapses(kind)
            for c in range(kind.channels)
        ]
        assert len(found) == len(order) == layout.stored[0]
        sizes = (replicas, lanes, image.n), (replicas, lanes, windows.n), (replicas, len(order))
        arrays = (draw.normal(size=size).astype(precision) for size in sizes)
        return layout.blocks, [np.array(index) for index in zip(*found, strict=True)], *arrays

    return make


@every_sum
@every_image
def test_small_windows_receive_the_sum_over_their_synapses(name, case, precision, scale, keep):
    known, (i, j, s), images, out, weights = case(name, precision)
    expected = np.where(keep, out, 0).astype(float)
    np.add.at(expected, (..., j), scale * images[..., i].astype(float) * weights[:, None, s])
    out[...] = out if keep else np.nan  # which must be forgotten
    blocks.convolve(known, images, weights, out, scale, keep)
    close(out, expected, precision)


@every_sum
@every_image
def test_small_images_receive_what_windows_send_back(name, case, precision, scale, keep):
    known, (i, j, s), images, signals, weights = case(name, precision)
    expected = np.where(keep, images, 0).astype(float)
    np.add.at(expected, (..., i), scale * signals[..., j].astype(float) * weights[:, None, s])
    images[...] = images if keep else np.nan
    blocks.spread(known, signals, weights, images, scale, keep)
    close(images, expected, precision)


@every_sum
@every_image
def test_small_change_of_a_weight_is_the_sum_over_lanes_of_both_sides(name, case, precision, scale, keep):
    known, (i, j, s), images, signals, weights = case(name, precision)
    expected = np.where(keep, weights, 0).astype(float)
    expected[:, s] += scale * np.einsum("rls,rls->rs", images[..., i].astype(float), signals[..., j].astype(float))
    weights[...] = weights if keep else np.nan
    blocks.correlate(known, images, signals, weights, scale, keep)
    close(weights, expected, precision)


def test_value_that_is_not_finite_stays_in_its_lane(case):
    known, (i, j, _), images, out, weights = case("valid", np.float32)
    images[0, 1, 0] = np.nan
    blocks.convolve(known, images, weights, out)
    lost = np.isnan(out)
    assert set(np.flatnonzero(lost[0, 1])) == set(j[i == 0]) and lost.sum() == lost[0, 1].sum()


def test_threads_share_lanes_and_positions_where_there_is_much_work(threads, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    assert blocks._edges(100, blocks.THREADS_FROM).tolist() == [0, 50, 100]
    assert blocks._edges(100, blocks.THREADS_FROM - 1).tolist() == [0, 100]
    assert blocks._edges(1, blocks.THREADS_FROM).tolist() == [0, 1]
