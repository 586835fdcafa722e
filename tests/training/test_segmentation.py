"""The segmentation task: its losses against equations, what is ignored, sizes, and one device against eight."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from data.pipeline import Feed
from data.scenes import scenes
from models.segmentation.unet import UNet
from training import parallel
from training.errors import TrainingError
from training.evaluate import evaluate_set, make_evaluate_step
from training.optimizers import make_optimizer
from training.step import init_state, make_train_step
from training.tasks.segmentation import LOSSES, segmentation

B, H, W, K = 3, 6, 5, 4
HYPER = {"task": {"gamma": 2.0, "alpha_fp": 0.5, "beta_fn": 0.5}}


class Net(nn.Module):
    num_classes: int = K

    @nn.compact
    def __call__(self, x, train):
        return nn.Conv(self.num_classes, (3, 3))(x)


class Valid(Net):
    """As Net, but a border of one pixel gets no answer."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Conv(self.num_classes, (3, 3), padding="VALID")(x)

    def sides(self, output):
        return 2 * (output // 2 + output % 2) + 2, 2 * (output // 2 + output % 2)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.normal(size=(B, H, W, 2)), jnp.float32),
        "masks": jnp.asarray(rng.integers(-1, K, (B, H, W)), jnp.int8),
        "id": jnp.arange(B, dtype=jnp.int32),
    }


def run(batch, net=None, loss="cross_entropy", **numbers):
    net = net or Net()
    task, hyper = segmentation({"model": net}, loss=loss), {"task": HYPER["task"] | numbers}
    params, stats = task.init(jax.random.key(0), batch)
    value, weight, (new, sums) = jax.jit(
        lambda: task.loss("model", params, stats, batch, jax.random.key(1), {}, hyper)
    )()
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    logits = np.asarray(net.apply({"params": params["model"]}, batch["image"], train=True), np.float64)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return float(value), float(weight), sums, p


def of_true_class(p, masks):
    return np.take_along_axis(p, np.maximum(masks, 0).astype(int)[..., None], -1)[..., 0]


def test_cross_entropy_is_scikit_learns_over_labelled_pixels(batch):
    value, weight, sums, p = run(batch)
    masks = np.asarray(batch["masks"])
    counts = masks >= 0
    assert weight == counts.sum() < masks.size
    expected = sklearn.metrics.log_loss(masks[counts], p[counts], labels=range(K))
    np.testing.assert_allclose(value / weight, expected, rtol=1e-5)
    right = p.argmax(-1) == masks
    np.testing.assert_allclose(sums["pixel_accuracy"], right[counts].sum(), rtol=1e-5)


def test_focal_and_its_limit(batch):
    value, weight, _, p = run(batch, loss="focal", gamma=1.5)
    masks = np.asarray(batch["masks"])
    true = of_true_class(p, masks)[masks >= 0]
    np.testing.assert_allclose(value, -((1 - true) ** 1.5 * np.log(true)).sum(), rtol=1e-5)
    assert weight == len(true)
    plain = run(batch)[0]
    np.testing.assert_allclose(run(batch, loss="focal", gamma=0.0)[0], plain, rtol=1e-5)


@pytest.mark.parametrize(("loss", "alpha", "beta"), [("dice", 0.5, 0.5), ("tversky", 0.3, 0.7), ("tversky", 1, 1)])
def test_regions_by_their_equation(batch, loss, alpha, beta):
    options = {} if loss == "dice" else {"alpha_fp": alpha, "beta_fn": beta}
    value, weight, _, p = run(batch, loss=loss, **options)
    masks = np.asarray(batch["masks"])
    values = []
    for b in range(B):
        counts = masks[b] >= 0
        for k in np.unique(masks[b][counts]):
            true, soft = (masks[b] == k)[counts], p[b, ..., k][counts]
            hit, false_positive, miss = soft[true].sum(), soft[~true].sum(), (1 - soft)[true].sum()
            values.append(1 - hit / (hit + alpha * false_positive + beta * miss))
    np.testing.assert_allclose(value, np.sum(values), rtol=1e-4)
    assert weight == len(values)


