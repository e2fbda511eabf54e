"""Sacramento, Costa, Bengio and Senn (2018): errors as what lateral inhibition does not explain away in dendrites.

Paper       NeurIPS 31, arXiv:1810.11393; first version arXiv:1801.00062
Claim       Interneurons that learn to cancel the top-down input of pyramidal cells leave prediction errors in their
            apical dendrites; plasticity that compares soma and dendrite then approximates backprop, all synapses
            learning at all times, without phases.
"""

from neurosim_models.sacramento_2018.association import ASSOCIATION
from neurosim_models.sacramento_2018.digits import DIGITS
from neurosim_models.sacramento_2018.disinhibition import DISINHIBITION
from neurosim_models.sacramento_2018.gradient import GRADIENT
from neurosim_models.sacramento_2018.mnist import MNIST
from neurosim_models.sacramento_2018.regression import REGRESSION
from neurosim_models.sacramento_2018.selfprediction import SELFPREDICTION

PAPER = "Sacramento, Costa, Bengio, Senn 2018"
EXPERIMENTS = (SELFPREDICTION, ASSOCIATION, REGRESSION, GRADIENT, MNIST, DIGITS, DISINHIBITION)
