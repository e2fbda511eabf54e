"""Every kernel equals NumPy's einsum: by replica, in both precisions, on one thread and on several."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from neurosim.plasticity import blas, kernels

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
INTERPRETED = "NEUROSIM_TESTS_INTERPRETED"


@pytest.fixture(params=[np.float32, np.float64])
def precision(request):
    return request.param


@pytest.fixture(params=[1, 3])
def replicas(request):
    return request.param


@pytest.fixture(params=["serial", "threaded"])
def threads(request, monkeypatch):
    """Serial below PARALLEL_FROM, as it is; threaded as if above it: three uneven blocks of columns."""
    if request.param == "threaded":
        monkeypatch.setattr(kernels, "_blocks", lambda touched, n: np.linspace(0, n, 4).astype(np.int64))


@pytest.fixture
def case(precision, replicas):
    """Weights (replicas, 11, 7), factors of both sides, something in the output, and spikes by replica."""
    draw = np.random.default_rng(7)
    n_pre, n_post = 11, 7
    spikes = draw.random((replicas, n_pre)) < 0.5
    return {
        "w": draw.normal(size=(replicas, n_pre, n_post)).astype(precision),
        "pre": draw.normal(size=(replicas, n_pre)).astype(precision),
        "post": draw.normal(size=(replicas, n_post)).astype(precision),
        "out": draw.normal(size=(replicas, n_post)).astype(precision),
        "spikes": spikes,
        "scale": precision(0.7),
        "tolerance": TOLERANCE[precision] * 10,
    }


def rows_of(spikes):
    """Indices into the rows of all replicas, as brian2 lists spikes."""
    return np.flatnonzero(spikes).astype(np.int32)


def flat(weights):
    return weights.reshape(-1, weights.shape[2])


@pytest.mark.parametrize("some", ["all", "some", "none", "last"])
@pytest.mark.parametrize("keep", [True, False])
def test_small_deliver_rows_sums_the_rows_that_spiked(case, threads, keep, some):
    spikes = case["spikes"].copy()
    if some in ("all", "none"):
        spikes[...] = some == "all"
    if some == "last":  # no replica but the last has a spike
        spikes[:-1] = False
    expected = case["scale"] * np.einsum("ri,rij->rj", spikes, case["w"]) + keep * case["out"]
    out = case["out"].copy()
    kernels.deliver_rows(flat(case["w"]), rows_of(spikes), spikes.shape[1], case["scale"], keep, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=case["tolerance"])


@pytest.mark.parametrize("keep", [True, False])
def test_small_deliver_dense_sums_all_rows_with_their_factor(case, threads, keep):
    expected = case["scale"] * np.einsum("ri,rij->rj", case["pre"], case["w"]) + keep * case["out"]
    out = case["out"].copy()
    kernels.deliver_dense(flat(case["w"]), case["pre"], case["scale"], keep, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=case["tolerance"])


@pytest.mark.parametrize("some", [True, False])
def test_small_learn_rows_changes_the_rows_that_spiked_and_no_other(case, threads, some):
    spikes = case["spikes"] & some
    w = case["w"].copy()
    kernels.learn_rows(flat(w), rows_of(spikes), spikes.shape[1], case["post"])
    np.testing.assert_allclose(
        w, case["w"] + np.einsum("ri,rj->rij", spikes, case["post"]), rtol=0, atol=case["tolerance"]
    )
    assert np.array_equal(w[~spikes], case["w"][~spikes])


def test_small_learn_dense_adds_the_outer_product_of_each_replica(case, threads):
    w = case["w"].copy()
    kernels.learn_dense(flat(w), case["pre"], case["post"])
    expected = case["w"] + np.einsum("ri,rj->rij", case["pre"], case["post"])
    np.testing.assert_allclose(w, expected, rtol=0, atol=case["tolerance"])


def test_small_delivery_that_keeps_nothing_forgets_what_is_not_finite(case, threads):
    """0 * nan is nan: what is not kept must not be multiplied either; what is delivered must stay infinite."""
    out = np.full_like(case["out"], np.nan)
    kernels.deliver_dense(flat(case["w"]), case["pre"], case["scale"], False, out)
    assert np.isfinite(out).all()
    case["w"][0, 0, 0], case["pre"][0, 0] = np.inf, 1
    kernels.deliver_dense(flat(case["w"]), case["pre"], case["scale"], False, out)
    assert np.isinf(out[0, 0]) and np.isfinite(out.ravel()[1:]).all()
    case["w"][0, 1, 0], case["pre"][0, 1] = -np.inf, 1
    kernels.deliver_dense(flat(case["w"]), case["pre"], case["scale"], False, out)
    assert np.isnan(out[0, 0])


@pytest.mark.parametrize(("lanes", "n_pre", "n_post"), [(4, 5, 7), (1, 5, 7), (4, 1, 7), (4, 5, 1), (1, 1, 1)])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.7, 1.0), (-2.0, 0.5)])
def test_small_products_equal_einsum_in_place(precision, lanes, n_pre, n_post, alpha, beta):
    """Not square, so that a transposed operand shows; one row or one column, where C and Fortran order are the same."""
    draw = np.random.default_rng(3)
    a = draw.normal(size=(lanes, n_pre)).astype(precision)
    w = draw.normal(size=(n_pre, n_post)).astype(precision)
    b = draw.normal(size=(lanes, n_post)).astype(precision)
    tolerance = {"rtol": 0, "atol": TOLERANCE[precision] * 20}

    out = b.copy()
    blas.product(a, w, out, alpha=alpha, beta=beta)
    np.testing.assert_allclose(out, alpha * np.einsum("li,ij->lj", a, w) + beta * b, **tolerance)

    back = np.empty((lanes, n_pre), precision)
    blas.product_transposed(b, w, back)
    np.testing.assert_allclose(back, np.einsum("lj,ij->li", b, w), **tolerance)

    changed = w.copy()
    blas.outer_product(a, b, changed, alpha)
    np.testing.assert_allclose(changed, w + alpha * np.einsum("li,lj->ij", a, b), **tolerance)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize(("lanes", "n_pre", "n_post"), [(7, 65, 70), (1, 300, 300), (33, 200, 47), (100, 131, 385)])
def test_products_on_two_threads_equal_those_on_one(precision, lanes, n_pre, n_post, monkeypatch):
    """Blocks of the result by numba's threads; also a slice of columns of one factor, as tiles of weights take it."""
    monkeypatch.setattr(blas, "THREADS_FROM", 0)
    monkeypatch.setattr(blas, "_threads", lambda work, length: 2)
    draw = np.random.default_rng(n_pre)
    a, b, w = (draw.normal(size=size).astype(precision) for size in ((lanes, n_pre), (lanes, n_post), (n_pre, n_post)))
    doubles = [x.astype(float) for x in (a, b, w)]
    tolerance = 100 * np.finfo(precision).eps
    out, back = draw.normal(size=(lanes, n_post)).astype(precision), np.empty_like(a)
    expected = 1.5 * doubles[0] @ doubles[2] + 0.5 * out
    blas.product(a, w, out, 1.5, 0.5)
    blas.product_transposed(b, w, back, 2.0)
    some = np.empty((n_pre // 2, n_post), precision)
    blas.outer_product(a[:, 5 : 5 + n_pre // 2], b, some, 0.3, 0.0)
    blas.outer_product(a, b, w, 0.3)
    for found, wanted in (
        (out, expected),
        (back, 2 * doubles[1] @ doubles[2].T),
        (some, 0.3 * doubles[0][:, 5 : 5 + n_pre // 2].T @ doubles[1]),
        (w, doubles[2] + 0.3 * doubles[0].T @ doubles[1]),
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


STACKS = [(1, 4, 5, 7), (20, 3, 5, 7), (3, 1, 11, 2), (2, 5, 1, 3), (5, 2, 3, 1), (4, 1, 1, 1)]


def by_replica(a, b, out, alpha, beta, text):
    """The product in double precision, one replica after another."""
    double = [array.astype(float) for array in (a, b, out)]
    return np.array([alpha * np.einsum(text, x, y) + beta * z for x, y, z in zip(*double, strict=True)])


def check_stacks(precision, replicas, lanes, n_pre, n_post, alpha, beta):
    """Compare all three products of a stack with a loop over its replicas, and what lies beside the results."""
    draw = np.random.default_rng(11)
    tolerance = (1e-5 if precision == np.float32 else 1e-12) * max(1, n_pre, n_post, lanes) ** 0.5

    def normal(*size):
        return draw.normal(size=(replicas, *size)).astype(precision)

    a, b, w = normal(lanes, n_pre), normal(lanes, n_post), normal(n_pre, n_post)
    wide = normal(lanes, n_pre + 4)
    out, back, rest = normal(lanes, n_post), normal(lanes, n_pre), normal(n_pre + 3, n_post)
    some = rest[:, 1 : 1 + n_pre]  # some rows of all replicas
    for product, x, y, z, text in (
        (blas.product, a, w, out, "li,ij->lj"),
        (blas.product_transposed, b, w, back, "lj,ij->li"),
        (blas.outer_product, a, b, w, "li,lj->ij"),
        (blas.outer_product, wide[:, :, 3 : 3 + n_pre], b, some, "li,lj->ij"),
    ):
        expected = by_replica(x, y, z, alpha, beta, text)
        beside = rest.copy()
        product(x, y, z, alpha, beta)
        np.testing.assert_allclose(z, expected, rtol=0, atol=tolerance)
        if z is some:
            np.testing.assert_array_equal(rest[:, [0, -2, -1]], beside[:, [0, -2, -1]])


@pytest.mark.parametrize("size", STACKS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.7, 1.0), (-2.0, 0.5)])
def test_small_stacks_of_products_equal_a_loop_over_replicas(precision, size, alpha, beta):
    check_stacks(precision, *size, alpha, beta)


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize("size", [(1, 7, 65, 70), (5, 4, 33, 47), (2, 33, 40, 19), (20, 3, 5, 7)])
def test_stacks_on_threads_equal_a_loop_over_replicas(precision, size, parts, monkeypatch):
    """Parts of the results that hold several replicas, one, or a piece of one; more parts than threads."""
    monkeypatch.setattr(blas, "_threads", lambda work, length: parts)
    check_stacks(precision, *size, 0.7, 0.5)


def test_stack_large_enough_wakes_the_threads_and_is_the_same_every_time(monkeypatch):
    asked, quietened, own, quieten = [], [], blas._threads, blas.one_thread
    monkeypatch.setattr(blas, "_threads", lambda *given: asked.append(own(*given)) or asked[-1])
    monkeypatch.setattr(blas, "one_thread", lambda: quietened.append(1) or quieten())
    draw = np.random.default_rng(0)
    a, w = draw.normal(size=(6, 40, 210)), draw.normal(size=(6, 210, 200))
    found = [np.full((6, 40, 200), np.nan) for _ in range(3)]
    for out in found:
        blas.product(a, w, out)
    assert a.size * 200 > blas.THREADS_FROM and asked == 3 * [numba.get_num_threads()] and len(quietened) == 3
    np.testing.assert_allclose(found[0], np.einsum("rli,rij->rlj", a, w), rtol=0, atol=1e-12)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_blas_has_its_threads_again_after_a_product():
    with threadpool_limits(2, user_api="blas"):
        before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        with blas.one_thread():
            inside = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert 1 in inside
        blas.product(np.ones((2, 4)), np.ones((4, 3)), np.empty((2, 3)))
        blas.product(np.ones((3, 2, 400)), np.ones((3, 400, 30)), np.empty((3, 2, 30)))
        assert [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"] == before


@pytest.mark.parametrize(("lanes", "quietened"), [(2, 0), (50, 1)])
def test_threads_of_blas_are_asked_for_once_for_all_replicas_and_not_for_small_products(lanes, quietened, monkeypatch):
    entered, own = [], blas.one_thread
    monkeypatch.setattr(blas, "one_thread", lambda: entered.append(1) or own())
    blas.product(np.ones((20, lanes, 30)), np.ones((20, 30, 20)), np.empty((20, lanes, 20)))
    assert len(entered) == quietened and (lanes * 30 * 20 > blas.SMALL) == quietened


@pytest.mark.parametrize("wrong", ["inner", "outer", "replicas", "precision", "order", "gaps", "rows that are one"])
def test_small_product_refuses_what_gemm_would_take_without_a_word(wrong):
    """It sees addresses and strides only."""
    a, b, out = np.ones((3, 2, 4)), np.ones((3, 4, 5)), np.zeros((3, 2, 5))
    a, b, out = {
        "inner": (a[:, :, :3], b, out),
        "outer": (a, b, out[:, :1]),
        "replicas": (a[:2], b, out),
        "precision": (a.astype(np.float32), b, out),
        "order": (a, b, np.zeros((3, 5, 2)).transpose(0, 2, 1)),
        "gaps": (np.ones((3, 2, 8))[:, :, ::2], b, out),
        "rows that are one": (np.broadcast_to(a[:, :1], a.shape), b, out),
    }[wrong]
    with pytest.raises(ValueError, match="shapes" if wrong in ("inner", "outer", "replicas") else "C order"):
        blas.product(a, b, out)
    assert not out.any()


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("keep", [True, False])
def test_small_lists_of_all_replicas_equal_their_matrices(precision, replicas, lanes, keep):
    draw = np.random.default_rng(4)
    pairs = draw.random((6, 5)) < 0.5
    pairs[2], pairs[:, 1] = False, False
    i, j = np.nonzero(pairs)
    indptr, values = np.searchsorted(i, np.arange(7)), draw.normal(size=(replicas, i.size)).astype(precision)
    w = np.zeros((replicas, *pairs.shape), precision)
    w[:, i, j] = values
    a, b = (draw.normal(size=(replicas, lanes, n)).astype(precision) for n in pairs.shape)
    tolerance = {"rtol": 0, "atol": 20 * TOLERANCE[precision]}

    out = np.zeros((replicas, 5, lanes), precision)
    kernels.deliver_list(values, indptr, j, np.ascontiguousarray(a.transpose(0, 2, 1)), out)
    np.testing.assert_allclose(out, np.einsum("rli,rij->rjl", a, w), **tolerance)

    back = a.copy()
    kernels.deliver_list_backwards(values, indptr, j, b, precision(0.5), keep, back)
    np.testing.assert_allclose(back, 0.5 * np.einsum("rlj,rij->rli", b, w) + keep * a, **tolerance)


def test_small_product_that_keeps_nothing_forgets_what_is_not_finite(precision):
    out = np.full((2, 3), np.nan, precision)
    blas.product(np.ones((2, 4), precision), np.ones((4, 3), precision), out)
    assert (out == 4).all()


@pytest.mark.skipif(INTERPRETED in os.environ, reason="too large to interpret")
@pytest.mark.parametrize("n_post", [450, 451])
def test_kernels_are_right_at_the_size_from_which_threads_share_the_work(precision, n_post):
    """The largest serial case and the smallest threaded one, on as many threads as this machine has."""
    n_pre = kernels.PARALLEL_FROM // 450
    assert (n_pre * 450 < kernels.PARALLEL_FROM <= n_pre * 451) or numba.get_num_threads() == 1
    draw = np.random.default_rng(5)
    w = draw.normal(size=(1, n_pre, n_post)).astype(precision)
    pre, post = draw.normal(size=(1, n_pre)).astype(precision), draw.normal(size=(1, n_post)).astype(precision)
    every = np.arange(n_pre, dtype=np.int32)
    tolerance = {"rtol": 0, "atol": TOLERANCE[precision] * 200}

    out = np.zeros((1, n_post), precision)
    kernels.deliver_dense(w[0], pre, precision(1), False, out)
    np.testing.assert_allclose(out, pre.astype(float) @ w[0].astype(float), **tolerance)
    kernels.deliver_rows(w[0], every, n_pre, precision(1), False, out)
    np.testing.assert_allclose(out[0], w[0].sum(axis=0, dtype=float), **tolerance)
    changed = w.copy()
    kernels.learn_dense(changed[0], pre, post)
    np.testing.assert_allclose(changed, w + np.einsum("ri,rj->rij", pre, post), **tolerance)
    changed = w.copy()
    kernels.learn_rows(changed[0], every, n_pre, post)
    np.testing.assert_allclose(changed, w + post[:, None], **tolerance)


@pytest.mark.skipif(INTERPRETED in os.environ, reason="this is the interpreted run")
@pytest.mark.parametrize("file", ["test_kernels.py", "test_patches.py", "test_blocks.py"])
def test_kernels_without_compilation_pass_the_small_cases(file):
    """NUMBA_DISABLE_JIT=1: the kernels as plain Python, for those who debug or measure coverage."""
    path = os.path.join(os.path.dirname(__file__), file)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "small", path]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", INTERPRETED: "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "failed" not in done.stdout
