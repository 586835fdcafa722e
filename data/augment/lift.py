"""From one example to a batch: augmentations are written for one example and lifted here, by kinds of fields."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from data.errors import DataError
from data.fields import Field, by_group, group_number, of_kind
from data.source import Info
from data.specs import check_range

THIN = 1e-3  # pixels: a box that is thinner has left the picture


@dataclasses.dataclass(frozen=True)
class Movement:
    """One way to move an example. It draws once, and all fields follow the same draw.

    draw: (key, (H, W)) -> drawn.
    pixels: (array [H, W, ...], drawn, linear, fill) -> [h, w, ...]: bilinear or the nearest pixel, `fill` outside.
    points: ((x, y) [..., 2], drawn, (H, W)) -> [..., 2], the forward map.
    hull: the box of a moved object is in the box about its box's moved corners. False where lines bend or an object
        appears twice: boxes can then only be read off the moved mask of their objects.
    mirrored: drawn -> whether left and right change places; None: never.
    """

    draw: Callable
    pixels: Callable
    points: Callable
    hull: bool = True
    mirrored: Callable | None = None


def geometric(movement: Movement, info: Info) -> Callable:
    """Lift `movement` to `augment(batch, keys) -> batch`. Each group of unpaired examples has a draw of its own.

    Pixels (image, mask, map) are sampled; points outside the picture get visibility 0; label, tokens and number stay.
    Boxes that name the mask of their objects (Field.of) become the boxes of the moved mask, exactly. Others become the
    box about their moved corners, clipped to the picture: exact under flips, crops, shifts and changes of scale; under
    a turn or a shear it encloses that of the object, which is smaller where the object does not fill its box. An
    object whose box has left the picture has a box of zeros, and its labels and points (Field.of) their `outside`.

    Raises DataError where the sizes of the pixel fields differ and where boxes cannot be moved.
    """
    check_movable(movement, info)

    def augment(batch, keys):
        for group, fields in by_group(info.fields).items():
            own = {name: jnp.asarray(batch[name]) for name in fields if name in batch}
            size = picture_size(own, fields)
            if size:
                drawn = jax.vmap(lambda key, size=size: movement.draw(key, size))(group_keys(keys, group))
                batch = batch | moved(movement, fields, own, drawn)
        return batch

    return augment


def check_movable(movement: Movement, info: Info) -> None:
    """Raises DataError where `movement` cannot move the fields of `info`."""
    for fields in by_group(info.fields).values():
        sizes = {name: field.shape[:2] for name, field in of_kind(fields, "image", "mask", "map").items()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {height}×{width}" for name, (height, width) in sizes.items())
            raise DataError(f"it moves fields of one size only, these are {listed}")
        for name, field in of_kind(fields, "boxes").items():
            if not movement.hull and not field.of:
                raise DataError(f"it cannot move {name!r}: these boxes have no mask of their objects")


def moved(movement: Movement, fields: Mapping[str, Field], batch: dict, drawn: Any) -> dict:
    """The fields of `batch`, one group's [B, ...] each, moved as `drawn` [B, ...] says."""
    return jax.vmap(functools.partial(_move, movement, fields))(batch, drawn)


def picture_size(batch: dict, fields: Mapping[str, Field]) -> tuple[int, int] | None:
    """(H, W) of the pixels of a batch; None where it has none."""
    for name in of_kind(fields, "image", "mask", "map"):
        if name in batch:
            return batch[name].shape[1:3]
    return None


def _move(movement, fields, example, drawn):
    """The fields of one example that change."""
    out, here = {}, {}  # here: by the name of boxes, whether each is in the picture
    of = lambda *moves: {name: x for name, x in example.items() if fields[name].moves in moves}
    for name, x in of("linear", "nearest").items():
        out[name] = movement.pixels(x, drawn, fields[name].moves == "linear", fields[name].outside)
        before, after = x.shape[:2], out[name].shape[:2]
    for name, x in of("corners").items():
        if fields[name].of in out:
            boxes = boxes_of_mask(out[fields[name].of], len(x))
        elif movement.hull:
            boxes = _hull(movement, x, drawn, before, after)
        else:
            raise DataError(f"boxes {name!r} cannot be moved without their mask {fields[name].of!r}")
        here[name] = _extended(boxes) & _extended(x)
        out[name] = jnp.where(here[name][:, None], boxes, 0).astype(x.dtype)
    for name, x in of("points").items():
        out[name] = _points(movement, fields[name], x, drawn, before, after)
    for name, x in example.items():
        if fields[name].of in here:
            stays = here[fields[name].of].reshape(-1, *[1] * (x.ndim - 1))
            out[name] = jnp.where(stays, out.get(name, x), jnp.asarray(fields[name].outside, x.dtype))
    return out


