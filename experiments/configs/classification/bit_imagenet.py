"""BiT-S R50x1 on ImageNet. Kolesnikov et al. 2020, table 1 and section 3.2: GroupNorm and standardised weights.

    fovea train --config bit_imagenet --workdir runs/bit                              # for accelerators; not run here
    fovea train --config bit_imagenet --config.model.norm=batch --workdir runs/v2     # ResNet-50 v2 of He et al. 2016

Section 3.3: 90 passes, SGD with momentum 0.9, weight decay 1e-4, learning rate 0.03 · batch / 256 with a warm-up of
5,000 steps, divided by 10 after 30, 60 and 80 passes. The paper's batch is 4,096 on 512 TPU cores.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Big Transfer (BiT): General Visual Representation Learning",
            year=2020,
            metric="test/error",
            steps=113_000,
            parameters=25_549_352,
            macs=4_089_184_256,
        ),
        model=dict(name="resnet_v2", depth=50, norm="group"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.12, boundaries=(37_600, 75_200, 100_300), factor=0.1, warmup_steps=5_000),
        train=dict(
            batch_size=1_024,
            steps=113_000,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=1_250,
            checkpoint_every=1_250,
        ),
    )
