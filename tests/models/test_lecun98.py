"""The networks of the comparison on MNIST: their counts layer by layer, and LeNet-4 with equal copies."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.lecun98 import LeCun98, to_small_digits
from models.counting import parameter_table
from models.errors import ModelError
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly


@pytest.mark.parametrize(
    ("variant", "counts"),
    [
        ("linear", {"output": 7_850}),
        ("300", {"hidden0": 235_500, "output": 3_010}),
        ("1000", {"hidden0": 785_000, "output": 10_010}),
        ("300-100", {"hidden0": 235_500, "hidden1": 30_100, "output": 1_010}),
        ("500-150", {"hidden0": 392_500, "hidden1": 75_150, "output": 1_510}),
        ("lenet1", {"c1": 104, "s2": 8, "c3": 512, "s4": 24, "output": 1_930}),
        ("lenet4", {"c1": 104, "s2": 16, "c3": 3_216, "s4": 32, "hidden0": 48_120, "output": 1_210}),
    ],
)
def test_parameters_of_each_layer(variant, counts):
    found = {}
    for path, _, count in parameter_table(LeCun98(variant), (1, 28, 28, 1)):
        layer = path.split("/")[0]
        found[layer] = found.get(layer, 0) + count
    assert found == counts


@pytest.mark.parametrize(("variant", "stem", "stage1"), [("lenet1", (24, 4), (8, 12)), ("lenet4", (28, 4), (10, 16))])
def test_maps_are_the_paper_s(variant, stem, stage1):
    images = seeded_images(2, 28, 28, 1)
    init = partial(LeCun98(variant, num_classes=0).init_with_output, train=False)
    maps, _ = jax.eval_shape(init, jax.random.key(0), images)
    for name, (side, channels) in {"stem": stem, "stage1": stage1}.items():
        assert maps[name].shape == (2, side, side, channels)


def test_the_linear_classifier_is_linear():
    a, b = seeded_images(2, 28, 28, 1)[:, None]
    model = LeCun98("linear")
    variables = filled(abstract(model, a, train=False))
    apply = quickly(lambda x: model.apply(variables, x, train=False))
    np.testing.assert_allclose(apply((a + b) / 2), (apply(a) + apply(b)) / 2, rtol=1e-4, atol=1e-3)


def test_both_copies_of_a_map_in_lenet4_read_the_same_map():
    images = seeded_images(1, 28, 28, 1)
    model = LeCun98("lenet4", num_classes=0)
    variables = filled(abstract(model, images, train=False))
    params = variables["params"]
    apply = quickly(lambda params: model.apply({"params": params}, images, train=False)["stage1"])
    kernel = np.array(params["c3"]["kernel"]).reshape(5, 5, 16, 8)  # connections in order of the output maps
    pairs = {name: jnp.repeat(value[::2], 2) for name, value in params["s2"].items()}
    swapped = {**params["c3"], "kernel": kernel[..., [1, 0, 3, 2, 5, 4, 7, 6]].reshape(5, 5, 128)}
    equal = {**params, "s2": pairs}
    np.testing.assert_allclose(apply({**equal, "c3": swapped}), apply(equal), rtol=1e-3)
    assert not np.allclose(apply({**params, "c3": swapped}), apply(params), rtol=1e-2)


def test_lenet1_reads_digits_of_16_pixels_in_a_frame_of_28():
    digit = np.pad(np.ones((1, 20, 20, 1), np.float32), ((0, 0), (4, 4), (4, 4), (0, 0)))
    small = np.asarray(to_small_digits(digit))[0, :, :, 0]
    assert small.shape == (28, 28) and small.sum() == pytest.approx(16**2, rel=0.05)
    rows = np.flatnonzero(small.max(1) > 0.5)
    assert len(rows) == 16 and rows[0] == 6


def test_an_unknown_variant_is_one_clear_line():
    with pytest.raises(ModelError, match="did you mean 'lenet4'"):
        parameter_table(LeCun98("lenet-4"), (1, 28, 28, 1))
