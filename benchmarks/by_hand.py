"""The rules of ``rule_cases.py`` as an expert would write them for this machine: numba for one lane, BLAS for many.

One lane: one pass over the weights that does all, over threads, and over the rows and columns of spikes only where
there are few. Many lanes: sgemm adds into the weights in place; what is left for each weight is done before it in the
same pass. Each rule has one or more candidates; the caller times them all and keeps the best.
"""

import ctypes
from dataclasses import dataclass

import numba
import numpy as np
from numba import njit, prange
from numba.extending import get_cython_function_address
from scipy.linalg.blas import sgemm

ALL = numba.config.NUMBA_NUM_THREADS
MANY_ROWS = 384  # columns of a block in which rows are summed: the rows stay in the second-level cache
SMALL = 100_000  # weights below which one thread may be best at many lanes too
f32 = np.float32

# ---- one lane


@njit(parallel=True, fastmath=True, cache=True)
def outer(w, pre, change):
    """w += pre change^T"""
    for i in prange(w.shape[0]):
        for j in range(w.shape[1]):
            w[i, j] += pre[i] * change[j]


@njit(parallel=True, fastmath=True, cache=True)
def outer_and_decay(w, pre, change, decay):
    """w += pre change^T - decay w, the decay by columns"""
    for i in prange(w.shape[0]):
        for j in range(w.shape[1]):
            w[i, j] += pre[i] * change[j] - decay[j] * w[i, j]


@njit(parallel=True, fastmath=True, cache=True)
def two_outers(w, pre, change, pre_2, change_2):
    """w += pre change^T - pre_2 change_2^T"""
    for i in prange(w.shape[0]):
        for j in range(w.shape[1]):
            w[i, j] += pre[i] * change[j] - pre_2[i] * change_2[j]


@njit(parallel=True, fastmath=True, cache=True)
def eligibility(w, e, pre, change, keep, rate):
    """w += rate e, then e = keep e + pre change^T"""
    for i in prange(w.shape[0]):
        for j in range(w.shape[1]):
            trace = e[i, j]
            w[i, j] += rate * trace
            e[i, j] = keep * trace + pre[i] * change[j]


@njit(parallel=True, fastmath=True, cache=True)
def add_to_rows(w, rows, change):
    """w += change in the rows of the neurons that spiked"""
    for k in prange(rows.size):
        i = rows[k]
        for j in range(w.shape[1]):
            w[i, j] += change[j]


@njit(parallel=True, fastmath=True, cache=True)
def pair_stdp_by_lists(w, spiked, columns, minus, plus, top):
    """Rows and columns of the neurons that spiked, each kept in range."""
    zero = f32(0)
    for i in prange(w.shape[0]):
        if spiked[i] > 0:
            for j in range(w.shape[1]):
                w[i, j] = min(max(w[i, j] - minus[j], zero), top)
        for k in range(columns.size):
            j = columns[k]
            w[i, j] = min(max(w[i, j] + plus[i], zero), top)


@njit(parallel=True, fastmath=True, cache=True)
def pair_stdp_in_one_pass(w, spiked, spiked_post, minus, plus, top):
    """All weights, spikes as factors: pays where most cache lines hold a column that spiked."""
    zero = f32(0)
    for i in prange(w.shape[0]):
        if spiked[i] > 0:
            for j in range(w.shape[1]):
                lower = min(max(w[i, j] - minus[j], zero), top)
                w[i, j] = min(max(lower + plus[i] * spiked_post[j], zero), top)
        else:
            for j in range(w.shape[1]):
                w[i, j] = min(max(w[i, j] + plus[i] * spiked_post[j], zero), top)


# ---- many lanes

_SGEMM = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(
    get_cython_function_address("scipy.linalg.cython_blas", "sgemm")
)


@njit
def add_product(w, low, high, pre, post, alpha):
    """w[low:high] += alpha pre[:, low:high]^T post, by BLAS; may be called by several threads at once."""
    whole = np.array([w.shape[1], high - low, pre.shape[0], pre.shape[1]], np.int32)
    real = np.array([alpha, f32(1)], f32)
    letters = np.array([ord("N"), ord("T")], np.int8)
    _SGEMM(
        letters.ctypes.data, letters[1:].ctypes.data, whole.ctypes.data, whole[1:].ctypes.data, whole[2:].ctypes.data,
        real.ctypes.data, post.ctypes.data, whole.ctypes.data, pre[0, low:].ctypes.data, whole[3:].ctypes.data,
        real[1:].ctypes.data, w[low:].ctypes.data, whole.ctypes.data,
    )  # fmt: skip


