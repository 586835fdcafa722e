"""ResNet-20 on Fashion-MNIST. Compared with ResNet-18 in the benchmark of the set (5.1 % error).

    fovea reproduce resnet20_fashion_mnist           # 64,000 steps, for an accelerator
    fovea reproduce resnet20_fashion_mnist:small     # 1,500 steps, one-cycle (Smith 2018): 30 minutes on two cores

The recipe of He et al. 2016 for CIFAR. No paper gives ResNet-20 on this set; the public figure is "ResNet18, 0.949
test accuracy" (Kyriakos Efthymiadis) in the README of github.com/zalandoresearch/fashion-mnist: a network
40 times larger.
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
        train=dict(steps=1_500, log_every=50, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
            year=2017,
            table="the set's README, 'ResNet18'",
            metric="test/error",
            published=0.051,
            tolerance=0.003,
            steps=64_000,
        ),
        model=dict(name="resnet_cifar", depth=20, shortcut="A"),
        task=dict(name="classification"),
        data=dict(
            name="tfds:fashion_mnist",
            **of["splits"],
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=of["nesterov"], weight_decay=1e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
