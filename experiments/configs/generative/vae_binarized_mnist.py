"""VAE on binarised MNIST, fixed pixels. Burda et al. 2016, table 5 (k = 1, one stochastic layer): 88.71 nats.

    fovea train --config vae_binarized_mnist --workdir runs/vae_binarized_mnist \\
        --config.data.name=binarized_mnist:path/to/binarized_mnist_packed.npz

784-200-200-50 in 60 passes; the best checkpoint by the validation split, since fixed pixels can be learnt by heart.
"""

from experiments.pages import BINARIZED_MNIST, page


def get_config():
    return page(
        paper=dict(
            title="Importance Weighted Autoencoders",
            year=2016,
            table="5",
            metric="test/nll",
            published=88.71,
            tolerance=0.5,
            steps=9_840_000,
        ),
        model=dict(name="vae", latent=50, hidden=(200, 200), activation="tanh"),
        task=dict(name="vae", likelihood="bernoulli", samples=1, importance_samples=50),
        data=BINARIZED_MNIST,
        optimizer=dict(name="adam", eps=1e-4),
        schedule=dict(name="cosine", peak=1e-3, end=1e-4),
        train=dict(
            batch_size=100,
            steps=30_000,
            log_every=500,
            evaluate_every=3_000,
            checkpoint_every=3_000,
            evaluate_batch_size=200,
        ),
    )
