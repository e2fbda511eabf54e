"""Data sets: find, download, read and check them, and hold examples out for validation.

    digits    1,437 + 360 images of 8 x 8, 10 classes; ships inside scikit-learn
    mnist     60,000 + 10,000 images of 28 x 28, 10 classes; four IDX files
    cifar10   50,000 + 10,000 images of 32 x 32 x 3, 10 classes; six binary batches

Files are looked for below the folder that the environment variable NEUROSIM_DATA names, then in the user's cache.
Only `fetch`, and `load` when asked to, download anything.
"""

import hashlib
import math
import os
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.formats import (
    COMPRESSIONS,
    by,
    check_labels,
    cifar10_arrays,
    mnist_arrays,
    read_content,
    reason,
)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Labelled images in a training and a test split, checked on construction and read-only afterwards.

    Parameters
    ----------
    name : str
        What errors, plots and provenance call it.
    train_images, test_images : array, shape (count, n_inputs)
        Pixels within 0..1, dimensionless, kept as float32; ``images[i].reshape(image_shape)`` can be displayed.
    train_labels, test_labels : integer array, shape (count,)
        Classes 0..n_classes-1, kept as int64.
    n_classes : int
        Number of classes.
    image_shape : tuple of int
        (rows, columns) or (rows, columns, channels); its product is n_inputs.
    source : str
        Where the data come from and what was done to them.

    Attributes
    ----------
    sha256 : str
        SHA-256 over type, shape and values of the four arrays, in the order above of train, then test.

    Raises
    ------
    DataError
        If a split is empty, images and labels differ in number, an array has another shape or kind, a pixel is not
        finite or outside 0..1, or a label is not a class. The message names the split and the first offender.

    Examples
    --------
    >>> pixels, labels = np.eye(4), np.array([0, 1, 0, 1])
    >>> DataSet("corners", pixels, labels, pixels, labels, 2, (2, 2), "ours").limit(3).train_labels
    array([0, 1, 0])
    """

    name: str
    train_images: np.ndarray = field(repr=False)
    train_labels: np.ndarray = field(repr=False)
    test_images: np.ndarray = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    n_classes: int
    image_shape: tuple[int, ...]
    source: str
    sha256: str = field(init=False)

    def __post_init__(self):
        """Check the arrays, make them read-only and hash them."""
        digest = hashlib.sha256()
        for split in ("train", "test"):
            images, labels = np.asarray(getattr(self, f"{split}_images")), np.asarray(getattr(self, f"{split}_labels"))
            _check_split(f"{self.name}, {split} split", images, labels, self.n_classes, tuple(self.image_shape))
            for kind, array, dtype in (("images", images, np.float32), ("labels", labels, np.int64)):
                array = np.ascontiguousarray(array, dtype).view()
                array.flags.writeable = False
                object.__setattr__(self, f"{split}_{kind}", array)
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(array)
        object.__setattr__(self, "sha256", digest.hexdigest())

    def limit(self, n):
        """Keep the first n training examples, and all test examples.

        Parameters
        ----------
        n : int
            1..number of training examples, else DataError.

        Returns
        -------
        DataSet
        """
        self._check_number("keep", n, len(self.train_labels))
        source = f"{self.source}; first {n} training examples"
        return replace(self, train_images=self.train_images[:n], train_labels=self.train_labels[:n], source=source)

    def validation(self, n, seed):
        """Hold n random training examples out as the test split; the others remain for training, in their order.

        The draw is stratified: of a class that holds c of all C training examples, n c / C examples are held out,
        rounded down or up. The original test split is left out, so nothing can be tuned on it.

        Parameters
        ----------
        n : int
            1..number of training examples - 1, else DataError.
        seed : int or numpy.random.Generator
            Where the draw comes from; the same seed holds out the same examples.

        Returns
        -------
        DataSet

        Examples
        --------
        >>> digits = load("digits").validation(200, seed=1)
        >>> len(digits.train_labels), len(digits.test_labels)
        (1237, 200)
        """
        count = len(self.train_labels)
        self._check_number("hold out", n, count - 1)
        try:
            rng = np.random.default_rng(seed)
        except (TypeError, ValueError):
            message = f"{self.name}: seed is {seed!r}, must be a whole number from 0 or a numpy.random.Generator"
            raise DataError(message) from None
        # Every (count / n)-th example from a random start, classes side by side and each in random order.
        order = np.lexsort((rng.random(count), self.train_labels))
        held_out = np.zeros(count, bool)
        held_out[order[(np.arange(n) * count + rng.integers(count)) // n]] = True
        return replace(
            self,
            train_images=self.train_images[~held_out],
            train_labels=self.train_labels[~held_out],
            test_images=self.train_images[held_out],
            test_labels=self.train_labels[held_out],
            source=f"{self.source}; tested on {n} of {count} training examples, held out with seed {seed}",
        )

    def _check_number(self, verb, n, most):
        if not isinstance(n, Integral) or not 1 <= n <= most:
            of = f"of {len(self.train_labels)} training examples"
            raise DataError(f"{self.name}: cannot {verb} {n!r} {of}, must be a whole number within 1..{most}")


def _check_split(where, images, labels, n_classes, image_shape):
    if images.ndim != 2 or images.dtype.kind not in "fiub":
        raise DataError(f"{where}: images are {images.dtype} {images.shape}, must be numbers (count, n_inputs)")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels are {labels.dtype} {labels.shape}, must be integers (count,)")
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images)} images but {len(labels)} labels, must be as many")
    if not images.size:
        raise DataError(f"{where}: empty, must hold at least one image of at least one pixel")
    if images.shape[1] != math.prod(image_shape):
        raise DataError(f"{where}: images have {images.shape[1]} pixels, must be image_shape = {by(image_shape)}")
    if not (images.min() >= 0 and images.max() <= 1):  # a nan fails both comparisons
        image, pixel = np.argwhere(~((images >= 0) & (images <= 1)))[0]
        value = images[image, pixel]
        raise DataError(f"{where}: image {image} is {value} at pixel {pixel}, must be finite and within 0..1")
    check_labels(where, labels, n_classes)


@dataclass(frozen=True)
class Published:
    """The files of a data set as its publisher distributes them."""

    title: str  # the data set and its reference
    folder: str  # its name below NEUROSIM_DATA and the cache
    files: dict[str, tuple[int, str]]  # file name -> length in bytes and SHA-1, both uncompressed
    downloads: dict[str, str]  # URL of a file or a .tar.gz archive -> MD5
    arrays: Callable  # (paths, contents) -> train images (count, rows, columns, ...), train labels, test ...
    n_classes: int = 10


MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
PUBLISHED = {
    "mnist": Published(
        title="MNIST (LeCun, Cortes and Burges 1998)",
        folder="mnist",
        files={  # computed by us from the files whose MD5 sums follow
            "train-images-idx3-ubyte": (47040016, "c3557c10f29b266e19b3eeee1553c85e0ef4a8ea"),
            "train-labels-idx1-ubyte": (60008, "adbf52269f5d842899f287c269e2883e40b4f6e2"),
            "t10k-images-idx3-ubyte": (7840016, "65e11ec1fd220343092a5070b58418b5c2644e26"),
            "t10k-labels-idx1-ubyte": (10008, "a6d52cc628797e845885543326e9f10abb8a6f89"),
        },
        downloads={  # as in torchvision.datasets.MNIST
            MIRROR + "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            MIRROR + "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            MIRROR + "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            MIRROR + "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        arrays=mnist_arrays,
    ),
    "cifar10": Published(
        title="CIFAR-10 (Krizhevsky 2009)",
        folder="cifar-10-batches-bin",
        files={  # as in mxnet.gluon.data.vision.CIFAR10
            "data_batch_1.bin": (30730000, "aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
            "data_batch_2.bin": (30730000, "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
            "data_batch_3.bin": (30730000, "1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
            "data_batch_4.bin": (30730000, "aab85764eb3584312d3c7f65fd2fd016e36a258e"),
            "data_batch_5.bin": (30730000, "26e2849e66a845b7f1e4614ae70f4889ae604628"),
            "test_batch.bin": (30730000, "67eb016db431130d61cd03c7ad570b013799c88c"),
        },
        downloads={  # as on the publisher's page
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        },
        arrays=cifar10_arrays,
    ),
}
NAMES = ("digits", *PUBLISHED)


def load(name_or_folder, download=False):
    """Load a data set by name or from a folder, pixels scaled to 0..1.

    Parameters
    ----------
    name_or_folder : str or path
        ``"digits"``, ``"mnist"``, ``"cifar10"``, or a folder that holds four IDX files named as those of MNIST (as
        Fashion-MNIST does) or the six batches of CIFAR-10, plain, .gz or .xz, directly or in a folder named ``mnist``
        or ``cifar-10-batches-bin``. A name promises the published number of examples; a folder holds what it holds,
        and its IDX labels say how many classes there are. A folder called like a data set is written ``./mnist``.
        The data set gets the folder's name, ``cifar10`` for ``cifar-10-batches-bin``.
    download : bool
        Whether to download what is not found; otherwise that is an error.

    Returns
    -------
    DataSet
        Its ``source`` says where the files lie and whether they are the published ones.

    Raises
    ------
    DataError
        If the name is unknown, the files are missing or damaged, or the arrays are not a data set.

    Notes
    -----
    digits: the 1,797 images of scikit-learn's ``load_digits``, pixels / 16, of which 360, stratified by class, are the
    test split: ``train_test_split(test_size=360, random_state=0, stratify=labels)``. The split is ours.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.train_images.shape, digits.test_images.shape
    ((1437, 64), (360, 64))
    """
    if name_or_folder == "digits":
        return _load_digits()
    if named := name_or_folder in PUBLISHED:
        name, published = name_or_folder, PUBLISHED[name_or_folder]
        folder = locate(name) or (fetch(name) if download else None)
        if folder is None:
            raise DataError(f"{name} not found: {_advice(name)}")
    else:
        folder, published = _recognize(name_or_folder)
        name = folder.resolve().name
        name = next((known for known, each in PUBLISHED.items() if each.folder == name), name)
    (train, train_labels, test, test_labels), note = _read(folder, published, exact=named)
    n_classes = published.n_classes
    if not named and published.arrays is mnist_arrays:
        n_classes = 1 + int(max(train_labels.max(), test_labels.max()))
        seen = len(np.unique(train_labels))
        if 3 * seen < n_classes:  # a few may be missing from a small set, not most
            raise DataError(
                f"{folder}: labels go up to {n_classes - 1}, but the training images show only {seen} classes; "
                "classes must be 0, 1, 2 ...: is a label wrong?"
            )
    source = f"{published.title if named else 'files named as in ' + published.title}, {folder}; {note}"
    shape = train.shape[1:]
    return DataSet(name, _scaled(train), train_labels, _scaled(test), test_labels, n_classes, shape, source)


def _load_digits():
    from sklearn.datasets import load_digits  # takes a second to import
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=360, random_state=0, stratify=labels)
    train_images, test_images, train_labels, test_labels = split
    source = "scikit-learn's load_digits (UCI optical recognition of handwritten digits, Alpaydin and Kaynak 1998)"
    return DataSet("digits", train_images, train_labels, test_images, test_labels, 10, (8, 8), source)


def _scaled(images):
    pixels = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    pixels /= 255
    return pixels


def _read(folder, published, exact):
    """Return a folder's four integer arrays and a note on whether its files are the published ones.

    If exact, their lengths and labels must be those published.
    """
    variants = [_variants(folder, file) for file in published.files]
    missing = [file for file, paths in zip(published.files, variants, strict=True) if not paths]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)} (each may be plain or end in .gz or .xz)")
    paths = [paths[0] for paths in variants]
    with ThreadPoolExecutor() as pool:  # zlib and lzma release the GIL
        contents = list(pool.map(read_content, paths))
    arrays = published.arrays(paths, contents)
    if exact:
        for path, content, (length, _) in zip(paths, contents, published.files.values(), strict=True):
            if len(content) != length:
                message = f"{path}: {len(content)} bytes of content, must be {length} as published; to use the files"
                raise DataError(f"{message} as they are, give the folder instead of the name")
        for split, labels in zip(("train", "test"), arrays[1::2], strict=True):
            check_labels(f"{folder}, {split} split", labels, published.n_classes)
    sums = [hashlib.sha1(content, usedforsecurity=False).hexdigest() for content in contents]
    wrong = [file for file, found in zip(published.files, sums, strict=True) if found != published.files[file][1]]
    if not wrong:
        return arrays, f"SHA-1 of {len(sums)} files as published"
    wrong = f"all {len(sums)} files" if len(wrong) == len(sums) else ", ".join(wrong)
    hint = ", see NOT_LOSSLESS.txt there" if (folder / "NOT_LOSSLESS.txt").is_file() else ""
    return arrays, f"SHA-1 not as published for {wrong}{hint}"


def _variants(folder, file):
    return [path for suffix in COMPRESSIONS if (path := folder / (file + suffix)).is_file()]


def _recognize(name_or_folder):
    """Return the folder that holds files, the one given or one in it, and what is published under their names."""
    try:
        folder = Path(name_or_folder).expanduser()
        exists = folder.exists()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{name_or_folder}: cannot be a folder: {reason(error)}") from error
    if not str(name_or_folder) or not exists:
        if isinstance(name_or_folder, str) and folder.name == name_or_folder:  # more likely meant as a name
            _check_name(name_or_folder, ", or the path of a folder with IDX files or CIFAR-10 batches")
        raise DataError(f"folder {folder} does not exist")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, must be the folder that holds it")
    found = [
        (place, published)
        for published in PUBLISHED.values()
        for place in (folder, folder / published.folder)
        if any(_variants(place, file) for file in published.files)
    ]
    if len(found) > 1:
        places = " and in ".join(str(place) for place, _ in found)
        raise DataError(f"{folder} holds data sets in {places}; must be the folder of one")
    if not found:
        files = " or ".join(", ".join(published.files) for published in PUBLISHED.values())
        raise DataError(f"{folder} holds no data set; must hold {files} (each plain, .gz or .xz), or {_folders()}")
    return found[0]


def _check_name(name, others=""):
    if name not in NAMES:
        raise unknown("data set", name, NAMES, others, DataError)


def _folders():
    return " or ".join(f"{published.folder}/" for published in PUBLISHED.values())


def _advice(name):
    folder = PUBLISHED[name].folder
    return f"`neurosim data {name}` downloads it, or NEUROSIM_DATA may name a folder that holds {folder}/"


def locate(name):
    """Say in which folder the files of a data set are.

    Parameters
    ----------
    name : str
        ``"digits"``, ``"mnist"`` or ``"cifar10"``.

    Returns
    -------
    pathlib.Path or None
        ``$NEUROSIM_DATA/mnist`` or ``$NEUROSIM_DATA/cifar-10-batches-bin`` if it exists, else the folder of that name
        in the user's cache, else None. None for digits, which needs no files.

    Raises
    ------
    DataError
        If the name is unknown, or NEUROSIM_DATA does not name a folder.

    Examples
    --------
    >>> locate("digits") is None
    True
    """
    _check_name(name)
    if name not in PUBLISHED:
        return None
    places = [_cache()]
    if root := os.environ.get("NEUROSIM_DATA"):
        places.insert(0, Path(root).expanduser())
        if not places[0].is_dir():
            raise DataError(f"NEUROSIM_DATA is '{root}', which is no folder; must name one that holds {_folders()}")
    folders = [place / PUBLISHED[name].folder for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)


def _cache():
    import pooch  # takes a tenth of a second to import

    return Path(pooch.os_cache("neurosim"))


def fetch(name, progress=True):
    """Download a data set into the user's cache, unless it is there or below NEUROSIM_DATA already.

    Files appear in the cache only when all of them have arrived with the published MD5 sums.

    Parameters
    ----------
    name : str
        ``"mnist"`` (12 MB), ``"cifar10"`` (170 MB) or ``"digits"``, which needs no files.
    progress : bool
        Whether to draw a progress bar on stderr.

    Returns
    -------
    pathlib.Path or None
        The folder with the files; None for digits.

    Raises
    ------
    DataError
        If the name is unknown, the folder below NEUROSIM_DATA is not whole, or the download fails.
    """
    _check_name(name)
    if name not in PUBLISHED:
        return None
    state = status(name)
    if state.whole:
        return Path(state.where)
    cache, published = _cache(), PUBLISHED[name]
    folder = cache / published.folder
    if state.where not in ("not found", str(folder)):
        raise DataError(f"{name}: {state.detail}; nothing is downloaded to where NEUROSIM_DATA points")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as aside:  # in the cache, so that a move is a renaming
            arrived = []
            for url, md5 in published.downloads.items():
                arrived += _download(url, md5, aside, progress)
            folder.mkdir(exist_ok=True)
            for path in map(Path, arrived):
                if path.name.removesuffix(".gz") in published.files:
                    os.replace(path, folder / path.name)
    except OSError as error:
        raise DataError(f"{name}: cannot write to {cache}: {reason(error)}") from error
    state = status(name)
    if not state.whole:  # an older file of the same name, in another compression
        raise DataError(f"{name}: {state.detail}")
    return folder


def _download(url, md5, folder, progress):
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar says what is going on
    name, unpack = url.rsplit("/", 1)[1], pooch.Untar() if url.endswith(".tar.gz") else None
    try:
        found = pooch.retrieve(url, f"md5:{md5}", fname=name, path=folder, processor=unpack, progressbar=progress)
    except (OSError, ValueError, tarfile.TarError) as error:
        advice = f"NEUROSIM_DATA may name a folder that holds {_folders()}"
        raise DataError(f"download of {url} failed: {reason(error)}; {advice}") from error
    return found if unpack else [found]


@dataclass(frozen=True)
class Status:
    """Where a data set is and whether it is whole; its text is one line.

    Parameters
    ----------
    name : str
        The data set.
    where : str
        The folder, ``"inside scikit-learn"`` or ``"not found"``.
    whole : bool
        Whether every file is there, readable and of the published length.
    detail : str
        Numbers of images and whether the files are the published ones; or what is wrong.
    """

    name: str
    where: str
    whole: bool
    detail: str

    def __str__(self):
        """Return one line."""
        return f"{self.name}: {self.where}; {'whole' if self.whole else 'not whole'}: {self.detail}"


def status(name):
    """Read a data set's files and say where they are and whether they are whole.

    Files that are whole but not those published, byte by byte, are named in the detail.

    Parameters
    ----------
    name : str
        ``"digits"``, ``"mnist"`` or ``"cifar10"``.

    Returns
    -------
    Status

    Raises
    ------
    DataError
        If the name is unknown, or NEUROSIM_DATA does not name a folder.

    Examples
    --------
    >>> print(status("digits"))
    digits: inside scikit-learn; whole: 1437 train, 360 test images 8x8
    """
    folder = locate(name)
    if name not in PUBLISHED:
        digits = _load_digits()
        detail = f"{len(digits.train_labels)} train, {len(digits.test_labels)} test images {by(digits.image_shape)}"
        return Status(name, "inside scikit-learn", True, detail)
    if folder is None:
        return Status(name, "not found", False, _advice(name))
    try:
        (train, _, test, _), note = _read(folder, PUBLISHED[name], exact=True)
    except DataError as error:
        return Status(name, str(folder), False, str(error))
    detail = f"{len(train)} train, {len(test)} test images {by(train.shape[1:])}; {note}"
    return Status(name, str(folder), True, detail)
