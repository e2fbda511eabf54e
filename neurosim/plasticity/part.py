"""What the ways to deliver have in common."""

import numpy as np

from neurosim.plasticity.factor import Factor
from neurosim.plasticity.plan import ONE, constant


class Part:
    """A part of what is delivered; ``pure`` if it depends on the source and on the weights alone.

    ``folds`` if it takes weights with their scale folded in: that must happen before any part of the projection
    delivers, or what was delivered before would be rounded differently when it is delivered anew.
    """

    pure = True
    folds = False
    pre_factors = ()

    def __init__(self, projection):
        self.projection = projection

    def _factors(self, term):
        projection = self.projection
        self.term, self.coefficient = term, constant(term.coefficient, projection.scope)
        self.pre = Factor(term.pre, projection.source, "_pre", projection.scope)
        self.post = None
        if term.post != ONE:
            self.post = Factor(term.post, projection.target, "_post", projection.scope, projection.signals)
        self.pre_factors = (self.pre,)
        self.pure = self.post is None

    def _times_post(self, out, keep, run):
        """Run a product, with what it gives multiplied by the target's factor where there is one."""
        if self.post is None:
            run(out, keep)
            return
        product = np.empty_like(out)
        run(product, False)
        product *= self.post()
        if keep:
            out += product
        else:
            out[...] = product
