"""One inverse between two random square layers of linear units learns, the way up stays as it is: see theory.py."""

import numpy as np

from neurosim.data import DataSet
from neurosim.training import train
from neurosim_models.bartunov_2018 import network
from neurosim_models.bartunov_2018.theory import inverse

UNITS, CLASSES, LANES, BATCHES = 80, 20, 400, 10  # batches between two looks
ETA, SIGMA, VARIANCE = 2.0, 0.05, 1 / 12  # images are uniform between 0 and 1, rotated by the first layer
LOOKS, REPLICAS = 20, 3


def circuit_of(seed):
    """Return (circuit, data): DTP in a linear network whose lower hidden layer has white activities of mean 0."""
    draw = np.random.default_rng(seed)
    images = draw.uniform(0, 1, (LANES * BATCHES, UNITS)).astype(np.float32)
    labels = np.arange(len(images)) % CLASSES
    data = DataSet("random", images, labels, images[:CLASSES], labels[:CLASSES], CLASSES, (UNITS, 1), "drawn")
    values = {p.name: p.value for p in network.parameters(eta=0.0, eta_inverse=ETA, alpha=1, sigma=SIGMA, source="")}
    values |= {"algorithm": network.DTP, "init": network.ORTHOGONAL, "lanes": LANES, "replicas": REPLICAS}
    circuit = network.build(values, data, seed, [network.Full(UNITS)] * 2, linear=True)
    w = circuit.projections
    for name in ("W_h2", "V_h1"):
        w[name].w[...] = draw.normal(0, 1 / np.sqrt(UNITS), w[name].w.shape)
    w["b_h1"].w[...] = -0.5 * w["W_h1"].w.sum(axis=1, keepdims=True)
    w["c_h1"].plastic = False
    return circuit, data


def study(values, seed):
    """Return angles to the gradient and variance missed after steps, simulated and by theory, as (array, unit)."""
    circuit, data = circuit_of(seed)
    found = {"angle_h1": [], "missed_h1": []}
    for epoch in train(circuit, data, LOOKS, seed):
        for name, row in found.items():
            row.append(epoch.measures[name])
    steps = BATCHES * np.arange(LOOKS + 1)
    angle, missed = inverse(steps, ETA, VARIANCE, SIGMA)
    return {
        "steps": (steps, "1"),
        "angle": (np.array(found["angle_h1"]), "degree"),
        "missed": (np.array(found["missed_h1"]), "1"),
        "angle by theory": (angle, "degree"),
        "missed by theory": (missed, "1"),
    }
