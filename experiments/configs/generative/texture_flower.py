"""The texture of a photo from the correlations of random filters; the picture is the parameter. Needs no download.

    fovea train --config texture_flower --workdir runs/texture_flower --config.data.name=image:photo.jpg

Gatys et al. 2015 with the features of Ustyuzhaninov et al. 2017: fewer and smaller filters than the paper's, which has
128 of each of eight sizes up to 55 × 55, so that it takes a minute or two on a CPU. L-BFGS as in both papers.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="What does it take to generate natural textures?",
            year=2017,
            metric="test/gram_error",
            note="textures are judged by eye: no published figure",
        ),
        model=dict(name="pixels"),
        frozen=dict(features=dict(name="random_filters", sizes=(3, 5, 7, 11, 15), width=32)),
        task=dict(name="texture", layers=("stage1",), weight=1e6),
        data=dict(name="image:flower", image_size=64, crop="center", train="train", test="train", scale="unit"),
        optimizer=dict(name="lbfgs", memory_size=10),
        schedule=dict(name="constant", peak=1.0),
        train=dict(
            batch_size=1,
            steps=300,
            log_every=20,
            evaluate_every=100,
            checkpoint_every=100,
            evaluate_batch_size=1,
        ),
    )
