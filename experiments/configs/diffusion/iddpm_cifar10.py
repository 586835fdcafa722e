"""Improved DDPM on CIFAR-10: learned variances and the hybrid loss. Nichol & Dhariwal 2021, section 3.

    fovea reproduce iddpm_cifar10

The U-Net of 52.5 M parameters, 4,000 steps of the cosine schedule, 500,000 steps of training: for accelerators.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Improved Denoising Diffusion Probabilistic Models",
            year=2021,
            metric="test/bits_per_dim",
            steps=500_000,
            parameters=52_546_438,
            note="The published 2.94 bits/dim are of the bound alone as the loss, with steps sampled by importance.",
        ),
        model=dict(
            name="ddpm_unet", blocks=3, attention=(16, 8), heads=4, scale_shift=True, outputs=2, dropout_rate=0.3
        ),
        task=dict(name="diffusion", schedule="cosine", steps=4_000, variance="learned", bound_terms=100),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=1e-4),
        train=dict(
            batch_size=128,
            steps=500_000,
            ema=0.9999,
            log_every=500,
            evaluate_every=50_000,
            checkpoint_every=10_000,
        ),
    )
