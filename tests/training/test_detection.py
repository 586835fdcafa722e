"""The detection task: its losses against the paper's equations, boxes from peaks, padding, and whether it learns."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.scenes import scenes
from models.classification.resnet_cifar import CifarResNet
from models.detection.centernet import CenterNet
from tests.training.learn import learn
from training import boxes
from training.tasks import detection as module
from training.tasks.detection import detection

B, H, W, K, R, N = 3, 24, 32, 4, 4, 5
NUMBERS = {"alpha": 2.0, "beta": 4.0, "size_weight": 0.1, "offset_weight": 1.0}


class Net(nn.Module):
    """A patch of R × R pixels for each cell."""

    num_classes: int = K

    @nn.compact
    def __call__(self, x, train):
        head = lambda name, channels: nn.Conv(channels, (R, R), R, name=name)(x)
        return {"heatmap": head("heatmap", self.num_classes), "offset": head("offset", 2), "size": head("size", 2)}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, [W - 10, H - 10], (B, N, 2))
    found = np.concatenate([corner, corner + rng.uniform(4, 10, (B, N, 2))], -1)
    labels = rng.integers(0, K, (B, N))
    found[0, 3:], labels[0, 3:] = 0, -1  # padding
    found[2], labels[2] = 0, -1  # an image without objects
    return {
        "image": jnp.asarray(rng.normal(size=(B, H, W, 3)), jnp.float32),
        "boxes": jnp.asarray(found, jnp.float32),
        "labels": jnp.asarray(labels, jnp.int32),
        "id": jnp.arange(B, dtype=jnp.int32),
    }


def run(batch, numbers=NUMBERS):
    task = detection({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    value, weight, (new, sums) = jax.jit(
        lambda: task.loss("model", params, stats, batch, jax.random.key(1), {}, {"task": numbers})
    )()
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    outputs = Net().apply({"params": params["model"]}, batch["image"], train=True)
    return float(value), float(weight), sums, jax.tree.map(lambda x: np.asarray(x, np.float64), outputs)


def test_the_loss_is_that_of_the_paper(batch):
    """Equations 1 to 4, object by object and cell by cell."""
    value, weight, sums, outputs = run(batch)
    expected = {"heatmap": 0.0, "offset": 0.0, "size": 0.0}
    objects = 0
    for b in range(B):
        y = np.zeros((H // R, W // R, K))
        for box, label in zip(np.asarray(batch["boxes"], float)[b], np.asarray(batch["labels"])[b], strict=True):
            if label < 0:
                continue
            objects += 1
            size = box[2:] - box[:2]
            p = (box[:2] + box[2:]) / 2 / R
            cell = np.floor(p).astype(int)
            sigma = (2 * float(module.radius(jnp.asarray(size / R))) + 1) / 6
            for i in range(H // R):
                for j in range(W // R):
                    distance = (j - cell[0]) ** 2 + (i - cell[1]) ** 2
                    y[i, j, label] = max(y[i, j, label], np.exp(-distance / (2 * sigma**2)))
            expected["offset"] += np.abs(outputs["offset"][b, cell[1], cell[0]] - (p - cell)).sum()
            expected["size"] += np.abs(outputs["size"][b, cell[1], cell[0]] - size).sum()
        p = 1 / (1 + np.exp(-outputs["heatmap"][b]))
        expected["heatmap"] -= np.where(y == 1, (1 - p) ** 2 * np.log(p), (1 - y) ** 4 * p**2 * np.log(1 - p)).sum()
    for name, number in expected.items():
        np.testing.assert_allclose(sums[name], number, rtol=1e-4)
    np.testing.assert_allclose(value, expected["heatmap"] + 0.1 * expected["size"] + expected["offset"], rtol=1e-4)
    assert weight == objects + 1  # the image without objects


def test_the_numbers_are_those_of_the_sweep(batch):
    _, _, sums, outputs = run(batch)
    doubled = run(batch, NUMBERS | {"size_weight": 0.2})[0]
    np.testing.assert_allclose(doubled - run(batch)[0], 0.1 * sums["size"], rtol=1e-4)
    # At α = β = 0 it is the cross-entropy of the centres.
    plain = run(batch, {**NUMBERS, "alpha": 0.0, "beta": 0.0})[2]["heatmap"]
    y = np.zeros((B, H // R, W // R, K))
    for b, n in zip(*np.nonzero(np.asarray(batch["labels"]) >= 0), strict=True):
        box = np.asarray(batch["boxes"])[b, n]
        x, row = np.floor((box[:2] + box[2:]) / 2 / R).astype(int)
        y[b, row, x, batch["labels"][b, n]] = 1
    p = 1 / (1 + np.exp(-outputs["heatmap"]))
    np.testing.assert_allclose(plain, -np.log(np.where(y == 1, p, 1 - p)).sum(), rtol=1e-4)


def test_padding_weighs_nothing(batch):
    wider = {
        **batch,
        "boxes": jnp.pad(batch["boxes"], ((0, 0), (2, 3), (0, 0)), constant_values=7.0),
        "labels": jnp.pad(batch["labels"], ((0, 0), (2, 3)), constant_values=-1),
    }
    for a, b in zip(run(batch)[:2], run(wider)[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_gradients_are_finite_without_any_object(batch):
    task = detection({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    for labels in (batch["labels"], jnp.full_like(batch["labels"], -1)):
        own = {**batch, "labels": labels}
        loss = lambda p, own=own: task.loss("model", p, stats, own, jax.random.key(0), {}, {"task": NUMBERS})
        (_, (weight, *_)), grad = jax.value_and_grad(lambda p, loss=loss: (loss(p)[0], loss(p)[1:]), has_aux=True)(
            params
        )
        assert weight >= B and all(jnp.isfinite(g).all() for g in jax.tree.leaves(grad))


@pytest.mark.parametrize("size", [(10.0, 10.0), (4.0, 30.0), (100.0, 37.0)])
def test_corners_within_the_radius_leave_an_iou_of_seven_tenths(size):
    r = float(module.radius(jnp.asarray(size)))
    box = jnp.array([0, 0, *size])
    moves = jnp.array([[r, r, r, r], [r, r, -r, -r], [-r, -r, r, r]])
    overlaps = boxes.iou(box, box + moves)
    assert overlaps.min() == pytest.approx(0.7, abs=1e-5)


def test_objects_that_a_network_states_are_found_again(batch):
    """The outputs that equations 1 to 3 ask for give back the boxes, whatever the padding."""
    with jax.enable_x64(True):
        found, labels = np.asarray(batch["boxes"][1], float), np.asarray(batch["labels"][1])
        p = (found[:, :2] + found[:, 2:]) / 2 / R
        cells = np.floor(p).astype(int)
        cells, first = np.unique(cells, axis=0, return_index=True)
        outputs = {name: np.zeros((H // R, W // R, n)) for name, n in (("heatmap", K), ("offset", 2), ("size", 2))}
        outputs["heatmap"] -= 50
        for k, (x, y) in zip(first, cells, strict=True):
            outputs["heatmap"][y, x, labels[k]] = 2 - 0.5 * k
            outputs["offset"][y, x], outputs["size"][y, x] = p[k] - (x, y), found[k, 2:] - found[k, :2]
        answer, names, scores = map(np.asarray, jax.jit(lambda o: module.peaks(o, R, 200))(outputs))
    assert len(answer) == (H // R) * (W // R) * K  # no more than there are
    # A neighbour of the same class that is surer hides an object.
    sure = [
        k
        for k, cell in zip(first, cells, strict=True)
        if not any(
            labels[j] == labels[k] and j < k and np.abs(other - cell).max() <= 1
            for j, other in zip(first, cells, strict=True)
        )
    ]
    best = np.sort(sure)
    np.testing.assert_allclose(answer[: len(best)], found[best], atol=1e-9)
    np.testing.assert_array_equal(names[: len(best)], labels[best])
    np.testing.assert_allclose(scores[: len(best)], 1 / (1 + np.exp(-(2 - 0.5 * best))))
    assert scores[len(best)] < 1e-9 and (np.diff(scores) <= 0).all()
    assert ((names >= 0) == (scores > 0)).all() and names[-1] == -1


def test_predictions_lie_in_the_image_and_need_nothing_but_it(batch):
    task = detection({"model": Net()}, max_detections=7)
    params, stats = task.init(jax.random.key(0), batch)
    predict = jax.jit(lambda image: task.predict(params, stats, {"image": image}, None, {}))
    outputs = predict(100 * batch["image"])
    assert outputs["found_boxes"].shape == (B, 7, 4) and outputs["found_labels"].shape == (B, 7)
    found = np.asarray(outputs["found_boxes"])
    assert found.min() >= 0 and found[..., ::2].max() <= W and found[..., 1::2].max() <= H
    assert (found[..., 2:] >= found[..., :2]).all()
    assert set(task.evaluators["boxes"].needs) == outputs.keys()


def test_it_learns_sixteen_scenes():
    source = scenes("", "train", size=32, max_objects=2, num_train=16, num_validation=1, num_test=1)
    network = CenterNet(backbone=CifarResNet(depth=8, num_classes=0), width=32, num_classes=len(source.info.classes))
    task = detection({"model": network}, max_detections=20)
    losses, numbers = learn(task, source, steps=120, rate=3e-3, numbers=NUMBERS)
    assert losses[:3].mean() > 4 and losses[-10:].mean() < 0.6
    assert numbers["ap50"] > 0.8 and numbers["ap"] > 0.4
    assert task.best in numbers
