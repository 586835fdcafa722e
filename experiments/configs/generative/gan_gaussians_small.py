"""The original GAN on 25 Gaussians in the plane, 128 wide. Compare wgan_gp_gaussians_small.

    fovea train --config gan_gaussians_small --workdir runs/gan_gaussians_small

The same network, optimizer and number of generator updates, with the loss of Goodfellow et al. 2014.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Improved Training of Wasserstein GANs",
            year=2017,
            table="fig. 1",
            metric="test/covered",
            steps=100_000,
            note="drawn in the paper as missing modes, of which there are 25; no published figure",
        ),
        model=dict(
            generator=dict(name="gan_generator", latent=2, hidden=(128, 128, 128)),
            discriminator=dict(name="gan_discriminator", hidden=(128, 128, 128)),
        ),
        task=dict(name="gan", loss="non_saturating"),
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
