"""A two-layer perceptron on scikit-learn's digits: the smallest thing that learns, for trying things out.

fovea train --config mlp_digits --workdir workdir/mlp_digits
"""

from experiments.pages import page


def get_config():
    return page(
        model=dict(name="mlp", hidden=(128,)),
        task=dict(name="classification"),
        data=dict(name="digits", size=8, train="train[:90%]", validation="train[90%:]", test="test"),
        optimizer=dict(name="adamw", weight_decay=0.01),
        schedule=dict(name="cosine", peak=3e-3),
        train=dict(batch_size=128, steps=500, seed=0, log_every=50, evaluate_every=100, checkpoint_every=100),
    )
