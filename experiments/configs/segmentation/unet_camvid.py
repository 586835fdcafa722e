"""U-Net on CamVid street scenes: 11 classes and void, 367 / 101 / 233 images.

    cd FOLDER_OF_camvid_small; fovea train --config unet_camvid --workdir runs/unet_camvid
    cd FOLDER_OF_camvid_small; fovea train --config unet_camvid:small --workdir runs/unet_camvid_small

Padded convolutions with batch norm, otherwise the published U-Net. Badrinarayanan et al. 2017 (SegNet), table 3, give
60.1 % mean IoU at 480 × 360 with an encoder from ImageNet; here the images are half as wide and nothing is pretrained.
The small size has an eighth of the width: minutes on two cores.
"""

from experiments.pages import page

SIZES = {
    "full": dict(width=64, peak=1e-3, batch_size=8, steps=40_000, every=1000),
    "small": dict(width=8, peak=5e-3, batch_size=4, steps=1500, every=500),
}


def get_config(size="full"):
    of = SIZES[size]
    augment = ("flip",) if size == "small" else ("affine(scale=(0.8, 1.5))", "flip", "color_jitter(0.2, 0.2, 0.2)")
    return page(
        paper=dict(
            title="SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
            year=2017,
            table="3",
            metric="test/mean_iou",
            published=0.601,
            tolerance=0.0,
            steps=40_000,
            note="The published figure is SegNet's, pretrained, at 480 × 360; ours is from scratch at 240 × 180.",
        ),
        model=dict(name="unet", width=of["width"], padding="same", norm="batch", dropout_rate=0.0),
        task=dict(name="segmentation"),
        data=dict(
            name="pairs:camvid_small",
            images="{split}",
            masks="{split}annot",
            classes=(
                *("sky", "building", "pole", "road", "pavement", "tree"),
                *("sign", "fence", "car", "pedestrian", "bicyclist"),
            ),
            void=11,
            train="train",
            validation="val",
            test="test",
            augment=augment,
        ),
        optimizer=dict(name="adamw", weight_decay=1e-4),
        schedule=dict(name="one_cycle", peak=of["peak"]),
        train=dict(
            batch_size=of["batch_size"],
            steps=of["steps"],
            evaluate_batch_size=8,
            log_every=50,
            evaluate_every=of["every"],
            checkpoint_every=of["every"],
        ),
    )
