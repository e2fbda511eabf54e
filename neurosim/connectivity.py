"""Connectivity: which source neuron has a synapse onto which target neuron, and which synapses share a weight.

Every kind is passed to a Projection as ``connectivity=``; each transmits and learns under the same text. Neurons
of an image are ordered (row, column, channel), the channel fastest.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neurosim.errors import ParameterError
from neurosim.limits import check_fits

MATRIX, LIST, PAIRS, BACKWARDS, SPREAD = "matrix", "list", "pairs", "backwards", "spread"


class Layout:
    """How the synapses of one projection are kept, and how the two populations are seen from them.

    Attributes
    ----------
    form : str
        MATRIX (rows are sources), LIST (one entry a synapse, ordered by source), PAIRS (one weight for all),
        BACKWARDS (another projection's) or SPREAD (a convolution's synapses from its target to its source).
    rows, columns : int
        Neurons of the source and of the target as the weights see them.
    copies : int
        How often a weight occurs in one lane: positions of a convolution, pairs of one weight for all, else 1.
    shape : tuple of int
        Of the weights of a replica, as users see them.
    stored : tuple of int
        The same as they are kept.
    mask : array of bool or None
        (rows or replicas x rows, columns): where a matrix has synapses.
    """

    form = MATRIX
    copies = 1
    by_neuron = True  # whether a row of a matrix belongs to a neuron of the source
    mask = None
    padded = False

    def __init__(self, rows, columns, shape=None, stored=None):
        self.rows, self.columns = rows, columns
        self.stored = stored or (rows, columns)
        self.shape = shape or self.stored

    def pre(self, values):
        """Return values of the source, (replicas, lanes, n), as the weights see them: (replicas, lanes, rows)."""
        return values

    def post(self, values):
        """Return values of the target, (replicas, lanes, n), as the weights see them: (replicas, lanes, columns)."""
        return values.reshape(len(values), -1, self.columns)

    def matrix(self, weights):
        """Return weights as kept, (replicas, ...), as new matrices (replicas, n_pre, n_post)."""
        return np.array(weights)

    def synapses(self, replicas):
        """Return the number of synapses of all replicas."""
        if self.mask is None:
            return self.rows * self.columns * replicas
        return int(self.mask.sum()) * (replicas if len(self.mask) == self.rows else 1)


class _List(Layout):
    form = LIST
    blocks = None  # of windows: see plasticity.blocks
    backwards = False  # whether these windows are the source, and not the target

    def __init__(self, pre, post, n_pre, n_post, tap=None):
        order = np.lexsort((post, pre))
        self.i, self.j = pre[order].astype(np.int32), post[order].astype(np.int32)
        self.tap = None if tap is None else tap[order]
        self.indptr = np.searchsorted(self.i, np.arange(n_pre + 1)).astype(np.int64)
        super().__init__(n_pre, n_post, stored=(len(self.i),))

    def take_windows(self, windows, channels, backwards=False):
        """Know the windows (positions, taps), neurons of an image or -1, between which these synapses lie."""
        position, tap = np.nonzero(windows >= 0)
        seen, channel_0 = windows[position, tap], position * channels
        pre, post = (channel_0, seen) if backwards else (seen, channel_0)
        key = self.i.astype(np.int64) * self.columns + self.j
        at = np.searchsorted(key, pre.astype(np.int64) * self.columns + post)
        begins = np.diff(seen, prepend=-2) != 1
        taps = np.searchsorted(position, np.arange(len(windows) + 1))
        begins[taps[:-1][taps[:-1] < len(seen)]] = True
        runs = np.flatnonzero(begins)
        first = np.searchsorted(position[runs], np.arange(len(windows) + 1))
        length, step = np.diff(runs, append=len(seen)), np.diff(taps) if backwards else np.ones(len(windows), int)
        arrays = first, seen[runs], length, runs - taps[position[runs]], taps, at, step
        self.blocks, self.backwards = (*(array.astype(np.int64) for array in arrays), channels), backwards

    def matrix(self, weights):
        full = np.zeros((len(weights), self.rows, self.columns), weights.dtype)
        full[:, self.i, self.j] = weights
        return full

    def synapses(self, replicas):
        return len(self.i) * replicas


class _Patches(Layout):
    """A convolution: every position of the image is a lane of its own to one small matrix (taps, channels)."""

    def __init__(self, taps, n_pre, kernel, channels, geometry):
        self.copies, count = taps.shape
        self.taps, self.n_pre = taps, n_pre  # (positions, taps): index of the source neuron; n_pre where there is none
        self.padded, self.by_neuron = bool((taps == n_pre).any()), False
        self.geometry = geometry  # see plasticity.patches
        super().__init__(count, channels, shape=(*kernel, channels))

    def pre(self, values):
        if self.padded:
            values = np.concatenate([values, np.zeros((*values.shape[:2], 1), values.dtype)], axis=2)
        return np.take(values, self.taps, axis=2).reshape(len(values), -1, self.rows)

    def matrix(self, weights):
        full = np.zeros((len(weights), self.n_pre + 1, self.copies * self.columns), weights.dtype)
        for position, taps in enumerate(self.taps):
            full[:, taps, position * self.columns : (position + 1) * self.columns] = weights
        return full[:, : self.n_pre].copy()

    def synapses(self, replicas):
        return int((self.taps < self.n_pre).sum()) * self.columns * replicas


class _Spread(Layout):
    """A convolution's synapses from its target to its source; weights of the same shape as the convolution's."""

    form = SPREAD

    def __init__(self, forward):
        self.forward, self.geometry = forward, forward.geometry
        self.copies, self.by_neuron, self.mask = forward.copies, False, forward.mask
        self.padded = forward.padded
        super().__init__(forward.rows, forward.columns, shape=forward.shape, stored=forward.stored)

    def matrix(self, weights):
        return np.array(self.forward.matrix(weights).transpose(0, 2, 1), order="C")

    def synapses(self, replicas):
        return self.forward.synapses(replicas)


class _Windows(_List):
    """Pairs of neurons of one channel, window by window: channels can be taken side by side."""

    def __init__(self, windows, n_image, backwards=False):
        position, tap, channel = np.nonzero(windows >= 0)
        channels = windows.shape[2]
        image, window = windows[position, tap, channel], position * channels + channel
        n_windows = len(windows) * channels
        if backwards:
            super().__init__(window, image, n_windows, n_image)
        else:
            super().__init__(image, window, n_image, n_windows)
        position, tap = np.nonzero(windows[:, :, 0] >= 0)
        self.windows = {
            "starts": np.searchsorted(position, np.arange(len(windows) + 1)).astype(np.int64),
            "pixels": (windows[position, tap, 0] // channels).astype(np.int64),
            "channels": channels,
            "backwards": backwards,
        }


class _Pairs(Layout):
    form = PAIRS

    def __init__(self, n):
        super().__init__(n, n, shape=(1,), stored=(1,))
        self.copies = max(n * (n - 1), 2)

    def matrix(self, weights):
        return weights[:, :, None] * (1 - np.eye(self.rows, dtype=weights.dtype))

    def synapses(self, replicas):
        return self.rows * (self.rows - 1) * replicas


class _Backwards(Layout):
    form = BACKWARDS

    def __init__(self, projection):
        self.projection = projection
        super().__init__(projection.target.n, projection.source.n)

    def matrix(self, weights):
        return np.array(self.projection.matrix().transpose(0, 2, 1), order="C")

    def synapses(self, replicas):
        return self.projection.layout.synapses(replicas)


@dataclass(frozen=True)
class Dense:
    """Every neuron of the source onto every neuron of the target; weights (n_pre, n_post)."""

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        return Layout(source.n, target.n)


@dataclass(frozen=True)
class Masked:
    """Synapses where a boolean mask is True; elsewhere the weights stay exactly 0.

    Parameters
    ----------
    mask : array of bool
        (n_pre, n_post), or (replicas, n_pre, n_post) if ``store`` is "matrix".
    store : str
        "matrix": weights as a whole matrix, for products over many lanes; "list": one entry a synapse.
    """

    mask: np.ndarray
    store: str = "matrix"

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        shape = source.n, target.n
        try:
            mask = np.asarray(self.mask)
        except ValueError:
            raise ParameterError(f"{here}.connectivity: a boolean mask is needed, its rows differ in length") from None
        allowed = [shape, (source.replicas, *shape)] if self.store == "matrix" else [shape]
        if mask.dtype != bool or mask.shape not in allowed:
            raise ParameterError(
                f"{here}.connectivity: a boolean mask of shape {' or '.join(map(str, allowed))} is needed, "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        return _masked(mask, self.store, here)


def _masked(mask, store, here):
    if store not in ("matrix", "list"):
        raise ParameterError(f"{here}.connectivity: store is 'matrix' or 'list', got {store!r}")
    n_pre, n_post = mask.shape[-2:]
    if store == "list":
        return _List(*np.nonzero(mask), n_pre, n_post)
    layout = Layout(n_pre, n_post)
    layout.mask = np.ascontiguousarray(mask.reshape(-1, n_post))
    return layout


@dataclass(frozen=True)
class Random:
    """Every pair with the same probability, drawn from the projection's seed.

    Parameters
    ----------
    density : float
        Probability of a synapse, above 0 and up to 1.
    store : str
        "matrix": every replica draws its own; "list": one entry a synapse, the same pairs in all replicas.
    """

    density: float
    store: str = "matrix"

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        replicas = 1 if self.store == "list" else source.replicas
        mask = _drawn(self.density, (source.n, target.n), replicas, generator, here)
        return _masked(mask[0] if replicas == 1 else mask, self.store, here)


def _drawn(density, shape, replicas, generator, here):
    """Return a mask (replicas, *shape) in which each element is True with the same probability."""
    if not isinstance(density, (int, float, np.number)) or not 0 < density <= 1:
        raise ParameterError(f"{here}.connectivity: a density above 0 and up to 1 is needed, got {density}")
    if generator is None:
        raise ParameterError(f"{here}.seed: the connectivity is drawn, so a seed is needed")
    check_fits((replicas, *shape), bool, f"{here}.connectivity")
    mask = np.empty((replicas, *shape), bool)
    for replica in range(replicas):
        draw = generator(replica)
        for row in mask[replica]:
            row[:] = draw.random(shape[1]) < density
    return mask


@dataclass(frozen=True)
class OneToOne:
    """Neuron k of the source onto neuron k of the target; weights (n,)."""

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        if source.n != target.n:
            raise ParameterError(f"{here}: one-to-one needs equal sizes, got {source.n} and {target.n}")
        every = np.arange(source.n)
        return _List(every, every, source.n, source.n)


@dataclass(frozen=True)
class _Image:
    """What windows that slide over an image have in common."""

    image: tuple
    kernel: tuple | int
    channels: int
    stride: int = 1
    padding: str = "valid"

    def __post_init__(self):
        kind = type(self).__name__
        kernel = (self.kernel, self.kernel) if isinstance(self.kernel, (int, np.integer)) else self.kernel
        for word, sizes, count in (("image", self.image, 3), ("kernel", kernel, 2)):
            _check_sizes(sizes, count, f"{kind}.{word}")
            object.__setattr__(self, word, tuple(sizes))
        for word, value in (("channels", self.channels), ("stride", self.stride)):
            _check_sizes((value,), 1, f"{kind}.{word}")
        if self.padding not in ("valid", "same"):
            raise ParameterError(f"{kind}.padding: 'valid' or 'same' is needed, got {self.padding!r}")
        if self.padding == "valid" and any(k > n for k, n in zip(self.kernel, self.image, strict=False)):
            raise ParameterError(f"{kind}.kernel: {self.kernel} does not fit into an image of {self.image}")

    @property
    def output(self):
        """(height, width, channels) of the image that the target makes up."""
        lengths = []
        for n, k in zip(self.image, self.kernel, strict=False):
            lengths.append(-(-n // self.stride) if self.padding == "same" else (n - k) // self.stride + 1)
        return (*lengths, self.channels)

    @property
    def over(self):
        """How many rows and columns the first windows reach over the top and the left edge."""
        if self.padding == "valid":
            return 0, 0
        reach = zip(self.image, self.kernel, self.output, strict=False)
        return tuple(max((m - 1) * self.stride + k - n, 0) // 2 for n, k, m in reach)

    @cached_property
    def windows(self):
        """Index of the source neuron at (position, tap, channel); -1 where a window reaches over the edge."""
        axes = []
        for n, k, m, over in zip(self.image, self.kernel, self.output, self.over, strict=False):
            at = np.arange(m)[:, None] * self.stride + np.arange(k) - over
            axes.append(np.where((at >= 0) & (at < n), at, -1))
        height, width, channels = self.image
        y, x = axes[0][:, None, :, None], axes[1][None, :, None, :]
        pixel = np.where((y >= 0) & (x >= 0), y * width + x, -1).reshape(self.output[0] * self.output[1], -1)
        return np.where(pixel[..., None] >= 0, pixel[..., None] * channels + np.arange(channels), -1)

    def _check(self, source, target, here, words=("source", "target")):
        for word, population, shape in zip(words, (source, target), (self.image, self.output), strict=True):
            if population.n != np.prod(shape):
                raise ParameterError(
                    f"{here}.connectivity: the {word} {population.name} needs {' x '.join(map(str, shape))} = "
                    f"{np.prod(shape)} neurons (height x width x channels), it has {population.n}"
                )


def _check_sizes(sizes, count, where):
    whole = isinstance(sizes, (tuple, list)) and len(sizes) == count
    if not whole or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes):
        shown = sizes[0] if count == 1 else sizes
        number = "a whole number" if count == 1 else f"{count} whole numbers"
        raise ParameterError(f"{where}: {number} of at least 1 {'is' if count == 1 else 'are'} needed, got {shown!r}")


@dataclass(frozen=True)
class Local(_Image):
    """Local receptive fields, every synapse with a weight of its own: the untied form of a convolution.

    Parameters
    ----------
    image : (height, width, channels)
        Of the source.
    kernel : int or (height, width)
        Of a receptive field.
    channels : int
        Of the target.
    stride : int
        Pixels between two receptive fields.
    padding : str
        "valid": fields lie within the image; "same": fields at the edge are cut, so that with stride 1 the target
        has the image's height and width.

    Examples
    --------
    >>> from neurosim.connectivity import Local
    >>> Local((28, 28, 1), kernel=5, channels=8, stride=2).output
    (12, 12, 8)
    """

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        self._check(source, target, here)
        taps = self.windows.reshape(len(self.windows), -1)
        position, tap = np.nonzero(taps >= 0)
        channel = np.arange(self.channels)
        check_fits((len(position), self.channels, 4), np.int64, f"{here}.connectivity")
        pre = np.repeat(taps[position, tap], self.channels)
        post = (position[:, None] * self.channels + channel).ravel()
        weight = (tap[:, None] * self.channels + channel).ravel()
        layout = _List(pre, post, source.n, target.n, tap=weight)
        layout.kernel_shape = (*self.kernel, self.image[2], self.channels)
        layout.take_windows(taps, self.channels)
        return layout


@dataclass(frozen=True)
class Convolution(_Image):
    """Local receptive fields with shared weights (kernel height, kernel width, channels in, channels out).

    The target at row y, column x, channel c receives the sum over dy, dx, b of
    ``w[dy, dx, b, c] * source[y * stride + dy - pad, x * stride + dx - pad, b]``. A rule's change is summed over the
    positions that share a weight. ``shared=False`` gives every position weights of its own, as ``Local``.

    Parameters
    ----------
    image, kernel, channels, stride, padding
        As for Local.
    shared : bool
        Whether all positions share their weights.
    density : float
        Probability that a weight of the kernel exists, drawn for every replica from the projection's seed; the others
        stay exactly 0, at all positions.
    """

    shared: bool = True
    density: float = 1.0

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        if not self.shared:
            if self.density != 1:
                raise ParameterError(f"{here}.connectivity: a density needs shared weights, got {self.density}")
            return Local(self.image, self.kernel, self.channels, self.stride, self.padding).layout(
                source, target, generator, here
            )
        self._check(source, target, here)
        taps = self.windows.reshape(len(self.windows), -1)
        shape = *self.kernel, self.image[2]
        window = self.kernel[0], self.kernel[1] * self.image[2]
        geometry = *self.image, *self.over, self.stride, *self.output[:2], *window
        layout = _Patches(np.where(taps < 0, source.n, taps), source.n, shape, self.channels, geometry)
        if self.density != 1:
            mask = _drawn(self.density, (layout.rows, layout.columns), source.replicas, generator, here)
            layout.mask = mask.reshape(-1, layout.columns)
        return layout


@dataclass(frozen=True)
class Pooling:
    """A fixed map without weights: the sum, or the largest, of a window of each channel.

    Parameters
    ----------
    image : (height, width, channels)
        Of the source; the target has the same channels.
    size : int or (height, width)
        Of a window.
    stride : int, optional
        Pixels between two windows; the window's height if it is left out.
    reduce : str
        "sum" or "max".
    padding : str
        As for Local.
    """

    image: tuple
    size: tuple | int
    stride: int | None = None
    reduce: str = "sum"
    padding: str = "valid"

    def __post_init__(self):
        if self.reduce not in ("sum", "max"):
            raise ParameterError(f"Pooling.reduce: 'sum' or 'max' is needed, got {self.reduce!r}")
        size = (self.size, self.size) if isinstance(self.size, (int, np.integer)) else self.size
        _check_sizes(self.image, 3, "Pooling.image")
        _check_sizes(size, 2, "Pooling.size")
        _check_sizes((size[0] if self.stride is None else self.stride,), 1, "Pooling.stride")
        if self.padding not in ("valid", "same"):
            raise ParameterError(f"Pooling.padding: 'valid' or 'same' is needed, got {self.padding!r}")
        if self.padding == "valid" and any(k > n for k, n in zip(size, self.image, strict=False)):
            raise ParameterError(f"Pooling.size: {tuple(size)} does not fit into an image of {tuple(self.image)}")

    @cached_property
    def _windows(self):
        height = self.size if isinstance(self.size, (int, np.integer)) else self.size[0]
        stride = height if self.stride is None else self.stride
        return _Image(self.image, self.size, tuple(self.image)[-1], stride, self.padding)

    @property
    def output(self):
        """(height, width, channels) of the image that the target makes up."""
        return self._windows.output

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        self._windows._check(source, target, here)
        layout = _Windows(self._windows.windows, source.n)
        layout.largest = self.reduce == "max"
        return layout


@dataclass(frozen=True)
class AllToAllButSelf:
    """Every neuron onto every other with one weight for all pairs, at the cost of one sum: global inhibition."""

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        if source.n != target.n:
            raise ParameterError(f"{here}: all-to-all minus self needs equal sizes, got {source.n} and {target.n}")
        return _Pairs(source.n)


@dataclass(frozen=True)
class Backward:
    """The synapses of an image's windows in the other direction, from the windows to the image, with their own weights.

    Feedback beside a forward projection of the same kind: what a neuron of the target received from the image it sends
    back to where it came from. Weights have the shape of the forward projection's.

    Parameters
    ----------
    kind : Convolution, Local or Pooling
        Of the forward projection. Pooling, which has no weights, sums what windows send: ``d_post = d_pre *
        int(v_post >= v_pre)`` reaches those neurons that were as large as the largest of their window. A convolution
        with shared weights delivers ``w * g(pre) * h(post)`` and learns by sums of products of both sides.

    Examples
    --------
    >>> from neurosim.connectivity import Backward, Convolution
    >>> feedback = Backward(Convolution((8, 8, 1), kernel=3, channels=4))
    """

    kind: object

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        if not isinstance(self.kind, (Convolution, Local, Pooling)):
            raise ParameterError(
                f"{here}.connectivity: Backward needs a Convolution, Local or Pooling, got {type(self.kind).__name__}"
            )
        pooled = isinstance(self.kind, Pooling)
        image = self.kind._windows if pooled else self.kind
        image._check(target, source, here, words=("target", "source"))
        if pooled:
            return _Windows(image.windows, target.n, backwards=True)
        forward = self.kind.layout(target, source, generator, here)
        if isinstance(forward, _Patches):
            return _Spread(forward)
        layout = _List(forward.j, forward.i, source.n, target.n, tap=forward.tap)
        layout.kernel_shape = forward.kernel_shape
        layout.take_windows(image.windows.reshape(len(image.windows), -1), image.channels, backwards=True)
        return layout


@dataclass(frozen=True)
class Transposed:
    """Another projection's weights, read backwards: weight transport, for baselines. It learns when the other does.

    Parameters
    ----------
    projection : Projection
        From a population of the target's size to one of the source's size.
    """

    projection: object

    def layout(self, source, target, generator, here):
        """Return the Layout between two populations."""
        other = self.projection
        if getattr(other, "stored", None) is None:
            raise ParameterError(f"{here}.connectivity: Transposed needs a projection with weights of its own")
        if (source.n, target.n) != (other.target.n, other.source.n):
            raise ParameterError(
                f"{here}.connectivity: {other.name} read backwards leads from {other.target.n} to {other.source.n} "
                f"neurons, not from {source.n} to {target.n}"
            )
        for word in ("replicas", "lanes", "precision"):
            if getattr(source, word) != getattr(other.source, word):
                raise ParameterError(
                    f"{here}.connectivity: {other.name} must have the same {word}, got {getattr(other.source, word)} "
                    f"and {getattr(source, word)}"
                )
        return _Backwards(other)
