import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from training import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(16, 5)) * 3
LABELS = RNG.integers(0, 5, 16).astype(np.int32)
P = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_cross_entropy_is_the_log_loss():
    loss = losses.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    assert loss.shape == (16,)
    close(loss.mean(), sklearn.metrics.log_loss(LABELS, P, labels=range(5)))


def test_label_smoothing_leaves_its_share_on_the_true_class():
    smoothed = 0.9 * np.eye(5)[LABELS] + 0.1 / 5  # (1 − ε) + ε/K on the class, ε/K elsewhere
    expected = -(smoothed * np.log(P)).sum(1)
    close(losses.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), 0.1), expected)
    close(losses.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(smoothed)), expected)
    # The gradient vanishes where softmax is the smoothed target.
    at = jnp.log(jnp.asarray(smoothed))
    close(jax.grad(lambda x: losses.softmax_cross_entropy(x, jnp.asarray(LABELS), 0.1).sum())(at), 0, 1e-6)


def test_cross_entropy_is_finite_for_what_is_to_be_ignored_and_in_bfloat16():
    logits = jnp.asarray([[1e4, -1e4, 0.0]], jnp.bfloat16)
    value, grad = jax.value_and_grad(lambda x: losses.softmax_cross_entropy(x, jnp.array([-1])).sum())(logits)
    assert value.dtype == jnp.float32
    assert np.isfinite(float(value)) and np.isfinite(np.asarray(grad, np.float32)).all()


def test_float64_stays_float64():
    with jax.enable_x64(True):
        loss = losses.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
        assert loss.dtype == jnp.float64
        close(loss.mean(), sklearn.metrics.log_loss(LABELS, P, labels=range(5)), 1e-12)


def test_sigmoid_cross_entropy_is_the_binary_log_loss_and_takes_soft_targets():
    x, t = LOGITS[:, 0], (LABELS > 2).astype(float)
    p = 1 / (1 + np.exp(-x))
    close(losses.sigmoid_cross_entropy(jnp.asarray(x), jnp.asarray(t)).mean(), sklearn.metrics.log_loss(t, p))
    close(losses.sigmoid_cross_entropy(jnp.asarray(0.0), 0.3), np.log(2))
    extreme = jnp.array([-1e4, 1e4])
    close(losses.sigmoid_cross_entropy(extreme, jnp.array([0.0, 1.0])), 0)
    close(losses.sigmoid_cross_entropy(extreme, jnp.array([1.0, 0.0])), 1e4)


def test_focal_at_one_half():
    """p = ½, γ = 2: ¼ · log 2."""
    for target in (0.0, 1.0):
        close(losses.sigmoid_focal(jnp.zeros(()), jnp.asarray(target), alpha=None, gamma=2.0), 0.25 * np.log(2))
    close(losses.sigmoid_focal(jnp.zeros(()), jnp.ones(()), 0.25, 2.0), 0.25 * 0.25 * np.log(2))
    close(losses.sigmoid_focal(jnp.zeros(()), jnp.zeros(()), 0.25, 2.0), 0.75 * 0.25 * np.log(2))
    close(losses.softmax_focal(jnp.zeros((1, 2)), jnp.array([1]), 2.0), 0.25 * np.log(2))


def test_focal_without_focus_is_cross_entropy():
    x, t = jnp.asarray(LOGITS[:, 0]), jnp.asarray((LABELS > 2).astype(float))
    close(losses.sigmoid_focal(x, t, alpha=None, gamma=0.0), losses.sigmoid_cross_entropy(x, t))
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    close(losses.softmax_focal(logits, labels, 0.0), losses.softmax_cross_entropy(logits, labels))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_equals_optax_and_has_finite_gradients_where_it_is_sure(gamma):
    x, t = jnp.asarray(LOGITS[:, 0]), jnp.asarray((LABELS > 2).astype(float))
    close(losses.sigmoid_focal(x, t, 0.25, gamma), optax.sigmoid_focal_loss(x, t, alpha=0.25, gamma=gamma))
    sure = jnp.array([-200.0, 200.0])
    for loss in (
        lambda x, g: losses.sigmoid_focal(x, jnp.array([0.0, 1.0]), 0.25, g).sum(),
        lambda x, g: losses.softmax_focal(x[None], jnp.array([1]), g).sum(),
    ):
        assert np.isfinite(jax.jit(jax.grad(loss))(sure, gamma)).all()


def masks():
    truth = RNG.integers(0, 3, (2, 8, 8))
    guess = np.where(RNG.random((2, 8, 8)) < 0.3, RNG.integers(0, 3, (2, 8, 8)), truth)
    return truth, guess


def test_dice_and_tversky_of_hard_masks_are_f1_and_iou():
    truth, guess = masks()
    one_hot = lambda x: jnp.asarray(np.eye(3)[x])
    dice = losses.dice(one_hot(guess), one_hot(truth), 0.0)
    iou = losses.tversky(one_hot(guess), one_hot(truth), 1.0, 1.0, 0.0)
    assert dice.shape == (2, 3)
    for b in range(2):
        args = (truth[b].ravel(), guess[b].ravel())
        close(1 - dice[b], sklearn.metrics.f1_score(*args, average=None))
        close(1 - iou[b], sklearn.metrics.jaccard_score(*args, average=None))
    close(1 - iou, (1 - dice) / (2 - (1 - dice)))  # IoU = D/(2 − D)
    close(losses.tversky(one_hot(guess), one_hot(truth), 0.5, 0.5, 0.0), dice)


def test_tversky_weighs_misses_and_false_alarms_apart():
    truth, guess = jnp.array([1.0, 1, 1, 0])[None, :, None], jnp.array([1.0, 0, 0, 1])[None, :, None]
    close(losses.tversky(guess, truth, 0.3, 0.7, 0.0), 1 - 1 / (1 + 0.3 * 1 + 0.7 * 2))


def test_dice_is_zero_for_a_class_that_is_nowhere():
    nothing = jnp.zeros((1, 4, 4, 2))
    close(losses.dice(nothing, nothing), 0)
    assert np.isfinite(jax.grad(lambda p: losses.dice(p, nothing).sum())(nothing)).all()


def test_regression():
    d = jnp.array([-3.0, -0.5, 0.0, 0.2, 2.0])
    close(losses.squared_error(d, 0), d**2)
    close(losses.absolute_error(d, 0), np.abs(d))
    close(losses.huber(d, jnp.zeros(5), 0.7), optax.huber_loss(d, jnp.zeros(5), delta=0.7))
    close(losses.smooth_l1(d, 0, 1.0), [2.5, 0.125, 0, 0.02, 1.5])
    close(losses.smooth_l1(d, 0, 0.5), [2.75, 0.25, 0, 0.04, 1.75])
    close(losses.per_example(jnp.arange(12.0).reshape(2, 3, 2)), [2.5, 8.5])
