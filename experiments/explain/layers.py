"""The maps inside a network, by the path of the module that makes them, and explanations by them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.errors import PageError, near


def layers(apply: Callable, variables: Any, shape: tuple[int, int, int]) -> dict[str, tuple[int, int, int]]:
    """path of a module -> (h, w, C) of its map of an image of `shape`, in the order in which they are made."""
    found = {}

    def watch(call, arguments, keywords, context):
        output = call(*arguments, **keywords)
        if context.method_name == "__call__" and context.module.path and getattr(output, "ndim", 0) == 4:
            found["/".join(context.module.path)] = output.shape[1:]
        return output

    with nn.intercept_methods(watch):
        jax.eval_shape(apply, variables, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    return found


def chosen(found: dict[str, tuple[int, int, int]], layer: str = "") -> str:
    """`layer`, or else the last that has more than one place. Raises PageError for an unknown one."""
    if layer:
        if layer not in found:
            raise PageError(f"there is no layer {layer!r} with maps{near(layer, found)}")
        return layer
    spatial = [name for name, (height, width, _) in found.items() if height * width > 1]
    if not spatial:
        raise PageError("the network has no layer with maps")
    return spatial[-1]


def look(apply: Callable, variables: Any, images: jax.Array, layer: str, shift: Any = 0.0) -> tuple:
    """(logits, the map [B, h, w, C] of a layer), with `shift` added to the map before the network goes on."""
    seen = []

    def add(call, arguments, keywords, context):
        output = call(*arguments, **keywords)
        if context.method_name == "__call__" and "/".join(context.module.path) == layer:
            output = output + shift
            seen.append(output)
        return output

    with nn.intercept_methods(add):
        logits = apply(variables, images)
    return logits, seen[-1]


def activations(apply: Callable, variables: Any, image: jax.Array, layer: str) -> jax.Array:
    """[h, w, C], the map of a layer."""
    return look(apply, variables, image[None], layer)[1][0]


def grad_cam(apply: Callable, variables: Any, image: jax.Array, label: int, layer: str) -> jax.Array:
    """[h, w], ReLU(Σ_c α_c A_c), α_c the mean gradient of the logit over map c. Selvaraju et al. 2017, eq. 1 and 2."""

    def score(shift):
        logits, maps = look(apply, variables, image[None], layer, shift)
        return logits[0, label], maps

    shape = jax.eval_shape(lambda x: look(apply, variables, x[None], layer)[1], image)
    gradients, maps = jax.grad(score, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
    return nn.relu((maps * gradients.mean((1, 2), keepdims=True)).sum(-1)[0])


def filters(variables: Any) -> jax.Array:
    """[N, h, w, C], the kernels of the first convolution that reads an image of 1, 3 or 4 channels.

    Raises PageError where there is none.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(variables["params"])
    for path, leaf in flat:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("kernel") and leaf.ndim == 4 and leaf.shape[2] in (1, 3, 4) and leaf.shape[0] > 1:
            return jnp.moveaxis(leaf, -1, 0)
    raise PageError("the network has no convolution of an image, whose filters could be shown")
