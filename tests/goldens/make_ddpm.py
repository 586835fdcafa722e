"""Output and gradients of a narrow, class-conditional DDPM U-Net of full topology, from diffusers.

python -m tests.goldens.make_ddpm    # needs torch and diffusers
"""

import torch
from diffusers import UNet2DModel

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed


def main():
    model = UNet2DModel(
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(32, 64, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,  # more than one channel in each, or the time would be normalised away
        norm_eps=1e-6,
        attention_head_dim=None,  # one head
        downsample_padding=0,  # at the bottom and right alone
        flip_sin_to_cos=False,
        freq_shift=1,
        num_class_embeds=11,  # ten classes and "any"
    )
    model = seed(model).eval()
    images = torch.from_numpy(seeded_images(2, 16, 16, 3)).permute(0, 3, 1, 2)
    output = model(images, torch.tensor([3, 700]), class_labels=torch.tensor([4, 10])).sample
    record("ddpm_unet", model, output)


if __name__ == "__main__":
    main()
