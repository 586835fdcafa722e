"""StyleGAN2's losses: closed forms of the penalties, who moves what, truncation, differentiable augmentations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.generative.stylegan2 import Discriminator, Generator
from training.differentiable_augment import POLICIES, augmentation
from training.errors import TrainingError
from training.task import stream
from training.tasks.stylegan import DECAY, path_lengths, squared_gradient, stylegan

RANDOM = np.random.default_rng(0)
BATCH = {
    "image": jnp.asarray(RANDOM.uniform(-1, 1, (4, 8, 8, 1)), jnp.float32),
    "id": jnp.arange(4, dtype=jnp.int32),
}
NETWORKS = {
    "generator": Generator(shape=(8, 8, 1), latent=3, width=2, blocks=1, mapping=1),
    "discriminator": Discriminator(width=2, blocks=1),
}
HYPER = {"task": {"r1": 10.0, "path": 2.0}}


def test_squared_gradient_of_linear_and_of_quadratic_scores():
    x, w = jnp.asarray(RANDOM.normal(size=(3, 4, 2, 1))), jnp.asarray(RANDOM.normal(size=(4, 2, 1)))
    linear = lambda x, w=w: jnp.einsum("bhwc,hwc->b", x, w)
    np.testing.assert_allclose(squared_gradient(linear, x), np.full(3, (w**2).sum()), rtol=1e-5)
    np.testing.assert_allclose(
        squared_gradient(lambda x: (x**2).sum((1, 2, 3)) / 2, x), (x**2).sum((1, 2, 3)), rtol=1e-5
    )
    gradient = jax.grad(lambda w: squared_gradient(lambda x: linear(x, w), x).mean())(w)
    np.testing.assert_allclose(gradient, 2 * w, rtol=1e-5)


def test_path_length_of_a_linear_generator():
    """For G(w) = A w, E |Aᵀy|² is ‖A‖² over the number of pixels, and scaling A scales every length."""
    a = jnp.asarray(RANDOM.normal(size=(5, 3 * 4 * 2)))
    style, keys = jnp.asarray(RANDOM.normal(size=(4000, 5))), jax.random.split(jax.random.key(0), 4000)
    paint = lambda w, a=a: (w @ a).reshape(-1, 3, 4, 2)
    lengths = path_lengths(paint, style, keys)
    np.testing.assert_allclose((lengths**2).mean(), (a**2).sum() / 12, rtol=0.05)
    np.testing.assert_allclose(path_lengths(lambda w: paint(w, 3 * a), style, keys), 3 * lengths, rtol=1e-4)
    flat = jax.grad(lambda a: path_lengths(lambda w: paint(w, a), style[:3], keys[:3]).sum())(0 * a)
    assert np.isfinite(flat).all()


@pytest.fixture(scope="module")
def start():
    task = stylegan(NETWORKS, gather=lambda x: x)
    return task, *jax.jit(task.init)(jax.random.key(0), BATCH)


def test_penalties_count_as_the_equations_say(start):
    task, params, stats = start
    plain = stylegan(NETWORKS, gather=lambda x: x, r1=0.0, path=0.0)
    assert task.numbers == ("r1", "path") and plain.numbers == ()
    play = lambda task, player: jax.jit(
        lambda params: task.loss(player, params, stats, BATCH, jax.random.key(1), {}, HYPER)
    )(params)
    (value, weight, (moved, sums)), (without, _, (still, _)) = play(task, "discriminator"), play(plain, "discriminator")
    np.testing.assert_allclose(value, without + 10 / 2 * sums["r1"], rtol=1e-4)
    assert moved == still == {"discriminator": {}} and weight == 4
    (value, _, (moved, sums)), (without, _, (still, _)) = play(task, "generator"), play(plain, "generator")
    average = (1 - DECAY) * sums["path"] / 4
    np.testing.assert_allclose(moved["generator"]["path"]["length"], average, rtol=1e-4)
    assert value > without and still["generator"]["path"]["length"] == 0
    assert set(moved) == {"generator"}
    before, after = (s["generator"]["batch_stats"]["to_style"]["mean"] for s in (stats, moved))
    assert not np.allclose(before, after)


def test_each_player_has_only_its_own_gradient(start):
    """The discriminator's loss moves the discriminator with the generator as it is, and the reverse: R1 does not reach
    the generator, nor do path lengths the discriminator."""
    task, params, stats = start
    plain = stylegan(NETWORKS, gather=lambda x: x, r1=0.0, path=0.0)

    def gradients(task, player):
        loss = lambda params: task.loss(player, params, stats, BATCH, jax.random.key(1), {}, HYPER)[0]
        return jax.jit(jax.grad(loss))(params)

    for player, other in (("discriminator", "generator"), ("generator", "discriminator")):
        with_penalty, without = gradients(task, player), gradients(plain, player)
        same = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-3, atol=1e-6), with_penalty, without)
        assert all(jax.tree.leaves(same[other])) and not all(jax.tree.leaves(same[player])), player


def test_truncation_brings_samples_to_that_of_the_mean_style(start):
    task, params, stats = start
    ids = {"id": jnp.arange(3, dtype=jnp.int32)}
    draw = lambda psi: np.asarray(task.makes.draw(params, stats, jax.random.key(0), ids, {}, truncation=psi)["image"])
    middle = draw(0.0)
    np.testing.assert_allclose(middle, np.broadcast_to(middle[:1], middle.shape), atol=1e-6)
    assert draw(1.0).std(0).max() > 1e-3
    z = jax.vmap(lambda key: jax.random.normal(key, (3,)))(
        jax.vmap(lambda i: jax.random.fold_in(stream(jax.random.key(0), "latent"), i))(ids["id"])
    )
    generator = NETWORKS["generator"]
    whole = generator.apply({"params": params["generator"], **stats["generator"]}, z, train=False)
    np.testing.assert_allclose(draw(1.0), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
def test_an_augmentation_is_drawn_for_each_image_and_can_be_differentiated(name):
    image = jnp.asarray(RANDOM.uniform(-1, 1, (8, 16, 3)), jnp.float32)
    images, keys = jnp.stack([image] * 3), jax.random.split(jax.random.key(0), 3)
    augment = jax.jit(augmentation((name,)))
    varied = np.asarray(augment(images, keys))
    assert len({x.tobytes() for x in varied}) == 3
    np.testing.assert_allclose(augment(images[::-1], keys[::-1])[::-1], varied, rtol=1e-5, atol=1e-6)
    slope = jax.jit(jax.grad(lambda x: augment(x, keys).sum()))(images)
    if name == "cutout":
        assert ((slope == 0) == (varied == 0)).all() and 0.1 < (slope == 0).mean() <= 0.25
        np.testing.assert_array_equal(varied[slope != 0], images[slope != 0])
    if name == "translation":
        for x in varied:
            shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-2, -1, 0, 1, 2)]
            padded = np.pad(image, ((1, 1), (2, 2), (0, 0)))
            assert any(np.array_equal(x, padded[1 + dy : 9 + dy, 2 + dx : 18 + dx]) for dy, dx in shifts)
    if name == "color":  # differences of channels grow by one factor, which saturation and contrast set
        difference = lambda x: np.asarray(x[..., 0] - x[..., 1])
        for x in varied:
            factor = difference(x) / difference(image)
            assert 0 < factor[0, 0] < 3
            np.testing.assert_allclose(factor, factor[0, 0], rtol=0.01)
        assert (slope != 0).all()


def test_bad_fields_are_one_clear_line():
    with pytest.raises(TrainingError, match="did you mean 'color'"):
        augmentation(("colour",))
    with pytest.raises(TrainingError, match=r"needs model.discriminator; the page has generator"):
        stylegan({"generator": NETWORKS["generator"]}, gather=lambda x: x)
