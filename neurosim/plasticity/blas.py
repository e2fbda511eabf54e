"""Matrix products of all replicas in one call, by SciPy's BLAS on numba's threads.

BLAS and numba bring threads of their own, and on as many cores as threads the idle ones of the one, which spin, keep
the busy ones of the other waiting: up to 8 ms at every change. So here BLAS always works on one thread, and numba's
threads each call it for a part of the results. Where replicas are small, what a call costs in Python is most of the
time, so that all of them share one call. This module imports numpy, scipy, numba and threadpoolctl only.
"""

import contextlib
import functools

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic
from scipy.linalg.blas import dgemm, sgemm
from threadpoolctl import ThreadpoolController

ADDRESS = {
    np.dtype(np.float32): get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
    np.dtype(np.float64): get_cython_function_address("scipy.linalg.cython_blas", "dgemm"),
}
THREADS_FROM = 4_000_000  # multiplications from which waking the other threads pays
SMALL = 9_000  # multiplications of one product up to which OpenBLAS takes one thread without being told
NORMAL, TRANSPOSED = 78, 84  # the letters N and T


@functools.cache
def _libraries():
    """Return controllers of the threads of SciPy's BLAS, or of all where none is SciPy's own."""
    found = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    return [library for library in found if "scipy" in library.filepath.lower()] or found


_held = []  # what holds BLAS to one thread for the time of a run


@contextlib.contextmanager
def held():
    """Keep BLAS to one thread for the time of a run, so that no product of it has to ask."""
    with one_thread():
        _held.append(True)
        try:
            yield
        finally:
            _held.pop()


@contextlib.contextmanager
def one_thread():
    """Keep BLAS to one thread for a while."""
    before = [(library, library.get_num_threads()) for library in _libraries()]
    for library, count in before:
        if count != 1:
            library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in before:
            if count != 1:
                library.set_num_threads(count)


@intrinsic
def _gemm(typing, address, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """Call gemm at an address; a, b and c are addresses too."""

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        call = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), [pointer] * 13).as_pointer())
        given = []
        for value, kind in zip(args[1:], signature.args[1:], strict=True):
            if kind == types.int64:
                given.append(builder.inttoptr(value, pointer))
            else:  # Fortran takes all by reference
                given.append(builder.bitcast(cgutils.alloca_once_value(builder, value), pointer))
        builder.call(call, given)
        return context.get_dummy_value()

    letter, size, place = types.uint8, types.int32, types.int64
    sizes = (letter, letter, size, size, size)
    return types.void(place, *sizes, alpha, place, size, place, size, beta, place, size), codegen


