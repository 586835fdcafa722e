"""The DDPM U-Net against diffusers: counts, output, gradients; and what it promises to start with."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import count_macs
from models.errors import ModelError
from models.generative.ddpm_unet import PORTS, DDPMUNet, time_embedding
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly

TINY = DDPMUNet(width=8, multipliers=(1, 2), blocks=1, attention=(4,), dropout_rate=0.0, groups=4)
PAPER_256 = {"multipliers": (1, 1, 2, 2, 4, 4)}
IMPROVED = {"blocks": 3, "attention": (16, 8), "heads": 4, "scale_shift": True, "outputs": 2}


@pytest.mark.parametrize(
    ("fields", "size", "parameters"),
    [
        ({}, 32, 35_746_307),
        ({"conditional": True, "num_classes": 10}, 32, 35_746_307 + 11 * 512),
        (PAPER_256, 256, 113_673_219),
        (IMPROVED, 32, 52_546_438),
        (IMPROVED | {"multipliers": (1, 2, 3, 4)}, 64, 121_063_942),
    ],
)
def test_parameters(fields, size, parameters):
    like = abstract(DDPMUNet(**fields), jnp.zeros((1, size, size, 3)), jnp.zeros(1), train=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(like)) == parameters


def test_multiply_adds():
    model, inputs = DDPMUNet(), (jnp.zeros((1, 32, 32, 3)), jnp.zeros(1))
    like = abstract(model, *inputs, train=False)
    assert count_macs(partial(model.apply, train=False), like, *inputs) == pytest.approx(6.222e9, rel=1e-3)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("ddpm_unet", {}),
        ("iddpm_unet", dict(multipliers=(1, 2), blocks=1, heads=4, scale_shift=True, outputs=2)),
    ],
)
def test_diffusers_parity(file, fields):
    model = DDPMUNet(width=32, attention=(8,), groups=16, conditional=True, **fields)
    images, time, label = seeded_images(2, 16, 16, 3), jnp.array([3, 700]), jnp.array([4, model.null])

    def forward(variables):
        return model.apply(variables, images, time, train=False, label=label), {}

    like = abstract(model, images, time, train=False)
    assert_parity(file, forward, like, PORTS["diffusers"])


def test_a_missing_label_is_any_label():
    model = TINY.clone(conditional=True, num_classes=3, parent=None)
    images, time = seeded_images(2, 8, 8, 3), jnp.array([1, 20])
    variables = filled(abstract(model, images, time, train=False))
    apply = quickly(partial(model.apply, train=False))
    missing, given = apply(variables, images, time), apply(variables, images, time, label=jnp.array([1, 3]))
    np.testing.assert_allclose(missing[1], given[1], rtol=1e-3)
    assert not np.allclose(missing[0], given[0], rtol=1e-2)


def test_time_embedding_is_the_papers():
    sines_then_cosines = [-0.5440, 0.4477, 0.0215, 0.0010, -0.8391, 0.8942, 0.9998, 1.0000]
    np.testing.assert_allclose(time_embedding(jnp.array([10]), 8), [sines_then_cosines], atol=1e-4)


def test_starts_with_zero_noise():
    images, time = seeded_images(2, 8, 8, 3), jnp.array([0, 999])
    init = quickly(partial(TINY.init_with_output, train=False))
    output, variables = init(jax.random.key(0), images, time)
    assert output.shape == images.shape and not output.any()
    assert variables["params"]["down0_block0"]["conv1"]["kernel"].any()


@pytest.mark.parametrize("change", [{"remat": True}, {"param_dtype": jnp.float64, "dtype": jnp.float64}])
def test_remat_and_float64_agree(change):
    images, time = seeded_images(2, 8, 8, 3), jnp.array([1, 20])
    variables = jax.tree.map(lambda leaf: 0.2 * leaf, filled(abstract(TINY, images, time, train=False)))
    expected = quickly(partial(TINY.apply, train=True))(variables, images, time)
    with jax.enable_x64("param_dtype" in change):
        other = quickly(partial(TINY.clone(**change, parent=None).apply, train=True))
        output = other(jax.tree.map(lambda leaf: leaf.astype(change.get("dtype", leaf.dtype)), variables), images, time)
        assert output.dtype == change.get("dtype", jnp.float32)
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("size", "label", "message"), [(9, None, "9×9 cannot be halved"), (8, jnp.zeros(1, int), "not conditional")]
)
def test_bad_input_is_one_clear_line(size, label, message):
    with pytest.raises(ModelError, match=message):
        abstract(TINY, jnp.zeros((1, size, size, 3)), jnp.zeros(1), train=False, label=label)
