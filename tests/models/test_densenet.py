"""DenseNet: what each map holds, compression, and recomputation that changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.densenet import DenseNet
from models.counting import parameter_table
from models.errors import ModelError
from models.interfaces import Map, feature_maps
from tests.models.parity import abstract, filled, quickly

TINY = DenseNet("cifar", 16, growth=4, num_classes=3)
IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))


def test_maps_of_densenet_121():
    maps = feature_maps(DenseNet(num_classes=0), (224, 224, 3))
    expected = {"stem": (2, 64), "stage1": (4, 256), "stage2": (8, 512), "stage3": (16, 1024), "stage4": (32, 1024)}
    assert maps == {name: Map(*size) for name, size in expected.items()}


def test_the_plain_network_keeps_all_channels_and_starts_with_16():
    plain = DenseNet("cifar", 40, growth=12, bottleneck=False, compression=1.0, num_classes=0)
    maps = feature_maps(plain, (32, 32, 3))
    assert maps == {
        name: Map(*size) for name, size in dict(stem=(1, 16), stage1=(1, 160), stage2=(2, 304), stage3=(4, 448)).items()
    }


def test_old_maps_come_before_new_ones():
    variables = filled(abstract(TINY, IMAGES, train=False))
    maps = TINY.clone(num_classes=0).apply(jax.tree.map(jnp.abs, variables), IMAGES, train=False)
    np.testing.assert_array_equal(maps["stage1"][..., :8], maps["stem"])


def test_recomputation_changes_no_gradient_and_no_statistics():
    variables = jax.tree.map(jnp.abs, filled(abstract(TINY, IMAGES, train=False)))

    @quickly
    def differentiate(variables):
        def loss(params, network):
            logits, moved = network.apply({**variables, "params": params}, IMAGES, train=True, mutable=["batch_stats"])
            return (logits**2).sum(), moved

        return [jax.grad(loss, has_aux=True)(variables["params"], TINY.clone(remat=x)) for x in (False, True)]

    for first, other in zip(*map(jax.tree.leaves, differentiate(variables)), strict=True):
        np.testing.assert_allclose(first, other, rtol=1e-3, atol=1e-3 * np.abs(first).max())


@pytest.mark.parametrize(
    ("network", "side", "message"),
    [
        (DenseNet(depth=120), 32, "depth=120 is not one of 121"),
        (DenseNet("cifar", 41), 32, "depth=41 is not 6n.4, such as 40 or 100"),
        (DenseNet("cifar", 42, bottleneck=False), 32, "depth=42 is not 3n.4"),
        (DenseNet("cifar", 4), 32, "depth=4 is not"),
        (DenseNet(compression=0.0), 32, "compression=0.0 is not in"),
        (DenseNet(), 28, "29 pixels a side, not 28×28"),
    ],
)
def test_bad_fields_and_small_images_are_refused(network, side, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(network, (1, side, side, 3))
