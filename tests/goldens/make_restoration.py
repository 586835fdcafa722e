"""PSNR and SSIM of noisy images, from scikit-image.

    python -m tests.goldens.make_restoration    # needs scikit-image

Images are smooth patterns in [0, 1], of one and of three channels; noise takes them beyond that range.
"""

import pathlib

import numpy as np

SHAPES = {"grey": (3, 24, 31, 1), "colour": (2, 20, 17, 3)}


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(original, noisy) [B, H, W, C] float32: the noise is stronger with each image."""
    random = np.random.RandomState(list(SHAPES).index(name))
    count, height, width, channels = SHAPES[name]
    rows, columns = np.mgrid[:height, :width]
    phase = random.uniform(0, 6, (count, 1, 1, channels))
    clean = 0.5 + 0.4 * np.sin(rows[..., None] / 3 + columns[..., None] / 5 + phase)
    strength = 0.05 * (1 + np.arange(count))[:, None, None, None]
    return clean.astype(np.float32), (clean + strength * random.normal(size=clean.shape)).astype(np.float32)


def similarity(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004: a Gaussian window, and covariances over it that are not those of a sample."""
    from skimage.metrics import structural_similarity

    options = dict(gaussian_weights=True, use_sample_covariance=False, data_range=1, channel_axis=-1)
    return structural_similarity(x.astype(np.float64), y.astype(np.float64), **options)


def main():
    from skimage.metrics import peak_signal_noise_ratio

    found = {}
    for name in SHAPES:
        pairs = list(zip(*pair(name), strict=True))
        found[f"{name}/psnr"] = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in pairs]
        found[f"{name}/ssim"] = [similarity(x, y) for x, y in pairs]
    np.savez_compressed(pathlib.Path(__file__).parent / "restoration.npz", **found)


if __name__ == "__main__":
    main()
