"""VAE, k = 1, on MNIST. Burda et al. 2016, table 1: 86.76 nats.

    fovea reproduce iwae1_mnist
    fovea reproduce iwae1_mnist:small     # for two cores

784-200-200-50 with pixels drawn from their grey levels in every step.
The rate falls by 10^(1/7) after 3^i passes, i = 0 … 7, of 3,000 steps each: 3,280 passes in all.
The small size has 50 passes with batches of 100, and `nll` by 500 samples in place of 5,000.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        importance_samples=5000,
        schedule=dict(
            name="step",
            peak=1e-3,
            boundaries=tuple(3_000 * sum(3**j for j in range(i)) for i in range(1, 8)),
            factor=10 ** (-1 / 7),
        ),
        train=dict(batch_size=20, steps=9_840_000, log_every=3_000, evaluate_every=300_000, checkpoint_every=30_000),
    ),
    "small": dict(
        importance_samples=500,
        schedule=dict(name="cosine", peak=1e-3, end=1e-4),
        train=dict(batch_size=100, steps=30_000, log_every=500, evaluate_every=6_000, checkpoint_every=6_000),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
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
        task=dict(name="vae", likelihood="bernoulli", samples=1, importance_samples=of["importance_samples"]),
        data=dict(
            name="tfds:mnist",
            train="train",
            test="test",
            scale="unit",
            augment=("binarise",),
            evaluate_augment=("binarise",),
        ),
        optimizer=dict(name="adam", eps=1e-4),
        schedule=of["schedule"],
        train=dict(evaluate_batch_size=200, **of["train"]),
    )
