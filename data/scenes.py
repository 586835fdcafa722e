"""Scenes: real handwritten digits scattered on textured canvases, with masks, boxes, points and captions.

Nothing is downloaded: the digits are scikit-learn's (see data/digits.py), the canvases are drawn, and an example is a
pure function of (seed, split, id). The splits share no digit, so test scenes show handwriting that training has not.
"""

import functools

import numpy as np

from data.digits import digits
from data.errors import DataError
from data.fields import Field
from data.geometry import boxes_of_mask
from data.source import ArraySource, Info, statistics
from data.splits import resolve
from data.text import SPECIAL, Vocabulary

CLASSES = ("background", *"0123456789")
DIGITS = {"train": "train[:90%]", "validation": "train[90%:]", "test": "test"}  # whose handwriting each split shows

TEXTURES = ("plain", "stripes", "checks", "clouds")
COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
VOCABULARY = Vocabulary(
    (
        *(*SPECIAL, ",", "a", "the", "on", "at", "digit", "digits", "small", "large"),
        *("top", "middle", "bottom", "left", "centre", "right"),
        *(TEXTURES + COUNTS + CLASSES[1:]),
    )
)


def scenes(
    argument: str,
    split: str,
    size: int = 64,
    max_objects: int = 5,
    num_train: int = 4000,
    num_validation: int = 500,
    num_test: int = 1000,
    scene_seed: int = 0,
) -> ArraySource:
    """Splits `train`, `validation`, `test`. With M = `max_objects`, a batch holds

    image [B, size, size, 3] uint8
    masks [B, size, size] int8: 0 on the canvas, 1 + d on a digit d
    instances [B, size, size] uint8: 0 on the canvas, 1 + i on object i
    labels [B, M] int32: the class of each object, as in `masks`; −1 from where there is none
    boxes [B, M, 4] float32: (left, top, right, bottom) in pixels of the visible part of an object; 0 without one
    points [B, M, 1, 3] float32: (x, y, visibility) of the centre of the box; 0 without one
    tokens [B, 6 + 8M] int32: a caption in the words of VOCABULARY

    An object may hide part of those before it, but nine tenths of each stay visible. Captions name the places of
    objects, and augmentations do not rewrite them: a page that learns captions moves no pixels.
    """
    if argument:
        raise DataError(f"data set 'scenes' takes no argument, found {argument!r}")
    if size < 32:
        raise DataError(f"data.size of 'scenes' is 32 or more, not {size}")
    if not 1 <= max_objects <= len(COUNTS):
        raise DataError(f"data.max_objects of 'scenes' lies between 1 and {len(COUNTS)}, not at {max_objects}")
    if min(num_train, num_validation, num_test) < 1:
        raise DataError("each split of 'scenes' has at least one example")

    def draw(name: str, ids: range) -> list[dict]:
        hand = digits("", DIGITS[name]).arrays
        seeds = ((scene_seed, list(DIGITS).index(name), i) for i in ids)
        return [_draw(np.random.default_rng(s), hand, size, max_objects) for s in seeds]

    sizes = dict(zip(DIGITS, (num_train, num_validation, num_test), strict=True))
    drawn = [scene for name, start, stop in resolve(split, sizes) for scene in draw(name, range(start, stop))]
    arrays = {key: np.stack([scene[key] for scene in drawn]) for key in drawn[0]}
    mean, std = statistics(np.stack([scene["image"] for scene in draw("train", range(min(num_train, 256)))]))
    fields = {
        "image": Field("image", (size, size, 3), "uint8"),
        "masks": Field("mask", (size, size), "int8", CLASSES),
        "instances": Field("mask", (size, size), "uint8", fill=0),
        "labels": Field("labels", (max_objects,), "int32", CLASSES, of="boxes"),
        "boxes": Field("boxes", (max_objects, 4), "float32", of="instances"),
        "points": Field("points", (max_objects, 1, 3), "float32", ("centre",), of="boxes"),
        "tokens": Field("tokens", (_caption_length(max_objects),), "int32", VOCABULARY.words, spatial=True),
    }
    return ArraySource(arrays, Info(fields, mean, std))


