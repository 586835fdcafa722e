"""The overlap-tile strategy: images of any size, however large, through a network that takes tiles.

Ronneberger et al. 2015, figure 2: each tile is answered with its surroundings in sight, and what lies beyond the
image is its mirror image.
"""

from collections.abc import Callable

import numpy as np


def predict_tiled(
    predict: Callable[[np.ndarray], dict[str, np.ndarray]],
    image: np.ndarray,
    *,
    tile: int,
    margin: int,
    batch_size: int = 8,
) -> dict[str, np.ndarray]:
    """What `predict` answers for each pixel of `image` [H, W, C], as arrays [H, W, ...].

    A whole-image prediction differs only within the reach of the network from the border, if `margin` is at least
    that reach and if a network that halves its input d times gets tiles at multiples of 2^d: let both margin and
    tile − 2 margin be such.

    Args:
      predict: [batch_size, tile, tile, C] -> outputs per pixel [batch_size, tile, tile, ...], whose margins are cut
        off; or without margins, [batch_size, tile − 2 margin, tile − 2 margin, ...]. Outputs that are not per pixel
        are left out.
      tile: side of the tiles.
      margin: how much of each side of a tile is only its surroundings.
      batch_size: the last batch is filled up, so that one compilation serves all.

    Raises:
      ValueError: nothing of a tile is left within its margins.
    """
    stride = tile - 2 * margin
    if stride < 1 or margin < 0:
        raise ValueError(f"tiles of {tile} pixels with margins of {margin} have nothing in between")
    height, width = image.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    widths = [(margin, margin + rows * stride - height), (margin, margin + columns * stride - width), (0, 0)]
    padded = np.pad(image, widths, "reflect")
    corners = [(row * stride, column * stride) for row in range(rows) for column in range(columns)]
    results: dict[str, np.ndarray] = {}
    for start in range(0, len(corners), batch_size):
        group = corners[start : start + batch_size]
        filled = group + group[-1:] * (batch_size - len(group))
        outputs = predict(np.stack([padded[top : top + tile, left : left + tile] for top, left in filled]))
        for name, value in outputs.items():
            if value.shape[1:3] == (tile, tile):
                value = value[:, margin : margin + stride, margin : margin + stride]
            elif value.shape[1:3] != (stride, stride):
                continue
            if name not in results:
                results[name] = np.empty((rows * stride, columns * stride, *value.shape[3:]), value.dtype)
            for (top, left), part in zip(group, value, strict=False):
                results[name][top : top + stride, left : left + stride] = part
    return {name: value[:height, :width] for name, value in results.items()}
