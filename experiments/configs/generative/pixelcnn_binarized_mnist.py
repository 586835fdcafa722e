"""PixelCNN on binarised MNIST, fixed pixels. Van den Oord et al. 2016, table 4: 81.30 nats.

    fovea reproduce pixelcnn_binarized_mnist          # with --config.data.name=binarized_mnist:path/to/the/file.npz
    fovea reproduce pixelcnn_binarized_mnist:small    # for two cores, in three hours

The paper's hidden layers for MNIST are 32 wide; it gives no width of the blocks. The best checkpoint by the validation
split counts.
"""

from experiments.pages import BINARIZED_MNIST, page

SIZES = {
    "full": dict(width=64, depth=15, train=dict(steps=100_000, evaluate_every=5_000, checkpoint_every=5_000)),
    "small": dict(width=16, depth=7, train=dict(steps=10_000, evaluate_every=1_000, checkpoint_every=500)),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Pixel Recurrent Neural Networks",
            year=2016,
            table="4",
            metric="test/nll",
            published=81.30,
            tolerance=0.5,
            steps=100_000 if size == "small" else 0,
            note="The paper gives neither widths nor the number of updates: the page's own are 100,000.",
        ),
        model=dict(name="pixelcnn", width=of["width"], depth=of["depth"], hidden=32, outputs=1),
        task=dict(name="autoregressive", likelihood="bernoulli"),
        data=BINARIZED_MNIST,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, end=1e-5),
        train=dict(batch_size=64, log_every=100, evaluate_batch_size=250, **of["train"]),
    )
