"""Random filters: the sizes of the paper, and weights that the seed alone decides."""

import jax
import jax.numpy as jnp
import numpy as np

from models.generative.random_filters import RandomFilters
from tests.models.parity import abstract, quickly

IMAGE = jnp.asarray(np.random.RandomState(0).uniform(size=(1, 12, 9, 3)), jnp.float32)


def test_maps_of_all_scales_have_the_size_of_the_image():
    maps = jax.eval_shape(lambda x: RandomFilters().init_with_output(jax.random.key(0), x, False)[0], IMAGE)
    assert {name: x.shape for name, x in maps.items()} == {"stage1": (1, 12, 9, 8 * 128)}
    weights = abstract(RandomFilters(), IMAGE, train=False)["params"]
    assert [x.shape[0] for x in jax.tree.leaves(weights)].count(55) == 1 and len(jax.tree.leaves(weights)) == 8


def test_the_seed_decides_the_weights():
    def run(key, seed):
        model = RandomFilters(sizes=(3, 5), width=2, seed=seed)
        return quickly(lambda key: model.init_with_output(key, IMAGE, train=False))(jax.random.key(key))

    (first, weights), (other_key, _), (other_seed, _) = run(0, 0), run(1, 0), run(0, 1)
    np.testing.assert_array_equal(first["stage1"], other_key["stage1"])
    assert np.abs(first["stage1"] - other_seed["stage1"]).max() > 0.1
    small, large = (weights["params"][f"conv{size}"]["kernel"] for size in (3, 5))
    assert not np.allclose(small, large[:3, :3])
