"""`fovea train`, and its ways of looking closer: a profile, the origin of a NaN, one batch learnt by heart."""

import argparse
import functools
import json
import pathlib
import re
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from experiments.build import Parts, build, model_rates
from experiments.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from experiments.component import PageError
from experiments.page import SUMMARY, flat, override
from experiments.run import Run
from experiments.trials import Program, Trial, use_cores
from training import parallel
from training.debug import origin
from training.errors import TrainingError
from training.loop import Interrupted, StopSignal
from training.records import table


def train(options: argparse.Namespace) -> int:
    if options.distributed or options.coordinator:
        parallel.initialise(options.coordinator, options.processes, options.process)
    if options.overfit:
        return overfit(options.page)
    if not options.workdir:
        raise PageError("train needs --workdir DIR, where records and checkpoints go")
    if options.seeds:
        return together(options)
    page, trace = options.page, pathlib.Path(options.workdir) / "profile"
    if options.debug:  # under `jit` the step is one function of whole arrays, which can be taken apart
        page = override(page, [("devices.kind", "mesh")])
    run = build(page, options.workdir, fork=options.fork)
    wrap = None
    if options.debug:
        wrap = lambda step: watched(run)
    elif options.profile:
        calls = -(-options.profile // page.train.steps_per_call)
        if (WARM_UP + calls) * page.train.steps_per_call > page.train.steps:
            raise PageError(f"--profile {options.profile}: train.steps={page.train.steps} ends before the trace does")
        wrap = lambda step: profiled(step, calls, trace)
    try:
        summary = run.train(wrap, began=options.began)
    except Interrupted as stop:
        print(f"fovea: interrupted at step {stop}; saved: the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    Console().print(table(summary))
    return 0


def together(options: argparse.Namespace) -> int:
    """Trains the page with several seeds, from its own on, as one program: DIR/seed0, DIR/seed1, …"""
    for name in ("profile", "debug", "fork", "distributed", "coordinator"):
        if getattr(options, name):
            raise PageError(f"--{name} is for a single run: not with --seeds")
    page = override(options.page, [("devices.kind", "mesh"), ("devices.fsdp", "1")])
    use_cores(page)
    folder, outcomes = pathlib.Path(options.workdir), {}
    seeds = range(page.train.seed, page.train.seed + options.seeds)
    pages = {seed: override(page, [("train.seed", str(seed))]) for seed in seeds}
    left = [seed for seed in pages if not (folder / f"seed{seed}" / SUMMARY).exists()]
    if left:
        first = build(pages[left[0]], folder / f"seed{left[0]}")
        trials = (
            Trial(
                first.sibling(pages[seed], folder / f"seed{seed}"),
                ended=functools.partial(outcomes.__setitem__, seed),
                quiet=seed != left[0],  # they go side by side: one speaks for all
            )
            for seed in left
        )
        try:
            with StopSignal() as stop:
                Program(first, len(left)).train(trials, stop)
        except Interrupted:
            print("fovea: interrupted; saved: the same command goes on from there", file=sys.stderr)
            return EXIT_INTERRUPTED
    failed = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, Exception)}
    for seed, error in failed.items():
        print(f"fovea: seed {seed}: {error}", file=sys.stderr)
    for seed in pages.keys() - failed.keys():
        Console().print(table(json.loads((folder / f"seed{seed}" / SUMMARY).read_text()), f"seed {seed}"))
    return EXIT_BAD_INPUT if failed else 0


WARM_UP = 3  # calls of the step before a trace: the first compiles, and then the queue fills


def profiled(step: Callable, calls: int, folder: pathlib.Path) -> Callable:
    """`step`, of which `calls` calls after a warm-up are traced into `folder` (read by TensorBoard or Perfetto)."""
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
    """The run's step; a result that is not finite is an error that says which operation made it so.

    The state is not donated, so that the step can be carried out again, equation by equation.
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


# Keys that keep a loss above zero by design, besides the rates that the networks declare.
_REGULARISER = re.compile(r"(^data\.augment|\.(label_smoothing|weight_decay))$")
ZERO, LONGEST = 0.01, 1000  # the loss that counts as zero; steps to reach it in


def overfit(page: ConfigDict) -> int:
    """Whether one fixed batch can be learnt to a loss of about zero: a network that cannot has a bug.

    Augmentation, smoothing, decay and all rates that the networks declare (dropout, stochastic depth) are off; the
    learning rate is the page's. Nothing is written. Returns 0 if it can, 1 if not.
    """
    off = {key: value for key, value in flat(page.to_dict()).items() if _REGULARISER.search(key)} | model_rates(page)
    page = override(page, [(key, {tuple: "()", float: "0"}[type(value)]) for key, value in off.items()])
    parts = Parts(page)
    devices, feed = parts.devices, next(parts.feeds(0))
    state = devices.put_state(parts.initial_state())
    arguments = parts.resident("train"), feed, devices.put(parts.task.frozen()), devices.put(parts.hyper)
    step = devices.train_step(parts.step, state)
    calls = max(min(page.train.steps, LONGEST) // page.train.steps_per_call, 1)
    for call in range(1, calls + 1):
        state, metrics = step(state, *arguments)
        metrics = devices.get(metrics)
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
