"""A process of test_devices.py: trains ResNet-8 on partly labelled digits, and keeps what it ends with.

python train_resnet.py OUTPUT STEPS DTYPE PLACEMENT... [--coordinator HOST:PORT --processes N --process I]

A PLACEMENT is a `devices` section such as "pmap:1" or "mesh:4" (kind:fsdp); each gives OUTPUT/PLACEMENT.npz, and the
numbers of an evaluator on the host as each process has them, OUTPUT/PLACEMENT.PROCESS.json.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import data
from data.digits import digits
from data.source import ArraySource
from experiments.pages import page
from experiments.runs.run import build
from training import parallel
from training.checkpoint import leaves


def partly_labelled(argument: str, split: str) -> ArraySource:
    """Digits of which every third has no label, so that devices and microbatches differ in weight."""
    source = digits(argument, split)
    label = np.where(np.arange(len(source)) % 3 == 0, -1, source.arrays["label"]).astype(np.int32)
    return ArraySource({**source.arrays, "label": label}, source.info)


def resnet8(steps: int, dtype: str, kind: str, fsdp: int):
    return page(
        model=dict(name="resnet_cifar", depth=8),
        task=dict(name="classification"),
        data=dict(name="partly_labelled", train="train", test="", augment=("pad_crop(1)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="constant", peak=0.1),
        train=dict(batch_size=16, evaluate_batch_size=16, steps=steps, accumulate=2, dtype=dtype, param_dtype=dtype),
        devices=dict(kind=kind, fsdp=fsdp),
    )


def retrieval(dtype: str, kind: str, fsdp: int) -> dict[str, float]:
    """The numbers of an untrained embedding of partly labelled digits, whose rows are ranked on the host.

    The last batch has 13 examples and padding.
    """
    config = page(
        model=dict(name="embedding", dim=8, backbone=dict(name="mlp", hidden=(8,))),
        task=dict(name="metric_learning"),
        data=dict(name="digits", train="train[:64]", test="test[:93]", sampler="pk(4, 4)"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(batch_size=16, evaluate_batch_size=16, dtype=dtype, param_dtype=dtype),
        devices=dict(kind=kind, fsdp=fsdp),
    )
    run = build(config)
    evaluated = run.evaluations.measure(run.devices.put_state(run.parts.initial_state()), "test", None)
    return {name: float(x) for name, x in evaluated.items() if np.ndim(x) == 0}


def generative(dtype: str, kind: str, fsdp: int, workdir: pathlib.Path) -> dict[str, float]:
    """Of a VAE that has taken two steps: the final numbers, a judge's among them, the same from `evaluate`, samples.

    The test set, as the samples, does not divide over the devices.
    """
    config = page(
        model=dict(name="vae", hidden=(8,), latent=2),
        task=dict(name="vae", importance_samples=2),
        data=dict(name="digits", train="train[:96]", validation="test[:45]", test="test[:93]", scale="unit"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(
            batch_size=16,
            evaluate_batch_size=16,
            steps=2,
            log_every=2,
            evaluate_every=2,
            checkpoint_every=2,
            judge="pixels",
            judge_samples=70,
            dtype=dtype,
            param_dtype=dtype,
        ),
        devices=dict(kind=kind, fsdp=fsdp),
    )
    run = build(config, workdir)
    summary = run.train()
    numbers = {name: x for name, x in summary.items() if name.startswith("test/") and isinstance(x, float)}
    evaluated = run.evaluate("test[:50%]")
    numbers |= {f"half/{name}": float(x) for name, x in evaluated.items() if isinstance(x, float)}
    made = run.sample(13)
    assert made.shape == (13, 8, 8, 1)
    return numbers | {f"sample/{i}": float(image.sum()) for i, image in enumerate(made)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("dtype")
    parser.add_argument("placements", nargs="+")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    given = parser.parse_args()
    if given.coordinator:
        parallel.initialise(given.coordinator, given.processes, given.process)
    data.SOURCES["partly_labelled"] = f"{__name__}:partly_labelled"
    for placement in given.placements:
        kind, _, fsdp = placement.partition(":")
        run = build(resnet8(given.steps, given.dtype, kind, int(fsdp)), given.output / placement)
        run.train()
        state, _, _ = run.restore()
        if parallel.is_main():
            np.savez(given.output / f"{placement}.npz", **leaves(state))
        numbers = retrieval(given.dtype, kind, int(fsdp))
        numbers |= generative(given.dtype, kind, int(fsdp), given.output / f"{placement}.vae")
        (given.output / f"{placement}.{jax.process_index()}.json").write_text(json.dumps(numbers))


if __name__ == "__main__":
    main()
