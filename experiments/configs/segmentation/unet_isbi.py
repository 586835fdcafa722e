"""U-Net on the ISBI 2012 membranes. Ronneberger et al. 2015, table 1: pixel error 0.0611 on the hidden labels.

    cd where/isbi2012_membrane/lies; fovea train --config unet_isbi --workdir runs/unet_isbi

The published network and weighting, batch and momentum; the five last of the thirty slices are held out, for the
challenge's own test labels are not public. The published training ends by time (ten hours), so `steps` is ours.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
            year=2015,
            table="1",
            metric="test/pixel_accuracy",
            published=0.9389,
            tolerance=0.0,
            steps=40_000,
            parameters=31_030_658,
            note="The published figure is for the challenge's hidden slices; ours is for 5 held out of its 30.",
        ),
        model=dict(name="unet"),
        task=dict(name="segmentation"),
        data=dict(
            name="pairs:isbi2012_membrane",
            images="image",
            masks="label",
            classes=("membrane", "cell"),
            channels=1,
            border_weight=10.0,
            train="train[:25]",
            test="train[25:]",
            augment=("elastic", "random_crop(508)", "flip"),
        ),
        optimizer=dict(name="sgd", momentum=0.99),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(
            batch_size=1, steps=40_000, evaluate_batch_size=1, log_every=50, evaluate_every=1000, checkpoint_every=1000
        ),
    )
