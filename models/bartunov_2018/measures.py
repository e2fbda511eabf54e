"""What is seen of a network after every epoch, in a copy of it that shows the same images, without noise or learning.

Symbols     angle: between m = (t - h) (1 - h^2), which a layer's weights learn from, and what backprop would send,
            -dL/dv, over all units and images (degrees)
            missed: |h - g(h_above)|^2 / |h - <h>|^2, what the way back does not reconstruct of a layer's activities,
            as a fraction of how much they differ from image to image (1)
"""

import numpy as np

from neurosim.analysis import angle
from neurosim.training import evaluate


def of(circuit, layers, data):
    """Return the measures of a circuit, as a Circuit takes them.

    Parameters
    ----------
    circuit : Circuit
        What learns.
    layers : network.Layers
        A copy of it that does not learn.
    data : DataSet
        Its first training images are shown, one a lane.
    """
    watched, hidden, found = layers.circuit(), layers.layers[1:-1], {}
    images, labels = (array[: watched.lanes] for array in (data.train_images, data.train_labels))

    def look():
        watched.take_weights(circuit)
        evaluate(watched, images, labels)
        for layer in hidden:
            found[f"angle_{layer.units.name}"] = angle_to_backprop(layer.units)
            if _reconstructs(layer):
                found[f"missed_{layer.units.name}"] = missed(layer.cells)

    def first(name):
        look()
        return found[name]

    measures = {f"angle_{layer.units.name}": "degree" for layer in hidden}
    measures |= {f"missed_{layer.units.name}": "1" for layer in hidden if _reconstructs(layer)}
    ways = [first, *[found.__getitem__] * (len(measures) - 1)]
    return {
        name: (lambda name=name, way=way: way(name), unit)
        for (name, unit), way in zip(measures.items(), ways, strict=True)
    }


def _reconstructs(layer):
    return layer.cells is not None and "g" in layer.cells.state_variables


def angle_to_backprop(units):
    """Return the angle between what a layer learns from and what backprop would send it, (replicas,), in degrees."""
    slope = units.view("slope")
    told, sent = units.view("d") * slope, units.view("delta") * slope
    return np.nan_to_num(angle(told.reshape(len(told), -1), sent.reshape(len(sent), -1)), nan=90.0)


def missed(cells):
    """Return the fraction of a layer's variance over images that the way back misses, (replicas,)."""
    h, g = cells.view("h").astype(float), cells.view("g")
    spread = np.square(h - h.mean(axis=1, keepdims=True)).sum(axis=(1, 2))
    lost = np.square(h - g).sum(axis=(1, 2))
    return np.where(spread > 0, lost / np.where(spread > 0, spread, 1), 1.0)
