"""How a metric is read: which direction is better, and in which unit it is shown."""

# By the end of a metric's name.
LOWER = ("error", "loss", "cross_entropy", "distance", "fd", "fid", "bits_per_dim", "nll", "nelbo")
HIGHER = ("accuracy", "top5", "iou", "dice", "mean_ap", "inception_score", "covered", "recognised")


def goal(metric: str) -> str | None:
    """ "min" where less of a metric is better, "max" where more is; None where its name shows neither."""
    return "min" if metric.endswith(LOWER) else "max" if metric.endswith(HIGHER) else None
