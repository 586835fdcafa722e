"""DiT against the paper's counts and diffusers' network, and what it promises to start with."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import count_macs
from models.errors import ModelError
from models.generative.dit import PORTS, DiT, DiTBlock
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, quickly

TINY = DiT(conditional=True, width=24, depth=2, heads=3, num_classes=10, outputs=2)


@pytest.mark.parametrize(
    ("variant", "millions", "giga"), [("S", 33, 6.06), ("B", 130, 23.01), ("L", 458, 80.71), ("XL", 675, 118.64)]
)
def test_parameters_and_multiply_adds(variant, millions, giga):
    """Peebles & Xie 2023, table 4 and table 1, of 32×32 latents in patches of 2."""
    model, inputs = DiT(variant=variant, outputs=2, conditional=True), (jnp.zeros((1, 32, 32, 4)), jnp.zeros(1))
    like = abstract(model, *inputs, train=False)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(like))
    assert round(parameters / 1e6) in (millions, millions + 1)
    if variant == "S":
        assert count_macs(partial(model.apply, train=False), like, *inputs) == pytest.approx(giga * 1e9, rel=0.01)


def test_diffusers_parity():
    """To the digits of their waves of time, which are float32."""
    with jax.enable_x64(True):
        images, time, label = seeded_images(2, 8, 8, 3).astype(float), jnp.array([3.0, 700]), jnp.array([4, 10])
        model = TINY.clone(param_dtype=jnp.float64)

        def forward(variables):
            return model.apply(variables, images, time, train=False, label=label), {}

        assert_parity("dit", forward, abstract(model, images, time, train=False), PORTS["diffusers"], rtol=1e-5)


def test_a_block_starts_as_the_identity():
    block, x, condition = DiTBlock(3, 0.0, None, jnp.float32), *filled((jnp.zeros((2, 5, 24)), jnp.zeros((2, 24))))
    output, variables = quickly(partial(block.init_with_output, train=False))(jax.random.key(0), x, condition)
    np.testing.assert_array_equal(output, x)
    assert variables["params"]["mlp1"]["kernel"].any()


def test_starts_with_zero_and_takes_any_size():
    output = quickly(partial(TINY.init_with_output, train=False))(
        jax.random.key(0), seeded_images(2, 8, 12, 3), jnp.array([0, 999])
    )[0]
    assert output.shape == (2, 8, 12, 6) and not output.any()


def test_a_missing_label_is_any_label():
    images, time = seeded_images(2, 8, 8, 3), jnp.array([1, 20])
    variables = jax.tree.map(lambda leaf: 0.2 * leaf, filled(abstract(TINY, images, time, train=False)))
    apply = quickly(partial(TINY.apply, train=False))
    missing, given = apply(variables, images, time), apply(variables, images, time, label=jnp.array([1, TINY.null]))
    np.testing.assert_allclose(missing[1], given[1], rtol=1e-3, atol=1e-5)
    assert not np.allclose(missing[0], given[0], rtol=1e-2)


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({}, 9, "patch=2 does not tile images of 9×9"),
        (dict(variant="M"), 8, "'M'"),
        (dict(width=26, heads=2), 8, "width=26 is not a multiple of 4"),
    ],
)
def test_bad_input_is_one_clear_line(fields, size, message):
    with pytest.raises(ModelError, match=message):
        abstract(DiT(**fields), jnp.zeros((1, size, size, 3)), jnp.zeros(1), train=False)
