"""A rule carried out for those neurons of the target alone for which anything happens in any lane.

Where learning needs that a neuron has won, as in competition by rank, few columns of the weights change in a step.
They are taken out, changed by the same kernel that would pass over all of them, scaled where that is asked for, and put
back.
"""

import numpy as np
import sympy
from numba import njit

from neurosim.connectivity import MATRIX
from neurosim.plasticity import blas
from neurosim.plasticity.largest import rescale
from neurosim.plasticity.parse import RATE, STEP, WEIGHT
from neurosim.plasticity.passover import PassOver

FEW = 0.5  # fraction of the columns up to which taking them out pays


class Columns:
    """Statements that change the weights where a variable of the target is not 0, and nothing where it is.

    Parameters
    ----------
    projection : Projection
        Whose weights change.
    gate : str
        The variable.
    packed : PassOver
        The statements as one pass over synapses, here over those of some neurons.
    whole : InPlace or PassOver
        The statements as they are carried out where most neurons take part.
    """

    def __init__(self, projection, gate, packed, whole):
        self.projection, self.gate, self.packed, self.whole = projection, gate, packed, whole

    @classmethod
    def of(cls, projection, groups, where, whole):
        """Return these statements as Columns if they are such a change, else None."""
        layout = projection.layout
        if layout.form != MATRIX or layout.mask is not None or projection.bounds is not None or projection.copies == 1:
            return None
        statements = [(event, s) for event, members in groups for s in members]
        if any(event not in (RATE, STEP) or s.target != WEIGHT or s.operator == "=" for event, s in statements):
            return None
        for gate in projection.target.state_variables:
            symbol = sympy.Symbol(f"{gate}_post", real=True)
            if all(s.expr.subs(symbol, 0) == 0 for _, s in statements):
                break
        else:
            return None
        packed = PassOver(projection, groups, where)
        met = packed.arguments.met
        if met["a"] or met["h"] or set(packed.arguments.used) != {WEIGHT}:
            return None
        return cls(projection, gate, packed, whole)

    def connect(self):
        """A run starts."""
        self.whole.connect()

    def few(self):
        """Return the columns that change in each replica, or None where they are many."""
        changing = self.projection.target.view(self.gate).any(axis=1)
        return [np.flatnonzero(row) for row in changing] if changing.mean() <= FEW else None

    def __call__(self):
        columns = self.few()
        if columns is None:
            self.whole()
        else:
            self.change(columns, None)

    def change(self, columns, largest):
        """Change these columns; ``largest`` is what the largest change of a replica is scaled to, if not None."""
        projection, packed = self.projection, self.packed
        projection.fold()
        pre = {name: factor.at_end() for name, factor in packed.parts.items() if name[0] == "A"}
        post = {name: factor.at_end() for name, factor in packed.parts.items() if name[0] == "H"}
        both = {name: (a.at_end(), h.at_end()) for name, (a, h) in packed.products.items()}
        for r, chosen in enumerate(columns):
            if not chosen.size:
                continue
            weights = projection.stored[r]
            before = np.empty((len(weights), chosen.size), weights.dtype)
            after = np.empty_like(before)
            take(weights, chosen, before, after)
            known = {"offset": 0, "n_pre": len(weights), "lanes": projection.copies, "v0": after} | packed.fixed
            known |= {name: values[r].sum(axis=0)[None] for name, values in pre.items()}
            known |= {name: values[r][:, chosen].sum(axis=0)[None] for name, values in post.items()}
            for name, (a, h) in both.items():
                known[name] = np.empty_like(before)
                blas.outer_product(a[r], np.ascontiguousarray(h[r][:, chosen]), known[name], 1.0, 0.0)
            packed.kernel(before.size, 0, len(weights), *(known[name] for name in packed.names))
            if largest is not None:
                rescale(before.reshape(1, -1), after.reshape(1, -1), largest)
            put(after, chosen, weights)

    def explain(self):
        return [
            *self.whole.explain(),
            f"only the columns of neurons with {self.gate} not 0 in any lane, where they are few",
        ]


@njit(cache=True)
def take(weights, columns, out, copy):
    """Write the columns of the weights into two arrays."""
    for i in range(weights.shape[0]):
        row = weights[i]
        for q in range(columns.size):
            out[i, q] = copy[i, q] = row[columns[q]]


@njit(cache=True)
def put(values, columns, weights):
    """Write values back into the columns of the weights."""
    for i in range(weights.shape[0]):
        row = weights[i]
        for q in range(columns.size):
            row[columns[q]] = values[i, q]
