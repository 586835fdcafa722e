"""`fovea predict` sees what training saw, streams, and overwrites nothing."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from data.preparation import Preparation
from experiments.commands.predict import draw, free_paths, json_list
from experiments.evaluation import answers
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.stored import read_page
from experiments.runs.run import build

CANVAS = (16, 24)
SIZES = [(16, 24), (40, 30), (9, 9), (48, 72), (20, 64)]  # height, width
TINY = {
    "model.width": 2,
    "model.depth": 1,
    "data.size": CANVAS,
    "data.background": "(30,)",
    "data.train": "train",
    "data.validation": "",
    "data.test": "train",
    "data.augment": "flip",
    "train.batch_size": 8,
    "train.evaluate_batch_size": 8,
    "train.steps": 2,
    "train.log_every": 2,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
}


def picture(random, height, width):
    """Blots, whose bright pixels are the class 1; transparent in places."""
    shape = (-(-height // 4), -(-width // 4))
    blots = np.kron(random.integers(0, 2, shape), np.ones((4, 4), int))[:height, :width]
    pixels = np.clip(120 * blots[..., None] + random.integers(0, 100, (height, width, 4)), 0, 255)
    return pixels.astype(np.uint8), blots.astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pairs of many sizes; some are on their side in the file, some have 16 bits."""
    root, random = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for i, (height, width) in enumerate(SIZES):
        pixels, mask = picture(random, height, width)
        tags = Image.Exif()
        tags[0x0112] = 6
        image, options = Image.fromarray(pixels), {}
        if i % 2:
            image, options = image.transpose(Image.Transpose.ROTATE_90), dict(exif=tags)
        if i == 2:
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        image.save(root / "images" / f"{i}.png", **options)
        Image.fromarray(255 * mask).save(root / "masks" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def unet(root, tmp_path_factory):
    overrides = {"data.name": f"pairs:{root}", **TINY}
    run = build(
        override(load("unet_scenes"), [(key, str(value)) for key, value in overrides.items()]),
        tmp_path_factory.mktemp("unet"),
    )
    run.train(quiet=True)
    return run


def test_predict_gives_the_masks_of_eval_on_the_same_files(unet, root):
    source = unet.parts.source("test")
    batch = source.fetch(np.arange(len(SIZES)))
    found = list(answers.answers(unet, [image for image, _ in source.pairs]))
    prepared = answers.preparation(unet.parts)
    np.testing.assert_array_equal([prepared.read(answer.file)[0] for answer in found], batch["image"])

    masks = unet.predict(batch["image"])["prediction"]
    assert masks.shape[1:] == CANVAS and len(np.unique(masks)) == 2, "a constant answer would show nothing"
    confusion = np.bincount((2 * batch["masks"] + masks).ravel(), minlength=4).reshape(2, 2)
    np.testing.assert_array_equal(unet.evaluate("test")["confusion"], confusion)
    for answer, mask, size in zip(found, masks, SIZES, strict=True):
        own = Image.fromarray(mask.astype(np.int32)).resize(size[::-1], Image.Resampling.NEAREST)
        np.testing.assert_array_equal(answer.outputs["prediction"], own)
        assert answer.image.shape[:2] == size == answer.outputs["prediction"].shape


def test_pictures_that_are_taken_as_they_are_are_answered_in_tiles_of_one_program(tmp_path):
    random = np.random.default_rng(3)
    for folder in ("set/images", "set/masks"):
        (tmp_path / folder).mkdir(parents=True)
    for i in range(4):
        pixels, mask = picture(random, 32, 32)
        Image.fromarray(pixels).save(tmp_path / "set" / "images" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"{i}.png")
    overrides = {**TINY, "data.name": f"pairs:{tmp_path / 'set'}", "data.size": "()", "train.batch_size": 8}
    run = build(override(load("unet_scenes"), [(k, str(v)) for k, v in overrides.items()]), tmp_path / "run")
    run.train(quiet=True)
    sizes, predict = [], run.predict
    run.predict = lambda images, step, size=None: sizes.append((images.shape, size)) or predict(images, step, size)
    files, tags = [], Image.Exif()
    tags[0x0112] = 8
    for i, (height, width) in enumerate([(70, 40), (33, 100), (90, 90)]):
        image = Image.fromarray(picture(random, height, width)[0]).transpose(Image.Transpose.ROTATE_270)
        files.append(tmp_path / f"{i}.png")
        image.save(files[-1], exif=tags)
    found = [answer.outputs["prediction"].shape for answer in answers.answers(run, files)]
    assert found == [(70, 40), (33, 100), (90, 90)]
    assert set(sizes) == {((8, 32, 32, 3), 8)}


def test_predict_opens_no_training_set_to_learn_how_pictures_are_read(unet, monkeypatch):
    expected = Preparation(3, CANVAS, "resize", background=(30,))
    info = unet.parts.info
    monkeypatch.setattr("data.pairs.split_folders", lambda *_: pytest.fail("the folder has been opened"))
    assert answers.preparation(unet.parts) == expected and info.shape == (*CANVAS, 3)


def test_inputs_of_one_name_do_not_overwrite_each_other(unet, fovea, tmp_path):
    names = ["a/x.png", "b/x.png", "b/x.webp", "b/X.png", "c/x_2.png"]
    random = np.random.default_rng(1)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture(random, 16, 24)[0]).save(tmp_path / name, lossless=True)
    files = [tmp_path / name for name in names]
    out = tmp_path / "out"
    result = fovea("predict", "--workdir", unet.workdir, "--out", out, "--json", tmp_path / "x.json", *files)
    assert result.code == 0, result.error
    assert [record["file"] for record in json.loads((tmp_path / "x.json").read_text())] == list(map(str, files))
    masks = sorted(out.glob("*_mask.png"))
    assert len(masks) == len({file.name.casefold() for file in masks}) == len(names)
    mask_bytes = lambda mask: np.asarray(mask, np.uint8).tobytes()
    right = {mask_bytes(answer.outputs["prediction"]) for answer in answers.answers(unet, files)}
    assert {mask_bytes(Image.open(file)) for file in masks} == right and len(right) > 1


