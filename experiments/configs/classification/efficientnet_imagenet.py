"""EfficientNet-B0 on ImageNet. Tan & Le 2019, table 2: 22.9 % test error.

    fovea train --config efficientnet_imagenet --workdir runs/efficientnet      # for accelerators; not run here

    fovea train --config efficientnet_imagenet --config.model.variant=B1 --config.data.image_size=240 --workdir runs/b1

Section 5.2: RMSProp with decay and momentum 0.9, weight decay 1e-5, learning rate 0.256 for a batch of 4,096 that falls
by 3 % every 2.4 passes, 350 passes, averaged weights. RandAugment is in the place of AutoAugment.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
            year=2019,
            table="2",
            metric="test/error",
            published=0.229,
            tolerance=0.003,
            steps=108_360,
            parameters=5_288_548,
            macs=385_814_752,
        ),
        model=dict(name="efficientnet"),
        task=dict(name="classification", label_smoothing=0.1),
        data=dict(IMAGENET, augment=("flip", "rand_augment(2, 9)")),
        optimizer=dict(
            name="rmsprop", decay=0.9, eps=1e-3, momentum=0.9, weight_decay=1e-5, no_decay=("bias", "scale")
        ),
        schedule=dict(name="exponential", peak=0.256, factor=0.97, every=743, warmup_steps=1_548),
        train=dict(
            batch_size=4_096,
            steps=108_360,
            ema=0.9999,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=3_096,
            checkpoint_every=3_096,
        ),
    )
