"""A batch that holds an example several times draws for each use by itself: two images in a batch of 64."""

import importlib

import jax
import numpy as np
import pytest

from data import open_source
from data.augment import make_augment
from data.pipeline import Feed, examples
from experiments.build.parts import Parts
from experiments.pages import page
from training.task import example_keys, module_key

GAN = dict(generator=dict(name="gan_generator", hidden=(8,)), discriminator=dict(name="gan_discriminator", hidden=(8,)))
UNET = dict(name="ddpm_unet", width=8, multipliers=(1,), blocks=1, attention=(), groups=4, conditional=True)
TASKS = {
    "diffusion": (UNET, dict(steps=20, sampling_steps=4), "symmetric"),
    "vae": (dict(name="vae", hidden=(8,), latent=2), {}, "unit"),
    "gan": (GAN, dict(gradient_penalty=1.0, loss="wasserstein"), "symmetric"),
}


def parts_of(task):
    network, options, scale = TASKS[task]
    return Parts(
        page(
            model=network,
            task=dict(name=task, **options),
            data=dict(name="digits", train="train[:2]", test="", scale=scale),
            optimizer=dict(name="adam"),
            schedule=dict(name="constant"),
            train=dict(batch_size=64),
            devices=dict(kind="mesh"),
        )
    )


def distinct(keys) -> int:
    return len(np.unique(np.asarray(jax.random.key_data(keys)), axis=0))


@pytest.mark.parametrize("task", TASKS)
def test_each_use_of_an_example_draws_its_own_noise(task, monkeypatch):
    module, seen = importlib.import_module(f"training.tasks.{task}"), []
    monkeypatch.setattr(module, "example_keys", lambda *x: seen.append(example_keys(*x)) or seen[-1])
    parts = parts_of(task)
    state = parts.initial_state()
    seen.clear()  # what the initialisation drew
    source = parts.source("train")
    for step in range(3):
        feed = parts.feed[step]
        batch = jax.tree.map(np.asarray, parts.prepare({**source.fetch(feed["id"]), **feed}))
        for player in parts.task.names:
            parts.task.loss(player, state.params, state.stats, batch, jax.random.key(step), {}, parts.hyper)
    assert len(seen) >= 3 and all(distinct(keys) == 64 for keys in seen)


def test_each_use_of_an_example_is_augmented_by_itself():
    source = open_source("digits", "train[:2]")
    augment = make_augment(("dequantise",), source.info)
    feed = Feed(source, 64, resident=True)
    varied = [augment({**source.fetch(feed[step]["id"]), **feed[step]}, jax.random.key(step)) for step in range(2)]
    images = np.concatenate([np.asarray(batch["image"]) for batch in varied]).reshape(128, -1)
    assert len(np.unique(images, axis=0)) == 128


def test_the_draws_of_a_use_are_the_same_on_one_device_and_on_eight():
    source = open_source("digits", "train[:2]")
    whole = Feed(source, 64)[3]
    uses = {name: whole[name] for name in ("id", "use")}
    one = jax.random.key_data(example_keys(jax.random.key(0), uses))
    shards = {name: x.reshape(8, 8) for name, x in uses.items()}
    eight = jax.pmap(lambda batch: jax.random.key_data(example_keys(jax.random.key(0), batch)))(shards)
    np.testing.assert_array_equal(one, np.reshape(eight, np.shape(one)))
    dropout = [module_key(jax.random.key(0), {name: x[i] for name, x in shards.items()}) for i in range(8)]
    assert distinct(jax.numpy.stack(dropout)) == 8, "a device's dropout is its own"


@pytest.mark.parametrize("sampler", ["shuffled", "balanced", "pk(2, 32)"])
def test_no_two_rows_of_a_batch_share_example_and_use(sampler):
    source = open_source("digits", "train[:10]")
    feed = Feed(source, 64, sampler=sampler)
    for step in (0, 1, 7):
        rows = {(int(i), int(u)) for i, u in zip(feed[step]["id"], feed[step]["use"], strict=True)}
        assert len(rows) == 64
    sample = {"id": feed[0]["id"].astype(np.int64), "use": feed[0]["use"].astype(np.int64)}
    assert examples(source, sample, seed=0)["image"].shape == (64, 8, 8, 1)
