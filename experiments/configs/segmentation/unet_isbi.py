"""U-Net on the ISBI 2012 membranes. Ronneberger et al. 2015, table 1: pixel error 0.0611 on the hidden labels.

    cd FOLDER_OF_isbi2012_membrane; fovea train --config unet_isbi --workdir runs/unet_isbi
    cd FOLDER_OF_isbi2012_membrane; fovea train --config unet_isbi:small --workdir runs/unet_isbi_small

The published network and weighting, batch and momentum; the five last of the thirty slices are held out, for the
challenge's own test labels are not public. The published training ends by time (ten hours), so `steps` is ours.
The small size, for minutes on two cores, has a quarter of the width, padded convolutions with batch norm, and crops;
`unet_isbi_small_rigid` is the same without elastic deformation.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        parameters=31_030_658,
        model=dict(),
        border_weight=10.0,
        crop=508,
        optimizer=dict(name="sgd", momentum=0.99),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(batch_size=1, steps=40_000, evaluate_every=1000, checkpoint_every=1000),
    ),
    "small": dict(
        parameters=None,
        model=dict(width=16, padding="same", norm="batch", dropout_rate=0.0),
        border_weight=0.0,
        crop=160,
        optimizer=dict(name="adam"),
        schedule=dict(name="one_cycle", peak=5e-3),
        train=dict(batch_size=4, steps=2000, evaluate_every=500, checkpoint_every=500),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
            year=2015,
            table="1",
            metric="test/pixel_accuracy",
            published=0.9389,
            tolerance=0.0,
            steps=40_000,
            parameters=of["parameters"],
            note="The published figure is for the challenge's hidden slices; ours is for 5 held out of its 30.",
        ),
        model=dict(name="unet", **of["model"]),
        task=dict(name="segmentation"),
        data=dict(
            name="pairs:isbi2012_membrane",
            images="image",
            masks="label",
            classes=("membrane", "cell"),
            channels=1,
            border_weight=of["border_weight"],
            train="train[:25]",
            test="train[25:]",
            augment=("elastic", f"random_crop({of['crop']})", "flip"),
        ),
        optimizer=of["optimizer"],
        schedule=of["schedule"],
        train=dict(evaluate_batch_size=1, log_every=50, **of["train"]),
    )
