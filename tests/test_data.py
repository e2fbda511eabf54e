"""Data sets arrive as their files hold them, and whatever is wrong with a file or a name is said in one line."""

import functools
import gzip
import hashlib
import http.server
import lzma
import os
import struct
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import data, formats
from neurosim.data import DataSet, load
from neurosim.errors import DataError

COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
MNIST, CIFAR10 = data.PUBLISHED["mnist"], data.PUBLISHED["cifar10"]
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = MNIST.files
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}  # the published table of type codes


def idx(array):
    """Return the bytes of an IDX file, from the description of the format and not from the reader."""
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def mnist_like(rng, n_train=12, n_test=6, shape=(3, 5), n_classes=4):
    arrays = []
    for n in (n_train, n_test):
        arrays += [rng.integers(0, 256, (n, *shape), np.uint8), (np.arange(n) % n_classes).astype(np.uint8)]
    return dict(zip(MNIST.files, map(idx, arrays), strict=True)), arrays


def cifar10_like(rng, n=10):
    planes = rng.integers(0, 256, (6, n, 3, 32, 32), np.uint8)
    labels = rng.permuted(np.tile(np.arange(n, dtype=np.uint8) % 10, (6, 1)), axis=1)
    records = np.concatenate([labels[:, :, None], planes.reshape(6, n, 3072)], axis=2)
    return dict(zip(CIFAR10.files, (batch.tobytes() for batch in records), strict=True)), planes, labels


def write(folder, contents, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (name + suffix)).write_bytes(COMPRESS[suffix](content))
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of the user, and no NEUROSIM_DATA."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    monkeypatch.delenv("NEUROSIM_DATA", raising=False)
    return folder / "neurosim"


@pytest.fixture
def tiny(monkeypatch, rng):
    """Tiny data sets take the place of what is published under the names mnist and cifar10."""
    contents = {"mnist": mnist_like(rng)[0], "cifar10": cifar10_like(rng)[0]}
    for name, files in contents.items():
        sums = {file: (len(content), hashlib.sha1(content).hexdigest()) for file, content in files.items()}
        monkeypatch.setitem(data.PUBLISHED, name, replace(data.PUBLISHED[name], files=sums, downloads={}))
    return contents


