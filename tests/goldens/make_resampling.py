"""torch's resizing, unpooling, pixel shuffle, transposed and deformable convolutions, with their gradients.

python -m tests.goldens.make_resampling    # needs torch and torchvision
"""

import numpy as np

from tests.goldens.make_classification import HERE, seeded_tensor

# name -> our method, whether corners are aligned, the new sides of an image of 6×5.
INTERPOLATIONS = {
    "linear up": ("linear", False, (13, 9)),
    "linear down": ("linear", False, (4, 3)),
    "linear corners": ("linear", True, (11, 8)),
    "linear corners down": ("linear", True, (3, 1)),
    "cubic up": ("cubic", False, (13, 9)),
    "cubic down": ("cubic", False, (4, 3)),
    "cubic corners": ("cubic", True, (11, 8)),
    "nearest up": ("nearest", False, (13, 9)),
    "nearest down": ("nearest", False, (4, 3)),
}
# name -> window, stride, padding, output_padding.
TRANSPOSED = {"3 by 2": (3, 2, 1, 1), "2 by 2": (2, 2, 0, 0), "5 by 3": (5, 3, 2, 2), "3 by 1": (3, 1, 1, 0)}
# name -> stride, padding, dilation, groups with offsets of their own, whether samples are weighted.
DEFORMABLE = {"v1": (1, 1, 1, 1, False), "v1 strided": (2, 2, 2, 2, False), "v2": (1, 1, 1, 2, True)}


def seeded(name, shape):
    """float64 of deviation 1."""
    tensor = seeded_tensor(name, tuple(shape))
    return (tensor / tensor.std()).astype(np.float64)


def main():
    import torch
    import torchvision
    from torch.nn import functional as F

    arrays = {}

    def tensor(name, shape, scale=1.0):
        return (torch.from_numpy(seeded(name, shape)) * scale).requires_grad_()

    def keep(name, output, **inputs):
        arrays[f"{name}/output"] = output.detach().numpy()
        towards = torch.from_numpy(seeded(f"{name}/direction", output.shape))
        if not inputs:  # a linear map, whose gradient JAX derives
            return
        for what, gradient in zip(inputs, torch.autograd.grad((output * towards).sum(), inputs.values()), strict=True):
            arrays[f"{name}/{what.replace('_', ' ')}"] = gradient.numpy()

    for name, (method, align_corners, sides) in INTERPOLATIONS.items():
        x = tensor("image", (1, 3, 6, 5))
        mode = {"linear": "bilinear", "cubic": "bicubic", "nearest": "nearest"}[method]
        corners = {} if method == "nearest" else dict(align_corners=align_corners)
        keep(name, F.interpolate(x, size=sides, mode=mode, **corners))

    x = tensor("map", (1, 3, 7, 6))
    pooled, places = F.max_pool2d(x, 2, 2, return_indices=True)
    arrays["unpool/places"] = places.numpy()
    keep("unpool", F.max_unpool2d(torch.sin(pooled), places, 2, 2, output_size=(7, 6)), gradient=x)
    arrays["shuffle/output"] = F.pixel_shuffle(tensor("channels", (1, 18, 2, 3)), 3).detach().numpy()

    for name, (window, stride, padding, more) in TRANSPOSED.items():
        x, kernel = tensor("image", (1, 3, 6, 5)), tensor("kernel", (3, 4, window, window))
        output = F.conv_transpose2d(x, kernel, None, stride, padding, more)
        keep(name, output, gradient=x, gradient_of_kernel=kernel)

    for name, (stride, padding, dilation, groups, modulated) in DEFORMABLE.items():
        x, kernel = tensor("deformed", (2, 4, 4, 5)), tensor("kernel", (3, 4, 3, 3))
        options = dict(stride=stride, padding=padding, dilation=dilation)
        sides = F.conv2d(x, kernel, None, **options).shape[2:]
        shapes = [(2, n * groups * 9, *sides) for n in (2, 1)]
        offsets, mask = tensor("offsets", shapes[0], 1.7), tensor("mask", shapes[1])
        output = torchvision.ops.deform_conv2d(x, offsets, kernel, mask=mask if modulated else None, **options)
        more = dict(gradient_of_mask=mask) if modulated else {}
        keep(name, output, gradient=x, gradient_of_offsets=offsets, gradient_of_kernel=kernel, **more)
        arrays[f"{name}/shapes"] = np.array(shapes)
    small = {name: x.astype(np.float32) if x.dtype == np.float64 else x.astype(np.int32) for name, x in arrays.items()}
    np.savez_compressed(HERE / "resampling.npz", **small)


if __name__ == "__main__":
    main()
