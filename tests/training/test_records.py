"""Records: cut where a run resumes, tolerant of a torn line."""

import io
import json

from training.records import METRICS, SECONDS, Records, read, table


def write(workdir, start, steps, **values):
    records = Records(workdir, steps=100, start=start)
    for step in steps:
        records.write(step, {"train/loss": step / 10, **values})
    records.close()


def test_resuming_cuts_what_was_recorded_after_the_step(tmp_path):
    write(tmp_path, 0, [10, 20, 30])
    write(tmp_path, 20, [30, 40])
    assert [r["step"] for r in read(tmp_path)] == [10, 20, 30, 40]


def test_starting_anew_cuts_everything(tmp_path):
    write(tmp_path, 0, [10, 20])
    write(tmp_path, 0, [])
    assert read(tmp_path) == []


def test_the_final_measurement_is_recorded_once(tmp_path):
    for _ in range(2):
        records = Records(tmp_path, steps=100, start=100)
        records.write(100, {"test/accuracy": 0.5})
        records.close()
    assert [r["test/accuracy"] for r in read(tmp_path)] == [0.5]


def test_a_torn_last_line_is_left_out(tmp_path):
    write(tmp_path, 0, [10, 20])
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 30, "train/lo')
    assert [r["step"] for r in read(tmp_path)] == [10, 20]
    write(tmp_path, 20, [30])
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30]


def test_wall_time_goes_on_where_it_stood(tmp_path):
    path = tmp_path / METRICS
    path.write_text(json.dumps({"step": 10, SECONDS: 1000.0}) + "\n")
    records = Records(tmp_path, steps=100, start=10)
    assert 1000 <= records.seconds < 1010
    records.write(20, {"train/loss": 1.0})
    records.close()
    assert 1000 <= read(tmp_path)[-1][SECONDS] < 1010


def test_plain_lines_where_there_is_no_terminal(tmp_path, capsys):
    write(tmp_path, 0, [10], **{"time/examples_per_s": 1234.0, "train/gradient_norm": 3.0})
    line = capsys.readouterr().err.strip()
    assert line.startswith("step 10/100") and "train/loss 1" in line and "1234" in line
    assert "gradient_norm" not in line and "\x1b" not in line
    assert "eta" in line


def test_a_loss_that_is_not_finite_is_recorded(tmp_path):
    write(tmp_path, 0, [10], **{"train/other": float("nan")})
    assert read(tmp_path)[0]["train/other"] is None  # JSON knows no NaN


def test_the_table_leaves_lists_out():
    from rich.console import Console

    console = Console(record=True, width=80, file=io.StringIO())
    console.print(table({"test/accuracy": 0.98765, "test/iou": [1.0, 2.0], "weights": "ema"}))
    text = console.export_text()
    assert "0.9877" in text and "ema" in text and "iou" not in text
