"""What the other rooms may ask of a network besides calling it.

A network is a flax module that is called as network(inputs..., train=...). What it offers beyond that is written down
here as Protocols; ask with `isinstance(network, Generator)`. Fields and properties below are those of the module, so
they can be read without parameters.

Feature maps. A network that reads an image alone has no head, and no parameters for one, with `headless=True`; a
classifier and the U-Net with `num_classes=0`. It then returns a dictionary: "stem", "stage1", ... are maps
[B, h, w, C], and "pre_logits" is what the head of a classifier reads, [B, D]. (Take maps by name: jit sorts the keys of
a dictionary.) The other parameters keep their names, so the weights of the full network serve the one without a head.
`feature_maps` gives strides and channels. Exempt are networks that read codes, words or a time, a Codec or a Quantiser,
whose features are its codes, and an Autoregressive network, which sees a part of the image at each place.

Networks inside networks. A field may hold another network, for example `backbone: nn.Module` called as
`self.backbone(x, train)`. Its parameters (and other collections) are found under the field's name,
params/backbone/..., so the weights of that network alone can be put there.

Collections. `init` returns "params" and, where the network has them, mutable collections, which the train step keeps as
`stats`: "batch_stats" and the like hold averages, and every floating leaf of them is averaged over devices. The
collection "buffers" is for values that are not averages, such as a history of images or a queue of keys: it must never
be averaged over devices.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError


@runtime_checkable
class Conditional(Protocol):
    """A network that states which fields of a batch it takes besides its input. Every network in the table does.

    Attributes:
      conditions: names that are keywords of `__call__` and fields of a batch: ("label",) with label [B] int; () for a
        network that is not conditional.
    """

    @property
    def conditions(self) -> tuple[str, ...]: ...


@runtime_checkable
class Generator(Protocol):
    """A network that makes examples from codes z [B, latent]: by `__call__`, or by `decode` if it is a Codec too.

    Attributes:
      latent: D, the width of a code.
    """

    @property
    def latent(self) -> int: ...


@runtime_checkable
class Codec(Generator, Protocol):
    """A network with an encoder and a decoder, called by `network.apply(variables, x, method="encode")`."""

    def encode(self, x: jax.Array) -> Any:
        """x: [B, H, W, C] -> codes [B, latent]; of a VAE the mean and the log-variance of q(z|x), each [B, latent]."""

    def decode(self, z: jax.Array) -> jax.Array:
        """z: [..., latent] -> [..., H, W, C'] of unbounded numbers, from which a likelihood makes p(x|z)."""


@runtime_checkable
class Autoregressive(Protocol):
    """A network that gives the numbers of each value of an image from the values before it, in the order of reading.

    Called as network(x [B, H, W, C], train, label) it answers for all values at once: [B, H, W, F], channel by channel.
    """

    def step(self, x: jax.Array, position: jax.Array, label: jax.Array | None = None) -> jax.Array:
        """Answers for one position of x [B, H, W, C]. Only the values before `position` [] int32 have an influence.

        Positions are the values, or the pixels where the answer is for all channels of a pixel. The caller goes
        through them in order, from 0 on. The mutable collection "cache" keeps what later positions need; it is zero
        before the first.

        Returns: [B, F of a position].
        """


@runtime_checkable
class Quantiser(Protocol):
    """A network between images and maps of codes: `apply(variables, x, method="encode")`, and "decode".

    Attributes:
      codes: how many there are.
    """

    @property
    def codes(self) -> int: ...

    def encode(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] -> codes [B, h, w] int32."""

    def decode(self, codes: jax.Array) -> jax.Array:
        """codes: [B, h, w] int -> images [B, H, W, C], scaled as those of the data."""


@runtime_checkable
class Cropping(Protocol):
    """A dense network whose output may be smaller than its image, for example with valid convolutions."""

    def sides(self, output: int) -> tuple[int, int]:
        """(input, output): sides in pixels of the smallest image whose output has a side of at least `output`."""


@runtime_checkable
class Adaptable(Protocol):
    """A network that can use parameters trained at another image size."""

    def adapt(self, name: str, value: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """The parameter `name` ("positions", "block0/norm1/scale") as `shape`, or `value` unchanged if it cannot."""


@runtime_checkable
class Rated(Protocol):
    """A network with dropout-like rates. `with_rates` replaces them by traced numbers.

    Attributes:
      rates: the names of its float fields that are rates in [0, 1]; 0.0 means that the layer is absent.
    """

    @property
    def rates(self) -> tuple[str, ...]: ...


@runtime_checkable
class Auxiliary(Protocol):
    """A classifier of images or pixels with further classifiers on its way, which only training uses.

    In training it returns (logits, auxiliary logits, ...), each [B, num_classes] or [B, H, W, num_classes], otherwise
    the logits alone.

    Attributes:
      auxiliary: weight of the loss of each of them; 0.0: they are absent, and training too returns the logits alone.
    """

    @property
    def auxiliary(self) -> float: ...


@dataclasses.dataclass(frozen=True)
class Map:
    """Size of a feature map.

    Attributes:
      stride: pixels of the input per pixel of the map; 0 where the map's size does not depend on the input's (LeNet-5
        resizes its input).
      channels: of the map.
    """

    stride: int
    channels: int


def feature_maps(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, Map]:
    """The maps of a network without a head, for images of `shape` (H, W, C). Nothing is computed.

    Raises ModelError if the network returns no dictionary of maps.
    """
    height, width, channels = shape
    small = _maps(network, shape)
    # The stride is the growth of the input over that of the map, since borders that convolutions cut off make the
    # quotient of the sizes inexact. Every stride up to 64 divides this growth.
    grown = _maps(network, (65 * height, width, channels))

    def stride(name):
        growth = grown[name].shape[1] - small[name].shape[1]
        return round(64 * height / growth) if growth else 0

    return {name: Map(stride(name), x.shape[-1]) for name, x in small.items() if x.ndim == 4}


def _maps(network, shape) -> Mapping[str, jax.ShapeDtypeStruct]:
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    outputs, _ = jax.eval_shape(partial(network.init_with_output, train=False), jax.random.key(0), image)
    if not isinstance(outputs, Mapping):
        raise ModelError(
            f"{type(network).__name__} returns no feature maps: a network that has them needs headless=True,"
            " a classifier or the U-Net num_classes=0"
        )
    return outputs


def with_rates(network: nn.Module, rates: Mapping[str, jax.Array]) -> nn.Module:
    """A copy of `network` with these rates, field -> number in [0, 1], which may be traced.

    A field of a network inside is "backbone.dropout_rate". The parameters keep their names and shapes. A field whose
    rate is the Python number 0 should stay out of `rates`: a traced 0 is a layer that draws and drops nothing, which is
    a different program.
    """
    fields: dict[str, Any] = {name: rate for name, rate in rates.items() if "." not in name}
    for inner in {name.partition(".")[0] for name in rates if "." in name}:
        own = {name.removeprefix(f"{inner}."): rate for name, rate in rates.items() if name.startswith(f"{inner}.")}
        fields[inner] = with_rates(vars(network)[inner], own)
    return network.clone(**fields)
