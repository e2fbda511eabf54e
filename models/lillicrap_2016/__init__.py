"""Lillicrap et al. (2016): random synaptic feedback weights support error backpropagation for deep learning.

Paper       Nat. Commun. 7:13276, doi:10.1038/ncomms13276
Claim       A hidden neuron learns from an error that arrives through fixed random synapses B as well as from one that
            arrives through the transposed forward weights, because the forward weights come to align with B.
"""

from neurosim_models.lillicrap_2016.deep import DEEP
from neurosim_models.lillicrap_2016.linear import LINEAR
from neurosim_models.lillicrap_2016.mnist import MNIST
from neurosim_models.lillicrap_2016.phases import PHASES
from neurosim_models.lillicrap_2016.spiking import SPIKING

PAPER = "Lillicrap, Cownden, Tweed, Akerman 2016"
EXPERIMENTS = (LINEAR, MNIST, DEEP, SPIKING, PHASES)
