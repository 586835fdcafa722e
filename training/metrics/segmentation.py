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


def scores(num_classes: int) -> Metric:
    """What `overlap` gives, and

    `mean_accuracy`, the mean over the classes that occur of the share of their pixels that is found; the IoU weighted
    by how many pixels a class has, `frequency_weighted_iou` (both Long et al. 2015, section 5); per class `precision`
    = TP/(TP + FP) and `recall` = TP/(TP + FN) [K], NaN for a class that is not predicted or does not occur; and
    `mean_precision` over the classes that are predicted.
    """
    plain = overlap(num_classes)

    def compute(matrix):
        found = plain.compute(matrix)
        matrix = found["confusion"]
        hits, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        precision, recall = ratio(hits, predicted), ratio(hits, true)
        weighted = np.where(true > 0, true * np.nan_to_num(found["iou"]), 0)
        return {
            **found,
            "mean_accuracy": float(ratio(recall[true > 0].sum(), (true > 0).sum())),
            "mean_precision": float(ratio(precision[predicted > 0].sum(), (predicted > 0).sum())),
            "frequency_weighted_iou": float(ratio(weighted.sum(), true.sum())),
            "precision": precision,
            "recall": recall,
        }

    more = dict.fromkeys(("mean_accuracy", "mean_precision", "frequency_weighted_iou"), Reading("max", "%"))
    per_class = dict.fromkeys(("precision", "recall"), Reading("max", "%", each=True))
    return Metric(plain.update, compute, {**plain.readings, **more, **per_class})
