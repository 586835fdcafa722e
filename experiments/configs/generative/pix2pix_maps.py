"""pix2pix from aerial photographs to maps, at 256 × 256. Isola et al. 2017, section 3 and appendix 6.2.

    fovea train --config pix2pix_maps --workdir runs/pix2pix_maps --config.data.name=side_by_side:maps
    fovea train --config pix2pix_maps:small --workdir runs/pix2pix_maps_small    # 64 × 64, 16 wide, for two cores

The authors' set `maps`: pictures in maps/train and maps/val, the photograph at the left, the map at the right; with
--config.data.reverse=True from maps to photographs. Their other sets (edges, facades) are read alike.
The jitter enlarges to 286 pixels and shifts by up to 15, as a random crop does. The paper judges maps by people alone.
"""

from experiments.pages import page

SIZES = {
    "full": dict(side=256, width=64, depth=8, layers=3, batch_size=1, schedule=dict(name="constant", peak=2e-4)),
    "small": dict(side=64, width=16, depth=6, layers=2, batch_size=4, schedule=dict(name="constant", peak=5e-4)),
}
STEPS = {"full": 219_200, "small": 2_000}  # 200 passes over 1,096 pictures


def get_config(size="full"):
    of, steps = SIZES[size], STEPS[size]
    return page(
        paper=dict(
            title="Image-to-Image Translation with Conditional Adversarial Networks",
            year=2017,
            metric="test/l1",
            steps=STEPS["full"],
            parameters=54_413_955 + 2_768_705 if size == "full" else None,
            note="For maps the paper reports judgements by people only.",
        ),
        model=dict(
            generator=dict(name="pix2pix_generator", width=of["width"], depth=of["depth"]),
            discriminator=dict(name="pix2pix_discriminator", width=of["width"], layers=of["layers"]),
        ),
        task=dict(name="pix2pix", reconstruction=100.0),
        data=dict(
            name="side_by_side:maps",
            size=(of["side"], of["side"]),
            scale="symmetric",
            train="train",
            test="validation",
            augment=("affine(translate=0.0586, scale=(1.1172, 1.1172))", "flip"),
        ),
        optimizer=dict(name="adam", b1=0.5),
        schedule=of["schedule"],
        train=dict(
            batch_size=of["batch_size"],
            steps=steps,
            evaluate_batch_size=16,
            log_every=steps // 40,
            evaluate_every=steps // 8,
            checkpoint_every=steps // 8,
        ),
    )
