"""VQ-VAE: the authors' count, the nearest vector, gradients straight through, and FSQ's codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.vqvae import VQVAE, bounded, nearest, straight_through
from tests.models.parity import abstract, filled, quickly

SMALL = dict(shape=(8, 8, 3), width=4, depth=1, inner=2)


def test_parameters():
    variables = abstract(VQVAE(), jnp.zeros((1, 32, 32, 3)), train=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 662_723
    assert variables["buffers"]["book"].size == 32_768


def test_the_nearest_vector_is_that_of_the_distances():
    random = np.random.RandomState(0)
    z, book = random.normal(size=(2, 3, 4)), random.normal(size=(7, 4))
    distances = np.square(z[..., None, :] - book).sum(-1)
    np.testing.assert_array_equal(nearest(jnp.asarray(z), jnp.asarray(book)), distances.argmin(-1))


def test_gradients_pass_as_through_the_identity():
    z, q = jnp.array([0.3, -1.2]), jnp.array([0.0, -1.0])
    value, pull = jax.vjp(straight_through, z, q)
    np.testing.assert_allclose(value, q, rtol=1e-6)
    cotangent = jnp.array([2.0, -3.0])
    by_z, by_q = pull(cotangent)
    np.testing.assert_array_equal(by_z, cotangent)
    np.testing.assert_array_equal(by_q, jnp.zeros(2))


@pytest.mark.parametrize("fields", [dict(entries=6, dim=3), dict(levels=(3, 4))])
def test_codes_decode_to_the_reconstruction(fields):
    model = VQVAE(**SMALL, **fields)
    x = jnp.asarray(np.random.RandomState(0).normal(size=(2, 8, 8, 3)), jnp.float32)
    variables = jax.tree.map(lambda leaf: 0.5 * leaf, filled(abstract(model, x, train=False)))
    codes = model.apply(variables, x, method="encode")
    assert codes.shape == (2, 2, 2) and len(np.unique(codes)) > 1 and codes.max() < model.codes
    made = quickly(lambda: model.apply(variables, x, train=True))()
    np.testing.assert_allclose(model.apply(variables, codes, method="decode"), made, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [(2,), (3,), (8,), (5, 4, 2)])
def test_fsq_reaches_each_of_its_codes_once(levels):
    model = VQVAE(**SMALL, levels=levels)
    bind = model.bind(filled(abstract(model, jnp.zeros((1, 8, 8, 3)), train=False)))
    vectors = bind.vectors(jnp.arange(model.codes))
    assert model.codes == np.prod(levels) == len(np.unique(vectors, axis=0))
    np.testing.assert_array_equal(bind.quantise(vectors)[0], jnp.arange(model.codes))
    ends = bounded(jnp.array([[-20.0], [20.0]]) * jnp.ones(len(levels)), levels)
    np.testing.assert_array_equal(jnp.round(ends[1] - ends[0]) + 1, levels)


def test_bad_fields_are_one_clear_line():
    for fields, message in ((dict(levels=(1, 3)), "each is at least 2"), (dict(shape=(6, 8, 3)), "6×8 cannot be")):
        with pytest.raises(ModelError, match=message):
            abstract(VQVAE(**{**SMALL, **fields}), jnp.zeros((1, 8, 8, 3)), train=False)


@pytest.mark.parametrize("levels", range(2, 10))
def test_every_level_is_reached(levels):
    z = jnp.linspace(-6, 6, 2001)[:, None]
    found = np.unique(np.round(bounded(z, (levels,))))
    assert len(found) == levels and found.max() - found.min() == levels - 1
