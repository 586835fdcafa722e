"""ShuffleNet V2 x1.0 on ImageNet. Ma et al. 2018, table 8: 30.6 % test error.

    fovea train --config shufflenet_v2_imagenet --workdir runs/shufflenet_v2      # for accelerators; not run here

The recipe of ShuffleNet V1 that section 4 refers to, as in the authors' code: batch 1,024, learning rate 0.5 that falls
linearly over 300,000 steps, weight decay 4e-5 of kernels, smoothed labels.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
            year=2018,
            table="8",
            metric="test/error",
            published=0.306,
            tolerance=0.003,
            steps=300_000,
            parameters=2_278_604,
            macs=144_907_992,
        ),
        model=dict(name="shufflenet_v2"),
        task=dict(name="classification", label_smoothing=0.1),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=4e-5, no_decay=("bias", "scale")),
        schedule=dict(name="linear", peak=0.5),
        train=dict(
            batch_size=1_024,
            steps=300_000,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=5_000,
            checkpoint_every=5_000,
        ),
    )
