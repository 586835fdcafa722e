"""What `fovea report` gathers from folders, and how it is put into a page."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.ledger import rows as ledger
from experiments.pages import catalogue, stored
from experiments.pages.overrides import override
from experiments.report import gather as gathering
from experiments.report.gather import curves, gather, run, sweep
from experiments.report.render import render

STEPS = [100 * i for i in range(1, 6)]


def folder(path, *, seed=0, records=None, **summary):
    """A work directory; without `summary`, of a run that has not ended."""
    path.mkdir(parents=True)
    config = override(catalogue.load("mlp_digits"), [("train.seed", str(seed))])
    (path / stored.STORED).write_text(json.dumps(stored.canonical(config)))
    if records is None:
        records = [{"step": n, "train/loss": 100 / n, "time/seconds": n / 10} for n in STEPS]
        records += [{"step": 500, "validation/accuracy": 0.9, "time/seconds": 50.5}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if summary:
        (path / stored.SUMMARY).write_text(json.dumps(summary))
    return path


def searched(path, **results):
    """A sweep's folder of two trials; `results` as its results.json, if there are any."""
    asked = {"over": {"schedule.peak": "log:1e-4..1e-1"}, "metric": "validation/accuracy", "goal": "max", "trials": 2}
    folder(path / "trials" / "0000")
    folder(path / "trials" / "0001", seed=1)
    (path / "sweep.json").write_text(json.dumps({**asked, "sampler": "tpe", "pruner": "none"}))
    if results:
        (path / "results.json").write_text(json.dumps(results))
    return path


def draw(path, width=20, height=10):
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def unpack(text, kind="<f4"):
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture
def no_ledger(monkeypatch):
    """Its rows take a second, as all pages are loaded for them."""
    monkeypatch.setattr(ledger, "rows", lambda results: [])


def test_what_is_recorded_together_stands_together():
    records = [
        {"step": 1, "train/loss": 2.0, "train/norm": 1.0, "time/seconds": 0.5},
        {"step": 2, "train/loss": None, "train/norm": float("nan"), "time/seconds": 1.0},
        {"step": 2, "validation/accuracy": 0.5, "time/seconds": 1.5},
        {"step": 3, "train/loss": 1.0, "train/norm": 3.0, "time/seconds": 2.0},
        {"step": 3, "test/accuracy": 0.5, "test/judge": "pixels", "time/seconds": 2.5},
    ]
    packed = {}
    train, validation = curves(records, packed)
    assert [unpack(text, "<f8").tolist() for text in packed] == [[1, 2, 3], [2]]
    assert (train["steps"], validation["steps"]) == (0, 1)
    assert unpack(train["seconds"]).tolist() == [0.5, 1.0, 2.0]
    assert train["until"] == {"steps": 3, "seconds": 2.0}
    np.testing.assert_array_equal(unpack(train["values"]["train/loss"]), np.float32([2, np.nan, 1]))
    np.testing.assert_array_equal(unpack(train["values"]["train/norm"]), np.float32([1, np.nan, 3]))
    assert list(validation["values"]) == ["validation/accuracy"]
    curves(records, packed)
    assert len(packed) == 2  # another run of these steps adds none


def test_a_run_that_was_cut_short(tmp_path):
    path = folder(tmp_path / "run")
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 600, "train/lo')
    found = run(path, {})
    assert found["state"] == "killed"
    assert (found["step"], found["seconds"]) == (500, 50.5)
    assert found["final"] == {"validation/accuracy": 0.9}
    (path / "metrics.jsonl").unlink()
    assert run(path, {})["curves"] == []


def test_final_numbers(tmp_path):
    records = [{"step": n, "validation/accuracy": value} for n, value in [(1, 0.2), (2, 0.7), (3, None)]]
    summary = {"step": 3, "seconds": 61.0, "test/accuracy": 0.6, "test/judge": "pixels", "test/iou": [0.1], "note": 1}
    found = run(folder(tmp_path / "run", records=records, **summary), {})
    assert found["final"] == {"validation/accuracy": 0.7, "test/accuracy": 0.6, "test/judge": "pixels"}
    assert (found["state"], found["seconds"]) == ("finished", 61.0)


def test_final_numbers_of_every_evaluation_set(tmp_path):
    """One that is measured with validation, and one that is measured once."""
    records = [{"step": 1, "half/top2": 0.2}, {"step": 2, "half/top2": 0.4, "late/error": 0.5, "train/loss": 1.0}]
    path = folder(tmp_path / "run", records=records, **{"late/error": 0.3, "seconds": 2.0})
    config = json.loads((path / stored.STORED).read_text())
    config["evaluate"] = {"half": {"split": "test[:50%]"}, "late": {"split": "test"}}
    (path / stored.STORED).write_text(json.dumps(config))
    assert run(path, {})["final"] == {"half/top2": 0.4, "late/error": 0.3}


