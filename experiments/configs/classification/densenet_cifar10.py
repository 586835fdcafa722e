"""DenseNet-BC on CIFAR-10. Huang et al. 2017, table 2: 4.51 % test error of 100 layers with a growth of 12.

    fovea reproduce densenet_cifar10           # 300 passes, for an accelerator
    fovea reproduce densenet_cifar10:small     # 40 layers, 1,000 steps of one cycle, on two cores

    fovea train --config densenet_cifar10 --config.model.depth=40 --config.model.bottleneck=False \\
        --config.model.compression=1.0 --workdir runs/densenet40                                    # 5.24 %

Section 4.2: batch 64, Nesterov momentum, weight decay 1e-4, learning rate 0.1 divided by 10 at a half and at three
quarters of 300 passes; no dropout with augmentation. 5,000 images choose the checkpoint; a pass has 704 steps.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        depth=100,
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        schedule=dict(name="step", peak=0.1, boundaries=(105_600, 158_400), factor=0.1),
        train=dict(steps=211_200, log_every=100, evaluate_every=5_000, checkpoint_every=5_000),
    ),
    "small": dict(
        depth=40,
        splits=dict(train="train", validation=""),
        schedule=dict(name="one_cycle", peak=0.2),
        train=dict(steps=1_000, log_every=50, evaluate_every=250, checkpoint_every=250),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Densely Connected Convolutional Networks",
            year=2017,
            table="2",
            metric="test/error",
            published=0.0451,
            tolerance=0.003,
            steps=211_200,
            parameters=769_162 if size == "full" else None,
        ),
        model=dict(name="densenet_cifar", depth=of["depth"], growth=12),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=1e-4),
        schedule=of["schedule"],
        train=dict(batch_size=64, seed=0, **of["train"]),
    )
