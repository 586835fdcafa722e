"""What a run shows of itself while it trains: samples of fixed noise, and its views of fixed examples.

They are kept as DIR/samples/step_N.png and DIR/examples/step_N.png, and at the end as a GIF of each.
"""

import copy
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from data.pipeline import examples, in_order
from data.source import Source
from experiments.build.parts import Parts
from training import samples
from training.evaluate import make_predict_step, variables
from training.views import View, panel

POINTS, EXAMPLES = 2000, 8
FOLDERS = ("samples", "examples")


class Snapshots:
    """Makes and draws for one run; what is compiled is kept."""

    def __init__(self, parts: Parts):
        self.parts, self.task, self.devices = parts, parts.task, parts.devices
        self._steps: dict[Any, Any] = {}  # compiled

    def sibling(self, parts: Parts) -> "Snapshots":
        """That of another run of the same program: what is compiled is shared."""
        other = copy.copy(self)
        other.parts = parts
        return other

    def draw(
        self, state, condition: Mapping[str, np.ndarray], seed: int = 0, options: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """What the task makes, on the host, [N, ...] each; arrays of the shape of the data's images are in [0, 1].

        Args:
          state: placed.
          condition: of N samples, see training.task.Makes.
          seed: what a sample's noise depends on, together with the sample's number.
          options: of Makes.options, where they differ from the defaults.
        """
        condition = {**self.condition(len(condition["id"]), given=condition), **condition}
        step = self._make_step(tuple((options or {}).items()))
        made = self._rows(step, state, condition, seed)
        return self.restored(made, [name for name, x in made.items() if x.shape[1:] == self.parts.info.shape])

    def predict(self, state, batch: Mapping[str, np.ndarray], size: int | None = None) -> dict[str, np.ndarray]:
        """The task's outputs for a batch as a source gives it, [N, ...] each.

        Args:
          size: examples per call; by default the page's evaluation batch, or less where there are fewer examples.
        """
        count = len(batch["image"])
        feed = {**batch, "id": np.arange(count, dtype=np.int32), "mask": np.ones(count, bool)}
        outputs = self._rows(self._predict_step, state, feed, self.parts.root_key, size)
        return {name: x for name, x in outputs.items() if name not in ("id", "mask")}

    def picture(self, made: np.ndarray, columns: int = samples.COLUMNS) -> np.ndarray:
        """uint8 [h, w, 3] of images [N, H, W, C] in [0, 1], or of points [N, 1, 1, 2] over those of the data."""
        if made.shape[1:] != (1, 1, 2):
            return samples.grid(made, columns)
        source = self.parts.source("train")
        data = source.fetch(np.arange(min(POINTS, len(source))))["image"]
        return samples.scatter(made.reshape(-1, 2), data.reshape(-1, 2))

    def take(self, state) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
        """(folder, () -> picture of the state as it is)."""
        makes = self.task.makes
        if makes is not None and makes.kind in ("image", "array"):
            number = makes.count or (self.parts.page.train.samples if makes.kind == "image" else POINTS)
            yield "samples", lambda: self.picture(self.draw(state, self.condition(number))[makes.kind])
        if any(self._pictures(view) for view in self.task.views):
            name = "validation" if self.parts.has("validation") else "train"
            yield "examples", lambda: self.examples(state, name, spread(self.parts.source(name)))

    def condition(self, number: int, given: Collection[str] = ()) -> dict[str, np.ndarray]:
        """The numbers of samples, and what the task requires and is not `given`, taken from the validation split."""
        condition = {"id": np.arange(number, dtype=np.int32)}
        required = [name for name, wanted in self.task.makes.given.items() if wanted.required and name not in given]
        if required:
            source = self.parts.source("validation" if self.parts.has("validation") else "train")
            batch = self.parts.view({**source.fetch(np.arange(number) % len(source)), "id": condition["id"]})
            condition |= {name: np.asarray(batch[name]) for name in required}
        return condition

    def examples(self, state, name: str, ids: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3]: a column for each of the examples `ids` of a set or split, a row for each of the views."""
        source = self.parts.source(name)
        batch = examples(source, in_order(source, ids))
        return panel(self.task.views, self.shown(batch, self.predict(state, batch)), self.parts.info)

    def shown(self, batch: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        """One dictionary for each example, for the views: its fields and outputs; images in [0, 1] or uint8."""
        scaled = {name for view in self.task.views for name in view.images} & outputs.keys()
        fields = {**batch, **self.restored(outputs, scaled)}
        return [{name: x[i] for name, x in fields.items()} for i in range(len(batch["image"]))]

    def restored(self, arrays: Mapping[str, np.ndarray], images: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays, with those called `images` brought from the network's scale to [0, 1]."""
        return {name: self.parts.restore(x) if name in images else x for name, x in arrays.items()}

    def _pictures(self, view: View) -> bool:
        """Whether a view shows something that the network made."""
        return bool(set(view.needs) - self.parts.info.fields.keys()) and bool(view.images)

    def _rows(self, step, state, feed, seed, size=None) -> dict[str, np.ndarray]:
        """What `step` gives for all rows of `feed`, `size` at a time; the last batch is padded."""
        devices, count = self.devices, len(feed["id"])
        params, stats, _ = variables(state)
        data = seed if isinstance(seed, np.ndarray) else jax.random.key_data(jax.random.key(seed))
        key, frozen, none = devices.put(data), self.parts.placed_frozen, devices.put({})
        size = size or min(count, self.parts.page.train.evaluate_batch_size)
        size = -(-size // jax.device_count()) * jax.device_count()
        rows = size // jax.process_count()
        found = []
        for start in range(jax.process_index() * rows, count + jax.process_index() * rows, size):
            ids = np.minimum(start + np.arange(rows), count - 1)  # padding repeats the last
            placed = devices.put_batch({name: x[ids] for name, x in feed.items()})
            found.append(devices.get_rows(step(params, stats, none, placed, frozen, key)))
        return {name: np.concatenate([part[name] for part in found])[:count] for name in found[0]}

    def _make_step(self, options: tuple[tuple[str, Any], ...]):
        def make(params, stats, resident, condition, frozen, key):
            key = jax.random.wrap_key_data(key)
            return self.task.makes.draw(params, stats, key, condition, frozen, **dict(options))

        if options not in self._steps:
            self._steps[options] = self.devices.predict_step(make)
        return self._steps[options]

    @property
    def _predict_step(self):
        if "predict" not in self._steps:
            self._steps["predict"] = self.devices.predict_step(make_predict_step(self.task, self.parts.view))
        return self._steps["predict"]


def spread(source: Source) -> np.ndarray:
    """The ids of at most EXAMPLES examples, at equal distances over the split."""
    return np.unique(np.linspace(0, len(source) - 1, EXAMPLES).astype(np.int64))


def blank_fields(parts: Parts, images: np.ndarray) -> dict[str, np.ndarray]:
    """A batch of images [N, H, W, C] without truth: every other field has the value of padding."""
    batch, (count, *size, _) = {"image": images}, images.shape
    for name, field in parts.info.fields.items():
        if name == "image":
            continue
        shape = (*size, *field.shape[2:]) if field.kind in ("image", "mask", "map") else field.shape
        batch[name] = np.full((count, *shape), field.outside, field.dtype)
    return batch


def save_snapshot(name: str, picture: np.ndarray, workdir: pathlib.Path, step: int, records) -> None:
    """Keeps a picture of a step, as a file and for the trackers."""
    (workdir / name).mkdir(exist_ok=True)
    Image.fromarray(picture).save(workdir / name / f"step_{step:08d}.png")
    records.image(name, step, picture)


def save_gifs(workdir: pathlib.Path) -> None:
    """A GIF of each kind of picture there is."""
    for name in FOLDERS:
        if any((workdir / name).glob("*.png")):
            samples.film(workdir / name, workdir / f"{name}.gif")
