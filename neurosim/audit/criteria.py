"""Criteria of plausibility, by the short names that ``--strict`` and the matrix have for them."""

from neurosim.audit.activity import dale, feedback, signals, signed, spikes
from neurosim.audit.course import phases, switching, timing
from neurosim.audit.knowledge import locality, sharing, symmetry, transport, wiring

CRITERIA = {
    each.__name__: each
    for each in (
        locality,
        transport,
        sharing,
        signed,
        dale,
        phases,
        switching,
        timing,
        wiring,
        symmetry,
        spikes,
        feedback,
        signals,
    )
}
