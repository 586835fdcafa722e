"""Network in Network on CIFAR-10 with shifts and flips. Lin et al. 2014, table 1: 8.81 % test error.

    fovea reproduce nin_cifar10

The paper lowers the learning rate when accuracy stops improving and states no steps; the schedule here is our choice.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Network In Network",
            year=2014,
            table="1",
            metric="test/error",
            published=0.0881,
            tolerance=0.003,
            parameters=966_986,
        ),
        model=dict(name="nin"),
        task=dict(name="classification"),
        data=dict(
            name="tfds:cifar10",
            train="train[:90%]",
            validation="train[90%:]",
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.1, boundaries=(100_000, 110_000), factor=0.1),
        train=dict(batch_size=128, steps=120_000, seed=0, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    )
