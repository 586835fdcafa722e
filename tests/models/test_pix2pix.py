"""pix2pix's networks against torch; the published counts, the field of a patch, and what tests draw and average."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.pix2pix import PORTS, Discriminator, Generator, Norm
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly


def count(model, shape):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(model, jnp.zeros(shape), train=False)))


def test_parameters():
    assert count(Generator(), (1, 256, 256, 3)) == 54_413_955
    assert count(Discriminator(), (1, 256, 256, 6)) == 2_768_705


@pytest.mark.parametrize(
    ("golden", "model", "shape", "port"),
    [
        ("pix2pix_generator", Generator(width=2, depth=7, dropout_rate=0.0), (128, 128, 3), "junyanz_unet_128"),
        ("pix2pix_discriminator", Discriminator(width=2), (48, 40, 6), "junyanz_basic"),
    ],
)
def test_parity(golden, model, shape, port):
    with jax.enable_x64(True):
        model, images = model.clone(param_dtype=jnp.float64), seeded_images(2, *shape).astype(np.float64)

        def forward(variables):
            out = model.apply(variables, images, train=True)
            return (out[:, ::9, ::9] if out.ndim == 4 else out[..., None]), {}

        assert_parity(golden, forward, abstract(model, images, train=False), PORTS[port], rtol=1e-6)


@pytest.mark.parametrize(("layers", "side"), [(3, 70), (2, 34), (1, 16)])
def test_a_score_sees_exactly_its_patch(layers, side):
    """Apart from the statistics of normalisations, which see the whole image."""
    model, images = Discriminator(width=1, layers=layers), seeded_images(1, 128, 128, 2)
    variables = filled(abstract(model, images, train=False))

    def without_statistics(function, args, kwargs, context):
        return args[0] if isinstance(context.module, Norm) else function(*args, **kwargs)

    def score(x):
        with nn.intercept_methods(without_statistics):
            scores = model.apply(variables, x, train=True)[0]
        return scores[len(scores) // 2, len(scores) // 2]

    seen = np.abs(quickly(jax.grad(score))(images)).sum((0, 3)) > 0
    for axis in (0, 1):
        (where,) = np.nonzero(seen.any(axis))
        assert where[-1] - where[0] + 1 == side


@pytest.fixture(scope="module")
def network():
    model = Generator(width=2, depth=3)
    return model, filled(abstract(model, jnp.zeros((1, 16, 16, 3)), train=False))


def test_a_test_has_the_statistics_of_each_image_alone(network):
    model, variables = network
    model, images = model.clone(dropout_rate=0.0), seeded_images(3, 16, 16, 3)
    together = quickly(partial(model.apply, train=False))(variables, images)
    alone = quickly(partial(model.apply, train=True))
    for image, found in zip(images, together, strict=True):
        np.testing.assert_allclose(found, alone(variables, image[None])[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together, alone(variables, images), atol=1e-2)


def test_a_test_draws_dropout_where_it_has_a_key(network):
    model, variables = network
    images = seeded_images(1, 16, 16, 3)
    key = lambda number: {"dropout": jax.random.key(number)}
    translate = quickly(lambda rngs: model.apply(variables, images, train=False, rngs=rngs))
    np.testing.assert_array_equal(translate(key(0)), translate(key(0)))
    assert not np.allclose(translate(key(0)), translate(key(1)))
    still = model.clone(dropout_rate=0.0).apply(variables, images, train=False)
    np.testing.assert_allclose(model.apply(variables, images, train=False), still, rtol=1e-4, atol=1e-5)


def test_sides_that_cannot_be_halved_are_an_error():
    with pytest.raises(ModelError, match=r"128×256 are not multiples of 256 \(depth=8\)"):
        abstract(Generator(), jnp.zeros((1, 128, 256, 3)), train=False)
