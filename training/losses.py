"""Losses as equations. None of them averages over examples, ignores labels or weighs: that is the task's,
which returns a weighted sum and its weight. All compute in float32 at least.
"""

import jax
import jax.numpy as jnp


def _full(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def per_example(values: jax.Array) -> jax.Array:
    """Mean over all axes but the first: [B, ...] -> [B]."""
    return values.reshape(values.shape[0], -1).mean(1)


def softmax_cross_entropy(logits: jax.Array, targets: jax.Array, smoothing=0.0) -> jax.Array:
    """−Σ_k t_k log p_k, where t_k = (1 − ε) target_k + ε/K; p = softmax(logits).

    So label smoothing (Szegedy et al. 2016, §7) leaves (1 − ε) + ε/K on the true class.

    Args:
      logits: [..., K].
      targets: classes in [0, K) as integers [...], or distributions [..., K]. The value for a class outside
        that range, such as −1, means nothing: give it the weight 0.
      smoothing: ε in [0, 1].

    Returns: [...].
    """
    log_p = jax.nn.log_softmax(_full(logits))
    if jnp.issubdtype(targets.dtype, jnp.integer):
        loss = -jnp.take_along_axis(log_p, jnp.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    else:
        loss = -(targets * log_p).sum(-1)
    return (1 - smoothing) * loss - smoothing * log_p.mean(-1)


def sigmoid_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """−t log p − (1 − t) log(1 − p), p = sigmoid(logits), elementwise; targets in [0, 1]."""
    logits = _full(logits)
    return jax.nn.softplus(logits) - logits * targets


def sigmoid_focal(logits: jax.Array, targets: jax.Array, alpha=0.25, gamma=2.0) -> jax.Array:
    """−α_t (1 − p_t)^γ log p_t, elementwise: Lin et al. 2017, eq. 5.

    Targets are 0 or 1; α_t is α for 1 and 1 − α for 0. `alpha=None` leaves the balance out (eq. 4).
    """
    positive = targets > 0.5
    logits = _full(logits)
    logits = jnp.where(positive, logits, -logits)  # now p_t = sigmoid(logits)
    # The power by way of the logarithm: its gradient is finite everywhere, also for γ < 1.
    loss = -jnp.exp(gamma * jax.nn.log_sigmoid(-logits)) * jax.nn.log_sigmoid(logits)
    return loss if alpha is None else jnp.where(positive, alpha, 1 - alpha) * loss


def softmax_focal(logits: jax.Array, labels: jax.Array, gamma=2.0) -> jax.Array:
    """−(1 − p_c)^γ log p_c for logits [..., K] and classes [...]: Lin et al. 2017, eq. 4, with a softmax."""
    log_p = -softmax_cross_entropy(logits, labels)
    rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(log_p.dtype).tiny)
    return -(rest**gamma) * log_p


def tversky(probabilities: jax.Array, targets: jax.Array, alpha_fp=0.5, beta_fn=0.5, smooth=1e-6) -> jax.Array:
    """1 − (TP + s)/(TP + α FP + β FN + s) with soft counts: Salehi et al. 2017, eq. 4. (1, 1) is soft IoU.

    Args:
      probabilities, targets: [B, ..., K] in [0, 1]; set both to 0 where a pixel is to be ignored.
      alpha_fp, beta_fn: what a false positive and a false negative cost.
      smooth: s. It makes the loss 0 where a class is neither there nor predicted.

    Returns: [B, K].
    """
    p, t = _full(probabilities), _full(targets)
    space = tuple(range(1, p.ndim - 1))
    hit = (p * t).sum(space)
    miss = alpha_fp * (p * (1 - t)).sum(space) + beta_fn * ((1 - p) * t).sum(space)
    return 1 - (hit + smooth) / (hit + miss + smooth)


def dice(probabilities: jax.Array, targets: jax.Array, smooth=1e-6) -> jax.Array:
    """1 − 2TP/(2TP + FP + FN) with soft counts, [B, ..., K] -> [B, K]: Tversky at (½, ½)."""
    return tversky(probabilities, targets, 0.5, 0.5, smooth)


def squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """(x − y)², elementwise."""
    return jnp.square(_full(predictions) - targets)


def absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """|x − y|, elementwise."""
    return jnp.abs(_full(predictions) - targets)


def huber(predictions: jax.Array, targets: jax.Array, delta=1.0) -> jax.Array:
    """½d² where |d| ≤ δ, else δ(|d| − ½δ), elementwise: Huber 1964."""
    d = absolute_error(predictions, targets)
    return jnp.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta))


def smooth_l1(predictions: jax.Array, targets: jax.Array, beta=1.0) -> jax.Array:
    """Huber's loss divided by its δ = β, so that the slope of its tails is 1: Girshick 2015, eq. 3."""
    return huber(predictions, targets, beta) / beta
