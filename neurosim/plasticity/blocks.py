"""Windows with weights of their own, over lanes: every position of an image is a small matrix product for itself.

What a window sees of a row of the image lies side by side, so that a product reads all lanes of it, and writes them,
where they are: only the weights of a position are gathered, which are few beside the lanes. This module imports numpy
and numba only, beside our products.

``blocks`` is a tuple of whole numbers: for every position the first of its runs, for every run the first neuron of
the image, how many there are and the first tap; for every position the first of its taps, for every tap where its
weight of channel 0 is kept, for every position how far the weights of two channels are apart; channels.
"""

import numba
import numpy as np
from numba import njit, prange

from neurosim.plasticity.blas import ADDRESS, THREADS_FROM, _product
from neurosim.plasticity.patches import in_shares


@njit(cache=True)
def _scratch(blocks, kind):
    _, _, _, _, taps, _, _, channels = blocks
    return np.empty(((taps[1:] - taps[:-1]).max(), channels), kind)


@njit(cache=True)
def _gather(weights, at, step, block):
    """Copy the weights of a position into rows, one a tap."""
    taps, channels = block.shape
    if step == 1:
        for t in range(taps):
            for c in range(channels):
                block[t, c] = weights[at[t] + c]
    else:
        for c in range(channels):
            for t in range(taps):
                block[t, c] = weights[at[t] + c * step]


@njit(cache=True)
def _scatter(block, at, step, keep, weights):
    """Write the rows, one a tap, where the weights of a position are kept (+ what is there where ``keep``)."""
    taps, channels = block.shape
    if step == 1:
        for t in range(taps):
            for c in range(channels):
                weights[at[t] + c] = block[t, c] + (weights[at[t] + c] if keep else 0)
    else:
        for c in range(channels):
            for t in range(taps):
                weights[at[t] + c * step] = block[t, c] + (weights[at[t] + c * step] if keep else 0)


@njit(cache=True)
def _convolve(low, high, address, blocks, images, weights, scale, keep, out):
    first, start, length, tap, taps, at, step, channels = blocks
    alpha, one, scratch = out.dtype.type(scale), out.dtype.type(1), _scratch(blocks, out.dtype)
    for r in range(out.shape[0]):
        image, found = images[r, low:high], out[r, low:high]
        if not keep:
            found[:] = 0
        for p in range(step.size):
            block, window = scratch[: taps[p + 1] - taps[p]], found[:, p * channels : (p + 1) * channels]
            _gather(weights[r], at[taps[p] : taps[p + 1]], step[p], block)
            for k in range(first[p], first[p + 1]):
                seen, some = image[:, start[k] : start[k] + length[k]], block[tap[k] : tap[k] + length[k]]
                _product(address, False, False, alpha, one, seen, some, window)


@njit(cache=True)
def _spread(low, high, address, blocks, signals, weights, scale, keep, images):
    first, start, length, tap, taps, at, step, channels = blocks
    alpha, one, scratch = images.dtype.type(scale), images.dtype.type(1), _scratch(blocks, images.dtype)
    for r in range(images.shape[0]):
        image, sent = images[r, low:high], signals[r, low:high]
        if not keep:
            image[:] = 0
        for p in range(step.size):
            block, window = scratch[: taps[p + 1] - taps[p]], sent[:, p * channels : (p + 1) * channels]
            _gather(weights[r], at[taps[p] : taps[p + 1]], step[p], block)
            for k in range(first[p], first[p + 1]):
                seen, some = image[:, start[k] : start[k] + length[k]], block[tap[k] : tap[k] + length[k]]
                _product(address, False, True, alpha, one, window, some, seen)


@njit(cache=True)
def _correlate(low, high, address, blocks, images, signals, scale, keep, weights):
    first, start, length, tap, taps, at, step, channels = blocks
    alpha, zero, scratch = weights.dtype.type(scale), weights.dtype.type(0), _scratch(blocks, weights.dtype)
    for r in range(weights.shape[0]):
        image, signal = images[r], signals[r]
        for p in range(low, high):
            block, window = scratch[: taps[p + 1] - taps[p]], signal[:, p * channels : (p + 1) * channels]
            for k in range(first[p], first[p + 1]):
                seen, some = image[:, start[k] : start[k] + length[k]], block[tap[k] : tap[k] + length[k]]
                _product(address, True, False, alpha, zero, seen, window, some)
            _scatter(block, at[taps[p] : taps[p + 1]], step[p], keep, weights[r])


@njit(cache=True, parallel=True)
def _convolve_threads(edges, address, blocks, images, weights, scale, keep, out):
    for b in prange(edges.size - 1):
        _convolve(edges[b], edges[b + 1], address, blocks, images, weights, scale, keep, out)


@njit(cache=True, parallel=True)
def _spread_threads(edges, address, blocks, signals, weights, scale, keep, images):
    for b in prange(edges.size - 1):
        _spread(edges[b], edges[b + 1], address, blocks, signals, weights, scale, keep, images)


@njit(cache=True, parallel=True)
def _correlate_threads(edges, address, blocks, images, signals, scale, keep, weights):
    for b in prange(edges.size - 1):
        _correlate(edges[b], edges[b + 1], address, blocks, images, signals, scale, keep, weights)


def _edges(count, work):
    """Return the borders of the shares of the threads; one share where there is little to do."""
    threads = numba.get_num_threads() if work >= THREADS_FROM else 1
    return np.linspace(0, count, min(threads, count) + 1).astype(np.int64)


def _share(serial, threads, count, work, *arguments):
    in_shares(serial, threads, _edges(count, work), *arguments)


def convolve(blocks, images, weights, out, scale=1.0, keep=False):
    """out = scale * what windows receive from the images by their weights (+ out where ``keep``).

    Parameters
    ----------
    blocks : tuple
        See above.
    images : array (replicas, lanes, neurons of the image)
    weights : array (replicas, synapses)
    out : array (replicas, lanes, positions x channels)
    """
    more = ADDRESS[out.dtype], blocks, images, weights, scale, keep, out
    _share(_convolve, _convolve_threads, out.shape[1], weights.size * out.shape[1], *more)


def spread(blocks, signals, weights, images, scale=1.0, keep=False):
    """images = scale * what windows send back by their weights, added up (+ images where ``keep``); shapes as above."""
    more = ADDRESS[images.dtype], blocks, signals, weights, scale, keep, images
    _share(_spread, _spread_threads, images.shape[1], weights.size * images.shape[1], *more)


def correlate(blocks, images, signals, weights, scale=1.0, keep=True):
    """weights = scale * sum over lanes of image times signal at every synapse (+ weights where ``keep``)."""
    more = ADDRESS[weights.dtype], blocks, images, signals, scale, keep, weights
    _share(_correlate, _correlate_threads, len(blocks[6]), weights.size * images.shape[1], *more)
