"""MeanFlow: a network of average velocities, which goes from noise to data in one step (Geng et al. 2025).

On straight lines z_t = (1 − t) x_0 + t ε with the velocity v = ε − x_0, the average velocity u between r and t obeys

    u(z_t, r, t) = v − (t − r) d/dt u(z_t, r, t),  d/dt u = v ∂_z u + ∂_t u              eqs. 6 and 8

whose right side, without gradient, is the target; d/dt is a product with a Jacobian in forward mode. Then
z_r = z_t − (t − r) u(z_t, r, t).
"""

import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics, views
from training.errors import TrainingError
from training.task import (
    Condition,
    Makes,
    Task,
    conditions,
    example_keys,
    init_network,
    module_key,
    sample_labels,
    stream,
    trained,
)

TOLD = 1000.0  # a network is told times as steps of a thousand
SMALLEST = 1e-3  # c of the adaptive weight 1/(‖Δ‖² + c), section 4.3


def mean_flow(
    networks: dict[str, nn.Module],
    *,
    shape: tuple[int, ...],
    scale: str,
    apart: float = 0.25,
    sampling_steps: int = 1,
) -> Task:
    """Trains `networks["model"]`, (z_t [B, H, W, C], 1000 t [B], train, label, span=1000 (t − r)) -> [B, H, W, C].

    Predictions, per example: `loss`, the mean square of the velocity's error, before the adaptive weight. Times are
    sigmoids of normal numbers, N(−0.4, 1) (table 1d).

    Args:
      shape: (H, W, C) of what is made.
      scale: data.scale; images are clipped to its range when they are "symmetric".
      apart: the share of examples with r < t; the others have r = t, as flow matching.
      sampling_steps: evaluations of the network for a sample.
    """
    if not 0 <= apart <= 1:
        raise TrainingError(f"task.apart={apart} is not between 0 and 1")
    if sampling_steps < 1:
        raise TrainingError(f"task.sampling_steps={sampling_steps} is less than 1")
    model = networks["model"]
    conditional = "label" in conditions(model)

    def labels(batch):
        return {"label": jnp.where(batch["label"] >= 0, batch["label"], model.null)} if conditional else {}

    def errors(velocity, key, batch):
        """u − its target [B, ...]; velocity: (z, r, t) -> u."""
        keys, start = lambda name: example_keys(stream(key, name), batch), batch["image"]
        noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys("noise"))
        pairs = jax.nn.sigmoid(jax.vmap(lambda key: jax.random.normal(key, (2,), start.dtype) - 0.4)(keys("time")))
        t, r = pairs.max(1), pairs.min(1)
        r = jnp.where(jax.vmap(lambda key: jax.random.bernoulli(key, apart))(keys("apart")), r, t)
        of_all = lambda time: time.reshape(-1, 1, 1, 1)
        z, v = (1 - of_all(t)) * start + of_all(t) * noise, noise - start
        u, slope = jax.jvp(velocity, (z, r, t), (v, jnp.zeros_like(r), jnp.ones_like(t)))
        return u - jax.lax.stop_gradient(v - of_all(t - r) * slope)

    if "span" not in inspect.signature(type(model).__call__).parameters:
        raise TrainingError(
            f"task 'mean_flow' needs a network that is told a span, such as dit with spans=True, and not"
            f" {type(model).__name__}"
        )

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1], jnp.zeros(1), span=jnp.zeros(1))
        if stats:
            raise TrainingError("mean_flow differentiates the network along its path: it takes none with statistics")
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        network, label = trained(networks, hyper)["model"], labels(batch)
        dropout = {"dropout": module_key(key, batch)}

        def velocity(z, r, t):
            variables, told = {"params": params["model"]}, (TOLD * t, TOLD * (t - r))
            return network.apply(variables, z, told[0], train=True, span=told[1], rngs=dropout, **label)

        squares = jnp.sum(errors(velocity, key, batch).reshape(len(batch["image"]), -1) ** 2, 1)
        values = squares * jax.lax.stop_gradient(1 / (squares + SMALLEST))
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": {}}, {})

    def evaluate(params, label):
        def velocity(z, r, t):
            span = TOLD * (t - r)
            return model.apply({"params": params["model"]}, z, TOLD * t, train=False, span=span, **label)

        return velocity

    def predict(params, stats, batch, key, frozen):
        wrong = errors(evaluate(params, labels(batch)), stream(key, "predict"), batch)
        return {"loss": jnp.mean(wrong.reshape(len(wrong), -1) ** 2, 1)}

    def draw(params, stats, key, condition, frozen, *, steps: int = sampling_steps):
        """Images of the classes `condition["label"]` where given, with `steps` evaluations of the network."""
        if steps < 1:
            raise TrainingError(f"{steps} sampling steps are less than 1")
        label = sample_labels(model, condition)
        velocity = evaluate(params, {} if label is None else {"label": label})
        z = jax.vmap(lambda key: jax.random.normal(key, shape))(example_keys(key, condition))

        def body(z, step):
            t, r = (jnp.full(len(z), (step + more) / steps) for more in (1, 0))
            return z - (t - r).reshape(-1, 1, 1, 1) * velocity(z, r, t), None

        z, _ = jax.lax.scan(body, z, jnp.arange(steps), reverse=True)
        return {"image": jnp.clip(z, -1, 1) if scale == "symmetric" else z}

    return Task(
        players=("model",),
        needs=("label",) if conditional else (),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"loss": metrics.mean("loss", "loss", "min", scale="log")},
        best="loss",
        makes=Makes(
            draw,
            given={"label": Condition("label")} if conditional else {},
            options={"steps": sampling_steps},
        ),
        views=(views.image(), views.label()),
    )
