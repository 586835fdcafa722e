"""FaceNet's triplets on scikit-learn's digits: digits of one class come close together. Needs no download.

    fovea train --config triplet_digits --workdir runs/triplet_digits

Semi-hard triplets of batches of 10 classes × 6 digits (Schroff et al. 2015), and retrieval among the held-out digits.
Write `--config.task.mining=batch_hard` for those of Hermans et al. 2017.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="FaceNet: A Unified Embedding for Face Recognition and Clustering",
            year=2015,
            metric="test/recall_at_1",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(name="embedding", dim=64, backbone=dict(name="lenet5")),
        task=dict(name="metric_learning", mining="semi_hard", margin=0.2),
        data=dict(
            name="digits",
            train="train[:90%]",
            validation="train[90%:]",
            test="test",
            sampler="pk(10, 6)",
            augment=("affine(degrees=8, translate=0.06, scale=(0.9, 1.1))",),
        ),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=50),
        train=dict(batch_size=60, steps=500, log_every=50, evaluate_every=100, checkpoint_every=100),
    )
