"""A closer look at a run: a profile of its step, the origin of a NaN, whether it can overfit one batch."""

import pathlib
import re
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.build.networks import model_rates
from experiments.build.parts import Parts
from experiments.pages.overrides import override
from experiments.pages.stored import flat
from experiments.runs.run import Run
from training.debug import origin
from training.errors import TrainingError
from training.step import COUNTED

WARM_UP = 3  # calls of the step before a trace: the first compiles, and then the queue fills


def profiled(step: Callable, calls: int, folder: pathlib.Path) -> Callable:
    """`step`, with `calls` calls after a warm-up traced into `folder` (for TensorBoard or Perfetto)."""
    done = 0

    def call(*arguments):
        nonlocal done
        if done == WARM_UP:
            jax.block_until_ready(arguments)
            jax.profiler.start_trace(str(folder))
        outputs = step(*arguments)
        done += 1
        if done == WARM_UP + calls:
            jax.block_until_ready(outputs)
            jax.profiler.stop_trace()
            print(f"fovea: traced {calls} calls of the step into {folder}", file=sys.stderr)
        return outputs

    return call


def watched(run: Run) -> Callable:
    """The run's step; raises TrainingError with the operation that made a result infinite or NaN.

    The state is not donated, so that the step can be repeated equation by equation.
    """
    step = jax.jit(run.parts.step)
    finite = jax.jit(lambda tree: jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)])))

    def call(state, *arguments):
        new, metrics = step(state, *arguments)
        losses = [x for name, x in metrics.items() if name.endswith("loss")]
        if not finite((new.params, losses)):
            where = origin(run.parts.step, *run.devices.get((state, *arguments)))
            raise TrainingError(f"step {int(new.step)} is not finite: {where or 'only as compiled, not in parts'}")
        return new, metrics

    return call


# Regularisation, which keeps a loss above zero by design.
_REGULARISER = re.compile(r"(^data\.augment|\.(label_smoothing|weight_decay))$")
ZERO, LONGEST = 0.01, 1000  # the loss that counts as zero; the most steps to reach it


def overfit(page: ConfigDict) -> int:
    """Trains on one fixed batch: a network that cannot reach a loss of about zero has a bug.

    Augmentation, smoothing, decay and all rates that the networks declare (dropout, stochastic depth) are off; the
    learning rate is the page's. Nothing is written. Returns 0 if the loss falls below `ZERO`, 1 if not.
    """
    off = {key: value for key, value in flat(page.to_dict()).items() if _REGULARISER.search(key)} | model_rates(page)
    page = override(page, [(key, {tuple: "()", float: "0"}[type(value)]) for key, value in off.items()])
    parts = Parts(page)
    devices, feed = parts.devices, next(parts.feeds(0))
    state = devices.put_state(parts.initial_state())
    arguments = parts.resident("train"), feed, parts.placed_frozen, devices.put(parts.hyper)
    step = devices.train_step(parts.step, state)
    calls = max(min(page.train.steps, LONGEST) // page.train.steps_per_call, 1)
    for call in range(1, calls + 1):
        state, metrics = step(state, *arguments)
        metrics = devices.get(metrics)
        if not all(np.all(x) for name, x in metrics.items() if name.endswith(COUNTED)):
            raise TrainingError("nothing in this batch has a label that counts: its loss measures nothing")
        loss = max(float(np.ravel(x)[-1]) for name, x in metrics.items() if name.endswith("loss"))
        done = call * page.train.steps_per_call
        passed = loss < ZERO
        if passed or call == calls or done % page.train.log_every == 0:
            print(f"step {done}  loss {loss:.4g}")
        if passed or not np.isfinite(loss):
            break
    verdict = "pass" if passed else "FAIL"
    print(f"overfit: {verdict}: loss {loss:.4g} after {done} steps on one batch (below {ZERO} is zero)")
    return 0 if passed else 1
