"""The original GAN on 25 Gaussians in the plane: loses most of them. Compare wgan_gp_gaussians.

    fovea train --config gan_gaussians --workdir runs/gan_gaussians
    fovea train --config gan_gaussians:small --workdir runs/gan_gaussians_small     # 128 wide, for two cores

The same network, optimizer and number of generator updates, with the loss of Goodfellow et al. 2014.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        hidden=(512, 512, 512),
        schedule=dict(name="constant", peak=1e-4),
        train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000),
    ),
    "small": dict(
        hidden=(128, 128, 128),
        schedule=dict(name="linear", peak=1e-3),
        train=dict(steps=10_000, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            table="fig. 1",
            metric="test/covered",
            steps=100_000,
            note="The paper draws which of the 25 modes are missing; it prints no figure.",
        ),
        model=dict(
            generator=dict(name="gan_generator", latent=2, hidden=of["hidden"]),
            discriminator=dict(name="gan_discriminator", hidden=of["hidden"]),
        ),
        task=dict(name="gan", loss="non_saturating"),
        data=dict(name="gaussians", scale="standardise"),
        optimizer=dict(name="adam", b1=0.5, b2=0.9),
        schedule=of["schedule"],
        train=dict(
            batch_size=256,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            judge="pixels",
            **of["train"],
        ),
    )
