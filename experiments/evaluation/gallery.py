"""What a generative run shows of itself while it trains: samples of fixed noise, reconstructions of fixed images.

They stand as DIR/samples/step_N.png and DIR/reconstructions/step_N.png, and in the end as a GIF of each.
"""

import functools
import pathlib
from typing import Any

import jax
import numpy as np
from PIL import Image

from training import samples
from training.evaluate import make_predict_step, variables

SAMPLES, POINTS, RECONSTRUCTIONS = 80, 2000, 40


class Gallery:
    """Draws for an `experiments.runs.run.Run`."""

    def __init__(self, run):
        self.parts, self.task, self.devices = run.parts, run.task, run.devices

    def draw(self, state, condition: dict[str, np.ndarray], seed: int, **static) -> np.ndarray:
        """Samples [N, H, W, C] as the data are, in [0, 1].

        Args:
          state: placed.
          condition: of N samples, see `Task.sample`.
          seed: with its number, all that a sample's noise depends on.
          static: what the task's `sample` takes besides.
        """
        return self.parts.restore(self._images(self._sample_step(tuple(static.items())), state, condition, seed))

    def _images(self, step, state, feed, seed) -> np.ndarray:
        """What `step` gives for all rows of `feed`, which are shared out in batches."""
        devices, count = self.devices, len(feed["id"])
        params, stats, _ = variables(state)
        frozen, key = devices.put(self.task.frozen()), devices.put(jax.random.key_data(jax.random.key(seed)))
        size = -(-min(count, self.parts.page.train.evaluate_batch_size) // jax.device_count()) * jax.device_count()
        rows = size // jax.process_count()
        images = []
        for start in range(jax.process_index() * rows, count + jax.process_index() * rows, size):
            ids = np.minimum(start + np.arange(rows), count - 1)  # padding repeats the last
            placed = devices.put_batch({name: x[ids] for name, x in feed.items()})
            images.append(devices.get_rows(step(params, stats, devices.put({}), placed, frozen, key))["image"])
        return np.concatenate(images)[:count]

    def picture(self, images: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3] of samples as `draw` gives them; "images" that are points are drawn in the plane."""
        if self.parts.info.shape != (1, 1, 2):
            return samples.grid(images)
        source = self.parts.source("train")
        data = source.fetch(np.arange(min(POINTS, len(source))))["image"]
        return samples.scatter(images.reshape(-1, 2), data.reshape(-1, 2))

    def snapshots(self, state) -> dict[str, np.ndarray]:
        """name -> picture of the state as it is."""
        found = {}
        if self.task.sample is not None:
            number = POINTS if self.parts.info.shape == (1, 1, 2) else SAMPLES
            found["samples"] = self.picture(self.draw(state, {"id": np.arange(number, dtype=np.int32)}, seed=0))
        if self.task.reconstructs:
            found["reconstructions"] = self._reconstructions(state)
        return found

    def _reconstructions(self, state) -> np.ndarray:
        """Rows of images as the network sees them, and below each row what it makes of them."""
        source = self.parts.source("validation" if self.parts.has("validation") else "train")
        ids = np.arange(RECONSTRUCTIONS) % len(source)
        feed = {**source.fetch(ids), "id": ids.astype(np.int32), "mask": np.ones(len(ids), bool)}
        made = self._images(self._reconstruct_step, state, feed, seed=0)
        rows = np.stack([self.parts.view(feed)["image"], made]).reshape(2, -1, samples.COLUMNS, *made.shape[1:])
        return samples.grid(self.parts.restore(rows.swapaxes(0, 1).reshape(-1, *made.shape[1:])))

    @functools.cache  # noqa: B019 - lives as long as the run
    def _sample_step(self, static: tuple[tuple[str, Any], ...]):
        def sample(params, stats, resident, condition, frozen, key):
            key = jax.random.wrap_key_data(key)
            return {"image": self.task.sample(params, stats, key, condition, frozen, **dict(static))}

        return self.devices.predict_step(sample)

    @functools.cached_property
    def _reconstruct_step(self):
        predict = make_predict_step(self.task, self.parts.view)
        return self.devices.predict_step(lambda *arguments: {"image": predict(*arguments)["image"]})


def save_snapshots(pictures: dict[str, np.ndarray], workdir: pathlib.Path, step: int, records) -> None:
    """Keeps pictures of a step, as files and for TensorBoard."""
    for name, picture in pictures.items():
        (workdir / name).mkdir(exist_ok=True)
        Image.fromarray(picture).save(workdir / name / f"step_{step:08d}.png")
        records.image(name, step, picture)


def save_gifs(workdir: pathlib.Path) -> None:
    """A GIF of each kind of picture there is."""
    for name in ("samples", "reconstructions"):
        if any((workdir / name).glob("*.png")):
            samples.film(workdir / name, workdir / f"{name}.gif")
