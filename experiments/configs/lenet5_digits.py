"""LeNet-5 on scikit-learn's digits: the main job, which needs no download.

    fovea train --config lenet5_digits --workdir workdir/lenet5_digits

Architecture of LeCun et al. 1998 in its common modern form. The UCI set's own documentation gives 98.00 % for
3-nearest-neighbours on its test writers; here a fixed stratified fifth of the set (`split_seed`) is held out.
"""

from experiments.page import page


def get_config():
    return page(
        paper=dict(title="Gradient-Based Learning Applied to Document Recognition", year=1998, metric="test/accuracy"),
        model=dict(name="lenet5", variant="modern"),
        task=dict(name="classification"),
        data=dict(name="digits", size=32, split_seed=0, train="train[:90%]", validation="train[90%:]", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=50),
        train=dict(batch_size=64, steps=1500, seed=0, log_every=50, evaluate_every=250, checkpoint_every=250),
    )
