"""A tiled prediction is the whole-image one, wherever the network does not reach the border."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from models.segmentation.unet import UNet
from training.tasks.segmentation import segmentation
from training.tiling import predict_tiled

REACH = 24  # of the U-Net of depth 2 below: from output to the farthest input pixel, rounded up to a multiple of 4


@pytest.fixture(scope="module")
def network():
    model = UNet(width=2, depth=2, padding="same", num_classes=3)
    image = np.random.default_rng(0).normal(size=(93, 120, 2)).astype(np.float32)
    variables = model.init(jax.random.key(0), image[None], train=False)
    predict = jax.jit(lambda x: {"logits": model.apply(variables, x, train=False)})
    return lambda x: {"id": np.zeros(len(x)), **jax.device_get(predict(x))}, image


def test_equal_to_the_whole_image_away_from_borders(network):
    predict, image = network
    # The padding below and right of 93 makes the size one that depth 2 halves evenly; it is within the border.
    whole = predict(np.pad(image, [(0, 3), (0, 0), (0, 0)], "reflect")[None])["logits"][0, :93]
    tiled = predict_tiled(predict, image, tile=32 + 2 * REACH, margin=REACH, batch_size=4)
    assert set(tiled) == {"logits"} and tiled["logits"].shape == (93, 120, 3)
    inner = np.s_[REACH:-REACH, REACH:-REACH]
    np.testing.assert_allclose(tiled["logits"][inner], whole[inner], atol=1e-5)
    assert abs(tiled["logits"] - whole).max() > 1e-2  # at the border, where one sees a mirror and the other zeros


def test_too_small_a_margin_shows(network):
    predict, image = network
    enough = predict_tiled(predict, image, tile=32 + 2 * REACH, margin=REACH)["logits"]
    little = predict_tiled(predict, image, tile=32 + 8, margin=4)["logits"]
    assert abs(enough - little).max() > 1e-2


def test_valid_convolutions_need_no_cutting():
    """Each output pixel has seen real or mirrored pixels only, so tiles and whole agree up to the border."""

    class Valid(nn.Module):
        num_classes: int = 2

        @nn.compact
        def __call__(self, x, train):
            for features in (4, self.num_classes):
                x = nn.tanh(nn.Conv(features, (5, 5), padding="VALID")(x))
            return x

        def sides(self, output):
            return output + 8, output

    image = np.random.default_rng(0).normal(size=(37, 50, 3)).astype(np.float32)
    task = segmentation({"model": Valid()})
    params, stats = task.init(jax.random.key(0), {"image": image[None]})
    apply = lambda x: {"logits": np.asarray(Valid().apply({"params": params["model"]}, x, train=False))}
    tiled = predict_tiled(apply, image, tile=24, margin=4)["logits"]
    whole = task.predict(params, stats, {"image": image[None]}, jax.random.key(0), {})["prediction"][0]
    np.testing.assert_array_equal(tiled.argmax(-1), whole)


@pytest.mark.parametrize("shape", [(5, 9), (16, 16), (40, 17)])
def test_any_size_even_less_than_a_tile(shape):
    image = np.random.default_rng(0).normal(size=(*shape, 1))
    out = predict_tiled(lambda x: {"same": x, "half": x[..., 0] > 0}, image, tile=20, margin=6, batch_size=3)
    np.testing.assert_array_equal(out["same"], image)
    np.testing.assert_array_equal(out["half"], image[..., 0] > 0)


def test_margins_that_leave_nothing():
    with pytest.raises(ValueError, match="nothing in between"):
        predict_tiled(lambda x: {}, np.zeros((9, 9, 1)), tile=8, margin=4)
