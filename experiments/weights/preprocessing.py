"""How the images of published weights were prepared, by the naming that the weights are in."""

import dataclasses
from collections.abc import Collection

from models.published import PUBLISHED


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a network was given.

    Attributes:
      mean, std: of the channels red, green and blue, of pixels in [0, 1].
      crop: how a picture comes onto the canvas; see data/placement.py.
      side: pixels of the canvas; 0: that of the network's published variant.
      unless: weights that have the same names and another preprocessing, and which one; "": there are none.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: str = "center"
    side: int = 0
    unless: str = ""


HALF = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Of Caffe: 8 bits minus the mean of the channels, the blue one first.
CAFFE = Preprocessing((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3, side=227)
KERAS = Preprocessing((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)

# Of torchvision, and of timm's and transformers' networks but those below.
IMAGENET = Preprocessing()
LIBRARIES = ("torchvision", "timm", "transformers")
# DeiT without distillation has the names and the shapes of ViT.
VIT = dataclasses.replace(
    HALF, unless="DeiT's have ViT's names, and images of mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)"
)

# (network or "", naming) -> preprocessing.
PREPROCESSING = {
    ("", "caffe"): CAFFE,
    ("", "keras"): KERAS,
    ("", "vit_jax"): HALF,
    ("", "pytorch_fid"): HALF,
    ("", "facenet_pytorch"): HALF,
    ("vit", "timm"): VIT,
    ("vit", "transformers"): VIT,
    ("mixer", "timm"): HALF,
    ("resnet_v2", "timm"): HALF,
    ("mobilenet_v1", "timm"): HALF,
    ("inception_v3", "torchvision"): HALF,  # transform_input, which its published weights have
    ("googlenet", "torchvision"): HALF,  # the same
    ("inception_v4", "timm"): HALF,
    ("inception_resnet", "timm"): HALF,
    ("", "akamaster"): Preprocessing(crop="resize"),
    ("", "xternalz"): Preprocessing(
        (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255), crop="resize"
    ),
}


def preprocessing(network: str, naming: str, names: Collection[str] = ()) -> Preprocessing | None:
    """That of a network of the table with weights in a naming; None where it is not known.

    names: of the tensors; DeiT's second head has another preprocessing than ViT.
    """
    if (network, naming) == ("vit", "timm") and "head_dist.weight" in names:
        return IMAGENET
    known = PREPROCESSING.get((network, naming)) or PREPROCESSING.get(("", naming))
    return known or (IMAGENET if naming.startswith(LIBRARIES) else None)


def published_size(network: str, fields: dict) -> tuple[int, int]:
    """(side, channels) of the images of a published variant: that with these fields, or else the network's first."""
    own = [one for one in PUBLISHED if one.network == network]
    fitting = [one for one in own if all(fields.get(key) == value for key, value in one.fields.items())]
    most = max(fitting, key=lambda one: len(one.fields), default=None) or (own[0] if own else None)
    return (most.resolution, most.channels) if most else (224, 3)
