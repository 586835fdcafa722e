"""Properties of the networks of depthwise convolutions: identities, scaling rules, and sizes they refuse."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification import convnext, darknet, efficientnet, regnet, shufflenet_v2, squeezenet, swin, xception
from models.classification.densenet import DenseNet
from models.classification.mobilenet_v1 import MobileNetV1
from models.classification.mobilenet_v2 import MobileNetV2
from models.errors import ModelError
from models.layers.inverted_residual import InvertedResidual
from models.layers.norm import norm as normalisation
from tests.models.parity import abstract, filled

X = np.random.default_rng(0).standard_normal((4, 6, 6, 8)).astype(np.float32)


def inverted(channels=8, strides=1, rate=0.0, train=False):
    types = dict(dtype=None, param_dtype=jnp.float32)
    conv, norm = partial(nn.Conv, use_bias=False, **types), normalisation("batch", train, None, **types)
    return InvertedResidual(16, channels, strides, conv, norm, drop_rate=rate)


def with_zeros(variables, name):
    zero = lambda path, leaf: leaf * (0 if any(key.key == name for key in path) else 1)
    return jax.tree_util.tree_map_with_path(zero, variables)


def test_an_inverted_residual_with_zero_scales_is_the_identity():
    block = inverted()
    variables = with_zeros(block.init(jax.random.key(0), X, False), "project_bn")
    np.testing.assert_allclose(block.apply(variables, X, False), X)


@pytest.mark.parametrize(("channels", "strides"), [(16, 1), (8, 2)])
def test_only_a_block_that_keeps_the_shape_adds_its_input(channels, strides):
    block = inverted(channels, strides)
    variables = with_zeros(block.init(jax.random.key(0), X, False), "project_bn")
    assert not block.apply(variables, X, False).any()


def test_stochastic_depth_drops_whole_branches_and_keeps_the_mean():
    block = inverted(rate=0.5, train=True)
    variables = block.init(jax.random.key(0), X, False)
    drop = lambda key: block.apply(variables, X, True, rngs={"dropout": key}, mutable=["batch_stats"])[0] - X
    drawn = np.asarray(jax.vmap(drop)(jax.random.split(jax.random.key(1), 200)))
    whole = np.asarray(inverted(train=True).apply(variables, X, True, mutable=["batch_stats"])[0] - X)
    dropped = (drawn == 0).all((2, 3, 4))
    assert 0.4 < dropped.mean() < 0.6
    np.testing.assert_allclose(drawn[~dropped], np.broadcast_to(2 * whole, drawn.shape)[~dropped], atol=1e-4)


def test_scaling_rounds_widths_to_multiples_of_eight_and_depths_up():
    assert efficientnet.scale(1.0, 1.0) == efficientnet.STAGES
    assert [row[2:4] for row in efficientnet.scale(2.0, 3.1)] == [
        (32, 4),
        (48, 7),
        (80, 7),
        (160, 10),
        (224, 10),
        (384, 13),
        (640, 4),
    ]


def test_a_convnext_block_with_zero_layer_scale_is_the_identity():
    network = convnext.ConvNeXt(widths=(8,), depths=(2,), stochastic_depth=0.0, num_classes=0)
    variables = filled(abstract(network, jnp.zeros((1, 8, 8, 3)), train=False))
    maps = network.apply(with_zeros(variables, "layer_scale"), X[..., :3], train=False)
    np.testing.assert_array_equal(maps["stage1"], maps["stem"])


def test_widths_of_regnet_are_those_of_the_paper():
    assert regnet.stages(**regnet.VARIANTS["X-400MF"]) == [(32, 1, 16), (64, 2, 16), (160, 7, 16), (400, 12, 16)]
    assert regnet.stages(**regnet.VARIANTS["Y-8GF"]) == [(224, 2, 56), (448, 4, 56), (896, 10, 56), (2016, 1, 56)]


def test_a_shuffle_takes_the_halves_in_turn():
    x = np.arange(6.0).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(shufflenet_v2.shuffle(x).ravel(), [0, 3, 1, 4, 2, 5])


@pytest.mark.parametrize(
    ("network", "side", "message"),
    [
        (squeezenet.SqueezeNet(), 20, "squeezenet needs images of 21 pixels a side, not 20×20"),
        (convnext.ConvNeXt(), 31, "convnext needs images of 32 pixels a side, not 31×31"),
        (xception.Xception(), 6, "xception needs images of 7 pixels a side, not 6×6"),
        (darknet.Darknet(), 31, "darknet halves an image five times: 31×31 is smaller than 32×32"),
        (swin.Swin(), 32, "window=7 does not tile a map of 8×8"),
        (
            swin.Swin(window=5, depths=(1, 1), heads=(1, 2)),
            20,
            "swin merges 2×2 patches, which do not tile a map of 5×5",
        ),
        (shufflenet_v2.ShuffleNetV2(channels=(3, 4, 4, 8)), 32, "channels=(3, 4, 4) of the stages must be even"),
        (regnet.RegNet(step=1.0), 32, "step=1.0 must not be 1"),
        (efficientnet.EfficientNet("B8"), 32, "variant"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(network, side, message):
    with pytest.raises(ModelError) as error:
        abstract(network, jnp.zeros((1, side, side, 3)), train=False)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (MobileNetV1(depths=(1, 1)), r"depths=\(1, 1\) has 2 values, not 5"),
        (MobileNetV2(depths=(1,) * 8), "has 8 values, not 7"),
        (shufflenet_v2.ShuffleNetV2(depths=(1, 1)), "has 2 values, not 3"),
        (shufflenet_v2.ShuffleNetV2(channels=(8, 8, 8)), "channels=.* has 3 values, not 4"),
        (darknet.Darknet(depths=(1, 1)), "has 2 values, not 5"),
        (DenseNet(layers=(1,) * 5), "densenet needs images of 61 pixels a side, not 32×32"),
    ],
)
def test_fields_that_do_not_fit_are_one_line(network, line):
    with pytest.raises(ModelError, match=line):
        abstract(network, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32), train=False)
