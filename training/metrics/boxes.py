"""COCO's average precision, computed by faster-coco-eval (equal to pycocotools) on the host."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from training.evaluators import Draw
from training.metrics.readings import Reading

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")  # in the order of COCO's summary


@dataclasses.dataclass(frozen=True)
class AveragePrecision:
    """The Evaluator of detectors: Lin et al. 2014, https://cocodataset.org/#detection-eval.

    `ap` is the mean over classes and over IoU 0.50, 0.55, ..., 0.95; `ap50` and `ap75` are at one IoU; `ap_small`,
    `ap_medium` and `ap_large` are of objects of less than 32², up to 96², and more square pixels. All are in [0, 1],
    from the 100 best detections of an image, and NaN where the split has no such object.

    Attributes:
      boxes, labels, scores: outputs of the task, [B, M, 4] in pixels of the canvas, [B, M] and [B, M]. A row with a
        negative label is padding.
    """

    boxes: str = "boxes"
    labels: str = "labels"
    scores: str = "scores"

    readings: ClassVar[dict[str, Reading]] = {name: Reading("max", "%") for name in NAMES}

    @property
    def needs(self) -> tuple[str, ...]:
        return self.boxes, self.labels, self.scores

    def start(self, source: Any, draw: Draw | None = None) -> "_Pass":
        return _Pass(self, source)


class _Pass:
    """Collects the true and the found boxes of a split, in pixels of the pictures as they are stored."""

    def __init__(self, evaluator: AveragePrecision, source: Any):
        self._evaluator, self._source = evaluator, source
        self._images, self._true, self._found = [], [], []

    def add(self, ids, rows):
        for i, (image, truth) in enumerate(zip(ids.tolist(), self._source.truth(ids), strict=True)):
            self._images.append({"id": image})
            self._true += _true(image, truth, first=1 + len(self._true))
            boxes, labels, scores = (rows[name][i] for name in self._evaluator.needs)
            boxes = _stored(np.asarray(boxes, np.float64), truth["matrix"])
            self._found += [
                dict(image_id=image, category_id=int(label), bbox=box, score=float(score))
                for box, label, score in zip(_corner_and_sides(boxes), labels, scores, strict=True)
                if label >= 0
            ]

    def compute(self) -> dict[str, float]:
        classes = [{"id": k} for k in range(len(self._source.info.classes))]
        true = COCO({"images": self._images, "categories": classes, "annotations": self._true})
        judged = COCOeval_faster(true, true.loadRes(self._found), "bbox")
        judged.run()
        # COCO writes -1 for a mean over nothing.
        numbers = (value if value >= 0 else np.nan for value in judged.stats)
        return {name: float(value) for name, value in zip(NAMES, numbers, strict=False)}


def _true(image: int, truth: dict, first: int) -> list[dict]:
    """COCO's annotations of one image, numbered from `first`: 0 would mean 'no match' to COCO."""
    boxes = np.asarray(truth["boxes"], np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = truth.get("area", sides.prod(1))  # COCO's are those of the outlines
    crowds = truth.get("crowd", np.zeros(len(boxes), bool))
    return [
        dict(id=first + i, image_id=image, category_id=int(label), bbox=box, area=float(area), iscrowd=int(crowd))
        for i, (box, label, area, crowd) in enumerate(
            zip(_corner_and_sides(boxes), truth["labels"], areas, crowds, strict=True)
        )
    ]


def _stored(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes [M, 4] on the canvas -> in the picture, which `matrix` [2, 3] takes onto the canvas, without rotation."""
    scale, shift = np.asarray(matrix, np.float64)[[0, 1], [0, 1]], np.asarray(matrix, np.float64)[:, 2]
    return ((boxes.reshape(-1, 2, 2) - shift) / scale).reshape(-1, 4)


def _corner_and_sides(boxes: np.ndarray) -> list[list[float]]:
    """(x1, y1, x2, y2) [M, 4] -> (x1, y1, width, height), as COCO's files have them."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()