def _draw(rng: np.random.Generator, hand: dict, size: int, max_objects: int) -> dict[str, np.ndarray]:
    """One example, as `scenes` describes it."""
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    canvas_colour = rng.uniform(0.1, 0.9, 3)
    pattern = _pattern(rng, texture, size)[..., None] * rng.uniform(-0.12, 0.12, 3)
    image = canvas_colour + pattern + rng.normal(0, 0.02, (size, size, 3))

    instances = np.zeros((size, size), np.uint8)
    drawn = []  # per object: the digit, the side it is drawn with, its number of inked pixels
    for _ in range(rng.integers(1, max_objects + 1)):
        digit, side = rng.integers(len(hand["label"])), rng.integers(size * 5 // 16, size * 9 // 16 + 1)
        alpha = _ink(hand["image"][digit, ..., 0], side)
        place = _place(rng, alpha > 0.5, instances, [area for *_, area in drawn])
        if place is None:  # the canvas is full
            continue
        image[place] += alpha[..., None] * (_ink_colour(rng, canvas_colour) - image[place])
        instances[place][alpha > 0.5] = len(drawn) + 1
        drawn.append((hand["label"][digit], side, (alpha > 0.5).sum()))

    labels = np.full(max_objects, -1, np.int32)
    labels[: len(drawn)] = [1 + digit for digit, *_ in drawn]
    boxes = boxes_of_mask(instances, max_objects)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    visible = (labels >= 0).astype(np.float32)
    large = [side > 7 * size / 16 for _, side, _ in drawn]
    return {
        "image": np.round(255 * np.clip(image, 0, 1)).astype(np.uint8),
        "masks": np.append(0, labels)[instances].astype(np.int8),
        "instances": instances,
        "labels": labels,
        "boxes": boxes,
        "points": np.column_stack([centres, visible])[:, None],
        "tokens": VOCABULARY.encode(
            _caption(texture, labels[: len(drawn)], large, centres / size), _caption_length(max_objects)
        ),
    }


def _pattern(rng, texture: str, size: int) -> np.ndarray:
    """[size, size] in [−1, 1]."""
    y, x = np.mgrid[:size, :size]
    if texture == "clouds":
        coarse = rng.uniform(-1, 1, (8, 8))
        return _enlarge(coarse, size)
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 16)
    along = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
    across = np.sin(2 * np.pi * (np.cos(angle) * y - np.sin(angle) * x) / period)
    return {"plain": 0 * along, "stripes": along, "checks": np.sign(along * across)}[texture]


def _ink(digit: np.ndarray, side: int) -> np.ndarray:
    """[side, side] in [0, 1]: how much ink covers each pixel of a digit [8, 8] uint8 drawn that large."""
    return np.clip(_enlarge(digit / 255, side) * 8 - 2.7, 0, 1)  # steep: an edge is a pixel or two


def _enlarge(grid: np.ndarray, side: int) -> np.ndarray:
    """[n, n] -> [side, side], bilinear."""
    weights = _interpolation(len(grid), side)
    return weights @ grid @ weights.T


@functools.lru_cache
def _interpolation(n: int, side: int) -> np.ndarray:
    """[side, n]: the weights of n points, pixel centres at halves."""
    centres = (np.arange(side) + 0.5) * n / side - 0.5
    return np.stack([np.interp(centres, np.arange(n), point) for point in np.eye(n)], axis=1)


def _ink_colour(rng, canvas_colour: np.ndarray) -> np.ndarray:
    """A colour whose brightness differs from the canvas's by a third of the range, before its tint."""
    brightness = canvas = canvas_colour.mean()
    while abs(brightness - canvas) < 1 / 3:
        brightness = rng.uniform()
    return np.clip(brightness + rng.uniform(-0.2, 0.2, 3), 0, 1)


def _place(rng, ink: np.ndarray, instances: np.ndarray, areas: list[int]):
    """Where `ink` leaves nine tenths of every object's area visible, as a pair of slices; None if ten tries fail."""
    before = np.bincount(instances.ravel(), minlength=len(areas) + 1)
    for _ in range(10):
        top, left = rng.integers(len(instances) - len(ink) + 1, size=2)
        place = np.s_[top : top + len(ink), left : left + len(ink)]
        hidden = np.bincount(instances[place][ink], minlength=len(areas) + 1)
        if all(before[1:] - hidden[1:] >= 0.9 * np.array(areas)):
            return place
    return None


def _caption_length(max_objects: int) -> int:
    """Tokens of the longest caption: <start>, four words, eight for each object, <end>."""
    return 6 + 8 * max_objects


def _caption(texture: str, labels, large, points) -> str:
    """The objects from left to right: "two digits on stripes , a large 3 at the top left , a small 7 at …".

    points: the centres [N, 2] in [0, 1].
    """
    words = [COUNTS[len(labels) - 1], "digit" if len(labels) == 1 else "digits", "on", texture]
    for i in np.argsort(points[: len(labels), 0], kind="stable"):
        column, row = (points[i] * 3).astype(int)
        where = ("top", "middle", "bottom")[row], ("left", "centre", "right")[column]
        words += [",", "a", "large" if large[i] else "small", CLASSES[labels[i]], "at", "the", *where]
    return " ".join(words)