def test_no_input_is_overwritten(unet, fovea, tmp_path):
    random = np.random.default_rng(2)
    for name in ("x.png", "x_prediction_mask.png"):
        Image.fromarray(picture(random, 16, 24)[0]).save(tmp_path / name)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    result = fovea("predict", "--workdir", unet.workdir, "--out", tmp_path, *before)
    assert result.code == 0, result.error
    assert {file: file.read_bytes() for file in before} == before
    assert len(list(tmp_path.glob("*_mask.png"))) == 3


def test_names_of_answers(tmp_path):
    taken = set()
    paths = [free_paths(tmp_path, stem, ["a", "b_a"], taken) for stem in ("x", "X", "x_b", "x_2")]
    names = [path.name.casefold() for group in paths for path in group]
    assert len(names) == len(set(names)) == 8 and paths[0][0].name == "x_a.png"


@pytest.mark.parametrize("letter", ["x", "é", "象"])  # of one, two and three bytes
def test_inputs_of_the_longest_names_have_answers_of_their_own(letter, unet, fovea, tmp_path):
    long = letter * ((255 - len("_1.png")) // len(letter.encode()))
    files, random = [tmp_path / f"{long}_{i}.png" for i in (1, 2)], np.random.default_rng(3)
    for file in files:
        Image.fromarray(picture(random, 16, 24)[0]).save(file)
    result = fovea("predict", "--workdir", unet.workdir, "--out", tmp_path / "out", *files)
    assert result.code == 0, result.error
    masks = sorted((tmp_path / "out").glob("*_mask.png"))
    right = {np.asarray(one.outputs["prediction"], np.uint8).tobytes() for one in answers.answers(unet, files)}
    assert len(masks) == len(right) == 2 and all(mask.name.startswith(letter * 70) for mask in masks)
    assert {np.asarray(Image.open(mask)).tobytes() for mask in masks} == right


def test_pictures_are_read_a_batch_at_a_time_and_let_go(trained, tmp_path, monkeypatch):
    live, most, read = set(), [], Preparation.read

    class Image_(np.ndarray):
        """An array that says when it is gone."""

        def __del__(self):
            live.discard(id(self))

    def counted(self, file, key=None):
        image, placement = read(self, file, key)
        image = image.view(Image_)
        live.add(id(image))
        most.append(len(live))
        return image, placement

    monkeypatch.setattr(Preparation, "read", counted)
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for i, file in enumerate(files):
        Image.new("L", (8, 8), 6 * i).save(file)
    run = build(override(read_page(trained), [("train.evaluate_batch_size", "8")]), trained)
    assert sum(1 for _ in answers.answers(run, files)) == len(most) == 40
    assert max(most) <= 9, "a batch, and the last answer of the one before"


def test_any_number_of_pictures_takes_few_programs(trained, tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for i, file in enumerate(files):
        Image.new("L", (8, 8), 6 * i).save(file)
    run = build(override(read_page(trained), [("train.evaluate_batch_size", "16")]), trained)
    sizes, predict = [], run.predict
    run.predict = lambda images, step, size: sizes.append(size) or predict(images, step, size)
    for count in (1, 2, 3, 5, 7, 8, 9, 11, 15, 16, 17, 33, 40):
        before = len(sizes)
        assert len(list(answers.answers(run, files[:count]))) == count
        assert len(set(sizes[before:])) == 1, "one program for a command"
    assert set(sizes) == {1, 2, 4, 8, 16}


def test_a_picture_that_fails_does_not_lose_the_others(trained, fovea, tmp_path):
    for i in range(3):
        Image.new("L", (8, 8), 60 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"")
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "dark.png")
    found = fovea("predict", "--workdir", trained, "--json", tmp_path / "out.json", *sorted(tmp_path.glob("*.png")))
    assert found.code == 2 and len(found.out.splitlines()) == 2
    assert [line.split()[-1] for line in found.error.splitlines()] == ["it", "are"]
    assert "data.white=4095" in found.error
    assert [record["file"][-5:] for record in json.loads((tmp_path / "out.json").read_text())] == ["0.png", "2.png"]


def test_what_cannot_be_drawn_costs_a_line(unet, fovea, tmp_path, root):
    (tmp_path / "out").write_text("a file, not a folder")
    files = sorted((root / "images").glob("*.png"))[:2]
    result = fovea("predict", "--workdir", unet.workdir, "--out", tmp_path / "out", "--json", tmp_path / "j", *files)
    assert result.code == 2
    assert all(line.startswith("fovea: cannot draw the answer to ") for line in result.error.splitlines())
    assert len(json.loads((tmp_path / "j").read_text())) == len(result.error.splitlines()) == 2


def test_a_json_file_that_cannot_be_written_is_refused_before_any_answer(trained, fovea, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    result = fovea("predict", "--workdir", trained, "--json", tmp_path / "none" / "x.json", tmp_path / "x.png")
    assert (result.code, result.out) == (2, "")
    assert result.error == f"fovea: --json {tmp_path / 'none' / 'x.json'}: No such file or directory\n"


@pytest.mark.parametrize("records", [[], [{"a": 1}], [{"a": [1, {"b": "c\nd"}]}, {"e": None}]])
def test_json_is_whole_even_after_a_failure(records, tmp_path, capsys):
    def write(where):
        with json_list(where) as add:
            for record in records:
                add(record)
            raise KeyboardInterrupt

    for where in (str(tmp_path / "x.json"), "-"):
        with pytest.raises(KeyboardInterrupt):
            write(where)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == records and text == capsys.readouterr().out == json.dumps(records, indent=1) + "\n"
    assert not list(tmp_path.glob("*.partial"))


def test_masks_of_more_than_256_classes_are_written_whole(tmp_path):
    mask = np.arange(600, dtype=np.int32).reshape(20, 30)
    task = types.SimpleNamespace(outputs={"prediction": "mask"})
    answer = answers.Answer(tmp_path / "x.png", np.zeros((20, 30, 3), np.uint8), {"prediction": mask})
    info = types.SimpleNamespace(classes=tuple(map(str, range(600))))
    assert draw({}, answer, task, info, tmp_path / "out", set()) == 1
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "x_prediction_mask.png")), mask)
