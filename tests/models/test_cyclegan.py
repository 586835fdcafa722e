"""CycleGAN's networks against torch; the counts of the paper's sizes, the shapes of images and of patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.cyclegan import PORTS, Discriminator, Generator
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, quickly


def count(model, size):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(model, jnp.zeros((1, size, size, 3)), train=False)))


def test_parameters():
    assert count(Generator(), 256) == 11_378_179
    assert count(Generator(blocks=6), 128) == 7_837_699
    assert count(Discriminator(), 256) == 2_764_737


def test_generator_parity():
    model, images = Generator(width=2), seeded_images(2, 16, 20, 3)
    forward = lambda variables: (model.apply(variables, images, train=True), {})
    like = abstract(model, images, train=False)
    assert_parity("cyclegan_generator", forward, like, PORTS["junyanz_resnet_9blocks"], rtol=1e-3)


def test_discriminator_parity():
    model, images = Discriminator(width=2), seeded_images(2, 48, 40, 3)
    forward = lambda variables: (model.apply(variables, images, train=True)[..., None], {})
    like = abstract(model, images, train=False)
    assert_parity("cyclegan_discriminator", forward, like, PORTS["junyanz_basic"], rtol=1e-3)


@pytest.mark.parametrize(("layers", "size", "side"), [(3, 256, 30), (2, 64, 14), (1, 32, 14)])
def test_a_score_for_each_patch(layers, size, side):
    image = jnp.zeros((2, size, size, 3))
    scores, _ = jax.eval_shape(
        lambda x: Discriminator(layers=layers).init_with_output(jax.random.key(0), x, False), image
    )
    assert scores.shape == (2, side, side)


def test_images_keep_their_size_and_range():
    image = jnp.asarray(np.random.RandomState(0).uniform(-1, 1, (2, 8, 12, 3)), jnp.float32)
    model = Generator(width=4, blocks=1)
    out, _ = quickly(lambda key: model.init_with_output(key, image, train=False))(jax.random.key(0))
    assert out.shape == image.shape and np.abs(out).max() <= 1 and out.std() > 1e-3


def test_sides_that_cannot_be_halved_twice_are_an_error():
    with pytest.raises(ModelError, match="10×8 are not multiples of 4"):
        abstract(Generator(), jnp.zeros((1, 10, 8, 3)), train=False)
