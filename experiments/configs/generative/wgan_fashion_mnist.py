"""WGAN with clipped weights on Fashion-MNIST, at 28 × 28. Arjovsky et al. 2017, algorithm 1.

    fovea reproduce wgan_fashion_mnist
    fovea reproduce wgan_fashion_mnist:small     # 16 wide, for two cores

The networks of DCGAN with batch normalisation, five updates of the critic for one of the generator, RMSProp; the
critic's parameters stay in [-0.01, 0.01]. Its judge is that of dcgan_fashion_mnist, its budget that of
wgan_gp_fashion_mnist.
"""

from experiments.configs.generative.wgan_gp_fashion_mnist import SIZES
from experiments.pages import page

RATE = {"full": 5e-5, "small": 2e-4}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Wasserstein Generative Adversarial Networks",
            year=2017,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="dcgan_generator", latent=100, width=of["width"]),
            critic=dict(name="dcgan_discriminator", width=of["width"]),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5),
        data=dict(name="tfds:fashion_mnist", scale="symmetric"),
        optimizer=dict(
            generator=dict(name="rmsprop", decay=0.99, eps_in_sqrt=False),
            critic=dict(name="clipped_rmsprop", bound=0.01),
        ),
        schedule=dict(name="constant", peak=RATE[size]),
        train=dict(
            batch_size=64,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_fashion_mnist_small/seed0",
            **of["train"],
        ),
    )
