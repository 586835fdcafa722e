"""WGAN-GP on 25 Gaussians in the plane: finds all of them. Gulrajani et al. 2017, figure 1.

    fovea train --config wgan_gp_gaussians --workdir runs/wgan_gp_gaussians

The paper's network, 512 wide, with five updates of the critic for one of the generator. It draws the critic's surface
and prints no number; that every mode is found is the claim of the text around it.
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
            generator=dict(name="gan_generator", latent=2, hidden=(512, 512, 512)),
            critic=dict(name="gan_discriminator", hidden=(512, 512, 512)),
        ),
        task=dict(name="gan", loss="wasserstein", updates=5, gradient_penalty=0.1),
        data=dict(name="gaussians", scale="standardise"),
        optimizer=dict(name="adam", b1=0.5, b2=0.9),
        schedule=dict(name="constant", peak=1e-4),
        train=dict(
            batch_size=256,
            steps=100_000,
            ema=0.999,
            ema_players=("generator",),
            log_every=100,
            evaluate_every=5_000,
            checkpoint_every=5_000,
            judge="pixels",
        ),
    )
