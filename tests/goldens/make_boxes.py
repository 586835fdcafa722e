"""COCO's average precision of random boxes, from pycocotools.

    python -m tests.goldens.make_boxes    # needs pycocotools

The images include one without objects, one without detections and one with neither; the objects include crowds and all
three of COCO's sizes; one class has no object; scores have ties; one image has more than the 100 detections that count.
"""

import pathlib

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

IMAGES, CLASSES, SIDE = 16, 5, 400
EMPTY, UNANSWERED, NOTHING, CROWDED = 3, 5, 7, 9


def random_boxes(rng, count):
    sides = np.exp(rng.uniform(np.log(8), np.log(180), (count, 2)))
    corner = rng.uniform(0, SIDE - sides)
    return np.concatenate([corner, corner + sides], 1).round(1)


def main():
    rng = np.random.default_rng(0)
    true, found = [], []  # rows: image, x1, y1, x2, y2, label, crowd or score
    for image in range(IMAGES):
        count = 0 if image in (EMPTY, NOTHING) else rng.integers(1, 9)
        objects, labels = random_boxes(rng, count), rng.integers(0, CLASSES - 1, count)
        true += [(image, *b, label, rng.random() < 0.15) for b, label in zip(objects, labels, strict=True)]
        if image in (UNANSWERED, NOTHING):
            continue
        near = np.repeat(objects, 3, 0) + rng.normal(0, 6, (3 * count, 4))
        far = random_boxes(rng, 110 if image == CROWDED else 4)
        boxes = np.concatenate([near, far])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        named = np.concatenate([np.repeat(labels, 3), rng.integers(0, CLASSES, len(far))])
        named = np.where(rng.random(len(named)) < 0.2, rng.integers(0, CLASSES, len(named)), named)
        scores = np.round(rng.uniform(size=len(boxes)) * np.where(np.arange(len(boxes)) < len(near), 1, 0.6), 1)
        found += [(image, *b, label, score) for b, label, score in zip(boxes.round(1), named, scores, strict=True)]
    true, found = np.array(true, np.float64), np.array(found, np.float64)

    xywh = lambda b: [*map(float, b[:2]), *map(float, b[2:] - b[:2])]
    reference = COCO()
    reference.dataset = {
        "images": [{"id": i} for i in range(IMAGES)],
        "categories": [{"id": k} for k in range(CLASSES)],
        "annotations": [
            dict(id=1 + n, image_id=int(t[0]), category_id=int(t[5]), bbox=xywh(t[1:5]), iscrowd=int(t[6]))
            | dict(area=float((t[3] - t[1]) * (t[4] - t[2])))
            for n, t in enumerate(true)
        ],
    }
    reference.createIndex()
    answers = [dict(image_id=int(d[0]), category_id=int(d[5]), bbox=xywh(d[1:5]), score=float(d[6])) for d in found]
    judged = COCOeval(reference, reference.loadRes(answers), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    path = pathlib.Path(__file__).parent / "boxes.npz"
    np.savez_compressed(path, images=IMAGES, classes=CLASSES, true=true, found=found, stats=judged.stats)


if __name__ == "__main__":
    main()
