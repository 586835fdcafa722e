"""ResNeXt-29, 8×64d, on CIFAR-10. Xie et al. 2017, table 7: 3.65 % test error.

    fovea reproduce resnext29_cifar10           # 300 passes, for an accelerator
    fovea reproduce resnext29_cifar10:small     # 8 groups of 4 channels, 500 steps of one cycle, on two cores

    fovea train --config resnext29_cifar10 --config.model.groups=16 --workdir runs/16x64d         # 3.58 %

Section 5.3: batch 128, weight decay 5e-4, learning rate 0.1 divided by 10 after 150 and 225 of 300 passes. The paper
trains on all 50,000 images; here 5,000 choose the checkpoint, and a pass has 352 steps.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        model=dict(groups=8, base_width=64),
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        schedule=dict(name="step", peak=0.1, boundaries=(52_800, 79_200), factor=0.1),
        train=dict(steps=105_600, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        model=dict(width=8, groups=8, base_width=32),
        splits=dict(train="train", validation=""),
        schedule=dict(name="one_cycle", peak=0.2),
        train=dict(steps=500, log_every=50, evaluate_every=250, checkpoint_every=250),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Aggregated Residual Transformations for Deep Neural Networks",
            year=2017,
            table="7",
            metric="test/error",
            published=0.0365,
            tolerance=0.003,
            steps=105_600,
            parameters=34_426_698 if size == "full" else None,
        ),
        model=dict(name="resnext_cifar", **of["model"]),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
