"""WGAN-GP on Fashion-MNIST, 16 wide and shortened, for two cores. Gulrajani et al. 2017.

    fovea reproduce wgan_gp_fashion_mnist_small

The networks of DCGAN without normalisation in the critic, λ = 10, five updates of the critic for one of the generator,
pixels with the noise of their quantisation. Judged as dcgan_fashion_mnist_small is.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            metric="test/fd",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            generator=dict(name="dcgan_generator", latent=128, width=16),
            critic=dict(name="dcgan_discriminator", width=16, norm="none"),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=10.0),
        data=dict(name="tfds:fashion_mnist", scale="symmetric", augment=("dequantise",)),
        optimizer=dict(name="adam", b1=0.5, b2=0.9),
        schedule=dict(name="linear", peak=1e-3),
        train=dict(
            batch_size=64,
            steps=2_500,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            evaluate_every=500,
            checkpoint_every=500,
            judge="runs/resnet20_fashion_mnist_small/seed0",
        ),
    )
