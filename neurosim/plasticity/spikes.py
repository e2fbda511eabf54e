"""Spikes as lists: which neurons spiked in which lane, for sums over rows in place of products."""

import itertools

import numpy as np
import sympy

from neurosim.connectivity import MATRIX
from neurosim.plasticity import kernels

SPARSE = 0.2  # fraction of spikes up to which their rows are summed sooner than a product is made (benchmarks/)
LARGE = 10**7  # multiplications of a product from which that is worth while


def spike_symbol(population, suffix):
    """Return the name of a population's spike variable in a text, or None where neurons do not spike."""
    return sympy.Symbol(f"{population.model.spike}{suffix}", real=True) if population.model.spike else None


def spikes_only(factor, projection):
    """Say whether a factor is just the spike variable of the source, so that rows without a spike drop out."""
    spike = projection.source.model.spike
    return projection.layout.by_neuron and factor.variable is not None and factor.variable == spike


def sparse_rows(factor, projection):
    """Say whether rows of spikes may be summed in place of a product over lanes."""
    layout, source = projection.layout, projection.source
    plain = layout.form == MATRIX and projection.copies == source.lanes > 1
    return plain and spikes_only(factor, projection) and source.lanes * layout.rows * layout.columns >= LARGE


def spike_lists(population):
    """Return for each replica which neurons spiked in which lane, and the other way round; None where many did.

    Made once a step for all projections that start here.
    """
    step = population.clock.variables["timestep"].get_value()[0]
    known = population.__dict__.get("_spike_lists")
    if known is None or known[0] != step:
        spikes, each = population.spikes, population.lanes * population.n
        lists = None
        if len(spikes) <= SPARSE * population.replicas * each:
            borders = np.searchsorted(spikes, np.arange(population.replicas + 1) * each)
            lists = [
                kernels.spikes_by_lane_and_neuron(spikes[low:high] - r * each, population.n, population.lanes)
                for r, (low, high) in enumerate(itertools.pairwise(borders))
            ]
        known = population.__dict__["_spike_lists"] = step, lists
    return known[1]


def forget_step(population):
    """A run starts: what was found out about a time step may be out of date."""
    population.__dict__.pop("_spike_lists", None)
    population.__dict__.pop("_factors", None)
