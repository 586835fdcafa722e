"""Images and points moved by an affine map or by a field of displacements.

Coordinates (x, y) are in pixels, x to the right and y down; the centre of pixel (row, column) is
(column + 0.5, row + 0.5). A field is anything with a place in the picture, [H, W, ...].
"""

import jax
import jax.numpy as jnp


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
    """`field` [H, W, ...] at the points (x, y), each [h, w], in `warp`'s convention; its border continues outside."""
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


def displacements(coarse, size: tuple[int, int]):
    """A smooth field [H, W, 2] of `size` (H, W), bicubic between the points of `coarse` [n, m, 2]."""
    return jax.image.resize(coarse, (*size, 2), "cubic")


def displace(field, shift, linear: bool):
    """`field` [H, W, ...] sampled at p + `shift`(p) [H, W, 2] for each pixel centre p; mirrored outside."""
    height, width = field.shape[:2]
    x, y = centres(field)
    return sample(field, mirrored(x + shift[..., 0], width), mirrored(y + shift[..., 1], height), linear)


def displace_points(xy, shift):
    """Where `displace` puts the points (x, y) [..., 2] of its input, a fixed point; (-1, -1) where there is none."""
    # A pixel at p shows the place p + shift(p): that is q for p = q - shift(p).
    displaced = lambda p: sample(shift, p[..., 0], p[..., 1], linear=True)
    p = jax.lax.fori_loop(0, 50, lambda _, p: (p + xy - displaced(p)) / 2, xy)
    return jnp.where(abs(p + displaced(p) - xy).max(-1, keepdims=True) < 0.5, p, -1.0)


def mirrored(x, length: int):
    """Coordinates x, any real numbers, mirrored at 0 and at `length` into [0, length]."""
    return length - abs(length - x % (2 * length))


def _like(plane, field):
    """A plane [h, w] with axes of length 1 for the channels of `field`."""
    return plane[(..., *[None] * (field.ndim - 2))]
