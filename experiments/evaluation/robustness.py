"""The accuracy of a classifier on pictures made to be taken wrong."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import PageError, near
from experiments.evaluation.scores import batches
from experiments.explain import attacks
from training.evaluate import variables

ATTACKS = ("fgsm", "pgd")


def accuracies(run: Any, name: str, attack: str, epsilons: Sequence[float], step: int | None = None) -> list[float]:
    """One for each ε, which is in units of 1/255 of the range of a pixel; of ε = 0 the plain accuracy.

    Raises PageError for an unknown attack, or a run that is not of a classifier.
    """
    if attack not in ATTACKS:
        raise PageError(f"--attack {attack}{near(attack, ATTACKS)}")
    if run.page.task.name != "classification":
        raise PageError(f"{run.workdir}: the task {run.page.task.name!r} has no logits of classes")
    state, _, _ = run.restore(step)
    params, stats, _ = variables(state)
    own = {"params": params["model"], **stats["model"]}
    network, prepare = run.parts.networks["model"], run.parts.prepare
    apply = lambda v, x: network.apply(v, prepare({"image": x})["image"], train=False)
    logits = jax.jit(apply)
    right, count = np.zeros(len(epsilons)), 0
    for number, batch in enumerate(batches(run, name)):
        images = jnp.asarray(batch["image"], jnp.float32) / 255
        labels, known = jnp.maximum(batch["label"], 0), batch["label"] >= 0
        make = {
            "fgsm": functools.partial(attacks.fgsm, apply, own, images, labels),
            "pgd": functools.partial(attacks.pgd, apply, own, images, labels, key=jax.random.key(number)),
        }[attack]
        for i, epsilon in enumerate(epsilons):
            found = logits(own, make(epsilon=epsilon / 255) if epsilon else images)
            right[i] += (known & (np.asarray(found).argmax(-1) == batch["label"])).sum()
        count += known.sum()
    return [float(x) for x in right / count]
