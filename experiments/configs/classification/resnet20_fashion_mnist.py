"""ResNet-20 on Fashion-MNIST. Compared with ResNet-18 in the benchmark of the set (5.1 % error).

    fovea reproduce resnet20_fashion_mnist

The recipe of He et al. 2016 for CIFAR. No paper gives ResNet-20 on this set; the public figure is "ResNet18, 0.949
test accuracy" (Kyriakos Efthymiadis) in the README of github.com/zalandoresearch/fashion-mnist: a network
40 times larger.
"""

from experiments.pages import page


def get_config():
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
            train="train[:90%]",
            validation="train[90%:]",
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.1, boundaries=(32_000, 48_000), factor=0.1),
        train=dict(batch_size=128, steps=64_000, seed=0, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    )
