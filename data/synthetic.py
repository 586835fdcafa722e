"""A source of any length in constant memory, for benchmarks and tests: noisy gratings, an angle a class."""

import numpy as np

from data.errors import DataError
from data.source import Source, labelled_images, statistics
from data.splits import resolve

SPLITS = ("train", "test")


def synthetic(
    argument: str,
    split: str,
    num_examples: int = 50_000,
    image_size: int = 32,
    channels: int = 3,
    num_classes: int = 10,
) -> "Synthetic":
    """Splits: `train` and `test`, `num_examples` each; example i has class i mod `num_classes`."""
    if argument:
        raise DataError(f"data set 'synthetic' takes no argument, found {argument!r}")
    return Synthetic(split, num_examples, (image_size, image_size, channels), num_classes)


class Synthetic(Source):
    """image = (grating of the class + noise of the id) / 2, a pure function of (split, id)."""

    def __init__(self, split, num_examples, shape, num_classes):
        height, width, channels = shape
        slices = resolve(split, dict.fromkeys(SPLITS, num_examples))
        # A slice of a split is a run of numbers; the test split's numbers begin where those of train end.
        self.starts = np.array([start + SPLITS.index(name) * num_examples for name, start, _ in slices])
        self.ends = np.cumsum([stop - start for _, start, stop in slices])

        angle = np.pi * np.arange(num_classes)[:, None, None] / num_classes
        y, x = np.mgrid[:height, :width] / max(height, width)
        wave = np.sin(2 * np.pi * 3 * (np.cos(angle) * x + np.sin(angle) * y))
        self.gratings = np.repeat((63.5 + 63.5 * wave).astype(np.uint8)[..., None], channels, -1)
        # Noise is a window into one fixed strip: 65,537 (a prime) windows, far faster than a draw per pixel.
        strip = np.random.default_rng(0).integers(0, 128, 65_536 + height * width * channels, np.uint8)
        self.windows = np.lib.stride_tricks.sliding_window_view(strip, height * width * channels)
        self.shape = shape
        mean, std = statistics(self._draw(np.arange(1000))["image"])
        self.info = labelled_images(tuple(str(c) for c in range(num_classes)), shape, mean, std)

    def __len__(self):
        return int(self.ends[-1])

    def fetch(self, ids, keys=None):
        return self._draw(self._numbers(ids))

    def members(self, root):
        return self._numbers(np.arange(len(self))).astype(np.uint64)

    def labels(self):
        return (self._numbers(np.arange(len(self))) % len(self.gratings)).astype(np.int32)

    def _numbers(self, ids: np.ndarray) -> np.ndarray:
        part = np.searchsorted(self.ends, ids, side="right")
        return self.starts[part] + ids - np.concatenate([[0], self.ends])[part]

    def _draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        labels = numbers % len(self.gratings)
        noise = self.windows[numbers * 40_503 % len(self.windows)].reshape(-1, *self.shape)
        return {"image": self.gratings[labels] + noise, "label": labels.astype(np.int32)}
