"""MAE: transformers' patches, mask, loss and gradients, and an encoder that is a ViT's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from models.classification.vit import ViT
from models.errors import ModelError
from models.generative.mae import MAE, PORTS, waves
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, golden
from training.errors import TrainingError
from training.tasks.mae import mae, masked_error, patches, picture

MODEL = MAE(4, 12, 2, 3, 24, decoder_width=8, decoder_depth=1, decoder_heads=2, param_dtype=jnp.float64)


def test_it_computes_what_transformers_computes():
    stored = golden("mae")
    with jax.enable_x64(True):
        images = jnp.asarray(seeded_images(2, 16, 16, 3), jnp.float64)
        noise = jnp.asarray(seeded_images(2, 16, 1, 1).reshape(2, 16), jnp.float64)
        forward = lambda variables: (MODEL.apply(variables, images, noise, train=False)[0], {})
        like = abstract(MODEL, images, noise, train=False)
        variables = assert_parity("mae", forward, like, PORTS["transformers"], 1e-6)
        made, mask = MODEL.apply(variables, images, noise, train=False)
        loss = masked_error(made, mask, patches(images, 4)).mean()
    np.testing.assert_array_equal(mask, stored["mask"])
    np.testing.assert_allclose(loss, stored["loss"], rtol=1e-6)


def test_the_first_positions_are_the_authors():
    np.testing.assert_allclose(waves(None, (1, 17, 12), jnp.float32), golden("mae")["first"], atol=1e-6)
    with pytest.raises(ModelError, match="6 patches of width 12: a square"):
        waves(None, (1, 7, 12), jnp.float32)


def test_patches_are_put_back_in_their_places():
    x = jnp.arange(2 * 8 * 12 * 3.0).reshape(2, 8, 12, 3)
    np.testing.assert_array_equal(patches(x, 4)[0, 1].reshape(4, 4, 3), x[0, :4, 4:8])
    np.testing.assert_array_equal(picture(patches(x, 4), (8, 12, 3), 4), x)


def test_a_vit_takes_all_its_parameters_but_the_head_from_the_encoder():
    images = jnp.zeros((1, 16, 16, 3))
    vit = abstract(ViT(width=12, depth=2, heads=3, mlp=24, patch=4), images, train=False)["params"]
    own = abstract(MODEL, images, jnp.zeros((1, 16)), train=False)["params"]
    shapes = lambda tree: {path: leaf.shape for path, leaf in flatten_dict(tree).items()}
    vit.pop("head")
    assert shapes(vit).items() <= shapes(own).items()


def test_what_is_hidden_has_no_influence():
    images = jnp.asarray(seeded_images(1, 16, 16, 3), jnp.float32)
    noise = jnp.arange(16.0)[None]  # the first four patches are seen: the upper four rows
    model = MODEL.clone(param_dtype=jnp.float32)
    params = jax.jit(lambda key: model.init(key, images, noise, train=False))(jax.random.key(0))
    made = lambda x: model.apply(params, x, noise, train=False)[0]
    np.testing.assert_array_equal(made(images), made(images.at[:, 4:].set(9.0)))
    assert not np.allclose(made(images), made(images.at[:, :4].set(9.0)))


def test_a_share_that_leaves_nothing_to_see_is_one_clear_line():
    with pytest.raises(TrainingError, match=r"model\.masked=0\.99 leaves 0 of 16 patches to see"):
        mae({"model": MODEL.clone(masked=0.99)}, shape=(16, 16, 3))
