"""ResNet-20 on Fashion-MNIST, shortened. Compared with ResNet-18 in the benchmark of the set (5.1 %).

    fovea reproduce resnet20_fashion_mnist_small

What half an hour on two cores gives: 1,500 steps under a one-cycle schedule (Smith 2018). The public figure is
"ResNet18, 0.949 test accuracy" (Kyriakos Efthymiadis) in the README of github.com/zalandoresearch/fashion-mnist.
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
            train="train",
            validation="",
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=1e-4),
        schedule=dict(name="one_cycle", peak=0.4),
        train=dict(batch_size=128, steps=1_500, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
