"""`fovea export`: what goes out comes in again to the bit, and a program that needs nothing of fovea."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from PIL import Image

from data.preparation import Preparation
from experiments.errors import PageError
from experiments.evaluation.exported import program, write_program
from experiments.pages.stored import read_page
from experiments.runs.run import build
from experiments.weights import run_exported
from experiments.weights.reading import read_weights


@pytest.fixture(scope="module")
def run(trained):
    return build(read_page(trained), trained)


@pytest.mark.parametrize(("kind", "suffix"), [("torch", ".pth"), ("safetensors", ".safetensors")])
def test_weights_go_out_and_in_to_the_bit(kind, suffix, trained, run, fovea, tmp_path):
    result = fovea("export", "--workdir", trained, "--as", kind, "--out", tmp_path / f"w{suffix}")
    step = run.placed()[1]
    assert result.out == f"{tmp_path / f'w{suffix}'}: the raw weights of step {step} in the naming 'torch'\n"
    words = ("--config", "mlp_digits", "--weights", tmp_path / f"w{suffix}", "--workdir", tmp_path / "again")
    assert fovea("import", *words).code == 0
    before, after = (
        run.restore()[0].params,
        build(read_page(tmp_path / "again"), tmp_path / "again").restore()[0].params,
    )
    before, after = flatten_dict(before), flatten_dict(after)
    assert before.keys() == after.keys()
    for path, x in before.items():
        np.testing.assert_array_equal(x, after[path])


def test_an_imported_network_goes_out_in_the_naming_in_which_it_came(trained, fovea, tmp_path):
    assert fovea("export", "--workdir", trained, "--as", "safetensors", "--out", tmp_path / "w").code == 0
    words = ("--config", "mlp_digits", "--weights", tmp_path / "w", "--workdir", tmp_path / "again")
    assert fovea("import", *words).code == 0
    assert fovea("export", "--workdir", tmp_path / "again", "--as", "safetensors").code == 0
    first, second = read_weights(tmp_path / "w"), read_weights(tmp_path / "again" / "exported.safetensors")
    assert first.keys() == second.keys() and all(np.array_equal(x, second[name]) for name, x in first.items())


def test_a_program_gives_the_answers_of_the_run(run, tmp_path):
    state, _, _ = run.restore()
    made, weights = program(run.parts, state.params, state.stats)
    assert made.platforms == ("cpu", "cuda", "tpu")
    images = np.random.default_rng(0).integers(0, 17, (3, *run.parts.info.shape)).astype(np.uint8) * 15
    expected = run.predict(images)
    for i in range(3):
        outputs = jax.jit(made.call)(weights, images[i : i + 1])
        assert outputs.keys() == run.task.outputs.keys()
        np.testing.assert_allclose(outputs["logits"][0], expected["logits"][i], rtol=1e-5, atol=1e-5)
        assert outputs["prediction"][0] == expected["prediction"][i]


@pytest.mark.parametrize("crop", ["resize", "center", "random"])
@pytest.mark.parametrize("kind", ["plain", "canvas", "turned.png", "turned.tiff", "transparent", "palette", "CMYK"])
@pytest.mark.parametrize(("channels", "background"), [(1, (7,)), (3, (255,)), (3, (9, 80, 200))])
def test_the_program_prepares_a_picture_as_the_run_does(crop, kind, channels, background, tmp_path):
    size = (8, 12) if kind == "canvas" else (20, 30)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    file, options = tmp_path / "x.tiff", {}
    if kind.startswith("turned"):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
        file = tmp_path / kind
    elif kind == "transparent":
        image.putalpha(Image.fromarray(np.random.default_rng(1).integers(0, 256, size, np.uint8)))
    elif kind == "palette":
        image, options["transparency"], file = image.quantize(8), 3, tmp_path / "x.png"
    elif kind == "CMYK":
        image = image.convert("CMYK")
    image.save(file, **options)
    about = json.loads(json.dumps({"shape": (8, 12, channels), "crop": crop, "background": background}))
    expected = Preparation(channels, (8, 12), crop, background=background).read(file)[0]
    np.testing.assert_array_equal(run_exported.prepare(str(file), about), expected)


def test_the_program_refuses_pictures_that_it_cannot_read_as_the_run_does(tmp_path):
    about = {"shape": (8, 8, 1), "crop": "resize", "background": [255]}
    Image.fromarray(np.full((8, 8), 5000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has more than 8 bits a channel"):
        run_exported.prepare(str(tmp_path / "deep.png"), about)
    page = Image.new("L", (8, 8))
    page.save(tmp_path / "stack.tiff", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match=r"stack\.tiff has 2 pages"):
        run_exported.prepare(str(tmp_path / "stack.tiff"), about)


def test_a_program_of_data_in_a_letterbox_is_refused(run, tmp_path, monkeypatch):
    pytest.importorskip("flatbuffers")
    monkeypatch.setattr("experiments.evaluation.exported.preparation", lambda _: Preparation(1, (8, 8), "letterbox"))
    with pytest.raises(PageError, match=r"data\.crop='letterbox'"):
        write_program(run.parts, {}, {}, tmp_path / "folder")


def test_the_folder_answers_a_picture_without_fovea(trained, run, fovea, tmp_path):
    pytest.importorskip("flatbuffers")
    assert fovea("export", "--workdir", trained, "--as", "stablehlo", "--out", tmp_path / "folder").code == 0
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "x.png")
    command = [sys.executable, tmp_path / "folder" / "run.py", "x.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    about = json.loads((tmp_path / "folder" / "about.json").read_text())
    prediction = run.predict(np.full((1, 8, 8, 1), 90, np.uint8))["prediction"][0]
    assert done.stdout.splitlines()[0] == f"x.png: {about['classes'][prediction]}"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--as", "onix"), "--as onix: there is safetensors, stablehlo, torch"),
        (("--as", "torch", "--naming", "torhc"), "--naming torhc: did you mean 'torch'?"),
        (("--as", "torch", "--player", "critic"), "--player critic: there is model"),
        (("--as", "torch", "--step", "3"), "no checkpoint of step 3 in "),
        (("--as", "torch", "--out", "nowhere/x.pth"), "--out nowhere/x.pth: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(words, line, trained, fovea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = fovea("export", "--workdir", trained, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1
