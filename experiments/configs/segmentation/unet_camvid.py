"""U-Net on CamVid street scenes: 11 classes and void, 367 / 101 / 233 images.

    cd where/camvid_small/lies; fovea train --config unet_camvid --workdir runs/unet_camvid

Padded convolutions with batch norm, otherwise the published U-Net. Badrinarayanan et al. 2017 (SegNet), table 3, give
60.1 % mean IoU at 480 × 360 with an encoder from ImageNet; here the images are half as wide and nothing is pretrained.
"""

from experiments.pages import page


def get_config():
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
        model=dict(name="unet", padding="same", norm="batch", dropout_rate=0.0),
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
            augment=("affine(scale=(0.8, 1.5))", "flip", "color_jitter(0.2, 0.2, 0.2)"),
        ),
        optimizer=dict(name="adamw", weight_decay=1e-4),
        schedule=dict(name="one_cycle", peak=1e-3),
        train=dict(
            batch_size=8, steps=40_000, evaluate_batch_size=8, log_every=50, evaluate_every=1000, checkpoint_every=1000
        ),
    )
