"""Wiring: which variable depends on which, by which line of which equation, read from a network's own texts."""

import re
from dataclasses import dataclass
from functools import cached_property

from brian2.utils.stringtools import get_identifiers

from neurosim.connectivity import BACKWARDS, OneToOne
from neurosim.plasticity.custom import Kernel
from neurosim.plasticity.parse import POST, PRE, WEIGHT
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection

ASSIGNMENT = re.compile(r"(\w+)\s*[-+*/]?=(?!=)\s*(.*)")
INPUTS, TARGETS, SCHEDULE = ("outside", "inputs"), ("outside", "targets"), ("outside", "schedule")
EQUATION, TRANSMIT, RULE, MEMORY, CLAMP, HOOK = "equation", "transmit", "rule", "memory", "clamp", "hook"


@dataclass(frozen=True)
class Edge:
    """``target`` depends on ``source`` by a line of text; both are (object, variable), by name.

    ``kind`` says whose line it is, and ``by`` is the projection of a transmit or a rule.
    """

    source: tuple
    target: tuple
    line: str
    kind: str
    by: object = None


class Wiring:
    """All that a circuit's texts say of what depends on what.

    Parameters
    ----------
    circuit : neurosim.training.Circuit
        As a model builds it.
    targets : set of (str, str)
        Populations and variables that the presentation clamps to targets; other clamps are inputs.

    Attributes
    ----------
    populations, projections : dict of str to Population and to Projection
        By the names of their objects.
    hooks : list
        Objects of the network whose Python code the texts say nothing of.
    edges : list of Edge
        One for each dependence.
    by_hand : set of (str, str)
        What hooks were seen to write.
    """

    def __init__(self, circuit, targets=frozenset()):
        self.circuit, self.targets = circuit, set(targets)
        objects = sorted(circuit.network.objects, key=lambda each: (getattr(each, "place", 0), each.name))
        self.populations = {each.name: each for each in objects if isinstance(each, Population)}
        self.projections = {each.name: each for each in objects if isinstance(each, Projection)}
        self.presentations = [each for each in objects if isinstance(each, Presentation)]
        read = [*self.populations.values(), *self.projections.values(), *self.presentations]
        known = {id(each) for owner in read for each in (owner, *owner.contained_objects)}
        self.hooks = [each for each in objects if id(each) not in known]
        self.edges, self.by_hand = [], set()
        for population in self.populations.values():
            self._equations(population)
        for projection in self.projections.values():
            self._transmits(projection)
            self._learns(projection)
        for presentation in self.presentations:
            self._shows(presentation)

    def _equations(self, population):
        known, name = population.dimensions(), population.name
        lines = []
        for each in population.equations.values():
            if each.expr is not None:
                text = " ".join(str(each.expr).split())
                rate = each.type == "differential equation"
                lines.append((each.varname, f"d{each.varname}/dt = {text}" if rate else f"{each.varname} = {text}"))
        for line in population.model.update.strip().splitlines():
            if match := ASSIGNMENT.match(line.strip()):
                lines.append((match[1], line.strip()))
        for variable, line in lines:
            for read in get_identifiers(line.partition("=")[2]) & set(known):
                if read != variable:
                    self.edges.append(Edge((name, read), (name, variable), line, EQUATION))

    def _transmits(self, projection):
        for statement in projection.transmit_statements:
            target = projection.target.name, statement.target.removesuffix("_post")
            for symbol in statement.expr.free_symbols:
                source = self._node(projection, symbol.name)
                if source is not None:
                    self.edges.append(Edge(source, target, statement.text, TRANSMIT, projection))

    def _learns(self, projection):
        for name, target, line in read_in_rule(projection):
            source = self._node(projection, name)
            if source is not None and source != (projection.name, target):
                self.edges.append(Edge(source, (projection.name, target), line, RULE, projection))

    def _node(self, projection, name):
        """Return what a name in a projection's text stands for, as a node; None for a constant."""
        if name == WEIGHT:
            return self.owner(projection).name, WEIGHT
        if name in projection.scope.synapse:
            return projection.name, name
        if name in projection.signals:
            population, variable = projection.signals[name]
            return population.name, variable
        for suffix, population in (("_pre", projection.source), ("_post", projection.target)):
            if name.endswith(suffix) and name.removesuffix(suffix) in population.dimensions():
                return population.name, name.removesuffix(suffix)
        return None

    def _shows(self, presentation):
        for population, variable, *_ in presentation._clamps:
            node = population.name, variable
            source = TARGETS if node in self.targets else INPUTS
            self.edges.append(Edge(source, node, f"{variable} of {population.name} is clamped", CLAMP))
        for population, variable, into, phase in presentation._kept:
            line = f"{into} = {variable} at the end of phase '{phase}'"
            self.edges.append(Edge((population.name, variable), (population.name, into), line, MEMORY))
        for population, variable, source, phase in presentation._recalled:
            line = f"{variable} = {source} at the start of phase '{phase}'"
            self.edges.append(Edge((population.name, source), (population.name, variable), line, MEMORY))
        for population, variable, _ in presentation._phased:
            self.edges.append(Edge(SCHEDULE, (population.name, variable), f"{variable} is set by phase", CLAMP))
        for recipients, *_ in presentation._draws:
            for population, variable in recipients:
                self.edges.append(Edge(SCHEDULE, (population.name, variable), f"{variable} is drawn", CLAMP))

    def add_hook(self, hook, written):
        """Note what a hook was seen to write: it may depend on all that the populations it holds have."""
        held = [each for each in vars(hook).values() if isinstance(each, Population)] or self.populations.values()
        name = type(hook).__name__
        self.by_hand |= set(written)
        for population in held:
            for variable in population.state_variables:
                for node in written:
                    if (population.name, variable) != node:
                        line = f"{node[1]} of {node[0]} is written by {name}, in Python"
                        self.edges.append(Edge((population.name, variable), node, line, HOOK, hook))
        self.__dict__.pop("_onward", None), self.__dict__.pop("_back", None)

    @cached_property
    def _onward(self):
        return _grouped(self._of_activity, "source")

    @cached_property
    def _back(self):
        return _grouped(self._of_activity, "target")

    @property
    def _of_activity(self):
        """Edges between variables of neurons: what weights become is learning and no path of a signal."""
        return [e for e in self.edges if e.source[0] not in self.projections and e.target[0] not in self.projections]

    def after(self, nodes):
        """Return all that depends on these nodes, and they themselves, within a presentation."""
        return _reach(nodes, self._onward, "target")

    def before(self, nodes):
        """Return all that these nodes depend on, and they themselves, within a presentation."""
        return _reach(nodes, self._back, "source")

    @staticmethod
    def owner(projection):
        """Return the projection to which the weights belong along which one delivers."""
        backwards = projection.layout is not None and projection.layout.form == BACKWARDS
        return projection.layout.projection if backwards else projection

    @cached_property
    def plastic(self):
        """Projections with a rule."""
        return [each for each in self.projections.values() if each.rule is not None]

    @cached_property
    def weighted(self):
        """Projections that deliver along weights, their own or another's."""
        return [each for each in self.projections.values() if each._has_weights]

    @cached_property
    def one_to_one(self):
        """Projections from each neuron to one of another population."""
        return [
            each
            for each in self.projections.values()
            if (each.layout is None or isinstance(each.connectivity, OneToOne)) and each.source is not each.target
        ]

    def read_by_rule(self, projection):
        """Return the variables and expressions of neurons that a projection's rule reads, as nodes."""
        nodes = {edge.source for edge in self.edges if edge.kind == RULE and edge.by is projection}
        return {node for node in nodes if node[0] in self.populations}

    def way(self, nodes):
        """Return a shortest way from the targets to one of these nodes, as edges; none if there is no way."""
        queue, came = [TARGETS], {TARGETS: None}
        for node in queue:
            if node in nodes:
                found = []
                while came[node] is not None:
                    found.append(came[node])
                    node = came[node].source
                return found[::-1]
            for edge in self._onward.get(node, ()):
                if edge.target not in came:
                    came[edge.target] = edge
                    queue.append(edge.target)
        return []

    def learning_path(self, projection):
        """Return the transmits by which targets reach a projection's rule, as edges."""
        taught = self.after([TARGETS])
        on_way = self.before(self.read_by_rule(projection)) & taught
        return [edge for edge in self.edges if edge.kind == TRANSMIT and {edge.source, edge.target} <= on_way]

    @cached_property
    def forward(self):
        """Transmits on the way from the inputs to what the readout reads."""
        readout = self.circuit.readout
        read = {(readout.population.name, variable) for variable in readout.population.state_variables}
        variable = getattr(readout, "variable", None)
        if variable is not None:
            read = {(readout.population.name, variable)}
        on_way = self.after([INPUTS]) & self.before(read)
        return [edge for edge in self.edges if edge.kind == TRANSMIT and {edge.source, edge.target} <= on_way]

    def state_behind(self, population, variables):
        """Return the state variables of a population on which these variables or expressions of it depend."""
        known, found, queue = set(population.state_variables), set(), list(variables)
        while queue:
            variable = queue.pop()
            if variable in found:
                continue
            found.add(variable)
            if variable in population.expressions:
                queue += get_identifiers(population.expressions[variable]) & set(population.dimensions())
        return found & known


def read_in_rule(projection):
    """Return what a projection's rule reads: [(name in its text, variable that it changes by that, line)]."""
    rule = projection.rule
    if isinstance(rule, Kernel):
        return [(name, target, f"Kernel {rule.function.__name__}") for target in rule.writes for name in rule.reads]
    found = []
    for each in projection.rule_statements:
        found += [(symbol.name, each.target, each.text) for symbol in each.expr.free_symbols]
        for event, population in ((PRE, projection.source), (POST, projection.target)):
            if each.event == event:
                found.append((f"{population.model.spike}_{event}", each.target, f"at {event}: {each.text}"))
    return found


def _grouped(edges, side):
    groups = {}
    for edge in edges:
        groups.setdefault(getattr(edge, side), []).append(edge)
    return groups


def _reach(nodes, edges, side):
    found, queue = set(), list(nodes)
    while queue:
        node = queue.pop()
        if node not in found:
            found.add(node)
            queue += [getattr(edge, side) for edge in edges.get(node, ())]
    return found
