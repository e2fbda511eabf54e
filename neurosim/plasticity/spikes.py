"""Spikes in many lanes: sums over rows of weights, or tables of sums, in place of products."""

import itertools

import numpy as np
import sympy

from neurosim.connectivity import MATRIX
from neurosim.plasticity import kernels, tables

SPARSE = 0.05  # fraction of spikes up to which their rows are summed sooner than tables of sums (benchmarks/)
MANY = 20  # lanes, and
LARGE = 1_500_000  # multiplications, from which both beat a product


def spike_symbol(population, suffix):
    """Return the name of a population's spike variable in a text, or None where neurons do not spike."""
    return sympy.Symbol(f"{population.model.spike}{suffix}", real=True) if population.model.spike else None


def spikes_only(factor, projection):
    """Say whether a factor is just the spike variable of the source, so that rows without a spike drop out."""
    spike = projection.source.model.spike
    return projection.layout.by_neuron and factor.variable is not None and factor.variable == spike


def binary(factor, projection):
    """Say whether spikes may be summed, by rows or by tables, in place of a product over lanes."""
    layout, source = projection.layout, projection.source
    if layout.form != MATRIX or projection.copies != source.lanes or source.lanes < MANY:
        return False
    wide = layout.columns * source.precision.itemsize >= tables.COLUMN_BYTES
    return wide and spikes_only(factor, projection) and source.lanes * layout.rows * layout.columns >= LARGE


class Spikes:
    """The spikes of one replica in a step: as lists where few neurons spike, else as bits.

    Delivering adds up rows of weights lane by lane, learning adds changes of lanes neuron by neuron.
    """

    def __init__(self, values, indices):
        lanes, n = values.shape
        self.few = len(indices) <= SPARSE * lanes * n
        if self.few:
            self.lists = kernels.spikes_by_lane_and_neuron(indices, n, lanes)
        else:
            self.by_lane, self.by_neuron = tables.pack(values)

    def deliver(self, weights, scale, keep, out):
        """out = scale * spikes @ weights (+ out where ``keep``)."""
        if not self.few:
            tables.deliver(self.by_lane, weights, keep, out, scale)
            return
        received = np.empty_like(out) if keep else out
        kernels.add_rows(*self.lists[:2], weights, False, received)
        received *= scale
        if keep:
            out += received

    def learn(self, change, weights):
        """weights += spikes^T @ change."""
        if self.few:
            kernels.add_rows(*self.lists[2:], change, True, weights)
        else:
            tables.learn(self.by_neuron, change, weights)


def step_spikes(population):
    """Return the spikes of this step, one Spikes a replica; made once for all projections that start here."""
    step = population.clock.variables["timestep"].get_value()[0]
    known = population.__dict__.get("_spikes")
    if known is None or known[0] != step:
        indices, each = population.spikes, population.lanes * population.n
        borders = np.searchsorted(indices, np.arange(population.replicas + 1) * each)
        values = population.view(population.model.spike)
        found = [
            Spikes(values[r], indices[low:high] - r * each) for r, (low, high) in enumerate(itertools.pairwise(borders))
        ]
        known = population.__dict__["_spikes"] = step, found
    return known[1]


def forget_step(population):
    """A run starts: what was found out about a time step may be out of date."""
    population.__dict__.pop("_spikes", None)
    population.__dict__.pop("_factors", None)
    population.clock.__dict__.pop("_correlations", None)
