"""Xception on ImageNet. Chollet 2017, table 1: 21.0 % test error.

    fovea train --config xception_imagenet --workdir runs/xception      # for accelerators; not run here

Section 4.3: SGD with momentum 0.9, learning rate 0.045 that falls by 6 % every 2 passes, weight decay 1e-5, dropout
0.5, averaged weights. The batch is our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Xception: Deep Learning with Depthwise Separable Convolutions",
            year=2017,
            table="1",
            metric="test/error",
            published=0.21,
            tolerance=0.003,
            steps=495_400,
            parameters=22_855_952,
        ),
        model=dict(name="xception"),
        task=dict(name="classification"),
        data=dict(IMAGENET, image_size=299),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-5),
        schedule=dict(name="exponential", peak=0.045, factor=0.94, every=9_908),
        train=dict(
            batch_size=256,
            steps=495_400,
            ema=0.9999,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=4_954,
            checkpoint_every=4_954,
        ),
    )
