"""Wide ResNet on CIFAR-10. Zagoruyko & Komodakis 2016, table 5: 4.00 % test error of WRN-28-10 without dropout.

    fovea reproduce wide_resnet_cifar10           # 200 passes, for an accelerator
    fovea reproduce wide_resnet_cifar10:small     # WRN-16-2, 800 steps of one cycle, on two cores

    fovea train --config wide_resnet_cifar10 --config.model.dropout_rate=0.3 --workdir runs/wrn      # table 6: 3.89 %

Section 3: batch 128, Nesterov momentum, weight decay 5e-4, learning rate 0.1 times 0.2 after 60, 120 and 160 passes.
The paper trains on all 50,000 images; here 5,000 choose the checkpoint, and a pass has 352 steps.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        model=dict(depth=28, widen=10),
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        schedule=dict(name="step", peak=0.1, boundaries=(21_120, 42_240, 56_320), factor=0.2),
        train=dict(steps=70_400, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        model=dict(depth=16, widen=2),
        splits=dict(train="train", validation=""),
        schedule=dict(name="one_cycle", peak=0.4),
        train=dict(steps=800, log_every=50, evaluate_every=200, checkpoint_every=200),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Wide Residual Networks",
            year=2016,
            table="5",
            metric="test/error",
            published=0.04,
            tolerance=0.003,
            steps=70_400,
            parameters=36_479_194 if size == "full" else None,
        ),
        model=dict(name="wide_resnet", **of["model"]),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
