"""What a network without weight sharing takes: connections, multiplications, memory and time, counted layer by layer.

Nothing is simulated, so that networks can be counted which no computer here could hold, as that for ImageNet.

Symbols     W up, V back, connections of a layer: one weight each, none is shared; products: how often a batch uses each
            weight, to deliver or to learn; one multiplication for every connection, product and image
Counted     DTP, parallel: W delivers activities, where the layer sends back noisy ones too, and learns; V delivers
            activities, targets and noisy activities, and learns; W of the output brings back the gradient
            BP: W delivers, learns, and but for the first layer brings back the gradient
            biases and neurons are left out: they are as many as units
"""

from dataclasses import dataclass

import numpy as np

from neurosim.connectivity import Local
from neurosim.errors import unknown
from neurosim_models.bartunov_2018.network import Full, LocalLayer

IMAGE, CLASSES = (224, 224, 3), 1000
EXAMPLES = 1_271_167 - 10_000  # ICLR version, section 4: without those held out
PASSES = 18  # the same: 5 days
# NeurIPS, supplement; "same" padding and a fully connected output are our reading
LAYERS = (
    LocalLayer(48, 9, 4), LocalLayer(48, 3, 2), LocalLayer(96, 5), LocalLayer(96, 3, 2), LocalLayer(192, 3),
    LocalLayer(192, 3, 2), LocalLayer(384, 3),
)  # fmt: skip
BYTES = 4  # of a number in single precision
DAY = 86_400


@dataclass(frozen=True)
class Count:
    """What one layer takes.

    Attributes
    ----------
    shape : tuple of int
        Of its units.
    up, back : int
        Connections of W, that lead to it, and of V, that lead from it to the layer below.
    products : int
        How often a batch uses each of W's weights.
    products_back : int
        The same of V's.
    """

    shape: tuple
    up: int
    back: int
    products: int
    products_back: int

    @property
    def multiplications(self):
        """For one image, with learning."""
        return self.up * self.products + self.back * self.products_back


def count(image=IMAGE, layers=LAYERS, classes=CLASSES, algorithm="dtp"):
    """Return the Count of every layer from the first hidden one to the output.

    Parameters
    ----------
    image : (height, width, channels)
        Of the input.
    layers : sequence of Full and LocalLayer
        Hidden layers from the input up.
    classes : int
        Output units, which see the whole layer below.
    algorithm : {"dtp", "bp"}
        How it learns.

    Examples
    --------
    >>> [layer.up for layer in count((28, 28, 1), [Full(240)], 10, "bp")]
    [188160, 2400]
    """
    if algorithm not in ("dtp", "bp"):
        raise unknown("algorithm", algorithm, ("dtp", "bp"))
    below, counts, top = tuple(image), [], len(layers) + 1
    for place, layer in enumerate((*layers, Full(classes)), start=1):
        if isinstance(layer, LocalLayer):
            window = Local(below, layer.kernel, layer.channels, layer.stride, layer.padding)
            shape, up = window.output, int((window.windows >= 0).sum()) * layer.channels
        else:
            shape, up = (layer.n,), int(np.prod(below)) * layer.n
        inverse = algorithm == "dtp" and 1 < place < top
        products = 3 if inverse or place == top or (algorithm == "bp" and place > 1) else 2
        counts.append(Count(shape, up, up if inverse else 0, products, 4 if inverse else 0))
        below = shape
    return counts


def totals(counts):
    """Return the sums over layers: connections up, connections back, multiplications for an image."""
    return tuple(sum(getattr(each, name) for each in counts) for name in ("up", "back", "multiplications"))


def memory(counts, by_adam):
    """Return the bytes of all weights; Adam keeps three more numbers for each: the gradient and two running means."""
    up, back, _ = totals(counts)
    return (up + back) * BYTES * (4 if by_adam else 1)


def days(counts, nanoseconds, passes=1, examples=EXAMPLES):
    """Return the days that some passes take where one multiplication takes some nanoseconds."""
    return totals(counts)[2] * nanoseconds * 1e-9 * examples * passes / DAY
