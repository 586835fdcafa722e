"""MLP-Mixer-B/16 on ImageNet from scratch. Tolstikhin et al. 2021, table 3: 23.56 % test error.

    fovea train --config mixer_imagenet --workdir runs/mixer      # for accelerators; not run here

Section 3: Adam, batch 4,096, linear warm-up of 10,000 steps, clipping at 1, mixup, RandAugment, stochastic depth 0.1,
300 passes, weight decay 0.1.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="MLP-Mixer: An all-MLP Architecture for Vision",
            year=2021,
            table="3",
            metric="test/error",
            published=0.2356,
            tolerance=0.003,
            steps=92_700,
            parameters=59_880_472,
        ),
        model=dict(name="mixer", stochastic_depth=0.1),
        task=dict(name="classification"),
        data=dict(IMAGENET, augment=("flip", "rand_augment(2, 15)", "mixup(0.5)")),
        optimizer=dict(name="adamw", weight_decay=0.1, clip_norm=1.0),
        schedule=dict(name="linear", peak=1e-3, warmup_steps=10_000),
        train=dict(
            batch_size=4_096,
            steps=92_700,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=3_090,
            checkpoint_every=3_090,
        ),
    )
