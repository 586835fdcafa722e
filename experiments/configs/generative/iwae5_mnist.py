"""Importance-weighted autoencoder, k = 5, on MNIST. Burda et al. 2016, table 1: 85.54 nats.

    fovea reproduce iwae5_mnist

784-200-200-50 with pixels drawn anew from their grey levels in every step.
The rate falls by 10^(1/7) after 3^i passes, i = 0 … 7, of 3,000 steps each: 3,280 passes in all.
"""

from experiments.configs.generative import iwae1_mnist


def get_config():
    config = iwae1_mnist.get_config()
    config.paper.published = 85.54
    config.task.samples = 5
    return config
