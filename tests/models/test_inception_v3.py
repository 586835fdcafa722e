"""Inception-v3 against torchvision's, and against it as pytorch-fid patches it: counts, sizes, logits, gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from models.classification.inception_v3 import PORTS, SMALLEST, InceptionV3
from models.counting import count_macs, parameter_table
from models.errors import ModelError
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, golden


@pytest.mark.parametrize(
    ("variant", "num_classes", "parameters"), [("torchvision", 1000, 23_834_568), ("fid", 1008, 23_850_960)]
)
def test_counts(variant, num_classes, parameters):
    model = InceptionV3(variant=variant, num_classes=num_classes)
    x = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    assert sum(count for _, _, count in parameter_table(model, x.shape)) == parameters
    macs = count_macs(partial(model.apply, train=False), abstract(model, x, train=False), x)
    assert macs == 5_713_216_096 + 2048 * (num_classes - 1000)


def test_sizes_are_those_of_the_paper():
    """The maps of table 1: 35×35 in the blocks of figure 5, 17×17 of figure 6, 8×8 of figure 7."""
    model = InceptionV3()
    _, state = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, train=False, capture_intermediates=True, mutable=True),
        jax.random.key(0),
        jnp.zeros((1, 299, 299, 3)),
    )
    found = {k: v["__call__"][0].shape[1:] for k, v in state["intermediates"].items() if k.startswith("Mixed")}
    channels = [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]
    assert list(found.values()) == [(s, s, c) for s, c in zip(3 * [35] + 5 * [17] + 3 * [8], channels, strict=True)]


@pytest.mark.parametrize(("variant", "port"), [("torchvision", "torchvision"), ("fid", "pytorch_fid")])
def test_torch_parity(variant, port):
    """Wide enough for a last map of 2×1 pixels, so that the pools differ."""
    with jax.enable_x64(True):
        model = InceptionV3(variant=variant, num_classes=10, param_dtype=jnp.float64)
        images = seeded_images(1, 107, 75, 3)
        forward = lambda variables: (model.apply(variables, images, train=False), {})
        assert_parity(f"inception_v3_{variant}", forward, abstract(model, images, train=False), PORTS[port], rtol=1e-8)


def test_the_variants_have_the_same_weights_and_different_outputs():
    first, second = (golden(f"inception_v3_{variant}") for variant in ("torchvision", "fid"))
    assert list(first["names"]) == list(second["names"])
    assert abs(first["output"] - second["output"]).max() > 0.1 * abs(first["output"]).max()


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"variant": "fed"}, SMALLEST, "did you mean 'fid'"),
        ({}, SMALLEST - 1, "needs images of 75 pixels a side, not 74×75"),
    ],
)
def test_bad_input_is_one_clear_line(fields, size, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(InceptionV3(**fields), (1, size, SMALLEST, 3))
