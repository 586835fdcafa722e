"""How predicted masks cover the true ones: pixel accuracy, IoU and Dice."""

import numpy as np

from training.metrics.readings import Reading
from training.metrics.sums import Metric, count_pairs, ratio


def overlap(num_classes: int) -> Metric:
    """How `outputs["prediction"]` [B, H, W] covers `batch["masks"]` [B, H, W], over all pixels.

    `pixel_accuracy`; per class `iou` = TP/(TP + FP + FN) and `dice` = 2TP/(2TP + FP + FN) [K], NaN for a
    class that neither occurs nor is predicted; `mean_iou` and `mean_dice` over the other classes.
    """

    def compute(matrix):
        matrix = np.asarray(matrix)
        hits, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        iou = ratio(hits, true + predicted - hits)
        dice = ratio(2 * hits, true + predicted)
        seen = true + predicted > 0
        return {
            "pixel_accuracy": float(ratio(hits.sum(), matrix.sum())),
            "mean_iou": float(ratio(iou[seen].sum(), seen.sum())),
            "mean_dice": float(ratio(dice[seen].sum(), seen.sum())),
            "iou": iou,
            "dice": dice,
            "confusion": matrix,
        }

    shares = dict.fromkeys(("pixel_accuracy", "mean_iou", "mean_dice"), Reading("max", "%"))
    per_class = dict.fromkeys(("iou", "dice"), Reading("max", "%", each=True))
    return Metric(count_pairs(num_classes, "masks"), compute, shares | per_class)
