"""Show and Tell on scenes of handwritten digits: a sentence that names each digit and its place. No download.

    fovea train --config caption_scenes --workdir runs/caption_scenes        # or caption_scenes:small

The paper trains the LSTM on top of a classifier's features; here the backbone starts from nothing and is trained along.
"""

from experiments.pages import page

SIZES = {"full": dict(depth=20, steps=3000), "small": dict(depth=8, steps=1000)}  # small: minutes on two cores


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Show and Tell: A Neural Image Caption Generator",
            year=2015,
            metric="test/bleu4",
            note="The paper has no such data: its figures are COCO's and Flickr's.",
        ),
        model=dict(name="show_and_tell", backbone=dict(name="resnet_cifar", depth=of["depth"]), width=256),
        task=dict(name="captioning"),
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=100),
        train=dict(batch_size=16, steps=of["steps"], seed=0, log_every=50, evaluate_every=500, checkpoint_every=250),
    )
