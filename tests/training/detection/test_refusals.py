"""Networks and data that a task cannot serve are refused in one line."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from training.detection.detector import Truth
from training.errors import TrainingError
from training.tasks import detr
from training.tasks.ssd import ssd

CLASSES = 3


class Detector(nn.Module):
    """Two anchors with `columns` logits each."""

    columns: int
    num_classes: int = CLASSES

    @nn.compact
    def __call__(self, x, train: bool):
        numbers = nn.Dense(2 * (self.columns + 4))(x.mean((1, 2))).reshape(len(x), 2, -1)
        anchors = jnp.array([[0.0, 0, 8, 8], [8, 8, 16, 16]])
        return {"logits": (numbers[..., 4:],), "codes": (numbers[..., :4],), "anchors": (anchors,)}


def loss_of_ssd(columns):
    task = ssd({"model": Detector(columns)})
    batch = {
        "image": jnp.ones((1, 16, 16, 3)),
        "boxes": jnp.array([[[1.0, 1, 7, 8]]]),
        "labels": jnp.array([[CLASSES - 1]]),
        "id": jnp.arange(1),
    }
    params, stats = task.init(jax.random.key(0), batch)
    return task.loss("model", params, stats, batch, jax.random.key(1), {}, {"task": {"alpha": 1.0}})[0]


def test_ssd_reads_a_column_of_nothing():
    assert jnp.isfinite(loss_of_ssd(1 + CLASSES))
    with pytest.raises(TrainingError, match=r"and of 3 classes, and Detector gives 3: take model.name=ssd"):
        loss_of_ssd(CLASSES)


def test_ssd_asks_for_the_number_of_classes():
    with pytest.raises(TrainingError, match=r"a detector with num_classes, not Dense$"):
        ssd({"model": nn.Dense(3)})


@pytest.mark.parametrize("objects", [7, 8])
def test_each_object_has_a_query(objects):
    outputs = {"logits": jnp.zeros((2, 7, CLASSES + 1)), "boxes": jnp.full((2, 7, 4), 0.5)}
    truth = Truth(jnp.zeros((objects, 4)), jnp.zeros(objects, int), jnp.arange(objects) < 1)
    numbers = dict(nothing=0.1, l1_weight=5.0, giou_weight=2.0)
    loss = lambda: detr.loss_of_one(outputs, truth, (16, 16), numbers, None, auxiliary=True)
    if objects == 7:
        assert jnp.isfinite(loss()[0]["class"])
        return
    with pytest.raises(TrainingError, match=r"8 objects .* the 7 queries: set data.max_objects or model.queries$"):
        loss()
