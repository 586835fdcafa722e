"""Pictures of what a generative network makes: grids, points in the plane, paths through its codes, and their film."""

import pathlib

import numpy as np
from PIL import Image

COLUMNS = 10
SMALLEST = 56  # pixels: images with shorter sides are enlarged, pixel by pixel


def as_saved(images: np.ndarray) -> np.ndarray:
    """Images as a file of 8 bits has them: clipped to [0, 1], in steps of 1/255."""
    return np.round(255 * np.clip(images, 0, 1)) / np.float32(255)


def grid(images: np.ndarray, columns: int = COLUMNS, gap: int = 2) -> np.ndarray:
    """Images [N, H, W, C] in [0, 1], row by row -> one picture, uint8 [h, w, 3]."""
    images = (255 * as_saved(images)).round().astype(np.uint8)
    images = np.broadcast_to(images[..., :3], (*images.shape[:3], 3))
    factor = max(1, -(-SMALLEST // max(images.shape[1:3])))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    n, height, width, _ = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    picture = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (gap + (i // columns) * (height + gap)), (gap + (i % columns) * (width + gap))
        picture[top : top + height, left : left + width] = image
    return picture


def scatter(points: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Points [N, 2] over those of the data [M, 2], both in the unit square: a picture, uint8 [h, w, 3]."""
    from matplotlib.figure import Figure  # half a second, so only where it is used

    from training.pictures import pixels

    figure = Figure(figsize=(5, 5), layout="constrained")
    ax = figure.add_subplot()
    ax.scatter(*data.T, s=6, color="#c9930a", alpha=0.35, lw=0, label="data")
    ax.scatter(*points.T, s=4, color="#1f6fb4", alpha=0.7, lw=0, label="samples")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
    ax.legend(loc="upper right", fontsize=8, markerscale=3)
    return pixels(figure)


def plane(side: int, latent: int) -> np.ndarray:
    """Codes [side², latent] at equal steps of probability in the first two dimensions, zero in the others.

    Kingma & Welling 2014, figure 4.
    """
    from scipy.special import ndtri  # the inverse of the normal distribution

    ticks = ndtri((np.arange(side) + 0.5) / side)
    codes = np.zeros((side, side, latent), np.float32)
    codes[..., 0], codes[..., 1 % latent] = ticks, -ticks[:, None]
    return codes.reshape(-1, latent)


def interpolations(rows: int, columns: int, latent: int, seed: int) -> np.ndarray:
    """Codes [rows·columns, latent]: each row goes from one random code to another along the sphere.

    A straight line would pass where the prior has next to nothing: the middle of a ball whose mass is its shell.
    """
    first, last = np.random.default_rng(seed).normal(size=(2, rows, 1, latent))
    length = lambda x: np.linalg.norm(x, axis=-1, keepdims=True)
    cosine = (first * last).sum(-1, keepdims=True) / (length(first) * length(last))
    angle = np.arccos(np.clip(cosine, -1 + 1e-6, 1 - 1e-6))
    share = np.linspace(0, 1, columns)[:, None]
    codes = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    return codes.reshape(-1, latent).astype(np.float32)


def film(folder: pathlib.Path, file: pathlib.Path, seconds: float = 8.0) -> None:
    """The pictures `folder`/*.png in the order of their names, as an animated GIF; the last one stays a while."""
    frames = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))]
    each = int(np.clip(1000 * seconds / len(frames), 40, 500))
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=[each] * (len(frames) - 1) + [2000], loop=0)
