"""Checkpoints: atomic, asynchronous, and checked when they are read.

A checkpoint holds the state as plain host arrays (so it can be placed on any number of devices), and with it the
config, the metrics and whatever the loop must know to go on to the bit. Orbax restores a flipped byte as silently wrong
values; so each leaf's digest is stored and verified, and so is each file's.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import pathlib
import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from training.errors import TrainingError
from training.plain_path import PlainPath

_FILES = "files.json"  # written beside the arrays once a checkpoint is complete: the digest of every file


def leaves(state) -> dict[str, np.ndarray]:
    """The leaves of a pytree by path: "params/model/conv/kernel"."""
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def describe(state) -> dict[str, list]:
    """path -> [shape, dtype, digest] of each leaf."""
    return {
        path: [list(x.shape), str(x.dtype), zlib.crc32(np.ascontiguousarray(x).tobytes())]
        for path, x in leaves(state).items()
    }


class Checkpoints:
    """The checkpoints of one run: the last two and the best are kept.

    Args:
      directory: holds one sub-directory per step.
      warn: called with one line when a damaged checkpoint is passed over.
    """

    def __init__(self, directory: pathlib.Path, warn=print):
        self.directory = pathlib.Path(directory).resolve()
        self.warn = warn
        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax narrates each save
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_LastTwoAndBest(self),
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._seal),
        )
        self._plain = PlainPath(self.directory)
        self._manager = ocp.CheckpointManager(self._plain.path, options=options)
        # Scores are in the body of each checkpoint: orbax's own metrics make it fail to open on a damaged one.
        self._scores = {step: self._stored_score(step) for step in self.steps()}

    def save(self, step: int, state: Any, body: dict, score: float | None = None) -> None:
        """Begins to write `state` (host arrays) and `body` (JSON) and returns; `score`: higher is better.

        Raises:
          TrainingError: if this or the previous save failed (a full disk, say). Earlier checkpoints stay.
        """
        if step in self._manager.all_steps():
            return
        text = json.dumps({**body, "score": score if _ranks(score) else None, "leaves": describe(state)})
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(leaves(state)),
            body=ocp.args.JsonSave({"text": text, "digest": _sha256(text.encode())}),
        )
        self._scores[step] = score
        try:
            self._manager.save(step, args=args)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failure(step, error) from error

    def wait(self) -> None:
        """Returns once everything is on disk; raises TrainingError if it could not be written."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failure(None, error) from error
        self._seal()

    def close(self) -> None:
        self._manager.close()
        self._plain.close()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def best(self) -> int | None:
        """The step with the highest score; the earliest of equals. None where no checkpoint has a finite score."""
        scored = [step for step in self.steps() if _ranks(self._scores.get(step))]
        return max(scored, key=lambda step: (self._scores[step], -step), default=None)

    def restore(self, template: Any, step: int | None = None) -> tuple[int, Any, dict] | None:
        """Reads `step`, or the newest checkpoint that is sound.

        Args:
          template: pytree of arrays or `ShapeDtypeStruct` with the structure, shapes and dtypes expected.

        Returns:
          (step, state as host arrays, body), or None where there is no checkpoint at all.

        Raises:
          TrainingError: no sound checkpoint, an unknown step, or one of another model.
        """
        if step is None and not self.steps():
            return None
        step, arrays, body = self._sound(step, template)
        state = jax.tree.unflatten(jax.tree.structure(template), [arrays[path] for path in leaves(template)])
        return step, state, body

    def cut(self, step: int) -> None:
        """Removes the checkpoints after `step`, which are damaged: the run resumes there and saves them again."""
        for later in [s for s in self.steps() if s > step]:
            self._manager.delete(later)

    def arrays(self, step: int | None = None) -> dict[str, np.ndarray]:
        """The leaves, by path, of checkpoint `step`, else of the best, else of the newest."""
        return self._sound(self.best() if step is None else step)[1]

    def _sound(self, step=None, template=None):
        steps = self.steps()
        if step is not None and step not in steps:
            raise TrainingError(f"no checkpoint of step {step} in {self.directory}: there is {steps or 'none'}")
        for candidate in [step] if step is not None else reversed(steps):
            try:
                body = self.body(candidate)
                if template is not None:
                    check_same_model(template, body["leaves"], self.directory / str(candidate))
                return candidate, self._read(candidate, body), body
            except Damaged as damage:
                self.warn(f"checkpoint {self.directory / str(candidate)} is damaged ({damage}): not used")
        raise TrainingError(f"no sound checkpoint in {self.directory}")

    def body(self, step: int) -> dict:
        """The JSON part of a checkpoint, verified together with its files. Raises Damaged."""
        self._verify_files(step)
        try:
            stored = self._manager.restore(step, args=ocp.args.Composite(body=ocp.args.JsonRestore()))["body"]
            if _sha256(stored["text"].encode()) != stored["digest"]:
                raise Damaged("its description does not match its digest")
            return json.loads(stored["text"])
        except Damaged:
            raise
        except Exception as error:  # whatever orbax makes of broken bytes
            raise Damaged(_line(error)) from error

    def _stored_score(self, step: int) -> float | None:
        try:
            return self.body(step)["score"]
        except Damaged:
            return None

    def _read(self, step: int, body: dict) -> dict[str, np.ndarray]:
        shapes = {path: np.empty(shape, dtype) for path, (shape, dtype, _) in body["leaves"].items()}
        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
            arrays = self._manager.restore(step, args=args)["state"]
        except Exception as error:  # whatever orbax makes of broken bytes
            raise Damaged(_line(error)) from error
        arrays = {path: np.asarray(x) for path, x in arrays.items()}
        for path, found in describe(arrays).items():
            if found != body["leaves"][path]:
                raise Damaged(f"{path} does not match its digest")
        return arrays

    def _seal(self) -> None:
        """Writes the digests of the files of complete checkpoints that have none yet."""
        if jax.process_index() != 0:
            return
        for folder in self.directory.iterdir():
            if folder.name.isdigit() and not (folder / _FILES).exists():
                partial = self.directory / f".{folder.name}.{_FILES}"
                partial.write_text(json.dumps(_digests(folder)))
                partial.rename(folder / _FILES)

    def _verify_files(self, step: int) -> None:
        folder = self.directory / str(step)
        listing = folder / _FILES
        if not listing.exists():  # killed between orbax's commit and the seal: the leaf digests still hold
            return
        try:
            expected = json.loads(listing.read_text())
        except ValueError as error:
            raise Damaged(f"{_FILES} is not readable") from error
        found = _digests(folder)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise Damaged(f"{name} does not match its digest")

    def _failure(self, step, error) -> TrainingError:
        with contextlib.suppress(Exception):  # a save before it may still be under way, and good
            self._manager.wait_until_finished()
        what = "a checkpoint" if step is None else f"the checkpoint of step {step}"
        kept = [s for s in self.steps() if s != step]
        last = f"the last good one is step {kept[-1]}" if kept else "there is no earlier one"
        return TrainingError(f"cannot save {what} in {self.directory}: {_line(error)}; {last}")


