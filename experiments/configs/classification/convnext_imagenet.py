"""ConvNeXt-T on ImageNet. Liu et al. 2022, table 1: 17.9 % test error.

    fovea train --config convnext_imagenet --workdir runs/convnext      # for accelerators; not run here

Appendix A, table 5: AdamW, batch 4,096, learning rate 4e-3, weight decay 0.05, 300 passes with a warm-up of 20, mixup,
cutmix, RandAugment, random erasing, smoothed labels, averaged weights, stochastic depth 0.1.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="A ConvNet for the 2020s",
            year=2022,
            table="1",
            metric="test/error",
            published=0.179,
            tolerance=0.003,
            steps=92_700,
            parameters=28_589_128,
            macs=4_455_531_264,
        ),
        model=dict(name="convnext"),
        task=dict(name="classification", label_smoothing=0.1),
        data=dict(IMAGENET, augment=("flip", "rand_augment(2, 9)", "random_erasing()", "mixup_or_cutmix()")),
        optimizer=dict(name="adamw", weight_decay=0.05, no_decay=("bias", "scale", "gamma")),
        schedule=dict(name="cosine", peak=4e-3, warmup_steps=6_180),
        train=dict(
            batch_size=4_096,
            steps=92_700,
            ema=0.9999,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=3_090,
            checkpoint_every=3_090,
        ),
    )
