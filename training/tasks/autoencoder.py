"""Autoencoders: an image from its code z, possibly of a spoilt image, possibly of a sparse code.

    ℓ = mean (x − D(E(x̃)))² + λ mean |z|

x̃ is x with Gaussian noise, or with pixels that are lost (Vincent et al. 2008); without them x̃ = x. λ is of a sparse
code (Ng 2011, with |z| in place of the paper's divergence of mean activations).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics, views
from training.errors import TrainingError
from training.losses import per_example, squared_error
from training.task import Task, example_keys, init_network, stream, trained


def autoencoder(
    networks: dict[str, nn.Module], *, noise: float = 0.0, lost: float = 0.0, sparsity: float = 0.0
) -> Task:
    """Trains `networks["model"]`, a `Codec` whose codes are one array (models/generative/autoencoder.py).

    Predictions, per example: `mse`, the `reconstructed` image, and with noise or losses the `spoilt` image that it is
    from; `active`, the share of the code above a hundredth of its largest number.

    Args:
      noise: standard deviation of the noise, in the units of the scaled images.
      lost: the share of pixels, all channels of each, that become 0.
      sparsity: λ.
    """
    model = networks["model"]
    if noise < 0 or sparsity < 0 or not 0 <= lost < 1:
        raise TrainingError(f"task.noise={noise}, lost={lost}, sparsity={sparsity}: not below 0, and lost is below 1")

    def spoil(x, keys):
        """x̃, drawn per example; without noise or losses x itself."""

        def one(key, x):
            if noise:
                x = x + noise * jax.random.normal(stream(key, "noise"), x.shape, x.dtype)
            if lost:
                x = jnp.where(jax.random.bernoulli(stream(key, "lost"), lost, (*x.shape[:2], 1)), 0, x)
            return x

        return jax.vmap(one)(keys, x)

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, network = batch["image"], trained(networks, hyper)["model"]
        spoilt = spoil(x, example_keys(key, batch))
        variables = {"params": params["model"], **stats["model"]}
        z = network.apply(variables, spoilt, method="encode")
        made = network.apply(variables, z, method="decode")
        mse = per_example(squared_error(made, x))
        size = jnp.abs(z).mean(1)
        sums = {"mse": mse.sum(), "code_size": size.sum()}
        return (
            (mse + hyper["task"]["sparsity"] * size).sum(),
            jnp.asarray(len(x), mse.dtype),
            ({"model": stats["model"]}, sums),
        )

    def predict(params, stats, batch, key, frozen):
        x, variables = batch["image"], {"params": params["model"], **stats["model"]}
        spoilt = spoil(x, example_keys(stream(key, "spoil"), batch))
        z = model.apply(variables, spoilt, method="encode")
        made = model.apply(variables, z, method="decode")
        size = jnp.abs(z)
        outputs = {
            "mse": per_example(squared_error(made, x)),
            "active": (size > 0.01 * size.max(1, keepdims=True)).mean(1, dtype=x.dtype),
            "reconstructed": made,
        }
        return outputs | ({"spoilt": spoilt} if noise or lost else {})

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            "mse": metrics.mean("mse", "mse", "min", scale="log"),
            "active": metrics.mean("active", "active", unit="%"),
        },
        numbers=("sparsity",),
        best="mse",
        views=(views.image(), views.image("spoilt"), views.image("reconstructed"), views.label()),
    )