@njit(parallel=True)
def product_by_threads(w, pre, post, alpha, blocks):
    """w += alpha pre^T post, every thread a block of rows by a BLAS of one thread."""
    for b in prange(blocks):
        low, high = b * w.shape[0] // blocks, (b + 1) * w.shape[0] // blocks
        add_product(w, low, high, pre, post, alpha)


@njit(fastmath=True, cache=True)
def decay_columns(w, low, high, decay):
    """w -= decay w, the decay by columns"""
    for i in range(low, high):
        for j in range(w.shape[1]):
            w[i, j] -= decay[j] * w[i, j]


@njit(parallel=True)
def decay_and_product_by_threads(w, pre, post, alpha, decay, blocks):
    """w += alpha pre^T post - decay w, every thread a block of rows."""
    for b in prange(blocks):
        low, high = b * w.shape[0] // blocks, (b + 1) * w.shape[0] // blocks
        decay_columns(w, low, high, decay)
        add_product(w, low, high, pre, post, alpha)


@njit(fastmath=True, cache=True)
def keep_in_range(w, low, high, top):
    """w = clip(w, 0, top)"""
    for i in range(low, high):
        for j in range(w.shape[1]):
            w[i, j] = min(max(w[i, j], f32(0)), top)


@njit(parallel=True)
def pair_stdp_products_by_threads(w, spiked, minus, plus, spiked_post, top, blocks):
    """w -= spiked^T minus, then w += plus^T spiked_post, each kept in range."""
    for b in prange(blocks):
        low, high = b * w.shape[0] // blocks, (b + 1) * w.shape[0] // blocks
        add_product(w, low, high, spiked, minus, f32(-1))
        keep_in_range(w, low, high, top)
        add_product(w, low, high, plus, spiked_post, f32(1))
        keep_in_range(w, low, high, top)


@njit(cache=True)
def neurons_of_lanes(spiked):
    """Return (starts, neurons): the neurons that spiked in lane l are neurons[starts[l]:starts[l + 1]]."""
    starts, neurons, count = np.zeros(spiked.shape[0] + 1, np.int64), np.empty(spiked.size, np.int64), 0
    for lane in range(spiked.shape[0]):
        for i in range(spiked.shape[1]):
            if spiked[lane, i] > 0:
                neurons[count] = i
                count += 1
        starts[lane + 1] = count
    return starts, neurons[:count]


@njit(cache=True)
def turned(starts, neurons, n):
    """Return (starts, lanes): the lanes in which neuron i spiked are lanes[starts[i]:starts[i + 1]]."""
    begins = np.zeros(n + 1, np.int64)
    for i in neurons:
        begins[i + 1] += 1
    for i in range(n):
        begins[i + 1] += begins[i]
    lanes, free = np.empty(neurons.size, np.int64), begins[:-1].copy()
    for lane in range(starts.size - 1):
        for i in neurons[starts[lane] : starts[lane + 1]]:
            lanes[free[i]] = lane
            free[i] += 1
    return begins, lanes


def lanes_of_neurons(spiked):
    """Return in which lanes each neuron spiked, as ``turned`` does."""
    return turned(*neurons_of_lanes(spiked), spiked.shape[1])


@njit(fastmath=True, cache=True)
def _add_picked(low, high, starts, picks, source, keep, out):
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


@njit(parallel=True, cache=True)
def _add_picked_by_threads(edges, starts, picks, source, keep, out):
    for b in prange(edges.size - 1):
        _add_picked(edges[b], edges[b + 1], starts, picks, source, keep, out)


