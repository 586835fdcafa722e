"""Sums of losses by name: each term against its equation in float64, weights, mining, deep supervision."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import sklearn.metrics

from models.segmentation.unet import UNet
from training import losses
from training.distances import signed_distance, squared_distance
from training.errors import TrainingError
from training.tasks.compound_segmentation import TERMS, compound_segmentation, terms

B, H, W, K = 3, 6, 5, 4
NUMBERS = {"gamma": 2.0, "alpha_fp": 0.5, "beta_fn": 0.5, "hard_share": 0.25, "sure": 0.7}
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


class Net(nn.Module):
    num_classes: int = K

    @nn.compact
    def __call__(self, x, train):
        return nn.Conv(self.num_classes, (3, 3), param_dtype=jnp.float64)(x)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.normal(size=(B, H, W, 2)),
        "masks": rng.integers(-1, K, (B, H, W)).astype(np.int8),
        "id": np.arange(B, dtype=np.int32),
    }


def run(batch, net=None, numbers=None, **options):
    """(value, weight, probabilities [B, H, W, K]) of the loss of a network with its first parameters."""
    net = net or Net()
    task, hyper = compound_segmentation({"model": net}, **options), {"task": NUMBERS | (numbers or {})}
    params, stats = task.init(jax.random.key(0), batch)
    value, weight, (new, _) = jax.jit(lambda: task.loss("model", params, stats, batch, jax.random.key(1), {}, hyper))()
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    found = net.apply({"params": params["model"]}, batch["image"], train=True)
    logits = np.asarray(found[0] if isinstance(found, tuple) else found)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return float(value), float(weight), p / p.sum(-1, keepdims=True)


def expected(name, p, masks, weights=None):
    """The loss of one image, by its equation: p [H, W, K], masks [H, W]."""
    known = masks >= 0
    p, c = p[known], masks[known]
    log_p = np.log(p[np.arange(len(c)), c])
    pixel = np.ones(len(c)) if weights is None else np.asarray(weights)[c]
    if name == "cross_entropy":
        return -(pixel * log_p).sum() / pixel.sum()
    if name == "focal":
        return -(pixel * (1 - np.exp(log_p)) ** 2 * log_p).sum() / pixel.sum()
    if name == "ohem":
        kept = np.exp(log_p) <= 0.7
        kept[np.argsort(log_p)[: int(np.ceil(len(c) / 4))]] = True
        return -(pixel * kept * log_p).sum() / (pixel * kept).sum()
    if name == "boundary":
        total = np.zeros(len(c))
        for k in range(K):
            region = masks == k
            if region.any() and not region.all():
                outside = scipy.ndimage.distance_transform_edt(~region)
                inside = scipy.ndimage.distance_transform_edt(region)
                total += p[:, k] * np.where(region, 1 - inside, outside)[known]
        return (pixel * total).sum() / pixel.sum()
    values = []
    for k in np.unique(c):
        t = c == k
        if name == "lovasz":
            values.append(extension(np.abs(t - p[:, k]), t))
            continue
        hit, alarm, miss = p[t, k].sum(), p[~t, k].sum(), (1 - p[t, k]).sum()
        values.append(1 - hit / (hit + (1.0 if name == "jaccard" else 0.5) * (alarm + miss)))
    return np.mean(values)


def extension(errors, true):
    """The Lovász extension of 1 − IoU by its definition: a sum over the growing sets of wrong pixels."""
    order, total, before = np.argsort(-errors), 0.0, 0.0
    for i in range(len(order)):
        wrong = np.zeros(len(errors), bool)
        wrong[order[: i + 1]] = True
        index = 1 - sklearn.metrics.jaccard_score(true, true ^ wrong, zero_division=0.0)
        total, before = total + errors[order[i]] * (index - before), index
    return total


@pytest.mark.parametrize("name", TERMS)
def test_each_term_by_its_equation(batch, name):
    value, weight, p = run(batch, loss=name)
    images = [expected(name, p[b], batch["masks"][b]) for b in range(B)]
    assert weight == B and np.ptp(images) > 0
    np.testing.assert_allclose(value, np.sum(images), rtol=1e-5)


def test_a_sum_is_the_sum_of_its_terms_with_their_factors(batch):
    value, _, p = run(batch, loss="dice + 0.5 focal + 2 * boundary")
    one = lambda name: sum(expected(name, p[b], batch["masks"][b]) for b in range(B))
    np.testing.assert_allclose(value, one("dice") + 0.5 * one("focal") + 2 * one("boundary"), rtol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "boundary"])
def test_classes_weigh_their_pixels(batch, name):
    weights = (1.0, 0.2, 3.0, 0.5)
    value, _, p = run(batch, loss=name, class_weights=weights)
    np.testing.assert_allclose(
        value, sum(expected(name, p[b], batch["masks"][b], weights) for b in range(B)), rtol=1e-5
    )


def test_images_without_labels_weigh_nothing_and_gradients_are_finite(batch):
    ignored = {**batch, "masks": np.where(np.arange(B)[:, None, None] == 1, -1, batch["masks"]).astype(np.int8)}
    some = {name: x[[0, 2]] for name, x in ignored.items()}
    everything = " + ".join(TERMS)
    for a, b in zip(run(ignored, loss=everything)[:2], run(some, loss=everything)[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    task = compound_segmentation({"model": Net()}, loss=everything)
    params, stats = task.init(jax.random.key(0), batch)
    for masks in (ignored["masks"], np.full_like(batch["masks"], -1)):
        own = {**ignored, "masks": masks}
        loss = lambda p, own=own: task.loss("model", p, stats, own, jax.random.key(0), {}, {"task": NUMBERS})[0]
        gradient = jax.grad(loss)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(jax.jit(gradient)(params)))


def test_lovasz_of_a_sure_prediction_is_one_minus_the_iou():
    true, guess = (RNG.integers(0, 3, (2, 40)) for _ in range(2))
    found = losses.lovasz(np.eye(3)[guess], np.eye(3)[true], np.ones((2, 40), bool))
    for b in range(2):
        np.testing.assert_allclose(1 - found[b], sklearn.metrics.jaccard_score(true[b], guess[b], average=None))


def test_distances_are_those_of_scipy():
    for shape in ((7, 12), (1, 5)):
        region = RNG.random(shape) < 0.2
        region[0, 2] = True
        found = squared_distance(jnp.asarray(region))
        np.testing.assert_allclose(found, scipy.ndimage.distance_transform_edt(~region) ** 2, rtol=1e-6)
    assert not signed_distance(jnp.zeros((3, 4), bool)).any() and not signed_distance(jnp.ones((3, 4), bool)).any()


def test_the_hardest_pixels_are_a_share_of_those_that_count():
    values, weights = np.array([[0.1, 0.2, 0.3, 9.0, 0.05]]), np.array([[1.0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(losses.hardest(values, weights, 0.5, 0.5), [[0, 1, 2, 0, 0]])
    np.testing.assert_array_equal(losses.hardest(values, weights, 0.0, np.exp(-0.15)), [[0, 1, 2, 0, 0]])


def test_deep_supervision_adds_the_losses_of_the_other_heads(batch):
    class Deep(nn.Module):
        num_classes: int = K
        auxiliary: float = 0.3

        @nn.compact
        def __call__(self, x, train):
            heads = tuple(Net(name=f"head{i}")(x, train) for i in range(3))
            return heads if train else heads[0]

    value, _, _ = run(batch, Deep(), loss="dice")
    task = compound_segmentation({"model": Deep()}, loss="dice")
    params, stats = task.init(jax.random.key(0), batch)
    heads = Deep().apply({"params": params["model"]}, batch["image"], train=True)
    p = np.asarray(jax.nn.softmax(jnp.stack(heads)))
    one = lambda p: sum(expected("dice", p[b], batch["masks"][b]) for b in range(B))
    np.testing.assert_allclose(value, one(p[0]) + 0.3 * (one(p[1]) + one(p[2])), rtol=1e-5)
    outputs = task.predict(params, stats, batch, None, {})
    np.testing.assert_array_equal(outputs["prediction"], p[0].argmax(-1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(loss="dice + lovas"), "'lovas' is unknown: did you mean 'lovasz'"),
        (dict(loss="dice + -1 focal"), r"'-1 focal' is not a term like \"dice\""),
        (dict(loss=""), "'' is not a term"),
        (dict(class_weights=(1.0, 2.0)), "task.class_weights has 2 numbers for 4 classes"),
    ],
)
def test_what_a_page_may_not_write_is_one_clear_line(options, message):
    with pytest.raises(TrainingError, match=message):
        compound_segmentation({"model": Net()}, **options)


def test_valid_convolutions_are_refused():
    images, masks = jnp.zeros((1, 44, 44, 1)), jnp.zeros((1, 44, 44), jnp.int8)
    batch = {"image": images, "masks": masks, "id": jnp.zeros(1, jnp.int32)}
    task = compound_segmentation({"model": UNet(width=1, depth=2, dropout_rate=0.0, num_classes=K)})

    def loss(batch):
        params, stats = task.init(jax.random.key(0), batch)
        return task.loss("model", params, stats, batch, jax.random.key(1), {}, {"task": NUMBERS})[0]

    with pytest.raises(TrainingError, match="answers for 4×4 of 44×44 pixels"):
        jax.eval_shape(loss, batch)


def test_terms_are_read_with_and_without_factors():
    assert terms("dice+.5focal + 2*lovasz") == ((1.0, "dice"), (0.5, "focal"), (2.0, "lovasz"))
