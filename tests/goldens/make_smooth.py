"""Smoothed resampling, and a residual block that halves the resolution, from diffusers.

python -m tests.goldens.make_smooth    # needs torch and diffusers
"""

import numpy as np
import torch
from diffusers.models.downsampling import FirDownsample2D, downsample_2d
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import upsample_2d

from tests.goldens.make_classification import seeded_images, seeded_tensor
from tests.goldens.record import HERE, seed


def main():
    x = torch.from_numpy(seeded_images(2, 8, 8, 16)).permute(0, 3, 1, 2)
    kernel = (1, 3, 3, 1)
    pyramid = seed(FirDownsample2D(16, 24, use_conv=True))
    options = dict(groups=4, groups_out=6, eps=1e-6, kernel="fir", down=True, output_scale_factor=2**0.5)
    block = seed(ResnetBlock2D(in_channels=16, out_channels=24, temb_channels=12, **options)).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in block.state_dict().items()}
    with torch.no_grad():
        found = dict(down=downsample_2d(x, kernel), up=upsample_2d(x, kernel), pyramid=pyramid(x))
        found["output"] = block(x, torch.from_numpy(seeded_tensor("time", (2, 12))))
    np.savez_compressed(
        HERE / "smooth.npz",
        names=np.array(list(shapes)),
        shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
        **{name: np.moveaxis(y.numpy(), 1, -1) for name, y in found.items()},
    )


if __name__ == "__main__":
    main()
