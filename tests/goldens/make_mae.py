"""Patches, loss and gradients of a small MAE, from transformers.

python -m tests.goldens.make_mae    # needs torch and transformers
"""

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed


def main():
    config = ViTMAEConfig(
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=24,
        image_size=16,
        patch_size=4,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        layer_norm_eps=1e-6,
        norm_pix_loss=True,
    )
    model = ViTMAEForPreTraining(config).double()
    model.vit.embeddings.patch_embeddings.projection._is_hf_initialized = False
    with torch.no_grad():
        model.vit.embeddings.position_embeddings._is_hf_initialized = False
        model.vit.embeddings.initialize_weights()
    first = model.vit.embeddings.position_embeddings.detach().numpy().copy()
    model = seed(model.requires_grad_(True)).eval()
    images = torch.from_numpy(seeded_images(2, 16, 16, 3)).permute(0, 3, 1, 2).double()
    noise = torch.from_numpy(seeded_images(2, 16, 1, 1)).reshape(2, 16).double()
    output = model(images, noise=noise)
    record("mae", model, output.logits.transpose(1, 2), mask=output.mask.numpy(), loss=output.loss.item(), first=first)


if __name__ == "__main__":
    main()
