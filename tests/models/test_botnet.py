"""Attention over maps: windows against the whole map, what an output depends on, and fields that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.botnet import BoTNet
from models.counting import parameter_table
from models.errors import ModelError
from models.layers.halo_attention import HaloAttention
from models.layers.relative_attention import RelativeAttention
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly


@pytest.mark.parametrize(("block", "halo"), [(4, 0), (4, 2), (2, 2), (1, 3)])
def test_windows_that_cover_the_map_are_global_attention(block, halo):
    x = seeded_images(2, 4, 4, 8)
    everywhere, local = RelativeAttention(heads=2), HaloAttention(2, block, halo)
    params = filled(abstract(local, x))["params"]
    seen = slice(block + halo - 4, block + halo + 3)  # differences of -3 to 3
    tables = {name: params[name][seen] for name in ("rows", "columns")}
    expected = quickly(everywhere.apply)({"params": {**params, **tables}}, x)
    np.testing.assert_allclose(quickly(local.apply)({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("block", "halo", "rows", "columns"), [(2, 1, (1, 5), (3, 6)), (1, 2, (0, 5), (3, 6))])
def test_an_output_depends_on_its_window_and_nothing_else(block, halo, rows, columns, masked):
    """The pixel (2, 5) of a map of 6×6."""
    x = seeded_images(1, 6, 6, 4)
    layer = HaloAttention(2, block, halo, masked)
    variables = filled(abstract(layer, x))
    gradient = quickly(jax.grad(lambda x: layer.apply(variables, x)[0, 2, 5].sum()))(x)
    expected = np.zeros((6, 6), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(np.abs(gradient[0]).max(-1) > 0, expected)


def test_without_positions_attention_ignores_the_order_of_pixels():
    x = seeded_images(1, 3, 4, 4)
    layer = RelativeAttention(heads=2)
    params = filled(abstract(layer, x))["params"]
    permuted = lambda y: y.reshape(1, 12, 4)[:, np.random.RandomState(0).permutation(12)].reshape(1, 3, 4, 4)
    apply = quickly(lambda params, x: layer.apply({"params": params}, x))
    assert not np.allclose(apply(params, permuted(x)), permuted(apply(params, x)), rtol=1e-2)
    params = {**params, "rows": jnp.zeros_like(params["rows"]), "columns": jnp.zeros_like(params["columns"])}
    np.testing.assert_allclose(apply(params, permuted(x)), permuted(apply(params, x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "side", "message"),
    [
        (dict(attention="halo"), 224, "block=8 does not tile a map of 14×14"),
        (dict(attention="halo", block=0), 224, "block=0 is at least 1"),
        (dict(heads=3), 224, "heads=3 does not divide a width of 512"),
        (dict(attended=5), 224, "attended=5: there are 4 stages"),
        (dict(attention="halos"), 224, "did you mean 'halo'"),
        ({}, 240, "even sides, not a map of 15×15"),
    ],
)
def test_bad_fields_are_one_clear_line(fields, side, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(BoTNet(**fields), (1, side, side, 3))
