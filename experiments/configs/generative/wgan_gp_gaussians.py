"""WGAN-GP on 25 Gaussians in the plane: finds all of them. Gulrajani et al. 2017, figure 1.

    fovea train --config wgan_gp_gaussians --workdir runs/wgan_gp_gaussians
    fovea train --config wgan_gp_gaussians:small --workdir runs/wgan_gp_gaussians_small     # 128 wide, for two cores

The paper's network, 512 wide, with five updates of the critic for one of the generator. It draws the critic's surface
and prints no number; that every mode is found is the claim of the text around it.
The small size has a quarter of the width and a tenth of the steps, at ten times the rate.
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
            published=25.0,
            tolerance=0.0,
            steps=100_000,
            note="The paper draws all 25 modes; it prints no figure.",
        ),
        model=dict(
            generator=dict(name="gan_generator", latent=2, hidden=of["hidden"]),
            critic=dict(name="gan_discriminator", hidden=of["hidden"]),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=0.1),
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
