"""What is shown of an example: pictures and lines of text, in rows. Uses numpy and PIL only."""

import colorsys
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST = 56  # pixels: images with shorter sides are enlarged, pixel by pixel
GAP = 3  # pixels between the cells of a panel
PAD, START, END = 0, 1, 2  # tokens that are not words
INK = (31, 41, 51)


@dataclasses.dataclass(frozen=True)
class View:
    """A row of a panel, or one entry of an answer.

    Attributes:
      title: of the row.
      needs: the fields that `draw` reads: fields of the batch and outputs of `Task.predict`, which win where both have
        the name. A view is left out where one is absent (the truth, when a user's own image is answered).
      draw: (example, info) -> a picture uint8 [H, W, 3], or a line of text. `example` holds the fields of one example,
        without the leading axis; `info` is the data's Info, for names of classes and words.
      images: those of `needs` that are images scaled for the network. Before it draws, the caller brings them back to
        [0, 1] (data.augment.make_restore). Images of type uint8 are drawn as they are.
    """

    title: str
    needs: tuple[str, ...]
    draw: Callable[[Mapping[str, Any], Any], np.ndarray | str]
    images: tuple[str, ...] = ()


def image(key: str = "image", title: str = "") -> View:
    """The image `key` [H, W, 1 or 3], as it is."""
    return View(title or key, (key,), lambda example, info: rgb(example[key]), (key,))


def mask(key: str = "masks", title: str = "", over: str = "image") -> View:
    """The classes `key` [H, W] int in colour over an image. Class 0 and ignored pixels (negative) stay clear."""

    def draw(example, info):
        classes = max(len(info.classes), 2)
        return overlay(rgb(example[over]), np.asarray(example[key]), classes)

    return View(title or key, (over, key), draw, (over,))


def shares(key: str = "prediction", title: str = "") -> View:
    """The share of each class of a mask `key` [H, W], the largest first: "background 50.0% cell 33.3%"."""

    def draw(example, info):
        found = np.asarray(example[key])
        share = np.bincount(found[found >= 0].ravel(), minlength=len(info.classes)) / max((found >= 0).sum(), 1)
        order = [i for i in np.argsort(-share, kind="stable") if share[i]]
        return " ".join(f"{info.classes[i]} {100 * share[i]:.1f}%" for i in order)

    return View(title or key, (key,), draw)


def boxes(
    key: str = "boxes", labels: str = "labels", scores: str | None = None, title: str = "", over: str = "image"
) -> View:
    """Boxes `key` [N, 4] (x1, y1, x2, y2 in pixels of the image `over`), each with its class and, if any, its score.

    Args:
      labels: [N] int, the class of each box; a negative one is padding.
      scores: [N] in [0, 1].
    """

    def draw(example, info):
        colours = palette(len(info.classes) + 1)[1:]
        picture, factor = _enlarged(rgb(example[over]))
        canvas = Image.fromarray(picture)
        pen = ImageDraw.Draw(canvas)
        ranks = np.asarray(example[scores] if scores else np.zeros(len(example[labels])))
        for i in np.argsort(ranks, kind="stable"):  # the surest on top
            label = int(example[labels][i])
            if label < 0:
                continue
            x1, y1, x2, y2 = (factor * np.asarray(example[key][i], float)).tolist()
            colour = tuple(colours[label].tolist())
            corners = [min(x1, x2), min(y1, y2), max(x1, x2) - 1, max(y1, y2) - 1]
            pen.rectangle([*corners[:2], *np.maximum(corners[2:], corners[:2]).tolist()], outline=colour)
            text = info.classes[label] + (f" {100 * ranks[i]:.0f}%" if scores else "")
            pen.text((x1 + 2, y1), text, fill=colour, font=_font(), stroke_width=1, stroke_fill="white")
        return np.asarray(canvas)

    return View(title or key, (over, key, labels) + ((scores,) if scores else ()), draw, (over,))


def points(key: str = "points", title: str = "", over: str = "image") -> View:
    """Key points `key` [N, K, 3] (x, y in pixels of the image `over`, visibility), a colour for each of the K."""

    def draw(example, info):
        picture, factor = _enlarged(rgb(example[over]))
        canvas = Image.fromarray(picture)
        pen, found = ImageDraw.Draw(canvas), np.asarray(example[key], float)
        colours = palette(found.shape[1] + 1)[1:]
        for n, k in zip(*np.nonzero(found[..., 2] > 0), strict=True):
            x, y = factor * found[n, k, :2]
            pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=tuple(colours[k].tolist()), outline="white")
        return np.asarray(canvas)

    return View(title or key, (over, key), draw, (over,))


def words(tokens: str = "tokens", field: str | None = None, title: str = "") -> View:
    """The words of `tokens` [T], up to <end>. `field`: whose names are the vocabulary, when not that of `tokens`."""

    def draw(example, info):
        return sentence(example[tokens], info.fields[field or tokens].names)

    return View(title or tokens, (tokens,), draw)


