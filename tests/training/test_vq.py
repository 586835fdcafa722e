"""The book of a VQ-VAE against a float64 reference, its loss against the equation, and a prior over its codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.generative.gated_pixelcnn import GatedPixelCNN
from models.generative.vqvae import VQVAE
from training.errors import TrainingError
from training.tasks.autoregressive import autoregressive
from training.tasks.vq import EPSILON, updated, usage, vq

RANDOM = np.random.RandomState(0)
MODEL = VQVAE(shape=(8, 8, 1), width=4, depth=1, inner=2, dim=3, entries=6)
IMAGES = jnp.asarray(RANDOM.normal(size=(5, 8, 8, 1)), jnp.float32)
BATCH = {"image": IMAGES, "id": jnp.arange(5), "label": jnp.zeros(5, jnp.int32)}
HYPER = {"task": {"commitment": 0.5, "decay": 0.8}}


def started(model=MODEL, **options):
    task = vq({"model": model}, gather=lambda x: x, **options)
    return task, *task.init(jax.random.key(0), BATCH)


def buffers(entries=4, dim=2):
    book = RANDOM.normal(size=(entries, dim))
    return {"book": book, "uses": RANDOM.uniform(1, 3, entries), "sums": 2 * book}


def test_averages_are_those_in_float64():
    start, decay = buffers(), 0.9
    state = {name: jnp.asarray(x, jnp.float32) for name, x in start.items()}
    for _ in range(30):
        z, codes = RANDOM.normal(size=(10, 2)), RANDOM.randint(0, 3, 10)  # the last vector is never used
        state = jax.jit(updated, static_argnums=4)(state, jnp.asarray(z, jnp.float32), codes, decay, 0.0, None)
        counts = np.bincount(codes, minlength=4)
        sums = np.stack([z[codes == k].sum(0) for k in range(4)])
        start["uses"] = decay * start["uses"] + (1 - decay) * counts
        start["sums"] = decay * start["sums"] + (1 - decay) * sums
        total = start["uses"].sum()
        start["book"] = start["sums"] / ((start["uses"] + EPSILON) / (total + 4 * EPSILON) * total)[:, None]
    for name, x in start.items():
        np.testing.assert_allclose(state[name], x, rtol=1e-4, err_msg=name)


def test_a_vector_that_is_hardly_used_starts_again_at_a_z_of_the_batch():
    state = {**buffers(), "uses": np.array([5.0, 0.01, 5.0, 0.02])}
    z, codes, keys = (
        jnp.asarray(RANDOM.normal(size=(10, 2))),
        np.zeros(10, int),
        jax.random.split(jax.random.key(0), 10),
    )
    new = updated(state, z, codes, 0.9, 1.0, keys)
    rows = {tuple(row) for row in np.asarray(new["sums"])[[1, 3]]}
    assert len(rows) == 2 and rows <= {tuple(row) for row in np.asarray(z)}
    np.testing.assert_allclose(new["book"][jnp.array([1, 3])], new["sums"][jnp.array([1, 3])], rtol=1e-4)
    np.testing.assert_allclose(new["uses"], [0.9 * 5 + 1, 1, 4.5, 1])


def test_the_loss_is_the_equation_and_only_the_encoder_is_committed():
    task, params, stats = started(variance=2.0)
    book = stats["model"]["buffers"]["book"]
    loss = lambda own, beta: task.loss(
        "model", {"model": own}, stats, BATCH, jax.random.key(1), {}, {"task": {"commitment": beta, "decay": 0.8}}
    )
    value, weight, (moved, sums) = loss(params["model"], 0.5)
    variables = {"params": params["model"], **stats["model"]}
    z = MODEL.apply(variables, IMAGES, method="features")
    made = MODEL.apply(variables, IMAGES, train=False)
    nmse = np.square(made - IMAGES).mean((1, 2, 3)) / 2
    committed = np.square(z - book[MODEL.apply(variables, IMAGES, method="encode")]).mean((1, 2, 3))
    np.testing.assert_allclose([value, weight], [(nmse + 0.5 * committed).sum(), 5], rtol=1e-5)
    np.testing.assert_allclose([sums["nmse"], sums["commitment"]], [nmse.sum(), committed.sum()], rtol=1e-5)
    assert not np.allclose(moved["model"]["buffers"]["book"], book)
    gradient = lambda beta: jax.grad(lambda own: loss(own, beta)[0])(params["model"])
    less, more = gradient(0.0), gradient(1.0)
    assert all(map(np.array_equal, *map(jax.tree.leaves, (less["decoder"], more["decoder"]))))
    assert not np.allclose(less["encoder"]["out"]["kernel"], more["encoder"]["out"]["kernel"])


def test_the_perplexity_is_that_of_the_uses_and_padding_does_not_count():
    metric = usage(4)
    outputs = {"codes": jnp.array([[[0, 1]], [[0, 1]], [[3, 3]]])}
    numbers = metric.compute(np.asarray(metric.update(outputs, {"mask": jnp.array([True, True, False])})))
    assert numbers == {"perplexity": pytest.approx(2), "used": 0.5}


def test_a_network_without_a_book_has_no_commitment():
    task, params, stats = started(MODEL.clone(levels=(3, 4)))
    *_, (moved, sums) = task.loss("model", params, stats, BATCH, jax.random.key(1), {}, HYPER)
    assert moved == {"model": {}} and set(sums) == {"nmse"}


def test_numbers_out_of_range_are_one_clear_line():
    for name, value in (("variance", 0.0), ("decay", 1.0), ("restart", -1.0)):
        with pytest.raises(TrainingError, match=rf"task\.{name}={value} is out of its range"):
            started(**{name: value})


def test_a_prior_over_the_codes_of_a_frozen_network_makes_images():
    _, params, stats = started()
    frozen = {"codec": {"params": params["model"], **stats["model"]}}
    prior = GatedPixelCNN(width=4, depth=2, first=3, hidden=4, outputs=6, embedding=3)
    networks = {"model": prior, "codec": MODEL}
    task = autoregressive(networks, shape=(8, 8, 1), scale="symmetric", likelihood="categorical")
    own, kept = task.init(jax.random.key(0), BATCH)
    outputs = task.predict(own, kept, BATCH, jax.random.key(0), frozen)
    codes = MODEL.apply(frozen["codec"], IMAGES, method="encode")
    logits = prior.apply({"params": own["model"]}, codes[..., None] / 5, train=False)
    expected = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), np.asarray(codes)[..., None], -1)
    np.testing.assert_allclose(outputs["nll"], expected.sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(outputs["bits_per_dim"], outputs["nll"] / (4 * np.log(2)), rtol=1e-5)
    condition = {"id": jnp.arange(5), "image": IMAGES}
    draw = lambda keep: task.makes.draw(own, kept, jax.random.key(0), condition, frozen, keep=keep)["image"]
    np.testing.assert_allclose(draw(1.0), MODEL.apply(frozen["codec"], codes, method="decode"), rtol=1e-4, atol=1e-5)
    assert draw(0.5).shape == IMAGES.shape
    with pytest.raises(TrainingError, match=r"frozen\.codec has 6 codes, but the network gives 5 logits"):
        other = {"model": prior.clone(outputs=5), "codec": MODEL}
        autoregressive(other, shape=(8, 8, 1), scale="symmetric", likelihood="categorical").init(
            jax.random.key(0), BATCH
        )
    with pytest.raises(TrainingError, match="so it is 'categorical'"):
        autoregressive(networks, shape=(8, 8, 1), scale="symmetric")
