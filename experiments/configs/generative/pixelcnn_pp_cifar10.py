"""PixelCNN++ on CIFAR-10. Salimans et al. 2017, table 1: 2.92 bits/dim on the test set.

    fovea reproduce pixelcnn_pp_cifar10          # on accelerators: the authors took 5 days on 8

The authors' recipe: Adam with β = (0.95, 0.9995), the rate 10⁻³ · 0.999995^t, dropout of a half, an average of the
parameters over 2,000 updates. Weights start without the authors' pass over a first batch.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood",
            year=2017,
            table="1",
            metric="test/bits_per_dim",
            published=2.92,
            tolerance=0.02,
            parameters=53_659_080,
            note="The paper gives no number of updates.",
        ),
        model=dict(name="pixelcnn_pp", width=160, blocks=5, mixtures=10, dropout_rate=0.5),
        task=dict(name="autoregressive", likelihood="logistic_mixture"),
        data=dict(name="tfds:cifar10", train="train", test="test", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adam", b1=0.95, b2=0.9995),
        schedule=dict(name="exponential", peak=1e-3, factor=0.999995, every=1),
        train=dict(
            batch_size=128,
            steps=600_000,
            ema=0.9995,
            log_every=500,
            evaluate_every=30_000,
            checkpoint_every=5_000,
            evaluate_batch_size=128,
            samples=16,
        ),
    )
