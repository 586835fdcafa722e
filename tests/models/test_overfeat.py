"""OverFeat and VGG slide over large images as they would over their windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.overfeat import OverFeat
from models.classification.vgg import VGG
from models.errors import ModelError
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly


def test_dense_evaluation_equals_sliding_windows():
    """A window of 221 pixels moves by the product of the strides, 36: section 3.5. Without padding it is exact."""
    model = OverFeat("accurate", width=1 / 64, num_classes=3)
    image = seeded_images(1, 221 + 36, 221, 3)
    variables = filled(abstract(model, image[:, :221], train=False))
    # The paper's padding of the later layers is zero outside of the image and real pixels inside of a larger one, so
    # that windows agree only in a network without it. Here only the first rows and columns of weights are used.
    for name in ("conv3", "conv4", "conv5", "conv6"):
        kernel = variables["params"][name]["kernel"]
        kernel[[0, 2]], kernel[:, [0, 2]] = 0, 0
    apply = quickly(lambda x: model.apply(variables, x, train=False))
    windows = [apply(image[:, top : top + 221]) for top in (0, 36)]
    assert not np.allclose(*windows, rtol=1e-2)
    np.testing.assert_allclose(apply(image), np.mean(windows, 0), rtol=2e-4)


def test_fine_stride_sees_every_offset_of_the_last_map():
    model = OverFeat("accurate", width=1 / 64, num_classes=3)
    image = seeded_images(1, 245, 245, 3)  # the last map is 17×17, so that each offset leaves one window
    variables = filled(abstract(model, image, train=False))
    maps = quickly(lambda x: model.clone(num_classes=0).apply(variables, x, train=False))(image)
    assert maps["stage6"].shape[1:3] == (17, 17)
    fine = quickly(lambda x: model.clone(fine=True).apply(variables, x, train=False))(image)
    params, scores = variables["params"], []
    for top in range(3):
        for left in range(3):
            x = maps["stage6"][:, top : top + 15, left : left + 15].reshape(1, 5, 3, 5, 3, -1).max((2, 4))
            x = x.reshape(1, -1)
            for name in ("fc7", "fc8"):
                x = jnp.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
            scores.append(x @ params["classifier"]["kernel"] + params["classifier"]["bias"])
    assert not np.allclose(scores[0], scores[1], rtol=1e-2)
    np.testing.assert_allclose(fine, np.mean(scores, 0), rtol=1e-3)


def test_a_dense_vgg_is_the_plain_one_at_its_own_size_and_averages_windows_beyond():
    model = VGG("A", width=4, hidden=(32,), grid=2, num_classes=3)
    image = seeded_images(1, 96, 64, 3)
    variables = filled(abstract(model, image, train=False))
    plain, dense = (
        quickly(lambda x, m=m: m.apply(variables, x, train=False)) for m in (model, model.clone(head="dense"))
    )
    np.testing.assert_allclose(dense(image[:, :64]), plain(image[:, :64]), rtol=1e-4)
    assert not np.allclose(dense(image), plain(image), rtol=1e-3)


def test_an_image_smaller_than_the_window_is_refused():
    with pytest.raises(ModelError, match=r"fc6 reads a map of 6×6, but this image gives 5×6: the image is too small"):
        abstract(OverFeat(), jax.ShapeDtypeStruct((1, 200, 231, 3), jnp.float32), train=False)
