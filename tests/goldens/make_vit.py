"""Logits, attention maps and gradients of a small ViT, from transformers.

python -m tests.goldens.make_vit    # needs torch and transformers
"""

import torch
from transformers import ViTConfig, ViTForImageClassification

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed


def main():
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        num_labels=5,
        layer_norm_eps=1e-6,  # the authors'; the library's own default is 1e-12
        attn_implementation="eager",  # the one that returns its maps
    )
    model = seed(ViTForImageClassification(config)).eval()
    images = torch.from_numpy(seeded_images(2, 32, 32, 3)).permute(0, 3, 1, 2)
    output = model(images, output_attentions=True)
    maps = torch.stack(output.attentions).detach().numpy()
    record("vit", model, output.logits, attention=maps)


if __name__ == "__main__":
    main()
