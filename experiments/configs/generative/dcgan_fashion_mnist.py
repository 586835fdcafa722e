"""DCGAN on Fashion-MNIST, at 28 × 28. Radford et al. 2016.

    fovea reproduce dcgan_fashion_mnist

The paper's recipe (Adam at 2e-4 with β1 = 0.5, z uniform, weights from N(0, 0.02)) on a set that it does not use.
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
            generator=dict(name="dcgan_generator", latent=100, width=64),
            discriminator=dict(name="dcgan_discriminator", width=64),
        ),
        task=dict(name="gan", loss="non_saturating", prior="uniform"),
        data=dict(name="tfds:fashion_mnist", scale="symmetric"),
        optimizer=dict(name="adam", b1=0.5),
        schedule=dict(name="constant", peak=2e-4),
        train=dict(
            batch_size=128,
            steps=46_900,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            evaluate_every=4_690,
            checkpoint_every=4_690,
            judge="runs/resnet20_fashion_mnist_small/seed0",
        ),
    )
