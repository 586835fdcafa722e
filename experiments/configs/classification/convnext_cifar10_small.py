"""A small ConvNeXt on CIFAR-10, on two cores. Liu et al. 2022.

    fovea reproduce convnext_cifar10_small

Patches of 2×2 pixels and three stages; the paper has no figure without pre-training at this size.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="A ConvNet for the 2020s",
            year=2022,
            metric="test/error",
            note="beside mobilenet_v2_cifar10:small at equal steps; no published figure",
        ),
        model=dict(name="convnext", patch=2, widths=(48, 96, 192), depths=(2, 2, 2), stochastic_depth=0.0),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", train="train", validation="", test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="adamw", weight_decay=0.05, no_decay=("bias", "scale", "gamma"), clip_norm=1.0),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=80),
        train=dict(batch_size=128, steps=800, seed=0, log_every=50, evaluate_every=200, checkpoint_every=200),
    )
