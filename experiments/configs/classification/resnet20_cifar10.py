"""ResNet-20 on CIFAR-10. He et al. 2016, table 6: 8.75 % test error.

    fovea reproduce resnet20_cifar10           # 64,000 steps, for an accelerator
    fovea reproduce resnet20_cifar10:small     # 1,000 steps, one-cycle schedule (Smith 2018): 15 minutes on two cores

The paper's recipe: weight decay on everything, learning rate 0.1 divided by 10 at 32,000 and 48,000 of 64,000 steps.
The paper trains on 45,000 images until the recipe is fixed and then on all; here 5,000 choose the checkpoint.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        nesterov=False,
        schedule=dict(name="step", peak=0.1, boundaries=(32_000, 48_000), factor=0.1),
        train=dict(steps=64_000, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        splits=dict(train="train", validation=""),
        nesterov=True,
        schedule=dict(name="one_cycle", peak=0.4),
        train=dict(steps=1_000, log_every=50, evaluate_every=250, checkpoint_every=250),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
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
            **of["splits"],
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=of["nesterov"], weight_decay=1e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
