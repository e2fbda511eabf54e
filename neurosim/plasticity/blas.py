"""Matrix products by SciPy's BLAS on numba's threads.

BLAS and numba bring threads of their own, and on as many cores as threads the idle ones of the one, which spin, keep
the busy ones of the other waiting: up to 8 ms at every change. So here BLAS always works on one thread, and numba's
threads each call it for a block of the result. This module imports numpy, scipy, numba and threadpoolctl only.
"""

import contextlib
import functools

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import get_cython_function_address, intrinsic
from scipy.linalg.blas import dgemm, sgemm
from threadpoolctl import ThreadpoolController

GEMM = {np.dtype(np.float32): sgemm, np.dtype(np.float64): dgemm}
ADDRESS = {
    np.dtype(np.float32): get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
    np.dtype(np.float64): get_cython_function_address("scipy.linalg.cython_blas", "dgemm"),
}
THREADS_FROM = 10_000_000  # multiplications from which waking the other threads pays
NORMAL, TRANSPOSED = 78, 84  # the letters N and T


@functools.cache
def _libraries():
    """Return controllers of the threads of SciPy's BLAS, or of all where none is SciPy's own."""
    found = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    return [library for library in found if "scipy" in library.filepath.lower()] or found


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
def _gemm(typing, address, integers, reals, a, b, c):
    """Call gemm at an address: ``integers`` is where m, n, k, lda, ldb, ldc and the two letters are, as int32."""

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        call = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), [pointer] * 13).as_pointer())

        def at(base, offset):
            return builder.inttoptr(builder.add(base, ir.Constant(ir.IntType(64), offset)), pointer)

        m, n, k, lda, ldb, ldc, ta, tb = (at(args[1], 4 * q) for q in range(8))
        alpha, beta = at(args[2], 0), at(args[2], 8)
        a, b, c = (at(args[q], 0) for q in (3, 4, 5))
        builder.call(call, [ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), codegen


@njit(cache=True, parallel=True)
def _blocks(edges, address, integers, split, reals, places, steps):
    """Carry out gemm block after block of its first or second size; ``places`` move by ``steps`` bytes a row."""
    for q in prange(edges.size - 1):
        own = integers.copy()
        own[split] = edges[q + 1] - edges[q]
        at = places + steps * edges[q]
        _gemm(address, own.ctypes.data, reals.ctypes.data, at[0], at[1], at[2])
        own[split] = 0  # numba frees an array after its last use, which must not be to take its address


def _threads(work, length):
    threads = numba.get_num_threads()
    return 1 if work < THREADS_FROM or length < 16 * threads else threads


def _in_blocks(threads, dtype, sizes, letters, alpha, beta, split, arrays, strides, steps):
    """Carry out a product on several threads, cut along its first (0) or second (1) size."""
    integers = np.array([*sizes, *strides, *letters], np.int32)
    reals = np.zeros(2 * (8 // dtype.itemsize), dtype)  # alpha, and beta 8 bytes on
    reals[0], reals[len(reals) // 2] = alpha, beta
    places = np.array([array.ctypes.data for array in arrays])
    edges = np.linspace(0, sizes[split], threads + 1).astype(np.int64)
    edges[1:-1] -= edges[1:-1] % 16  # whole lines of cache
    with one_thread():
        _blocks(edges, ADDRESS[dtype], integers, split, reals, places, np.array(steps) * dtype.itemsize)


def product(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b + beta out, for C-ordered matrices, in place."""
    (lanes, n), m = a.shape, b.shape[1]
    threads = _threads(lanes * n * m, m)
    if threads == 1:
        with one_thread():
            GEMM[out.dtype](alpha, b.T, a.T, beta=beta, c=out.T, overwrite_c=1)
        return
    sizes, letters = (m, lanes, n), (NORMAL, NORMAL)
    _in_blocks(threads, out.dtype, sizes, letters, alpha, beta, 0, (b, a, out), (m, n, m), (1, 0, 1))


def product_transposed(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b^T + beta out, for C-ordered matrices, in place."""
    (lanes, m), n = a.shape, b.shape[0]
    threads = _threads(lanes * n * m, n)
    if threads == 1:
        with one_thread():
            GEMM[out.dtype](alpha, b.T, a.T, trans_a=1, beta=beta, c=out.T, overwrite_c=1)
        return
    sizes, letters = (n, lanes, m), (TRANSPOSED, NORMAL)
    _in_blocks(threads, out.dtype, sizes, letters, alpha, beta, 0, (b, a, out), (m, m, n), (m, 0, 1))


def outer_product(a, b, out, alpha, beta=1.0):
    """out = beta out + alpha a^T b, for C-ordered matrices with one row a lane, in place; ``a`` may be some columns."""
    (lanes, n), m = a.shape, b.shape[1]
    threads = _threads(lanes * n * m, n)
    if threads == 1:
        with one_thread():
            GEMM[out.dtype](alpha, b.T, a.T, beta=beta, c=out.T, trans_b=1, overwrite_c=1)
        return
    sizes, letters, across = (m, n, lanes), (NORMAL, TRANSPOSED), a.strides[0] // a.itemsize
    _in_blocks(threads, out.dtype, sizes, letters, alpha, beta, 1, (b, a, out), (m, across, m), (0, 1, m))
