"""VGG-16 with BatchNorm on CIFAR-10: 92.64 % in the table of kuangliu's pytorch-cifar, after Simonyan & Zisserman 2015.

    fovea reproduce vgg_cifar10           # 200 passes, for an accelerator
    fovea reproduce vgg_cifar10:small     # a quarter of the width, 1,000 steps with one cycle, on two cores

One linear layer follows the 1×1 map of the last stage. The repository's recipe: batch 128, momentum 0.9, weight decay
5e-4, a learning rate of 0.1 that falls as a cosine.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        width=64,
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        schedule=dict(name="cosine", peak=0.1),
        train=dict(steps=78_200, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        width=16,
        splits=dict(train="train", validation=""),
        schedule=dict(name="one_cycle", peak=0.2),
        train=dict(steps=1_000, log_every=50, evaluate_every=250, checkpoint_every=250),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
            year=2015,
            table="kuangliu, pytorch-cifar",
            metric="test/error",
            published=0.0736,
            tolerance=0.005,
            steps=78_200,
            parameters=14_728_266 if size == "full" else None,
        ),
        model=dict(name="vgg", variant="D", norm="batch", width=of["width"], hidden=(), grid=1),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, **of["train"]),
    )