def test_runs_are_named_by_where_they_are(tmp_path, no_ledger):
    for name in ("a/seed10", "a/seed2", "b"):
        folder(tmp_path / name)
    labels = lambda *names: [one["label"] for one in gather([tmp_path / name for name in names])["runs"]]
    assert labels(".") == ["a/seed2", "a/seed10", "b"]
    assert labels("a") == ["seed2", "seed10"]
    assert labels("b") == ["b"]
    assert labels("b", "a", "a/seed2") == ["b", "a/seed2", "a/seed10"]
    searched(tmp_path / "search")
    found = gather([tmp_path / "search"])
    assert [one["label"] for one in found["runs"]] == ["trials/0000", "trials/0001"]
    assert [one["label"] for one in gather([tmp_path])["sweeps"]] == ["search"]


def test_which_end_of_a_metric_is_better(tmp_path, no_ledger):
    readings = {"test/error": {"better": "min"}, "test/top5": {"better": "max"}, "test/accuracy": {"better": "max"}}
    readings["test/real"] = {"better": None}
    folder(
        tmp_path / "run", **{"test/error": 0.1, "test/kl": 3.0, "test/top5": 1.0, "test/real": 0.3}, readings=readings
    )
    assert gather([tmp_path])["goals"] == {"test/error": "min", "test/top5": "max", "validation/accuracy": "max"}


def test_a_gallery_is_in_the_order_of_its_steps(tmp_path, monkeypatch):
    path = folder(tmp_path / "run")
    for step in (100, 20, 3):
        draw(path / "samples" / f"step_{step}.png")
    (path / "samples" / "step_200.png").write_bytes(b"\x89PNG, half written")
    draw(path / "samples" / "other.png")
    found = run(path, {})["galleries"]
    assert list(found) == ["samples"]
    assert [one["step"] for one in found["samples"]] == [3, 20, 100]
    monkeypatch.setattr(gathering, "MOST", 2)
    (path / "samples" / "step_200.png").unlink()
    assert [one["step"] for one in run(path, {})["galleries"]["samples"]] == [3, 100]


def test_pictures_are_of_a_sensible_size(tmp_path):
    path = folder(tmp_path / "run")
    draw(path / "confusion.png", 2 * gathering.WIDEST, 100)
    draw(path / "curves.png")
    (found,) = run(path, {})["pictures"]
    assert (found["name"], found["width"], found["height"]) == ("confusion", gathering.WIDEST, 50)
    kind, _, content = found["src"].partition(";base64,")
    assert kind == "data:image/webp"
    content = base64.b64decode(content)
    assert Image.open(io.BytesIO(content)).size == (gathering.WIDEST, 50)
    assert len(content) < (path / "confusion.png").stat().st_size


def test_a_sweep_as_far_as_it_has_come(tmp_path):
    path = searched(tmp_path / "search")
    assert (sweep(path)["trials"], sweep(path)["planned"], sweep(path)["importance"]) == ([], 2, None)
    trial = {
        "number": 0,
        "params": {"schedule.peak": 0.1},
        "state": "failed",
        "value": float("nan"),
        "why": "no reason",
    }
    (path / "results.json").write_text(json.dumps({"trials": [trial], "best": None, "importance": None}))
    assert sweep(path)["trials"] == [{**trial, "value": None}]  # a browser reads no NaN
    assert sweep(path)["over"] == {"schedule.peak": "log:1e-4..1e-1"}


def test_the_ledger_stands_in_the_page():
    found = gather([])
    assert found["runs"] == found["sweeps"] == []
    rows = ledger.rows(ledger.RESULTS)
    assert [row["page"] for row in found["ledger"]] == [row["page"] for row in rows]
    assert found["ledger"][0]["ours"] == ledger.cells(rows[0])["ours"]
    assert all(row["command"] for row in found["ledger"])


def test_no_text_of_the_data_ends_its_element(tmp_path, no_ledger):
    nasty = "</script><script>alert(1)</script><!--"
    folder(tmp_path / "run", records=[{"step": 1, nasty: 1.0}])
    page = render(gather([tmp_path]))
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["runs"][0]["curves"][0]["values"].keys() == {nasty}
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page
    assert "{{" not in page.replace(script, "")


def test_a_page_is_written(fovea, tmp_path, no_ledger):
    folder(tmp_path / "runs" / "a")
    result = fovea("report", tmp_path / "runs", "--out", tmp_path / "r.html")
    assert (result.code, result.error) == (0, "")
    assert result.out.startswith(f"{tmp_path / 'r.html'}: 1 run, ")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


def test_bad_input(fovea, tmp_path):
    (tmp_path / "empty").mkdir()
    path = folder(tmp_path / "run")
    wrong = {
        f"there is no folder {tmp_path / 'nowhere'}": [tmp_path / "nowhere"],
        f"there is no run and no sweep in {tmp_path / 'empty'}": [path, tmp_path / "empty"],
        f"--out {tmp_path / 'no' / 'r.html'}: there is no folder {tmp_path / 'no'}": [
            path, "--out", tmp_path / "no" / "r.html"
        ],
    }  # fmt: skip
    for line, arguments in wrong.items():
        result = fovea("report", *arguments)
        assert (result.code, result.error) == (2, f"fovea: {line}\n")
    (path / stored.STORED).write_text("{")
    result = fovea("report", path, "--out", tmp_path / "r.html")
    assert result.code == 2
    assert result.error.startswith(f"fovea: {path / stored.STORED} is not readable: ")
    assert not (tmp_path / "r.html").exists()
