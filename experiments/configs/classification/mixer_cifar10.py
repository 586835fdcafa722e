"""A small MLP-Mixer on CIFAR-10, from scratch. Tolstikhin et al. 2021 publish transfer from larger sets only.

    fovea train --config mixer_cifar10 --workdir runs/mixer             # 200 passes, for an accelerator
    fovea train --config mixer_cifar10:small --workdir runs/mixer       # 2,000 steps: minutes on two cores

Patches of 4 pixels; AdamW, weight decay 0.1, RandAugment and mixup, as the paper regularises its ImageNet runs
(appendix B). There is no published figure for this network.
"""

from experiments.pages import page

SIZES = {
    "full": dict(width=256, depth=8, steps=39_100, warmup=1_000),
    "small": dict(width=128, depth=4, steps=2_000, warmup=100),
}


def get_config(size="full"):
    of = SIZES[size]
    width, steps = of["width"], of["steps"]
    return page(
        model=dict(
            name="mixer", variant="S", width=width, depth=of["depth"], tokens=width // 2, channels=2 * width, patch=4
        ),
        task=dict(name="classification", label_smoothing=0.1),
        data=dict(name="tfds:cifar10", train="train[:90%]", validation="train[90%:]", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="adamw", weight_decay=0.1, no_decay=("bias", "scale"), clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=of["warmup"]),
        train=dict(batch_size=256, steps=steps, log_every=50, evaluate_every=steps // 10, checkpoint_every=steps // 10),
    )
