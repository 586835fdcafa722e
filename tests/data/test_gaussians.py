"""The mixture of Gaussians, binarised MNIST, and what is drawn of a grey level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import DataError, open_source
from data.augment import make_augment, make_prepare, make_restore
from data.gaussians import centres


def test_gaussians():
    source = open_source("gaussians", "train", num_examples=5000)
    batch = source.fetch(np.arange(5000))
    points = batch["image"].reshape(-1, 2)
    assert batch["image"].shape == (5000, 1, 1, 2) and batch["image"].dtype == np.float32
    plane = 10 * (centres() - 0.5)
    assert sorted(set(plane.ravel().round(6))) == [-4, -2, 0, 2, 4]
    for mode in range(25):
        own = points[batch["label"] == mode]
        np.testing.assert_allclose(own.mean(0), centres()[mode], atol=0.002)
        np.testing.assert_allclose(own.std(0), 0.005, rtol=0.25)
    prepared = make_prepare(source.info, "standardise")(batch)["image"].reshape(-1, 2)
    np.testing.assert_allclose(prepared.std(0), 1, rtol=0.03)
    np.testing.assert_allclose(make_restore(source.info)(np.asarray(prepared)), points, atol=1e-6)
    assert not np.array_equal(points[:9], open_source("gaussians", "test").fetch(np.arange(9))["image"].reshape(-1, 2))
    with pytest.raises(DataError, match="takes no argument"):
        open_source("gaussians:25", "train")


def test_binarized_mnist(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, (3, 7, 784), np.uint8)
    path = tmp_path / "packed.npz"
    np.savez(path, **dict(zip(("train", "valid", "test"), np.packbits(pixels, axis=2), strict=True)))
    for split, expected in zip(("train", "valid", "test"), pixels, strict=True):
        batch = open_source(f"binarized_mnist:{path}", split).fetch(np.arange(7))
        np.testing.assert_array_equal(batch["image"].reshape(7, 784), 255 * expected)
    with pytest.raises(DataError, match=r"no file 'nowhere\.npz'"):
        open_source("binarized_mnist:nowhere.npz", "train")
    np.savez(path, train=np.zeros((2, 784)))
    with pytest.raises(DataError, match="cannot read train, valid, test"):
        open_source(f"binarized_mnist:{path}", "train")


def test_the_real_one(shared_datasets):
    name = f"binarized_mnist:{shared_datasets / 'binarized_mnist' / 'binarized_mnist_packed.npz'}"
    assert [len(open_source(name, split)) for split in ("train", "valid", "test")] == [50_000, 10_000, 10_000]
    assert 0.12 < (open_source(name, "test").arrays["image"] > 0).mean() < 0.14


def test_drawn_of_a_grey_level():
    info = open_source("digits", "train").info
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4000, 1, 1, 2)), jnp.uint8).at[..., 1].set(51)
    batch = {"image": image, "id": jnp.arange(4000, dtype=jnp.int32)}
    binary = make_augment(("binarise",), info)(batch, jax.random.key(0))["image"]
    assert set(np.unique(binary)) == {0, 1}
    assert binary[..., 1].mean() == pytest.approx(0.2, abs=0.03)
    assert jnp.corrcoef(binary[:, 0, 0, 0], image[:, 0, 0, 0])[0, 1] > 0.5
    fine = make_augment(("dequantise",), info)(batch, jax.random.key(0))["image"]
    np.testing.assert_array_equal(jnp.floor(256 * fine), image)
    backwards = {name: x[::-1] for name, x in batch.items()}
    again = make_augment(("binarise",), info)(backwards, jax.random.key(0))["image"]
    np.testing.assert_array_equal(again[::-1], binary)
