"""MADE on binarised MNIST, fixed pixels. Germain et al. 2015, table 6 (one hidden layer, one mask): 88.40 nats.

    fovea reproduce made_binarized_mnist      # with --config.data.name=binarized_mnist:path/to/the/file.npz
    fovea sample --workdir runs/made_binarized_mnist/seed0 --given image=upper_half.png --set keep=0.5

One layer of 8,000 units between masks that stay the same, in batches of 100 as in the paper; Adam in place of Adagrad.
The best checkpoint by the validation split counts, since fixed pixels can be learnt by heart.
"""

from experiments.pages import BINARIZED_MNIST, page


def get_config():
    return page(
        paper=dict(
            title="MADE: Masked Autoencoder for Distribution Estimation",
            year=2015,
            table="6",
            metric="test/nll",
            published=88.40,
            tolerance=0.5,
            parameters=12_552_784,
            note="The paper trains until 30 passes bring nothing; here 20 passes in all, and Adam.",
        ),
        model=dict(name="made", hidden=(8_000,)),
        task=dict(name="autoregressive", likelihood="bernoulli"),
        data=BINARIZED_MNIST,
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=1e-3, end=1e-5),
        train=dict(
            batch_size=100,
            steps=10_000,
            log_every=100,
            evaluate_every=1_000,
            checkpoint_every=500,
            evaluate_batch_size=500,
        ),
    )
