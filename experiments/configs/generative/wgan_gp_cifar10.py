"""WGAN-GP with residual networks on CIFAR-10. Gulrajani et al. 2017, section 5.4 and appendix F.

    fovea reproduce wgan_gp_cifar10
    fovea reproduce wgan_gp_cifar10:small     # 16 wide, for two cores

λ = 10, five updates of the critic for one of the generator, Adam with β1 = 0 and a rate that falls to 0. The paper's
Inception Score (7.86) needs the weights of a network that is not here, so the judge is `resnet20_cifar10:small`.
The paper's generator sees batches of 128, here of 64 as the critic's.
"""

from experiments.pages import page

SIZES = {
    "full": dict(width=128, peak=2e-4, train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000)),
    "small": dict(width=16, peak=1e-3, train=dict(steps=2_500, evaluate_every=500, checkpoint_every=500)),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            table="3",
            metric="test/fd",
            steps=100_000,
            parameters=1_204_483 + 1_053_825 if size == "full" else None,
            note="published: an Inception Score of 7.86, which needs Inception's weights",
        ),
        model=dict(
            generator=dict(name="resnet_gan_generator", width=of["width"]),
            critic=dict(name="resnet_gan_discriminator", width=of["width"]),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=10.0),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("dequantise",)),
        optimizer=dict(name="adam", b1=0.0, b2=0.9),
        schedule=dict(name="linear", peak=of["peak"]),
        train=dict(
            batch_size=64,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="runs/resnet20_cifar10_small/seed0",
            **of["train"],
        ),
    )
