"""Scellier and Bengio (2017): networks that settle twice learn by the difference.

Paper       Front. Comput. Neurosci. 11:24, doi:10.3389/fncom.2017.00024, arXiv:1602.05179
Claim       A network that relaxes to a minimum of an energy, and once more while its output is weakly nudged towards
            the target, computes the gradient of its loss by a local, contrastive Hebbian rule, without backprop.
"""

from neurosim_models.scellier_2017.digits import DIGITS
from neurosim_models.scellier_2017.dynamics import DYNAMICS
from neurosim_models.scellier_2017.gradient import GRADIENT
from neurosim_models.scellier_2017.mnist import MNIST
from neurosim_models.scellier_2017.spiking import SPIKING
from neurosim_models.scellier_2017.symmetry import SYMMETRY

PAPER = "Scellier, Bengio 2017"
EXPERIMENTS = (DYNAMICS, GRADIENT, MNIST, DIGITS, SPIKING, SYMMETRY)
