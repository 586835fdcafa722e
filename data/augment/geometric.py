"""Augmentations that move pixels, and everything else that has a place in the picture."""

import jax
import jax.numpy as jnp

from data.augment.lift import Movement, geometric
from data.errors import DataError
from data.specs import check_range


def pad_crop(pad: int, mode: str = "constant", *, info):
    """Pad every side by `pad` pixels and crop back to the size at a random place (He et al. 2016, sec. 4.2).

    `mode` fills the padding: "constant" (black; the ignored label in masks), "reflect" or "edge".
    """
    check_range("pad", pad, 0)
    if mode not in ("constant", "reflect", "edge"):
        raise DataError(f"it pads with constant, reflect or edge, not {mode!r}")

    def draw(key, size):
        return jax.random.randint(key, (2,), 0, 2 * pad + 1)

    def pixels(field, corner, linear, fill):
        widths = [(pad, pad), (pad, pad)] + [(0, 0)] * (field.ndim - 2)
        value = {"constant_values": fill} if mode == "constant" else {}
        start = (*corner, *[0] * (field.ndim - 2))
        return jax.lax.dynamic_slice(jnp.pad(field, widths, mode, **value), start, field.shape)

    def points(xy, corner, size):
        return xy + pad - corner[::-1]

    return geometric(Movement(draw, pixels, points, hull=mode == "constant"), info)


def random_crop(size: int, *, info):
    """A square of `size` pixels at a random place. Raises DataError for smaller images."""
    check_range("size", size, 1)

    def check(height, width):
        if size > min(height, width):
            raise DataError(f"random_crop({size}) needs larger images than {height}×{width}")

    def draw(key, whole):
        check(*whole)
        return jax.random.randint(key, (2,), 0, jnp.array(whole) - size + 1)

    def pixels(field, corner, linear, fill):
        widths = (size, size, *field.shape[2:])
        return jax.lax.dynamic_slice(field, (*corner, *[0] * (field.ndim - 2)), widths)

    def points(xy, corner, whole):
        return xy - corner[::-1]

    check(*info.shape[:2])
    return geometric(Movement(draw, pixels, points), info)


def flip(probability: float = 0.5, *, info):
    """Mirror left and right with `probability`. Points called "left …" and "right …" change places."""
    check_range("probability", probability, 0, 1)

    def draw(key, size):
        return jax.random.bernoulli(key, probability)

    def pixels(field, on, linear, fill):
        return jnp.where(on, field[:, ::-1], field)

    def points(xy, on, size):
        return jnp.where(on, jnp.stack([size[1] - xy[..., 0], xy[..., 1]], axis=-1), xy)

    return geometric(Movement(draw, pixels, points, mirrored=lambda on: on), info)


def rotate(degrees: float, *, info):
    """Turn about the centre by an angle uniform in ±`degrees`; outside is black (ignored in masks)."""
    return affine(degrees, info=info)


def affine(degrees: float = 0.0, translate: float = 0.0, scale: tuple = (1.0, 1.0), shear: float = 0.0, *, info):
    """Shear, enlarge and turn about the centre, then shift; all four drawn uniformly.

    `degrees` and `shear` (degrees, along x) are drawn in ±the value, the shift in ±`translate` of the width
    and of the height, the enlargement between the two values of `scale`.
    """
    check_range("translate", translate, 0, 1)
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise DataError(f"scale is two rising positive numbers, not {scale!r}")

    def draw(key, size):
        height, width = size
        draw = jax.random.uniform(key, (5,), minval=-1.0)
        angle, slant = jnp.radians(degrees * draw[0]), jnp.tan(jnp.radians(shear * draw[1]))
        enlarged = scale[0] + (scale[1] - scale[0]) * (draw[2] + 1) / 2
        unsheared = jnp.array([[1.0, -slant], [0.0, 1.0]])
        linear_part = unsheared @ rotation(angle) / enlarged
        shift = translate * draw[3:] * jnp.array([width, height])
        centre = jnp.array([width / 2, height / 2])
        return linear_part, centre - linear_part @ (centre + shift)

    return geometric(affine_movement(draw), info)


