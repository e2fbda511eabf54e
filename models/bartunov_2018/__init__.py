"""Bartunov et al. (2018): target propagation, which sends targets back and no gradients, held against backprop.

Paper       Assessing the scalability of biologically-motivated deep learning algorithms and architectures, NeurIPS
            2018, arXiv:1807.04587, and its ICLR 2018 version; difference target propagation: Lee et al. 2015,
            arXiv:1412.7525
Claim       Layers that learn to reconstruct the layer below can send it targets in the place of gradients. On small
            images that does nearly as well as backprop, without weight transport; on large ones it does not.
"""

from neurosim_models.bartunov_2018.cifar import CIFAR_FC, CIFAR_LOCAL
from neurosim_models.bartunov_2018.local import MNIST_LOCAL
from neurosim_models.bartunov_2018.mnist import MNIST_FC

PAPER = "Bartunov et al. 2018"
EXPERIMENTS = (MNIST_FC, MNIST_LOCAL, CIFAR_FC, CIFAR_LOCAL)
