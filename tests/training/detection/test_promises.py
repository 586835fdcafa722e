"""What every detector that answers for a whole image promises, on outputs that need no network."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.layers import anchors
from training.detection.detector import truth_of
from training.tasks import cornernet, detr, fcos, retinanet, ssd, yolo

SIZE, K, N = (48, 64), 3, 4
CELLS = {8: (6, 8), 16: (3, 4)}  # stride -> cells of a map
FOCAL = dict(alpha=0.25, gamma=2.0)
ANSWER = dict(score=0.05, overlap=0.5, candidates=50, count=20)


class Case(NamedTuple):
    outputs: Mapping  # of one image: name -> (map of Shapes -> array)
    loss: Callable
    found: Callable
    numbers: Mapping


def outputs(shapes: int, classes: int, offset: float = 0.0, strides: bool = False, **extra: int):
    """Random outputs of two maps with `shapes` anchors in each cell. `extra`: numbers of an anchor; 0: a scalar."""
    rng = np.random.default_rng(0)
    found = {name: [] for name in ("logits", "codes", "anchors", *extra)}
    for stride, cells in CELLS.items():
        count = shapes * cells[0] * cells[1]
        side = 1.2 * stride * (1 + np.arange(shapes)[:, None]) * np.ones((shapes, 2))
        cell = np.concatenate([-side, side], 1) / 2
        found["logits"].append(rng.normal(size=(count, classes)))
        found["codes"].append(rng.normal(0, 0.3, (count, 4)))
        found["anchors"].append(anchors.grid(cell, cells, (stride, stride), offset))
        for name, numbers in extra.items():
            found[name].append(rng.normal(size=(count, numbers) if numbers else count))
    if strides:
        found["strides"] = [np.full(len(a), float(s)) for a, s in zip(found["anchors"], CELLS, strict=True)]
    return {name: tuple(jnp.asarray(x) for x in maps) for name, maps in found.items()}


def cells():
    rng, (rows, columns) = np.random.default_rng(0), CELLS[16]
    shaped = lambda *more: jnp.asarray(rng.uniform(0.05, 0.9, (rows, columns, *more)))
    return {"logits": shaped(K), "confidence": shaped(2), "boxes": shaped(2, 4)}


def queries():
    rng = np.random.default_rng(0)
    return {"logits": jnp.asarray(rng.normal(size=(2, 7, K + 1))), "boxes": jnp.asarray(rng.uniform(size=(2, 7, 4)))}


def corners():
    """Of two levels. The bottom right corners look like the top left ones two cells above and to the left."""
    rng, cells = np.random.default_rng(0), CELLS[8]
    shaped = lambda *more: rng.normal(size=(2, 1, *cells, *more))
    alike = lambda x: jnp.asarray(np.concatenate([x, np.roll(x, (2, 2), (2, 3))], 1))
    return {"heatmap": alike(shaped(K)), "embedding": alike(shaped()), "offset": alike(shaped(2) / 9)}


CASES = {
    "retinanet": lambda: Case(
        outputs(2, K),
        partial(retinanet.loss_of_one, positive=0.5, negative=0.4, beta=0.0),
        partial(retinanet.found_of_one, **ANSWER),
        FOCAL,
    ),
    "fcos": lambda: Case(
        outputs(1, K, centreness=0) | {"codes": tuple(jnp.abs(x) + 0.5 for x in outputs(1, K)["codes"])},
        partial(fcos.loss_of_one, radius=1.5),
        partial(fcos.found_of_one, **ANSWER),
        FOCAL,
    ),
    "ssd": lambda: Case(
        outputs(2, 1 + K, 0.5),
        partial(ssd.loss_of_one, positive=0.5, ratio=3.0),
        partial(ssd.found_of_one, **ANSWER),
        dict(alpha=1.0),
    ),
    "yolo_v1": lambda: Case(
        cells(), yolo.loss_of_cells, partial(yolo.found_of_cells, **ANSWER), dict(coord=5.0, noobj=0.5)
    ),
    "yolo_v2": lambda: Case(
        outputs(2, K, 0.5, strides=True, objectness=0),
        partial(yolo.loss_v2, ignore=0.6),
        partial(yolo.found_of_anchors, probabilities=jax.nn.softmax, **ANSWER),
        dict(object_weight=5.0),
    ),
    "yolo_v3": lambda: Case(
        outputs(2, K, 0.5, strides=True, objectness=0),
        partial(yolo.loss_v3, ignore=0.5),
        partial(yolo.found_of_anchors, probabilities=jax.nn.sigmoid, **ANSWER),
        {},
    ),
    "detr": lambda: Case(
        queries(),
        partial(detr.loss_of_one, auxiliary=True),
        partial(detr.found_of_one, count=20),
        dict(nothing=0.1, l1_weight=5.0, giou_weight=2.0),
    ),
    "cornernet": lambda: Case(
        corners(),
        partial(cornernet.loss_of_one, least=0.3),
        partial(cornernet.found_of_one, corners=12, sigma=0.5, count=20),
        dict(alpha=2.0, beta=4.0, pull_weight=0.1, push_weight=0.1),
    ),
}
OBJECTS = np.array([[4.0, 6, 20, 25], [30, 10, 60, 40], [8, 20, 26, 45], [40, 2, 47, 9]])


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


def truth(count, more=0):
    """The first `count` objects of a batch with room for `more` than N; its padding is not 0."""
    boxes = np.concatenate([OBJECTS, np.zeros((more, 4))])
    there = np.arange(N + more) < count
    boxes[~there] = [7, 7, 14, 21]
    labels = np.where(there, np.arange(N + more) % K, -1)
    batch = {"boxes": jnp.asarray(boxes)[None], "labels": jnp.asarray(labels)[None]}
    return jax.tree.map(lambda x: x[0], truth_of(batch))


def make_loss(case):
    compiled = []

    def loss(outputs, truth):
        compiled.append(1)
        terms, weight = case.loss(outputs, truth, SIZE, case.numbers, jax.random.key(0))
        return sum(terms.values()), weight

    return jax.jit(jax.value_and_grad(loss, has_aux=True)), compiled


def test_padding_weighs_nothing(case):
    loss, _ = make_loss(case)
    (value, weight), gradient = loss(case.outputs, truth(2))
    (wider, same), other = loss(case.outputs, truth(2, more=3))
    assert value > 0 and weight == same
    np.testing.assert_allclose(wider, value, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_one_program_serves_any_number_of_objects_and_all_losses_are_finite(case):
    loss, compiled = make_loss(case)
    for count in (0, 1, N):
        (value, weight), gradient = loss(case.outputs, truth(count))
        assert np.isfinite(value) and weight >= 0
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient)), count
        moving = any(np.any(x) for name, maps in gradient.items() for x in jax.tree.leaves(maps) if name != "anchors")
        assert moving or (count == 0 and weight == 0)
    assert len(compiled) == 1


def test_answers_lie_in_the_image_and_are_ordered(case):
    found, labels, scores = jax.jit(lambda outputs: case.found(outputs, SIZE))(case.outputs)
    assert found.shape == (20, 4) and labels.shape == scores.shape == (20,)
    there = labels >= 0
    assert there.any() and (labels < K).all() and (np.diff(scores) <= 0).all()
    assert (found >= 0).all() and found[:, ::2].max() <= SIZE[1] and found[:, 1::2].max() <= SIZE[0]
    assert ((scores > 0) == there).all() and (scores <= 1).all()


# A mirrored top left corner is a top right one.
@pytest.mark.parametrize("case", [name for name in CASES if name != "cornernet"], indirect=True)
def test_a_mirrored_image_has_mirrored_boxes(case):
    """A network of mirrored answers, and the anchors of the mirrored image."""
    width = SIZE[1]
    mirror = lambda boxes: jnp.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    out = dict(case.outputs)
    if "anchors" in out:
        out["anchors"] = tuple(mirror(x) for x in out["anchors"])
        if case.found.func is fcos.found_of_one:
            out["codes"] = tuple(x[:, jnp.array([2, 1, 0, 3])] for x in out["codes"])
        else:
            out["codes"] = tuple(x * jnp.array([-1, 1, 1, 1]) for x in out["codes"])
    elif case.found.func is detr.found_of_one:
        out["boxes"] = out["boxes"].at[..., 0].set(1 - out["boxes"][..., 0])
    else:
        out = {name: x[:, ::-1] for name, x in out.items()}
        out["boxes"] = out["boxes"].at[..., 0].set(1 - out["boxes"][..., 0])
    answer = jax.jit(lambda outputs: case.found(outputs, SIZE))
    found, labels, scores = answer(case.outputs)
    flipped, same, equal = answer(out)
    np.testing.assert_allclose(equal, scores, rtol=1e-9)
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_allclose(flipped, jnp.where((labels >= 0)[:, None], mirror(found), 0), atol=1e-9)
