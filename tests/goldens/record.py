"""The torch half of golden parity: seeded weights in, outputs and a summary of the gradients out.

A gradient is recorded by its norm and its product with a seeded direction, two numbers for each parameter. The
direction has the parameter's name and shape, so the suite brings it over by the same name map as the weight.
"""

import pathlib

import numpy as np

from tests.goldens.make_classification import seeded_tensor, seeded_weights

HERE = pathlib.Path(__file__).parent


def seed(module):
    """Gives a torch module the weights that its names and shapes stand for, and returns it."""
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items() if tensor.ndim}
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
