"""A network of network.py with given weights that is looked at: its states in every step, and what it would learn."""

import contextlib
import gc

import numpy as np
from brian2 import NetworkOperation

from neurosim.training import train
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.network import CENTRED, POSITIVE
from neurosim_models.scellier_2017.theory import Chain

LONG = 300  # time steps of a phase in which a small network comes to rest


class Probe:
    """The simulated network in double precision, each replica with given weights and a nudge of its own.

    Examples are shown in the lanes, to all replicas. Nothing is learned: weights are put back.

    Parameters
    ----------
    chain : Chain or list of Chain
        The weights, the same in all replicas or of each.
    data : DataSet
        Where examples are from.
    examples : array of int (lanes,)
        Which of the training examples.
    betas : sequence of float
        Strength of the nudge in each replica.
    centred : bool
        Whether a phase nudged by beta is followed by one nudged by -beta.
    cells : network.Cells, optional
        Neuron types and precision; double precision if it is left out.
    **more
        Parameters of network.parameters, as epsilon, free_steps and nudged_steps.

    Attributes
    ----------
    layers : network.Layers
    circuit : Circuit
    """

    def __init__(self, chain, data, examples, betas, centred=False, cells=None, **more):
        values = {each.name: each.value for each in network.parameters("probe")}
        values |= {"free_steps": LONG, "nudged_steps": LONG, "tolerance": 0.0, "persistent": "no"}
        self.chains = [chain] * len(betas) if isinstance(chain, Chain) else chain
        sizes = self.chains[0].sizes
        values |= {
            "hidden": tuple(sizes[:-1]), "alpha": (1.0,) * len(sizes), "replicas": len(betas),
            "lanes": len(examples), "nudging": CENTRED if centred else POSITIVE,
        }  # fmt: skip
        self.layers = network.Layers(values | more, data, 0, cells or network.Cells(precision=np.float64))
        self.circuit = self.layers.circuit()
        for population in (self.layers.teacher, self.layers.y):
            population.view("beta")[...] = np.reshape(betas, (-1, 1, 1))
        self.data, self.examples = data, np.asarray(examples)
        given = [named(each) for each in self.chains]
        self.given = {name: np.stack([each[name] for each in given]) for name in given[0]}
        self.set_weights()

    def set_weights(self):
        """Set the weights that were given."""
        for name, array in self.given.items():
            self.circuit.projections[name].w[...] = array

    def show(self, look=None):
        """Show the examples once; call ``look`` after every step."""
        circuit, data = self.circuit, self.data
        circuit.feed(data.train_images, data.train_labels)
        circuit.readout.expect(data.train_labels)
        circuit.presentation.show(self.examples[None])
        circuit.set_training(True)
        watcher = NetworkOperation(look or (lambda: None), clock=circuit.presentation.clock, when="end", order=9)
        circuit.network.add(watcher)
        with little_garbage():
            circuit.network.run(circuit.presentation.remaining, namespace={})
        circuit.network.remove(watcher)

    def states(self):
        """Return the states of all layers that settle after every step, (steps, replicas, lanes, n)."""
        seen = []
        self.show(lambda: seen.append(np.concatenate([layer.view("s") for layer in self.layers.layers], axis=-1)))
        self.set_weights()
        return np.array(seen)

    def update(self):
        """Return the change of W_h1, b_h1, ... that the network would learn with the rate 1, (replicas, synapses)."""
        self.show()
        change = [self.circuit.projections[name].w - array for name, array in self.given.items()]
        self.set_weights()
        return np.concatenate([each.reshape(len(each), -1) for each in change], axis=1)


@contextlib.contextmanager
def little_garbage():
    """Spare the runs within the collection of all that was there before: brian2 collects at the start of every run."""
    frozen = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()


def learned(data, hidden, alpha, epochs, seed, **more):
    """Return the weights of a network that has learned for some epochs: a Chain."""
    values = {each.name: each.value for each in network.parameters("probe")}
    values |= {"hidden": hidden, "alpha": alpha, "replicas": 1, "lanes": 20, **more}
    circuit = network.build(values, data, seed)
    for _ in train(circuit, data, epochs, seed):
        pass
    return chain_of(circuit)


def shown_to(data, example):
    """Return (x, target) of a training example, in double precision."""
    return data.train_images[example].astype(float), np.eye(data.n_classes)[data.train_labels[example]]


def named(chain):
    """Return the weights of a chain under the names that projections have."""
    names = [*(f"h{k}" for k in range(1, len(chain.sizes))), "y"]
    found = {}
    for name, w, b in zip(names, chain.weights, chain.biases, strict=True):
        found |= {f"W_{name}": w, f"b_{name}": b[None]}
    return found


def chain_of(circuit, replica=0):
    """Return the weights of one replica of a circuit."""
    w = {name: projection.w[replica].astype(float) for name, projection in circuit.projections.items()}
    return Chain([w[n] for n in w if n[0] == "W"], [w[n][0] for n in w if n[0] == "b"])
