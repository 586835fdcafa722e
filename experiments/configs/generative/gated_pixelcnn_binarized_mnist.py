"""Gated PixelCNN on binarised MNIST, fixed pixels: a set that its paper does not use. PixelCNN has 81.30 nats.

    fovea reproduce gated_pixelcnn_binarized_mnist          # with --config.data.name=binarized_mnist:path/to/the/file
    fovea reproduce gated_pixelcnn_binarized_mnist:small    # for two cores, in three hours
    fovea sample --workdir DIR --given image=upper_half.png --set keep=0.5 --set temperature=0.9

The number of PixelCNN is of van den Oord et al., "Pixel Recurrent Neural Networks", table 4. The best checkpoint by the
validation split counts.
"""

from experiments.pages import BINARIZED_MNIST, page

SIZES = {
    "full": dict(width=64, depth=15, train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000)),
    "small": dict(width=24, depth=7, train=dict(steps=10_000, evaluate_every=1_000, checkpoint_every=500)),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Conditional Image Generation with PixelCNN Decoders",
            year=2016,
            metric="test/nll",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(name="gated_pixelcnn", width=of["width"], depth=of["depth"], hidden=32, outputs=1),
        task=dict(name="autoregressive", likelihood="bernoulli"),
        data=BINARIZED_MNIST,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, end=1e-5),
        train=dict(batch_size=64, log_every=100, evaluate_batch_size=250, **of["train"]),
    )
