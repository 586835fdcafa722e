"""Inception-v3 and the network of the Fréchet Inception distance, from torchvision.

    python -m tests.goldens.make_inception    # needs torch, torchvision

Images of 107×75 leave 2×1 pixels of the last map, so that its mean and its maximum differ. In float64, since untrained
layers in evaluation shrink what they are given.
"""

from functools import partial
from unittest import mock

import numpy as np
import torch
import torchvision
from torch.nn import functional as F
from torchvision.models import inception

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import HERE, record, seed


def network(variant: str, num_classes: int):
    """ "fid": as pytorch-fid patches torchvision's. Average pools do not count their padding, the last is a maximum."""
    model = torchvision.models.inception_v3(num_classes=num_classes, aux_logits=False, init_weights=False)
    if variant == "fid":
        unpadded = partial(F.avg_pool2d, count_include_pad=False)
        for name, block in model.named_children():
            if isinstance(block, inception.InceptionA | inception.InceptionC | inception.InceptionE):
                pool = F.max_pool2d if name == "Mixed_7c" else unpadded
                block.forward = partial(with_pool, block.forward, pool)
    return model


def with_pool(forward, pool, x):
    with mock.patch.object(F, "avg_pool2d", pool):
        return forward(x)


def features() -> dict[str, np.ndarray]:
    """Grey images in [0, 1], as pytorch-fid resizes them and the 2048 features that it compares, [N, 2048].

    The scales of BatchNorm are doubled: what reaches the features then keeps its size.
    """
    model = seed(network("fid", 1008)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bn.weight"):
            parameter.data *= 2
    images = np.random.RandomState(1).uniform(size=(2, 28, 33, 1)).astype(np.float32)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).repeat(1, 3, 1, 1)
    resized = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        outputs = model(2 * resized - 1)
    return {"images": images, "resized": resized[:, 0, ::13, ::13].numpy(), "features": outputs.numpy()}


def main():
    images = torch.from_numpy(seeded_images(1, 107, 75, 3)).permute(0, 3, 1, 2).double()
    for variant in ("torchvision", "fid"):
        model = seed(network(variant, 10)).double().eval()
        record(f"inception_v3_{variant}", model, model(images))
    np.savez_compressed(HERE / "inception_v3_features.npz", **features())


if __name__ == "__main__":
    main()
