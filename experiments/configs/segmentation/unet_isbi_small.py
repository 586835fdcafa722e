"""U-Net on the ISBI 2012 membranes, small: for minutes on two cores.

    cd where/isbi2012_membrane/lies; fovea train --config unet_isbi_small --workdir runs/unet_isbi_small

A quarter of the published width, padded convolutions with batch norm, on crops of the deformed slices.
`unet_isbi_small_rigid` is the same without elastic deformation. Five of the thirty slices are held out.
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
            note="The published figure is for the challenge's hidden slices; ours is for 5 held out of its 30.",
        ),
        model=dict(name="unet", width=16, padding="same", norm="batch", dropout_rate=0.0),
        task=dict(name="segmentation"),
        data=dict(
            name="pairs:isbi2012_membrane",
            images="image",
            masks="label",
            classes=("membrane", "cell"),
            channels=1,
            train="train[:25]",
            test="train[25:]",
            augment=("elastic", "random_crop(160)", "flip"),
        ),
        optimizer=dict(name="adam"),
        schedule=dict(name="one_cycle", peak=5e-3),
        train=dict(
            batch_size=4, steps=2000, evaluate_batch_size=1, log_every=50, evaluate_every=500, checkpoint_every=500
        ),
    )
