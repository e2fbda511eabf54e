"""Crops and flips show windows of the padded image, drawn anew every time and the same again in a resumed run."""

import numpy as np
import pytest
from brian2 import Network, ms

from neurosim import ParameterError, Presentation
from neurosim.augmentation import CropsAndFlips

HEIGHT, WIDTH, CHANNELS, PAD = 4, 5, 2, 2
IMAGE = 1.0 + np.arange(HEIGHT * WIDTH * CHANNELS).reshape(HEIGHT, WIDTH, CHANNELS)  # no two pixels are alike


def windows():
    """Return all that may be shown, one after another: (flips, tops, lefts, pixels)."""
    padded = np.pad(IMAGE, ((PAD, PAD), (PAD, PAD), (0, 0)))
    places = range(2 * PAD + 1)
    crops = [[padded[y : y + HEIGHT, x : x + WIDTH] for x in places] for y in places]
    return np.array([crops, [[crop[:, ::-1] for crop in row] for row in crops]]).reshape(2, 5, 5, -1)


def test_each_window_is_shown_as_often_as_any_other_and_half_of_them_turned():
    """5000 lanes, 50 windows: counts have the mean 100 and the deviation 10; chi^2 of 49 degrees has the mean 49."""
    lanes = 5000
    shown = CropsAndFlips(IMAGE.shape, seed=1, pad=PAD)(np.broadcast_to(IMAGE.reshape(1, 1, -1), (1, lanes, 40)), 0)
    counts = np.array([(shown[0] == window).all(axis=1).sum() for window in windows().reshape(50, -1)])
    assert counts.sum() == lanes  # all that is shown is a window of the padded image
    assert ((counts - 100) ** 2 / 100).sum() < 49 + 4 * np.sqrt(2 * 49)
    assert abs(counts.reshape(2, 25)[1].sum() - lanes / 2) < 4 * np.sqrt(lanes) / 2


def test_images_of_one_channel_and_of_no_border_are_flipped_only():
    images = np.arange(12.0).reshape(1, 2, 6)
    shown = CropsAndFlips((2, 3), seed=3, pad=0)(np.repeat(images, 10, axis=1), 0)
    for image, as_is in zip(shown[0], np.repeat(images, 10, axis=1)[0], strict=True):
        turned = as_is.reshape(2, 3)[:, ::-1].ravel()
        assert np.array_equal(image, as_is) or np.array_equal(image, turned)
    assert len(np.unique(shown[0], axis=0)) == 4


def test_draws_follow_from_the_seed_and_the_number_of_presentations():
    images = np.broadcast_to(IMAGE.reshape(1, 1, -1), (2, 8, 40))
    change = CropsAndFlips(IMAGE.shape, seed=5, pad=PAD)
    assert np.array_equal(change(images, 7), CropsAndFlips(IMAGE.shape, seed=5, pad=PAD)(images, 7))
    others = change(images, 8), CropsAndFlips(IMAGE.shape, seed=6, pad=PAD)(images, 7)
    assert all((each != change(images, 7)).any() for each in others)
    assert (change(images, 7)[0] != change(images, 7)[1]).any()  # replicas see windows of their own


def test_a_presentation_changes_images_and_not_labels_and_goes_on_where_it_was_cut_off(given, clock, every_step):
    """Two replicas, three lanes, five presentations of two steps: cut after the third, or run in one piece."""
    pixels = np.arange(1.0, 241.0).reshape(6, 40)
    order = np.random.default_rng(0).integers(0, 6, (5, 2, 3))

    def make():
        x, y = given(40, replicas=2, lanes=3, clock=clock), given(1, replicas=2, lanes=3, clock=clock)
        shown = Presentation(2 * ms, clock=clock)
        shown.clamp(x, "m", pixels, change=CropsAndFlips(IMAGE.shape, seed=2, pad=PAD))
        shown.clamp(y, "m", np.arange(6.0)[:, None])
        shown.show(order)
        look, seen = every_step(clock, lambda: np.concatenate([x.view("m"), y.view("m")], axis=2).copy())
        return shown, Network(x, y, shown, look), seen

    shown, network, seen = make()
    network.run(shown.remaining)
    whole = np.array(seen)
    assert np.array_equal(whole[::2], whole[1::2])  # held
    assert np.array_equal(whole[::2, ..., 40], order)
    for image, example in zip(whole[::2, ..., :40].reshape(-1, 40), order.ravel(), strict=True):
        assert set(image) <= {0, *pixels[example]}
    shown.show(order)
    network.run(shown.remaining)
    assert (np.array(seen[10:])[..., :40] != whole[..., :40]).any(axis=(1, 2, 3)).all()  # the next pass shows others
    first, network, before = make()
    network.run(6 * ms)
    second, network, after = make()
    second.set_state(first.state())
    network.run(second.remaining)
    assert np.array_equal(np.array(before + after), whole)


@pytest.mark.parametrize(
    ("image", "pad", "words"),
    [
        (None, 4, ["CropsAndFlips.image", "height, width", "None"]),
        ((64,), 4, ["CropsAndFlips.image", "(64,)"]),
        ((8, 8.5), 4, ["CropsAndFlips.image", "8.5"]),
        ((8, 6, 3), 6, ["CropsAndFlips.pad", "0 to 5", "8 x 6 x 3", "6"]),
        ((8, 8), -1, ["CropsAndFlips.pad", "-1"]),
        ((8, 8), 0.5, ["CropsAndFlips.pad", "0.5"]),
    ],
)
def test_what_is_no_image_or_a_border_too_wide_is_refused(image, pad, words):
    with pytest.raises(ParameterError) as caught:
        CropsAndFlips(image, 1, pad)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_change_that_does_not_fit_is_refused_before_anything_is_shown(given, clock):
    shown, x = Presentation(1 * ms, clock=clock), given(5, clock=clock, name="x7")
    with pytest.raises(ParameterError, match="2 x 3 x 1 have 6 values, got 5"):
        shown.clamp(x, "m", np.zeros((2, 5)), change=CropsAndFlips((2, 3), 1, 1))
    with pytest.raises(ParameterError, match=r"x7\.m.*\(1, 1, 5\), got \(1, 1, 4\)"):
        shown.clamp(x, "m", np.zeros((2, 5)), change=lambda values, begun: values[..., :4])
