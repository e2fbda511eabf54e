"""Experiment  mnist_local (ICLR version, section 3.1, Table 1, locally connected)
            Layers of local receptive fields in which every synapse has a weight of its own, as in the brain, learn
            handwritten digits by target propagation, as well as by backprop and by fixed random feedback.
Equations   v_p = sum over the window of p of w h + b_p    h = tanh(v)    no weight is shared between positions p
            g_i = tanh(sum over the windows that hold i of V h_above + c_i)    the inverse, from windows to the image
            all else as in units.py
Symbols     p place of a window and channel; i place and channel of the image below; as in units.py
Departures  - Plain steps are the default, the paper has Adam (--set update=adam); step sizes and noise are ours,
              searched on 2000 held-out training images, a few passes over 10,000.
            - 10 passes, the paper has hundreds and reports the passes that were best on a validation set.
            - net=neurips has the layers of the NeurIPS version: two local ones and one of 1024 units.
            - The inverse of a layer has synapses where the layer has them, reversed, as in the paper.
Expect      digits, means over 3 replicas after 15 epochs, both ways in parallel: at most 5 % test error for backprop,
            6 % for DTP and for SDTP
"""

from neurosim.experiment import Expect, Experiment, Parameter, Preset
from neurosim_models.bartunov_2018 import figures, network, units
from neurosim_models.bartunov_2018.conditions import COMPARISONS, CONDITIONS, FACTORS, adam_steps, published
from neurosim_models.bartunov_2018.network import AO_SDTP, BP, DFA, DTP, FA, ICLR, NEURIPS, SDTP, TP, Full, LocalLayer

LAYERS = (LocalLayer(32, 3, 2), LocalLayer(16, 3), LocalLayer(16, 3), LocalLayer(10, 3, padding="valid"))
NEURIPS_LAYERS = (LocalLayer(32, 3, 2), LocalLayer(64, 3, 2), Full(1024))
NETS = {"iclr": LAYERS, "neurips": NEURIPS_LAYERS}
SEARCHED = "ours: searched on held-out training images"
RATES = {  # plain steps
    BP: {"eta": 0.2},
    FA: {"eta": 0.2},
    DFA: {"eta": 0.2},
    TP: {"eta": 0.03, "eta_inverse": 0.1},
    DTP: {"eta": 0.4, "eta_inverse": 0.1, "alpha": 0.5},
    SDTP: {"eta": 0.15, "eta_inverse": 0.1},
    AO_SDTP: {"eta": 0.15, "eta_inverse": 0.1},
}

ADAM = adam_steps(
    (9.05e-4, 1.481e-3, 1.45e-4, 6.51e-4, 1.33e-4, 2.19e-4, 2.462e-3), (1.239e-3, 1.37e-4, 1.652e-3, 3.741e-3)
)

PARAMETERS = (
    *network.parameters(eta=0.2, eta_inverse=0.1, alpha=0.5, sigma=0.2, source=SEARCHED),
    Parameter("net", "iclr", f"{ICLR}, section 3.1; or {NEURIPS}, supplement", "which layers", choices=tuple(NETS)),
)
PUBLISHED = {
    "bp": (0.00, 1.46),
    "dtp_parallel": (0.15, 1.48),
    "dtp_alternating": (0.15, 1.48),
    "sdtp_parallel": (0.10, 1.49),
    "sdtp_alternating": (0.05, 1.63),
}
PUBLISHED_OTHER_NET = {
    "fa": (0.00, 1.26),
    "dfa": (0.23, 2.05),
    "ao_sdtp_parallel": (0.00, 1.92),
    "ao_sdtp_alternating": (0.00, 1.91),
}


def build(values, data, seed):
    """Return the circuit for these values, this data set and this seed."""
    return network.build(values, data, seed, NETS[values["net"]])


MNIST_LOCAL = Experiment(
    name="mnist_local",
    title="local receptive fields without shared weights: targets or gradients",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "digits": Preset(
            values={
                "lanes": (20, "ours: 1437 images make few batches of 100"),
                "replicas": (3, "ours"),
                "epochs": (15, "ours"),
            },
            inputs=64,
            duration="2 min",
            expect=(
                Expect(0.05, "digits are easy", "bp"),
                Expect(0.06, "nearly as backprop", "dtp_parallel"),
                Expect(0.06, "as DTP", "sdtp_parallel"),
            ),
        ),
        "mnist": Preset(
            values={
                "lanes": (100, "ours: batches of 100, as in Lee et al. 2015"),
                "replicas": (1, "ours: what two cores can do"),
                "epochs": (10, "ours: what two cores can do"),
            },
            inputs=784,
            duration="10 to 40 s an epoch, replica and condition: 50 min in all",
        ),
    },
    build=build,
    check=network.check,
    conditions={name: own | RATES[own["algorithm"]] | ADAM[name] for name, own in CONDITIONS.items()},
    factors=FACTORS,
    published=(
        *published("MNIST", f"{ICLR}, Table 1", PUBLISHED),
        *published("MNIST", f"{NEURIPS}, Table 1", PUBLISHED_OTHER_NET, " with net=neurips"),
    ),
    comparisons=COMPARISONS,
    neurons=units.NEURONS,
    texts=units.TEXTS,
    figures=("learning", "final", figures.angles_to_backprop, figures.reconstruction),
)
