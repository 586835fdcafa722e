"""DDPM on CIFAR-10. Ho et al. 2020, table 1: at most 3.75 bits/dim on the test set, FID 3.17.

    fovea reproduce ddpm_cifar10

The U-Net of 35.7 M parameters and the recipe of appendix B: 800,000 steps, for accelerators. The complete bound by

    fovea eval --workdir DIR --config.task.bound_terms=1000
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Denoising Diffusion Probabilistic Models",
            year=2020,
            table="1",
            metric="test/bits_per_dim",
            published=3.75,
            tolerance=0.05,
            steps=800_000,
            parameters=35_746_307,
        ),
        model=dict(name="ddpm_unet"),
        task=dict(name="diffusion", schedule="linear", variance="large", bound_terms=100),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="constant", peak=2e-4, warmup_steps=5_000),
        train=dict(
            batch_size=128,
            steps=800_000,
            ema=0.9999,
            log_every=500,
            evaluate_every=50_000,
            checkpoint_every=10_000,
        ),
    )