def affine_movement(draw) -> Movement:
    """The movement whose draw is the `matrix` [2, 2] and `offset` [2] of `warp`."""
    return Movement(
        draw,
        pixels=lambda field, drawn, linear, fill: warp(field, *drawn, linear, fill),
        points=lambda xy, drawn, size: unwarp(xy, *drawn),
    )


def elastic(sigma: float = 10.0, grid: int = 3, *, info):
    """Smooth deformation (Ronneberger et al. 2015, section 3.1); what lies outside is mirrored.

    Displacements (in pixels, normal with standard deviation `sigma`) of `grid` × `grid` points that divide the image
    evenly, bicubic in between. Points move by the inverse displacement, a fixed point; where the deformation folds so
    much that none is found they get visibility 0. Boxes need the mask of their objects.
    """
    check_range("sigma", sigma, 0)
    check_range("grid", grid, 1)

    def draw(key, size):
        coarse = sigma * jax.random.normal(key, (grid, grid, 2))
        return jax.image.resize(coarse, (*size, 2), "cubic")

    def pixels(field, shift, linear, fill):
        height, width = field.shape[:2]
        x, y = centres(field)
        return sample(field, _mirror(x + shift[..., 0], width), _mirror(y + shift[..., 1], height), linear)

    def points(xy, shift, size):
        # A pixel at p shows the place p + shift(p): that is q for p = q - shift(p).
        displaced = lambda p: sample(shift, p[..., 0], p[..., 1], linear=True)
        p = jax.lax.fori_loop(0, 50, lambda _, p: (p + xy - displaced(p)) / 2, xy)
        return jnp.where(abs(p + displaced(p) - xy).max(-1, keepdims=True) < 0.5, p, -1.0)

    return geometric(Movement(draw, pixels, points, hull=False), info)


def _mirror(x, length: int):
    """Coordinates mirrored into [0, length]."""
    return length - abs(length - x % (2 * length))


def rotation(angle):
    """The matrix [2, 2] that takes (x, y) of a picture turned counter-clockwise by `angle` (radians) back."""
    return jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])


def warp(field, matrix, offset, linear: bool, fill):
    """`field` [H, W, ...] sampled, for each output point (x, y), at `matrix` [2, 2] @ (x, y) + `offset` [2].

    Pillow's convention (Image.transform with AFFINE): pixel centres lie at halves; a point outside
    [0, W) × [0, H) is `fill`; between pixels the value is bilinear (`linear`) or that of the nearest.
    """
    height, width = field.shape[:2]
    columns, rows = centres(field)
    # Written out and not as a matrix product, which accelerators may round to bfloat16.
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + offset[0]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + offset[1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return jnp.where(_like(inside, field), sample(field, x, y, linear), jnp.asarray(fill, field.dtype))


def unwarp(xy, matrix, offset):
    """Where `warp` puts the points (x, y) [..., 2] of its input: the inverse map."""
    x, y = xy[..., 0] - offset[0], xy[..., 1] - offset[1]
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    back = jnp.stack([matrix[1, 1] * x - matrix[0, 1] * y, matrix[0, 0] * y - matrix[1, 0] * x], axis=-1)
    return back / determinant


def centres(field):
    """(x, y) of the pixel centres of `field` [H, W, ...], each [H, W]."""
    height, width = field.shape[:2]
    return jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)


def sample(field, x, y, linear: bool):
    """`field` [H, W, ...] at the points (x, y), each [h, w], in `warp`'s convention; its border goes on outside."""
    height, width = field.shape[:2]

    def at(row, column):
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
        return field[row.astype(int), column.astype(int)]

    if not linear:
        return at(jnp.floor(y), jnp.floor(x))
    top, left = jnp.floor(y - 0.5), jnp.floor(x - 0.5)
    down = _like((y - 0.5 - top).astype(field.dtype), field)
    right = _like((x - 0.5 - left).astype(field.dtype), field)
    above = at(top, left) * (1 - right) + at(top, left + 1) * right
    below = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return above * (1 - down) + below * down


def _like(plane, field):
    """A plane [h, w] with axes of length 1 for the channels of `field`."""
    return plane[(..., *[None] * (field.ndim - 2))]
