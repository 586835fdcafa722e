"""VAE on MNIST, 784-500-20, pixels drawn from their grey levels in every step: −ELBO ≤ 100 nats on the test set.

    fovea reproduce vae_mnist --seeds 3

The fully connected network of Kingma & Welling 2014 with Adam instead of Adagrad, 30 passes through all 60,000 digits.
The paper plots the bound and prints no number. `nll` of the test set is by importance sampling, with more samples by

    fovea eval --workdir DIR --split test[:1000] --config.task.importance_samples=5000
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Auto-Encoding Variational Bayes",
            year=2014,
            table="fig. 2",
            metric="test/nelbo",
            parameters=815_824,
            note="drawn in the paper, not printed: no published figure",
        ),
        model=dict(name="vae", latent=20, hidden=(500,), activation="tanh"),
        task=dict(name="vae", likelihood="bernoulli", importance_samples=50),
        data=dict(
            name="tfds:mnist",
            train="train",
            test="test",
            scale="unit",
            augment=("binarise",),
            evaluate_augment=("binarise",),
        ),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(
            batch_size=100,
            steps=18_000,
            log_every=200,
            evaluate_every=1_800,
            checkpoint_every=1_800,
            evaluate_batch_size=200,
        ),
    )
