"""Residual GANs: published counts, parity with torch, spectral norms, self-attention, classes by projection."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.resnet_gan import Discriminator, Generator, SelfAttention
from models.layers.spectral import spectral
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly


def count(model, *inputs):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(model, *inputs, train=False)["params"]))


def test_parameters():
    """Gulrajani et al. 2017; and the generator of Miyato et al. 2018, as counted in torch by others."""
    noise, image = jnp.zeros((1, 128)), jnp.zeros((1, 32, 32, 3))
    assert count(Generator(), noise) == 1_204_483
    assert count(Discriminator(), image) == count(Discriminator(spectral=True), image) == 1_053_825
    assert count(Generator(width=256), noise) == 4_276_739


def test_generator_parity():
    with jax.enable_x64(True):
        model = Generator(width=4, latent=16, param_dtype=jnp.float64)
        noise = seeded_images(3, 1, 1, 16)[:, 0, 0].astype(np.float64)

        def forward(variables):
            images, moved = model.apply(variables, noise, train=True, mutable=["batch_stats"])
            return images[:, ::3, ::3], moved

        like = abstract(model, noise, train=False)
        assert_parity("resnet_gan_generator", forward, like, rtol=1e-6)


def test_critic_parity():
    with jax.enable_x64(True):
        model = Discriminator(width=4, param_dtype=jnp.float64)
        images = seeded_images(3, 32, 32, 3).astype(np.float64)
        forward = lambda variables: (model.apply(variables, images, train=True)[:, None], {})
        assert_parity("resnet_gan_critic", forward, abstract(model, images, train=False), rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (partial(nn.Conv, features=7, kernel_size=(3, 3)), seeded_images(2, 6, 6, 5)),
        (partial(nn.Dense, features=7), seeded_images(1, 1, 4, 9)[0, 0]),
        (partial(nn.Embed, num_embeddings=5, features=7), jnp.arange(5)),
    ],
)
def test_spectral_norm_is_that_of_svd(layer, x):
    """Within a hundredth after a few passes, in training and in evaluation."""

    class One(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return spectral(layer, train, jnp.float32)(name="layer")(x)

    model = One()
    variables = model.init(jax.random.key(0), x, train=False)
    step = jax.jit(partial(model.apply, train=True, mutable=["buffers"]))
    for _ in range(60):
        out, moved = step(variables, x)
        variables = {**variables, **moved}
    params = variables["params"]["layer"]
    (kernel,) = (leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1)
    sigma = np.linalg.svd(np.asarray(kernel).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    scaled = jax.tree.map(lambda leaf: leaf / sigma if leaf.ndim > 1 else leaf, params)
    expected = layer().apply({"params": scaled}, x)
    np.testing.assert_allclose(out, expected, rtol=0.01, atol=0.01 * np.abs(expected).max())
    np.testing.assert_allclose(model.apply(variables, x, train=False), expected, atol=0.01 * np.abs(expected).max())
    assert set(variables) == {"params", "buffers"}


def test_spectral_gradient_is_that_of_the_normalised_kernel():
    """∂/∂W ⟨A, W/σ⟩ = (A − ⟨A, W/σ⟩ u vᵀ)/σ: Miyato et al. 2018, equation 12, at the singular vectors."""

    class One(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return spectral(partial(nn.Dense, use_bias=False), train, jnp.float32)(4, name="layer")(x)

    model, random = One(), np.random.RandomState(0)
    x, towards = np.eye(6, dtype=np.float32), random.standard_normal((6, 4)).astype(np.float32)
    variables = model.init(jax.random.key(0), x, train=False)
    for _ in range(60):
        _, moved = model.apply(variables, x, train=True, mutable=["buffers"])
        variables = {**variables, **moved}
    loss = lambda params: (model.apply({**variables, "params": params}, x, train=False) * towards).sum()
    gradient = jax.grad(loss)(variables["params"])["layer"]["kernel"]
    w = np.asarray(variables["params"]["layer"]["kernel"])
    u, s, v = np.linalg.svd(w, full_matrices=False)
    expected = (towards - (towards * w).sum() / s[0] * np.outer(u[:, 0], v[0])) / s[0]
    np.testing.assert_allclose(gradient, expected, atol=1e-3)


def test_self_attention_is_the_formula_and_starts_as_the_identity():
    x = seeded_images(2, 6, 4, 16)
    model = SelfAttention(nn.Conv, jnp.float32)
    start, variables = model.init_with_output(jax.random.key(0), x)
    np.testing.assert_array_equal(start, x)
    params = jax.tree.map(np.asarray, variables["params"]) | {"gamma": np.float32(0.7)}
    kernel = lambda name: params[name]["kernel"][0, 0].astype(np.float64)
    pooled = lambda y: y.reshape(2, 3, 2, 2, 2, -1).max((2, 4)).reshape(2, 6, -1)
    theta = (x @ kernel("theta")).reshape(2, 24, -1)
    phi, g = pooled(x @ kernel("phi")), pooled(x @ kernel("g"))
    assert theta.shape[-1] == 2 and g.shape[-1] == 8
    weights = np.exp(theta @ phi.swapaxes(1, 2))
    weights /= weights.sum(-1, keepdims=True)
    expected = x + 0.7 * ((weights @ g) @ kernel("out")).reshape(x.shape)
    np.testing.assert_allclose(model.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_the_class_adds_the_product_of_its_embedding_with_the_features():
    """Miyato & Koyama 2018, equation 3: two classes differ by ⟨v_y − v_y', φ(x)⟩, and φ is what the head reads."""
    images, label = seeded_images(3, 8, 8, 3), jnp.array([0, 2, 1])
    model = Discriminator(width=6, blocks=2, halvings=1, conditional=True, num_classes=3)
    variables = filled(abstract(model, images, train=False, label=label))
    apply = quickly(partial(model.apply, train=False))
    headless = model.clone(headless=True)
    features = nn.relu(headless.apply(variables, images, train=False)["stage2"]).mean((1, 2))
    embedding = variables["params"]["projection"]["embedding"]
    difference = apply(variables, images, label=label) - apply(variables, images, label=label * 0)
    expected = ((embedding[label] - embedding[0]) * features).sum(1)
    np.testing.assert_allclose(difference, expected, rtol=1e-3, atol=1e-3)


