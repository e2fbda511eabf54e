"""A rule of ``rule_cases.py`` in plain brian2: Synapses of all pairs on the Cython target, one lane.

Rules for every step are clock-driven differential equations, integrated by Euler's method as ours are; rules on spikes
are ``on_pre`` and ``on_post``. Weights are float32 as ours are; other variables have brian2's precision.
"""

import numpy as np
from brian2 import Clock, Network, NeuronGroup, Synapses
from brian2.codegen.runtime.cython_rt import CythonCodeObject
from rule_cases import DT


class PlainSynapses:
    """A rule in plain Synapses, with the values of a case of one lane.

    Attributes
    ----------
    network : brian2.Network
        To be run; it holds nothing but the two groups and the synapses.
    steps : list of brian2.BrianObject
        The objects that carry the rule out, of which the time is taken.
    """

    def __init__(self, values):
        case = values.case
        namespace = dict(case.constants)
        options = dict(namespace=namespace, clock=Clock(DT), codeobj_class=CythonCodeObject)
        sides = ((values.n_pre, values.pre), (values.n_post, values.post))
        groups = [self._group(n, held, options) for n, held in sides]
        arguments = case.synapses or {"model": self._clock_driven(case), "method": "euler"}
        self.synapses = Synapses(*groups, **arguments, dtype={"w": np.float32, "trace": np.float32}, **options)
        self.synapses.connect()
        for name in values.signal:
            setattr(self.synapses, name, float(values.signal[name][0, 0]))
        self.synapses.w = values.weights.ravel()
        self.network = Network(*groups, self.synapses)
        pathways = [getattr(self.synapses, each) for each in case.spikes]
        self.steps = pathways or [self.synapses.state_updater]

    def _clock_driven(self, case):
        lines = []
        for line in case.text.splitlines():
            left, _, right = line.partition(":")
            lines.append(f"{left} : {right or '1'} (clock-driven)")
        return "\n".join([*lines, *(f"{name} : 1 (shared)" for name in case.signal)])

    def _group(self, n, held, options):
        equations = "\n".join(f"{name} : 1" for name in held)
        spikes = {"threshold": "s > 0.5", "reset": ""} if "s" in held else {}
        group = NeuronGroup(n, equations, **spikes, **options)
        for name, array in held.items():
            setattr(group, name, array[0])
        return group

    @property
    def w(self):
        """The weights as a matrix (n_pre, n_post)."""
        return self.synapses.w[:].reshape(self.synapses.N_pre, self.synapses.N_post)
