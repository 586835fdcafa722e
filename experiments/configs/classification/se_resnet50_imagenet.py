"""SE-ResNet-50 on ImageNet. Hu et al. 2018, table 2: 23.29 % test error with one crop.

    fovea train --config se_resnet50_imagenet --workdir runs/se_resnet50                     # for accelerators
    fovea train --config se_resnet50_imagenet --config.model.groups=32 --config.model.base_width=4 --workdir runs/se_rx

Section 5: batch 1,024, momentum 0.9, learning rate 0.6 divided by 10 every 30 of 100 passes. The authors' network
strides in the first 1×1 convolution of a bottleneck, as that of He et al.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Squeeze-and-Excitation Networks",
            year=2018,
            table="2",
            metric="test/error",
            published=0.2329,
            tolerance=0.003,
            steps=125_000,
            parameters=28_088_024,
            macs=3_860_488_192,
        ),
        model=dict(name="se_resnet", depth=50, version="v1"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.6, boundaries=(37_500, 75_000, 112_500), factor=0.1),
        train=dict(
            batch_size=1_024,
            steps=125_000,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=1_250,
            checkpoint_every=1_250,
        ),
    )
