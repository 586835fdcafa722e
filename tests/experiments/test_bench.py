"""The benches measure what they say: alternating blocks, streamed images, a process's own memory. Not how fast."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import cli
from experiments.bench import loop as bench
from experiments.bench import processes, scale, startup, stream, tune
from experiments.build.parts import Parts
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from training.errors import TrainingError

SMALL = [("data.name", "synthetic"), ("data.num_examples", "64"), ("train.batch_size", "16"), ("data.augment", "flip")]


@pytest.fixture
def page():
    return override(load("mlp_digits"), SMALL)


def test_loop_and_step_take_turns(page, monkeypatch):
    turns = []
    time_step = bench.BareStep.time
    monkeypatch.setattr(bench.BareStep, "time", lambda self, calls: (turns.append(calls), time_step(self, calls))[1])
    row = bench.loop_against_step(page, blocks=3, seconds=0.01)
    calls = row["steps_per_block"]
    # One call compiles, four are timed to choose the size of a block; then a block before and after each of the loop's.
    assert turns == [1, 4, *[calls] * 4]
    assert row["loop_examples_per_s"] > 0 and row["step_examples_per_s"] > 0 and row["loop_over_step"] > 0


def test_the_pause_is_not_the_loops_time(page):
    import time

    parts = Parts(page)
    blocks = bench.loop_blocks(parts, calls=2, blocks=2, between=lambda: time.sleep(1.0))
    assert len(blocks) == 2 and max(blocks) < 1.0


def test_streamed_images_per_second(page):
    assert stream.stream(page, blocks=1, seconds=0.05)["images_per_s"] > 0


def test_files_are_streamed_beside_a_loader_of_torch(tmp_path, monkeypatch):
    """The loader is made up: a program that answers each line with a row."""
    monkeypatch.setattr(stream, "BLOCKS", 2)
    stream.write_photos(tmp_path, count=4)
    assert {Image.open(file).size for file in tmp_path.rglob("*.jpg")} == {stream.PHOTO}
    loader = tmp_path / "loader.py"
    loader.write_text("import sys\nfor _ in sys.stdin:\n    print('{\"images_per_s\": 0.5}', flush=True)\n")
    monkeypatch.setattr(stream, "LOADER", loader)
    ours, theirs, against = stream._files_suite(str(tmp_path), sys.executable, cores=2)
    assert (ours["by"], theirs["by"], theirs["images_per_s_and_core"]) == ("fovea", "torch", 0.25)
    assert against["ratio"] == pytest.approx(2 * ours["images_per_s"]) and against["ok"] == (against["ratio"] >= 1.2)
    loader.write_text("raise SystemExit('no torch here')")
    beside, alone = stream._files_suite(str(tmp_path), sys.executable, cores=2)
    assert beside["beside"].endswith("no torch here") and alone["images_per_s"] > 0


def test_anonymous_memory_grows_with_what_is_allocated():
    before = scale.rss_anon()
    ballast = np.ones(2**26, np.uint8)  # 64 MiB
    assert 60 * 2**20 < scale.rss_anon() - before < 80 * 2**20
    del ballast


def test_measurements_in_a_process_of_its_own():
    flags = "--xla_force_host_platform_device_count=2"
    with processes.Elsewhere(bench.step_time, "mlp_digits", SMALL, XLA_FLAGS=flags, JAX_PLATFORMS="cpu") as child:
        rows = [child.ask(), child.ask()]
    assert all(row["step_seconds"] > 0 for row in rows)


def test_choices_of_the_compiler_take_turns_and_the_fastest_is_first(monkeypatch, fovea, tmp_path):
    """Seconds by choice are made up; what is measured runs in a process whose environment is the choice."""
    asked, seconds = [], {"": 2.0, tune.HUGE: 1.0}

    class Child:
        def __init__(self, measure, page, overrides, **environment):
            self.choice = environment.get("GLIBC_TUNABLES", ""), environment["XLA_FLAGS"]
            assert (measure, page, overrides) == (bench.step_time, "mlp_digits", [("train.seed", "1")])

        def ask(self):
            asked.append(self.choice)
            return {"step_seconds": seconds[self.choice[0]] + 0.1 * ("convolution" in self.choice[1])}

        __enter__, __exit__ = (lambda self: self), (lambda self, *_: None)

    monkeypatch.setattr(tune, "Elsewhere", Child)
    monkeypatch.setenv("XLA_FLAGS", "")
    out = tmp_path / "bench.json"
    result = fovea("bench", "--config", "mlp_digits", "--tune", "--out", out, **{"train.seed": 1})
    rows = json.loads(out.read_text())["rows"]
    assert result.code == 0 and len(asked) == len(tune.CHOICES) * (1 + tune.TURNS)
    assert asked[: len(tune.CHOICES)] == asked[len(tune.CHOICES) : 2 * len(tune.CHOICES)]  # one after the other
    assert rows[0]["gain"] == pytest.approx(1.0) and rows[-1] == {
        "choice": "as it is",
        "step_seconds": 2.0,
        "gain": 0.0,
        "environment": "",
    }
    assert (
        fovea("bench", "--suite", "loop", "--tune").error
        == "fovea: --tune needs --config: it tries choices for one page\n"
    )


def test_a_measurement_that_fails_says_why():
    with (
        processes.Elsewhere(bench.step_time, "mlp_digit", SMALL) as child,
        pytest.raises(TrainingError, match=r"step_time of mlp_digit .* failed: .*did you mean 'mlp_digits'"),
    ):
        child.ask()


def test_a_large_source_reports_speed_and_memory(page):
    rows = scale.large_source(page, seconds=0.05)
    assert next(rows).keys() == {"images_per_s", "rss_anon_mb"}


def test_a_second_start_is_measured_with_what_the_first_kept(tmp_path):
    cold, warm = (startup.startup("mlp_digits", SMALL, tmp_path / "cache")["startup_seconds"] for _ in range(2))
    assert 0 < warm < 60 and 0 < cold < 60
    assert any((tmp_path / "cache" / "fovea" / "jax").rglob("*-cache"))


def test_a_start_that_fails_says_why(tmp_path):
    with pytest.raises(TrainingError, match=r"bench: mlp_digit failed: .*did you mean 'mlp_digits'"):
        startup.startup("mlp_digit", [], tmp_path)


def test_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stream, "stream_suite", lambda: iter([{"images_per_s": 1234.5, "ok": True}, {"batch": 3}]))
    assert cli.main(["bench", "--suite", "stream", "--out", str(tmp_path / "b.json")]) == 0
    assert "1,23" in capsys.readouterr().out
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["rows"][0]["images_per_s"] == 1234.5
    assert {"what", "commit", "hardware", "date", "versions"} <= report.keys()


def test_unknown_suite(capsys):
    assert cli.main(["bench", "--suite", "scael"]) == 2
    assert "did you mean 'scale'" in capsys.readouterr().err
