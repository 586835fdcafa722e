"""`dcgan_fashion_mnist:small`, conditional: the share of samples recognised as their class. Mirza & Osindero 2014.

fovea reproduce cdcgan_fashion_mnist_small
"""

from experiments.configs.generative import dcgan_fashion_mnist


def get_config():
    config = dcgan_fashion_mnist.get_config("small")
    config.paper.update(dict(title="Conditional Generative Adversarial Nets", year=2014, metric="test/recognised"))
    config.model.generator.conditional = True
    config.model.discriminator.conditional = True
    return config
