"""Convolutions over lanes: windows of one image at a time, gathered where the cache holds them, and a matrix product.

All windows of all lanes together would take as many times the memory of the images as a window has taps; here every
thread gathers those of one lane after another. This module imports numpy and numba only, beside our products.
"""

import numba
import numpy as np
from numba import njit, prange

from neurosim.plasticity.blas import ADDRESS, THREADS_FROM, _product, one_thread

SHARE = 16  # lanes from which images are handed to several threads


@njit(cache=True)
def _gather(image, shape, padded, patches):
    """Copy the windows of one image, flat, into the rows of ``patches``; ``padded`` is scratch that begins as 0."""
    height, width, channels, over, left, stride, rows, columns, kernel_height, run = shape
    for y in range(height):
        line = image[y * width * channels : (y + 1) * width * channels]
        padded[y + over, left * channels : (left + width) * channels] = line
    for y in range(rows):
        for dy in range(kernel_height):
            source = padded[y * stride + dy]
            for x in range(columns):
                start, row = x * stride * channels, patches[y * columns + x]
                for k in range(run):
                    row[dy * run + k] = source[start + k]


@njit(cache=True)
def _scatter(patches, shape, padded, keep, image):
    """Add the rows of ``patches`` up where their windows lie on the image (+ image where ``keep``)."""
    height, width, channels, over, left, stride, rows, columns, kernel_height, run = shape
    padded[:] = 0
    for y in range(rows):
        for dy in range(kernel_height):
            target = padded[y * stride + dy]
            for x in range(columns):
                start, row = x * stride * channels, patches[y * columns + x]
                for k in range(run):
                    target[start + k] += row[dy * run + k]
    for y in range(height):
        line = image[y * width * channels : (y + 1) * width * channels]
        found = padded[y + over, left * channels : (left + width) * channels]
        for k in range(line.size):
            line[k] = found[k] + (line[k] if keep else 0)


@njit(cache=True)
def _scratch(shape, kind):
    height, width, channels, over, left, stride, rows, columns, kernel_height, run = shape
    high = max((rows - 1) * stride + kernel_height, over + height)
    wide = max(((columns - 1) * stride * channels + run), (left + width) * channels)
    return np.zeros((high, wide), kind), np.empty((rows * columns, kernel_height * run), kind)


@njit(cache=True)
def _convolve(low, high, address, shape, images, weights, scale, keep, out):
    padded, patches = _scratch(shape, out.dtype)
    alpha, beta = out.dtype.type(scale), out.dtype.type(keep)
    lanes, columns = images.shape[1], weights.shape[2]
    for q in range(low, high):
        r, lane = q // lanes, q % lanes
        _gather(images[r, lane], shape, padded, patches)
        found = out[r, lane].reshape(patches.shape[0], columns)
        _product(address, False, False, alpha, beta, patches, weights[r], found)


@njit(cache=True)
def _correlate(low, high, address, shape, images, signals, alpha, change):
    padded, patches = _scratch(shape, change.dtype)
    factor, one = change.dtype.type(alpha), change.dtype.type(1)
    lanes, columns = images.shape[1], change.shape[2]
    for q in range(low, high):
        r, lane = q // lanes, q % lanes
        _gather(images[r, lane], shape, padded, patches)
        signal = signals[r, lane].reshape(patches.shape[0], columns)
        _product(address, True, False, factor, one, patches, signal, change[r])


@njit(cache=True)
def _spread(low, high, address, shape, signals, weights, scale, keep, images):
    padded, patches = _scratch(shape, images.dtype)
    alpha, zero = images.dtype.type(scale), images.dtype.type(0)
    lanes, columns = signals.shape[1], weights.shape[2]
    for q in range(low, high):
        r, lane = q // lanes, q % lanes
        signal = signals[r, lane].reshape(patches.shape[0], columns)
        _product(address, False, True, alpha, zero, signal, weights[r], patches)
        _scatter(patches, shape, padded, keep, images[r, lane])


@njit(cache=True, parallel=True)
def _convolve_threads(edges, address, shape, images, weights, scale, keep, out):
    for b in prange(edges.size - 1):
        _convolve(edges[b], edges[b + 1], address, shape, images, weights, scale, keep, out)


@njit(cache=True, parallel=True)
def _correlate_threads(edges, address, shape, images, signals, alpha, changes):
    for b in prange(edges.size - 1):
        _correlate(edges[b], edges[b + 1], address, shape, images, signals, alpha, changes[b])


@njit(cache=True, parallel=True)
def _spread_threads(edges, address, shape, signals, weights, scale, keep, images):
    for b in prange(edges.size - 1):
        _spread(edges[b], edges[b + 1], address, shape, signals, weights, scale, keep, images)


def _edges(count, work):
    """Return the borders of the shares of the threads; one share where there is little to do."""
    threads = numba.get_num_threads() if work >= THREADS_FROM and count >= SHARE else 1
    return np.linspace(0, count, threads + 1).astype(np.int64)


def in_shares(serial, threads, edges, *arguments):
    """Carry out a kernel in shares with these borders: ``threads`` side by side, or ``serial`` where there is one."""
    with one_thread():
        if len(edges) > 2:
            threads(edges, *arguments)
        else:
            serial(0, edges[-1], *arguments)


def _share(serial, threads, count, work, *arguments):
    """Carry out a kernel for all images, on several threads where that pays."""
    in_shares(serial, threads, _edges(count, work), *arguments)


def convolve(shape, images, weights, out, scale=1.0, keep=False):
    """out = scale * (windows of the images) @ weights (+ out where ``keep``).

    Parameters
    ----------
    shape : tuple of int
        Height, width, channels of the image; rows and columns that windows reach over its top and left edge; stride;
        rows and columns of windows; height of a window; width of a window times channels.
    images : array (replicas, lanes, height x width x channels)
    weights : array (replicas, taps, channels out)
    out : array (replicas, lanes, positions x channels out)
    """
    more = ADDRESS[out.dtype], shape, images, weights, scale, keep, out
    _share(_convolve, _convolve_threads, out.shape[0] * out.shape[1], out.size * weights.shape[1], *more)


def correlate(shape, images, signals, weights, alpha):
    """weights += alpha * (windows of the images)^T @ signals, summed over positions and lanes; shapes as above."""

    def threads(edges, *more):
        changes = np.zeros((len(edges) - 1, *weights.shape), weights.dtype)
        _correlate_threads(edges, *more[:-1], changes)
        for change in changes:
            weights[...] += change

    more = ADDRESS[weights.dtype], shape, images, signals, alpha, weights
    _share(_correlate, threads, images.shape[0] * images.shape[1], signals.size * weights.shape[1], *more)


def spread(shape, signals, weights, images, scale=1.0, keep=False):
    """images = scale * signals @ weights^T, each window added up where it lies (+ images where ``keep``)."""
    more = ADDRESS[images.dtype], shape, signals, weights, scale, keep, images
    _share(_spread, _spread_threads, images.shape[0] * images.shape[1], signals.size * weights.shape[1], *more)
