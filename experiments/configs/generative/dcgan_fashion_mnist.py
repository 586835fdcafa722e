"""DCGAN on Fashion-MNIST, at 28 × 28. Radford et al. 2016.

    fovea reproduce dcgan_fashion_mnist
    fovea reproduce dcgan_fashion_mnist:small     # 16 wide, for two cores

The paper's recipe (Adam with β1 = 0.5, z uniform, weights from N(0, 0.02)) on a set that it does not use.
The judge is `resnet20_fashion_mnist:small`, to be reproduced first, or another classifier: `fd` in its features beside
`fd_floor`, and the classes covered.
"""

from experiments.pages import page

SIZES = {
    "full": dict(width=64, peak=2e-4, train=dict(steps=46_900, evaluate_every=4_690, checkpoint_every=4_690)),
    "small": dict(width=16, peak=1e-3, train=dict(steps=4_000, evaluate_every=500, checkpoint_every=500)),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
            year=2016,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="dcgan_generator", latent=100, width=of["width"]),
            discriminator=dict(name="dcgan_discriminator", width=of["width"]),
        ),
        task=dict(name="gan", loss="non_saturating", prior="uniform"),
        data=dict(name="tfds:fashion_mnist", scale="symmetric"),
        optimizer=dict(name="adam", b1=0.5),
        schedule=dict(name="constant", peak=of["peak"]),
        train=dict(
            batch_size=128,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_fashion_mnist_small/seed0",
            **of["train"],
        ),
    )
