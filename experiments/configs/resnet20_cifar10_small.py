"""ResNet-20 on CIFAR-10, shortened. He et al. 2016, table 6: 8.75 % test error after 64,000 steps.

    fovea reproduce --config resnet20_cifar10_small --workdir runs/resnet20_cifar10_small

What half an hour on two cores gives: 2,000 of the paper's 64,000 steps, under a one-cycle schedule (Smith 2018).
"""

from experiments.page import page


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
        train=dict(batch_size=128, steps=2_000, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
