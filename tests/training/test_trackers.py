"""Trackers take what the records have, offline; a run that goes on stays one run; one that fails ends nothing."""

import json
import pathlib
import struct

import numpy as np
import pytest

from training import trackers
from training.errors import TrainingError
from training.records import Records, read

PAGE = {"model.depth": 20, "schedule.peak": 0.1, "optimizer.nesterov": True, "data.name": "digits"}


def run(workdir, *names, start=0, steps=(10, 20), ends=True) -> None:
    """What a run of 20 steps that goes on from `start` tells its trackers, with a picture; `ends`: to the end."""
    records = Records(workdir, steps=20, start=start, quiet=True)
    records.track(names, "fovea", PAGE)
    for step in steps:
        records.write(step, {"train/loss": step / 10, "validation/weights": "ema", "train/other": float("nan")})
    records.image("samples", steps[-1], np.full((4, 6, 3), 7, np.uint8))
    if ends:
        records.finish(20, {"test/accuracy": 0.5})
    records.close()


# TensorBoard.


def events(workdir: pathlib.Path) -> list:
    """All events of a run, in order."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((workdir / "events").iterdir()):
        data = path.read_bytes()
        while data:  # length u64, its checksum u32, payload, its checksum u32
            (length,) = struct.unpack_from("<Q", data)
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(workdir) -> dict[str, list]:
    found = {}
    for event in events(workdir):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, round(value.simple_value, 6)))
    return found


def test_tensorboard_has_the_scalars_and_pictures(tmp_path):
    run(tmp_path, "tensorboard")
    found = scalars(tmp_path)
    assert found["train/loss"] == [(10, 1.0), (20, 2.0)] and found["test/accuracy"] == [(20, 0.5)]
    assert "train/other" not in found and "validation/weights" not in found
    (image,) = [v.image for event in events(tmp_path) for v in event.summary.value if v.tag == "samples"]
    assert (image.height, image.width) == (4, 6)


def test_tensorboard_shows_the_page_in_its_hparams_tab(tmp_path):
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    run(tmp_path, "tensorboard")
    plugin = [v.metadata.plugin_data for event in events(tmp_path) for v in event.summary.value]
    sent = [HParamsPluginData.FromString(data.content) for data in plugin if data.plugin_name == "hparams"]
    begin, end = sent
    of = lambda value: getattr(value, value.WhichOneof("kind"))
    assert {name: of(value) for name, value in begin.session_start_info.hparams.items()} == PAGE
    assert end.session_end_info.status == 1  # success
    (tmp_path / "killed").mkdir()
    run(tmp_path / "killed", "tensorboard", ends=False)
    assert not any(v.tag.endswith("end_info") for event in events(tmp_path / "killed") for v in event.summary.value)


# Weights & Biases.


@pytest.fixture
def offline(monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")


def sent(path: pathlib.Path) -> list[dict]:
    """The history of a run as it was kept for `wandb sync`: LevelDB's log of messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, block, rows, begun = path.read_bytes(), 32768, [], b""
    at = 7  # the header
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        begun += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, begun = Record.FromString(begun), b""
            if record.WhichOneof("record_type") == "history":
                names = lambda item: item.key or "/".join(item.nested_key)
                rows.append({names(item): json.loads(item.value_json) for item in record.history.item})
    return rows


def test_wandb_keeps_one_run_however_often_it_goes_on(offline, tmp_path):
    run(tmp_path, "wandb", steps=(10,), ends=False)
    run(tmp_path, "wandb", start=10, steps=(20,))
    name = json.loads((tmp_path / trackers.NAMES).read_text())["wandb"]
    files = sorted(tmp_path.glob(f"wandb/offline-run-*/run-{name}.wandb"))
    assert files and not set(tmp_path.glob("wandb/offline-run-*/*.wandb")) - set(files)
    rows = [row for path in files for row in sent(path)]
    loss = {row["_step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert loss == {10: 1.0, 20: 2.0}
    assert [row["test/accuracy"] for row in rows if "test/accuracy" in row] == [0.5]
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/samples*.png"))


# MLflow.


@pytest.fixture
def client(monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)  # where it keeps pictures
    return mlflow.MlflowClient()


def test_mlflow_keeps_one_run_however_often_it_goes_on(client, tmp_path):
    workdir = tmp_path / "lenet" / "seed0"
    workdir.mkdir(parents=True)
    run(workdir, "mlflow", steps=(10,), ends=False)
    (found,) = client.search_runs([client.get_experiment_by_name("fovea").experiment_id])
    assert found.info.status == "KILLED"
    run(workdir, "mlflow", start=10, steps=(20,))
    (found,) = client.search_runs([client.get_experiment_by_name("fovea").experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "lenet/seed0")
    assert found.data.params == {name: str(value) for name, value in PAGE.items()}
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(10, 1.0), (20, 2.0)]
    assert found.data.metrics["test/accuracy"] == 0.5
    assert {file.path for file in client.list_artifacts(found.info.run_id, "samples")} >= {"samples/20.png"}


# All of them.


def test_a_tracker_that_fails_is_let_go(tmp_path, monkeypatch, capsys):
    class Broken:
        def __init__(self, *_): ...

        def log(self, step, values):
            raise ConnectionError("no route to host")

    monkeypatch.setitem(trackers.TRACKERS, "broken", Broken)
    records = Records(tmp_path, steps=20, start=0)
    records.track(["broken", "tensorboard"], "fovea", PAGE)
    for step in (10, 20):
        records.write(step, {"train/loss": 1.0})
    records.close()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fovea:")]
    assert said == ["fovea: Broken follows no longer: ConnectionError: no route to host"]
    assert [record["step"] for record in read(tmp_path)] == [10, 20]
    assert [step for step, _ in scalars(tmp_path)["train/loss"]] == [10, 20]


def test_a_tracker_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match=r"track\.to='wandbb' is unknown: did you mean 'wandb'"):
        run(tmp_path, "wandbb")
    missing = lambda *_: (_ for _ in ()).throw(ImportError("no module"))
    monkeypatch.setitem(trackers.TRACKERS, "wandb", missing)
    with pytest.raises(TrainingError, match=r"wandb is not installed: pip install -e '\.\[trackers\]'"):
        run(tmp_path, "wandb")
    away = lambda *_: (_ for _ in ()).throw(RuntimeError("no API key\nlong story"))
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", away)
    with pytest.raises(TrainingError, match=r"mlflow does not answer: no API key$"):
        run(tmp_path, "mlflow")
