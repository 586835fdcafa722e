"""The ledger: rows are computed from what ended runs left behind, and what was not run says so."""

import json
import math

import pytest

from experiments import cli, ledger
from experiments import page as pages
from experiments.component import PageError

PAGE = """
from experiments.page import page

def get_config():
    return page(
        paper=dict(title="A paper", year=1998, table="6", metric={metric!r}, published={published},
                   tolerance=0.005, steps={paper_steps}),
        model=dict(name="mlp", hidden=(8,)),
        task=dict(name="classification"),
        data=dict(name="digits", size=8),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(steps={steps}, batch_size=64, log_every={steps}, evaluate_every={steps}, checkpoint_every={steps}),
    )
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Pages of the test's own, and where their rows go."""
    monkeypatch.setattr(pages, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "results")
    (tmp_path / "configs").mkdir()
    return tmp_path / "results"


def write_page(name, metric="test/error", published=0.02, paper_steps=100, steps=100):
    text = PAGE.format(metric=metric, published=published, paper_steps=paper_steps, steps=steps)
    (pages.CONFIGS / f"{name}.py").write_text(text)


def ended(workdir, name, seed, ended=True, overrides=(), **numbers):
    """A work directory as a run leaves it."""
    workdir.mkdir()
    config = pages.override(pages.load(name), [("train.seed", str(seed)), *overrides])
    (workdir / "config.json").write_text(json.dumps(pages.canonical(config)))
    origin = dict(
        commit="abc", hardware="a CPU, 2 cores", date="2020-01-01", versions={"jax": "1"}, seconds=30.0 + seed
    )
    if ended:
        (workdir / "summary.json").write_text(json.dumps({"step": 100, **numbers, **origin}))
    return workdir


def test_mean_and_deviation_over_seeds(results, tmp_path):
    write_page("one")
    errors = (0.01, 0.02, 0.03)
    row = ledger.add([ended(tmp_path / str(s), "one", s, **{"test/error": e}) for s, e in enumerate(errors)], results)
    assert row == json.loads((results / "one.json").read_text())
    assert row["mean"] == pytest.approx(0.02) and row["sd"] == pytest.approx(0.01)
    assert (row["seeds"], row["values"], row["seconds"]) == ([0, 1, 2], list(errors), 31.0)
    assert row["command"] == "fovea reproduce --config one --seeds 0,1,2 --workdir runs/one"
    assert (row["hardware"], row["commit"], row["date"]) == ("a CPU, 2 cores", "abc", "2020-01-01")
    (line,) = [line for line in (results / "README.md").read_text().splitlines() if line.startswith("| one")]
    assert "2.00 % ± 1.00 %" in line and "| ok |" in line and "31 s" in line


def test_what_else_was_measured_on_the_split_stands_beside(results, tmp_path):
    write_page("one")
    others = {"test/error": 0.1, "test/loss": 2.0, "test/judge": "lenet5-1234", "test/per_class": [0.5, 0.25]}
    runs = [ended(tmp_path / str(seed), "one", seed, **others, **{"train/loss": 1.0}) for seed in (0, 1)]
    (runs[1] / "summary.json").write_text((runs[1] / "summary.json").read_text().replace('loss": 2.0', 'loss": 4.0'))
    row = ledger.add(runs, results)
    assert row["also"] == {"test/loss": 3.0, "test/judge": "lenet5-1234", "test/per_class": [0.5, 0.25]}
    assert "loss 3, judge lenet5-1234, per_class 25.00 % to 50.00 %" in (results / "README.md").read_text()


def test_one_seed_has_no_deviation(results, tmp_path):
    write_page("one")
    assert ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)["sd"] is None
    assert "±" not in (results / "README.md").read_text().split("|---")[1]


@pytest.mark.parametrize(
    "steps, paper, shortened", [(100, 100, False), (99, 100, True), (200, 100, False), (5, 0, False)]
)
def test_shortened_is_computed_from_the_steps(results, tmp_path, steps, paper, shortened):
    write_page("one", steps=steps, paper_steps=paper)
    row = ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)
    assert row["shortened"] is shortened
    assert ("ok, shortened" in (results / "README.md").read_text()) is shortened


@pytest.mark.parametrize(
    "metric, published, ours, status",
    [
        ("test/error", 0.02, 0.025, "ok"),  # at the edge of the tolerance
        ("test/error", 0.02, 0.0251, "missed"),
        ("test/error", 0.02, 0.001, "ok"),  # better is not worse
        ("test/accuracy", 0.98, 0.975, "ok"),
        ("test/accuracy", 0.98, 0.97, "missed"),
        ("test/accuracy", 0.98, 1.0, "ok"),
        ("test/other", 1.0, 1.004, "ok"),  # no better or worse: within the tolerance on both sides
        ("test/other", 1.0, 1.006, "missed"),
        ("test/other", 1.0, 0.994, "missed"),
        ("test/error", None, 0.5, "measured"),
    ],
)
def test_status(results, tmp_path, metric, published, ours, status):
    write_page("one", metric=metric, published=published)
    assert ledger.add([ended(tmp_path / "0", "one", 0, **{metric: ours})], results)["status"] == status


