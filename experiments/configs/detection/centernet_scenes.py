"""CenterNet on scenes of handwritten digits: a box around each digit. No download.

    fovea train --config centernet_scenes --workdir runs/centernet_scenes        # or centernet_scenes:small

ResNet-20 for CIFAR as the backbone, whose last map has the paper's stride of 4.
"""

from experiments.pages import page

SIZES = {"full": dict(depth=20, steps=3000), "small": dict(depth=8, steps=1000)}  # small: minutes on two cores


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Objects as Points",
            year=2019,
            metric="test/ap",
            note="The paper has no such data: its figures are COCO's.",
        ),
        model=dict(name="centernet", backbone=dict(name="resnet_cifar", depth=of["depth"])),
        task=dict(name="detection"),
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=100),
        train=dict(batch_size=16, steps=of["steps"], seed=0, log_every=50, evaluate_every=500, checkpoint_every=250),
    )
