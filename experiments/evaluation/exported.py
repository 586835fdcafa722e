"""A trained network for others: tensors in another library's naming, or a StableHLO program that needs jax alone."""

import importlib.util
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from experiments.build.parts import Parts
from experiments.errors import PageError, near
from experiments.evaluation.answers import preparation
from experiments.weights import run_exported, safetensors, torch_files
from experiments.weights.naming import ports
from models.port import to_torch
from models.transfer.lora import LoRA, merged
from training.checkpoint import leaves

WRITERS = {"torch": torch_files.write_zip, "safetensors": safetensors.write}
PLATFORMS = ("cpu", "cuda", "tpu")


def write_tensors(kind: str, network: Any, variables: Mapping, naming: str, out: pathlib.Path) -> str:
    """Writes a network's variables as a state dict and returns the naming. The corrections of LoRA are merged.

    Args:
      kind: a key of WRITERS.
      naming: a key of the network's PORTS; "": its only one.

    Raises PageError for a naming that the network does not have or that is of another variant, ModelError where their
    library would compute other numbers from the tensors.
    """
    if isinstance(network, LoRA):
        network, variables = network.backbone, merged(network, variables)
    namings = ports(network)
    if not naming and len(namings) > 1:
        raise PageError(f"{type(network).__name__} has the namings {', '.join(namings)}: choose one by --naming")
    naming = naming or next(iter(namings))
    if naming not in namings:
        raise PageError(f"--naming {naming}{near(naming, namings)}")
    namings[naming].check(network)
    try:
        tensors = to_torch(variables, namings[naming])
    except (KeyError, ValueError) as error:  # it numbers the layers of another variant
        raise PageError(f"--naming {naming} is of another variant of {type(network).__name__}") from error
    WRITERS[kind](tensors, out)
    return naming


def program(parts: Parts, params: Mapping, stats: Mapping) -> tuple[export.Exported, dict[str, np.ndarray]]:
    """(the task's answers as a program, its weights by path).

    The program takes the weights, and an image [1, H, W, C] uint8 of the data's shape; it scales it, and gives
    {name: [1, ...]} of the outputs that the task declares. (The networks ask for the number of images as a number, so
    it cannot be left open.)
    """
    variables, task, info = {"params": params, "stats": stats}, parts.task, parts.info
    if not task.outputs:
        raise PageError(f"task {parts.page.task.name!r} does not answer single images")
    structure, kinds = jax.tree.structure(variables), {name: x.dtype for name, x in leaves(variables).items()}
    frozen = parts.frozen

    def answer(weights, images):
        own = [weights[name].astype(dtype) for name, dtype in kinds.items()]
        variables = jax.tree.unflatten(structure, own)
        batch = {"image": images, "id": jnp.arange(len(images)), "mask": jnp.ones(len(images), bool)}
        for name, field in info.fields.items():
            if name not in batch:
                batch[name] = jnp.full((len(images), *field.shape), field.outside, field.dtype)
        found = task.predict(variables["params"], variables["stats"], parts.view(batch), jax.random.key(0), frozen)
        return {name: found[name] for name in task.outputs}

    # NumPy's files have no bfloat16; as float32 nothing is lost.
    plain = lambda x: np.asarray(x, np.float32) if x.dtype == jnp.bfloat16 else np.asarray(x)
    weights = {name: plain(x) for name, x in leaves(variables).items()}
    image = jax.ShapeDtypeStruct((1, *info.shape), np.uint8)
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in weights.items()}
    return export.export(jax.jit(answer), platforms=PLATFORMS)(like, image), weights


def write_program(parts: Parts, params: Mapping, stats: Mapping, out: pathlib.Path) -> None:
    """Makes a folder with the program, its weights, what it answers, and the `run.py` that answers pictures.

    Raises PageError without flatbuffers, by which jax writes programs, and for data that are read in a way that
    `run.py` lacks.
    """
    if not importlib.util.find_spec("flatbuffers"):
        raise PageError("jax writes programs by flatbuffers: pip install 'fovea[export]'")
    prepared = preparation(parts)
    if prepared.crop == "letterbox":
        raise PageError("run.py of a program cannot place pictures by data.crop='letterbox'")
    made, weights = program(parts, params, stats)
    about = {
        "shape": parts.info.shape,
        "crop": prepared.crop,
        "background": prepared.background,
        "outputs": parts.task.outputs,
        "classes": parts.info.classes,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "program.stablehlo").write_bytes(made.serialize())
    np.savez(out / "weights.npz", **weights)
    (out / "about.json").write_text(json.dumps(about, indent=1))
    (out / "run.py").write_text(pathlib.Path(run_exported.__file__).read_text())