@njit(cache=True)
def _product(address, a_transposed, b_transposed, alpha, beta, a, b, out):
    """out = alpha a b + beta out for matrices whose rows are each without gaps; to gemm they are transposed."""
    rows, columns = out.shape
    inner = a.shape[0] if a_transposed else a.shape[1]
    strides = max(b.strides[0] // b.itemsize, b.shape[1]), max(a.strides[0] // a.itemsize, a.shape[1])
    ta, tb = TRANSPOSED if b_transposed else NORMAL, TRANSPOSED if a_transposed else NORMAL
    at = b.ctypes.data, a.ctypes.data, out.ctypes.data
    across = max(out.strides[0] // out.itemsize, columns)
    _gemm(address, ta, tb, columns, rows, inner, alpha, at[0], strides[0], at[1], strides[1], beta, at[2], across)


if numba.config.DISABLE_JIT:

    def _product(address, a_transposed, b_transposed, alpha, beta, a, b, out):  # noqa: F811
        gemm = sgemm if out.dtype == np.float32 else dgemm
        out[...] = gemm(alpha, b.T, a.T, beta=beta, c=out.T, trans_a=b_transposed, trans_b=a_transposed).T


@njit(cache=True)
def _unfit(array, out):
    """Say whether gemm cannot take an array: another precision than the result's, gaps in rows, rows that overlap."""
    _, rows, columns = array.shape
    gaps = columns > 1 and array.strides[2] != array.itemsize
    overlap = rows > 1 and array.strides[1] < columns * array.itemsize
    return gaps or overlap or array.itemsize != out.itemsize


@njit(cache=True)
def _check(a_transposed, b_transposed, a, b, out):
    """Refuse what gemm would take without a word: it sees addresses only."""
    (n, rows, inner), (k, other, columns) = a.shape, b.shape
    if a_transposed:
        rows, inner = inner, rows
    if b_transposed:
        other, columns = columns, other
    if not (n == k == out.shape[0] and inner == other and rows == out.shape[1] and columns == out.shape[2]):
        raise ValueError("the shapes of a product do not fit")
    if _unfit(a, out) or _unfit(b, out) or _unfit(out, out):
        raise ValueError("a product needs matrices of one precision, in C order")


@njit(cache=True)
def _some(low, high, address, a_transposed, b_transposed, alpha, beta, a, b, out):
    """Carry out the products of a range of the results: rows, or columns, of all replicas one after another."""
    factor, keep = out.dtype.type(alpha), out.dtype.type(beta)
    rows, columns = out.shape[1], out.shape[2]
    length = rows if a_transposed else columns
    for r in range(low // length, (high - 1) // length + 1):
        first, last = max(low - r * length, 0), min(high - r * length, length)
        top, bottom, left, right = (first, last, 0, columns) if a_transposed else (0, rows, first, last)
        each = a[r, :, top:bottom] if a_transposed else a[r, top:bottom, :]
        other = b[r, left:right, :] if b_transposed else b[r, :, left:right]
        _product(address, a_transposed, b_transposed, factor, keep, each, other, out[r, top:bottom, left:right])


@njit(cache=True)
def _serial(address, a_transposed, b_transposed, alpha, beta, a, b, out):
    _check(a_transposed, b_transposed, a, b, out)
    length = out.shape[1] if a_transposed else out.shape[2]
    _some(0, out.shape[0] * length, address, a_transposed, b_transposed, alpha, beta, a, b, out)


@njit(cache=True, parallel=True)
def _on_threads(edges, address, a_transposed, b_transposed, alpha, beta, a, b, out):
    _check(a_transposed, b_transposed, a, b, out)
    for q in prange(edges.size - 1):
        _some(edges[q], edges[q + 1], address, a_transposed, b_transposed, alpha, beta, a, b, out)


def _threads(work, length):
    if work < THREADS_FROM:
        return 1
    threads = numba.get_num_threads()
    return 1 if length < 16 * threads else threads


def _products(a_transposed, b_transposed, alpha, beta, a, b, out):
    """Carry out the products of all replicas, on several threads where there is enough to do."""
    if out.ndim == 2:
        a, b, out = a[None], b[None], out[None]
    replicas, rows, columns = out.shape
    each = rows * columns * a.shape[1 if a_transposed else 2]
    length = rows if a_transposed else columns
    threads = _threads(replicas * each, replicas * length)
    more = ADDRESS[out.dtype], a_transposed, b_transposed, alpha, beta, a, b, out
    if threads > 1:
        edges = np.linspace(0, replicas * length, threads + 1).astype(np.int64)
        edges[1:-1] -= edges[1:-1] % length % 16  # whole lines of cache
        more = edges, *more
    carry_out = _on_threads if threads > 1 else _serial
    if _held or (threads == 1 and each <= SMALL):
        carry_out(*more)
    else:
        with one_thread():
            carry_out(*more)


def product(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b + beta out, in place, for matrices or for stacks of them (replicas, ...), C-ordered."""
    _products(False, False, alpha, beta, a, b, out)


def product_transposed(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b^T + beta out, in place, for matrices or for stacks of them (replicas, ...), C-ordered."""
    _products(False, True, alpha, beta, a, b, out)


def outer_product(a, b, out, alpha, beta=1.0):
    """out = beta out + alpha a^T b, in place, for matrices with one row a lane, or for stacks of them (replicas, ...).

    C-ordered; ``a`` may be some columns of a matrix.
    """
    _products(True, False, alpha, beta, a, b, out)
