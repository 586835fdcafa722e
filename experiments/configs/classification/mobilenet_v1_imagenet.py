"""MobileNet on ImageNet. Howard et al. 2017, table 6: 29.4 % test error at full width.

    fovea train --config mobilenet_v1_imagenet --workdir runs/mobilenet_v1      # for accelerators; not run here

Section 3.2: RMSProp, little augmentation, and no weight decay of depthwise convolutions. The paper states no rates:
these are those of Inception-v3 in one process, and the weight decay is that of the authors' code.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
            year=2017,
            table="6",
            metric="test/error",
            published=0.294,
            tolerance=0.003,
            steps=495_400,
            parameters=4_231_976,
            macs=568_740_352,
        ),
        model=dict(name="mobilenet_v1"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(
            name="rmsprop", decay=0.9, eps=1.0, momentum=0.9, weight_decay=4e-5, no_decay=("depthwise", "bias", "scale")
        ),
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
