"""Outputs and gradients of narrow, class-conditional networks of diffusion, from diffusers.

python -m tests.goldens.make_ddpm    # needs torch and diffusers
"""

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed


def unet(name: str, **fields):
    model = UNet2DModel(
        in_channels=3,
        norm_num_groups=16,  # more than one channel in each, or the time would be normalised away
        norm_eps=1e-6,
        downsample_padding=0,  # at the bottom and right alone
        flip_sin_to_cos=False,
        freq_shift=1,
        num_class_embeds=11,  # ten classes and "any"
        **fields,
    )
    model = seed(model).eval()
    images = torch.from_numpy(seeded_images(2, 16, 16, 3)).permute(0, 3, 1, 2)
    record(name, model, model(images, torch.tensor([3, 700]), class_labels=torch.tensor([4, 10])).sample)


def ddpm():
    """Of full topology."""
    unet(
        "ddpm_unet",
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(32, 64, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,  # one head
    )


def iddpm():
    unet(
        "iddpm_unet",
        out_channels=6,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=16,  # four heads
        resnet_time_scale_shift="scale_shift",
        attn_norm_num_groups=16,
    )


def dit():
    """Time and class are embedded once, as in the paper, and the frequencies are the authors'."""
    model = DiTTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=8,
        in_channels=3,
        out_channels=6,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_eps=1e-6,
    )
    first, *others = (block.norm1 for block in model.transformer_blocks)
    first.emb.time_proj.downscale_freq_shift = 0
    for norm in others:
        del norm.emb
        norm.__dict__["emb"] = lambda *args, **options: first.emb(*args, **options)
    seed(model).double().eval()
    images = torch.from_numpy(seeded_images(2, 8, 8, 3)).permute(0, 3, 1, 2).double()
    record("dit", model, model(images, torch.tensor([3, 700]), torch.tensor([4, 10])).sample)


def main():
    ddpm()
    iddpm()
    dit()


if __name__ == "__main__":
    main()
