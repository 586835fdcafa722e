"""A run whose loss is no longer finite stops, says at which step, and keeps what was good."""

import re

import jax
import numpy as np
import pytest

from experiments.pages import page
from experiments.runs.run import build
from training.checkpoint import Checkpoints
from training.errors import TrainingError


def diverging(**train):
    """An MLP whose parameters grow by orders of magnitude a step until they leave float32."""
    return page(
        model=dict(name="mlp", hidden=(16,)),
        task=dict(name="classification"),
        data=dict(name="digits", validation="test"),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=100.0),
        schedule=dict(name="constant", peak=0.1),
        train=dict(dict(batch_size=64, steps=60, log_every=1, evaluate_every=60, checkpoint_every=60), **train),
    )


def stops_at(workdir, **train) -> int:
    with pytest.raises(TrainingError) as caught:
        build(diverging(**train), workdir).train()
    (line,) = str(caught.value).splitlines()
    return int(re.search(r"(?:loss|parameter_norm) is (?:nan|-?inf) at step (\d+)", line)[1])


def test_the_step_is_exact_however_seldom_it_looks(tmp_path):
    step = stops_at(tmp_path / "every")
    assert 5 < step < 60
    assert stops_at(tmp_path / "seldom", log_every=60) == step
    assert stops_at(tmp_path / "calls", log_every=60, steps_per_call=4) == step
    # By hand: the last step after which everything is finite is the one before.
    run = build(diverging(), tmp_path / "hand")
    state = run.devices.put_state(run.parts.initial_state())
    arguments = run.parts.resident("train"), run.devices.put({}), run.devices.put(run.parts.hyper)
    train_step, feeds = run.devices.train_step(run.parts.step, state), run.parts.feeds(0)
    for done in range(1, step + 1):
        resident, frozen, hyper = arguments
        state, metrics = train_step(state, resident, next(feeds), frozen, hyper)
        metrics = run.devices.get(metrics)
        finite = all(np.isfinite(metrics[name]) for name in ("loss", "parameter_norm"))
        assert finite == (done < step)
    feeds.close()


def test_the_last_good_checkpoint_stays(tmp_path):
    step = stops_at(tmp_path, checkpoint_every=4)
    checkpoints = Checkpoints(tmp_path / "checkpoints", pytest.fail)
    assert checkpoints.steps()[-1] == (step - 1) // 4 * 4
    state = build(diverging(checkpoint_every=4), tmp_path).restore()[0]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
