"""SN-GAN on Fashion-MNIST, at 28 × 28. Miyato et al. 2018.

    fovea reproduce sngan_fashion_mnist
    fovea reproduce sngan_fashion_mnist:small     # 16 wide, for two cores

The residual networks of the paper's table 4, with two doublings as the images are 7 · 4 wide, the hinge loss, five
updates of the discriminator for one of the generator. Its judge is that of dcgan_fashion_mnist, its budget that of
wgan_gp_fashion_mnist.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        widths=(256, 128),  # generator, discriminator
        schedule=dict(name="linear", peak=2e-4),
        train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000),
    ),
    "small": dict(
        widths=(16, 16),
        schedule=dict(name="linear", peak=1e-3),
        train=dict(steps=2_500, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    generator, discriminator = of["widths"]
    return page(
        paper=dict(
            title="Spectral Normalization for Generative Adversarial Networks",
            year=2018,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="resnet_gan_generator", width=generator, blocks=2),
            discriminator=dict(name="resnet_gan_discriminator", width=discriminator, spectral=True, pool="sum"),
        ),
        task=dict(name="gan", loss="hinge", updates=5),
        data=dict(name="tfds:fashion_mnist", scale="symmetric", augment=("dequantise",)),
        optimizer=dict(name="adam", b1=0.0, b2=0.9),
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
