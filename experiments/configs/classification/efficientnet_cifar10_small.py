"""A small EfficientNet on CIFAR-10, on two cores. Tan & Le 2019.

    fovea reproduce efficientnet_cifar10_small

Half of the channels and blocks of B0; the first convolution does not stride. The paper has no figure at this size.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
            year=2019,
            metric="test/error",
            note="beside mobilenet_v2_cifar10:small at equal steps; no published figure",
        ),
        model=dict(
            name="efficientnet",
            stem="cifar",
            width=0.5,
            depth=0.5,
            momentum=0.9,
            dropout_rate=0.0,
            stochastic_depth=0.0,
        ),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", train="train", validation="", test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=dict(name="one_cycle", peak=0.2),
        train=dict(batch_size=128, steps=800, seed=0, log_every=50, evaluate_every=200, checkpoint_every=200),
    )
