"""Resizing, unpooling, pixel shuffles, transposed and deformable convolutions: torch's values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.layers.deformable import DeformableConv, deform_conv
from models.layers.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from models.layers.pool import max_pool
from models.layers.resize import interpolation, resize
from models.layers.transposed import TransposedConv, bilinear, transposed_conv
from models.layers.unpool import max_pool_with_places, unpool_max, unpool_nails, unpool_nearest
from tests.goldens.make_classification import seeded_images
from tests.goldens.make_resampling import DEFORMABLE, INTERPOLATIONS, TRANSPOSED, seeded
from tests.models.parity import golden


@pytest.fixture(scope="module")
def stored():
    return golden("resampling")


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def first(x):
    """Channels first, as torch has them."""
    return np.moveaxis(np.asarray(x), -1, 1)


def assert_like_torch(stored, name, function, *inputs):
    """Values, and the gradients of their product with seeded numbers by each of the inputs, which torch has too."""
    outputs, pull = jax.vjp(function, *inputs)
    close(first(outputs), stored[f"{name}/output"])
    towards = np.moveaxis(seeded(f"{name}/direction", stored[f"{name}/output"].shape), 1, -1)
    return pull(jnp.asarray(towards))


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_resize(name, stored):
    method, align_corners, sides = INTERPOLATIONS[name]
    x = np.moveaxis(seeded("image", (1, 3, 6, 5)), 1, -1)
    close(first(resize(x, *sides, method, align_corners)), stored[f"{name}/output"])


def test_resize_keeps_what_is_constant_and_refuses_corners_of_the_nearest_pixel():
    for method in ("nearest", "linear", "cubic"):
        for size, new in ((5, 9), (9, 4), (1, 3), (4, 1)):
            close(interpolation(size, new, method).sum(1), 1)
    close(interpolation(3, 5, align_corners=True) @ [0.0, 1, 2], [0, 0.5, 1, 1.5, 2])
    with pytest.raises(ModelError, match="no meaning for the nearest"):
        interpolation(3, 5, "nearest", align_corners=True)
    with pytest.raises(ModelError, match="did you mean 'cubic'"):
        interpolation(3, 5, "bicubic")


def test_unpooling_by_places(stored):
    x = np.moveaxis(seeded("map", (1, 3, 7, 6)), 1, -1)
    pooled, places = max_pool_with_places(x)
    close(pooled, max_pool(x))
    row = 2 * np.arange(3)[:, None, None] + np.asarray(places) // 2
    column = 2 * np.arange(3)[:, None] + np.asarray(places) % 2
    np.testing.assert_array_equal(first(row * 6 + column), stored["unpool/places"])

    def there_and_back(x):
        pooled, places = max_pool_with_places(x)
        return unpool_max(jnp.sin(pooled), places, x.shape[1:3])

    (gradient,) = assert_like_torch(stored, "unpool", there_and_back, x)
    close(first(gradient), stored["unpool/gradient"])


def test_of_equal_values_the_first_is_the_maximum():
    _, places = max_pool_with_places(np.ones((1, 4, 4, 2)))
    assert not places.any()


def test_nails_and_nearest():
    x = np.arange(1.0, 5).reshape(1, 2, 2, 1)
    nails = [[1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [3, 0, 4, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(unpool_nails(x, (4, 5))[0, :, :, 0], nails)
    np.testing.assert_array_equal(unpool_nearest(x)[0, :, :, 0], np.kron(x[0, :, :, 0], np.ones((2, 2))))
    with pytest.raises(ModelError, match="do not belong"):
        unpool_max(x, jnp.zeros((1, 3, 2, 1), int))


def test_pixel_shuffle(stored):
    x = np.moveaxis(seeded("channels", (1, 18, 2, 3)), 1, -1)
    close(first(pixel_shuffle(x, 3)), stored["shuffle/output"])
    np.testing.assert_array_equal(pixel_unshuffle(pixel_shuffle(x, 3), 3), x)
    for function in (pixel_shuffle, pixel_unshuffle):
        with pytest.raises(ModelError, match="4"):
            function(x, 4)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions(name, backend, stored, monkeypatch):
    window, stride, padding, more = TRANSPOSED[name]
    x = np.moveaxis(seeded("image", (1, 3, 6, 5)), 1, -1)
    kernel = seeded("kernel", (3, 4, window, window)).transpose(2, 3, 1, 0)
    sides = tuple((n - 1) * stride + window - 2 * padding + more for n in x.shape[1:3])
    monkeypatch.setattr(jax, "default_backend", lambda: backend)  # on accelerators it is one of JAX's convolutions
    function = lambda x, w: transposed_conv(x, w, stride, padding, sides)
    of_x, of_kernel = assert_like_torch(stored, name, function, x, kernel)
    close(first(of_x), stored[f"{name}/gradient"])
    close(of_kernel.transpose(3, 2, 0, 1), stored[f"{name}/gradient of kernel"])


def test_a_transposed_convolution_refuses_a_size_from_which_no_convolution_comes_back():
    layer = TransposedConv(2, 3, 2, 1)
    x = jnp.zeros((1, 4, 4, 3))
    sides = [layer.init_with_output(jax.random.key(0), x, (n, n))[0].shape[1] for n in (7, 8)]
    assert sides == [7, 8]
    with pytest.raises(ModelError, match="a map of 4×4 is upsampled to 7 to 8 × 7 to 8, not 9×9"):
        layer.init(jax.random.key(0), x, (9, 9))


@pytest.mark.parametrize("side", [3, 4, 5, 16])
def test_bilinear_weights_add_up_to_one_for_every_pixel(side):
    factor = (side + 1) // 2
    weights = bilinear(side)
    close(weights, weights[::-1])
    close([weights[i::factor].sum() for i in range(factor)], 1)


@pytest.mark.parametrize("name", DEFORMABLE)
def test_deformable_convolutions(name, stored):
    stride, padding, dilation, _, modulated = DEFORMABLE[name]
    shapes = dict(zip(("offsets", "mask"), stored[f"{name}/shapes"], strict=True))
    x = np.moveaxis(seeded("deformed", (2, 4, 4, 5)), 1, -1)
    kernel = seeded("kernel", (3, 4, 3, 3)).transpose(2, 3, 1, 0)
    offsets = np.moveaxis(seeded("offsets", tuple(shapes["offsets"])), 1, -1) * 1.7
    mask = np.moveaxis(seeded("mask", tuple(shapes["mask"])), 1, -1)
    options = dict(stride=stride, padding=padding, dilation=dilation)
    if modulated:
        function = lambda x, o, w, m: deform_conv(x, o, w, m, **options)
        of_x, of_offsets, of_kernel, of_mask = assert_like_torch(stored, name, function, x, offsets, kernel, mask)
        close(first(of_mask), stored[f"{name}/gradient of mask"])
    else:
        function = lambda x, o, w: deform_conv(x, o, w, **options)
        of_x, of_offsets, of_kernel = assert_like_torch(stored, name, function, x, offsets, kernel)
    close(first(of_x), stored[f"{name}/gradient"])
    close(first(of_offsets), stored[f"{name}/gradient of offsets"])
    close(of_kernel.transpose(3, 2, 0, 1), stored[f"{name}/gradient of kernel"])


@pytest.mark.parametrize("modulated", [False, True])
def test_a_deformable_convolution_starts_as_the_plain_one(modulated):
    """At no offset; the weights of the samples start at a half."""
    x = seeded_images(2, 9, 8, 3).astype(np.float64)
    layer = DeformableConv(4, (3, 3), 2, 2, 2, modulated, param_dtype=jnp.float64)
    variables = layer.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    dimensions = ("NHWC", "HWIO", "NHWC")
    plain = jax.lax.conv_general_dilated(x, kernel, (2, 2), ((2, 2),) * 2, (1, 1), (2, 2), dimensions)
    close(layer.apply(variables, x), plain * (0.5 if modulated else 1))
    assert variables["params"]["offset"]["kernel"].shape == (3, 3, 3, 27 if modulated else 18)


def test_an_offset_of_one_pixel_reads_the_neighbour():
    x = seeded_images(1, 6, 6, 2)
    kernel = np.random.default_rng(0).normal(size=(1, 1, 2, 2))
    down = np.zeros((1, 6, 6, 2))
    down[..., 0] = 1  # (Δy, Δx)
    moved = deform_conv(x, down, kernel)
    close(moved[:, :-1], (x @ kernel[0, 0])[:, 1:])
    close(moved[:, -1], 0)
    with pytest.raises(ModelError, match="do not fit a window of 1×1 that gives a map of 6×6 from 2 channels"):
        deform_conv(x, down[:, :-1], kernel)


def test_float_images_stay_float():
    for make in (partial(resize, height=3, width=3), lambda x: unpool_max(*max_pool_with_places(x))):
        assert make(jnp.ones((1, 4, 4, 1), jnp.bfloat16)).dtype == jnp.bfloat16
