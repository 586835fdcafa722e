"""U-Net on scenes of handwritten digits: which pixel belongs to which digit. No download.

    fovea train --config unet_scenes --workdir runs/unet_scenes

A quarter of the published width, three levels, padded convolutions with batch norm. Most of the pixels are
canvas; Dice, which weighs the classes alike, learns the digits several times faster than cross-entropy.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
            year=2015,
            metric="test/mean_iou",
            note="The paper has no such data; the goal is 0.90 within ten minutes on two CPU cores.",
        ),
        model=dict(name="unet", width=16, depth=3, padding="same", norm="batch", dropout_rate=0.0),
        task=dict(name="segmentation", loss="dice"),
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=5e-3, warmup_steps=100),
        train=dict(batch_size=16, steps=3000, seed=0, log_every=50, evaluate_every=500, checkpoint_every=250),
    )
