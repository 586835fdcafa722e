"""Faster R-CNN and Mask R-CNN: propose regions, then look at each of them (Ren et al. 2015).

Ren, He, Girshick, Sun, "Faster R-CNN", NIPS 2015; on a pyramid: Lin et al., "Feature Pyramid Networks", CVPR 2017; with
masks: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", ICCV 2017. Their loss is training/tasks/faster_rcnn.py.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.detection import fpn
from models.errors import choose
from models.layers import anchors
from models.layers.conv import ConvTranspose
from models.layers.precision import exact
from models.layers.pyramid import anchors_of, levels_of, per_anchor
from models.layers.roi import pyramid_align, pyramid_levels, roi_align, roi_pool
from models.port import Port

RATIOS = (0.5, 1.0, 2.0)  # height / width
POOLINGS = dict.fromkeys(("align", "pool"))


class FasterRCNN(nn.Module):
    """A head over every cell that proposes regions, and a head over each region that names and corrects it.

    In training and in use the task calls `propose`, chooses regions, and calls `classify` and `mask`; a plain call
    does all of them for one region, the whole image.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (image, train) -> {level: map}: an FPN with p2 to p6, or one map
    levels: tuple[str, ...] = ()  # of the backbone; empty: all of them
    sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # of the anchors of each map, in pixels
    read: int = 4  # from how many maps, the finest, regions are read
    canonical: float = 224.0  # side of a region that is read from the map at stride 16
    pooling: str = "align"  # "align" | "pool": RoIPool, from one map
    pool: int = 7  # side of a region's map
    hidden: int = 1024  # of the two fully connected layers over it
    masks: bool = False  # a second head over the regions, with a mask for each class
    mask_width: int = 256  # channels of that head
    num_classes: int = 80
    headless: bool = False  # True: the maps of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self):
        choose(POOLINGS, "pooling", self.pooling)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normal = nn.initializers.normal(0.01)
        conv = partial(nn.Conv, kernel_init=normal, **types)
        shapes = len(RATIOS) * len(self.sizes[0])
        self.proposals = Proposals(shapes, conv)
        self.regions = Regions(self.hidden, 1 + self.num_classes, **types)
        if self.masks:
            self.outlines = Outlines(self.mask_width, 1 + self.num_classes, **types)

    def propose(self, x, train: bool):
        """x: [B, H, W, C] float -> a dictionary, with a tuple of arrays, one for each of the maps:

        maps [B, h, w, C]
        objectness [B, A]: logits, for A anchors; codes [B, A, 4]
        anchors [A, 4]: (x1, y1, x2, y2) in pixels of x
        """
        maps = levels_of(self.backbone(x, train), self.levels, len(self.sizes))
        objectness, codes = self.proposals(maps)
        cells = [anchors.shapes(sizes, RATIOS) for sizes in self.sizes]
        return {
            "maps": tuple(maps),
            "objectness": tuple(x[..., 0] for x in per_anchor(objectness, 1)),
            "codes": per_anchor(codes, 4),
            "anchors": tuple(jnp.asarray(a, codes[0].dtype) for a in anchors_of(maps, x, cells)),
        }

    def classify(self, maps, regions, size: tuple[int, int]):
        """maps of `propose`; regions [B, R, 4] in pixels of images of `size` (H, W) -> logits and codes.

        logits [B, R, 1 + K]: of nothing, then of each class; codes [B, R, 1 + K, 4], relative to the region.
        """
        return self.regions(self._read(maps, regions, size, self.pool))

    def mask(self, maps, regions, size: tuple[int, int]):
        """As `classify` -> logits [B, R, 28, 28, 1 + K] of the mask of each class, inside of the region."""
        return self.outlines(self._read(maps, regions, size, 2 * self.pool))

    def cut(self, instances, regions, objects):
        """What `mask` shall answer: the share [B, R, 28, 28] of each cell of a region that its object covers.

        instances: [B, H, W], 1 + i on the pixels of object i; regions: [B, R, 4] in the image; objects: [B, R].
        """

        def of_region(instances, region, number):
            own = (instances == 1 + number).astype(region.dtype)[..., None]
            return roi_align(own, region[None], 4 * self.pool, 1.0, sampling=None)[0, ..., 0]

        return jax.vmap(jax.vmap(of_region, (None, 0, 0)))(instances, regions, objects)

    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float -> the dictionary of `propose`, with the logits [B, 1, 1 + K] of the whole image.

        Without a head it is the dictionary of the backbone.
        """
        if self.headless:
            return self.backbone(x, train)
        size, outputs = x.shape[1:3], self.propose(x, train)
        whole = jnp.broadcast_to(jnp.array([0.0, 0.0, size[1], size[0]]), (len(x), 1, 4))
        outputs["logits"], outputs["region_codes"] = self.classify(outputs["maps"], whole, size)
        if self.masks:
            outputs["masks"] = self.mask(outputs["maps"], whole, size)
        return outputs

    def _read(self, maps, regions, size, side):
        """[B, R, side, side, C]"""
        maps = maps[: self.read]
        strides = [round(size[0] / x.shape[1]) for x in maps]
        first = strides[0].bit_length() - 1

        def of_image(maps, regions):
            if self.pooling == "pool":
                return roi_pool(maps[0], regions, side, 1 / strides[0])
            levels = pyramid_levels(regions, first, first + len(maps) - 1, side=self.canonical) - first
            return pyramid_align(maps, levels, regions, side, [1 / stride for stride in strides])

        # Pixels are beyond the 8 bits of bfloat16.
        return jax.vmap(of_image)(maps, regions.astype(jnp.promote_types(maps[0].dtype, jnp.float32)))


class Proposals(nn.Module):
    """A 3×3 convolution, then 1×1 ones for whether there is an object, and where. Ren et al. 2015, section 3.1."""

    shapes: int
    conv: Any

    @nn.compact
    def __call__(self, maps):
        """maps [B, h, w, C] -> objectness [B, h, w, A] and codes [B, h, w, 4A], of each map."""
        conv = self.conv(maps[0].shape[-1], (3, 3), padding=1, name="conv")
        objects = self.conv(self.shapes, (1, 1), name="objectness")
        boxes = self.conv(4 * self.shapes, (1, 1), name="boxes")
        maps = [nn.relu(conv(x)) for x in maps]
        return [exact(objects(x)) for x in maps], [exact(boxes(x)) for x in maps]


class Regions(nn.Module):
    """Two fully connected layers over the map of a region, then its classes and a box for each of them."""

    hidden: int
    classes: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, R, P, P, C] -> logits [B, R, K] and codes [B, R, K, 4]."""
        dense = partial(nn.Dense, dtype=self.dtype, param_dtype=self.param_dtype)
        x = x.reshape(*x.shape[:2], -1)
        x = nn.relu(dense(self.hidden, name="fc6")(x))
        x = nn.relu(dense(self.hidden, name="fc7")(x))
        normal = nn.initializers.normal
        codes = exact(dense(4 * self.classes, kernel_init=normal(0.001), name="boxes")(x))
        logits = exact(dense(self.classes, kernel_init=normal(0.01), name="classes")(x))
        return logits, codes.reshape(*codes.shape[:2], self.classes, 4)


