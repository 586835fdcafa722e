"""Show and Tell: teacher forcing and writing a word at a time are one network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.resnet_cifar import CifarResNet
from models.sequence.show_and_tell import ShowAndTell

V, T = 11, 6


@pytest.fixture(scope="module")
def trained():
    network = ShowAndTell(backbone=CifarResNet(depth=8, num_classes=0), width=16, vocabulary=V)
    image = jax.random.normal(jax.random.key(0), (3, 16, 16, 3))
    tokens = jax.random.randint(jax.random.key(1), (3, T), 0, V)
    variables = jax.jit(lambda: network.init(jax.random.key(2), image, tokens, train=False))()
    return network, variables, image, tokens


def test_a_word_at_a_time_is_teacher_forcing(trained):
    network, variables, image, tokens = trained

    @jax.jit
    def both():
        at_once = network.apply(variables, image, tokens, train=False)
        state, steps = network.apply(variables, image, method="begin"), []
        for t in range(T):
            state, logits = network.apply(variables, state, tokens[:, t], method="step")
            steps.append(logits)
        return at_once, jnp.stack(steps, 1)

    at_once, steps = both()
    assert at_once.shape == (3, T, V) and at_once.dtype == jnp.float32
    np.testing.assert_allclose(at_once, steps, atol=1e-5)


def test_a_word_depends_on_the_image_and_on_the_words_before_it_alone(trained):
    network, variables, image, tokens = trained
    run = jax.jit(lambda image, tokens: network.apply(variables, image, tokens, train=False))
    base = run(image, tokens)
    later = run(image, tokens.at[:, 3].set((tokens[:, 3] + 1) % V))
    np.testing.assert_array_equal(base[:, :3], later[:, :3])
    assert (np.abs(base[:, 3:] - later[:, 3:]).max((0, 2)) > 1e-4).all()
    assert (np.abs(base - run(-image, tokens)).max((0, 2)) > 1e-4).all()


def test_the_layer_of_the_image_is_a_choice(trained):
    network, *_, image, tokens = trained
    for level, width in (("pre_logits", 64), ("stage3", 4 * 4 * 64)):
        other = network.clone(level=level)
        shapes = jax.eval_shape(lambda n=other: n.init(jax.random.key(0), image, tokens, train=False))
        assert shapes["params"]["image"]["kernel"].shape == (width, 16)
        assert set(shapes["params"]) == {"backbone", "image", "words", "lstm", "head"}
