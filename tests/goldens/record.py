"""The torch half of golden parity: seeded weights in, outputs and a summary of the gradients out.

A gradient is recorded by its norm and its product with a seeded direction, two numbers for each parameter. The
direction has the parameter's name and shape, so the suite brings it over by the same name map as the weight.
"""

import pathlib

import numpy as np

from tests.goldens.make_classification import seeded_images, seeded_tensor, seeded_weights

HERE = pathlib.Path(__file__).parent


def seed(module):
    """Gives a torch module the weights that its names and shapes stand for, and returns it."""
    import torch

    tensors = {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.ndim}
    weights = {name: torch.from_numpy(tensor) for name, tensor in seeded_weights(shapes).items()}
    module.load_state_dict(weights, strict=False)
    return module


def direction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return seeded_tensor(f"direction of {name}", shape)


def record(file: str, module, output, **more):
    """Differentiates the product of `output` [B, C, ...] with its direction and stores all that the suite compares."""
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items() if tensor.ndim}
    (output * torch.from_numpy(direction("output", tuple(output.shape)))).sum().backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    moved = {k: tensor.numpy() for k, tensor in module.state_dict().items() if "running" in k and module.training}
    np.savez_compressed(
        HERE / f"{file}.npz",
        names=np.array(list(shapes)),
        shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
        gradient_names=np.array(list(gradients)),
        gradient_norms=np.array([np.linalg.norm(g) for g in gradients.values()]),
        gradient_products=np.array([np.vdot(direction(n, g.shape), g) for n, g in gradients.items()]),
        output=output.detach().numpy(),
        **{f"moved/{name}": tensor for name, tensor in moved.items()},
        **more,
    )


def digest(name: str, array: np.ndarray) -> np.ndarray:
    """The norm of an array in torch's layout, and its product with the direction of `name`."""
    return np.array([np.linalg.norm(array), np.vdot(direction(name, array.shape), array)])


def few(logits):
    """What is stored of logits: those of pixels, [B, K, H, W], at every seventh pixel."""
    return logits[:, :, ::7, ::7] if logits.ndim == 4 else logits


def record_classifier(file: str, module, side: int, maps: dict[str, str], batch: int = 4):
    """Stores what `assert_classifier_parity` compares, of images [batch, 3, side, side] in float64.

    The logits are those of images [B, K] or of pixels [B, K, H, W].

    In evaluation: logits, and digests of the outputs of `maps`, our name -> their module. In training without dropout:
    logits, digests of the gradients of their product with its direction, by the image and by each parameter, and of the
    statistics that moved, with the biased variance that flax moves.
    """
    import torch
    from torch import nn

    tensors = {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.ndim}
    seed(module).double()
    images = torch.from_numpy(seeded_images(batch, side, side, 3).transpose(0, 3, 1, 2).copy()).double()
    stored, hooks = {}, []
    for ours, theirs in maps.items():
        keep = lambda _, inputs, output, key=f"map/{ours}": stored.update({key: output.detach().numpy().copy()})
        hooks.append(module.get_submodule(theirs).register_forward_hook(keep))
    module.eval()
    stored["logits"] = few(module(images).detach().numpy())
    for hook in hooks:
        hook.remove()
    stored = {key: digest(key, x) if key.startswith("map/") else x for key, x in stored.items()}

    module.train()
    norms = {name: part for name, part in module.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)}
    before = {name: part.running_var.clone() for name, part in norms.items()}
    counts = {}
    for name, part in module.named_modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if name in norms:
            count = lambda _, inputs, output, name=name: counts.update({name: output.numel() / output.shape[1]})
            part.register_forward_hook(count)
    images.requires_grad_()
    logits = module(images)
    logits = sum(logits) if isinstance(logits, tuple) else logits  # those of auxiliary classifiers are added
    (logits * torch.from_numpy(direction("logits", tuple(logits.shape)))).sum().backward()
    stored["train_logits"] = few(logits.detach().numpy())
    stored["gradient of the image"] = digest("gradient of the image", images.grad.numpy())
    trained = [(name, parameter.grad) for name, parameter in module.named_parameters() if parameter.grad is not None]
    gradients = {name: gradient.numpy() for name, gradient in trained}
    for name, part in norms.items():
        kept = (1 - part.momentum) * before[name]
        biased = kept + (part.running_var - kept) * (counts[name] - 1) / counts[name]
        stored[f"moved/{name}.running_mean"] = digest(f"{name}.running_mean", part.running_mean.numpy())
        stored[f"moved/{name}.running_var"] = digest(f"{name}.running_var", biased.numpy())
    moved = [name for name in stored if name.startswith("moved/")]
    np.savez_compressed(
        HERE / f"{file}.npz",
        names=np.array(list(shapes)),
        shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
        side=side,
        gradient_names=np.array(list(gradients)),
        gradients=np.array([digest(name, gradient) for name, gradient in gradients.items()]),
        moved_names=np.array([name.removeprefix("moved/") for name in moved]),
        moved=np.array([stored.pop(name) for name in moved]),
        **stored,
    )
