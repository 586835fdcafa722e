"""PixelCNN on CIFAR-10, 256 values a channel. Van den Oord et al. 2016, table 5: 3.14 bits/dim on the test set.

    fovea reproduce pixelcnn_cifar10          # on an accelerator

15 blocks with h = 128, the paper's largest network for CIFAR-10; batches of 16.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Pixel Recurrent Neural Networks",
            year=2016,
            table="5",
            metric="test/bits_per_dim",
            published=3.14,
            tolerance=0.03,
            note="The paper gives no number of updates.",
        ),
        model=dict(name="pixelcnn", width=128, depth=15, hidden=1024, outputs=256),
        task=dict(name="autoregressive", likelihood="categorical"),
        data=dict(name="tfds:cifar10", train="train[:48000]", validation="train[48000:]", test="test", scale="unit"),
        optimizer=dict(name="rmsprop", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-4, end=1e-6),
        train=dict(
            batch_size=16,
            steps=500_000,
            log_every=500,
            evaluate_every=25_000,
            checkpoint_every=5_000,
            evaluate_batch_size=100,
            samples=20,
        ),
    )
