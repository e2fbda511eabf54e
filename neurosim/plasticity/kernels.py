"""Kernels: what a projection does to its weights in one step.

In many lanes delivering and learning are matrix products, all by SciPy's BLAS: NumPy brings a second one with threads
of its own, and the two would wait for each other. In one lane they are sums over rows, and with
spikes only the rows of the neurons that spiked are touched. Weights are (rows, n_post), the rows of all replicas
one after another; ``rows`` are their indices, in ascending order. This module imports numpy, scipy and numba only.
"""

import numba
import numpy as np
from numba import njit, prange
from scipy.linalg.blas import dgemm, sgemm

GEMM = {np.dtype(np.float32): sgemm, np.dtype(np.float64): dgemm}
PARALLEL_FROM = 200_000  # weights touched from which waking the other threads pays
FAST = {"contract", "reassoc", "nsz"}  # sums may be reordered; nan and inf keep their meaning, the guards need them


def product(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b + beta out, for C-ordered matrices, in place."""
    GEMM[out.dtype](alpha, b.T, a.T, beta=beta, c=out.T, overwrite_c=1)


def product_transposed(a, b, out, alpha=1.0, beta=0.0):
    """out = alpha a b^T + beta out, for C-ordered matrices, in place."""
    GEMM[out.dtype](alpha, b.T, a.T, trans_a=1, beta=beta, c=out.T, overwrite_c=1)


def outer_product(a, b, out, alpha, beta=1.0):
    """out = beta out + alpha a^T b, for C-ordered matrices with one row a lane, in place."""
    GEMM[out.dtype](alpha, b.T, a.T, beta=beta, c=out.T, trans_b=1, overwrite_c=1)


@njit(cache=True, fastmath=FAST)
def deliver_list_backwards(weights, indptr, index, post, scale, keep, out):
    """out[l, i] = scale * sum over the synapses s of i of weights[s] * post[l, index[s]] (+ out[l, i])."""
    for lane in range(out.shape[0]):
        for i in range(out.shape[1]):
            total = weights.dtype.type(0)
            for s in range(indptr[i], indptr[i + 1]):
                total += weights[s] * post[lane, index[s]]
            out[lane, i] = scale * total + (out[lane, i] if keep else 0)


@njit(cache=True)
def gather_patches(patches, taps, keep, out):
    """out[l, i] = sum of the entries of all patches that lie on i (+ out[l, i]); taps out of range are dropped."""
    positions, n = taps.shape[0], out.shape[1]
    for lane in range(out.shape[0]):
        if not keep:
            out[lane, :] = 0
        for position in range(positions):
            for k in range(taps.shape[1]):
                if taps[position, k] < n:
                    out[lane, taps[position, k]] += patches[lane * positions + position, k]


@njit(cache=True, fastmath=FAST)
def _deliver_rows(low, high, weights, rows, n_pre, scale, keep, out):
    for r in range(out.shape[0]):
        total = np.zeros(high - low, weights.dtype)
        k, end = np.searchsorted(rows, r * n_pre), np.searchsorted(rows, (r + 1) * n_pre)
        while k + 4 <= end:  # four rows a pass: the running total is read and written once for four
            a, b = weights[rows[k], low:high], weights[rows[k + 1], low:high]
            c, d = weights[rows[k + 2], low:high], weights[rows[k + 3], low:high]
            for j in range(total.size):
                total[j] += (a[j] + b[j]) + (c[j] + d[j])
            k += 4
        for rest in range(k, end):
            row = weights[rows[rest], low:high]
            for j in range(total.size):
                total[j] += row[j]
        for j in range(total.size):
            out[r, low + j] = scale * total[j] + (out[r, low + j] if keep else 0)


@njit(cache=True, fastmath=FAST)
def _deliver_dense(low, high, weights, pre, scale, keep, out):
    n_pre = pre.shape[1]
    for r in range(out.shape[0]):
        total = np.zeros(high - low, weights.dtype)
        first = r * n_pre
        i = 0
        while i + 4 <= n_pre:
            a, b = weights[first + i, low:high], weights[first + i + 1, low:high]
            c, d = weights[first + i + 2, low:high], weights[first + i + 3, low:high]
            f, g, h, k = pre[r, i], pre[r, i + 1], pre[r, i + 2], pre[r, i + 3]
            for j in range(total.size):
                total[j] += (f * a[j] + g * b[j]) + (h * c[j] + k * d[j])
            i += 4
        for rest in range(i, n_pre):
            row = weights[first + rest, low:high]
            for j in range(total.size):
                total[j] += pre[r, rest] * row[j]
        for j in range(total.size):
            out[r, low + j] = scale * total[j] + (out[r, low + j] if keep else 0)


@njit(cache=True, fastmath=FAST)
def _learn_rows(low, high, weights, rows, n_pre, change):
    for k in range(rows.size):
        row = weights[rows[k], low:high]
        delta = change[rows[k] // n_pre, low:high]
        for j in range(row.size):
            row[j] += delta[j]


@njit(cache=True, fastmath=FAST)
def _learn_dense(low, high, weights, pre, change):
    n_pre = pre.shape[1]
    for i in range(weights.shape[0]):
        factor = pre[i // n_pre, i % n_pre]
        row = weights[i, low:high]
        delta = change[i // n_pre, low:high]
        for j in range(row.size):
            row[j] += factor * delta[j]


# Over threads: each takes a block of columns, so that no two write to one place. numba's cache does not tell the
# two compilations of one function apart, hence a function of its own for each.


@njit(cache=True, parallel=True)
def _deliver_rows_threads(edges, weights, rows, n_pre, scale, keep, out):
    for b in prange(edges.size - 1):
        _deliver_rows(edges[b], edges[b + 1], weights, rows, n_pre, scale, keep, out)


@njit(cache=True, parallel=True)
def _deliver_dense_threads(edges, weights, pre, scale, keep, out):
    for b in prange(edges.size - 1):
        _deliver_dense(edges[b], edges[b + 1], weights, pre, scale, keep, out)


@njit(cache=True, parallel=True)
def _learn_rows_threads(edges, weights, rows, n_pre, change):
    for b in prange(edges.size - 1):
        _learn_rows(edges[b], edges[b + 1], weights, rows, n_pre, change)


@njit(cache=True, parallel=True)
def _learn_dense_threads(edges, weights, pre, change):
    for b in prange(edges.size - 1):
        _learn_dense(edges[b], edges[b + 1], weights, pre, change)


def _blocks(touched, n_post):
    """Return the borders of column blocks, one block a thread, or None where one thread is enough."""
    threads = numba.get_num_threads()
    if threads == 1 or touched < PARALLEL_FROM:
        return None
    return np.linspace(0, n_post, threads + 1).astype(np.int64)


def deliver_rows(weights, rows, n_pre, scale, keep, out):
    """out[r] = scale * sum of the weight rows of replica r (+ out[r] where ``keep``); out is (replicas, n_post)."""
    edges = _blocks(rows.size * out.shape[1], out.shape[1])
    if edges is None:
        _deliver_rows(0, out.shape[1], weights, rows, n_pre, scale, keep, out)
    else:
        _deliver_rows_threads(edges, weights, rows, n_pre, scale, keep, out)


def deliver_dense(weights, pre, scale, keep, out):
    """out[r] = scale * sum over i of pre[r, i] * row i of replica r (+ out[r] where ``keep``)."""
    edges = _blocks(weights.size, out.shape[1])
    if edges is None:
        _deliver_dense(0, out.shape[1], weights, pre, scale, keep, out)
    else:
        _deliver_dense_threads(edges, weights, pre, scale, keep, out)


def learn_rows(weights, rows, n_pre, change):
    """Row i of replica r += change[r], for the rows given; change is (replicas, n_post)."""
    edges = _blocks(rows.size * weights.shape[1], weights.shape[1])
    if edges is None:
        _learn_rows(0, weights.shape[1], weights, rows, n_pre, change)
    else:
        _learn_rows_threads(edges, weights, rows, n_pre, change)


def learn_dense(weights, pre, change):
    """Row i of replica r += pre[r, i] * change[r]; pre is (replicas, n_pre), change (replicas, n_post)."""
    edges = _blocks(weights.size, weights.shape[1])
    if edges is None:
        _learn_dense(0, weights.shape[1], weights, pre, change)
    else:
        _learn_dense_threads(edges, weights, pre, change)