class Outlines(nn.Module):
    """Four 3×3 convolutions, one that doubles the side, and a mask for each class. He et al. 2017, figure 4, right."""

    width: int
    classes: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, R, P, P, C] -> [B, R, 2P, 2P, K]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        count, x = x.shape[:2], x.reshape(-1, *x.shape[2:])
        for i in range(4):
            x = nn.relu(nn.Conv(self.width, (3, 3), padding=1, kernel_init=he, name=f"conv{i}", **types)(x))
        x = nn.relu(ConvTranspose(self.width, (2, 2), (2, 2), "VALID", name="enlarge", **types)(x))
        x = exact(nn.Conv(self.classes, (1, 1), kernel_init=he, name="classes", **types)(x))
        return x.reshape(*count, *x.shape[1:])


PORTS = {
    "torchvision": Port(
        names={
            **fpn.NAMES,
            r"^proposals/conv/": "rpn/head/conv/0/0/",
            r"^proposals/objectness/": "rpn/head/cls_logits/",
            r"^proposals/boxes/": "rpn/head/bbox_pred/",
            r"^regions/(fc[67])/": r"roi_heads/box_head/\1/",
            r"^regions/classes/": "roi_heads/box_predictor/cls_score/",
            r"^regions/boxes/": "roi_heads/box_predictor/bbox_pred/",
            r"^outlines/conv(\d)/": r"roi_heads/mask_head/\1/0/",
            r"^outlines/enlarge/": "roi_heads/mask_predictor/conv5_mask/",
            r"^outlines/classes/": "roi_heads/mask_predictor/mask_fcn_logits/",
        },
        flattened={r"^regions/fc6/": (7, 7)},
    )
}
