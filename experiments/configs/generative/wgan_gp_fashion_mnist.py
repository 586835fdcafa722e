"""WGAN-GP on Fashion-MNIST, at 28 × 28. Gulrajani et al. 2017.

    fovea reproduce wgan_gp_fashion_mnist
    fovea reproduce wgan_gp_fashion_mnist:small     # 16 wide, for two cores

The networks of DCGAN without normalisation in the critic, λ = 10, five updates of the critic for one of the generator,
pixels with the noise of their quantisation. Its judge is that of dcgan_fashion_mnist.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        width=64,
        schedule=dict(name="constant", peak=1e-4),
        train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000),
    ),
    "small": dict(
        width=16,
        schedule=dict(name="linear", peak=1e-3),
        train=dict(steps=2_500, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="dcgan_generator", latent=128, width=of["width"]),
            critic=dict(name="dcgan_discriminator", width=of["width"], norm="none"),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=10.0),
        data=dict(name="tfds:fashion_mnist", scale="symmetric", augment=("dequantise",)),
        optimizer=dict(name="adam", b1=0.5, b2=0.9),
        schedule=of["schedule"],
        train=dict(
            batch_size=64,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_fashion_mnist_small/seed0",
            **of["train"],
        ),
    )
