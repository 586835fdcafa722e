"""LeNet-5 as published, on MNIST. LeCun et al. 1998, section III: 0.95 % test error without distortions.

    fovea reproduce lenet5_original_mnist --seeds 3

The paper's network: the partial table of C3, trainable subsampling, scaled tanh, RBF output (60,000 parameters). It
is trained by Adam on the cross-entropy over the distances instead of the paper's stochastic Levenberg-Marquardt.
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
            parameters=60_000,
        ),
        model=dict(name="lenet5", variant="original"),
        task=dict(name="classification"),
        data=dict(name="tfds:mnist", train="train", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=dict(batch_size=128, steps=9_380, seed=0, log_every=134, evaluate_every=938, checkpoint_every=938),
    )
