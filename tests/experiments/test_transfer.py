"""LoRA on a page: it starts from imported weights, trains its corrections alone, and goes out as the network alone."""

import json

import numpy as np
from flax.traverse_util import flatten_dict

from experiments.pages.stored import read_page
from experiments.runs.run import build
from experiments.weights import safetensors
from experiments.weights.naming import shapes
from models.classification.vit import PORTS, ViT
from models.port import to_torch
from tests.models.parity import filled

FIELDS = dict(width=12, depth=2, heads=2, mlp=24, patch=4)


def test_corrections_are_trained_and_merged(fovea, small, tmp_path):
    variables = filled(shapes(ViT(**FIELDS, num_classes=7), np.zeros((1, 8, 8, 1), np.float32)))
    safetensors.write(to_torch(variables, PORTS["timm"]), tmp_path / "vit")
    size = {"data.image_size": 8, "data.channels": 1}
    words = ("import", "--model", "vit", "--weights", tmp_path / "vit", "--workdir", tmp_path / "source")
    assert fovea(*words, **{f"model.{key}": value for key, value in FIELDS.items()}, **size).code == 0

    keys = {
        **small,
        "model.name": "lora",
        "model.backbone.name": "vit",
        **{f"model.backbone.{key}": value for key, value in FIELDS.items()},
        "train.init_from": tmp_path / "source",
        "train.init_except": "lora_",
        "optimizer.freeze": "^(?!lora_|head)",
        "train.ema": 0.0,
    }
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **keys)
    assert result.code == 0 and "has 7 other classes: head/bias, head/kernel are new" in result.error
    own = flatten_dict(build(read_page(tmp_path / "run"), tmp_path / "run").restore()[0].params["model"], sep="/")
    before = flatten_dict(variables["params"], sep="/")
    for name, x in before.items():
        if not name.startswith("head"):
            np.testing.assert_array_equal(own[name], x, err_msg=name)
    added = {name: x for name, x in own.items() if name.startswith("lora_")}
    assert len(added) == 8 and all(np.abs(x).max() > 0 for x in added.values())

    result = fovea(
        "export", "--workdir", tmp_path / "run", "--as", "torch", "--naming", "timm", "--out", tmp_path / "x"
    )
    assert result.code == 0
    words = ("--config", "mlp_digits", "--weights", tmp_path / "x", "--workdir", tmp_path / "alone")
    fields = {"model.name": "vit", **{f"model.{key}": value for key, value in FIELDS.items()}}
    assert fovea("import", *words, **fields).code == 0
    found = []
    for name in ("run", "alone"):
        assert fovea("eval", "--workdir", tmp_path / name).code == 0
        found.append(json.loads((tmp_path / name / "eval.json").read_text())[0])
    assert found[0]["accuracy"] == found[1]["accuracy"]
    np.testing.assert_allclose(found[0]["cross_entropy"], found[1]["cross_entropy"], rtol=1e-4)
