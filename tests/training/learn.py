"""Trains a task on a handful of examples and judges it on the same ones."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from training.evaluate import Evaluation, make_evaluate_step, needs
from training.step import init_state, make_train_step
from training.task import Task


def learn(task: Task, source, steps: int, rate: float, numbers: Mapping[str, float]) -> tuple[np.ndarray, dict]:
    """All of `source` is one batch, the optimizer is Adam -> (loss of each step [steps], the evaluation after them).

    Args:
      numbers: `hyper["task"]`.
    """
    ids = np.arange(len(source))
    feed = {**source.fetch(ids), "id": ids.astype(np.int32), "mask": np.ones(len(ids), bool)}
    prepare = lambda batch, key=None: batch | {"image": batch["image"].astype(jnp.float32) / 64 - 2}
    optimizers = {"model": lambda step, hyper: optax.adam(rate)}
    key = np.asarray(jax.random.key_data(jax.random.key(0)))
    hyper = {"optimizer": {"model": {}}, "schedule": {"model": {}}, "task": dict(numbers), "key": key}
    state = jax.jit(lambda feed: init_state(task, optimizers, jax.random.key(1), prepare(feed), hyper))(feed)
    step = jax.jit(make_train_step(task, optimizers, prepare), donate_argnums=0)
    losses = []
    for _ in range(steps):
        state, report = step(state, {}, feed, {}, hyper)
        losses.append(float(report["loss"]))
    evaluate = jax.jit(make_evaluate_step(task, prepare, needs(task.evaluators)))
    evaluation = Evaluation(task, source)
    evaluation.add(*jax.device_get(evaluate(state.params, state.stats, {}, feed, {}, key)))
    return np.array(losses), evaluation.compute()
