"""The network of Lillicrap et al. 2016 in plain brian2: NeuronGroup and Synapses on the Cython target, one lane.

It is the network that ``models/lillicrap_2016.py`` builds, with the same weights and the same order of events in a
step, written as brian2's manual would have it run fast:

- forward synapses are driven by spikes: a pathway ``deliver`` adds weights to the drive of the next layer in the sweep,
  a second pathway ``learn`` of the same synapses adds a change worked out once a neuron, at the end of the step;
- feedback is a summed variable;
- biases are variables of the neurons, and signals between neurons that stand side by side are linked variables;
- weights are float32 as ours are.

What is left out, in favour of Synapses: the decay of the weights (1e-8 a step), and the change of image within a run.
Tried and slower: float64 weights, and feedback as a pathway that runs for all neurons in every step. Tried and about as
fast: float32 neurons, and learning as ``run_regularly`` of all synapses in place of the pathway.
"""

import numpy as np
from brian2 import Clock, Network, NetworkOperation, NeuronGroup, Synapses, linked_var
from brian2.codegen.runtime.cython_rt import CythonCodeObject

INPUT = """
x : 1
given : 1
"""
NEURON = """
dv/dt = (drive - v) / tau : 1
drive : 1
p : 1
b : 1
change : 1
m : 1 (linked)
given : 1
"""
ERROR = """
target : 1
guess : 1 (linked)
m : 1
"""
FEEDBACK = """
dd/dt = (drive - d) / tau : 1
drive : 1
m : 1
"""
SIGMOID = "m = phi_gain * (1 / (1 + exp(-phi_slope * d)) - 0.5)"
DRAWN, GIVEN = ("rand() < clip(x, 0, p_max)", "rand() < p"), ("given > 0.5", "given > 0.5")


class PlainNetwork:
    """The network, with the weights of a circuit of one lane and one replica.

    Parameters
    ----------
    circuit : neurosim.training.Circuit
        Whose sizes, weights and biases are copied.
    values : dict
        The model's parameters by name.
    given : bool
        Take the spikes from the variable ``given`` of the groups, instead of drawing them.
    """

    def __init__(self, circuit, values, given=False):
        dt = values["dt"]
        constants = {
            "tau": -dt / np.log(1 - values["integration"]),
            "p_max": values["p_max"],
            "phi_gain": values["phi_gain"],
            "phi_slope": values["phi_slope"],
            "eta": values["eta"],
        }
        self.options = dict(namespace=constants, clock=Clock(dt), codeobj_class=CythonCodeObject)
        draw_input, draw = GIVEN if given else DRAWN
        names = [name.removeprefix("W_") for name in circuit.projections if name.startswith("W_")]
        sizes = [circuit.populations[name].n for name in names]
        last = 2 * len(names) + 2

        self.x = self._group(circuit.populations["x"].n, INPUT, 0, draw_input)
        self.forward = [self._group(n, NEURON, k, draw) for k, n in enumerate(sizes, start=1)]
        self.error = self._group(sizes[-1], ERROR, len(names) + 1)
        self.feedback = [self._group(n, FEEDBACK, last - 1 - k) for k, n in enumerate(sizes[:-1], start=1)]

        self._every_step(self.error, "d = target - guess\n" + SIGMOID, len(names) + 1)
        self.error.guess = linked_var(self.forward[-1], "p")
        for k, group in enumerate(self.feedback, start=1):
            self._every_step(group, SIGMOID, last - 1 - k)
        for k, (name, group) in enumerate(zip(names, self.forward, strict=True), start=1):
            self._every_step(group, "p = 1 / (1 + exp(-v))", k)
            self._every_step(group, "change = eta * p * (1 - p) * m\nb += change\ndrive = b", last)
            group.m = linked_var((*self.feedback, self.error)[k - 1], "m")
            group.b = group.drive = circuit.projections[f"b_{name}"].w[0, 0]

        self.W, self.B = {}, {}
        below = [self.x, *self.forward[:-1]]
        for k, (name, pre, post) in enumerate(zip(names, below, self.forward, strict=True)):
            self.W[name] = self._forward_synapses(pre, post, circuit.projections[f"W_{name}"].w[0], k)
        above = [*self.feedback[1:], self.error]
        for k, (name, pre, post) in enumerate(zip(names, above, self.feedback, strict=False), start=1):
            self.B[name] = self._feedback_synapses(pre, post, circuit.projections[f"B_{name}"].w[0], last - 2 - k)
        self.network = Network(self.x, *self.forward, self.error, *self.feedback, *self.W.values(), *self.B.values())

    def _group(self, n, equations, order, spike=None):
        method = {"method": "exact"} if "dt" in equations else {}
        group = NeuronGroup(
            n, equations, threshold=spike, reset="" if spike else None, order=10 * order, **method, **self.options
        )
        if spike:
            group.set_event_schedule("spike", when="groups", order=10 * order + 2)
        return group

    def _every_step(self, group, text, order):
        group.run_regularly(
            text, when="groups", order=10 * order + 1, clock=group.clock, codeobj_class=CythonCodeObject
        )

    def _forward_synapses(self, pre, post, weights, order):
        on_pre = {"deliver": "drive_post += w", "learn": "w += change_post"}
        synapses = Synapses(pre, post, "w : 1", on_pre=on_pre, dtype={"w": np.float32}, **self.options)
        synapses.connect()
        synapses.w = weights.ravel()
        synapses.deliver.when, synapses.deliver.order = "groups", 10 * order + 3
        synapses.learn.when, synapses.learn.order = "synapses", 0
        return synapses

    def _feedback_synapses(self, pre, post, weights, order):
        model = "w : 1\ndrive_post = w * m_pre : 1 (summed)"
        synapses = Synapses(pre, post, model, dtype={"w": np.float32}, **self.options)
        synapses.connect()
        synapses.w = weights.ravel()
        synapses.summed_updaters["drive_post"].when = "groups"
        synapses.summed_updaters["drive_post"].order = 10 * order + 3
        return synapses

    def clamp(self, image, target):
        """Hold this image and target from now on."""
        self.x.x, self.error.target = image, target

    def weights(self, name):
        """Return the weights of the synapses onto a layer, shape (n_pre, n_post)."""
        synapses = self.W[name]
        return synapses.w[:].reshape(synapses.N_pre, synapses.N_post)


def differences(circuit, values, images, labels):
    """Show both networks one example with the same spikes, from the same weights.

    Returns for every step the largest difference between their changes of a weight so far, as a share of the largest
    change of that projection.
    """
    peer = PlainNetwork(circuit, values, given=True)
    weights = [circuit.projections[f"W_{name}"] for name in peer.W]
    groups = dict(zip(["x", *peer.W], [peer.x, *peer.forward], strict=True))
    before, seen = [p.w[0].copy() for p in weights], []

    def note():
        spikes = {name: circuit.populations[name].view("s")[0, 0].copy() for name in groups}
        seen.append((spikes, [p.w[0].copy() for p in weights]))

    circuit.network.add(NetworkOperation(note, clock=circuit.presentation.clock, when="end"))
    circuit.readout.expect(labels)
    circuit.presentation.show([[0]])
    circuit.network.run(circuit.presentation.remaining, namespace={})
    peer.clamp(images[0], circuit.populations["error"].view("target")[0, 0])
    apart = []
    for spikes, expected in seen:
        for name, group in groups.items():
            group.given = spikes[name]
        peer.network.run(values["dt"], namespace={})
        pairs = [(peer.weights(n) - b, w - b) for n, w, b in zip(peer.W, expected, before, strict=True)]
        apart.append(max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs))
    return apart
