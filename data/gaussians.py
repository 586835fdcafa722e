"""A mixture of Gaussians in the plane, to see whether a generator finds every mode.

Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, section 4.1 and code: 25 modes on the grid
{-4, -2, 0, 2, 4}², σ = 0.05. Its standard deviation is 2.83, by which the authors divide; so does the scale
"standardise".
"""

import numpy as np

from data.errors import DataError
from data.source import ArraySource, labelled_images, slice_arrays

SPAN = 10.0  # the square [-5, 5]² of the plane is the unit square of an image


def centres(side: int = 5) -> np.ndarray:
    """The modes, [side², 2] in the unit square."""
    ticks = 2.0 * np.arange(side) - (side - 1)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2) / SPAN + 0.5


def gaussians(argument: str, split: str, num_examples: int = 100_000, sigma: float = 0.05) -> ArraySource:
    """Splits: `train` and `test`, `num_examples` each, of "images" [1, 1, 2] float32 with the mode as label.

    sigma: of each mode, where neighbours are 2 apart.
    """
    if argument:
        raise DataError(f"data set 'gaussians' takes no argument, found {argument!r}")
    modes, by_split = centres(), {}
    for seed, name in enumerate(("train", "test")):
        random = np.random.default_rng(seed)
        label = random.integers(0, len(modes), num_examples).astype(np.int32)
        points = modes[label] + random.normal(0, sigma / SPAN, (num_examples, 2))
        by_split[name] = {"image": points.astype(np.float32)[:, None, None], "label": label}
    std = float(np.hypot(modes[:, 0].std(), sigma / SPAN))
    names = tuple(str(i) for i in range(len(modes)))
    info = labelled_images(names, (1, 1, 2), (0.5, 0.5), (std, std), dtype="float32")
    return ArraySource(slice_arrays(by_split, split), info)
