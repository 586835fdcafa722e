"""LeNet-5 on scikit-learn's digits: the main job, which needs no download. >= 98 % accuracy in a minute.

    fovea train --config lenet5_digits --workdir workdir/lenet5_digits

The network of LeCun et al. 1998 in its modern form. A stratified fifth of the digits, fixed by `split_seed`, is held
out as the test; a tenth of the rest chooses the checkpoint. No paper gives a figure for this split.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Gradient-Based Learning Applied to Document Recognition",
            year=1998,
            metric="test/accuracy",
            note="a set of our own making: no published figure",
        ),
        model=dict(name="lenet5", variant="modern"),
        task=dict(name="classification"),
        data=dict(
            name="digits",
            size=32,
            split_seed=0,
            train="train[:90%]",
            validation="train[90%:]",
            test="test",
            augment=("affine(degrees=8, translate=0.06, scale=(0.9, 1.1))",),
        ),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=50),
        train=dict(batch_size=64, steps=1500, seed=0, log_every=50, evaluate_every=250, checkpoint_every=250),
    )
