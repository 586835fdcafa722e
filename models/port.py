"""Weights from torch: a state_dict, by its names, as the variables of a flax network. Numpy alone.

    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    variables = from_torch(state_dict, like, RENAME["resnet"])

The rule: "layer1.0.conv1.weight" is the leaf layer1_0/conv1/kernel. So a network whose modules are named
after those of its torch counterpart needs no table, and RENAME says where the names part.
"""

import re
from collections.abc import Mapping

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from models.errors import ModelError

# Regular expression -> replacement, on torch names: torchvision's for "resnet", akamaster's for "resnet_cifar",
# those of transformers for "vit", of milesial's Pytorch-UNet for "unet", of diffusers for "ddpm_unet".
RENAME: dict[str, dict[str, str]] = {
    "resnet": {r"\.downsample\.0\.": ".shortcut.", r"\.downsample\.1\.": ".shortcut_bn."},
    "resnet_cifar": {r"\.shortcut\.0\.": ".shortcut.", r"\.shortcut\.1\.": ".shortcut_bn."},
    "vit": {
        r"^vit\.embeddings\.cls_token": "token",
        r"^vit\.embeddings\.position_embeddings": "positions",
        r"^vit\.embeddings\.patch_embeddings\.projection": "embedding",
        r"^vit\.layers\.(\d+)\.": r"block\1.",
        r"^vit\.layernorm": "norm",
        r"^classifier": "head",
        r"\.layernorm_before": ".norm1",
        r"\.layernorm_after": ".norm2",
        r"\.mlp\.fc": ".mlp",
        r"\.q_proj": ".query",
        r"\.k_proj": ".key",
        r"\.v_proj": ".value",
        r"\.o_proj": ".out",
    },
    "unet": {
        r"(\.maxpool_conv\.1|\.conv)?\.double_conv\.": ".",
        r"^inc\.": "down0.",
        r"^down4\.": "bottom.",
        r"^up1\.": "up0.",
        r"^up2\.": "up1.",
        r"^up3\.": "up2.",
        r"^up4\.": "up3.",
        r"^up(\d)\.up\.": r"upsample\1.",
        r"\.0\.": ".conv1.",
        r"\.1\.": ".norm1.",
        r"\.3\.": ".conv2.",
        r"\.4\.": ".norm2.",
        r"^outc\.conv": "head",
    },
    "ddpm_unet": {
        r"^(down|up)_blocks\.(\d+)\.": r"\1\2_",
        r"^mid_block\.attentions\.0": "middle_attention",
        r"^mid_block\.": "middle_",
        r"resnets\.(\d+)": r"block\1",
        r"attentions\.(\d+)": r"attention\1",
        r"^(down|up)(\d+)_\1samplers\.0\.conv": r"\1sample\2",
        r"\.time_emb_proj": ".time",
        r"\.conv_shortcut": ".shortcut",
        r"\.group_norm": ".norm",
        r"\.to_q": ".attention.query",
        r"\.to_k": ".attention.key",
        r"\.to_v": ".attention.value",
        r"\.to_out\.0": ".attention.out",
        r"^time_embedding\.linear_": "time",
        r"^class_embedding": "label",
        r"^conv_norm_out": "norm_out",
    },
}

# The collection and the leaf that a torch tensor may become: the first that the network has.
LEAVES = {
    "weight": (("params", "kernel"), ("params", "scale"), ("params", "embedding")),
    "running_mean": (("batch_stats", "mean"),),
    "running_var": (("batch_stats", "var"),),
}


def from_torch(
    state_dict: Mapping[str, np.ndarray],
    like: Mapping,
    rename: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> dict:
    """Numpy variables of the structure, shapes and types of `like`.

    `flattened` names the linear layers, by their torch name, that read a flattened map, with its (C, H, W):
    torch flattens channels first, so their inputs are put in another order.

    Raises ModelError if a tensor has no place, a leaf no tensor, or the shapes differ.
    """
    wanted = flatten_dict(like)
    found = {}
    for name, tensor in state_dict.items():
        if name.endswith("num_batches_tracked"):
            continue
        path = flax_path(name, wanted, rename or {})
        array = np.asarray(tensor)
        if path[-1] == "kernel" and array.ndim == len(wanted[path].shape):
            shape = (flattened or {}).get(name.removesuffix(".weight"))
            if shape:
                array = array.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(array.shape)
            # [out, in, *space] -> [*space, in, out]. A transposed convolution's [in, out, *space] becomes the
            # [*space, out, in] that linen reads with transpose_kernel=True.
            array = np.moveaxis(array, (0, 1), (-1, -2))
        if array.shape != wanted[path].shape:
            raise ModelError(f"{name} is {array.shape} and {'/'.join(path)} is {wanted[path].shape}")
        found[path] = array.astype(wanted[path].dtype)
    if missing := ["/".join(path) for path in wanted if path not in found]:
        raise ModelError(f"no tensor for {len(missing)} leaves, the first {missing[0]}")
    return unflatten_dict(found)


def flax_path(name: str, wanted: Mapping[tuple, object], rename: Mapping[str, str]) -> tuple[str, ...]:
    """The path in `wanted` that the torch tensor `name` fills. Raises ModelError if there is none."""
    renamed = name.removeprefix("module.")  # what torch's DataParallel puts in front
    for pattern, replacement in rename.items():
        renamed = re.sub(pattern, replacement, renamed)
    *modules, tensor = re.sub(r"\.(\d+)\b", r"_\1", renamed).split(".")
    for collection, leaf in LEAVES.get(tensor, (("params", tensor),)):
        path = (collection, *modules, leaf)
        if path in wanted:
            return path
    raise ModelError(f"the network has no place for {name}, looked for as {'/'.join(path)}")
