"""Augmentations that move pixels, and with them boxes, points and masks."""

import jax
import jax.numpy as jnp

from data.augment.lift import Movement, geometric
from data.errors import DataError
from data.images.warp import displace, displace_points, displacements, rotation, unwarp, warp
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
    """Smooth deformation (Ronneberger et al. 2015, section 3.1); the outside is mirrored.

    Displacements (in pixels, normal with standard deviation `sigma`) of `grid` × `grid` points that divide the image
    evenly, bicubic in between. Points move by the inverse displacement, a fixed point; where the deformation folds so
    much that none is found they get visibility 0. Boxes need the mask of their objects.
    """
    check_range("sigma", sigma, 0)
    check_range("grid", grid, 1)

    movement = Movement(
        draw=lambda key, size: displacements(sigma * jax.random.normal(key, (grid, grid, 2)), size),
        pixels=lambda field, shift, linear, fill: displace(field, shift, linear),
        points=lambda xy, shift, size: displace_points(xy, shift),
        hull=False,
    )
    return geometric(movement, info)
