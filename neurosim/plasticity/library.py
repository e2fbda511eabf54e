"""Named rules: each once, as text, with its symbols, their units and its source.

A rule is given to a projection by name, ``Projection(..., rule=library.OJA, namespace={"eta": 1 * Hz})``; the
variables that it reads must exist in the two populations, the constants in the namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from neurosim.plasticity.parse import STEP


@dataclass(frozen=True)
class Rule:
    """A rule of plasticity as text.

    Parameters
    ----------
    name : str
        What the field calls it.
    events : str or mapping of str to str
        The text, or a text for each event.
    symbols : mapping of str to str
        One line for each symbol: meaning and unit.
    source : str
        Where the rule is from.
    when : str
        Event of a single text, or "end": give the projection ``when=presentation.end(phase)``.
    """

    name: str
    events: str | Mapping
    symbols: Mapping = field(default_factory=dict)
    source: str = ""
    when: str = STEP

    def __post_init__(self):
        object.__setattr__(self, "symbols", MappingProxyType(dict(self.symbols)))
