"""β-VAE on Fashion-MNIST: the page `vae_conv_fashion_mnist_small` with β = 4. Higgins et al. 2017.

    fovea reproduce beta_vae_fashion_mnist_small
    fovea sweep --config beta_vae_fashion_mnist_small --workdir runs/beta --over task.beta=1,2,4,8

The paper's sets are not here. `nelbo` counts the divergence once, so that it bounds the likelihood for every β.
"""

from experiments.configs.generative import vae_conv_fashion_mnist_small


def get_config():
    config = vae_conv_fashion_mnist_small.get_config()
    config.paper.update(
        title="β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", year=2017
    )
    config.task.beta = 4.0
    return config
