"""Kernels: what a projection does to its weights in one step, where that is no matrix product.

In many lanes delivering and learning are matrix products (``blas``) or sums of spikes (``tables``). In one lane they
are sums over rows, and with spikes only the rows of the neurons that spiked are touched. Weights are (rows, n_post),
the rows of all replicas one after another; ``rows`` are their indices, in ascending order. This module imports numpy
and numba only.
"""

import numba
import numpy as np
from numba import njit, prange

PARALLEL_FROM = 200_000  # weights touched from which waking the other threads pays
BLOCK = 384  # columns of which sums over rows of spikes are made at a time, so that they stay in the cache
FAST = {"contract", "reassoc", "nsz"}  # sums may be reordered; nan and inf keep their meaning, the guards need them


@njit(cache=True, fastmath=FAST)
def _deliver_list(low, high, weights, indptr, index, pre, out):
    for r in range(pre.shape[0]):
        for i in range(pre.shape[1]):
            sent = pre[r, i, low:high]
            for s in range(indptr[i], indptr[i + 1]):
                received, weight = out[r, index[s], low:high], weights[r, s]
                for lane in range(sent.size):
                    received[lane] += weight * sent[lane]


@njit(cache=True, fastmath=FAST)
def deliver_list_backwards(weights, indptr, index, post, scale, keep, out):
    """out[r, l, i] = scale * sum over the synapses s of i of weights[r, s] * post[r, l, index[s]] (+ out[r, l, i])."""
    for r in range(out.shape[0]):
        for lane in range(out.shape[1]):
            for i in range(out.shape[2]):
                total = weights.dtype.type(0)
                for s in range(indptr[i], indptr[i + 1]):
                    total += weights[r, s] * post[r, lane, index[s]]
                out[r, lane, i] = scale * total + (out[r, lane, i] if keep else 0)


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


@njit(cache=True)
def spikes_by_lane_and_neuron(spikes, n, lanes):
    """Return (starts, neurons) by lane and (starts, lanes) by neuron, of ascending indices lane * n + neuron."""
    by_lane, by_neuron = np.zeros(lanes + 1, np.int64), np.zeros(n + 1, np.int64)
    neurons, where = np.empty(spikes.size, np.int64), np.empty(spikes.size, np.int64)
    for k in range(spikes.size):
        lane = spikes[k] // n
        neurons[k] = spikes[k] - lane * n
        by_lane[lane + 1] += 1
        by_neuron[neurons[k] + 1] += 1
    for lane in range(lanes):
        by_lane[lane + 1] += by_lane[lane]
    for i in range(n):
        by_neuron[i + 1] += by_neuron[i]
    free = by_neuron[:-1].copy()
    for lane in range(lanes):
        for k in range(by_lane[lane], by_lane[lane + 1]):
            where[free[neurons[k]]] = lane
            free[neurons[k]] += 1
    return by_lane, neurons, by_neuron, where


@njit(cache=True, fastmath=FAST)
def _add_rows(low, high, starts, picks, source, keep, out):
    for r in range(out.shape[0]):
        k, end = starts[r], starts[r + 1]
        total = out[r, low:high]
        if not keep:
            total[:] = 0
        while k + 8 <= end:  # eight rows a pass: the total is read and written once for eight
            a, b = source[picks[k], low:high], source[picks[k + 1], low:high]
            c, d = source[picks[k + 2], low:high], source[picks[k + 3], low:high]
            e, f = source[picks[k + 4], low:high], source[picks[k + 5], low:high]
            g, h = source[picks[k + 6], low:high], source[picks[k + 7], low:high]
            for j in range(total.size):
                total[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))
            k += 8
        if k + 4 <= end:
            a, b = source[picks[k], low:high], source[picks[k + 1], low:high]
            c, d = source[picks[k + 2], low:high], source[picks[k + 3], low:high]
            for j in range(total.size):
                total[j] += (a[j] + b[j]) + (c[j] + d[j])
            k += 4
        if k + 2 <= end:
            a, b = source[picks[k], low:high], source[picks[k + 1], low:high]
            for j in range(total.size):
                total[j] += a[j] + b[j]
            k += 2
        if k < end:
            a = source[picks[k], low:high]
            for j in range(total.size):
                total[j] += a[j]


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


@njit(cache=True, parallel=True)
def _add_rows_threads(edges, starts, picks, source, keep, out):
    for b in prange(edges.size - 1):
        _add_rows(edges[b], edges[b + 1], starts, picks, source, keep, out)


@njit(cache=True, parallel=True)
def _deliver_list_threads(edges, weights, indptr, index, pre, out):
    for b in prange(edges.size - 1):
        _deliver_list(edges[b], edges[b + 1], weights, indptr, index, pre, out)


def _blocks(touched, n_post):
    """Return the borders of column blocks, one block a thread, or None where one thread is enough."""
    if touched < PARALLEL_FROM:  # first: to ask for the number of threads takes as long as a small sum
        return None
    threads = numba.get_num_threads()
    return None if threads == 1 else np.linspace(0, n_post, threads + 1).astype(np.int64)


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


def deliver_list(weights, indptr, index, pre, out):
    """out[r, index[s]] += weights[r, s] * pre[r, i] for every synapse s of i; pre and out are (replicas, n, lanes)."""
    edges = _blocks(weights.size * pre.shape[2], pre.shape[2])
    if edges is None:
        _deliver_list(0, pre.shape[2], weights, indptr, index, pre, out)
    else:
        _deliver_list_threads(edges, weights, indptr, index, pre, out)


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


def add_rows(starts, picks, source, keep, out):
    """out[r] = sum of the rows source[picks[k]] for k from starts[r] to starts[r + 1] (+ out[r] where ``keep``).

    Delivering: rows of weights by the neurons that spiked in a lane. Learning: changes of the lanes by the lanes in
    which a neuron spiked, added to its row of weights.
    """
    n = out.shape[1]
    threads = 1 if picks.size * n < PARALLEL_FROM else numba.get_num_threads()
    blocks = threads * -(-n // (threads * BLOCK))  # a whole number of blocks for every thread
    edges = np.linspace(0, n, blocks + 1).astype(np.int64) // 16 * 16  # 16 floats are a cache line
    edges[-1] = n
    if threads == 1:
        for low, high in zip(edges, edges[1:]):  # noqa: B905
            _add_rows(low, high, starts, picks, source, keep, out)
    else:
        _add_rows_threads(edges, starts, picks, source, keep, out)


@njit(cache=True)
def equal(a, b):
    """Say whether two flat arrays hold the same numbers; one that is no number equals nothing."""
    differs = False
    for k in range(a.size):
        differs |= a[k] != b[k]
    return not differs