@pytest.fixture
def server(tmp_path):
    """A web server on this machine: its folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def served(server, tiny, cache, monkeypatch):
    """The tiny data sets, to be downloaded: MNIST as four compressed files, CIFAR-10 as one archive."""
    folder, url = server
    write(folder, tiny["mnist"], ".gz")
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        batches = write(folder / "batches", {**tiny["cifar10"], "readme.html": b"as in the published archive"})
        archive.add(batches, "cifar-10-batches-bin")
    downloads = {"mnist": [f"{file}.gz" for file in MNIST.files], "cifar10": ["cifar.tar.gz"]}
    for name, files in downloads.items():
        sums = {url + file: hashlib.md5((folder / file).read_bytes()).hexdigest() for file in files}
        monkeypatch.setitem(data.PUBLISHED, name, replace(data.PUBLISHED[name], downloads=sums))
    return folder


def refusal(call, *arguments, **options):
    """Return the one line with which a call is refused."""
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("dtype", CODES)
def test_idx_returns_what_was_written(tmp_path, rng, dtype, suffix):
    array = rng.integers(-120, 120, (2, 3, 4)).astype(dtype)
    read = formats.read_idx(write(tmp_path, {"array": idx(array)}, suffix) / f"array{suffix}")
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_cifar10_batch_returns_what_was_written(tmp_path, rng, suffix):
    contents, planes, labels = cifar10_like(rng)
    images, read = formats.read_cifar10_batch(write(tmp_path, contents, suffix) / f"test_batch.bin{suffix}")
    assert images.dtype == np.uint8 and read.dtype == np.int64
    np.testing.assert_array_equal(images, planes[5].reshape(-1, 3072))
    np.testing.assert_array_equal(read, labels[5])


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))  # a header of 16 bytes and 24 values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated: expected at least 4 bytes, found 0"),
        (GOOD[:9], "truncated: expected 16 bytes of header, found 9"),
        (GOOD[:-1], "truncated: expected 40 bytes for shape (2, 3, 4), found 39"),
        (GOOD + b"\0", "too long: expected 40 bytes for shape (2, 3, 4), found 41"),
        (b"\x89P" + GOOD[2:], "not an IDX file: begins with the bytes 89 50"),
        (b"\0\0\x0a" + GOOD[3:], "type code is 0x0a"),
        (b"\0\0\x08\0" + GOOD[4:], "0 dimensions"),
        (b"\0\0\x08\xff" + bytes(255 * 4), "255 dimensions"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "empty: its shape is (0, 4294967295, 4294967295)"),
    ],
)
def test_bad_idx_is_refused(tmp_path, content, said):
    path = tmp_path / "array"
    path.write_bytes(content)
    message = refusal(formats.read_idx, path)
    assert str(path) in message and said in message


@pytest.mark.parametrize("read", [formats.read_idx, formats.read_cifar10_batch])
@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "head", "uncompressed", "absent", "folder"])
def test_unreadable_file_is_named(tmp_path, rng, read, suffix, damage):
    path = tmp_path / f"file{suffix}"
    packed = bytearray(COMPRESS[suffix](rng.bytes(5000)))
    if damage == "cut":
        path.write_bytes(packed[: len(packed) // 2])
    elif damage == "flip":
        packed[len(packed) // 2] ^= 0xFF
        path.write_bytes(packed)
    elif damage == "head":
        path.write_bytes(packed[:10] + b"\xff" * 20)  # after the magic bytes
    elif damage == "uncompressed":
        path.write_bytes(GOOD)
    elif damage == "folder":
        path.mkdir()
    assert refusal(read, path).startswith(f"{path}: cannot be read: ")


def test_bad_cifar10_batch_is_refused(tmp_path, rng):
    content = cifar10_like(rng)[0]["test_batch.bin"]
    path = tmp_path / "test_batch.bin"
    path.write_bytes(content[:-1])
    assert "9 records of 3073 bytes and 3072 bytes" in refusal(formats.read_cifar10_batch, path)
    path.write_bytes(b"")
    assert "0 records" in refusal(formats.read_cifar10_batch, path)
    path.write_bytes(content[: 4 * 3073] + b"\x0a" + content[4 * 3073 + 1 :])
    message = refusal(formats.read_cifar10_batch, path)
    assert str(path) in message and "label 4 is 10, must be within 0..9" in message


# The data set itself


def corners(**changes):
    pixels, labels = np.eye(4), np.array([0, 1, 0, 1])
    arguments = dict(name="corners", train_images=pixels, train_labels=labels, test_images=pixels, test_labels=labels)
    return DataSet(**{**arguments, "n_classes": 2, "image_shape": (2, 2), "source": "ours", **changes})


def with_pixel(value):
    pixels = np.eye(4)
    pixels[2, 3] = value
    return pixels


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("kind", "array", "said"),
    [
        ("images", np.eye(3, 4), "3 images but 4 labels"),
        ("images", np.ones((4, 5)), "5 pixels, must be image_shape = 2x2"),
        ("images", np.ones((4, 2, 2)), "float64 (4, 2, 2)"),
        ("images", np.full((4, 4), "1"), "must be numbers"),
        ("images", with_pixel(np.nan), "image 2 is nan at pixel 3"),
        ("images", with_pixel(np.inf), "image 2 is inf at pixel 3"),
        ("images", with_pixel(-0.1), "image 2 is -0.1 at pixel 3"),
        ("images", with_pixel(255), "image 2 is 255.0 at pixel 3, must be finite and within 0..1"),
        ("labels", np.array([0, 1, 2, 1]), "label 2 is 2, must be within 0..1"),
        ("labels", np.array([0, -1, 0, 1]), "label 1 is -1"),
        ("labels", np.array([0.0, 1.0, 0.0, 1.0]), "must be integers"),
        ("labels", np.eye(4, 2, dtype=int), "int64 (4, 2)"),
    ],
)
def test_bad_arrays_are_refused(split, kind, array, said):
    message = refusal(corners, **{f"{split}_{kind}": array})
    assert message.startswith(f"corners, {split} split") and said in message


def test_empty_split_is_refused():
    message = refusal(corners, test_images=np.ones((0, 4)), test_labels=np.zeros(0, int))
    assert message.startswith("corners, test split: empty")


def test_arrays_have_the_promised_types_and_cannot_be_changed():
    pixels = np.eye(4)
    held = corners(train_images=pixels)
    assert held.train_images.dtype == np.float32 and held.train_labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        held.train_images[0, 0] = 0
    pixels[0, 0] = 0.5  # the array that was passed in stays writable
    own = np.eye(4, dtype=np.float32)
    corners(train_images=own)
    own[0, 0] = 0.5


def test_hash_depends_on_every_array_and_nothing_else():
    changes = [{f"{split}_images": with_pixel(0.5)} for split in ("train", "test")]
    changes += [{f"{split}_labels": np.array([1, 1, 0, 1])} for split in ("train", "test")]
    shorter = {"train_images": np.eye(3, 4), "train_labels": np.array([0, 1, 0])}
    assert len({corners(**change).sha256 for change in [{}, shorter, *changes]}) == 6
    same = corners(name="other", source="elsewhere", train_images=np.asfortranarray(np.eye(4)))
    assert same.sha256 == corners().sha256


def test_limit_keeps_the_first_training_examples_and_the_whole_test_split():
    digits = load("digits")
    few = digits.limit(100)
    np.testing.assert_array_equal(few.train_images, digits.train_images[:100])
    np.testing.assert_array_equal(few.train_labels, digits.train_labels[:100])
    np.testing.assert_array_equal(few.test_images, digits.test_images)
    assert few.sha256 != digits.sha256 and digits.limit(1437).sha256 == digits.sha256
    for n in (0, -1, 1438, 10.0, "10", None):
        message = refusal(digits.limit, n)
        assert repr(n) in message and "within 1..1437" in message


def rows(images):
    """Return images as something that can be counted and compared whatever their order."""
    return sorted(image.tobytes() for image in images)


@pytest.mark.parametrize("n", [1, 10, 137, 700, 1436])
def test_validation_holds_out_a_stratified_part_of_the_training_split(n):
    digits = load("digits")
    split = digits.validation(n, seed=3)
    assert len(split.test_labels) == n
    assert rows([*split.train_images, *split.test_images]) == rows(digits.train_images)
    quota = n * np.bincount(digits.train_labels) / len(digits.train_labels)
    held_out = np.bincount(split.test_labels, minlength=10)
    assert np.all(np.floor(quota) <= held_out) and np.all(held_out <= np.ceil(quota))


def test_validation_keeps_images_with_their_labels():
    labels = np.random.default_rng(0).integers(0, 7, 300)
    pixels = np.stack([labels / 10, np.arange(300) / 300], axis=1)
    whole = DataSet("numbered", pixels, labels, pixels[:1], labels[:1], 7, (2,), "ours")
    split = whole.validation(90, seed=0)
    for images, own in ((split.train_images, split.train_labels), (split.test_images, split.test_labels)):
        np.testing.assert_allclose(images[:, 0] * 10, own, atol=1e-5)
        assert np.all(np.diff(images[:, 1]) > 0)  # the order of before


def test_validation_is_a_matter_of_the_seed_alone():
    digits = load("digits")
    hashes = [digits.validation(200, seed).sha256 for seed in (1, 1, np.random.default_rng(1), 2)]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_validation_holds_out_every_example_equally_often():
    """20 of 60 unequally frequent examples in 600 draws: each 200 times, within five standard deviations."""
    labels = np.repeat([0, 1, 2], [7, 13, 40])
    pixels = np.arange(60)[:, None] / 64
    whole = DataSet("few", pixels, labels, pixels, labels, 3, (1,), "ours")
    drawn = np.concatenate([whole.validation(20, seed).test_images[:, 0] for seed in range(600)])
    times = np.bincount((drawn * 64).astype(int), minlength=60)
    assert np.all(np.abs(times - 200) < 5 * np.sqrt(600 * (1 / 3) * (2 / 3)))


def test_validation_refuses_what_cannot_be_held_out():
    digits = load("digits")
    for n in (0, 1437, 0.2):
        assert "within 1..1436" in refusal(digits.validation, n, seed=0)
    for seed in (-1, "one"):
        assert f"seed is {seed!r}" in refusal(digits.validation, 10, seed)


# Loading


def test_digits_are_those_of_scikit_learn_once_each():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    digits = load("digits")
    assert (len(digits.train_labels), len(digits.test_labels)) == (1437, 360)
    labelled = np.concatenate([digits.train_images * 16, digits.train_labels[:, None]], axis=1)
    labelled_test = np.concatenate([digits.test_images * 16, digits.test_labels[:, None]], axis=1)
    everything = np.concatenate([images, labels[:, None]], axis=1)
    assert rows([*labelled, *labelled_test]) == rows(everything.astype(labelled.dtype))
    assert len(set(rows(images))) == len(images)  # no image occurs twice, so the splits are disjoint
    for own in (digits.train_labels, digits.test_labels):
        assert np.all(np.abs(np.bincount(own) - np.bincount(labels) * len(own) / 1797) <= 1)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("below", ["", "mnist"])
def test_folder_of_idx_files_is_recognised(tmp_path, rng, suffix, below):
    contents, (train, train_labels, test, test_labels) = mnist_like(rng)
    write(tmp_path / "clothes" / below, contents, suffix)
    held = load(tmp_path / "clothes")
    assert held.image_shape == (3, 5) and held.n_classes == 4 and held.name == (below or "clothes")
    np.testing.assert_allclose(held.train_images.reshape(train.shape), train / 255, rtol=1e-7)
    np.testing.assert_allclose(held.test_images.reshape(test.shape), test / 255, rtol=1e-7)
    np.testing.assert_array_equal(held.train_labels, train_labels)
    np.testing.assert_array_equal(held.test_labels, test_labels)
    assert load(str(tmp_path / "clothes")).sha256 == held.sha256
    assert "SHA-1 not as published" in held.source and str(tmp_path) in held.source


@pytest.mark.parametrize(("below", "name"), [("", "own"), ("cifar-10-batches-bin", "cifar10")])
def test_folder_of_cifar10_batches_is_recognised(tmp_path, rng, below, name):
    contents, planes, labels = cifar10_like(rng, n=4)
    write(tmp_path / "own" / below, contents, ".xz")
    held = load(tmp_path / "own")
    assert held.name == name and held.image_shape == (32, 32, 3) and held.n_classes == 10
    for colour in range(3):
        images = held.train_images.reshape(5, 4, 32, 32, 3)[..., colour]
        np.testing.assert_allclose(images, planes[:5, :, colour] / 255, rtol=1e-7)
        test_images = held.test_images.reshape(4, 32, 32, 3)[..., colour]
        np.testing.assert_allclose(test_images, planes[5, :, colour] / 255, rtol=1e-7)
    np.testing.assert_array_equal(held.train_labels, labels[:5].ravel())
    np.testing.assert_array_equal(held.test_labels, labels[5])


def test_folder_is_refused_when_it_holds_nothing_or_two_data_sets(tmp_path, rng):
    message = refusal(load, tmp_path)
    assert IMAGES in message and "test_batch.bin" in message and "mnist/" in message
    write(tmp_path / "mnist", mnist_like(rng)[0])
    write(tmp_path, cifar10_like(rng)[0])
    message = refusal(load, tmp_path)
    assert str(tmp_path / "mnist") in message and "must be the folder of one" in message
    assert "is a file" in refusal(load, tmp_path / "test_batch.bin")


def test_missing_files_are_named(tmp_path, rng):
    write(tmp_path, mnist_like(rng)[0], ".gz")
    (tmp_path / f"{LABELS}.gz").unlink()
    (tmp_path / f"{TEST_IMAGES}.gz").unlink()
    message = refusal(load, tmp_path)
    assert f"lacks {LABELS}, {TEST_IMAGES} (" in message and ".gz or .xz" in message


def test_mislabelled_files_are_refused(tmp_path, rng):
    contents = mnist_like(rng)[0]
    swapped = {**contents, IMAGES: contents[LABELS], LABELS: contents[IMAGES]}
    message = refusal(load, write(tmp_path / "both", swapped))
    assert IMAGES in message and "found uint8 (12,)" in message and "must be images" in message
    message = refusal(load, write(tmp_path / "labels", {**contents, LABELS: contents[IMAGES]}))
    assert LABELS in message and "found uint8 (12, 3, 5)" in message and "must be labels" in message
    wide = idx(np.zeros((12, 3, 5), np.float32))
    assert "found float32" in refusal(load, write(tmp_path / "wide", {**contents, IMAGES: wide}))


def test_splits_that_do_not_fit_are_refused(tmp_path, rng):
    contents = mnist_like(rng)[0]
    other = mnist_like(rng, n_train=11, shape=(5, 3))[0]
    message = refusal(load, write(tmp_path / "shape", {**contents, TEST_IMAGES: other[TEST_IMAGES]}))
    assert "test images are 5x3, must be 3x5" in message
    message = refusal(load, write(tmp_path / "length", {**contents, LABELS: other[LABELS]}))
    assert "12 images in train-images-idx3-ubyte but 11 labels" in message and LABELS in message


def test_a_name_promises_what_was_published(tmp_path, rng, tiny, cache):
    folder = write(cache / "mnist", tiny["mnist"])
    held = load("mnist")
    assert held.name == "mnist" and held.n_classes == 10 and "SHA-1 of 4 files as published" in held.source
    labels = tiny["mnist"][TEST_LABELS]
    write(folder, {TEST_LABELS: labels[:-1] + b"\x0a"})
    assert "test split: label 5 is 10, must be within 0..9" in refusal(load, "mnist")
    assert load(folder).n_classes == 11
    write(folder, mnist_like(rng, n_test=5)[0])
    message = refusal(load, "mnist")
    assert TEST_IMAGES in message and "must be 106 as published" in message and "folder instead of the name" in message
    assert len(load(folder).test_labels) == 5


@pytest.mark.parametrize(
    ("asked", "nearest"), [("nmist", "mnist"), ("MNIST", "mnist"), ("cifar-10", "cifar10"), ("digit", "digits")]
)
def test_unknown_name_is_answered_with_the_nearest(asked, nearest):
    message = refusal(load, asked)
    assert f"did you mean '{nearest}'?" in message and "digits, mnist, cifar10" in message and "folder" in message
    for call in (data.locate, data.fetch, data.status):
        assert f"did you mean '{nearest}'?" in refusal(call, asked)


def test_name_like_nothing_is_answered_with_all_names():
    message = refusal(load, "zebrafish")
    assert "did you mean" not in message and "digits, mnist, cifar10" in message


def test_path_that_does_not_exist_is_called_so(tmp_path):
    for path in (tmp_path / "mnst", str(tmp_path / "mnst"), Path("mnst")):
        assert refusal(load, path) == f"folder {path} does not exist"


# Where data sets are


def test_neurosim_data_comes_before_the_cache(tmp_path, tiny, cache, monkeypatch):
    assert data.locate("mnist") is None and data.locate("digits") is None
    assert "neurosim data mnist" in refusal(load, "mnist")
    write(cache / "mnist", tiny["mnist"])
    assert data.locate("mnist") == cache / "mnist"
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path / "own"))
    write(tmp_path / "own" / "cifar-10-batches-bin", tiny["cifar10"])
    assert data.locate("cifar10") == tmp_path / "own" / "cifar-10-batches-bin"
    assert data.locate("mnist") == cache / "mnist"
    write(tmp_path / "own" / "mnist", tiny["mnist"])
    assert data.locate("mnist") == tmp_path / "own" / "mnist"


def test_neurosim_data_that_is_no_folder_is_refused(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path / "nowhere"))
    for call in (data.locate, data.fetch, data.status, load):
        message = refusal(call, "mnist")
        assert "NEUROSIM_DATA" in message and "nowhere" in message and "mnist/" in message
    assert len(load("digits").test_labels) == 360  # needs no files


def test_status_says_where_and_what(tiny, cache):
    digits, absent = data.status("digits"), data.status("mnist")
    assert digits.whole and digits.where == "inside scikit-learn" and "1437 train, 360 test images 8x8" in str(digits)
    assert not absent.whole and absent.where == "not found" and "NEUROSIM_DATA" in absent.detail
    folder = write(cache / "mnist", tiny["mnist"], ".xz")
    whole = data.status("mnist")
    assert whole.whole and whole.where == str(folder) and "12 train, 6 test images 3x5; SHA-1 of 4" in whole.detail
    (folder / f"{IMAGES}.xz").write_bytes(b"nothing")
    damaged = data.status("mnist")
    assert not damaged.whole and f"{IMAGES}.xz: cannot be read" in damaged.detail and "not whole" in str(damaged)
    write(folder, {TEST_LABELS: tiny["mnist"][TEST_LABELS][:-1] + b"\x0a"})
    write(folder, {IMAGES: tiny["mnist"][IMAGES]})
    assert not data.status("mnist").whole and "label 5 is 10" in data.status("mnist").detail


def test_status_tells_other_content_from_a_batch_that_is_too_short(tiny, cache):
    folder = write(cache / "cifar-10-batches-bin", tiny["cifar10"])
    batch = tiny["cifar10"]["data_batch_3.bin"]
    write(folder, {"data_batch_3.bin": batch[:-1] + bytes([batch[-1] ^ 1])})
    state = data.status("cifar10")
    assert state.whole and state.detail.endswith("SHA-1 not as published for data_batch_3.bin")
    (folder / "NOT_LOSSLESS.txt").touch()
    assert data.status("cifar10").detail.endswith("see NOT_LOSSLESS.txt there")
    write(folder, {file: content[:-1] + bytes([content[-1] ^ 1]) for file, content in tiny["cifar10"].items()})
    assert "for all 6 files" in data.status("cifar10").detail
    write(folder, {"data_batch_3.bin": batch[:-3073]})
    state = data.status("cifar10")
    assert not state.whole and "data_batch_3.bin" in state.detail and "must be 30730" in state.detail
    (folder / "data_batch_3.bin").unlink()
    assert "lacks data_batch_3.bin" in data.status("cifar10").detail


# Downloads, from a server on this machine


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_fetch_downloads_once(name, served, cache, monkeypatch):
    folder = data.fetch(name, progress=False)
    assert folder == data.locate(name) == cache / data.PUBLISHED[name].folder
    state = data.status(name)
    assert state.whole and "as published" in state.detail and "not as published" not in state.detail
    assert [path.name for path in cache.iterdir()] == [folder.name]  # nothing is left beside it
    assert len(list(folder.iterdir())) == len(data.PUBLISHED[name].files)
    for file in served.glob("*.gz"):
        file.unlink()
    assert data.fetch(name) == folder


def test_load_downloads_only_when_asked(served, cache):
    assert "not found" in refusal(load, "mnist")
    assert not cache.exists()
    assert len(load("mnist", download=True).train_labels) == 12


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_corrupt_download_is_refused_and_leaves_nothing(name, served, cache):
    file = served / list(data.PUBLISHED[name].downloads)[-1].rsplit("/", 1)[1]
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    message = refusal(data.fetch, name, progress=False)
    assert file.name in message and "hash" in message and "NEUROSIM_DATA" in message
    assert not list(cache.rglob("*")) and data.locate(name) is None
    file.write_bytes(good)
    assert data.status(data.fetch(name, progress=False) and name).whole


def test_failed_download_names_url_and_reason(served, cache, server, monkeypatch):
    (served / f"{IMAGES}.gz").unlink()
    message = refusal(data.fetch, "mnist", progress=False)
    assert f"{server[1]}{IMAGES}.gz" in message and "404" in message and "NEUROSIM_DATA" in message
    nobody = {"http://127.0.0.1:9/x.gz": "0" * 32}
    monkeypatch.setitem(data.PUBLISHED, "mnist", replace(data.PUBLISHED["mnist"], downloads=nobody))
    assert "http://127.0.0.1:9/x.gz failed: " in refusal(data.fetch, "mnist", progress=False)
    assert not list(cache.rglob("*"))


def test_fetch_repairs_the_cache(served, tiny, cache):
    folder = write(cache / "mnist", tiny["mnist"], ".gz")
    (folder / f"{IMAGES}.gz").write_bytes(b"damaged")
    (folder / f"{LABELS}.gz").unlink()
    assert data.status(data.fetch("mnist", progress=False).name).whole
    (folder / IMAGES).write_bytes(b"damaged")  # found before the compressed file that arrives
    assert f"{folder / IMAGES}: not an IDX file" in refusal(data.fetch, "mnist", progress=False)


def test_fetch_leaves_the_users_own_folder_alone(served, tiny, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path / "own"))
    folder = write(tmp_path / "own" / "mnist", tiny["mnist"])
    assert data.fetch("mnist") == folder
    (folder / LABELS).unlink()
    message = refusal(data.fetch, "mnist", progress=False)
    assert f"lacks {LABELS}" in message and "NEUROSIM_DATA" in message
    assert len(list(folder.iterdir())) == 3 and not cache.exists()


def test_cache_that_cannot_be_written_is_named(served, cache):
    cache.parent.write_text("a file where the cache should be")
    assert f"cannot write to {cache}" in refusal(data.fetch, "mnist", progress=False)


def test_digits_need_no_download():
    assert data.fetch("digits") is None


# The real files


def real(name):
    folder = data.locate(name) if os.environ.get("NEUROSIM_DATA") else None
    if folder is None:
        pytest.skip(f"NEUROSIM_DATA names no folder with {data.PUBLISHED[name].folder}/")
    return load(name)


def test_mnist_has_its_published_numbers():
    """Counts and histograms as in the literature; mean 0.1307 and deviation 0.3081 as everybody normalises with."""
    mnist = real("mnist")
    assert mnist.train_images.shape == (60000, 784) and mnist.test_images.shape == (10000, 784)
    assert mnist.image_shape == (28, 28) and mnist.n_classes == 10
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.train_labels).tolist() == train and np.bincount(mnist.test_labels).tolist() == test
    assert abs(mnist.train_images.mean(dtype=np.float64) - 0.1307) < 5e-5
    assert abs(mnist.train_images.std(dtype=np.float64) - 0.3081) < 5e-5
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_mnist_ones_are_tall():
    """Rows and columns are not interchanged: a one is higher than it is wide."""
    mnist = real("mnist")
    ones = mnist.test_images[mnist.test_labels == 1].reshape(-1, *mnist.image_shape).mean(axis=0)
    rows_of_ink, columns_of_ink = ones.sum(axis=1), ones.sum(axis=0)
    assert np.count_nonzero(rows_of_ink > 0.5) > 1.5 * np.count_nonzero(columns_of_ink > 0.5)


def test_cifar10_has_its_published_numbers():
    """5,000 and 1,000 images of each class; channel means 0.4914, 0.4822, 0.4465 as everybody normalises with."""
    cifar10 = real("cifar10")
    assert cifar10.train_images.shape == (50000, 3072) and cifar10.test_images.shape == (10000, 3072)
    assert np.bincount(cifar10.train_labels).tolist() == [5000] * 10
    assert np.bincount(cifar10.test_labels).tolist() == [1000] * 10
    means = cifar10.train_images.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=1e-4)
    # Neighbouring pixels are alike only if planes, rows and columns lie where image_shape says.
    images = cifar10.test_images[:1000].reshape(-1, *cifar10.image_shape)
    for axis in (1, 2):
        assert np.abs(np.diff(images, axis=axis)).mean() < 0.5 * np.abs(images - np.roll(images, 16, axis)).mean()
