"""Logits and gradients of a small iGPT, from transformers.

python -m tests.goldens.make_igpt    # needs torch and transformers
"""

import torch
from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

VALUES, SIDE = 5, 4


def main():
    config = ImageGPTConfig(
        vocab_size=VALUES + 1,
        n_positions=SIDE**2,
        n_embd=12,
        n_layer=2,
        n_head=3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation="eager",
    )
    model = seed(ImageGPTForCausalImageModeling(config).double()).eval()
    images = torch.from_numpy(seeded_images(2, SIDE, SIDE, 1))
    values = (images.reshape(2, -1) * 1000).long().abs() % VALUES
    tokens = torch.cat([torch.full((2, 1), VALUES), values[:, :-1]], 1)
    record("igpt", model, model(tokens).logits.transpose(1, 2), values=values.numpy())


if __name__ == "__main__":
    main()
