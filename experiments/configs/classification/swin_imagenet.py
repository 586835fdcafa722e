"""Swin-T on ImageNet. Liu et al. 2021, table 1: 18.7 % test error.

    fovea train --config swin_imagenet --workdir runs/swin      # for accelerators; not run here

Appendix A2.1: AdamW, batch 1,024, learning rate 1e-3, weight decay 0.05, 300 passes with a warm-up of 20 and a cosine,
clipping at 1, RandAugment, mixup, cutmix, random erasing, stochastic depth 0.2.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
            year=2021,
            table="1",
            metric="test/error",
            published=0.187,
            tolerance=0.003,
            steps=371_700,
            parameters=28_288_354,
            macs=4_490_566_656,
        ),
        model=dict(name="swin"),
        task=dict(name="classification", label_smoothing=0.1),
        data=dict(IMAGENET, augment=("flip", "rand_augment(2, 9)", "random_erasing()", "mixup_or_cutmix()")),
        optimizer=dict(name="adamw", weight_decay=0.05, no_decay=("bias", "scale"), clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=24_780),
        train=dict(
            batch_size=1_024,
            steps=371_700,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=6_195,
            checkpoint_every=6_195,
        ),
    )