def test_dice_of_a_sure_prediction_is_scikit_learns_f1(batch):
    masks = np.random.default_rng(1).integers(0, K, (1, H, W))
    image = jax.nn.one_hot(np.random.default_rng(2).integers(0, K, (1, H, W)), K) * 1e3

    class Echo(nn.Module):
        num_classes: int = K

        @nn.compact
        def __call__(self, x, train):
            return x * self.param("one", nn.initializers.ones, ())

    value, weight, *_ = run({**batch, "image": image, "masks": jnp.asarray(masks)}, Echo(), loss="dice")
    f1 = sklearn.metrics.f1_score(masks.ravel(), image.argmax(-1).ravel(), average="macro")
    np.testing.assert_allclose(1 - value / weight, f1, rtol=1e-4)


def test_weights_multiply_pixels(batch):
    weights = np.random.default_rng(3).uniform(size=(B, H, W)).astype(np.float32)
    value, weight, sums, p = run({**batch, "weight_map": jnp.asarray(weights)})
    masks = np.asarray(batch["masks"])
    w = weights * (masks >= 0)
    np.testing.assert_allclose(value, -(w * np.log(of_true_class(p, masks))).sum(), rtol=1e-5)
    np.testing.assert_allclose(weight, w.sum(), rtol=1e-5)
    np.testing.assert_allclose(sums["pixel_accuracy"], (w * (p.argmax(-1) == masks)).sum(), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_image_without_labels_weighs_nothing_and_gradients_are_finite(batch, loss):
    ignored = batch | {"masks": batch["masks"].at[1].set(-1)}
    keep = np.array([0, 2])
    some = {name: x[keep] for name, x in ignored.items()}
    for a, b in zip(run(ignored, loss=loss)[:2], run(some, loss=loss)[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    task = segmentation({"model": Net()}, loss=loss)
    params, stats = task.init(jax.random.key(0), batch)
    for masks in (ignored["masks"], jnp.full_like(ignored["masks"], -1)):
        own = {**ignored, "masks": masks}
        grad = jax.grad(lambda p, own=own: task.loss("model", p, stats, own, jax.random.key(0), {}, HYPER)[0])(params)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grad))


def test_valid_convolutions_are_trained_on_the_centre(batch):
    even = {name: x[:, :, :4] if x.ndim > 1 else x for name, x in batch.items()}
    value, weight, _, p = run(even, Valid())
    masks = np.asarray(even["masks"])[:, 1:-1, 1:-1]
    counts = masks >= 0
    assert weight == counts.sum()
    np.testing.assert_allclose(value, -np.log(of_true_class(p, masks))[counts].sum(), rtol=1e-5)


def test_images_that_valid_convolutions_do_not_fit(batch):
    with pytest.raises(TrainingError, match=r"6×5 do not fit .* crop them to 4 or 6"):
        run(batch, Valid())
    net = UNet(width=1, depth=4, num_classes=K)
    large = {"image": jnp.zeros((1, 190, 190, 1)), "masks": jnp.zeros((1, 190, 190), int), "id": jnp.zeros(1, int)}
    task = segmentation({"model": net})
    with pytest.raises(TrainingError, match="crop them to 188 or 204"):
        jax.eval_shape(lambda: task.loss("model", {"model": {}}, {"model": {}}, large, jax.random.key(0), {}, HYPER))


def test_predictions_have_the_size_of_the_image(batch):
    for net in (Valid(), Net(), UNet(width=2, depth=1, num_classes=K)):
        task = segmentation({"model": net})
        params, stats = task.init(jax.random.key(0), batch)
        images = {"image": batch["image"], "id": batch["id"]}
        outputs = jax.jit(lambda p, s, b, task=task: task.predict(p, s, b, None, {}))(params, stats, images)
        assert outputs["prediction"].shape == outputs["probability"].shape == (B, H, W)
        assert set(outputs) == {"prediction", "probability"}  # nothing but the image is needed


def test_metrics_are_those_of_the_whole_set(batch):
    task = segmentation({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    step = jax.jit(make_evaluate_step(task, lambda batch: batch))
    feeds = [
        {**batch, "mask": jnp.array([True, True, True])},
        {**batch, "image": -batch["image"], "mask": jnp.array([True, False, False])},
    ]
    one = type("One", (), {"get": staticmethod(jax.device_get)})
    key = jax.random.key_data(jax.random.key(0))
    numbers = evaluate_set(lambda feed: step(params, stats, {}, feed, {}, key), feeds, one, task=task, source=None)
    predict = lambda feed: np.asarray(task.predict(params, stats, feed, None, {})["prediction"])
    true = np.concatenate([batch["masks"], batch["masks"][:1]]).ravel()
    guess = np.concatenate([predict(feeds[0]), predict(feeds[1])[:1]]).ravel()
    true, guess = true[true >= 0], guess[true >= 0]
    iou = sklearn.metrics.jaccard_score(true, guess, average=None, labels=range(K))
    np.testing.assert_allclose(numbers["iou"], iou, rtol=1e-6)
    np.testing.assert_allclose(numbers["mean_iou"], iou.mean(), rtol=1e-6)
    np.testing.assert_allclose(numbers["pixel_accuracy"], (true == guess).mean(), rtol=1e-6)
    np.testing.assert_allclose(numbers["mean_dice"], sklearn.metrics.f1_score(true, guess, average="macro"), rtol=1e-6)
    assert task.best in numbers and np.isfinite(numbers["cross_entropy"])


def test_unknown_loss():
    with pytest.raises(TrainingError, match="'lovasz' is unknown"):
        segmentation({"model": Net()}, loss="lovasz")


def test_one_device_is_eight():
    """Three steps of a small U-Net with batch norm, in float64: dice, whose weight is counted over all devices."""
    with jax.enable_x64(True):
        source = scenes("", "train", size=32, num_train=16, num_validation=1, num_test=1)
        types = dict(dtype=jnp.float64, param_dtype=jnp.float64)
        fields = dict(width=2, depth=1, padding="same", norm="batch", dropout_rate=0.0, num_classes=11, **types)
        feed = Feed(source, 16, seed=0)
        prepare = lambda batch, key=None: batch | {"image": batch["image"].astype(jnp.float64) / 255}
        hyper = {
            "optimizer": {"model": {"momentum": np.float64(0.9)}},
            "schedule": {"model": {"peak": np.float64(0.1)}},
            **HYPER,
            "key": np.asarray(jax.random.key_data(jax.random.key(0))),
        }
        optimizers = {"model": make_optimizer({"name": "sgd", "momentum": 0.9}, {"name": "constant"}, steps=3)}

        def train(devices):
            task = segmentation({"model": UNet(**fields, axis_name=getattr(devices, "axis_name", None))}, loss="dice")
            state = jax.tree.map(np.array, init_state(task, optimizers, jax.random.key(1), prepare(feed[0]), hyper))
            step = make_train_step(task, optimizers, prepare, axis_name=getattr(devices, "axis_name", None))
            if devices is None:
                step = jax.jit(step)
                for i in range(3):
                    state, _ = step(state, {}, feed[i], {}, hyper)
                return state.params
            placed = devices.put_state(state)
            step, own = devices.train_step(step, placed), devices.put(hyper)
            for i in range(3):
                placed, _ = step(placed, devices.put({}), devices.put_batch(feed[i]), devices.put({}), own)
            return devices.get(placed.params)

        ones, eights = train(None), train(parallel.devices("pmap"))
        for a, b in zip(jax.tree.leaves(ones), jax.tree.leaves(eights), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)
