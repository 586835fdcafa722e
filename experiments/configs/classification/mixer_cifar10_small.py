"""A small MLP-Mixer on CIFAR-10, on two cores. Tolstikhin et al. 2021.

    fovea reproduce mixer_cifar10_small

Patches of 4×4 pixels; the paper has no figure without pre-training at this size.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="MLP-Mixer: An all-MLP Architecture for Vision",
            year=2021,
            metric="test/error",
            note="beside mobilenet_v2_cifar10:small at equal steps; no published figure",
        ),
        model=dict(name="mixer", patch=4, width=128, depth=6, tokens=64, channels=512),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", train="train", validation="", test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="adamw", weight_decay=0.05, clip_norm=1.0),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=80),
        train=dict(batch_size=128, steps=800, seed=0, log_every=50, evaluate_every=200, checkpoint_every=200),
    )
