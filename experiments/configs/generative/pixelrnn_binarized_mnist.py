"""PixelRNN on binarised MNIST, fixed pixels. Van den Oord et al. 2016, table 4: 79.20 nats (7 layers, h = 16).

    fovea reproduce pixelrnn_binarized_mnist         # with --config.data.name=binarized_mnist:path/to/the/file.npz
    fovea reproduce pixelrnn_binarized_mnist:row     # Row LSTM, 80.54 nats

A step goes along 28 rows or 55 diagonals one after the other: for an accelerator. Batches of 16, as in the paper.
"""

from experiments.pages import BINARIZED_MNIST, page

SIZES = {"diagonal": 79.20, "row": 80.54}


def get_config(size="diagonal"):
    return page(
        paper=dict(
            title="Pixel Recurrent Neural Networks",
            year=2016,
            table="4",
            metric="test/nll",
            published=SIZES[size],
            tolerance=0.5,
            note="The paper gives no number of updates, and no width of the Row LSTM.",
        ),
        model=dict(name="pixelrnn", variant=size, width=16, depth=7, hidden=32, outputs=1),
        task=dict(name="autoregressive", likelihood="bernoulli"),
        data=BINARIZED_MNIST,
        optimizer=dict(name="rmsprop", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, end=1e-5),
        train=dict(
            batch_size=16,
            steps=200_000,
            log_every=200,
            evaluate_every=10_000,
            checkpoint_every=2_000,
            evaluate_batch_size=250,
            samples=20,
        ),
    )
