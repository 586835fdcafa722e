"""OverFeat: one network classifies windows everywhere in an image at once (Sermanet et al. 2014).

Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks", ICLR 2014,
tables 1 and 3, sections 3.3 and 3.5.
"""

from itertools import product
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose
from models.layers.dropout import Dropout
from models.layers.precision import exact
from models.layers.sliding import SlidingDense

# Of each convolution: channels, window, stride, padding, and the side of the pooling windows behind it, which do not
# overlap. Then the window and widths of the fully connected layers.
VARIANTS = {
    "fast": (
        ((96, 11, 4, 0, 2), (256, 5, 1, 0, 2), (512, 3, 1, 1, 0), (1024, 3, 1, 1, 0), (1024, 3, 1, 1, 2)),
        (6, (3072, 4096)),
    ),
    "accurate": (
        (
            (96, 7, 2, 0, 3),
            (256, 7, 1, 0, 2),
            (512, 3, 1, 1, 0),
            (512, 3, 1, 1, 0),
            (1024, 3, 1, 1, 0),
            (1024, 3, 1, 1, 3),
        ),
        (5, (4096, 4096)),
    ),
}


class OverFeat(nn.Module):
    """Convolutions with ReLU and pooling, then three fully connected layers that slide over the last map.

    On an image of the training size they see one window. On a larger one the mean of the scores of all windows is the
    answer. With fine=True they see the last map pooled at every offset, in place of every second or third pixel of it
    (figure 3).
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    variant: str = "fast"  # a name in VARIANTS
    width: float = 1.0  # of the paper's channels
    dropout_rate: float = 0.5  # before the two hidden layers
    fine: bool = False
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float, at least 231×231 (accurate: 221×221) -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps "stage1", "stage2", ... before their poolings, at strides 4, 8, 16, 16
        and 16 (accurate: 2, 6 and 12), and "pre_logits" [B, D].
        """
        layers, (side, widths) = choose(VARIANTS, "variant", self.variant)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype, kernel_init=nn.initializers.normal(0.01))
        maps = {}
        for i, (channels, window, stride, padding, size) in enumerate(layers, 1):
            conv = nn.Conv(int(channels * self.width), (window, window), stride, padding, name=f"conv{i}", **types)
            x = nn.relu(conv(x))
            maps[f"stage{i}"] = x
            if size and i < len(layers):
                x = nn.max_pool(x, (size, size), (size, size))

        hidden = [
            SlidingDense(int(width * self.width), (window, window), name=f"fc{i}", **types)
            for i, (width, window) in enumerate(zip(widths, (side, 1), strict=True), len(layers) + 1)
        ]
        classifier = SlidingDense(self.num_classes, name="classifier", **types) if self.num_classes else None

        def windows(x):
            """Scores, or features, of every window: [B, H', W', D]."""
            x = nn.max_pool(x, (size, size), (size, size))
            for layer in hidden:
                x = nn.relu(layer(Dropout(self.dropout_rate)(x, train)))
            return classifier(x) if classifier else x

        offsets = product(range(size), repeat=2) if self.fine else [(0, 0)]
        scores = [windows(x[:, top:, left:]) for top, left in offsets]
        mean = jnp.concatenate([score.reshape(len(x), -1, score.shape[-1]) for score in scores], 1).mean(1)
        return exact(mean) if self.num_classes else {**maps, "pre_logits": mean}
