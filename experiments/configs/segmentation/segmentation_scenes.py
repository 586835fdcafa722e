"""Networks that classify pixels, on scenes of handwritten digits, at one budget. No download.

    fovea train --config segmentation_scenes --workdir runs/segmentation_scenes
    fovea train --config segmentation_scenes:segformer --workdir runs/segmentation_scenes_segformer

A size for each network, of widths that two CPU cores train in minutes; data, loss, optimizer, batch and steps are the
same, so that their figures may be compared. Nothing is pretrained. The images are small: strides and dilations are
smaller than the published ones, but for FCN's.
"""

from experiments.pages import page

# Stages at strides 1, 2, 4 and 4.
RESNET = dict(name="resnet", depth=18, stem="cifar", width=12, output_stride=4)

SIZES = {
    "unet": dict(
        title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
        year=2015,
        peak=5e-3,
        model=dict(name="unet", width=16, depth=3, padding="same", norm="batch", dropout_rate=0.0),
    ),
    "fcn8s": dict(
        title="Fully Convolutional Networks for Semantic Segmentation",
        year=2015,
        peak=2e-3,
        model=dict(name="fcn", norm="batch", width=16, hidden=128, border=1, at_once=False, dropout_rate=0.0),
    ),
    "segnet": dict(
        title="SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
        year=2017,
        peak=5e-3,
        model=dict(name="segnet", width=16, blocks=(2, 2, 3)),
    ),
    "deeplab_v3": dict(
        title="Rethinking Atrous Convolution for Semantic Image Segmentation",
        year=2017,
        peak=5e-3,
        model=dict(name="deeplab_v3", width=64, dilations=(1, 2, 3), dropout_rate=0.1, backbone=RESNET),
    ),
    "drn": dict(
        title="Dilated Residual Networks",
        year=2017,
        peak=5e-3,
        model=dict(
            name="fcn_dilated", level="stage8", hidden=False, backbone=dict(name="drn", variant="D-22", width=6)
        ),
    ),
    "deformable": dict(
        title="Deformable ConvNets v2: More Deformable, Better Results",
        year=2019,
        peak=5e-3,
        model=dict(name="fcn_dilated", backbone=dict(**RESNET, deformable="v2")),
    ),
    "segformer": dict(
        title="SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
        year=2021,
        peak=2e-3,
        model=dict(
            name="segformer",
            widths=(32, 64, 96),
            depths=(2, 2, 2),
            decoder=64,
            heads=(1, 2, 3),
            reductions=(4, 2, 1),
            patches=(5, 3, 3),
            strides=(2, 2, 2),
            stochastic_depth=0.0,
            dropout_rate=0.0,
        ),
    ),
}


def get_config(size="unet"):
    of = SIZES[size]
    return page(
        paper=dict(
            title=of["title"],
            year=of["year"],
            metric="test/mean_iou",
            note="The paper has no such data; the sizes of this page are compared with one another.",
        ),
        model=of["model"],
        task=dict(name="compound_segmentation", loss="cross_entropy + dice", boundary_tolerance=1.0),
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=dict(name="adamw", weight_decay=1e-4),
        schedule=dict(name="cosine", peak=of["peak"], warmup_steps=100),
        train=dict(batch_size=16, steps=2000, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
