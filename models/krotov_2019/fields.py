"""Features of frozen weights, computed once: the fields W v of all images, shown again in every epoch."""

import brian2
import numpy as np
from brian2 import Clock, Network

from neurosim.limits import check_fits
from neurosim.neurons import NeuronType
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.weights import Uniform

LANES = 250  # images side by side while fields are computed
ENOUGH = 1000  # images for a mean
TRANSMIT = "v_post = w * v_pre"
UNIT = NeuronType("v : 1", symbols={"v": "pixel, or field W v of a hidden unit (1)"})


class Encoder:
    """Computes fields W v / a of images, (replicas, images, units), with the weights that a projection has by then.

    The scale a, one number a replica, is the mean over the training images of the largest field, so that the largest
    feature of an image is about 1 whatever the power. What was computed is kept until :meth:`forget`.
    """

    def __init__(self, weights, images, name="encoder"):
        self.weights, self.training = weights, images
        clock = Clock(weights.clock.dt)
        shape = dict(replicas=weights.source.replicas, lanes=min(LANES, len(images)), clock=clock)
        x = Population(weights.source.n, UNIT, order=0, name=f"{name}_x", **shape)
        h = Population(weights.target.n, UNIT, order=1, name=f"{name}_h", **shape)
        self.plain = Projection(x, h, TRANSMIT, weights=Uniform(0), seed=0, name=f"{name}_W")
        self.shown = Presentation(clock.dt, clock=clock, name=f"{name}_shown")
        self.out = None
        keep = brian2.NetworkOperation(self._keep, clock=clock, when="end", name=f"{name}_keep")
        self.network = Network(x, h, self.plain, self.shown, keep)
        self.forget()

    def forget(self):
        """Forget all fields: the weights change."""
        self.known, self.scale = [], None

    def total(self, n):
        """Return the sum of an image's features of power n, (replicas,): the mean over the first training images."""
        some = self.fields(self.training)[:, :ENOUGH]
        total = ((some > 0) * np.abs(some) ** some.dtype.type(n)).sum(axis=2, dtype=float).mean(axis=1)
        return np.where(total > 0, total, 1)

    def fields(self, images):
        """Return the fields of images, float32; those of the last two sets asked for are kept."""
        if self.scale is None:
            own = self._computed(self.training)
            scale = own.max(axis=2).mean(axis=1)
            self.scale = np.where(scale > 0, scale, 1)[:, None, None].astype(own.dtype)
            own /= self.scale
            self.known = [(self.training, own)]
        for known, fields in self.known:
            if known is images:
                return fields
        fields = self._computed(images)
        fields /= self.scale
        self.known = [self.known[0], (images, fields)]
        return fields

    def _computed(self, images):
        x, h = self.plain.source, self.plain.target
        count, lanes = len(images), x.lanes
        shape = x.replicas, count, h.n
        check_fits(shape, x.precision, "features", "; fewer images, units or replicas would fit")
        self.plain.w = self.weights.copy_of_weights()
        self.out = np.empty(shape, x.precision)
        self.shown.clamp(x, "v", images)
        self.shown.show((np.arange(-(-count // lanes) * lanes) % count).reshape(-1, lanes))
        with np.errstate(over="ignore", invalid="ignore"):
            self.network.run(self.shown.remaining, namespace={})
        out, self.out = self.out, None
        return out

    def _keep(self):
        chosen = self.shown.examples[self.shown.index, 0]
        self.out[:, chosen] = self.plain.target.view("v")


class ShownFields(brian2.core.base.BrianObject):
    """Sets a population's ``v`` to the fields of the examples that are shown, at the start of each, while ``on``.

    When a run starts it also sets the ``gain`` of top layers, given as a list of (population, n, beta).
    """

    add_to_magic_network = True

    def __init__(self, encoder, shown, population, tops, name="shown_fields*"):
        super().__init__(clock=population.clock, when="start", order=1, name=name)
        self.encoder, self.shown, self.population, self.tops = encoder, shown, population, tops
        self.on, self.images, self.values = False, None, None

    def feed(self, images):
        """Show these images next."""
        self.images = images

    def before_run(self, run_namespace=None):
        """Have the fields computed, with the weights that there are when a run starts."""
        super().before_run(run_namespace)
        self.values = None
        if self.on:
            self.values = self.encoder.fields(self.images)
            for y, n, beta in self.tops:
                y.view("gain")[...] = (beta / self.encoder.total(n))[:, None, None]

    def run(self):
        """Start a presentation."""
        if not self.on or self.shown.step:
            return
        chosen, v = self.shown.examples[self.shown.index], self.population.view("v")
        for replica, values in enumerate(self.values):
            np.take(values, chosen[replica if len(chosen) > 1 else 0], axis=0, out=v[replica])
