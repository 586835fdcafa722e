"""VAE, k = 1, on MNIST, shortened. Burda et al. 2016, table 1: 86.76 nats.

    fovea reproduce iwae1_mnist_small

784-200-200-50 with pixels drawn anew from their grey levels in every step.
The same in 50 passes with batches of 100, for two cores; `nll` by 500 samples in place of 5,000.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Importance Weighted Autoencoders",
            year=2016,
            table="1",
            metric="test/nll",
            published=86.76,
            tolerance=0.5,
            steps=9_840_000,
        ),
        model=dict(name="vae", latent=50, hidden=(200, 200), activation="tanh"),
        task=dict(name="vae", likelihood="bernoulli", samples=1, importance_samples=500),
        data=dict(
            name="tfds:mnist",
            train="train",
            test="test",
            scale="unit",
            augment=("binarise",),
            evaluate_augment=("binarise",),
        ),
        optimizer=dict(name="adam", eps=1e-4),
        schedule=dict(name="cosine", peak=1e-3, end=1e-4),
        train=dict(
            batch_size=100,
            steps=30_000,
            log_every=500,
            evaluate_every=6_000,
            checkpoint_every=6_000,
            evaluate_batch_size=200,
        ),
    )