def test_the_class_sets_scale_and_offset_of_the_generator():
    model = Generator(shape=(8, 8, 1), width=4, latent=5, blocks=1, conditional=True, num_classes=3)
    noise, label = seeded_images(2, 1, 1, 5)[:, 0, 0], jnp.array([0, 1])
    variables = filled(abstract(model, noise, train=False, label=label))
    apply = quickly(partial(model.apply, train=False))
    assert not np.allclose(apply(variables, noise, label=label), apply(variables, noise, label=label[::-1]))
    assert variables["params"]["block0"]["norm1"]["scale"]["embedding"].shape == (3, 4)


@pytest.mark.parametrize("size", [28, 32])
def test_small_images_of_both_players(size):
    generator = Generator(shape=(size, size, 1), width=8, blocks=2, spectral=True, attention=(size // 2,))
    discriminator = Discriminator(width=8, spectral=True, attention=(size // 2,), pool="sum")
    make = lambda model: partial(model.init_with_output, train=True)
    images, of_generator = jax.eval_shape(make(generator), jax.random.key(0), jnp.zeros((2, 128)))
    assert images.shape == (2, size, size, 1)
    scores, of_discriminator = jax.eval_shape(make(discriminator), jax.random.key(0), images)
    assert scores.shape == (2,)
    assert "attention0" in of_generator["params"] and "attention0" in of_discriminator["params"]
    assert set(of_generator) == {"params", "batch_stats", "buffers"}


def test_bad_fields_are_one_clear_line():
    with pytest.raises(ModelError, match="3 doublings do not make images of 28×28"):
        abstract(Generator(shape=(28, 28, 1)), jnp.zeros((1, 128)), train=False)
    with pytest.raises(ModelError, match="attention=9: the maps have the heights 8, 16"):
        abstract(Discriminator(attention=(9,)), jnp.zeros((1, 32, 32, 3)), train=False)
    with pytest.raises(ModelError, match="images of 30×32 cannot be halved 2 times"):
        abstract(Discriminator(), jnp.zeros((1, 30, 32, 3)), train=False)
    with pytest.raises(ModelError, match="did you mean 'mean'"):
        abstract(Discriminator(pool="means"), jnp.zeros((1, 32, 32, 3)), train=False)
