"""Answers to a user's own pictures: prepared as in training, and given in each picture's own pixels."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data import geometry
from data.decode import CORRUPT, Placement, decode, picture_size
from data.errors import DataError
from data.folder import SUFFIXES
from experiments.build.parts import Parts
from training.tiling import predict_tiled
from training.views import shown


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
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
            if not inside:
                raise DataError(f"there is no image in the folder {path}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"there is no image {path}")
    return found


def answers(run, files: Sequence[pathlib.Path], step: int | None = None) -> Iterator[Answer | DataError]:
    """The answers to pictures of any size, in order. They are read and answered in batches of one size.

    In the place of a file that cannot be read there is the error that names it.

    Pictures come onto the canvas of the data set as its own do. Where the source takes pictures as they are and the
    task answers each pixel (`tiled`), they keep their size and are answered in tiles.
    """
    parts, size = run.parts, canvas(run.parts)
    channels, crop = parts.info.shape[-1], parts.page.data.get("crop", "resize")
    if size is None and run.task.tiled:
        for file, found in _readable(files, channels, None, crop):
            if isinstance(found, DataError):
                yield found
            else:
                yield _placed(run.task, file, *found, _in_tiles(run, found[0], step))
        return
    size = size or parts.info.shape[:2]
    batch = min(len(files), parts.page.train.evaluate_batch_size)
    for start in range(0, len(files), batch):
        chosen = list(_readable(files[start : start + batch], channels, size, crop))
        images = [found[0] for _, found in chosen if not isinstance(found, DataError)]
        outputs = run.predict(np.stack(images), step, size=batch) if images else {}
        outputs = run.snapshots.restored(outputs, [name for view in run.task.views for name in view.images])
        rows = iter(range(len(images)))
        for file, found in chosen:
            if isinstance(found, DataError):
                yield found
            else:
                i = next(rows)
                yield _placed(run.task, file, *found, {name: x[i] for name, x in outputs.items()})


def _readable(files, channels, size, crop) -> Iterator[tuple[pathlib.Path, tuple | DataError]]:
    """(file, what `read` gives, or the error that names the file) of each."""
    for file in files:
        try:
            yield file, read(file, channels, size, crop)
        except DataError as error:
            yield file, error


def canvas(parts: Parts) -> tuple[int, int] | int | None:
    """The size to which the page's source brings its pictures; None where it takes them as they are."""
    section = parts.page.data
    return section.get("image_size") or section.get("size") or None


def read(file: pathlib.Path, channels: int, size: Any, crop: str) -> tuple[np.ndarray, Placement]:
    """(image [H, W, C] uint8, where it lies on its canvas). Raises DataError naming a file that cannot be decoded."""
    try:
        return decode(file, channels, size, crop)
    except CORRUPT as error:
        raise DataError(f"cannot read image {file}: {error}") from error


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


def _placed(task, file, image, placement, outputs) -> Answer:
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
    return Answer(file, read(file, image.shape[-1], None, "resize")[0], moved)


def _in_tiles(run, image: np.ndarray, step: int | None) -> dict[str, np.ndarray]:
    """Outputs per pixel of an image [H, W, C]: at once where it has the size of the data set's, else in tiles.

    A tile has the size of the data set's images. Half of its side is answered at a time, which the network's halvings
    divide.
    """
    if image.shape == run.parts.info.shape:
        return {name: x[0] for name, x in run.predict(image[None], step).items()}
    side = max(32, min(run.parts.info.shape[:2]) // 32 * 32)
    batch = run.page.train.evaluate_batch_size
    return predict_tiled(
        lambda x: run.predict(x, step, size=batch), image, tile=side, margin=side // 4, batch_size=batch
    )
