"""The ledger: rows are computed from what ended runs left behind, and what was not run says so."""

import json
import re

import pytest
from PIL import Image

from experiments import cli
from experiments.commands import values
from experiments.errors import PageError
from experiments.ledger import reproduce
from experiments.ledger import rows as ledger
from experiments.pages import catalogue, stored
from experiments.pages.overrides import override
from experiments.runs.fingerprint import fingerprint

PAGE = """
from experiments.pages import page

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
    monkeypatch.setattr(catalogue, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "here" / "experiments" / "results")
    (tmp_path / "configs").mkdir()
    return ledger.RESULTS


def write_page(name, metric="test/error", published=0.02, paper_steps=100, steps=100):
    text = PAGE.format(metric=metric, published=published, paper_steps=paper_steps, steps=steps)
    (catalogue.CONFIGS / f"{name}.py").write_text(text)


READINGS = {
    "test/error": {"better": "min", "unit": "%"},
    "test/accuracy": {"better": "max", "unit": "%"},
    "test/psnr": {"better": "max", "unit": "dB"},
    "test/per_class": {"better": "max", "unit": "%"},
}


def ended(workdir, name, seed, ended=True, overrides=(), code=None, **numbers):
    """A work directory as a run leaves it; `code` is what it noted of the code it ran with, else the present one."""
    workdir.mkdir(parents=True)
    config = override(catalogue.load(name), [("train.seed", str(seed)), *overrides])
    (workdir / "config.json").write_text(json.dumps(stored.canonical(config)))
    origin = dict(
        commit="abc", hardware="a CPU, 2 cores", date="2020-01-01", versions={"jax": "1"}, seconds=30.0 + seed
    )
    origin["code"] = fingerprint(catalogue.load(name)) if code is None else code
    if ended:
        (workdir / "summary.json").write_text(json.dumps({"step": 100, **numbers, **origin, "readings": READINGS}))
    return workdir


def test_mean_and_deviation_over_seeds(results, tmp_path):
    write_page("one")
    errors = (0.01, 0.02, 0.03)
    row = ledger.add([ended(tmp_path / str(s), "one", s, **{"test/error": e}) for s, e in enumerate(errors)], results)
    assert row == json.loads((results / "one.json").read_text())
    assert row["mean"] == pytest.approx(0.02) and row["sd"] == pytest.approx(0.01)
    assert (row["seeds"], row["values"], row["seconds"]) == ([0, 1, 2], list(errors), 31.0)
    assert ledger.rows(results)[0]["command"] == "fovea reproduce one --seeds 3"
    assert (row["hardware"], row["commit"], row["date"]) == ("a CPU, 2 cores", "abc", "2020-01-01")
    (line,) = [line for line in (results / "README.md").read_text().splitlines() if line.startswith("| one")]
    assert "| 2.00 % ± 1.00 % | +0.00 % | reproduced |" in line and "| 31 s | abc |" in line


def test_what_else_was_measured_on_the_split_stands_beside(results, tmp_path):
    write_page("one")
    others = {"test/error": 0.1, "test/loss": 2.0, "test/judge": "lenet5-1234", "test/per_class": [0.5, 0.25]}
    runs = [ended(tmp_path / str(seed), "one", seed, **others, **{"train/loss": 1.0}) for seed in (0, 1)]
    (runs[1] / "summary.json").write_text((runs[1] / "summary.json").read_text().replace('loss": 2.0', 'loss": 4.0'))
    row = ledger.add(runs, results)
    assert row["also"] == {"test/loss": 3.0, "test/judge": "lenet5-1234", "test/per_class": [0.5, 0.25]}
    assert "loss 3, judge lenet5-1234, per_class 25.00 % to 50.00 %" in (results / "README.md").read_text()


def test_what_a_run_could_not_measure_is_left_out(results, tmp_path):
    """COCO's AP of large objects, of a split that has none, is null in the summary."""
    write_page("one")
    row = ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.1, "test/ap_large": None})], results)
    assert row["also"] == {}
    with pytest.raises(PageError, match="did not measure 'test/error'"):
        ledger.row("one", [json.loads((tmp_path / "0" / "config.json").read_text())], [{"test/error": None}])


def test_one_seed_has_no_deviation(results, tmp_path):
    write_page("one")
    assert ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)["sd"] is None
    assert "±" not in (results / "README.md").read_text().split("| ---")[1]


@pytest.mark.parametrize(
    "steps, paper, shortened", [(100, 100, False), (99, 100, True), (200, 100, False), (5, 0, False)]
)
def test_shortened_is_computed_from_the_steps(results, tmp_path, steps, paper, shortened):
    write_page("one", steps=steps, paper_steps=paper)
    row = ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)
    assert row["shortened"] is shortened
    assert ("reproduced, shortened" in (results / "README.md").read_text()) is shortened


@pytest.mark.parametrize(
    "metric, published, ours, status",
    [
        ("test/error", 0.02, 0.025, "reproduced"),  # at the edge of the tolerance
        ("test/error", 0.02, 0.0251, "missed"),
        ("test/error", 0.02, 0.001, "reproduced"),  # better is not worse
        ("test/accuracy", 0.98, 0.975, "reproduced"),
        ("test/accuracy", 0.98, 0.97, "missed"),
        ("test/accuracy", 0.98, 1.0, "reproduced"),
        ("test/psnr", 29.23, 30.5, "reproduced"),
        ("test/psnr", 29.23, 28.0, "missed"),
        ("test/other", 1.0, 1.004, "reproduced"),  # no better or worse: within the tolerance on both sides
        ("test/other", 1.0, 1.006, "missed"),
        ("test/other", 1.0, 0.994, "missed"),
        ("test/error", None, 0.5, "measured"),
    ],
)
def test_status(results, tmp_path, metric, published, ours, status):
    write_page("one", metric=metric, published=published)
    row = ledger.add([ended(tmp_path / "0", "one", 0, **{metric: ours})], results)
    assert row["status"] == status
    unknown = metric == "test/other"
    assert ("direction unknown" in ledger.cells(row)["status"]) is unknown and (
        metric in row["readings"]
    ) is not unknown


