"""Self-attention GAN on the classes of Fashion-MNIST, at 28 × 28. Zhang et al. 2019.

    fovea reproduce sagan_fashion_mnist
    fovea reproduce sagan_fashion_mnist:small     # 16 wide, for two cores

Residual networks with attention over the maps of 14 × 14, spectral normalisation in both, the class by conditional
normalisation and projection, the hinge loss, one update of each with four times the rate for the discriminator. Its
judge is that of dcgan_fashion_mnist.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        width=128,
        peaks=(1e-4, 4e-4),  # generator, discriminator
        train=dict(steps=200_000, evaluate_every=10_000, checkpoint_every=10_000),
    ),
    "small": dict(
        width=16,
        peaks=(5e-4, 2e-3),
        train=dict(steps=5_000, evaluate_every=1_000, checkpoint_every=1_000),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    network = dict(width=of["width"], spectral=True, attention=(14,), conditional=True)
    generator, discriminator = (dict(name="constant", peak=peak) for peak in of["peaks"])
    return page(
        paper=dict(
            title="Self-Attention Generative Adversarial Networks",
            year=2019,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="resnet_gan_generator", blocks=2, **network),
            discriminator=dict(name="resnet_gan_discriminator", pool="sum", **network),
        ),
        task=dict(name="gan", loss="hinge"),
        data=dict(name="tfds:fashion_mnist", scale="symmetric", augment=("dequantise",)),
        optimizer=dict(name="adam", b1=0.0, b2=0.9),
        schedule=dict(generator=generator, discriminator=discriminator),
        train=dict(
            batch_size=64,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_fashion_mnist_small/seed0",
            **of["train"],
        ),
    )
