"""U-Net against torch: counts, sizes, logits, gradients, statistics; valid and padded."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import parameter_table
from models.errors import ModelError
from models.segmentation.unet import PORTS, UNet, tile
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly


@pytest.mark.parametrize(
    ("fields", "channels", "parameters"),
    [
        ({}, 1, 31_030_658),
        ({"num_classes": 1}, 1, 31_030_593),
        ({"num_classes": 1}, 3, 31_031_745),
        ({"padding": "same"}, 1, 31_030_658),
        ({"padding": "same", "norm": "batch"}, 3, 31_037_698),
    ],
)
def test_parameters(fields, channels, parameters):
    table = parameter_table(UNet(**fields), (1, 572, 572, channels))
    assert sum(count for _, _, count in table) == parameters


def test_sizes_are_those_of_figure_1():
    """572, 570, 568 | 284, 282, 280 | 140, 138, 136 | 68, 66, 64 | 32, 30, 28, and up again to 388."""
    model = UNet(width=2)
    _, state = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, train=False, capture_intermediates=True, mutable=True),
        jax.random.key(0),
        jnp.zeros((1, 572, 572, 1)),
    )
    sown = state["intermediates"]
    levels = [*(f"down{i}" for i in range(4)), "bottom", *(f"up{i}" for i in range(4))]
    sides = [[sown[level][conv]["__call__"][0].shape[1] for conv in ("conv1", "conv2")] for level in levels]
    contracting = [[570, 568], [282, 280], [138, 136], [66, 64]]
    expanding = [[54, 52], [102, 100], [198, 196], [390, 388]]
    assert sides == [*contracting, [30, 28], *expanding]
    assert sown["head"]["__call__"][0].shape == (1, 388, 388, 2)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("output", [1, 100, 388, 389])
def test_tile_is_the_smallest_that_covers(depth, output):
    model = UNet(width=1, depth=depth)
    sides = tile(output, depth)
    smaller = sides[0] - 2**depth, sides[1] - 2**depth
    assert sides[1] >= output > smaller[1]
    x = jnp.zeros((1, sides[0], sides[0], 1))
    logits, _ = jax.eval_shape(partial(model.init_with_output, train=False), jax.random.key(0), x)
    assert logits.shape == (1, sides[1], sides[1], 2)


@pytest.mark.parametrize(
    ("file", "size", "fields"),
    [
        ("unet_valid", (188, 204), {"padding": "valid"}),
        ("unet_same", (50, 41), {"padding": "same", "norm": "batch"}),  # not multiples of 16
    ],
)
def test_torch_parity(file, size, fields):
    model = UNet(width=4, dropout_rate=0.0, **fields)
    images = seeded_images(2, *size, 1)

    def forward(variables):
        return model.apply(variables, images, train=True, mutable=["batch_stats"])

    # The deepest statistics are over 2·3·2 values, which magnifies rounding.
    assert_parity(file, forward, abstract(model, images, train=False), PORTS["milesial"], rtol=1e-3)


def test_a_valid_output_has_seen_real_pixels_alone():
    """Padding would show: an image of one value would not give the same logits every 2^depth pixels."""
    x = np.ones((1, 60, 60, 1), np.float32)
    for padding, periodic in (("valid", True), ("same", False)):
        model = UNet(width=2, depth=2, padding=padding)
        logits = quickly(partial(model.apply, train=False))(filled(abstract(model, x, train=False)), x)
        assert np.allclose(logits[:, 4:, 4:], logits[:, :-4, :-4], rtol=1e-4) == periodic


def test_remat_changes_nothing():
    images = seeded_images(1, 16, 16, 1)
    model = UNet(width=2, depth=2, padding="same", norm="batch", dropout_rate=0.0)
    variables = filled(abstract(model, images, train=False))
    plain, remat = (
        quickly(partial(model.clone(remat=remat, parent=None).apply, train=True, mutable=["batch_stats"]))
        for remat in (False, True)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3), plain(variables, images), remat(variables, images))


@pytest.mark.parametrize("fields", [{"padding": "vald"}, {"norm": "batchnorm"}])
def test_bad_fields_are_one_clear_line(fields):
    with pytest.raises(ModelError, match="did you mean"):
        parameter_table(UNet(**fields), (1, 188, 188, 1))


def test_an_image_that_valid_padding_eats_up():
    with pytest.raises(ModelError, match="needs images of 188 pixels a side, not 187×300"):
        parameter_table(UNet(), (1, 187, 300, 1))


def test_weights_start_at_the_deviation_of_the_paper():
    """Section 3: √(2/N), N the incoming nodes of a neuron: an up-convolution's sees one place of its window."""
    model = UNet(width=32, depth=1)
    params = model.init(jax.random.key(0), np.zeros((1, 20, 20, 1)), train=False)["params"]
    for layer, incoming in ((params["upsample0"], 64), (params["bottom"]["conv2"], 9 * 64)):
        assert layer["kernel"].std() == pytest.approx(np.sqrt(2 / incoming), rel=0.03)
