"""Answers to a user's own pictures: prepared as in training, and given in each picture's own pixels."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data import geometry, reading
from data.decode import picture_size
from data.errors import DataError
from data.files import PictureFiles
from data.preparation import Preparation
from experiments.build.parts import Parts
from experiments.build.sets import options_of
from training.tiling import predict_tiled
from training.views import shown

TILES = 8  # answered at a time, at most: what is missing is filled up, and most pictures have few


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the network gives for one picture.

    Attributes:
      file: the picture.
      image: [H, W, C] uint8, at the size in which it is answered.
      outputs: of the task, without the leading axis. Those that the task declares as boxes, points or masks are in the
        picture's own pixels.
    """

    file: pathlib.Path
    image: np.ndarray
    outputs: Mapping[str, Any]


def pictures(paths: Sequence[str]) -> list[pathlib.Path]:
    """The files, and all pictures inside the folders, in order. Raises DataError for a path that does not exist."""
    found = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = PictureFiles().files(path)
            if not inside:
                raise DataError(f"there is no image in the folder {path}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"there is no image {path}")
    return found


def preparation(parts: Parts, sized: bool = True) -> Preparation:
    """How the source of the page's data reads a picture file, without opening the source.

    sized: where the source takes pictures as they are, those of another size are resized to that of its own.
    """
    section, shape = parts.page.data, parts.info.shape
    found = reading.preparation(section.name, options_of(section), shape[-1]) or Preparation(shape[-1], shape[:2])
    return dataclasses.replace(found, size=shape[:2], crop="resize") if sized and not found.size else found


def answers(run, files: Sequence[pathlib.Path], step: int | None = None) -> Iterator[Answer | DataError]:
    """The answers to pictures of any size, in order. They are read and answered in batches of one size.

    In the place of a file that cannot be read there is the error that names it.

    Pictures come onto the canvas of the data set as its own do. Where the source takes pictures as they are and the
    task answers each pixel (`tiled`), they keep their size and are answered in tiles.
    """
    prepared = preparation(run.parts, sized=not run.task.tiled)
    if prepared.size is None:
        for file in files:
            found = _readable(prepared, file)
            if isinstance(found, DataError):
                yield found
            else:
                yield _placed(run.task, prepared, file, *found, _in_tiles(run, found[0], step))
        return
    batch = min(power_of_two(len(files)), run.page.train.evaluate_batch_size)
    for start in range(0, len(files), batch):
        yield from _batch(run, prepared, files[start : start + batch], batch, step)


def _batch(run, prepared: Preparation, files, size: int, step: int | None) -> Iterator[Answer | DataError]:
    """The answers to at most `size` pictures."""
    found = [_readable(prepared, file) for file in files]
    images = [one[0] for one in found if not isinstance(one, DataError)]
    outputs = run.predict(np.stack(images), step, size=size) if images else {}
    outputs = run.snapshots.restored(outputs, [name for view in run.task.views for name in view.images])
    rows = iter(range(len(images)))
    for file, one in zip(files, found, strict=True):
        if isinstance(one, DataError):
            yield one
        else:
            i = next(rows)
            yield _placed(run.task, prepared, file, *one, {name: x[i] for name, x in outputs.items()})


def _readable(prepared: Preparation, file: pathlib.Path) -> tuple | DataError:
    """What `Preparation.read` gives, or the error that names the file."""
    try:
        return prepared.read(file)
    except DataError as error:
        return error


def power_of_two(count: int) -> int:
    """The least power of two that is not below `count`: few sizes, so that few programs are compiled."""
    return 1 << max(count - 1, 0).bit_length()


def line(answer: Answer, task, info) -> str:
    """The text of the task's views, in one line."""
    return "  ".join(text for text in drawn(answer, task, info).values() if isinstance(text, str))


def drawn(answer: Answer, task, info) -> dict[str, np.ndarray | str]:
    """title -> picture or text, for the task's views that need an output; those of the truth alone are left out."""
    views = [view for view in task.views if set(view.needs) & answer.outputs.keys()]
    return shown(views, {"image": answer.image, **answer.outputs}, info)


def as_json(answer: Answer, task, info) -> dict[str, Any]:
    """The declared outputs as JSON has them: masks are left out, padding too, and classes have their names."""
    kinds = {name: kind for name, kind in task.outputs.items() if kind not in ("mask", "map", "image")}
    arrays = {name: np.asarray(answer.outputs[name]) for name in kinds}
    labels = next((arrays[name] for name, kind in kinds.items() if kind == "labels"), None)
    kept = None if labels is None else labels >= 0
    for name, kind in kinds.items():
        if kind == "boxes" and kept is not None:  # beside the picture, on the bars of a letterbox
            kept = kept & (arrays[name][:, 2:] > arrays[name][:, :2]).all(1)
    found: dict[str, Any] = {"file": str(answer.file)}
    for name, kind in kinds.items():
        x = arrays[name]
        if kept is not None and x.shape[:1] == kept.shape:
            x = x[kept]
        if kind in ("label", "labels"):
            found[name] = [info.classes[label] for label in np.atleast_1d(x)] if x.ndim else info.classes[int(x)]
        else:
            found[name] = x.tolist()
    text = line(answer, task, info)
    return found | ({"text": text} if text else {})


def _placed(task, prepared: Preparation, file, image, placement, outputs) -> Answer:
    """An answer whose boxes, points and masks are in the picture's own pixels, over the picture as it is.

    Where the canvas shows a part of the picture only, a mask and its image stay on the canvas.
    """
    kinds = task.outputs.values()
    if not {"boxes", "points", "mask"} & set(kinds):
        return Answer(file, image, outputs)
    size, back, moved = picture_size(file), geometry.inverted(placement.matrix), dict(outputs)
    whole = tuple(placement.region) == (0, 0, *size[::-1])
    if not whole and "mask" in kinds:
        return Answer(file, image, outputs)
    for name, kind in task.outputs.items():
        if kind == "boxes":
            moved[name] = geometry.clip_boxes(geometry.move_boxes(back, outputs[name]), *size)
        elif kind == "points":
            moved[name] = geometry.move_points(back, outputs[name])
        elif kind == "mask":
            mask = Image.fromarray(outputs[name].astype(np.int32)).crop(placement.place)
            moved[name] = np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST))
    return Answer(file, prepared.whole(file), moved)


def _in_tiles(run, image: np.ndarray, step: int | None) -> dict[str, np.ndarray]:
    """Outputs per pixel of an image [H, W, C]: at once where it has the size of the data set's, else in tiles.

    A tile has the size of the data set's images. Half of its side is answered at a time, which the network's halvings
    divide.
    """
    if image.shape == run.parts.info.shape:
        return {name: x[0] for name, x in run.predict(image[None], step).items()}
    side = max(32, min(run.parts.info.shape[:2]) // 32 * 32)
    batch = min(TILES, run.page.train.evaluate_batch_size)
    predict = lambda x: run.predict(x, step, size=batch)
    return predict_tiled(predict, image, tile=side, margin=side // 4, batch_size=batch)
