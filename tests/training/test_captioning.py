"""The captioning task: its loss by the equation, what padding weighs, what it writes, and whether it learns."""

import dataclasses
import itertools
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.scenes import scenes
from models.classification.resnet_cifar import CifarResNet
from models.sequence.show_and_tell import ShowAndTell
from tests.training.learn import learn
from training.errors import TrainingError
from training.tasks.captioning import captioning

B, T, V = 3, 6, 7
NAMES = ("<pad>", "<start>", "<end>", "a", "b", "c", "d")


@dataclasses.dataclass(frozen=True)
class Tokens:
    kind: str = "tokens"
    names: tuple = NAMES
    shape: tuple = (T,)


INFO = types.SimpleNamespace(fields={"image": types.SimpleNamespace(kind="image"), "words": Tokens()})


class Net(nn.Module):
    """The next word depends on the image and on the last word: a table."""

    vocabulary: int = V

    def setup(self):
        self.table = nn.Embed(V, V, embedding_init=nn.initializers.normal(1.0))

    def __call__(self, image, tokens, train):
        return image[:, :1] + self.table(tokens)

    def begin(self, image):
        return image[:, 0]

    def step(self, state, token):
        return state, state + self.table(token)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    words = np.array([[1, 3, 4, 5, 6, 2], [1, 5, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.int32)
    return {
        "image": jnp.asarray(rng.normal(size=(B, 2, V)), jnp.float32),
        "words": jnp.asarray(words),
        "id": jnp.arange(B, dtype=jnp.int32),
    }


@pytest.fixture(scope="module")
def fitted(batch):
    task = captioning({"model": Net()}, INFO)
    params, stats = task.init(jax.random.key(0), batch)
    return task, params, stats


def test_the_loss_is_the_log_likelihood_of_the_words(batch, fitted):
    task, params, stats = fitted
    value, weight, (_, sums) = jax.jit(
        lambda: task.loss("model", params, stats, batch, jax.random.key(1), {}, {"task": {}})
    )()
    table = np.asarray(params["model"]["table"]["embedding"], np.float64)
    expected, right, count, means = 0.0, 0, 0, []
    for image, words in zip(np.asarray(batch["image"], np.float64), np.asarray(batch["words"]), strict=True):
        own = []
        for before, word in itertools.pairwise(words):
            if word == 0:
                continue
            logits = image[0] + table[before]
            own.append(np.log(np.exp(logits).sum()) - logits[word])
            right += logits.argmax() == word
        expected, count = expected + sum(own), count + len(own)
        means.append(np.mean(own) if own else 0)
    assert weight == count == 7  # an image without a caption weighs nothing
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert sums["word_accuracy"] == right
    np.testing.assert_allclose(task.predict(params, stats, batch, None, {})["loss"], means, rtol=1e-5)


def test_an_image_without_a_caption_is_in_no_mean(batch, fitted):
    task, params, stats = fitted
    metric = task.metrics["cross_entropy"]
    numbers = lambda batch: metric.compute(metric.update(task.predict(params, stats, batch, None, {}), batch))
    some = {name: x[:2] for name, x in batch.items()}  # the last one has no caption
    np.testing.assert_allclose(numbers(batch)["cross_entropy"], numbers(some)["cross_entropy"], rtol=1e-6)
    assert np.isnan(numbers({name: x[2:] for name, x in batch.items()})["cross_entropy"])


@pytest.mark.parametrize("beam_width", [1, 3])
def test_it_writes_up_to_the_end_from_the_image_alone(batch, fitted, beam_width):
    _, params, stats = fitted
    task = captioning({"model": Net()}, INFO, beam_width=beam_width)
    outputs = jax.jit(lambda image: task.predict(params, stats, {"image": image}, None, {}))(batch["image"])
    assert outputs.keys() == {"answer"}
    answer = np.asarray(outputs["answer"])
    assert answer.shape == (B, T - 1)
    for words in answer:
        ends = np.flatnonzero(words == 2)
        assert not len(ends) or not words[ends[0] + 1 :].any()


def test_it_takes_the_likeliest_word_each_time(batch, fitted):
    task, params, stats = fitted
    table = np.asarray(params["model"]["table"]["embedding"], np.float64)
    images = np.asarray(batch["image"], np.float64)[:, 0]
    answer = np.asarray(task.predict(params, stats, {"image": batch["image"]}, None, {})["answer"])
    for image, words in zip(images, answer, strict=True):
        last = 1
        for word in words:
            if last == 2:
                break
            assert word == (image + table[last]).argmax()
            last = word


def test_the_words_of_data_and_network_are_as_many():
    with pytest.raises(TrainingError, match=r"model.vocabulary=5, but 'words' of the data has 7 words"):
        captioning({"model": Net(vocabulary=5)}, INFO)
    with pytest.raises(TrainingError, match="the data have none"):
        captioning({"model": Net()}, types.SimpleNamespace(fields={}))


def test_it_learns_eight_captions():
    source = scenes("", "train", size=32, max_objects=2, num_train=8, num_validation=1, num_test=1)
    (vocabulary,) = (len(field.names) for field in source.info.fields.values() if field.kind == "tokens")
    network = ShowAndTell(backbone=CifarResNet(depth=8, num_classes=0), width=64, vocabulary=vocabulary)
    task = captioning({"model": network}, source.info)
    losses, numbers = learn(task, source, steps=150, rate=5e-3, numbers={})
    assert losses[:3].mean() > 3 and losses[-10:].mean() < 0.2
    assert numbers["bleu4"] > 0.7 and numbers["exact_match"] > 0.4
    assert task.best in numbers
