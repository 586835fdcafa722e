"""Images at another size, by torch's conventions: half-pixel centres or aligned corners; linear, cubic or nearest.

`jax.image.resize` has half-pixel centres alone, and its cubic kernel is Keys's with a = −1/2 where torch has −3/4.
"""

import jax.numpy as jnp
import numpy as np

from models.errors import ModelError, choose


def _cubic(distance, a=-0.75):
    """Keys's kernel (1981, equation 4) with torch's and OpenCV's a."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


# name -> the reach of the kernel in pixels, and its value at a distance.
KERNELS = {
    "linear": (1, lambda distance: np.maximum(1 - distance, 0)),
    "cubic": (2, _cubic),
}
METHODS = ("nearest", *KERNELS)


def interpolation(size: int, new: int, method: str = "linear", align_corners: bool = False) -> np.ndarray:
    """The weights [new, size] with which `new` pixels of a row read `size` pixels. Rows sum to 1.

    Pixels beyond the border have the value of the one at the border. With `align_corners` the centres of the first and
    last pixels coincide; otherwise the outer edges of those pixels do. Downsizing does not smooth.
    """
    choose(dict.fromkeys(METHODS), "method", method)
    if align_corners and method == "nearest":
        raise ModelError("align_corners has no meaning for the nearest pixel")
    places = np.arange(new)
    if method == "nearest":
        return np.eye(size)[places * size // new]
    at = places * ((size - 1) / max(new - 1, 1)) if align_corners else (places + 0.5) * (size / new) - 0.5
    if method == "linear":
        at = np.clip(at, 0, size - 1)
    reach, kernel = KERNELS[method]
    weights, first = np.zeros((new, size)), np.floor(at).astype(int)
    for offset in range(1 - reach, reach + 1):
        pixel = first + offset
        np.add.at(weights, (places, np.clip(pixel, 0, size - 1)), kernel(np.abs(at - pixel)))
    return weights


def resize(x, height: int, width: int, method: str = "linear", align_corners: bool = False):
    """x: [B, H, W, C] -> [B, height, width, C], as `torch.nn.functional.interpolate`.

    Args:
      method: a name in METHODS.
      align_corners: see `interpolation`.
    """
    for axis, new in ((1, height), (2, width)):
        if x.shape[axis] != new:
            weights = interpolation(x.shape[axis], new, method, align_corners).astype(x.dtype)
            x = jnp.moveaxis(jnp.tensordot(weights, x, axes=(1, axis)), 0, axis)
    return x
