"""Rates of dropout are handed to each network by its own key."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.layers.dropout import Dropout
from training.task import trained
from training.tasks.classification import classification
from training.tasks.gan import gan


class Kept(nn.Module):
    """The shares of units that its two layers keep."""

    rate: float = 0.5
    second: float = 0.0

    @nn.compact
    def __call__(self, x, train: bool):
        return jnp.stack([(Dropout(rate)(x, train) > 0).mean() for rate in (self.rate, self.second)])


def test_equal_networks_have_their_own_rates_in_one_program():
    networks = {"a": Kept(), "b": Kept(), "c": Kept()}
    assert networks["a"] == networks["b"] == networks["c"]

    @jax.jit
    def shares(rates):
        hyper = {"model": {"a": {"rate": rates[0]}, "b": {"rate": rates[1]}}}
        apply = lambda net: net.apply({}, jnp.ones(10_000), train=True, rngs={"dropout": jax.random.key(0)})
        return {key: apply(network) for key, network in trained(networks, hyper).items()}

    for rates in ((0.1, 0.9), (0.7, 0.2)):
        kept = shares(jnp.array(rates))
        np.testing.assert_allclose([kept[key][0] for key in "abc"], [1 - rates[0], 1 - rates[1], 0.5], atol=0.02)
        assert all(kept[key][1] == 1 for key in "abc")  # the rate 0 draws nothing
    assert shares._cache_size() == 1


class Net(nn.Module):
    """A classifier, a generator and a discriminator at once, which drops its whole input at rate 1."""

    rate: float = 0.5
    num_classes: int = 3
    conditions: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(max(int(np.prod(self.shape)), self.num_classes))(Dropout(self.rate)(x.reshape(len(x), -1), train))
        return x.reshape(len(x), *self.shape) if self.shape else x[:, 0] if self.num_classes == 1 else x


class Generator(Net):
    latent: int = 2


BATCH = {
    "image": jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 1)), jnp.float32),
    "label": jnp.arange(4) % 3,
    "id": jnp.arange(4),
}
GAN = {
    "generator": Generator(shape=(2, 2, 1), num_classes=1),
    "discriminator": Net(num_classes=1),
}


@pytest.mark.parametrize(
    ("task", "player", "key"),
    [
        (classification({"model": Net()}), "model", "model"),
        (gan(GAN), "generator", "generator"),
        (gan(GAN), "discriminator", "discriminator"),
    ],
)
def test_a_loss_reads_the_rates_of_hyper(task, player, key):
    """At rate 1 the kernel of the network has no gradient: nothing reaches it."""
    params, stats = task.init(jax.random.key(0), BATCH)

    @jax.jit
    def kernel_gradient(rate):
        hyper = {"task": {"label_smoothing": 0.0}, "model": {key: {"rate": rate}}}
        loss = lambda params: task.loss(player, params, stats, BATCH, jax.random.key(1), {}, hyper)[0]
        return jnp.abs(jax.grad(loss)(params)[player]["Dense_0"]["kernel"]).max()

    assert kernel_gradient(1.0) == 0 < kernel_gradient(0.3)
