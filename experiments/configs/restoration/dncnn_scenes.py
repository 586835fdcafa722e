"""DnCNN on scenes of handwritten digits: the noise of σ = 25 is taken out of 40×40 images. No download.

    fovea train --config dncnn_scenes --workdir runs/dncnn_scenes        # or dncnn_scenes:small

The paper's network, noise and size of patches; the schedule is shorter. The small size has fewer and narrower layers.
"""

from experiments.pages import page

SIZES = {
    "full": dict(depth=17, width=64, batch_size=128, peak=1e-3, steps=10_000),
    "small": dict(depth=7, width=24, batch_size=16, peak=3e-3, steps=500),  # a minute or two on two cores
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising",
            year=2017,
            metric="test/psnr",
            note="The paper has no such data: its 29.23 dB are those of BSD68.",
        ),
        model=dict(name="dncnn", depth=of["depth"], width=of["width"]),
        task=dict(name="restoration", sigma=25.0),
        data=dict(
            name="scenes",
            size=40,
            train="train",
            validation="validation",
            test="test",
            augment=("flip",),
            scale="unit",
        ),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=of["peak"], warmup_steps=20),
        train=dict(
            batch_size=of["batch_size"],
            steps=of["steps"],
            log_every=50,
            evaluate_every=200,
            checkpoint_every=200,
        ),
    )
