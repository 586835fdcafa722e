"""DCGAN on Fashion-MNIST, 16 wide and shortened, for two cores. Radford et al. 2016.

    fovea reproduce dcgan_fashion_mnist_small

The paper's recipe (Adam with β1 = 0.5, z uniform, weights from N(0, 0.02)) on a set that it does not use.
Judged by `resnet20_fashion_mnist_small`, which is to be reproduced before, or another classifier: `fd` in its features
beside `fd_floor`, and the classes covered.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
            year=2016,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="dcgan_generator", latent=100, width=16),
            discriminator=dict(name="dcgan_discriminator", width=16),
        ),
        task=dict(name="gan", loss="non_saturating", prior="uniform"),
        data=dict(name="tfds:fashion_mnist", scale="symmetric"),
        optimizer=dict(name="adam", b1=0.5),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(
            batch_size=128,
            steps=4_000,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            evaluate_every=500,
            checkpoint_every=500,
            judge="runs/resnet20_fashion_mnist_small/seed0",
        ),
    )
