"""Krotov and Hopfield (2019): features learned without labels by hidden units that compete, and named by a top layer.

Paper       Unsupervised learning by competing hidden units, arXiv:1806.10181; PNAS 116:7723,
            doi:10.1073/pnas.1820458116
Claim       A local rule with global inhibition, blind to labels, learns features of one layer that are about as good
            for naming handwritten digits as those that backprop finds end to end.
"""

from neurosim_models.krotov_2019.cifar import CIFAR
from neurosim_models.krotov_2019.digits import DIGITS
from neurosim_models.krotov_2019.dynamics import DYNAMICS
from neurosim_models.krotov_2019.mnist import MNIST
from neurosim_models.krotov_2019.power import POWER

PAPER = "Krotov, Hopfield 2019"
EXPERIMENTS = (MNIST, POWER, CIFAR, DYNAMICS, DIGITS)