def add_picked_rows(starts, picks, source, out, keep=True):
    """out[r] = the sum of the rows picks[starts[r]:starts[r + 1]] of the source (+ out[r] where ``keep``)."""
    n, threads = out.shape[1], numba.get_num_threads()
    blocks = threads * -(-n // (threads * MANY_ROWS))  # every thread as many
    edges = np.linspace(0, n, blocks + 1).astype(np.int64) // 16 * 16
    edges[-1] = n
    _add_picked_by_threads(edges, starts, picks, source, keep, out)


@njit(parallel=True, fastmath=True, cache=True)
def eligibility_lanes(w, e, pre, change, keep, rate):
    """w += sum over lanes of rate[l] e[l], then e[l] = keep e[l] + pre[l] change[l]^T, row by row."""
    for i in prange(w.shape[0]):
        total = np.zeros(w.shape[1], w.dtype)
        for lane in range(e.shape[0]):
            factor, now = rate[lane], pre[lane, i]
            for j in range(w.shape[1]):
                trace = e[lane, i, j]
                total[j] += factor * trace
                e[lane, i, j] = keep * trace + now * change[lane, j]
        for j in range(w.shape[1]):
            w[i, j] += total[j]


def product(w, pre, post, alpha):
    """w += alpha pre^T post, by a BLAS of several threads."""
    sgemm(alpha, post.T, pre.T, beta=1.0, c=w.T, trans_b=1, overwrite_c=1)


# ---- the candidates for each rule


@dataclass(frozen=True)
class Candidate:
    """One way to do a step: the function, the weights it changes, and threads for numba and for BLAS."""

    step: object
    w: np.ndarray
    numba_threads: int
    blas_threads: int


def candidates(v):
    """Return the candidates for these values of a case, each with weights of its own."""
    name = v.case.name
    if v.lanes == 1:
        # numba's threads, woken for a little, cost more than they bring: one thread is a candidate too
        count = len(_one_lane(name, v))
        chosen = [(_one_lane(name, v)[k], threads) for k in range(count) for threads in sorted({1, ALL})]
        return [Candidate(step, w, threads, 1) for (w, step), threads in chosen]
    count = len(_lanes(name, v))
    chosen = [_lanes(name, v)[k] for k in range(count)]
    alone = [Candidate(step, w, 1, 1) for w, step, *_ in [_lanes(name, v)[0]]] if v.n_pre * v.n_post < SMALL else []
    return [Candidate(step, w, numba_threads, blas_threads) for w, step, numba_threads, blas_threads in chosen] + alone


def _one_lane(name, v):
    pre = {k: a[0] for k, a in v.pre.items()}
    post = {k: a[0] for k, a in v.post.items()}
    c, w = v.constants, v.new_weights()
    eta = f32(c.get("eta", 0) * v.dt)
    if name == "three-factor":
        return [(w, lambda: outer(w, pre["r"], eta * post["psi"] * post["m"]))]
    if name == "three-factor on spikes":
        rows, rate = np.flatnonzero(pre["s"]), f32(c["rate"])
        return [(w, lambda: add_to_rows(w, rows, rate * post["psi"] * post["m"]))]
    if name == "Oja":
        return [(w, lambda: outer_and_decay(w, pre["r"], eta * post["r"], eta * post["r"] * post["r"]))]
    if name == "BCM":
        return [(w, lambda: outer(w, pre["r"], eta * post["r"] * (post["r"] - post["theta"])))]
    if name == "contrastive":
        return [(w, lambda: two_outers(w, pre["rho"], eta * post["rho"], pre["free"], eta * post["free"]))]
    if name == "competitive":
        R = f32(c["R"])
        return [(w, lambda: outer_and_decay(w, pre["v"], eta * R * post["g"], eta * post["g"] * post["I"]))]
    if name == "eligibility":
        e, share, reward = np.zeros_like(w), f32(v.dt / c["tau"]), v.signal["reward"]
        return [(w, lambda: eligibility(w, e, pre["x"], share * post["psi"], 1 - share, eta * reward[0, 0]))]
    if name == "pair STDP":
        a_minus, a_plus, top = f32(c["a_minus"]), f32(c["a_plus"]), f32(c["w_max"])
        columns, w_2 = np.flatnonzero(post["s"]), v.new_weights()
        return [
            (w, lambda: pair_stdp_by_lists(w, pre["s"], columns, a_minus * post["y"], a_plus * pre["x"], top)),
            (w_2, lambda: pair_stdp_in_one_pass(w_2, pre["s"], post["s"], a_minus * post["y"], a_plus * pre["x"], top)),
        ]
    raise KeyError(name)


def _lanes(name, v):
    pre, post, c, w = v.pre, v.post, v.constants, v.new_weights()
    eta = f32(c.get("eta", 0) * v.dt)
    if name == "three-factor":
        return _products(w, lambda: (pre["r"], post["psi"] * post["m"]), eta)
    if name == "BCM":
        return _products(w, lambda: (pre["r"], post["r"] * (post["r"] - post["theta"])), eta)
    if name == "contrastive":
        both_pre, both_post = (np.empty((2 * v.lanes, n), f32) for n in (v.n_pre, v.n_post))

        def stacked():
            both_pre[: v.lanes], both_pre[v.lanes :] = pre["rho"], pre["free"]
            both_post[: v.lanes] = post["rho"]
            np.negative(post["free"], out=both_post[v.lanes :])
            return both_pre, both_post

        return _products(w, stacked, eta)
    if name == "Oja":
        square = post["r"]
        return _decays_and_products(
            w, lambda: (pre["r"], square, eta * np.einsum("lj,lj->j", square, square)), eta, v.n_pre
        )
    if name == "competitive":
        g, current = post["g"], post["I"]
        return _decays_and_products(
            w, lambda: (pre["v"], g, eta * np.einsum("lj,lj->j", g, current)), eta * f32(c["R"]), v.n_pre
        )
    if name == "eligibility":
        e = np.zeros((v.lanes, v.n_pre, v.n_post), f32)
        share, reward = f32(v.dt / c["tau"]), v.signal["reward"]

        def traces():
            eligibility_lanes(w, e, pre["x"], share * post["psi"], 1 - share, eta * reward[:, 0])

        return [(w, traces, ALL, 1)]
    if name == "three-factor on spikes":
        rate = f32(c["rate"])

        def rows():
            add_picked_rows(*lanes_of_neurons(pre["s"]), rate * post["psi"] * post["m"], w)

        return [(w, rows, ALL, 1), *_products(w, lambda: (pre["s"], post["psi"] * post["m"]), rate)]
    if name == "pair STDP":
        return _pair_stdp(v, w)
    raise KeyError(name)


def _products(w, sides, alpha):
    """One product by BLAS, in its threads or in numba's."""
    return [
        (w, lambda: product(w, *sides(), alpha), 1, ALL),
        (w, lambda: product_by_threads(w, *sides(), alpha, ALL), ALL, 1),
    ]


def _decays_and_products(w, values, alpha, n_pre):
    def serial():
        pre, post, decay = values()
        decay_columns(w, 0, n_pre, decay)
        product(w, pre, post, alpha)

    def threads(blocks):
        pre, post, decay = values()
        decay_and_product_by_threads(w, pre, post, alpha, decay, blocks)

    return [
        (w, serial, 1, ALL),
        (w, lambda: threads(ALL), ALL, 1),
        (w, lambda: threads(4 * ALL), ALL, 1),
    ]


def _pair_stdp(v, w):
    pre, post, c = v.pre, v.post, v.constants
    a_minus, a_plus, top = f32(c["a_minus"]), f32(c["a_plus"]), f32(c["w_max"])

    def serial():
        product(w, pre["s"], a_minus * post["y"], -1.0)
        keep_in_range(w, 0, v.n_pre, top)
        product(w, pre["x"], post["s"], a_plus)
        keep_in_range(w, 0, v.n_pre, top)

    def threads(blocks):
        pair_stdp_products_by_threads(w, pre["s"], a_minus * post["y"], a_plus * pre["x"], post["s"], top, blocks)

    def rows_then_product():
        add_picked_rows(*lanes_of_neurons(pre["s"]), -a_minus * post["y"], w)
        clip_by_threads(w, top, ALL)
        product_by_threads(w, pre["x"], post["s"], a_plus, ALL)
        clip_by_threads(w, top, ALL)

    return [
        (w, serial, 1, ALL),
        (w, lambda: threads(ALL), ALL, 1),
        (w, lambda: threads(4 * ALL), ALL, 1),
        (w, rows_then_product, ALL, 1),
    ]


@njit(parallel=True)
def clip_by_threads(w, top, blocks):
    """w = clip(w, 0, top), every thread a block of rows."""
    for b in prange(blocks):
        keep_in_range(w, b * w.shape[0] // blocks, (b + 1) * w.shape[0] // blocks, top)
