"""DETR: a transformer answers with a set of boxes (Carion et al. 2020).

Carion, Massa, Synnaeve, Usunier, Kirillov, Zagoruyko, "End-to-End Object Detection with Transformers", ECCV 2020,
section 3 and figure 10. Its loss is training/tasks/detr.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.errors import ModelError, choose
from models.layers.dropout import Dropout
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port


def positions(height: int, width: int, channels: int) -> np.ndarray:
    """[height · width, channels]: sines and cosines of the row, then of the column, each from 0 to 2π over the map."""
    count = channels // 2
    frequency = 10_000.0 ** (2 * (np.arange(count) // 2) / count)

    def along(n):
        angle = (np.arange(1, n + 1) / (n + 1e-6) * 2 * np.pi)[:, None] / frequency
        return np.stack([np.sin(angle[:, 0::2]), np.cos(angle[:, 1::2])], 2).reshape(n, count)

    rows, columns = along(height), along(width)
    shape = height, width, count
    both = np.broadcast_to(rows[:, None], shape), np.broadcast_to(columns[None], shape)
    return np.concatenate(both, 2).reshape(height * width, channels)


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V with `heads` heads, where queries and keys carry positions and values do not."""

    heads: int
    dense: Any

    @nn.compact
    def __call__(self, queries, keys, values):
        """queries: [B, N, C]; keys and values: [B, M, C] -> [B, N, C]."""
        channels = queries.shape[-1]
        split = lambda name, x: self.dense(channels, name=name)(x).reshape(*x.shape[:2], self.heads, -1)
        query, key, value = split("query", queries), split("key", keys), split("value", values)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query / math.sqrt(query.shape[-1]), key)
        weights = jax.nn.softmax(exact(scores)).astype(value.dtype)
        heads = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
        return self.dense(channels, name="out")(heads.reshape(queries.shape))


class Layer(nn.Module):
    """Self-attention, attention to a memory where there is one, and a perceptron; each is added, then normalised."""

    heads: int
    hidden: int
    rate: float
    train: bool
    dense: Any
    norm: Any

    @nn.compact
    def __call__(self, x, place, memory=None, memory_place=None):
        """x: [B, N, C] with positions `place` [.., N, C]; memory: [B, M, C] with `memory_place` -> [B, N, C]."""

        def add(x, y, name):
            return self.norm(name=name)(x + Dropout(self.rate)(y, self.train))

        attention = partial(Attention, self.heads, self.dense)
        x = add(x, attention(name="self")(x + place, x + place, x), "norm1")
        if memory is not None:
            x = add(x, attention(name="cross")(x + place, memory + memory_place, memory), "norm2")
        y = Dropout(self.rate)(nn.relu(self.dense(self.hidden, name="fc1")(x)), self.train)
        return add(x, self.dense(x.shape[-1], name="fc2")(y), "norm3")


class DETR(nn.Module):
    """An encoder over the backbone's last map, and a decoder whose learnt queries each become a box or nothing."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    backbone: nn.Module  # (image, train) -> {level: map}
    level: str = "stage4"  # of the backbone
    queries: int = 100  # the most objects that it can find
    width: int = 256
    heads: int = 8
    hidden: int = 2048  # of the perceptrons
    encoder: int = 6  # layers
    decoder: int = 6
    dropout_rate: float = 0.1  # not on the attention weights, which the authors drop too
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, for Q queries after each of the L layers of the decoder:

        logits [B, L, Q, K + 1]: of each class, and last of nothing
        boxes [B, L, Q, 4]: (x, y, width, height), the centre and the sides over those of the image, in [0, 1]

        Without a head it is the dictionary of the backbone.
        """
        maps = self.backbone(x, train)
        if self.headless:
            return maps
        if self.width % self.heads or self.width % 4:
            raise ModelError(f"width={self.width} is not a multiple of heads={self.heads} and of 4")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        dense = partial(nn.Dense, kernel_init=nn.initializers.xavier_uniform(), **types)
        norm = normalisation("layer", train, None, **types)
        layer = partial(Layer, self.heads, self.hidden, self.dropout_rate, train, dense, norm)

        x = nn.Conv(self.width, (1, 1), name="project", **types)(choose(maps, "level", self.level))
        batch, height, width, _ = x.shape
        place = jnp.asarray(positions(height, width, self.width), x.dtype)
        memory = x.reshape(batch, height * width, self.width)
        for i in range(self.encoder):
            memory = layer(name=f"encoder{i}")(memory, place)

        shape = self.queries, self.width
        queries = self.param("queries", nn.initializers.normal(1.0), shape, self.param_dtype).astype(x.dtype)
        y, answers, last = jnp.zeros((batch, *shape), x.dtype), [], norm(name="norm")
        for i in range(self.decoder):
            y = layer(name=f"decoder{i}")(y, queries, memory, place)
            answers.append(last(y))
        y = jnp.stack(answers, 1)
        logits = exact(dense(self.num_classes + 1, name="classes")(y))
        for i in range(2):
            y = nn.relu(dense(self.width, name=f"box{i}")(y))
        return {"logits": logits, "boxes": nn.sigmoid(exact(dense(4, name="box2")(y)))}


PORTS = {
    "transformers": Port(
        names={
            r"^backbone/": "model/backbone/model/",
            r"^project/": "model/input_projection/",
            r"^queries$": "model/query_position_embeddings/weight",
            r"^norm/": "model/decoder/layernorm/",
            r"^(encoder|decoder)(\d+)/": r"model/\1/layers/\2/",
            r"/self/": "/self_attn/",
            r"/cross/": "/encoder_attn/",
            r"/(query|key|value|out)/": lambda match: f"/{match[1][0]}_proj/",
            r"/norm1/": "/self_attn_layer_norm/",
            r"/norm2/": "/encoder_attn_layer_norm/",
            r"/norm3/": "/final_layer_norm/",
            r"/(fc[12])/": r"/mlp/\1/",
            r"^classes/": "class_labels_classifier/",
            r"^box(\d)/": r"bbox_predictor/layers/\1/",
            r"/shortcut/": "/downsample/0/",
            r"/shortcut_bn/": "/downsample/1/",
            r"/layer(\d)_(\d+)/": r"/layer\1/\2/",
        }
    )
}