def _hull(movement, boxes, drawn, before, after):
    """The boxes [N, 4] about the moved corners, clipped to the picture."""
    corners = boxes[:, jnp.array([[0, 1], [2, 1], [0, 3], [2, 3]])]  # [N, 4, 2]
    corners = movement.points(corners, drawn, before)
    around = jnp.concatenate([corners.min(1), corners.max(1)], axis=1)
    height, width = after
    return jnp.clip(around, 0, jnp.array([width, height, width, height]))


def _points(movement, field, points, drawn, before, after):
    """Points [N, K, 3] moved; 0 where they are not visible."""
    if movement.mirrored is not None and field.names:
        swapped = points[:, jnp.array(opposite(field.names))]
        points = jnp.where(movement.mirrored(drawn), swapped, points)
    xy, visibility = movement.points(points[..., :2], drawn, before), points[..., 2:]
    inside = ((xy >= 0) & (xy <= jnp.array(after[::-1]))).all(-1, keepdims=True)
    out = jnp.concatenate([xy, visibility], axis=-1)
    return jnp.where(inside & (visibility > 0), out, 0).astype(points.dtype)


def opposite(names: tuple[str, ...]) -> list[int]:
    """For each part its counterpart in the mirror: "left eye" and "right eye" change places."""
    place = {name: i for i, name in enumerate(names)}
    exchange = {"left": "right", "right": "left"}

    def mirror(name):
        for side, other in exchange.items():
            if side in name:
                return name.replace(side, other)
        return name

    return [place.get(mirror(name), i) for i, name in enumerate(names)]


def _extended(boxes):
    """[N] bool: which boxes [N, 4] are more than a line."""
    return (boxes[:, 2:] - boxes[:, :2] > THIN).all(1)


def boxes_of_mask(mask, count: int):
    """[count, 4]: the box of the pixels of `mask` [H, W] with the value 1 + i; 0 where there are none."""
    own = mask.astype(jnp.int32) == 1 + jnp.arange(count)[:, None, None]
    lines = own.any(1), own.any(2)  # columns, rows: [count, length]
    left, top = (line.argmax(1) for line in lines)
    right, bottom = (line.shape[1] - line[:, ::-1].argmax(1) for line in lines)
    return jnp.where(own.any((1, 2))[:, None], jnp.stack([left, top, right, bottom], axis=1), 0)


def over_images(change: Callable, info: Info, probability: float = 1.0) -> Callable:
    """Lift `change(image [H, W, C], key) -> image`, applied with `probability`; pixels stay in place.

    All images of an example change by the same draw, each group of unpaired examples by its own.
    """
    check_range("probability", probability, 0, 1)

    def changed(image, key):
        coin, key = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(coin, probability), change(image, key), image)

    def augment(batch, keys):
        for name, field in of_kind(info.fields, "image").items():
            if name in batch:
                batch = batch | {name: jax.vmap(changed)(batch[name], group_keys(keys, field.group))}
        return batch

    return augment


def check_channels(what: str, channels: int, info: Info) -> None:
    """Raises DataError unless every image has this many channels."""
    for field in of_kind(info.fields, "image").values():
        if field.shape[-1] != channels:
            kind = "RGB images" if channels == 3 else f"images of {channels} channel(s)"
            raise DataError(f"{what} needs {kind}, but these have {field.shape[-1]} channel(s)")


def group_keys(keys, group: str):
    """The keys [B] of a group of unpaired examples, from those of the batch."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, group_number(group)) if group else keys
