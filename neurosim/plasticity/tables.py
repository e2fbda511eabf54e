"""Products with a matrix of spikes, by tables of sums (the method of the four Russians).

A spike is 0 or 1, so the rows of weights of four neurons enter the input of a lane in one of 16 sums. These are made
once for all lanes, and a lane adds one of them where a matrix product makes four multiplications. Learning the same
with the changes of four lanes. Tables of 64 neurons (a word of spikes) by 128 bytes of columns stay in the first
cache. The sums are those of a matrix product in another order; nan and inf stay where a spike brings them.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

GROUP = 4  # neurons (or lanes) to a table: 16 sums
GROUPS = 64 // GROUP  # tables to a word of spikes
SUMS = 1 << GROUP
UNROLL = 4  # lookups a pass; the number of lookups is a multiple of it
COLUMN_BYTES = 128  # of a block of columns: 32 floats or 16 doubles, 16 tables of which are 32 KB
ROWS = 384  # of weights, of half a layer's width, that stay in the second cache while they learn
PARALLEL_FROM = 200_000  # additions from which waking the other threads pays
INT = ir.IntType(64)


def _vectors(context, builder, signature, args, size):
    """Return load(k, at) and store(value, k, at), for vectors of ``size`` bytes of the k-th argument, a flat array."""
    item = context.get_data_type(signature.args[0].dtype)
    bytes_each = context.get_abi_sizeof(item)
    kind = ir.VectorType(item, size // bytes_each).as_pointer()
    data = {k: context.make_array(a)(context, builder, args[k]).data
            for k, a in enumerate(signature.args) if isinstance(a, types.Array)}  # fmt: skip

    def pointer(k, at):
        return builder.bitcast(builder.gep(data[k], [at]), kind)

    def load(k, at):
        return builder.load(pointer(k, at), align=bytes_each)

    def store(value, k, at):
        builder.store(value, pointer(k, at), align=bytes_each)

    return load, store, size // bytes_each


@intrinsic
def _fill_table(typing, tables, at, source, first, step, count):
    """tables[at + p] = sum of those of the ``count`` rows of source from ``first``, ``step`` apart, that p names.

    By hand, since LLVM does not know that tables and rows are no overlapping memory.
    """

    def codegen(context, builder, signature, args):
        load, store, width = _vectors(context, builder, signature, args, 64)
        columns = width * COLUMN_BYTES // 64
        last, rows = builder.sub(args[5], INT(1)), []
        for q in range(GROUP):  # where rows are missing the last one stands in: no pattern names it
            row = builder.select(builder.icmp_signed("<", INT(q), last), INT(q), last)
            rows.append(builder.add(args[3], builder.mul(row, args[4])))
        with cgutils.for_range_slice(builder, INT(0), INT(columns), INT(width)) as (j, _):
            sums = [None]
            for q in range(GROUP):
                row = load(2, builder.add(rows[q], j))
                sums += [row if s is None else builder.fadd(s, row) for s in sums]
            for p in range(1, SUMS):
                store(sums[p], 0, builder.add(builder.add(args[1], j), INT(p * columns)))
        return context.get_dummy_value()

    n = types.int64
    return types.void(tables, n, source, n, n, n), codegen


@intrinsic
def _add_sums(typing, tables, word, count, out, at):
    """out[at:at + columns] += sum over g < count of row (word >> 4 g) & 15 of table g; the total is in registers."""

    def codegen(context, builder, signature, args):
        load, store, columns = _vectors(context, builder, signature, args, COLUMN_BYTES)
        total = cgutils.alloca_once_value(builder, load(3, args[4]))
        rest = cgutils.alloca_once_value(builder, args[1])
        with cgutils.for_range_slice(builder, INT(0), args[2], INT(UNROLL)) as (g, _):
            bits, s = builder.load(rest), builder.load(total)
            for u in range(UNROLL):
                pattern = builder.and_(builder.lshr(bits, INT(u * GROUP)), INT(SUMS - 1))
                row = builder.add(builder.mul(builder.add(g, INT(u)), INT(SUMS)), pattern)
                s = builder.fadd(s, load(0, builder.mul(row, INT(columns))))
            builder.store(s, total)
            builder.store(builder.lshr(bits, INT(UNROLL * GROUP)), rest)
        store(builder.load(total), 3, args[4])
        return context.get_dummy_value()

    return types.void(tables, types.uint64, types.int64, out, types.int64), codegen


@njit(cache=True)
def _zeros(size, like):
    """Return zeros at the start of a cache line; without that every second lookup would touch one line more."""
    memory = np.zeros(size + 64 // like.itemsize, like.dtype)
    start = (-memory.ctypes.data % 64) // like.itemsize
    return memory[start : start + size]


@njit(cache=True)
def _fill_tables(tables, source, n, step, first, low):
    """Fill the tables of 64 rows of n from ``first``, columns from ``low``; return how many to look up."""
    groups = min(GROUPS, -(-(n - first) // GROUP))
    for g in range(groups):
        row = first + g * GROUP
        _fill_table(tables, g * (tables.size // GROUPS), source, row * step + low, step, min(GROUP, n - row))
    return -(-groups // UNROLL) * UNROLL


@njit(cache=True)
def _touch(rows, low, high):
    """Read a line of cache after the other: the machine foresees that, and not the strides of a block of columns."""
    total = rows[0, low]
    for i in range(rows.shape[0]):
        for j in range(low, high, 64 // rows.itemsize):
            total += rows[i, j]
    return total


@njit(cache=True)
def _deliver(low, high, by_lane, weights, keep, out, scale):
    lanes, (n_pre, n_post), columns = out.shape[0], weights.shape, COLUMN_BYTES // weights.itemsize
    flat, step = weights.ravel(), -(-(high - low) // columns) * columns
    tables, total, read = _zeros(GROUPS * SUMS * columns, weights), _zeros(lanes * step, weights), _zeros(1, weights)
    for word in range(by_lane.shape[0]):
        read[0] += _touch(weights[word * 64 : word * 64 + 64], low, high)
        for start in range(low, high, columns):
            at = min(start, high - columns)  # the last block overlaps the one before
            count = _fill_tables(tables, flat, n_pre, n_post, word * 64, at)
            tables.reshape(-1, columns)[:, : start - at] = 0  # and adds nothing there
            for lane in range(lanes):
                _add_sums(tables, by_lane[word, lane], count, total, lane * step + at - low)
    for lane in range(lanes):
        for j in range(low, high):
            out[lane, j] = scale * total[lane * step + j - low] + (out[lane, j] if keep else 0)


@njit(cache=True)
def _learn(low, high, by_neuron, change, weights):
    lanes, (n_pre, n_post), columns = change.shape[0], weights.shape, COLUMN_BYTES // weights.itemsize
    tables, read = _zeros(GROUPS * SUMS * columns, weights), _zeros(1, weights)
    flat, flat_change = weights.ravel(), change.ravel()
    for first in range(0, n_pre, ROWS):
        last = min(first + ROWS, n_pre)
        read[0] += _touch(weights[first:last], low, high)
        for start in range(low, high, columns):
            at = min(start, high - columns)
            for word in range(by_neuron.shape[0]):
                count = _fill_tables(tables, flat_change, lanes, n_post, word * 64, at)
                tables.reshape(-1, columns)[:, : start - at] = 0
                for i in range(first, last):
                    _add_sums(tables, by_neuron[word, i], count, flat, i * n_post + at)


@njit(cache=True, parallel=True)
def _deliver_threads(edges, by_lane, weights, keep, out, scale):
    for b in prange(edges.size - 1):
        _deliver(edges[b], edges[b + 1], by_lane, weights, keep, out, scale)


@njit(cache=True, parallel=True)
def _learn_threads(edges, by_neuron, change, weights):
    for b in prange(edges.size - 1):
        _learn(edges[b], edges[b + 1], by_neuron, change, weights)


@njit(cache=True)
def pack(spikes):
    """Return the spikes (lanes, n) as bits: words (n / 64, lanes), of neurons, and (lanes / 64, n), of lanes."""
    lanes, n = spikes.shape
    by_lane, by_neuron = np.zeros((-(-n // 64), lanes), np.uint64), np.zeros((-(-lanes // 64), n), np.uint64)
    for lane in range(lanes):
        row, words, bit = spikes[lane], by_neuron[lane // 64], np.uint64(lane % 64)
        for i in range(n):
            words[i] |= np.uint64(row[i] != 0) << bit
        for word in range(by_lane.shape[0]):
            part, bits = row[word * 64 : word * 64 + 64], np.uint64(0)
            for i in range(part.size):
                bits |= np.uint64(part[i] != 0) << np.uint64(i)
            by_lane[word, lane] = bits
    return by_lane, by_neuron


def _edges(lanes, weights):
    """Return the borders of column blocks, one block a thread; none is narrower than a table."""
    n_post, threads = weights.shape[1], numba.get_num_threads()
    threads = min(threads, n_post * weights.itemsize // COLUMN_BYTES)
    if threads == 0 or not weights.flags.c_contiguous:
        raise ValueError(f"tables of sums need weights in C order of {COLUMN_BYTES} bytes a row or more")
    if lanes * weights.size < GROUP * PARALLEL_FROM:
        threads = 1
    return np.linspace(0, n_post, threads + 1).astype(np.int64)


def deliver(by_lane, weights, keep, out, scale):
    """out = scale * spikes @ weights (+ out where ``keep``), in C order; n_post at least 32 floats or 16 doubles."""
    edges = _edges(out.shape[0], weights)
    if edges.size == 2:
        _deliver(0, out.shape[1], by_lane, weights, keep, out, scale)
    else:
        _deliver_threads(edges, by_lane, weights, keep, out, scale)


def learn(by_neuron, change, weights):
    """weights += spikes^T @ change, in C order; n_post at least 32 floats or 16 doubles."""
    edges = _edges(change.shape[0], weights)
    if edges.size == 2:
        _learn(0, weights.shape[1], by_neuron, change, weights)
    else:
        _learn_threads(edges, by_neuron, change, weights)
