"""DCGAN against torch: counts, images, scores, gradients, statistics; critics and conditions; the affine pair."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative import dcgan, gan
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly


def count(model, *inputs):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(model, *inputs, train=False)["params"]))


def test_parameters():
    assert count(dcgan.Generator(), jnp.zeros((1, 100))) == 3_576_704
    assert count(dcgan.Discriminator(), jnp.zeros((1, 64, 64, 3))) == 2_765_568


def test_generator_parity():
    model = dcgan.Generator(width=4)
    noise = seeded_images(4, 1, 1, 100)[:, 0, 0]

    def forward(variables):
        images, moved = model.apply(variables, noise, train=True, mutable=["batch_stats"])
        return images[:, ::2, ::2], moved

    port = dcgan.PORTS["examples_generator"]
    assert_parity("dcgan_generator", forward, abstract(model, noise, train=False), port, rtol=1e-3)


def test_discriminator_parity():
    model = dcgan.Discriminator(width=4)
    images = seeded_images(4, 64, 64, 3)

    def forward(variables):
        scores, moved = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return scores[:, None], moved

    port = dcgan.PORTS["examples_discriminator"]
    assert_parity("dcgan_discriminator", forward, abstract(model, images, train=False), port, rtol=1e-3)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [
        *(
            (dcgan.Generator(shape=shape, width=2), dcgan.Discriminator(width=2, norm=norm))
            for shape, norm in (((28, 28, 1), "none"), ((32, 32, 3), "layer"), ((64, 64, 3), "batch"))
        ),
        (gan.Generator(shape=(1, 1, 2), hidden=(8,)), gan.Discriminator(hidden=(8,))),
    ],
)
def test_shapes(generator, discriminator, conditional):
    generator, discriminator = (m.clone(conditional=conditional) for m in (generator, discriminator))
    label = jnp.arange(3) if conditional else None
    noise = jnp.zeros((3, generator.latent))
    images, _ = jax.eval_shape(partial(generator.init_with_output, train=True, label=label), jax.random.key(0), noise)
    assert images.shape == (3, *generator.shape)
    scores, variables = jax.eval_shape(
        partial(discriminator.init_with_output, train=True, label=label), jax.random.key(0), images
    )
    assert scores.shape == (3,)
    assert ("batch_stats" in variables) == (getattr(discriminator, "norm", "none") == "batch")


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_critic_scores_each_example_alone(norm):
    """What the gradient penalty rests on, and what batch statistics break."""
    model, images = dcgan.Discriminator(width=2, norm=norm), seeded_images(3, 28, 28, 1)
    score = quickly(partial(model.apply, train=True))
    variables = filled(abstract(model, images, train=False))
    together = score(variables, images)
    changed = score(variables, np.concatenate([images[:1], -images[1:]]))
    np.testing.assert_allclose(changed[0], together[0], rtol=1e-5)
    assert not np.allclose(changed[1:], together[1:], rtol=1e-2)


def test_the_label_matters():
    images, label = seeded_images(2, 28, 28, 1), jnp.array([0, 1])
    for model, x in (
        (dcgan.Discriminator(width=2, norm="none", conditional=True), images),
        (gan.Discriminator(hidden=(8,), conditional=True), images),
        (gan.Generator(shape=(2,), hidden=(8,), conditional=True), images[:, 0, :2, 0]),
    ):
        variables = filled(abstract(model, x, train=False, label=label))
        apply = quickly(partial(model.apply, train=False))
        right, wrong = (apply(variables, x, label=y) for y in (label, label[::-1]))
        assert not np.allclose(right, wrong, rtol=1e-3)


def test_starts_as_the_paper_says():
    """N(0, 0.02) for kernels, N(1, 0.02) for the scales of BatchNorm; images in [-1, 1]."""
    model = dcgan.Generator(shape=(32, 32, 1), width=16)
    init = quickly(partial(model.init_with_output, train=False))
    images, variables = init(jax.random.key(0), seeded_images(2, 100))
    params = variables["params"]
    assert np.std(params["deconv0"]["kernel"]) == pytest.approx(0.02, rel=0.05)
    assert np.mean(params["norm0"]["scale"]) == pytest.approx(1, abs=0.02)
    assert np.std(params["norm0"]["scale"]) == pytest.approx(0.02, rel=0.5)
    assert np.abs(images).max() <= 1


def test_bad_fields_are_one_clear_line():
    with pytest.raises(ModelError, match="7×7 cannot be halved"):
        abstract(dcgan.Generator(shape=(7, 7, 1)), jnp.zeros((1, 100)), train=False)
    with pytest.raises(ModelError, match="did you mean 'layer'"):
        abstract(dcgan.Discriminator(norm="layers"), jnp.zeros((1, 28, 28, 1)), train=False)
