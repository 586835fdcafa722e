"""Glow on MNIST, for two cores: 2 levels of 4 steps, 64 channels. Kingma & Dhariwal 2018.

    fovea reproduce glow_mnist_small
    fovea sample --workdir runs/glow_mnist_small/seed0 --set temperature=0.7
    fovea sample --workdir runs/glow_mnist_small/seed0 --given latent=interpolation

A fiftieth of the published network. `bits_per_dim` is exact for the dequantised image, and bounds that of the 8 bits.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Glow: Generative Flow with Invertible 1×1 Convolutions",
            year=2018,
            metric="test/bits_per_dim",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(name="glow", levels=2, steps=4, hidden=64),
        task=dict(name="flow"),
        data=dict(
            name="tfds:mnist",
            train="train[:55000]",
            validation="train[55000:]",
            test="test",
            scale="symmetric",
            augment=("dequantise",),
            evaluate_augment=("dequantise",),
        ),
        optimizer=dict(name="adam", clip_norm=50.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=200),
        train=dict(
            batch_size=64,
            steps=8_000,
            log_every=100,
            evaluate_every=1_000,
            checkpoint_every=500,
            samples=40,
        ),
    )
