"""LeNet-5 on MNIST. LeCun et al. 1998, section III: 0.95 % test error without distortions.

    fovea reproduce lenet5_mnist --seeds 3

The modern variant (61,706 parameters: every map of C3 sees all of S2, max-pooling, ReLU) and Adam; the paper's own
network is `lenet5_original_mnist`. All 60,000 digits train, as in the paper, and the last checkpoint is the result.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Gradient-Based Learning Applied to Document Recognition",
            year=1998,
            table="fig. 9",
            metric="test/error",
            published=0.0095,
            tolerance=0.0,
            steps=9_380,  # the paper's 20 passes through the training set
            parameters=61_706,
        ),
        model=dict(name="lenet5", variant="modern"),
        task=dict(name="classification"),
        data=dict(name="tfds:mnist", train="train", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=dict(batch_size=128, steps=9_380, seed=0, log_every=134, evaluate_every=938, checkpoint_every=938),
    )
