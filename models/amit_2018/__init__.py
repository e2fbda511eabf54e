"""Amit (2018): random feedback that learns as the forward weights do; a circuit of three neurons for the hinge loss.

Paper       Biologically plausible deep learning, 2018; Front. Comput. Neurosci. 2019, doi:10.3389/fncom.2019.00018
Claim       Feedback synapses that start at random and undergo the same local changes as the forward ones teach deep
            networks nearly as well as backprop does, where fixed ones fail; a local circuit can represent the error.
"""

from neurosim_models.amit_2018.cifar import DEEPERNET, DEEPERNET_S, SIMPNET
from neurosim_models.amit_2018.circuit import CIRCUIT
from neurosim_models.amit_2018.linear import LINEAR
from neurosim_models.amit_2018.mlp import MLP

PAPER = "Amit 2018"
EXPERIMENTS = (CIRCUIT, LINEAR, MLP, SIMPNET, DEEPERNET, DEEPERNET_S)
