"""VAE: counts, shapes, and the ways in that a task uses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import parameter_table
from models.errors import ModelError
from models.generative.vae import VAE, ConvVAE
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly


@pytest.mark.parametrize(("hidden", "parameters"), [((500,), 815_824), ((400,), 652_824)])
def test_parameters(hidden, parameters):
    assert sum(count for *_, count in parameter_table(VAE(hidden=hidden), (1, 28, 28, 1))) == parameters


@pytest.mark.parametrize("network", [VAE, ConvVAE])
@pytest.mark.parametrize(("shape", "outputs"), [((8, 8, 1), 1), ((8, 12, 3), 2)])
def test_encode_and_decode(network, shape, outputs):
    model = network(shape=shape, latent=3, outputs=outputs)
    images = seeded_images(2, *shape)
    variables = jax.tree.map(lambda leaf: 0.1 * leaf, filled(abstract(model, images)))

    mean, log_variance = quickly(partial(model.apply, method="encode"))(variables, images)
    assert mean.shape == log_variance.shape == (2, 3)

    decode = quickly(partial(model.apply, method="decode"))
    codes = seeded_images(5, 2, 3)  # five samples of each of two codes
    decoded = decode(variables, codes)
    assert decoded.shape == (5, 2, *shape[:2], outputs * shape[2])
    np.testing.assert_allclose(decoded[3], decode(variables, codes[3]), rtol=1e-4, atol=1e-5)

    reconstruction = quickly(partial(model.apply, train=True))(variables, images)
    np.testing.assert_allclose(reconstruction, decode(variables, mean), rtol=1e-4, atol=1e-5)


def test_the_network_is_the_equations():
    """Appendix C.1 and C.2: h = tanh(W x + b), then affine to mean and log variance, and back the same way."""
    model = VAE(shape=(2, 2, 1), latent=2, hidden=(3,))
    images = seeded_images(4, 2, 2, 1)
    params = filled(abstract(model, images))["params"]

    def affine(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    def mlp(x, layers):
        return affine(np.tanh(affine(x, layers["Dense_0"])), layers["Dense_1"])

    code = np.concatenate(model.apply({"params": params}, images, method="encode"), axis=-1)
    np.testing.assert_allclose(code, mlp(images.reshape(4, -1), params["encoder"]), rtol=1e-5)
    pixels = model.apply({"params": params}, code[:, :2], method="decode")
    np.testing.assert_allclose(pixels.reshape(4, -1), mlp(code[:, :2], params["decoder"]), rtol=1e-5)


def test_bfloat16_computes_and_float32_answers():
    model = VAE(shape=(4, 4, 1), latent=2, hidden=(3,), dtype=jnp.bfloat16)
    images = seeded_images(2, 4, 4, 1)
    mean, _ = model.apply(filled(abstract(model, images)), images, method="encode")
    assert mean.dtype == jnp.float32


@pytest.mark.parametrize(
    ("model", "message"),
    [(VAE(activation="tan"), "did you mean 'tanh'"), (ConvVAE(widths=(8, 8, 8)), "28×28 cannot be halved 3 times")],
)
def test_bad_fields_are_one_clear_line(model, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(model, (1, 28, 28, 1))
