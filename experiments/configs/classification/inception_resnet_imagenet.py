"""Inception-ResNet-v2 on ImageNet. Szegedy et al. 2017, table 2: 19.9 % test error with one crop.

    fovea train --config inception_resnet_imagenet --workdir runs/inception_resnet      # for accelerators; not run here

Section 4: RMSProp with decay 0.9 and ε = 1, learning rate 0.045 times 0.94 every two passes, on 20 GPUs. Batch 32 for
each GPU and label smoothing of 0.1 are those of Inception-v3. The paper states no number of passes; 160 are our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
            year=2017,
            table="2",
            metric="test/error",
            published=0.199,
            tolerance=0.005,
            steps=316_800,
            parameters=55_843_464,
            macs=13_155_794_016,
        ),
        model=dict(name="inception_resnet", variant="v2"),
        task=dict(name="classification", label_smoothing=0.1),
        data=dict(IMAGENET, image_size=299),
        optimizer=dict(name="rmsprop", decay=0.9, eps=1.0),
        schedule=dict(name="exponential", peak=0.045, factor=0.94, every=3_960),
        train=dict(
            batch_size=640,
            steps=316_800,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=1_980,
            checkpoint_every=1_980,
        ),
    )
