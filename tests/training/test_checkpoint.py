"""Checkpoints: what comes back is what was saved, or it is not used."""

import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from training.checkpoint import Checkpoints, leaves
from training.errors import TrainingError


def state(step: int) -> dict:
    draw = np.random.default_rng(step)
    kernel = draw.normal(size=(40, 30)).astype(np.float32)
    return {
        "step": np.array(step, np.int32),
        "params": {"model": {"kernel": kernel, "bias": kernel[0]}},
        "half": kernel[:3].astype(jax.numpy.bfloat16),
    }


def save(directory, *steps, scores=()):
    checkpoints = Checkpoints(directory)
    for i, step in enumerate(steps):
        checkpoints.save(step, state(step), {"window": [{"loss": 0.1}]}, scores[i] if scores else None)
    checkpoints.wait()
    checkpoints.close()


def assert_equal(a, b):
    a, b = leaves(a), leaves(b)
    assert a.keys() == b.keys()
    for path in a:
        assert a[path].dtype == b[path].dtype
        assert a[path].tobytes() == b[path].tobytes(), path


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    save(tmp_path, 10, 20)
    step, restored, body = Checkpoints(tmp_path).restore(state(0))
    assert step == 20
    assert_equal(restored, state(20))
    assert body["window"] == [{"loss": 0.1}]


@pytest.mark.parametrize(
    "name",
    [
        "resnet[wide]",
        "a*?",
        "$0",
        "50%d",
        "<b>",
        "a b",
        "a\nb",
        "'\"",
        "a\\b",
        "é",
        "日本",
        os.fsdecode(b"\xe9"),
        "x" * 250,
    ],
    ids=ascii,
)
def test_a_directory_may_have_any_name(tmp_path, name):
    directory = tmp_path / name / "checkpoints"
    save(directory, 10, 20, 30, 40, scores=(1.0, 9.0, 3.0, 4.0))
    again = Checkpoints(directory)
    assert again.steps() == [20, 30, 40] and again.best() == 20
    step, restored, _ = again.restore(state(0))
    assert step == 40
    assert_equal(restored, state(40))
    again.cut(30)
    again.save(50, state(50), {}, 5.0)
    again.wait()
    again.close()
    assert sorted(path.name for path in directory.iterdir() if path.name.isdigit()) == ["20", "30", "50"]
    (next((directory / "50").rglob("files.json"))).unlink()
    assert_equal(Checkpoints(directory).restore(state(0), 50)[1], state(50))


def test_nothing_to_restore(tmp_path):
    assert Checkpoints(tmp_path).restore(state(0)) is None
    with pytest.raises(TrainingError, match="no checkpoint of step 7"):
        Checkpoints(tmp_path).restore(state(0), 7)


