"""The answer for an image as the mean of those for its crops. Krizhevsky et al. 2012, section 4.1."""

import numpy as np


def ten(images: np.ndarray, side: int) -> np.ndarray:
    """[10, N, side, side, C] of images [N, H, W, C]: the four corners and the centre, and their mirror images."""
    height, width = images.shape[1:3]
    places = [(0, 0), (0, width - side), (height - side, 0), (height - side, width - side)]
    places.append(((height - side) // 2, (width - side) // 2))
    crops = np.stack([images[:, y : y + side, x : x + side] for y, x in places])
    return np.concatenate([crops, crops[:, :, :, ::-1]])
