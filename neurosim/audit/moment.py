"""Moment: the state of a network in the middle of a time step, to go back to; and other values of the same kind."""

import numpy as np

from neurosim.plasticity.parse import WEIGHT
from neurosim.plasticity.spikes import forget_step

LARGE = 100_000  # numbers, beyond which all rows get the same noise


class Moment:
    """The state of a network in the middle of a time step, to go back to; with its synapses, unless told otherwise."""

    def __init__(self, wiring, weights=True):
        self.wiring = wiring
        self.values = {
            (name, variable): population.view(variable).copy()
            for name, population in wiring.populations.items()
            for variable in population.state_variables
        }
        self.synapses = {name: projection.state() for name, projection in wiring.projections.items() if weights}
        self.inboxes = [
            (inbox, inbox.arrived, inbox.stale, None if inbox.sum is None else np.array(inbox.sum))
            for population in wiring.populations.values()
            for inbox in population.__dict__.get("_inboxes", {}).values()
            if inbox.senders
        ]

    def restore(self):
        """Go back."""
        for (name, variable), values in self.values.items():
            self.wiring.populations[name].view(variable)[...] = values
        for name, arrays in self.synapses.items():
            self.wiring.projections[name].set_state(arrays)
        for inbox, arrived, stale, total in self.inboxes:
            inbox.arrived, inbox.stale, inbox.sum = arrived, stale, total
        forget(self.wiring)

    def differs(self, other):
        """Return the nodes, (object, variable), whose values differ from those of another moment."""
        neurons = {key for key, values in self.values.items() if not same(values, other.values[key])}
        synapses = set()
        for name, arrays in self.synapses.items():
            then = other.synapses[name]
            for variable, values in arrays.items():
                if variable.startswith("variable ") and not same(values, then[variable]):
                    synapses.add((name, variable.removeprefix("variable ")))
            if WEIGHT in arrays and not same(arrays[WEIGHT], then[WEIGHT]):
                weights = arrays[WEIGHT] * arrays["scale"], then[WEIGHT] * then["scale"]
                if not np.allclose(*weights, rtol=1e-5, atol=1e-12):  # the scale may have been written into them
                    synapses.add((name, WEIGHT))
        return neurons | synapses


def forget(wiring):
    """Forget what has been worked out about the values of this time step."""
    for population in wiring.populations.values():
        forget_step(population)


def same(a, b):
    """Say whether two arrays are the same to the bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def disturbed(values, generator):
    """Return other values of the same kind: spikes of other neurons, or numbers with noise; (..., n)."""
    if values.any() and ((values == 0) | (values == 1)).all():
        shuffled = generator.permuted(values, axis=-1)
        return shuffled if not same(shuffled, values) else 1 - values
    size = max(float(values.std()), 0.1 * float(np.abs(values).max()), 0.1) if values.size else 0
    noise = generator.standard_normal(values.shape if values.size < LARGE else values.shape[-1:], np.float32)
    return (values[..., ::-1] + size * noise).astype(values.dtype)
