"""An image transformer on binarised MNIST, for two cores. Chen et al. 2020 (iGPT), a hundred times smaller.

    fovea reproduce igpt_binarized_mnist_small

Every one of the 784 pixels is a word. The paper evaluates the features and prints no likelihoods.
"""

from experiments.pages import BINARIZED_MNIST, page


def get_config():
    return page(
        paper=dict(
            title="Generative Pretraining from Pixels",
            year=2020,
            metric="test/nll",
            note="another data set and size than the paper's: no published figure",
        ),
        model=dict(name="igpt", width=64, depth=4, heads=4, outputs=2),
        task=dict(name="autoregressive", likelihood="categorical"),
        data=BINARIZED_MNIST,
        optimizer=dict(name="adamw", b2=0.95, weight_decay=0.01, no_decay=("scale", "bias", "values", "places")),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=300),
        train=dict(
            batch_size=32,
            steps=10_000,
            log_every=100,
            evaluate_every=2_000,
            checkpoint_every=500,
            evaluate_batch_size=50,
            samples=40,
        ),
    )