def test_a_page_that_was_not_run_says_so(results):
    write_page("published")
    write_page("unpublished", published=None)
    (row,) = ledger.rows(results)
    assert (row["page"], row["status"]) == ("published", "not run")
    results.mkdir()
    text = ledger.render(results)
    assert "| published |" in text and "not run" in text and "| unpublished |" not in text
    assert "fovea reproduce --config published --seeds 0" in text


def test_the_last_samples_are_kept_and_linked(results, tmp_path):
    write_page("drawn")
    write_page("plain")
    drawn, plain = (ended(tmp_path / name, name, 0, **{"test/error": 0.01}) for name in ("drawn", "plain"))
    (drawn / "samples").mkdir()
    for name in ("confusion.png", "samples/step_00000010.png", "samples/step_00000020.png"):
        (drawn / name).write_text(name)
    ledger.add([drawn], results)
    ledger.add([plain], results)
    assert (results / "pictures" / "drawn.png").read_text() == "samples/step_00000020.png"
    table = (results / "README.md").read_text()
    assert "| [drawn](pictures/drawn.png) |" in table and "| plain |" in table


def test_a_run_that_has_not_ended_is_refused(results, tmp_path):
    write_page("one")
    workdirs = [ended(tmp_path / "0", "one", 0, **{"test/error": 0.1}), ended(tmp_path / "1", "one", 1, ended=False)]
    with pytest.raises(PageError, match="1 has not ended"):
        ledger.add(workdirs, results)
    assert not results.exists()


def test_runs_of_differing_pages_are_refused(results, tmp_path):
    write_page("one", steps=100)
    write_page("two", steps=200)
    workdirs = [ended(tmp_path / name, name, seed, **{"test/error": 0.1}) for seed, name in enumerate(("one", "two"))]
    with pytest.raises(PageError, match="another page"):
        ledger.add(workdirs, results)


def test_a_run_of_no_page_is_refused_with_what_differs(results, tmp_path):
    write_page("one")
    workdir = ended(tmp_path / "0", "one", 0, overrides=[("train.batch_size", "32")], **{"test/error": 0.1})
    with pytest.raises(PageError, match=r"nearest to one: train\.batch_size: page 64, here 32"):
        ledger.add([workdir], results)


def test_equal_seeds_are_refused(results, tmp_path):
    write_page("one")
    workdirs = [ended(tmp_path / name, "one", 7, **{"test/error": 0.1}) for name in "ab"]
    with pytest.raises(PageError, match="same seed"):
        ledger.add(workdirs, results)


def test_a_metric_that_was_not_measured_is_named(results, tmp_path):
    write_page("one", metric="test/eror")
    with pytest.raises(PageError, match="test/error"):
        ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.1})], results)


def test_command_line(results, tmp_path, capsys):
    write_page("one")
    assert cli.main(["ledger", "add", "--workdir", str(tmp_path / "none")]) == 2
    assert "no work directory" in capsys.readouterr().err
    workdir = ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})
    assert cli.main(["ledger", "add", "--workdir", str(workdir)]) == 0
    assert cli.main(["ledger", "render"]) == 0


def test_reproduce_trains_each_seed_and_adds_the_row(results, tmp_path, capsys):
    write_page("one", steps=4, published=None)
    command = ["reproduce", "--config", "one", "--seeds", "0,1", "--workdir", str(tmp_path / "runs")]
    assert cli.main(command) == 0
    row = json.loads((results / "one.json").read_text())
    assert row["seeds"] == [0, 1] and len(set(row["values"])) == 2 and row["hardware"] and row["seconds"] > 0
    for seed in (0, 1):
        left = {path.name for path in (tmp_path / "runs" / f"seed{seed}").iterdir()}
        assert {"summary.json", "curves.png", "confusion.png", "mistakes.png"} <= left
    before = (tmp_path / "runs" / "seed0" / "summary.json").stat().st_mtime_ns
    assert cli.main(command) == 0  # what has ended is not run again
    assert (tmp_path / "runs" / "seed0" / "summary.json").stat().st_mtime_ns == before
    assert math.isfinite(row["mean"])


def test_reproduce_refuses_at_once_what_is_no_page(results, tmp_path, capsys):
    write_page("one", steps=4)
    arguments = ["reproduce", "--config", "one", "--workdir", str(tmp_path / "runs"), "--config.train.batch_size=32"]
    assert cli.main(arguments) == 2
    assert "nearest to one" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
