"""MobileNetV3 large on ImageNet. Howard et al. 2019, table 3: 24.8 % test error.

    fovea train --config mobilenet_v3_imagenet --workdir runs/mobilenet_v3      # for accelerators; not run here

    fovea train --config mobilenet_v3_imagenet --config.model.variant=small --workdir runs/small       # 32.6 %

Section 6.1.1: RMSProp with momentum 0.9, batch 4,096, learning rate 0.1 that falls by 1 % every 3 passes, dropout 0.8
(of keeping: 0.2 here), weight decay 1e-5, averaged weights with decay 0.9999. The number of passes is our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Searching for MobileNetV3",
            year=2019,
            table="3",
            metric="test/error",
            published=0.248,
            tolerance=0.003,
            steps=185_400,
            parameters=5_483_032,
            macs=216_589_760,
        ),
        model=dict(name="mobilenet_v3"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(name="rmsprop", decay=0.9, eps=0.002, momentum=0.9, weight_decay=1e-5),
        schedule=dict(name="exponential", peak=0.1, factor=0.99, every=927, warmup_steps=1_545),
        train=dict(
            batch_size=4_096,
            steps=185_400,
            ema=0.9999,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=3_090,
            checkpoint_every=3_090,
        ),
    )
