"""Show and Tell: an image is the first word that a recurrent network reads (Vinyals et al. 2015).

Vinyals, Toshev, Bengio, Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015, section 3.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.precision import exact


class ShowAndTell(nn.Module):
    """With image I and words S_0 = <start>, S_1, ..., equations 10 to 12:

    x_{-1} = CNN(I),   x_t = W_e S_t,   p_{t+1} = softmax(LSTM(x_t))
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map or vector}
    level: str = "pre_logits"  # what the network reads of the image; the paper: the layer before the classifier
    width: int = 512  # of word embeddings and of the LSTM's memory
    vocabulary: int = 10_000  # V, the words of the data
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.image = nn.Dense(self.width, **types)
        self.words = nn.Embed(self.vocabulary, self.width, **types)
        self.lstm = nn.OptimizedLSTMCell(self.width, **types)
        self.sentence = nn.RNN(self.lstm)  # the same cell over time
        self.head = nn.Dense(self.vocabulary, **types)

    def __call__(self, image, tokens, train: bool):
        """image: [B, H, W, C] float; tokens: [B, T] int -> logits [B, T, V] of the word after each of the tokens."""
        states = self.sentence(self.words(tokens), initial_carry=self.begin(image, train))
        return exact(self.head(states))

    def begin(self, image, train: bool = False):
        """image: [B, H, W, C] float -> the state (c, h), [B, width] each, of an LSTM that has read it."""
        seen = choose(self.backbone(image, train), "level", self.level)
        x = self.image(seen.reshape(len(seen), -1))
        carry, _ = self.lstm(tuple(jnp.zeros_like(x) for _ in "ch"), x)
        return carry

    def step(self, carry, token):
        """(state, the last word [B] int) -> (state, logits [B, V] of the next word)."""
        carry, x = self.lstm(carry, self.words(token))
        return carry, exact(self.head(x))
