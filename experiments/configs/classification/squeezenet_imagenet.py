"""SqueezeNet on ImageNet. Iandola et al. 2016, table 2: 42.5 % test error.

    fovea train --config squeezenet_imagenet --workdir runs/squeezenet      # for accelerators; not run here

    fovea train --config squeezenet_imagenet --config.model.variant=1.1 --workdir runs/squeezenet1_1

The authors' recipe: batch 512, learning rate 0.04 that falls linearly over 170,000 steps, weight decay 2e-4.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
            year=2016,
            table="2",
            metric="test/error",
            published=0.425,
            tolerance=0.003,
            steps=170_000,
            parameters=1_248_424,
            macs=818_924_576,
        ),
        model=dict(name="squeezenet"),
        task=dict(name="classification"),
        data=dict(IMAGENET, image_size=227),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=2e-4),
        schedule=dict(name="linear", peak=0.04),
        train=dict(
            batch_size=512,
            steps=170_000,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=5_000,
            checkpoint_every=5_000,
        ),
    )
