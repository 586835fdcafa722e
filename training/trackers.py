"""Who else follows a run: TensorBoard, Weights & Biases, MLflow. `metrics.jsonl` is written in any case.

A resumed run keeps its tracker ids, which are in `trackers.json`. W&B and MLflow
take their settings (address, key, offline mode) from their own environment variables.
"""

import importlib
import json
import logging
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from training.atomic import replace
from training.errors import TrainingError, choose

NAMES = "trackers.json"  # in the work directory: {tracker: what it calls the run}
Hyperparameters = Mapping[str, int | float | bool | str]


class Tracker(Protocol):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Finite numbers, keyed "train/loss"."""

    def image(self, name: str, step: int, image: np.ndarray) -> None:
        """A picture [H, W, C] uint8."""

    def finish(self) -> None:
        """The run has come to its end; without it, it is to go on."""

    def close(self) -> None: ...


def open_trackers(
    names: Sequence[str], workdir: pathlib.Path, start: int, project: str, hyperparameters: Hyperparameters
) -> list[Tracker]:
    """The trackers of a run that begins, or goes on, at step `start`.

    Args:
      project: under which W&B and MLflow file it; its name there is the end of the work directory's path.
      hyperparameters: the page, flat: {"model.depth": 20}.

    Raises:
      TrainingError: an unknown or uninstalled tracker, or one that cannot be reached.
    """
    makers = [(name, choose(TRACKERS, "track.to", name)) for name in names]
    workdir, opened = pathlib.Path(workdir).absolute(), []
    hyperparameters = {name: _utf8(x) if isinstance(x, str) else x for name, x in hyperparameters.items()}
    path = workdir / NAMES
    known = json.loads(path.read_text()) if path.exists() else {}
    for name, make in makers:
        try:
            tracker = make(workdir, start, project, hyperparameters, known.get(name))
        except ImportError as error:
            raise TrainingError(f"track.to: {name} is not installed: pip install -e '.[trackers]'") from error
        except Exception as error:  # each has its own ways to say that it was not reached
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise TrainingError(f"track.to: {name} does not answer: {reason}") from error
        opened.append(tracker)
        if getattr(tracker, "id", None):
            known[name] = tracker.id
            replace(path, json.dumps(known))
    return opened


class Followed:
    """Several trackers as one. One that fails is let go with a line: it must not end the run."""

    def __init__(self, trackers: Sequence[Tracker], warn: Callable[[str], None]):
        self._trackers, self._warn = list(trackers), warn

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        number = lambda x: isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)
        self._each("log", step, {name: value for name, value in values.items() if number(value)})

    def image(self, name: str, step: int, image: np.ndarray) -> None:
        self._each("image", name, step, image)

    def finish(self) -> None:
        self._each("finish")

    def close(self) -> None:
        self._each("close")

    def _each(self, method, *arguments):
        for tracker in list(self._trackers):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:
                self._trackers.remove(tracker)
                reason = next(iter(str(error).strip().splitlines()), "")
                self._warn(f"fovea: {type(tracker).__name__} follows no longer: {type(error).__name__}: {reason}")


class TensorBoard:
    """Events in DIR/events; the page and the final numbers are a row of the HParams tab."""

    def __init__(self, workdir, start, project, hyperparameters, known):
        logging.getLogger("tensorboardX").setLevel(logging.ERROR)
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self._writer = SummaryWriter(str(workdir / "events"), purge_step=start + 1)
        # Without the summary of an experiment, whose columns would be those of one run: the tab then reads all runs.
        _, begin, self._end = hparams(dict(hyperparameters), {})
        self._writer.file_writer.add_summary(begin)

    def log(self, step, values):
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, name, step, image):
        self._writer.add_image(name, image, step, dataformats="HWC")

    def finish(self):
        self._writer.file_writer.add_summary(self._end)

    def close(self):
        self._writer.close()


class Wandb:
    """A run of Weights & Biases; with WANDB_MODE=offline, kept in DIR/wandb for `wandb sync`."""

    def __init__(self, workdir, start, project, hyperparameters, known):
        self._wandb = wandb = importlib.import_module("wandb")
        self._run = wandb.init(
            project=project,
            name=_name(workdir),
            id=known,  # None: it makes one up
            resume="allow",
            config=dict(hyperparameters),
            dir=str(workdir),
            reinit="create_new",  # several runs may be trained in one process
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.id = self._run.id
        self._finished = False

    def log(self, step, values):
        self._run.log(dict(values), step=step)

    def image(self, name, step, image):
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def finish(self):
        self._finished = True

    def close(self):
        self._run.finish(exit_code=0 if self._finished else 1)


class MLflow:
    """A run of MLflow, at MLFLOW_TRACKING_URI."""

    def __init__(self, workdir, start, project, hyperparameters, known):
        mlflow = importlib.import_module("mlflow")
        self._metric, self._client = mlflow.entities.Metric, mlflow.MlflowClient()
        self.id = known
        if known:
            self._client.update_run(known, status="RUNNING")
        else:
            found = self._client.get_experiment_by_name(project)
            experiment = found.experiment_id if found else self._client.create_experiment(project)
            self.id = self._client.create_run(experiment, run_name=_name(workdir)).info.run_id
            parameters = [mlflow.entities.Param(name, str(value)) for name, value in hyperparameters.items()]
            for first in range(0, len(parameters), 100):  # as many as it takes at once
                self._client.log_batch(self.id, params=parameters[first : first + 100])
        self._status = "KILLED"

    def log(self, step, values):
        now = int(1000 * time.time())
        self._client.log_batch(self.id, [self._metric(name, value, now, step) for name, value in values.items()])

    def image(self, name, step, image):
        self._client.log_image(self.id, image, artifact_file=f"{name}/{step}.png")

    def finish(self):
        self._status = "FINISHED"

    def close(self):
        self._client.set_terminated(self.id, self._status)


def _name(workdir: pathlib.Path) -> str:
    return _utf8("/".join(workdir.parts[-2:]))


def _utf8(text: str) -> str:
    """Names of files may have bytes that are not UTF-8, which trackers do not take: "?"."""
    return text.encode("utf-8", "replace").decode()


TRACKERS = {"tensorboard": TensorBoard, "wandb": Wandb, "mlflow": MLflow}
