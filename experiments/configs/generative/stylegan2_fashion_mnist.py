"""A small StyleGAN2 on a tenth of Fashion-MNIST, at 28 × 28. Karras et al. 2020; Zhao et al. 2020.

    fovea reproduce stylegan2_fashion_mnist
    fovea reproduce stylegan2_fashion_mnist:small     # 8 wide, for two cores

With the penalties of slopes and of path lengths, and augmentations that keep the discriminator from learning the few
images by heart; without them: --config.task.augment=(). Its judge is that of dcgan_fashion_mnist.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        width=64,
        latent=512,
        mapping=8,
        train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000),
    ),
    "small": dict(
        width=8,
        latent=64,
        mapping=2,
        train=dict(steps=3_000, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Analyzing and Improving the Image Quality of StyleGAN",
            year=2020,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(
                name="stylegan2_generator", width=of["width"], latent=of["latent"], mapping=of["mapping"], blocks=2
            ),
            discriminator=dict(name="stylegan2_discriminator", width=of["width"], blocks=2),
        ),
        task=dict(name="stylegan", r1=1.0, path=2.0, augment=("translation", "cutout")),
        data=dict(name="tfds:fashion_mnist", train="train[:10%]", scale="symmetric"),
        optimizer=dict(name="adam", b1=0.0, b2=0.99),
        schedule=dict(name="constant", peak=2e-3),
        train=dict(
            batch_size=64,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_fashion_mnist_small/seed0",
            **of["train"],
        ),
    )