def test_a_list_is_shown_by_the_range_of_what_was_measured(results, tmp_path):
    write_page("one", metric="test/psnr", published=29.23)
    run = ended(tmp_path / "0", "one", 0, **{"test/psnr": 30.5, "test/per_class": [0.5, None, 0.25]})
    assert ledger.cells(ledger.add([run], results))["also"] == "per_class 25.00 % to 50.00 %"


def test_numbers_are_shown_in_their_units(results, tmp_path):
    write_page("one", metric="test/psnr", published=29.23)
    row = ledger.add([ended(tmp_path / "0", "one", 0, **{"test/psnr": 30.5, "test/error": 0.1})], results)
    shown = ledger.cells(row)
    assert (shown["ours"], shown["published"], shown["also"]) == ("30.5 dB", "29.23 dB", "error 10.00 %")


def test_a_page_that_was_not_run_says_so(results):
    write_page("published")
    write_page("unpublished", published=None)
    (row,) = ledger.rows(results)
    assert (row["page"], row["status"]) == ("published", "not run")
    results.mkdir(parents=True)
    ledger.render(results)
    text = (results / "README.md").read_text()
    assert "| published |" in text and "not run" in text and "| unpublished |" not in text
    assert "fovea reproduce published --seeds 1" in text


def test_the_last_samples_are_kept_and_linked(results, tmp_path):
    write_page("drawn")
    write_page("plain")
    drawn, plain = (ended(tmp_path / name, name, 0, **{"test/error": 0.01}) for name in ("drawn", "plain"))
    (drawn / "samples").mkdir()
    for shade, name in enumerate(("confusion.png", "samples/step_00000010.png", "samples/step_00000020.png")):
        Image.new("RGB", (3, 2), (shade, 0, 0)).save(drawn / name)
    ledger.add([drawn], results)
    ledger.add([plain], results)
    with Image.open(results / "pictures" / "drawn.png") as kept:
        assert kept.mode == "P" and kept.convert("RGB").getpixel((0, 0)) == (2, 0, 0)
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
    assert "not a work directory" in capsys.readouterr().err
    workdir = ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})
    assert cli.main(["ledger", "add", "--workdir", str(workdir)]) == 0
    assert cli.main(["ledger", "render"]) == 0


@pytest.mark.parametrize(
    "seeds, text", [([0], "1"), ([0, 1, 2], "3"), ([1, 2], "1,2,"), ([7], "7,"), ([0, 2], "0,2,"), ([1, 0], "1,0,")]
)
def test_a_command_names_the_seeds_of_its_row(results, seeds, text):
    write_page("one")
    assert ledger.command("one", seeds) == f"fovea reproduce one --seeds {text}"
    assert reproduce.which(values.seeds(text), catalogue.load("one"), "one") == seeds


@pytest.mark.parametrize(
    "code, mark",
    [(None, ""), ("1234567890", "older code"), ("", "unknown code"), ("unknown, then 1234567890", "unknown code")],
)
def test_a_row_of_other_code_says_so(results, tmp_path, code, mark):
    write_page("one")
    ledger.add([ended(tmp_path / "0", "one", 0, code=code, **{"test/error": 0.01})], results)
    assert ledger.rows(results)[0]["age"] == mark
    assert f"| {', '.join(filter(None, ('abc', mark)))} |" in (results / "README.md").read_text()


def test_a_row_of_which_one_run_had_other_code_is_of_older_code(results, tmp_path):
    write_page("one")
    runs = [ended(tmp_path / f"{s}", "one", s, code=["1" * 10, None][s], **{"test/error": 0.01}) for s in (0, 1)]
    ledger.add(runs, results)
    assert ledger.rows(results)[0]["age"] == "older code"


def test_a_page_that_changed_makes_its_row_one_of_older_code(results, tmp_path):
    write_page("one")
    ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)
    write_page("one", published=0.5, steps=100)
    assert ledger.rows(results)[0]["age"] == ""
    write_page("one", steps=101)
    assert ledger.rows(results)[0]["age"] == "older code"


def test_the_short_table_stands_between_its_marks(results, tmp_path):
    write_page("one")
    write_page("planned")
    readme = results.parents[1] / "README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text(f"# Title\n{ledger.BEGIN}\nold\n{ledger.END}\nThe rest.\n")
    ledger.add([ended(tmp_path / "0", "one", 0, **{"test/error": 0.01})], results)
    text = readme.read_text()
    assert text.startswith(f"# Title\n{ledger.BEGIN}\n| page |") and text.endswith(f"|\n{ledger.END}\nThe rest.\n")
    assert "| one | test/error | 2.00 % | 1.00 % | reproduced | 30 s |" in text and "planned" not in text
    assert "old" not in text
    ledger.render(results)
    assert readme.read_text() == text


def test_the_tables_of_this_repository_are_those_of_its_rows():
    found = ledger.rows(ledger.RESULTS)
    readme = (ledger.RESULTS.parents[1] / "README.md").read_text()
    shown = readme.partition(ledger.BEGIN + "\n")[2].partition(ledger.END)[0]
    assert shown == ledger.short(found), "make ledger"
    # Every change of the code makes rows older, and is no reason to write the table anew.
    unmarked = lambda text: re.sub(", (older|unknown) code ", " ", text)
    assert unmarked((ledger.RESULTS / "README.md").read_text()) == unmarked(ledger.full(found, ledger.RESULTS))
