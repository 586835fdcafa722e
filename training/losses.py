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


def jaccard(probabilities: jax.Array, targets: jax.Array, smooth=1e-6) -> jax.Array:
    """1 − TP/(TP + FP + FN) with soft counts, [B, ..., K] -> [B, K]: Tversky at (1, 1), soft IoU."""
    return tversky(probabilities, targets, 1.0, 1.0, smooth)


def lovasz(probabilities: jax.Array, targets: jax.Array, counted: jax.Array) -> jax.Array:
    """The Lovász extension of 1 − IoU at the errors m = |t − p| of each class: Berman et al. 2018, eqs. 8 and 9.

    Sorted from the largest, each error is weighed by what its pixel, as the next one to be wrong, adds to 1 − IoU.

    Args:
      probabilities, targets: [B, ..., K] in [0, 1]; targets are 0 or 1.
      counted: [B, ...] bool; the other pixels are ignored.

    Returns: [B, K].
    """
    p, t = _full(probabilities), _full(targets)
    p, t = (x.reshape(len(x), -1, x.shape[-1]) for x in (p, t))
    counted = jnp.broadcast_to(counted.reshape(len(p), -1, 1), p.shape)
    errors = jnp.where(counted, jnp.abs(t - p), -1)  # the ignored ones come last and change nothing before them
    order = jax.lax.stop_gradient(jnp.argsort(-errors, axis=1))
    errors, true = (jnp.take_along_axis(x, order, 1) for x in (errors, jnp.where(counted, t, 0)))
    total = true.sum(1, keepdims=True)
    union = total + jnp.cumsum(1 - true, 1)
    index = 1 - (total - jnp.cumsum(true, 1)) / union
    step = jnp.diff(index, axis=1, prepend=jnp.zeros_like(total))
    return (jnp.maximum(errors, 0) * step).sum(1)


def boundary(probabilities: jax.Array, distances: jax.Array) -> jax.Array:
    """Σ_k φ_k p_k, φ the signed distance to the true region of class k: Kervadec et al. 2019, eq. 5; [..., K] -> [...].

    Negative inside of the region, so a sure and right answer has the smallest loss, which is below 0.
    """
    return (_full(probabilities) * distances).sum(-1)


def hardest(values: jax.Array, weights: jax.Array, share, sure) -> jax.Array:
    """The weights [B, ...] without those of easy pixels: online hard example mining, Shrivastava et al. 2016.

    Those of an image are kept whose value exceeds −log `sure`, and its `share` of pixels with the largest values.

    Args:
      values: −log p of the true class, [B, ...].
      weights: [B, ...]; a pixel of weight 0 is not counted among the hardest.
      share: in [0, 1].
      sure: the probability from which a pixel is easy.
    """
    known = jnp.where(weights > 0, values, -jnp.inf).reshape(len(values), -1)
    count = jnp.ceil(share * (weights > 0).reshape(len(values), -1).sum(1)).astype(jnp.int32)
    ranked = jnp.sort(known, 1, descending=True)
    least = jnp.take_along_axis(ranked, jnp.maximum(count - 1, 0)[:, None], 1)
    least = jnp.where(count[:, None] > 0, jnp.minimum(least, -jnp.log(sure)), -jnp.log(sure))
    kept = known >= jax.lax.stop_gradient(least)
    return weights * kept.reshape(weights.shape)
