"""CenterNet: shapes of its answers, the backbone's names, and how it begins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.resnet_cifar import CifarResNet
from models.detection.centernet import CenterNet
from models.errors import ModelError

IMAGE = jnp.zeros((2, 32, 48, 3))


@pytest.fixture(scope="module")
def backbone():
    return CifarResNet(depth=8, num_classes=0)


def test_it_answers_for_every_cell_of_the_chosen_map(backbone):
    for level, stride in (("stage2", 2), ("stage3", 4)):
        network = CenterNet(backbone=backbone, level=level, width=8, num_classes=5)
        outputs, variables = jax.eval_shape(lambda n=network: n.init_with_output(jax.random.key(0), IMAGE, train=False))
        shapes = {name: x.shape for name, x in outputs.items()}
        cells = 2, 32 // stride, 48 // stride
        assert shapes == {"heatmap": (*cells, 5), "offset": (*cells, 2), "size": (*cells, 2)}
        names = {"backbone", *(f"{head}{end}" for head in shapes for end in ("", "_conv"))}
        assert set(variables["params"]) == names


def test_weights_of_a_classifier_serve_its_backbone(backbone):
    network = CenterNet(backbone=backbone, width=8, num_classes=5)
    classifier = CifarResNet(depth=8)
    shapes = [
        jax.tree.map(lambda x: x.shape, jax.eval_shape(lambda n=n: n.init(jax.random.key(0), IMAGE, train=False)))
        for n in (network, classifier)
    ]
    own, other = (tree["params"] for tree in shapes)
    del other["linear"]
    assert own["backbone"] == other
    assert shapes[0]["batch_stats"]["backbone"] == shapes[1]["batch_stats"]


def test_it_begins_sure_that_nothing_is_there(backbone):
    network = CenterNet(backbone=backbone, width=8, num_classes=5)
    image = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    outputs, _ = jax.jit(lambda: network.init_with_output(jax.random.key(0), image, train=False))()
    assert np.median(jax.nn.sigmoid(outputs["heatmap"])) < 0.3
    assert outputs["heatmap"].dtype == jnp.float32


def test_a_level_that_the_backbone_has_not(backbone):
    network = CenterNet(backbone=backbone, level="stage4")
    with pytest.raises(ModelError, match=r"level='stage4' .* did you mean 'stage"):
        jax.eval_shape(lambda: network.init(jax.random.key(0), IMAGE, train=False))
