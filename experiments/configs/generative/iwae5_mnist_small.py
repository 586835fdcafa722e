"""Importance-weighted autoencoder, k = 5, on MNIST, shortened. Burda et al. 2016, table 1: 85.54 nats.

    fovea reproduce iwae5_mnist_small

784-200-200-50 with pixels drawn anew from their grey levels in every step.
The same in 50 passes with batches of 100, for two cores; `nll` by 500 samples in place of 5,000.
"""

from experiments.configs.generative import iwae1_mnist_small


def get_config():
    config = iwae1_mnist_small.get_config()
    config.paper.published = 85.54
    config.task.samples = 5
    return config
