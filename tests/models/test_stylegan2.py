"""StyleGAN2's networks against torch, where each example has a kernel of its own; what styles and the mean style do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.stylegan2 import MOMENTUM, Discriminator, Generator
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled

GENERATOR = Generator(shape=(16, 16, 3), latent=6, width=4, widest=8, blocks=2, mapping=2)


def test_generator_parity():
    with jax.enable_x64(True):
        model = GENERATOR.clone(param_dtype=jnp.float64)
        noise = seeded_images(3, 1, 1, 6)[:, 0, 0].astype(np.float64)
        like = abstract(model, noise, train=False)
        forward = lambda variables: (model.apply({**variables, **zeros(like)}, noise, train=False), {})
        assert_parity("stylegan2_generator", forward, {"params": like["params"]}, rtol=1e-6)


def zeros(like):
    return {"batch_stats": jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like["batch_stats"])}


def test_discriminator_parity():
    with jax.enable_x64(True):
        model = Discriminator(width=4, widest=8, blocks=2, param_dtype=jnp.float64)
        images = seeded_images(3, 16, 16, 3).astype(np.float64)
        forward = lambda variables: (model.apply(variables, images, train=True)[:, None], {})
        assert_parity("stylegan2_discriminator", forward, abstract(model, images, train=False), rtol=1e-6)


def test_codes_are_scaled_and_the_mean_style_moves_in_training():
    noise = seeded_images(5, 1, 1, 6)[:, 0, 0]
    variables = filled(abstract(GENERATOR, noise, train=False))
    style = partial(GENERATOR.apply, variables, method="style")
    np.testing.assert_allclose(style(noise, False), style(7 * noise, False), rtol=1e-3)
    w, moved = style(noise, True, mutable=["batch_stats"])
    before, after = (v["batch_stats"]["to_style"]["mean"] for v in (variables, moved))
    np.testing.assert_allclose(after, MOMENTUM * before + (1 - MOMENTUM) * w.mean(0), rtol=1e-4, atol=1e-6)


def test_sides_that_do_not_fit_are_an_error():
    with pytest.raises(ModelError, match="3 doublings do not make images of 28×28"):
        abstract(Generator(shape=(28, 28, 1)), jnp.zeros((1, 512)), train=False)
    with pytest.raises(ModelError, match="images of 28×32 cannot be halved 3 times"):
        abstract(Discriminator(), jnp.zeros((1, 28, 32, 3)), train=False)
