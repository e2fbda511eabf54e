"""The binary formats of the data sets: IDX (MNIST) and CIFAR-10 batches, plain, .gz or .xz, with all checks."""

import gzip
import lzma
import math
import zlib
from pathlib import Path

import numpy as np

from neurosim.errors import DataError

COMPRESSIONS = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}  # suffix of the file name -> content
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, the green and the blue plane, each row by row


def read_idx(path):
    """Read an array from an IDX file, plain or compressed.

    The file holds two zero bytes, a type code, the number of dimensions, the sizes as big-endian 32-bit integers, and
    the values, last dimension fastest.

    Parameters
    ----------
    path : str or path
        The file; a name that ends in .gz or .xz is decompressed.

    Returns
    -------
    numpy.ndarray
        The values in the machine's byte order; read-only if they are bytes.

    Raises
    ------
    DataError
        If the file cannot be read or decompressed, its header is not IDX, or its length is 0 or not what its sizes say.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section "File formats".

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 2, 7, 3]))
    10
    >>> read_idx(path)
    array([7, 3], dtype=uint8)
    """
    return _idx_array(path, read_content(path))


def read_cifar10_batch(path):
    """Read one batch of the binary version of CIFAR-10, plain or compressed.

    Parameters
    ----------
    path : str or path
        The file; a name that ends in .gz or .xz is decompressed.

    Returns
    -------
    images : numpy.ndarray of uint8, shape (count, 3072)
        As in the file: the red, the green and the blue plane of 32 x 32 pixels, each row by row; read-only.
    labels : numpy.ndarray of int64, shape (count,)
        Classes 0..9.

    Raises
    ------
    DataError
        If the file cannot be read or decompressed, holds no whole number of records, or a label exceeds 9.

    References
    ----------
    A. Krizhevsky, "The CIFAR-10 dataset", section "Binary version".
    """
    return _cifar10_batch(path, read_content(path))


def read_content(path):
    """Return a file's bytes, decompressed; raise a DataError that names the file if that fails."""
    path = Path(path)
    try:
        return COMPRESSIONS.get(path.suffix, bytes)(path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error


def reason(error):
    """Return what an exception says, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _idx_array(path, content):
    if len(content) < 4:
        raise DataError(f"{path}: truncated: expected at least 4 bytes, found {len(content)}")
    magic, code, n_dimensions = content[:2], content[2], content[3]
    if magic != b"\0\0":
        raise DataError(f"{path}: not an IDX file: begins with the bytes {magic.hex(' ')}, must be 00 00")
    if code not in IDX_TYPES:
        known = ", ".join(f"0x{known:02x}" for known in IDX_TYPES)
        raise DataError(f"{path}: not an IDX file: type code is 0x{code:02x}, must be one of {known}")
    if not 1 <= n_dimensions <= 32:
        raise DataError(f"{path}: not an IDX file: {n_dimensions} dimensions, must be within 1..32")
    header = 4 + 4 * n_dimensions
    if len(content) < header:
        raise DataError(f"{path}: truncated: expected {header} bytes of header, found {len(content)}")
    shape = tuple(np.frombuffer(content, ">u4", n_dimensions, offset=4).tolist())
    dtype = np.dtype(IDX_TYPES[code])
    expected = header + dtype.itemsize * math.prod(shape)
    if expected == header:
        raise DataError(f"{path}: empty: its shape is {shape}, must hold at least one value")
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DataError(f"{path}: {fault}: expected {expected} bytes for shape {shape}, found {len(content)}")
    return np.frombuffer(content, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def mnist_arrays(paths, contents):
    """Return training images and labels, test images and labels of four IDX files, checked against one another."""
    arrays = [_idx_array(path, content) for path, content in zip(paths, contents, strict=True)]
    for path, array, kind in zip(paths, arrays, ("images", "labels") * 2, strict=True):
        if array.dtype != np.uint8 or array.ndim != {"images": 3, "labels": 1}[kind]:
            expected = {"images": "(count, rows, columns)", "labels": "(count,)"}[kind]
            found = f"found {array.dtype} {array.shape}"
            raise DataError(f"{path}: {found}, must be {kind}: uint8 {expected}; are images and labels interchanged?")
    for k in (0, 2):
        if len(arrays[k]) != len(arrays[k + 1]):
            counts = f"{len(arrays[k])} images in {Path(paths[k]).name} but {len(arrays[k + 1])} labels"
            raise DataError(f"{paths[k + 1]}: {counts}, must be as many")
    train, test = arrays[0].shape[1:], arrays[2].shape[1:]
    if train != test:
        raise DataError(f"{paths[2]}: test images are {by(test)}, must be {by(train)} as the training images are")
    return arrays


def _cifar10_batch(path, content):
    count, rest = divmod(len(content), CIFAR10_RECORD)
    if rest or not count:
        found = f"{count} records of {CIFAR10_RECORD} bytes and {rest} bytes"
        raise DataError(f"{path}: truncated or not a CIFAR-10 batch: found {found}, must be whole records")
    records = np.frombuffer(content, np.uint8).reshape(count, CIFAR10_RECORD)
    labels = records[:, 0].astype(np.int64)
    check_labels(path, labels, 10)
    return records[:, 1:], labels


def cifar10_arrays(paths, contents):
    """Return training images (count, 32, 32, 3) and labels, test images and labels of six batches."""
    batches = [_cifar10_batch(path, content) for path, content in zip(paths, contents, strict=True)]
    images = [planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for planes, _ in batches]
    labels = [labels for _, labels in batches]
    return [np.concatenate(images[:5]), np.concatenate(labels[:5]), np.ascontiguousarray(images[5]), labels[5]]


def check_labels(where, labels, n_classes):
    """Raise a DataError for the first label that is not in 0..n_classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"{where}: label {wrong[0]} is {labels[wrong[0]]}, must be within 0..{n_classes - 1}")


def by(shape):
    """Return a shape in words, as 28x28."""
    return "x".join(map(str, shape))
