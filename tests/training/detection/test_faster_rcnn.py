"""The two stages: proposals, what is drawn of them, and that padding and empty images change nothing else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.detection.faster_rcnn import FasterRCNN
from training.detection.detector import Truth
from training.errors import TrainingError
from training.tasks.faster_rcnn import draw, faster_rcnn, mask_loss, propose, region_losses

B, N, K, SIZE = 2, 3, 4, (32, 48)


class Patches(nn.Module):
    """One map at stride 8."""

    @nn.compact
    def __call__(self, x, train: bool):
        return {"p3": nn.relu(nn.Conv(6, (8, 8), 8)(x))}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, [20, 8], (B, N, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 20, (B, N, 2))], -1)
    labels = rng.integers(0, K, (B, N))
    boxes[0, 2], labels[0, 2] = 0, -1
    return {
        "image": jnp.asarray(rng.normal(size=(B, *SIZE, 3)), jnp.float32),
        "boxes": jnp.asarray(boxes, jnp.float32),
        "labels": jnp.asarray(labels, jnp.int32),
        "instances": jnp.asarray(rng.integers(0, N + 1, (B, *SIZE))),
        "id": jnp.arange(B, dtype=jnp.int32),
    }


@pytest.fixture(scope="module")
def trial(batch):
    """(loss(batch) -> ((value, (weight, terms)), gradient), parameters, statistics, task, traces)."""
    network = FasterRCNN(
        backbone=Patches(), sizes=((8, 16),), hidden=8, masks=True, mask_width=4, canonical=28.0, num_classes=K
    )
    options = dict(anchors=40, regions=16, candidates=30, proposals=12, test_candidates=30, test_proposals=12)
    task, traces = faster_rcnn({"model": network}, masks=True, max_detections=5, **options), []
    params, stats = jax.jit(task.init)(jax.random.key(0), batch)
    shake = lambda x: x + 0.05 * np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    params = jax.tree.map(shake, params)

    def loss(params, batch):
        traces.append(1)
        hyper = {"task": {"box_weight": 1.0}}
        value, weight, (_, terms) = task.loss("model", params, stats, batch, jax.random.key(1), {}, hyper)
        return value, (weight, terms)

    return jax.jit(jax.value_and_grad(loss, has_aux=True)), params, stats, task, traces


def test_one_program_serves_any_number_of_objects_and_trains_without_any(batch, trial):
    loss, params, _, _, traces = trial
    traces.clear()
    for count in (0, 1, N):
        labels = jnp.where(jnp.arange(N) < count, jnp.maximum(batch["labels"], 0), -1)
        (value, (weight, terms)), gradient = loss(params, {**batch, "labels": labels})
        assert weight == B and value > 0 and all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        assert (terms["mask"] > 0) == (terms["box"] > 0) == (terms["proposal"] > 0) == (count > 0)
        moving = [np.any(x) for x in jax.tree.leaves(gradient)]
        assert all(moving) if count else any(moving)
    assert len(traces) <= 1


@pytest.mark.parametrize("masks", [True, False])
def test_a_task_and_a_network_that_differ_about_masks_are_refused(masks):
    network = FasterRCNN(backbone=Patches(), sizes=((8,),), masks=not masks)
    with pytest.raises(TrainingError, match=rf"task\.masks={masks} and model\.masks={not masks}: set both alike"):
        faster_rcnn({"model": network}, masks=masks)


def test_a_network_of_one_stage_is_refused():
    with pytest.raises(TrainingError, match=r"trains a network in two stages, not Patches$"):
        faster_rcnn({"model": Patches()})


def test_answers_have_their_size_and_lie_in_the_image(batch, trial):
    _, params, stats, task, _ = trial
    found = jax.jit(lambda image: task.predict(params, stats, {"image": image}, None, {}))(batch["image"])
    assert {name: x.shape for name, x in found.items()} == {
        "found_boxes": (B, 5, 4),
        "found_labels": (B, 5),
        "found_scores": (B, 5),
    }
    corners = np.asarray(found["found_boxes"])
    assert corners.min() >= 0 and corners[..., ::2].max() <= SIZE[1] and corners[..., 1::2].max() <= SIZE[0]
    assert (found["found_labels"] >= 0).any() and (found["found_labels"] < K).all()


def test_a_quarter_of_what_is_drawn_has_an_object_and_comes_first():
    truth = Truth(jnp.array([[0.0, 0, 10, 10], [20, 20, 30, 30]]), jnp.array([2, 0]), jnp.array([True, False]))
    near = jnp.array([[0.0, 0, 10, 10 - i / 4] for i in range(8)])
    far = jnp.array([[20.0 + i, 20, 30 + i, 30] for i in range(8)])
    proposals = jnp.concatenate([far, near]), jnp.arange(16) > 0
    drawn = draw(proposals, truth, jax.random.key(0), 12)
    np.testing.assert_array_equal(drawn.labels, [3, 3, 3, *[0] * 7, -1, -1])
    assert (drawn.match == 0).all() and (drawn.boxes[:3, 0] == 0).all() and (drawn.boxes[3:10, 0] > 20).all()
    more = draw(proposals, truth, jax.random.key(0), 40)
    assert more.boxes.shape == (40, 4) and (more.labels > 0).sum() == 9 and (more.labels == 0).sum() == 7


def test_proposals_are_the_surest_of_each_map_and_no_two_of_a_map_overlap():
    anchors = jnp.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    outputs = {
        "anchors": (anchors, anchors[:1]),
        "codes": (jnp.zeros((3, 4)), jnp.zeros((1, 4))),
        "objectness": (jnp.array([1.0, 3.0, 2.0]), jnp.array([0.5])),
    }
    found, there = propose(outputs, (20, 40), 3, 5, 0.7)
    np.testing.assert_allclose(found[:3], jnp.stack([anchors[1], anchors[2], anchors[0]]))
    np.testing.assert_array_equal(there, [True, True, True, False, False])


def test_what_fills_up_weighs_nothing():
    rng = np.random.default_rng(0)
    truth = Truth(jnp.array([[0.0, 0, 10, 10]]), jnp.array([2]), jnp.array([True]))
    drawn = draw((jnp.array([[1.0, 0, 10, 10], [20, 20, 30, 30]]), jnp.ones(2, bool)), truth, jax.random.key(0), 8)
    logits, codes = jnp.asarray(rng.normal(size=(8, 5))), jnp.asarray(rng.normal(size=(8, 5, 4)))
    masks, targets = jnp.asarray(rng.normal(size=(8, 2, 2, 5))), jnp.asarray(rng.uniform(size=(8, 2, 2)))
    both = lambda x, y, z: (region_losses(x, y, drawn, truth), mask_loss(z, targets, drawn))
    filled = (drawn.labels < 0)[:, None]
    other = both(logits + filled, codes + filled[..., None], masks + filled[..., None, None])
    for a, b in zip(jax.tree.leaves(both(logits, codes, masks)), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
