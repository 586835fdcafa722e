"""ViT against transformers: counts, logits, attention maps, gradients; and what its parts promise."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.hybrid_resnet import HybridResNet
from models.classification.resnet_cifar import CifarResNet
from models.classification.vit import PORTS, EncoderBlock, ViT
from models.counting import count_macs, parameter_table
from models.errors import ModelError
from models.layers.attention import SelfAttention
from models.layers.dropout import Dropout
from models.layers.patches import interpolate_positions
from models.layers.rotary import rotate
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, assert_parity, filled, golden, quickly


@pytest.mark.parametrize(
    ("variant", "patch", "size", "parameters"),
    [
        ("Ti", 16, 224, 5_717_416),
        ("Ti", 16, 384, 5_790_376),
        ("S", 16, 224, 22_050_664),
        ("S", 16, 384, 22_196_584),
        ("S", 32, 224, 22_878_952),
        ("B", 8, 224, 86_576_872),
        ("B", 16, 224, 86_567_656),
        ("B", 16, 384, 86_859_496),
        ("B", 32, 224, 88_224_232),
        ("L", 16, 224, 304_326_632),
        ("L", 16, 384, 304_715_752),
        ("L", 32, 224, 306_535_400),
        ("H", 14, 224, 632_045_800),
    ],
)
def test_parameters(variant, patch, size, parameters):
    table = parameter_table(ViT(variant=variant, patch=patch), (1, size, size, 3))
    assert sum(count for _, _, count in table) == parameters


@pytest.mark.parametrize(
    ("variant", "blocks", "level", "patch", "size", "parameters"),
    [
        ("B", (3, 4, 9), "stage3", 1, 224, 98_659_112),
        ("B", (3, 4, 9), "stage3", 1, 384, 98_950_952),
        ("B", (2, 2, 2, 2), "stage4", 1, 224, 101_383_976),
        ("S", (2, 2, 2, 2), "stage4", 1, 224, 36_431_912),
        ("Ti", (), "stem", 8, 224, 6_337_704),
        ("L", (3, 4, 6, 3), "stage4", 1, 224, 328_994_856),
    ],
)
def test_parameters_of_hybrids(variant, blocks, level, patch, size, parameters):
    hybrid = ViT(variant, patch=patch, backbone=HybridResNet(blocks, num_classes=0), level=level)
    assert sum(count for _, _, count in parameter_table(hybrid, (1, size, size, 3))) == parameters


@pytest.mark.parametrize(("variant", "macs"), [("Ti", 1.2537e9), ("S", 4.5989e9), ("B", 17_563_828_224)])
def test_multiply_adds(variant, macs):
    model, x = ViT(variant=variant), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = abstract(model, x, train=False)
    assert count_macs(partial(model.apply, train=False), variables, x) == pytest.approx(macs, rel=1e-4)


SMALL = ViT(width=24, depth=2, heads=3, mlp=48, patch=8, num_classes=5)


def test_transformers_parity():
    images = seeded_images(2, 32, 32, 3)
    like = abstract(SMALL, images, train=False)

    def forward(variables):
        return SMALL.apply(variables, images, train=True), {}

    variables = assert_parity("vit", forward, like, PORTS["transformers"])
    _, sown = SMALL.apply(variables, images, train=False, mutable=["intermediates"])
    maps = [sown["intermediates"][f"block{i}"]["attention"]["weights"][0] for i in range(2)]
    np.testing.assert_allclose(maps, golden("vit")["attention"], rtol=1e-4, atol=1e-6)


def test_rotary_positions_are_timm_s_and_leave_other_tokens():
    queries = seeded_images(2, 12, 3, 8)
    np.testing.assert_allclose(rotate(queries, (3, 4)), golden("vit")["rotated"], rtol=1e-5, atol=1e-6)
    longer = jnp.concatenate([queries[:, :2], queries], 1)
    turned = rotate(longer, (3, 4), tokens=2)
    np.testing.assert_array_equal(turned[:, :2], longer[:, :2])
    np.testing.assert_allclose(turned[:, 2:], rotate(queries, (3, 4)), rtol=1e-6)


def test_rotary_attention_depends_on_differences_of_positions():
    """A picture of equal patches has equal products of queries and keys along every diagonal of the grid."""
    same = jnp.ones((1, 16, 1, 8)) * jnp.arange(8)
    query, key = rotate(same, (4, 4)), rotate(jnp.flip(same, -1), (4, 4))
    products = jnp.einsum("bqhd,bkhd->qk", query, key).reshape(4, 4, 4, 4)
    np.testing.assert_allclose(products[0, 0, 1, 2], products[2, 1, 3, 3], rtol=1e-5)
    assert abs(products[0, 0, 1, 2] - products[0, 0, 2, 1]) > 1e-2


def test_a_gated_perceptron_is_swiglu():
    block = EncoderBlock(1, 6, 0.0, 0.0, None, jnp.float32, gated=True)
    x = seeded_images(2, 3, 4)
    variables = filled(abstract(block, x, train=False))
    params = variables["params"]
    params["attention"]["out"] = jax.tree.map(jnp.zeros_like, params["attention"]["out"])
    y = nn.LayerNorm(epsilon=1e-6).apply({"params": params["norm2"]}, x)
    dense = lambda name, y: y @ params[name]["kernel"] + params[name]["bias"]
    expected = x + dense("mlp2", nn.swish(dense("gate", y)) * dense("mlp1", y))
    np.testing.assert_allclose(block.apply(variables, x, train=False), expected, rtol=1e-4, atol=1e-4)


def test_a_hybrid_reads_the_pixels_of_a_map():
    backbone = CifarResNet(depth=8, num_classes=0)
    model = SMALL.clone(backbone=backbone, level="stage3", patch=1)
    x = jnp.zeros((1, 32, 32, 3))
    params = abstract(model, x, train=False)["params"]
    assert params["positions"].shape == (1, 1 + 8 * 8, 24) and params["embedding"]["kernel"].shape == (1, 1, 64, 24)


def test_self_attention_is_permutation_equivariant():
    x = seeded_images(2, 7, 12)
    layer = SelfAttention(heads=3)
    variables = filled(abstract(layer, x))
    order = np.random.RandomState(0).permutation(7)
    permuted = layer.apply(variables, x[:, order])
    np.testing.assert_allclose(permuted, layer.apply(variables, x)[:, order], atol=1e-5)


def test_without_position_embeddings_the_order_of_the_patches_is_lost():
    images = seeded_images(1, 16, 16, 3)
    swapped = np.concatenate([images[:, 8:], images[:, :8]], axis=1)
    for pool in ("token", "gap"):
        model = ViT(width=12, depth=1, heads=3, mlp=24, patch=8, pool=pool, num_classes=5)
        variables = filled(abstract(model, images, train=False))
        apply = quickly(partial(model.apply, train=False))
        assert not np.allclose(apply(variables, images), apply(variables, swapped), rtol=1e-3)
        variables["params"]["positions"] *= 0
        np.testing.assert_allclose(apply(variables, images), apply(variables, swapped), rtol=1e-4)


def test_starts_with_equal_logits():
    images = seeded_images(2, 16, 16, 3)
    logits, _ = quickly(partial(SMALL.init_with_output, train=False))(jax.random.key(0), images)
    assert logits.shape == (2, 5) and not logits.any()


def test_positions_are_interpolated_over_the_grid_alone():
    rows, columns = np.mgrid[:4, :4] + 0.5
    grid = np.stack([rows, columns], -1).reshape(1, 16, 2)
    positions = np.concatenate([np.full((1, 1, 2), 7.0), grid], axis=1)
    np.testing.assert_array_equal(interpolate_positions(positions, (4, 4), (4, 4)), positions)

    larger = interpolate_positions(positions, (4, 4), (8, 8))
    assert larger.shape == (1, 65, 2)
    np.testing.assert_array_equal(larger[0, 0], [7, 7])
    inner = np.asarray(larger[0, 1:]).reshape(8, 8, 2)[1:-1, 1:-1]  # a plane stays a plane between its points
    rows, columns = np.mgrid[1:7, 1:7] / 2 + 0.25
    np.testing.assert_allclose(inner, np.stack([rows, columns], -1), atol=1e-6)

    assert interpolate_positions(grid, (4, 4), (2, 6)).shape == (1, 12, 2)
    with pytest.raises(ModelError, match="5×5"):
        interpolate_positions(positions, (5, 5), (8, 8))


def test_interpolated_positions_fit_the_network_at_that_size():
    small, large = (abstract(SMALL, np.zeros((1, *size, 3)), train=False) for size in ((32, 32), (48, 40)))
    positions = filled(small)["params"]["positions"]
    assert interpolate_positions(positions, (4, 4), (6, 5)).shape == large["params"]["positions"].shape


def test_stochastic_depth_drops_a_branch_for_whole_examples():
    x = jnp.ones((2000, 3, 4))
    kept = Dropout(0.25, shared=(1, 2)).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
    per_example = np.asarray(kept).reshape(2000, -1)
    assert (per_example == per_example[:, :1]).all()
    assert per_example[:, 0].astype(bool).mean() == pytest.approx(0.75, abs=0.04)

    block = EncoderBlock(2, 8, dropout_rate=0.0, stochastic_depth=1.0, dtype=None, param_dtype=jnp.float32)
    x = jnp.asarray(seeded_images(2, 3, 4))
    variables = filled(abstract(block, x, train=False))
    np.testing.assert_array_equal(block.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}), x)
    assert not np.allclose(block.apply(variables, x, train=False), x)


def test_remat_changes_nothing():
    images = seeded_images(1, 16, 16, 3)
    variables = filled(abstract(SMALL, images, train=False))
    rngs = {"dropout": jax.random.key(1)}
    plain, remat = (
        quickly(partial(SMALL.clone(remat=remat, dropout_rate=0.1, parent=None).apply, train=True))
        for remat in (False, True)
    )
    np.testing.assert_allclose(plain(variables, images, rngs=rngs), remat(variables, images, rngs=rngs), rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variant": "b"}, "variant"),
        ({"pool": "tokens"}, "did you mean 'token'"),
        ({"patch": 7}, "patch=7"),
        ({"distilled": True, "pool": "gap"}, "distilled=True averages"),
        ({"rotary": True, "width": 24}, "multiple of 4"),
        ({"backbone": HybridResNet((1,), width=48, num_classes=0)}, "32 groups, which width=48"),
        ({"backbone": HybridResNet((1,), num_classes=0), "level": "stage2", "patch": 1}, "level"),
    ],
)
def test_bad_fields_are_one_clear_line(fields, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(ViT(**fields), (1, 32, 32, 3))
