"""What a user can get wrong: each is one clear line and exit code 2, and nothing is lost.

A damaged checkpoint has tests of its own.
"""

import errno
import fcntl
import functools
import json
import re

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from experiments.cli import main
from training.checkpoint import Checkpoints
from training.records import Records

TRAIN = ("train", "--config", "mlp_digits")


@pytest.fixture
def refused(fovea, small, tmp_path):
    """refused(**{"data.train": "x"}) -> the one line with which the small run is refused."""

    def call(*more, workdir=tmp_path / "run", **overrides) -> str:
        result = fovea(*TRAIN, "--workdir", workdir, *more, **{**small, **overrides})
        assert (result.code, result.out) == (2, "")
        (line,) = (line for line in result.error.splitlines() if line.startswith("fovea: "))
        assert result.error.endswith(f"{line}\n")
        return line.removeprefix("fovea: ")

    return call


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images, 8×8."""
    path, rng = tmp_path / "images", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for i in range(40):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path / name / f"{i}.png")
    return path


def of_folder(path, **more):
    return {"data.name": f"folder:{path}", "data.train": "train", "data.validation": "", "data.test": "", **more}


# The page.


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model.hiden", "3", "--config.model.hiden: unknown key 'hiden': did you mean 'hidden'?"),
        ("model.name", "mpl", "model.name='mpl' is unknown: did you mean 'mlp'?"),
        ("modle.name", "mlp", "--config.modle.name: unknown section 'modle': did you mean 'model'?"),
        ("train.steps", "few", "--config.train.steps=few: steps is an int like 500"),
        ("train.dtype", "float31", "train.dtype='float31': did you mean 'float32'?"),
        ("train.seed", "-1", "train.seed=-1 is less than 0"),
        ("train.accumulate", "0", "train.accumulate=0 is less than 1"),
        ("train.accumulate", "3", "train.accumulate=3 does not divide the 8 examples of each device"),
        ("train.steps_per_call", "0", "train.steps_per_call=0 is less than 1"),
        ("train.steps_per_call", "3", "train.steps=4 is not a positive multiple of train.steps_per_call=3"),
        ("train.batch_size", "30", "train.batch_size=30 does not divide over 8 devices: try 24 or 32"),
        ("train.evaluate_batch_size", "7", "train.evaluate_batch_size=7 does not divide over 8 devices: try 8 or 16"),
        ("data.scale", "unti", "no scale 'unti': did you mean 'unit'?"),
        ("data.augment", "flop", "no augmentation 'flop': did you mean 'flip'?"),
        ("data.resident", "maybe", "data.resident='maybe': 'auto', 'yes' or 'no'"),
        ("optimizer.freeze", "hiden", "optimizer.freeze: 'hiden' matches no parameter: did you mean 'hidden_0/"),
        (
            "model.activation",
            "rleu",
            "activation='rleu' is not one of 'linear', 'relu', 'relu6', 'gelu', 'swish', 'hard_swish', 'hard_sigmoid', "
            "'sigmoid', 'tanh', 'scaled_tanh'; did you mean 'relu'?",
        ),
        ("train.ema_players", "mdoel", "train.ema_players: no player 'mdoel': did you mean 'model'?"),
        ("train.init_from", "nowhere", "train.init_from: 'nowhere' is not a work directory with checkpoints"),
    ],
)
def test_a_key_or_value(key, value, line, refused):
    assert jax.device_count() == 8
    found = refused(**{key: value, **({"train.ema": 0.9} if "ema" in key else {})})
    assert found.startswith(line) if "freeze" in key else found == line


def test_a_train_command_without_a_workdir(fovea):
    result = fovea(*TRAIN)
    assert (result.code, result.error) == (2, "fovea: train needs --workdir DIR, where records and checkpoints go\n")


OUTPUTS = {
    "predict": ("--json", "--workdir", "run", "x.png"),
    "sample": ("--out", "--workdir", "run"),
    "data": ("--out", "--config", "mlp_digits"),
    "report": ("--out",),
    "bench": ("--out", "--suite", "loop"),
}


@pytest.mark.parametrize("command", OUTPUTS)
@pytest.mark.parametrize(
    ("name", "line"),
    [
        (".", ". is a folder: name a file in it"),
        ("x" * 256, f"cannot write {'x' * 256}: File name too long"),
        ("file/x.png", "cannot write file/x.png: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    command, name, line, capsys, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "run").symlink_to(trained)
    flag, *rest = OUTPUTS[command]
    with pytest.raises(SystemExit, match="2"):
        main([command, flag, name, *rest])
    assert capsys.readouterr().err == f"fovea: argument {flag}: {line} (fovea {command} --help)\n"


# The data.


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("data.name", "digts", "data.name='digts' is unknown: did you mean 'digits'?"),
        ("data.name", "tfds:mnits", "no TFDS data set 'mnits': did you mean 'mnist' or 'kmnist' or 'emnist'?"),
        ("data.name", "npz:nowhere.npz", "no file 'nowhere.npz': write 'npz:path/to/set.npz'"),
        ("data.train", "trian", "no split 'trian': did you mean 'train'?"),
        ("data.train", "train[:90", "cannot read split 'train[:90': write 'train[:90%]' or 'train[100:200]+test'"),
        ("data.train", "train[:9999]", "split 'train[:9999]' reaches beyond the 1438 examples there are"),
        ("data.test", "tset", "no split 'tset': did you mean 'test'?"),
        ("data.validation", "vlaid", "no split 'vlaid': there is train, test"),
        ("data.num_classes", "11", "data.num_classes=11, but digits has 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ],
)
def test_a_set_or_split_that_does_not_exist(key, value, line, refused):
    assert refused(**{key: value}) == line


@pytest.mark.parametrize(
    ("pixels", "kind", "overrides", "line"),
    [
        (np.uint16(4000), "PNG", {}, "a/x.png has 16 bits, but its largest value is 4000: set data.white=4095 if"),
        (np.float32(0.5), "TIFF", {}, "a/x.png holds floats from 0.5 to 0.5: set data.white to the value of white"),
        (
            np.int32(70_000),
            "TIFF",
            {"data.white": "65535"},
            "a/x.png holds 32-bit integers from 70000 to 70000,",
        ),
        (np.uint8(1), "PNG", {"data.background": "1,2"}, "data.background=(1, 2): one number for each of the channels"),
        (np.uint8(1), "PNG", {"data.white": "-1"}, "data.white=-1.0: the value of white in files of 16 bits"),
    ],
)
def test_a_picture_that_can_be_read_in_two_ways(pixels, kind, overrides, line, refused, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), pixels)).save(tmp_path / "set" / name / "x.png", kind)
    found = refused(**of_folder(tmp_path / "set", **{"data.channels": "1", **overrides}))
    assert found.replace("b/x.png", "a/x.png").removeprefix(f"{tmp_path / 'set'}/").startswith(line)


def test_a_label_beyond_the_classes(refused, monkeypatch):
    from data import digits

    @functools.wraps(digits.digits)
    def more(*arguments, original=digits.digits, **options):
        source = original(*arguments, **options)
        source.arrays["label"][5] = 12
        return source

    monkeypatch.setattr(digits, "digits", more)
    for resident in ("yes", "no"):
        line = refused(**{"data.resident": resident, "train.steps": 24})
        assert line == "example 5 has the label 12, but there are 10 classes"


def test_a_folder_that_is_not_there_or_empty(refused, tmp_path):
    assert refused(**of_folder(tmp_path / "nowhere")).startswith(f"no folder '{tmp_path / 'nowhere'}': write ")
    (tmp_path / "empty").mkdir()
    assert refused(**of_folder(tmp_path / "empty")) == f"no images under {tmp_path / 'empty'}"
    (tmp_path / "empty" / "notes.txt").touch()
    assert refused(**of_folder(tmp_path / "empty")).endswith("/empty: left out 1: 1 .txt")


def test_a_folder_with_one_class(refused, folder, tmp_path):
    (folder / "dog").rename(tmp_path / "dog")
    assert refused(**of_folder(folder)) == (
        f"task 'classification' needs 'label', and folder:{folder} has image only: at least two classes are needed"
    )


def test_folders_of_one_split(refused, folder):
    for name in ("val", "valid"):
        (folder / name).mkdir()
    assert refused(**of_folder(folder)) == (
        f"{folder}: 'val' and 'valid' both mean the split 'validation': rename one of them"
    )


def test_a_list_that_contradicts_itself(refused, folder):
    (folder / "list.csv").write_text("file;label\ncat/0.png;cat\ndog/0.png;dog\ncat\\0.png;dog\n", "utf-16")
    assert refused(**of_folder(folder / "list.csv")) == (
        f"{folder}/list.csv: {folder}/cat/0.png has the label 'cat' in line 2 and 'dog' in line 4"
    )


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_a_corrupt_image_is_named_or_skipped_and_counted(resident, refused, fovea, small, folder, tmp_path):
    corrupt = folder / "dog" / "7.png"
    corrupt.write_bytes(corrupt.read_bytes()[:60])
    overrides = of_folder(folder, **{"data.resident": resident, "data.image_size": 8})
    line = refused(**overrides)
    assert line.startswith(f"cannot read image {corrupt}: ")
    assert line.endswith("; data.skip_corrupt=True leaves it out")
    with pytest.warns(UserWarning, match=re.escape(f"left out 1 corrupt images, the first is {corrupt}")):
        result = fovea(*TRAIN, "--workdir", tmp_path / "skips", **{**small, **overrides, "data.skip_corrupt": "true"})
    assert result.code == 0


def test_a_corrupt_image_that_is_met_while_training(refused, folder):
    corrupt = folder / "dog" / "7.png"
    good = corrupt.read_bytes()
    corrupt.write_bytes(good[:-30])  # its header is whole
    constants = {"data.mean": "(0.5, 0.5, 0.5)", "data.std": "(0.2, 0.2, 0.2)"}
    assert refused(**of_folder(folder, **constants, **{"data.resident": "no"})).startswith(
        f"cannot read image {corrupt}: "
    )


# The work directory.


def test_a_workdir_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(workdir=tmp_path / "file" / "run")
    assert line == f"cannot write the work directory {tmp_path / 'file' / 'run'}: Not a directory"


def test_a_workdir_in_use(refused, tmp_path):
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert refused() == f"the work directory {tmp_path / 'run'} is in use by another run"


def test_a_disk_that_is_full_when_a_record_is_written(refused, tmp_path, monkeypatch):
    def write(records, step, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Records, "write", write)
    assert refused() == f"cannot write in {tmp_path / 'run'}: No space left on device; checkpoints stay"


def test_a_disk_that_is_full_while_saving(refused, tmp_path, monkeypatch):
    save = ocp.CheckpointManager.save

    def until_full(manager, step, **kwargs):
        if step > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(manager, step, **kwargs)

    monkeypatch.setattr(ocp.CheckpointManager, "save", until_full)
    checkpoints = tmp_path / "run" / "checkpoints"
    assert refused() == (
        f"cannot save the checkpoint of step 4 in {checkpoints}: [Errno 28] No space left on device;"
        " the last good one is step 2"
    )
    assert Checkpoints(checkpoints).steps() == [2]


def test_a_loss_that_is_not_finite(refused):
    line = refused(**{"optimizer.weight_decay": 1e30})
    assert re.fullmatch(r"\w+ is (nan|-?inf) at step \d: the run stops; nothing was saved yet \(--debug .*\)", line)


def test_a_workdir_of_another_page(refused, fovea, small, trained, tmp_path):
    before = Checkpoints(trained / "checkpoints").steps()
    line = refused(workdir=trained, **{"schedule.peak": 0.5, "train.seed": 3})
    assert line == (
        f"{trained} was trained with another page; schedule.peak: stored 0.003, given 0.5; train.seed: stored 0,"
        " given 3 (another --workdir, or --fork to resume with the page given)"
    )
    assert Checkpoints(trained / "checkpoints").steps() == before
    assert json.loads((trained / "config.json").read_text())["train"]["seed"] == 0


def test_fork_goes_on_with_another_page(fovea, small, tmp_path):
    run = (*TRAIN, "--workdir", tmp_path)
    assert fovea(*run, **small).code == 0
    longer = {**small, "train.steps": 8, "schedule.peak": 0.5}
    assert fovea(*run, **longer).code == 2
    result = fovea(*run, "--fork", **longer)
    assert result.code == 0
    assert "resuming from step 4" in result.error
    assert Checkpoints(tmp_path / "checkpoints").steps()[-1] == 8
    assert json.loads((tmp_path / "config.json").read_text())["schedule"]["peak"] == 0.5
    line = "params/model/hidden_0/bias is (128,) float32 there and (9,) float32 here"
    result = fovea(*run, "--fork", **{**longer, "model.hidden": "9"})
    assert result.code == 2
    assert result.error.splitlines()[-1].endswith(f" is of another model: {line}")


def test_a_run_that_failed_before_it_saved_binds_nobody(fovea, refused, small, tmp_path):
    assert refused(**{"train.init_from": "nowhere"}).startswith("train.init_from")
    assert fovea(*TRAIN, "--workdir", tmp_path / "run", **small).code == 0


def test_a_checkpoint_of_another_model(refused, trained):
    line = refused(**{"train.init_from": trained, "model.hidden": "(128, 9)"})
    assert line == (f"{trained} is of another model: params/model/hidden_1/bias is absent there and (9,) float32 here")


def test_an_evaluation_of_what_was_not_trained(fovea, trained, tmp_path):
    (tmp_path / "config.json").write_text((trained / "config.json").read_text())
    result = fovea("eval", "--workdir", tmp_path)
    assert (result.code, result.error) == (2, f"fovea: no checkpoint in {tmp_path}: train first\n")
    result = fovea("eval", "--workdir", trained, "--split", "tset")
    assert (result.code, result.error) == (2, "fovea: no split 'tset': did you mean 'test'?\n")