def classed(prediction: str = "prediction", probability: str = "probability", title: str = "") -> View:
    """The name of the class `prediction` [] and its `probability` []."""

    def draw(example, info):
        return f"{info.classes[int(example[prediction])]} {float(example[probability]):.4f}"

    return View(title or prediction, (prediction, probability), draw)


def label(key: str = "label", title: str = "") -> View:
    """The name of the true class `key` []; of two blended examples (mixup, CutMix) both, with their shares."""

    def draw(example, info):
        name = lambda number: info.classes[int(number)] if number >= 0 else "none"
        share, other = float(example.get("mix", 1)), example.get("label_mix", -1)
        if share == 1:
            return name(example[key])
        return f"{100 * share:.0f} % {name(example[key])} + {100 * (1 - share):.0f} % {name(other)}"

    return View(title or key, (key,), draw)


def shown(views: Sequence[View], example: Mapping[str, Any], info: Any) -> dict[str, np.ndarray | str]:
    """title -> picture uint8 [H, W, 3] or line of text, of one example. A view whose needs are absent is left out."""
    return {view.title: view.draw(example, info) for view in views if all(name in example for name in view.needs)}


def panel(views: Sequence[View], examples: Sequence[Mapping[str, Any]], info: Any) -> np.ndarray:
    """A column for each example and a row for each view whose needs all examples have: uint8 [h, w, 3]."""
    columns = [shown(views, example, info) for example in examples]
    titles = [view.title for view in views if all(view.title in column for column in columns)]
    pictures = {
        title: [_enlarged(column[title])[0] for column in columns]
        for title in titles
        if not isinstance(columns[0][title], str)
    }
    width = max([x.shape[1] for row in pictures.values() for x in row], default=2 * SMALLEST)
    side = round(max([_font().getlength(title) for title in titles], default=0)) + 2 * GAP
    rows = [
        [_text(title, side), *(pictures.get(title) or [_text(column[title], width) for column in columns])]
        for title in titles
    ]
    heights = [max(len(cell) for cell in row) for row in rows]
    canvas = np.full((sum(heights) + GAP * (len(rows) + 1), side + len(columns) * (width + GAP), 3), 255, np.uint8)
    lefts = [GAP, *(side + i * (width + GAP) for i in range(len(columns)))]
    top = GAP
    for height, row in zip(heights, rows, strict=True):
        for left, cell in zip(lefts, row, strict=True):
            room = canvas[top : top + len(cell), left : left + cell.shape[1]]
            room[:] = cell[:, : room.shape[1]]
        top += height + GAP
    return canvas


def sentence(tokens: np.ndarray, names: Sequence[str]) -> str:
    """The words of tokens [T] up to <end>, joined by blanks; <pad> and <start> are left out."""
    kept = itertools.takewhile(lambda token: token != END, np.asarray(tokens).tolist())
    return " ".join(names[token] for token in kept if token not in (PAD, START))


def palette(num_classes: int) -> np.ndarray:
    """[K, 3] uint8: black for class 0, then hues a golden section apart, so that neighbours differ whatever K is."""
    hues = (0.618034 * np.arange(num_classes)) % 1
    colours = [colorsys.hsv_to_rgb(hue, 0.85, 1.0 - 0.35 * (i % 2)) for i, hue in enumerate(hues)]
    colours[0] = (0.0, 0.0, 0.0)
    return np.round(255 * np.array(colours)).astype(np.uint8)


def overlay(image: np.ndarray, mask: np.ndarray, num_classes: int, opacity: float = 0.5) -> np.ndarray:
    """The classes of `mask` [H, W] int in colour over `image` [H, W, 1 or 3] uint8: [H, W, 3] uint8.

    Class 0, which is black, and ignored pixels (negative) leave the image as it is.
    """
    image = np.broadcast_to(image, (*mask.shape, 3))
    colours = palette(num_classes)[np.maximum(mask, 0)]
    blend = np.round((1 - opacity) * image + opacity * colours).astype(np.uint8)
    return np.where(mask[..., None] > 0, blend, image)


def rgb(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] uint8, or float in [0, 1] -> uint8 [H, W, 3]; one channel is grey, two are red and green."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.round(255 * np.clip(image.astype(np.float32), 0, 1)).astype(np.uint8)
    if image.shape[-1] == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], -1)
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))


def _enlarged(picture):
    """The picture with each pixel repeated, so that its longer side has at least SMALLEST; and how often."""
    factor = max(1, -(-SMALLEST // max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1), factor


def _font():
    return ImageFont.load_default(10)


def _text(text: str, width: int) -> np.ndarray:
    """Black on white, broken into lines of `width` pixels: uint8 [h, width, 3]."""
    font, lines = _font(), [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    canvas = Image.new("RGB", (width, 13 * len(lines)), "white")
    ImageDraw.Draw(canvas).multiline_text((0, 0), "\n".join(lines), fill=INK, font=font, spacing=2)
    return np.asarray(canvas)
