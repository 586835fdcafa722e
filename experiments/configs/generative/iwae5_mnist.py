"""Importance-weighted autoencoder, k = 5, on MNIST. Burda et al. 2016, table 1: 85.54 nats.

    fovea reproduce iwae5_mnist
    fovea reproduce iwae5_mnist:small     # for two cores

The recipe of `iwae1_mnist`, in both sizes.
"""

from experiments.configs.generative import iwae1_mnist

SIZES = ("full", "small")


def get_config(size="full"):
    config = iwae1_mnist.get_config(size)
    config.paper.published = 85.54
    config.task.samples = 5
    return config
