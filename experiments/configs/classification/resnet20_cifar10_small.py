"""ResNet-20 on CIFAR-10, shortened. He et al. 2016, table 6: 8.75 % test error after 64,000 steps.

    fovea reproduce resnet20_cifar10_small

A quarter of an hour on two cores: 1,000 of the 64,000 steps, under a one-cycle schedule (Smith 2018).
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Deep Residual Learning for Image Recognition",
            year=2016,
            table="6",
            metric="test/error",
            published=0.0875,
            tolerance=0.003,
            steps=64_000,
            parameters=269_722,
            macs=40_551_040,
        ),
        model=dict(name="resnet_cifar", depth=20, shortcut="A"),
        task=dict(name="classification"),
        data=dict(
            name="tfds:cifar10",
            train="train",
            validation="",
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=1e-4),
        schedule=dict(name="one_cycle", peak=0.4),
        train=dict(batch_size=128, steps=1_000, seed=0, log_every=50, evaluate_every=250, checkpoint_every=250),
    )