def test_a_byte_flipped_in_any_file_is_noticed_and_the_one_before_used(tmp_path):
    save(tmp_path, 10, 20)
    files = sorted(f for f in (tmp_path / "20").rglob("*") if f.is_file() and f.stat().st_size)
    assert len(files) > 5
    for file in files:
        sound = file.read_bytes()
        for place in {0, len(sound) // 2, len(sound) - 1}:
            damaged = bytearray(sound)
            damaged[place] ^= 1
            file.write_bytes(damaged)
            warnings = []
            step, restored, _ = Checkpoints(tmp_path, warnings.append).restore(state(0))
            assert step == 10, f"byte {place} of {file.relative_to(tmp_path)} was not noticed"
            assert_equal(restored, state(10))
            assert len(warnings) == 1 and "20 is damaged" in warnings[0]
        file.write_bytes(sound)
    assert Checkpoints(tmp_path).restore(state(0))[0] == 20


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_file_cut_short_or_gone_is_noticed(tmp_path, damage):
    save(tmp_path, 10, 20)
    largest = max((f for f in (tmp_path / "20").rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    if damage == "truncate":
        os.truncate(largest, largest.stat().st_size // 2)
    else:
        largest.unlink()
    assert Checkpoints(tmp_path, lambda _: None).restore(state(0))[0] == 10


def test_a_run_that_goes_on_from_the_one_before_saves_the_damaged_one_anew(tmp_path):
    save(tmp_path, 10, 20)
    (tmp_path / "20" / "files.json").write_text("{")
    checkpoints = Checkpoints(tmp_path, lambda _: None)
    step, _, _ = checkpoints.restore(state(0))
    checkpoints.cut(step)
    checkpoints.save(15, state(15), {})
    checkpoints.save(20, state(20), {})
    checkpoints.wait()
    assert checkpoints.steps() == [15, 20]
    assert_equal(Checkpoints(tmp_path, pytest.fail).restore(state(0))[1], state(20))


def test_a_save_that_was_killed_half_way_does_not_count(tmp_path):
    save(tmp_path, 10, 20)
    shutil.copytree(tmp_path / "20", tmp_path / "30.orbax-checkpoint-tmp")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(state(0))[0] == 20
    checkpoints.save(30, state(30), {})
    checkpoints.wait()
    assert checkpoints.steps()[-1] == 30


def test_a_checkpoint_killed_before_its_seal_still_has_its_leaves_verified(tmp_path):
    save(tmp_path, 10, 20)
    (tmp_path / "20" / "files.json").unlink()
    assert Checkpoints(tmp_path, pytest.fail).restore(state(0))[0] == 20
    largest = max((tmp_path / "20" / "state").rglob("*"), key=lambda f: f.stat().st_size if f.is_file() else 0)
    damaged = bytearray(largest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    largest.write_bytes(damaged)
    assert Checkpoints(tmp_path, lambda _: None).restore(state(0))[0] == 10


def test_no_sound_checkpoint(tmp_path):
    save(tmp_path, 10)
    (tmp_path / "10" / "files.json").write_text("{")
    with pytest.raises(TrainingError, match="no sound checkpoint"):
        Checkpoints(tmp_path, lambda _: None).restore(state(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "params": {"model": {**s["params"]["model"], "bias": np.zeros(7, np.float32)}}}, "model/bias"),
        (
            lambda s: {**s, "params": {"model": {"bias": s["params"]["model"]["bias"]}}},
            "model/kernel is .* absent here",
        ),
        (lambda s: {**s, "params": {**s["params"], "critic": {"w": np.zeros(2)}}}, "critic/w is absent there"),
        (lambda s: {**s, "half": s["half"].astype(np.float32)}, "half is .*bfloat16 there and .*float32 here"),
    ],
)
def test_a_checkpoint_of_another_model_names_the_first_parameter_that_differs(tmp_path, change, message):
    save(tmp_path, 10)
    with pytest.raises(TrainingError, match=message):
        Checkpoints(tmp_path).restore(change(state(0)))


def test_the_last_two_and_the_best_are_kept_also_across_restarts(tmp_path):
    save(tmp_path, 10, 20, 30, scores=(0.5, 0.9, 0.6))
    assert Checkpoints(tmp_path).steps() == [20, 30]
    save(tmp_path, 40, 50, scores=(0.7, 0.8))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [20, 40, 50]
    assert checkpoints.best() == 20
    save(tmp_path, 60, 70, 80, scores=(0.95, 0.1, 0.9))
    assert Checkpoints(tmp_path).steps() == [60, 70, 80]
    # The earliest of equals, and what has no score is never the best.
    save(tmp_path, 90, 100, 110, scores=(0.95, None, None))
    assert Checkpoints(tmp_path).steps() == [60, 100, 110]


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as on a full disk
import numpy as np
from training.checkpoint import Checkpoints
from training.errors import TrainingError

checkpoints = Checkpoints(sys.argv[1])
small = {"kernel": np.zeros(10, np.float32)}
checkpoints.save(10, small, {})
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
noise = np.random.default_rng(0).normal(size=(500_000,)).astype(np.float32)
try:
    checkpoints.save(20, {"kernel": noise}, {})
    checkpoints.wait()
except TrainingError as error:
    print("error:", error)
"""


def test_a_write_that_fails_is_one_line_and_the_old_checkpoint_stays(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, cwd=os.getcwd(), check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "cannot save" in lines[0] and "the last good one is step 10" in lines[0]
    assert Checkpoints(tmp_path).restore({"kernel": np.zeros(10, np.float32)})[0] == 10


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path, score):
    save(tmp_path, 10, 20, 30, 40, scores=(0.5, score, 0.4, score))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.best() == 10 and checkpoints.steps() == [10, 30, 40]
    assert checkpoints.restore(state(0), 40)[2]["score"] is None


def test_where_no_score_is_a_number_there_is_no_best(tmp_path):
    save(tmp_path, 10, 20, scores=(np.nan, np.nan))
    assert Checkpoints(tmp_path).best() is None
