"""Optimizers: optax's own, with every number that is swept kept as an argument of the compiled program.

An optimizer here is a function `(step, hyper) -> optax transformation` that is called inside the trace. What
it builds differs in values only: whether there is momentum is decided by the page, how much by `hyper`. So
the optimizer's state has one structure for all trials of a sweep.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from training import OPTIMIZERS, SCHEDULES
from training.errors import TrainingError, nearest

# What every optimizer's section has, beside the arguments of its optax function.
COMMON = {
    "weight_decay": 0.0,  # as the optimizer defines it; where it has none, L2: λ·w joins the gradient
    "no_decay": (),  # regular expressions over "/"-joined paths, such as ("bias", "scale"): not decayed
    "freeze": (),  # regular expressions: these parameters do not move
    "clip_norm": None,  # largest global norm of the gradient of what is not frozen
    "clip_ratio": None,  # largest norm of a unit's gradient over that of its weights. Brock et al. 2021, equation 3
    "sam_radius": None,  # ρ of sharpness-aware minimisation; it computes the gradient a second time
    "plateau_factor": None,  # shrinks the learning rate by this factor when the training loss stalls, ...
    "plateau_patience": 10,  # windows without improvement before shrinking
    "plateau_window": 1,  # steps per window
}
_STATIC = {"plateau_factor"}  # optax compares it in Python

Optimizer = Callable[[Any, Mapping], optax.GradientTransformationExtraArgs]


def make_optimizer(optimizer: Mapping, schedule: Mapping, *, steps: int) -> Optimizer:
    """The optimizer of a page's sections `optimizer` and `schedule`; keys left out take their defaults.

    Returns a function `(step, hyper) -> optax.GradientTransformationExtraArgs`. The traced numbers in
    `hyper`, {"optimizer": numbers(optimizer), "schedule": the schedule's arguments}, replace those of the
    sections. In order: zero the gradient of what is frozen, SAM, clip, decay, the optimizer, plateau. `update`
    needs `params`, and passes on `value`, `grad` and `value_fn` for line searches and plateaus.

    Raises TrainingError for an unknown name or key, and on `init` for a pattern that no parameter matches.
    """
    name = optimizer["name"]
    function = _load("optimizer", name, OPTIMIZERS)
    section = _complete("optimizer", optimizer, optimizer_defaults(name))
    rate_of = _load("schedule", schedule["name"], SCHEDULES)
    rate = _complete("schedule", schedule, schedule_defaults(schedule["name"]))
    arguments = inspect.signature(function).parameters

    def pick(*names):
        return next((n for n in names if n in arguments), None)

    rate_argument = pick("learning_rate", "max_learning_rate")
    decay_argument = pick("weight_decay", "weight_decay_rate")
    mask_argument = pick("mask", "weight_decay_mask")
    own = [key for key in section if key in arguments and key not in COMMON]
    if section["no_decay"] and decay_argument and not mask_argument:
        raise TrainingError(f"optimizer.no_decay: {name!r} decays all parameters or none")

    frozen = _matching("freeze", section["freeze"])
    undecayed = _matching("no_decay", section["no_decay"])

    def decayed(tree):
        return jax.tree.map(lambda a, b: not (a or b), frozen(tree), undecayed(tree))

    selective = bool(section["freeze"] or section["no_decay"])
    frozen_to_zero = [optax.masked(optax.set_to_zero(), frozen)] if section["freeze"] else []

    def build(step, hyper):
        values = {**section, **hyper["optimizer"]}
        decay, mask = values["weight_decay"], decayed if selective else None
        chain = list(frozen_to_zero)
        if values["sam_radius"] is not None:
            chain += [sharpness_aware(values["sam_radius"]), *frozen_to_zero]
        if values["clip_norm"] is not None:
            chain.append(optax.clip_by_global_norm(values["clip_norm"]))
        if values["clip_ratio"] is not None:
            chain.append(optax.adaptive_grad_clip(values["clip_ratio"]))
        keywords = {key: values[key] for key in own}
        if rate_argument:
            keywords[rate_argument] = rate_of(step, steps=steps, **{**rate, **hyper["schedule"]})
        if not decay_argument:
            chain.append(optax.add_decayed_weights(decay, mask))
        else:
            keywords |= {decay_argument: decay} | ({mask_argument: mask} if mask and mask_argument else {})
        chain.append(function(**keywords))
        if values["plateau_factor"] is not None:
            chain.append(
                optax.contrib.reduce_on_plateau(
                    values["plateau_factor"],
                    patience=values["plateau_patience"],
                    accumulation_size=values["plateau_window"],
                )
            )
        return _keep_dtypes(optax.chain(*chain, *frozen_to_zero))

    return build


def sharpness_aware(radius) -> optax.GradientTransformationExtraArgs:
    """The gradient at w + ρ g / |g| in place of g. Foret et al., ICLR 2021, equations 2 and 3.

    The second pass takes the batch of the step at once, with the noise of its first microbatch; batch statistics move
    with the first pass.
    """

    def update(updates, state, params, *, value_fn, **extra):
        norm = jnp.maximum(optax.tree.norm(updates), jnp.finfo(jnp.float32).tiny)
        nearby = jax.tree.map(lambda w, g: (w + radius / norm * g).astype(w.dtype), params, updates)
        return jax.grad(value_fn)(nearby), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def optimizer_defaults(name: str) -> dict:
    """The keys of the section `optimizer` for this name, with optax's defaults; None is an absent number."""
    arguments = inspect.signature(_load("optimizer", name, OPTIMIZERS)).parameters
    hidden = re.compile("learning_rate|mask|dtype|key$|dimension_numbers|linesearch")
    own = {
        key: argument.default
        for key, argument in arguments.items()
        if not hidden.search(key) and isinstance(argument.default, bool | int | float | str | tuple | None)
    }
    rate = own.pop("weight_decay_rate", None)  # Adafactor's name for it; its default is none at all
    return {**COMMON, **own, **({} if rate is None else {"weight_decay": rate})}


def schedule_defaults(name: str) -> dict:
    """The keys of the section `schedule` for this name: its numbers and their defaults."""
    arguments = inspect.signature(_load("schedule", name, SCHEDULES)).parameters
    return {key: a.default for key, a in arguments.items() if a.default is not inspect.Parameter.empty}


def numbers(section: Mapping) -> dict[str, float]:
    """What is traced of a section `optimizer`: its floats. Integers, booleans, strings shape the program."""
    return {k: v for k, v in section.items() if isinstance(v, float) and k not in _STATIC}


def _load(section, name, table):
    """The function behind `name`: an entry of the table, or "optax…:function".

    Only optax: a stored page may be untrusted and must not import arbitrary modules.
    """
    module, _, attribute = table.get(name, name).partition(":")
    if not attribute or (name not in table and module.partition(".")[0] != "optax"):
        raise TrainingError(f"{section}.name={name!r} is unknown: {nearest(name, table)}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        raise TrainingError(f"{section}.name={name!r}: there is no module {module!r}") from None
    except AttributeError:
        choices = [word for word in dir(importlib.import_module(module)) if word[0] != "_"]
        raise TrainingError(f"{section}.name={name!r} is unknown: {nearest(attribute, choices)}") from None


def _complete(kind, section, defaults):
    """Defaults overlaid by the section, without its name."""
    given = {key: value for key, value in section.items() if key != "name"}
    for key in given:
        if key not in defaults:
            raise TrainingError(f"{kind}.{key} is not a key of {section['name']!r}: {nearest(key, defaults)}")
    return {**defaults, **given}


def _matching(key, patterns):
    """tree -> the same tree of booleans: does one of the patterns occur in the parameter's path?"""
    try:
        expressions = [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise TrainingError(f"optimizer.{key}: {error.pattern!r} is not a regular expression: {error}") from None

    def mask(tree):
        flat, structure = jax.tree_util.tree_flatten_with_path(tree)
        paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
        for expression in expressions:
            if not any(expression.search(path) for path in paths):
                hint = nearest(expression.pattern, paths)
                raise TrainingError(f"optimizer.{key}: {expression.pattern!r} matches no parameter: {hint}")
        return structure.unflatten([any(e.search(path) for e in expressions) for path in paths])

    return mask


def _keep_dtypes(inner):
    """Updates keep the gradient's type and states their own.

    A traced learning rate is a float32 array and not a Python number, so it would turn bfloat16 into float32.
    """

    def update(updates, state, params=None, **extra):
        new = inner.update(updates, state, params, **extra)
        return jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), new, (updates, state))

    return optax.GradientTransformationExtraArgs(inner.init, update)
