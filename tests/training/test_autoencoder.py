"""An affine autoencoder reaches the error of principal components; what is spoilt is not what is asked for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from models.errors import ModelError
from models.generative.autoencoder import Autoencoder
from tests.models.parity import abstract
from training.errors import TrainingError
from training.tasks.autoencoder import autoencoder

IMAGES = load_digits().images[:300, ..., None] / 16


def test_an_affine_autoencoder_reaches_the_error_of_principal_components():
    task = autoencoder({"model": Autoencoder((8, 8, 1), latent=5)})
    batch = {"image": jnp.asarray(IMAGES, jnp.float32), "id": jnp.arange(300)}
    optimizer, hyper = optax.adam(optax.cosine_decay_schedule(0.02, 1500)), {"task": {"sparsity": 0.0}}

    def mse(params):
        value, weight, _ = task.loss("model", params, {"model": {}}, batch, jax.random.key(0), {}, hyper)
        return value / weight

    def step(state, _):
        params, moments = state
        change, moments = optimizer.update(jax.grad(mse)(params), moments)
        return (optax.apply_updates(params, change), moments), None

    params, _ = task.init(jax.random.key(0), batch)
    params = jax.jit(lambda params: jax.lax.scan(step, (params, optimizer.init(params)), None, 1500)[0][0])(params)
    flat = IMAGES.reshape(300, -1) - IMAGES.reshape(300, -1).mean(0)
    singular = np.linalg.svd(flat, compute_uv=False)
    best = (singular[5:] ** 2).sum() / flat.size
    assert best * (1 - 1e-4) <= mse(params) <= 1.02 * best


@pytest.mark.parametrize("fields", [dict(), dict(hidden=(7,)), dict(widths=(3, 5), hidden=(7,))])
def test_the_decoder_is_the_mirror_of_the_encoder(fields):
    model = Autoencoder((8, 12, 2), latent=3, **fields)
    params = abstract(model, jnp.zeros((1, 8, 12, 2)))["params"]
    shapes = lambda part: [leaf["kernel"].shape for _, leaf in sorted(params[part].items())]
    assert [shape[::-1] for shape in shapes("decoder")] == shapes("encoder")[::-1]
    if "widths" in fields:
        assert [shape[2:] for shape in shapes("up")] == [shape[2:] for shape in shapes("down")[::-1]]


def test_spoilt_images_go_in_and_whole_ones_are_compared():
    model = Autoencoder((8, 8, 1), latent=4)
    batch = {"image": jnp.asarray(IMAGES[:50], jnp.float32) + 1, "id": jnp.arange(50)}
    task = autoencoder({"model": model}, noise=0.1, lost=0.25)
    params, stats = task.init(jax.random.key(0), batch)
    outputs = jax.jit(task.predict)(params, stats, batch, jax.random.key(0), {})
    spoilt = np.asarray(outputs["spoilt"])
    assert np.mean(spoilt == 0) == pytest.approx(0.25, abs=0.03)
    assert np.std((spoilt - batch["image"])[spoilt != 0]) == pytest.approx(0.1, rel=0.05)
    made = model.apply({"params": params["model"]}, outputs["spoilt"])
    np.testing.assert_allclose(outputs["reconstructed"], made, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["mse"], np.square(made - batch["image"]).mean((1, 2, 3)), rtol=1e-4)
    backwards = {name: x[::-1] for name, x in batch.items()}
    again = jax.jit(task.predict)(params, stats, backwards, jax.random.key(0), {})
    np.testing.assert_allclose(again["mse"][::-1], outputs["mse"], rtol=1e-5)


def test_the_size_of_the_code_is_part_of_the_loss():
    task, batch = autoencoder({"model": Autoencoder((8, 8, 1), latent=4)}), {"image": jnp.asarray(IMAGES[:5])}
    batch = {"image": batch["image"].astype(jnp.float32), "id": jnp.arange(5)}
    params, stats = task.init(jax.random.key(0), batch)
    loss = partial(task.loss, "model", params, stats, batch, jax.random.key(0), {})
    plain, _, (_, sums) = loss({"task": {"sparsity": 0.0}})
    sparse, *_ = loss({"task": {"sparsity": 2.0}})
    np.testing.assert_allclose(sparse, plain + 2 * sums["code_size"], rtol=1e-5)
    z = Autoencoder((8, 8, 1), latent=4).apply({"params": params["model"]}, batch["image"], method="encode")
    np.testing.assert_allclose(sums["code_size"], np.abs(z).mean(1).sum(), rtol=1e-5)


def test_bad_values_are_one_clear_line():
    with pytest.raises(TrainingError, match=r"lost=1\.0"):
        autoencoder({"model": Autoencoder()}, lost=1.0)
    with pytest.raises(ModelError, match="8×8 cannot be halved 4 times"):
        abstract(Autoencoder((8, 8, 1), widths=(2,) * 4), jnp.zeros((1, 8, 8, 1)))
