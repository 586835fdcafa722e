"""WGAN-GP on 25 Gaussians in the plane, 128 wide, for two cores. See wgan_gp_gaussians.

    fovea train --config wgan_gp_gaussians_small --workdir runs/wgan_gp_gaussians_small

A quarter of the paper's width and a tenth of its steps, at ten times its rate.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            table="fig. 1",
            metric="test/covered",
            published=25.0,
            tolerance=0.0,
            steps=100_000,
            note="a picture in the paper: 25 modes is how many there are",
        ),
        model=dict(
            generator=dict(name="gan_generator", latent=2, hidden=(128, 128, 128)),
            critic=dict(name="gan_discriminator", hidden=(128, 128, 128)),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=0.1),
        data=dict(name="gaussians", scale="standardise"),
        optimizer=dict(name="adam", b1=0.5, b2=0.9),
        schedule=dict(name="linear", peak=1e-3),
        train=dict(
            batch_size=256,
            steps=10_000,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            evaluate_every=500,
            checkpoint_every=500,
            judge="pixels",
        ),
    )
