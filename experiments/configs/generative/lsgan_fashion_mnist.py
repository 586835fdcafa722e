"""LSGAN on Fashion-MNIST, at 28 × 28. Mao et al. 2017.

    fovea reproduce lsgan_fashion_mnist
    fovea reproduce lsgan_fashion_mnist:small     # 16 wide, for two cores

The networks, optimizer and budget of dcgan_fashion_mnist with squares in place of logarithms. Its judge is that page's.
"""

from experiments.configs.generative import dcgan_fashion_mnist

SIZES = dcgan_fashion_mnist.SIZES


def get_config(size="full"):
    config = dcgan_fashion_mnist.get_config(size)
    config.paper.update(dict(title="Least Squares Generative Adversarial Networks", year=2017))
    config.task.loss = "least_squares"
    return config
