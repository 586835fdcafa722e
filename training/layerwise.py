"""AdamW whose learning rate falls from the head to the first layers. Clark et al. 2020 (ELECTRA); Bao et al. 2022."""

import math
import re

import jax
import optax

# The first part of a parameter's path: a layer with its numbers, or what comes before all layers; others come last.
LAYER = re.compile(r"(?:block|layer|stage|hidden_|conv|bn|norm|fire)(\d+)(?:_(\d+))?(?:_[a-z]\w*)?(?:/|$)")
BETWEEN = re.compile(r"transition(\d+)(?:/|$)")  # behind all layers of this number
FIRST = re.compile(r"(?:stem|embedding|token|distillation|registers|positions|patches)\w*(?:/|$)")


def adamw_layerwise(
    learning_rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    mask=None,
    layer_decay: float = 0.75,
):
    """AdamW with η · layer_decay^(L − l) for the parameters of layer l of L; see `depths`."""
    adamw = optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)
    return optax.chain(adamw, _scale(layer_decay))


def depths(params) -> dict[str, int]:
    """path -> l: 0 of the embedding, then the layers in the order of their numbers, and L of the head and the rest."""
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
    numbers = {path: _number(path) for path in paths}
    layers = sorted({x for x in numbers.values() if x is not None})
    place = {number: i + 1 for i, number in enumerate(layers)}
    last = len(layers) + 1
    return {p: place[n] if n is not None else 0 if FIRST.match(p) else last for p, n in numbers.items()}


def _number(path: str) -> tuple[float, ...] | None:
    """The place of a layer among the others; None where its name has no number."""
    if found := BETWEEN.match(path):
        return int(found[1]), math.inf
    found = LAYER.match(path)
    return tuple(int(x) for x in found.groups() if x is not None) if found else None


def _scale(layer_decay) -> optax.GradientTransformation:
    def update(updates, state, params=None):
        found = depths(updates)
        last = max(found.values())

        def scaled(path, x):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return x * layer_decay ** (last - found[name])

        return jax.tree_util.tree_map_with_path(scaled, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
