"""Explanations as pictures."""

import numpy as np
from PIL import Image

SIDE = 224  # pixels that a picture has at least


def heat(values: np.ndarray) -> np.ndarray:
    """[h, w] numbers as colours, [h, w, 3] uint8; what is negative is black. The 99.5th percentile is the brightest."""
    from matplotlib import colormaps

    top = np.percentile(values, 99.5) or values.max()
    return (255 * colormaps["inferno"](np.clip(values / max(top, 1e-12), 0, 1))[..., :3]).astype(np.uint8)


def signed(values: np.ndarray) -> np.ndarray:
    """[h, w, C] numbers of both signs around grey, [h, w, 3] uint8; of four channels the first three."""
    values = values[..., :3]
    top = np.percentile(np.abs(values), 99.5) or np.abs(values).max()
    grey = np.clip(0.5 + 0.5 * values / max(top, 1e-12), 0, 1)
    return np.broadcast_to((255 * grey).astype(np.uint8), (*values.shape[:2], 3)).copy()


def beside(image: np.ndarray, explained: np.ndarray) -> np.ndarray:
    """The image [H, W, C] uint8, the explanation [h, w, 3], and where it has the image's aspect the two blended."""
    image = np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[-1] == 1 else image[..., :3]
    scale = -(-SIDE // min(image.shape[:2]))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    own = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.NEAREST)
    other = Image.fromarray(explained).resize(size, Image.Resampling.BILINEAR)
    return np.concatenate([np.asarray(own), np.asarray(other), np.asarray(Image.blend(own, other, 0.5))], 1)


def tiles(pictures: np.ndarray) -> np.ndarray:
    """[N, h, w, C] numbers as a square of pictures, each from its least value to its greatest; [H, W, 3] uint8."""
    axes = (1, 2, 3)
    low, high = pictures.min(axes, keepdims=True), pictures.max(axes, keepdims=True)
    shown = (255 * (pictures - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)[..., :3]
    count, height, width, _ = shown.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8)
    for i, picture in enumerate(shown):
        y, x = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        sheet[y : y + height, x : x + width] = picture
    scale = max(1, 4 * SIDE // max(sheet.shape[:2]))
    return sheet.repeat(scale, 0).repeat(scale, 1)
