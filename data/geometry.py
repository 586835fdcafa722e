"""One affine matrix [2, 3] takes a picture onto the canvas of a batch; here it moves boxes and points, in numpy.

Coordinates are in pixels, x to the right and y down, with pixel (row, column) covering [column, column + 1) ×
[row, row + 1). A matrix M takes (x, y) to M[:, :2] @ (x, y) + M[:, 2].
"""

import numpy as np


def identity() -> np.ndarray:
    """The matrix of a picture that is used as it is."""
    return np.eye(2, 3)


def onto(region: tuple[float, float, float, float], place: tuple[float, float, float, float]) -> np.ndarray:
    """The matrix that takes the rectangle `region` (left, top, right, bottom) onto the rectangle `place`."""
    left, top, right, bottom = region
    into_left, into_top, into_right, into_bottom = place
    across, down = (into_right - into_left) / (right - left), (into_bottom - into_top) / (bottom - top)
    return np.array([[across, 0, into_left - across * left], [0, down, into_top - down * top]])


def inverted(matrix: np.ndarray) -> np.ndarray:
    """The matrix of the way back, from the canvas to the picture's own pixels."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def composed(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The matrix of `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def move_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(x, y) [..., 2] moved; a third number, the visibility of [..., 3], is kept."""
    points = np.asarray(points, float)
    moved = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([moved, points[..., 2:]], axis=-1)


def move_boxes(matrix: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[N, 4]: the box about the moved corners of each box. Exact where the matrix neither turns nor shears."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    corners = move_points(matrix, boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
    return np.concatenate([corners.min(1), corners.max(1)], axis=1)


def clip_boxes(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """[N, 4]: what of each box is inside a picture; the area is 0 of one that is outside."""
    return np.clip(np.asarray(boxes, float).reshape(-1, 4), 0, [width, height, width, height])


def boxes_of_mask(mask: np.ndarray, count: int) -> np.ndarray:
    """[count, 4] float32: the box of the pixels of `mask` [H, W] with the value 1 + i; 0 where there are none."""
    boxes = np.zeros((count, 4), np.float32)
    for i in range(count):
        rows, columns = np.nonzero(mask == 1 + i)
        if len(rows):
            boxes[i] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes
