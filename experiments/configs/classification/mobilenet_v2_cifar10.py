"""MobileNetV2 on CIFAR-10, in the form of kuangliu's pytorch-cifar: 5.57 % test error. Sandler et al. 2018.

    fovea reproduce mobilenet_v2_cifar10           # 200 passes, for an accelerator
    fovea reproduce mobilenet_v2_cifar10:small     # half of the channels, 800 steps of one cycle, on two cores

SGD with momentum 0.9, batch 128, weight decay 5e-4, a cosine from 0.1 over 200 passes. 5,000 images choose the
checkpoint; a pass has 352 steps. The paper has no figure for CIFAR-10.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        width=1.0,
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        schedule=dict(name="cosine", peak=0.1),
        train=dict(steps=70_400, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        width=0.5,
        splits=dict(train="train", validation=""),
        schedule=dict(name="one_cycle", peak=0.2),
        train=dict(steps=800, log_every=50, evaluate_every=200, checkpoint_every=200),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
            year=2018,
            table="pytorch-cifar",
            metric="test/error",
            published=0.0557,
            tolerance=0.003,
            steps=70_400,
            parameters=2_296_922 if size == "full" else None,
        ),
        model=dict(name="mobilenet_v2", width=of["width"], stem="cifar", epsilon=1e-5, momentum=0.9, dropout_rate=0.0),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
