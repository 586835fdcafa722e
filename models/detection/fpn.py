"""FPN: a pyramid of maps, all of them rich in meaning, from any backbone (Lin et al. 2017).

Lin, Dollár, Girshick, He, Hariharan, Belongie, "Feature Pyramid Networks for Object Detection", CVPR 2017, section 3.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose

# What lies above the topmost map: nothing; every second of its cells (Faster R-CNN); two strided convolutions over it
# (torchvision's RetinaNet) or over the backbone's last map (Lin et al., "Focal Loss", ICCV 2017).
TOPS = dict.fromkeys(("none", "pool", "p6p7", "p6p7_backbone"))


class FPN(nn.Module):
    """1×1 convolutions bring maps to one width; from the top down each is added, enlarged, to the next finer one."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}
    levels: tuple[str, ...] = ("stage2", "stage3", "stage4")  # of the backbone, finest first
    width: int = 256
    top: str = "none"  # a name in TOPS
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> maps [B, h, w, width]: "p3" at stride 2³, and so on."""
        choose(TOPS, "top", self.top)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        uniform = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        conv = partial(nn.Conv, self.width, kernel_init=uniform, **types)
        height = x.shape[1]
        maps = self.backbone(x, train)
        maps = [choose(maps, "levels", name) for name in self.levels]

        lateral = [conv((1, 1), name=f"lateral{i}")(x) for i, x in enumerate(maps)]
        for i in reversed(range(len(lateral) - 1)):
            lateral[i] += _enlarged(lateral[i + 1], lateral[i].shape[1:3])
        pyramid = [conv((3, 3), padding=1, name=f"output{i}")(x) for i, x in enumerate(lateral)]
        if self.top == "pool":
            pyramid.append(pyramid[-1][:, ::2, ::2])
        if self.top in ("p6p7", "p6p7_backbone"):
            below = pyramid[-1] if self.top == "p6p7" else maps[-1]
            pyramid.append(conv((3, 3), 2, padding=1, name="p6")(below))
            pyramid.append(conv((3, 3), 2, padding=1, name="p7")(nn.relu(pyramid[-1])))
        first = round(height / maps[0].shape[1]).bit_length() - 1
        return {f"p{first + i}": x for i, x in enumerate(pyramid)}


def _enlarged(x, size):
    """x: [B, h, w, C] -> [B, *size, C] by the nearest cell."""
    rows, columns = (jnp.arange(new) * old // new for new, old in zip(size, x.shape[1:3], strict=True))
    return x[:, rows][:, :, columns]


# The backbone's names are those of torchvision's ResNet.
NAMES = {
    r"backbone/lateral(\d)/": r"backbone/fpn/inner_blocks/\1/0/",
    r"backbone/output(\d)/": r"backbone/fpn/layer_blocks/\1/0/",
    r"backbone/(p[67])/": r"backbone/fpn/extra_blocks/\1/",
    r"backbone/backbone/": "backbone/body/",
    r"/shortcut/": "/downsample/0/",
    r"/shortcut_bn/": "/downsample/1/",
    r"/layer(\d)_(\d+)/": r"/layer\1/\2/",
}
