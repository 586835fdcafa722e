"""`dcgan_fashion_mnist_small`, told the class: how many samples are recognised as theirs. Mirza & Osindero 2014.

fovea reproduce cdcgan_fashion_mnist_small
"""

from experiments.configs.generative import dcgan_fashion_mnist_small


def get_config():
    config = dcgan_fashion_mnist_small.get_config()
    config.paper.update(dict(title="Conditional Generative Adversarial Nets", year=2014, metric="test/recognised"))
    config.model.generator.conditional = True
    config.model.discriminator.conditional = True
    return config
