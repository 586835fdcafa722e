"""The networks of LeCun et al. 1998, figure 9, on MNIST without distortions; LeNet-5 is lenet5_original_mnist.

    fovea reproduce lecun98_mnist --seeds 3           # the linear classifier
    fovea reproduce lecun98_mnist:300 --seeds 3       # also 1000, 300-100, 500-150, lenet1, lenet4

The paper's networks with the recipe of lenet5_original_mnist: 20 passes, Adam on the cross-entropy. The paper trains
on the squared error with a stochastic Levenberg-Marquardt method.
"""

from experiments.pages import page

# Published test error, and the parameters of our network.
SIZES = {
    "linear": (0.12, 7_850),
    "300": (0.047, 238_510),
    "1000": (0.045, 795_010),
    "300-100": (0.0305, 266_610),
    "500-150": (0.0295, 469_160),
    "lenet1": (0.017, 2_578),
    "lenet4": (0.011, 52_698),
}

NOTE = "Cross-entropy and Adam in place of the paper's squared error and Levenberg-Marquardt."


def get_config(size="linear"):
    published, parameters = SIZES[size]
    return page(
        paper=dict(
            title="Gradient-Based Learning Applied to Document Recognition",
            year=1998,
            table="fig. 9",
            metric="test/error",
            published=published,
            tolerance=0.0,
            steps=9_380,  # the paper's 20 passes through the training set
            parameters=parameters,
            note=NOTE + (" The paper's LeNet-4 has about 17,000 parameters." if size == "lenet4" else ""),
        ),
        model=dict(name="lecun98", variant=size),
        task=dict(name="classification"),
        data=dict(name="tfds:mnist", train="train", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=dict(batch_size=128, steps=9_380, seed=0, log_every=134, evaluate_every=938, checkpoint_every=938),
    )