def has_checkpoints(workdir: pathlib.Path) -> bool:
    """Whether a run has saved a checkpoint in its work directory."""
    return any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))


def trained(workdir: str | pathlib.Path) -> dict[str, dict]:
    """What a run learnt: {"params": ..., "stats": ...}, keyed by player, of its best checkpoint, else its newest.

    The parameters are those that evaluation used: the moving average where there is one. For a task's `frozen`, and
    for fine-tuning: `network.apply({"params": t["params"]["model"], **t["stats"].get("model", {})}, ...)`.

    Raises TrainingError where there is no checkpoint.
    """
    directory = pathlib.Path(workdir) / "checkpoints"
    if not directory.is_dir():
        raise TrainingError(f"{str(workdir)!r} is not a work directory with checkpoints")
    stored = Checkpoints(directory).arrays()
    tree = {"params": {}, "stats": {}}
    for path, x in stored.items():
        kind, *names = path.split("/")
        if kind in tree:
            node = functools.reduce(lambda node, name: node.setdefault(name, {}), [kind, *names[:-1]], tree)
            node[names[-1]] = stored.get("/".join(["ema", *names]), x) if kind == "params" else x
    return tree


@dataclasses.dataclass
class _LastTwoAndBest(preservation_policy.PreservationPolicy):
    checkpoints: Checkpoints

    def should_preserve(self, checkpoints, *, context):
        steps = [c.step for c in checkpoints]
        keep = {*sorted(steps)[-2:], self.checkpoints.best()}
        return [step in keep for step in steps]


class Damaged(Exception):
    """A checkpoint whose bytes are not those that were written."""


def check_same_model(template, stored, where) -> None:
    """Raises TrainingError naming the first leaf in which a stored state differs from the one expected.

    Both are pytrees of arrays, or what `describe` makes of one.
    """
    expected, found = _shapes(template), _shapes(stored)
    for path in [*expected, *(p for p in found if p not in expected)]:
        ours, theirs = expected.get(path, "absent"), found.get(path, "absent")
        if ours != theirs:
            raise TrainingError(f"{where} is of another model: {path} is {theirs} there and {ours} here")


def _shapes(tree) -> dict[str, str]:
    described = isinstance(tree, dict) and all(isinstance(x, list) for x in tree.values())
    pairs = tree.items() if described else ((p, (x.shape, x.dtype)) for p, x in leaves(tree).items())
    return {path: f"{tuple(x[0])} {x[1]}" for path, x in pairs}


def _digests(folder: pathlib.Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != _FILES)
    return {str(f.relative_to(folder)): _sha256(f.read_bytes()) for f in files}


def _ranks(score: float | None) -> bool:
    """Whether a score ranks a checkpoint: NaN and infinities do not."""
    return score is not None and math.isfinite(score)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
