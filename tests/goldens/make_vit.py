"""Logits, attention maps and gradients of a small ViT, from transformers.

python -m tests.goldens.make_vit    # needs torch and transformers
"""

import numpy as np
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
    record("vit", model, output.logits, attention=maps, rotated=rotated())


def rotated() -> np.ndarray:
    """Seeded queries [2, 12, 3, 8] on a grid of 3×4, turned by timm's layer of EVA-02."""
    from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat

    queries = torch.from_numpy(seeded_images(2, 12, 3, 8)).permute(0, 2, 1, 3)
    embedding = RotaryEmbeddingCat(8, in_pixels=False, feat_shape=(3, 4)).get_embed()
    return apply_rot_embed_cat(queries, embedding).permute(0, 2, 1, 3).numpy()


if __name__ == "__main__":
    main()
