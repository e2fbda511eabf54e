"""Augmentation: images shown a little changed every time, so that a network cannot learn them by heart."""

import math

import numpy as np

from neurosim.errors import ParameterError


class CropsAndFlips:
    """Random crops and left-right flips: a window of the image's size, cut out of the image with a border of zeros.

    For ``Presentation.clamp(..., change=...)``. Every lane draws a place of the window, one of ``(2 pad + 1)^2`` with
    equal probability, and with probability 1/2 it is turned left to right. The draws depend on the seed and on how many
    presentations began before, so that a run that was cut off and resumed shows what an uninterrupted one shows.

    Parameters
    ----------
    image : (height, width) or (height, width, channels)
        Of the images, whose pixels are ordered by row, column, channel.
    seed : int
        Decides the draws.
    pad : int
        Width of the border, in pixels; smaller than the image.

    Raises
    ------
    ParameterError
        If the image is not two or three whole numbers, or the border does not fit.

    Notes
    -----
    Source: random crops out of 40 x 40 pixels and flips are CIFAR's usual augmentation (He et al. 2016, section 4.2);
    Bartunov et al. 2018 do not print their border.

    Examples
    --------
    >>> import numpy as np
    >>> change = CropsAndFlips((2, 3), seed=4, pad=1)
    >>> change(np.arange(1.0, 7.0).reshape(1, 1, 6), begun=0).reshape(2, 3)
    array([[0., 0., 0.],
           [3., 2., 1.]])
    """

    def __init__(self, image, seed, pad=4):
        sizes = image if isinstance(image, (tuple, list)) else ()
        whole = all(isinstance(n, (int, np.integer)) and n > 0 for n in sizes)
        if not whole or len(sizes) not in (2, 3):
            raise ParameterError(
                f"CropsAndFlips.image: height, width and channels of the images are needed, got {image!r}; "
                "what is no image can be neither cropped nor flipped"
            )
        if not isinstance(pad, (int, np.integer)) or not 0 <= pad < min(sizes[:2]):
            raise ParameterError(
                f"CropsAndFlips.pad: a whole number of pixels from 0 to {min(sizes[:2]) - 1} is needed, less than the "
                f"image of {' x '.join(map(str, sizes))}, got {pad!r}"
            )
        self.image, self.seed, self.pad = (*map(int, sizes), 1)[:3], int(seed), int(pad)

    def __call__(self, values, begun):
        """Return images changed, of the shape given.

        Parameters
        ----------
        values : array of shape (replicas, lanes, pixels)
            The images as they are.
        begun : int
            How many presentations began before.
        """
        if values.shape[-1] != math.prod(self.image):
            raise ParameterError(
                f"CropsAndFlips: images of {' x '.join(map(str, self.image))} have {math.prod(self.image)} values, "
                f"got {values.shape[-1]}"
            )
        height, width, channels = self.image
        images = values.reshape(-1, height, width, channels)
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, 0, begun)))
        tops, lefts = generator.integers(0, 2 * self.pad + 1, (2, len(images)))
        steps = 1 - 2 * generator.integers(0, 2, len(images))  # -1: turned left to right
        padded = np.zeros((len(images), height + 2 * self.pad, width + 2 * self.pad, channels), values.dtype)
        padded[:, self.pad : self.pad + height, self.pad : self.pad + width] = images
        changed = np.empty_like(images)
        for new, old, top, left, step in zip(changed, padded, tops, lefts, steps, strict=True):
            new[:, ::step] = old[top : top + height, left : left + width]
        return changed.reshape(values.shape)
