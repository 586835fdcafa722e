"""LoRA: a frozen network that learns corrections of low rank to its matrices (Hu et al. 2022).

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, equation 3: W x + (α / r) B A x.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from models.errors import ModelError
from models.layers.precision import exact

PREFIX = "lora_"  # of the parameters that are added; the others have the names of the network alone


class LoRA(nn.Module):
    """The dense layers of a backbone with corrections, and a linear classifier on its features.

    The parameters of the backbone keep their names, so that a run takes them by `train.init_from`, with
    `train.init_except=("lora_",)`; `optimizer.freeze=("^(?!lora_|head)",)` trains the rest alone.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (x, train) -> a dictionary with "pre_logits" [B, D]
    rank: int = 4  # r
    alpha: float = 4.0  # α
    layers: tuple[str, ...] = ("attention/(query|value)$",)  # expressions on the paths of the layers that are corrected
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        nn.share_scope(self, self.backbone)

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> logits [B, num_classes]; with num_classes=0 the dictionary of the backbone.

        Raises ModelError for an expression of `layers` that fits no dense layer.
        """
        unused = set(self.layers)

        def correct(call, arguments, keywords, context):
            y, module = call(*arguments, **keywords), context.module
            if type(module) is not nn.Dense or context.method_name != "__call__":
                return y
            path = "/".join(module.path[len(self.path) :])
            fitting = [pattern for pattern in self.layers if re.search(pattern, path)]
            unused.difference_update(fitting)
            if not fitting:
                return y
            (inputs,), name = arguments, f"{PREFIX}{path.replace('/', '.')}"
            down = self.param(
                f"{name}.a", nn.initializers.lecun_normal(), (inputs.shape[-1], self.rank), self.param_dtype
            )
            up = self.param(f"{name}.b", nn.initializers.zeros, (self.rank, y.shape[-1]), self.param_dtype)
            return y + (self.alpha / self.rank) * (inputs.astype(y.dtype) @ down.astype(y.dtype) @ up.astype(y.dtype))

        with nn.intercept_methods(correct):
            features = self.backbone(x, train)
        if unused:
            raise ModelError(f"layers={min(unused)!r} fits no dense layer of {type(self.backbone).__name__}")
        if not self.num_classes:
            return features
        head = nn.Dense(self.num_classes, dtype=self.dtype, param_dtype=self.param_dtype, name="head")
        return exact(head(features["pre_logits"]))


def merged(network: LoRA, variables: Mapping) -> dict:
    """The variables of the backbone alone (and the head) that give the same answers: W + (α / r) A B."""
    flat = flatten_dict(variables)
    kept = {path: leaf for path, leaf in flat.items() if not path[-1].startswith(PREFIX)}
    for path, down in flat.items():
        if path[-1].startswith(PREFIX) and path[-1].endswith(".a"):
            layer = path[-1].removeprefix(PREFIX).removesuffix(".a")
            up = flat[(*path[:-1], f"{PREFIX}{layer}.b")]
            kernel = (*path[:-1], *layer.split("."), "kernel")
            kept[kernel] = kept[kernel] + (network.alpha / network.rank) * (down @ up)
    return unflatten_dict(kept)
