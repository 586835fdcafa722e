"""`fovea reproduce`: one page's seeds and row; of several what fits into a budget, which is kept whatever they do."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from experiments import cli
from experiments.ledger import reproduce
from experiments.ledger import rows as ledger
from experiments.ledger.reproduce import Job, carry_out, end_within, gather
from experiments.pages import catalogue
from experiments.pages.catalogue import load
from training.loop import Interrupted
from training.stop import StopSignal

PAGE = """
from experiments.pages import page

def get_config():
    return page(
        paper=dict(title="A paper", metric={metric!r}, steps=100),
        model=dict(name="mlp", hidden=(8,)),
        task=dict(name="classification"),
        data=dict(name={data!r}),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(steps=4, batch_size=64, log_every=2, evaluate_every=4, checkpoint_every=2, judge={judge!r}),
    )
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where runs go; pages and rows are the test's own."""
    monkeypatch.setattr(catalogue, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "here" / "experiments" / "results")
    (tmp_path / "configs").mkdir()
    return tmp_path / "runs"


def write_page(name, metric="test/error", data="digits", judge=""):
    (catalogue.CONFIGS / f"{name}.py").write_text(PAGE.format(metric=metric, data=data, judge=judge))


def test_each_seed_is_trained_and_the_row_added(root, capsys):
    write_page("one")
    command = ["reproduce", "one", "--seeds", "2", "--workdir", str(root)]
    assert cli.main(command) == 0
    row = json.loads((ledger.RESULTS / "one.json").read_text())
    assert row["seeds"] == [0, 1] and len(set(row["values"])) == 2 and row["hardware"] and row["seconds"] > 0
    assert ledger.rows(ledger.RESULTS)[0]["age"] == "" and math.isfinite(row["mean"])
    for seed in (0, 1):
        left = {path.name for path in (root / "one" / f"seed{seed}").iterdir()}
        assert {"summary.json", "curves.png", "confusion.png", "mistakes.png"} <= left
    before = (root / "one" / "seed0" / "summary.json").stat().st_mtime_ns
    assert cli.main(command[:2] + command[4:]) == 0  # the seeds of the row; what has ended is not run again
    assert (root / "one" / "seed0" / "summary.json").stat().st_mtime_ns == before
    assert json.loads((ledger.RESULTS / "one.json").read_text())["seeds"] == [0, 1]


def test_a_signal_as_a_seed_ends_begins_no_other(tmp_path, monkeypatch):
    begun = []

    class Ends:
        def train(self):
            begun.append(self)
            with StopSignal():
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(reproduce, "build", lambda page, workdir: Ends())
    with pytest.raises(Interrupted, match="0 of seed 1"):
        reproduce.train_seeds(load("mlp_digits"), [0, 1], tmp_path)
    assert len(begun) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["one", "--config.train.batch_size=32"], "nearest to one"),
        (["none"], "unknown config page 'none'"),
        (["unmeasured"], "names no paper.metric"),
        (["one", "absent"], "absent: no folder 'nowhere'"),
        (["--config.train.steps=2"], "name the pages that it applies to"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_trained(root, capsys, arguments, message):
    write_page("one")
    write_page("unmeasured", metric="")
    write_page("absent", data="pairs:nowhere")
    assert cli.main(["reproduce", *arguments, "--workdir", str(root)]) == 2
    assert message in capsys.readouterr().err
    assert not root.exists()


@pytest.mark.parametrize(
    "arguments", [["--seeds", "0"], ["--seeds", "1,1"], ["--seeds", "few"], ["--budget", "0"], ["--budget", "nan"]]
)
def test_arguments_that_mean_nothing(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(["reproduce", *arguments])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_pages_without_a_name_are_those_of_papers_whose_data_are_there(root):
    write_page("one")
    write_page("unmeasured", metric="")
    write_page("absent", data="pairs:nowhere")
    write_page("unprepared", data="tfds:cifar10_1")
    write_page("judged", judge="runs/one/seed0")
    jobs, outcomes = gather([], [], None, root)
    assert [(job.name, job.seeds, job.steps, job.judge) for job in jobs] == [
        ("judged", [0], 4, "runs/one/seed0"),
        ("one", [0], 4, ""),
    ]
    assert outcomes["absent"].startswith("skipped: no folder 'nowhere'")
    assert outcomes["unprepared"].startswith("skipped: tfds:cifar10_1 is not prepared")
    assert "unmeasured" not in outcomes


def test_what_is_done_of_a_run_need_not_be_done_again(root):
    write_page("one")
    for seed, name, text in ((0, "summary.json", "{}"), (1, "metrics.jsonl", '{"step": 1}\n')):
        (root / "one" / f"seed{seed}").mkdir(parents=True)
        (root / "one" / f"seed{seed}" / name).write_text(text)
    ledger.RESULTS.mkdir(parents=True)
    row = {"page": "one", "status": "measured", "seeds": [0, 1, 2], "steps": 4, "seconds": 8.0, "code": "unknown"}
    (ledger.RESULTS / "one.json").write_text(json.dumps(row))
    ((job,), _) = gather([], [], None, root)
    assert (job.seeds, job.steps, job.seconds, job.stale) == ([0, 1, 2], 3 + 4, 14.0, True)


class Machine:
    """A clock, and runs that take what `lengths` says, or as long as they may."""

    def __init__(self, **lengths):
        self.now, self.lengths, self.begun = 0.0, lengths, []

    def clock(self):
        return self.now

    def run(self, job, seconds, grace):
        self.begun.append(job.name)
        took = self.lengths[job.name]
        if isinstance(took, str):
            self.now += 1
            return took
        self.now += min(took, seconds)
        return "ended" if took <= seconds else "interrupted"

    def measure(self, job, limit):
        self.now += limit
        return self.lengths[job.name]

    def carry_out(self, jobs, budget):
        outcomes = {}
        carry_out(jobs, outcomes, budget, self.run, self.measure, self.clock)
        assert budget is None or self.now <= budget
        assert outcomes.keys() == {job.name for job in jobs}
        return outcomes


def job(name, seconds=None, **rest):
    return Job(name, [0], 100, seconds, **rest)


def test_cheapest_first_and_only_what_fits():
    machine = Machine(a=300, b=100, c=700, d=50)
    outcomes = machine.carry_out([job("a", 300), job("b", 100), job("c", 700), job("d", 50, stale=False)], 1000)
    assert machine.begun == ["b", "a", "d"]
    assert outcomes["a"] == "ended after 5 min"
    assert outcomes["c"] == "not begun: takes about 11.7 min, and 10.0 min were left"


def test_without_a_budget_all_are_run():
    machine = Machine(a=300, b=100, c=9e9)
    machine.carry_out([job("c"), job("a", 300), job("b", 100)], None)
    assert machine.begun == ["b", "a", "c"]


def test_a_slow_machine_begins_less():
    machine = Machine(a=200, b=400)
    outcomes = machine.carry_out([job("a", 100), job("b", 200)], 500)
    assert machine.begun == ["a"] and "b" in outcomes


def test_a_page_of_unknown_length_is_measured_last():
    machine = Machine(a=100, short=100, long=5000)
    outcomes = machine.carry_out([job("long"), job("short"), job("a", 100)], 600)
    assert machine.begun == ["a", "short"]
    assert outcomes["long"].startswith("not begun: takes about 83.3 min")


def test_what_cannot_be_measured_is_not_begun():
    machine = Machine(a=None)
    assert machine.carry_out([job("a")], 600)["a"] == "not begun: its length is not known, and 9.0 min were left"
    assert machine.carry_out([job("a")], 100)["a"] == "not begun: its length is not known, and 1.7 min were left"


def test_a_named_page_is_begun_and_interrupted():
    machine = Machine(a=5000)
    assert machine.carry_out([job("a", 5000, named=True)], 600)["a"].startswith("interrupted after 10 min")


def test_a_page_that_fails_does_not_stop_the_others():
    machine = Machine(a="failed: loss is nan at step 3", b=10)
    outcomes = machine.carry_out([job("a", 5), job("b", 10)], 600)
    assert outcomes["a"].startswith("failed: loss is nan") and outcomes["b"].startswith("ended")


def test_a_judge_is_trained_before_the_page_that_it_judges(tmp_path):
    machine = Machine(judged=10, judge=20, orphan=5)
    run = machine.run

    def leaves_a_summary(job, seconds, grace):
        (tmp_path / job.name).mkdir()
        (tmp_path / job.name / "summary.json").write_text("{}")
        return run(job, seconds, grace)

    machine.run = leaves_a_summary
    of = lambda name: str(tmp_path / name)
    outcomes = machine.carry_out(
        [job("judged", 10, judge=of("judge")), job("judge", 20), job("orphan", 5, judge=of("nobody"))], 600
    )
    assert machine.begun == ["judge", "judged"]
    assert outcomes["orphan"] == f"skipped: its judge {of('nobody')} is not there"


@pytest.mark.parametrize("deaf, code", [(False, 75), (True, -9)])
def test_a_process_ends_in_time_whether_it_wants_or_not(deaf, code):
    handler = "signal.SIG_IGN" if deaf else "lambda *_: sys.exit(75)"
    program = f"import signal, sys, time; signal.signal(signal.SIGTERM, {handler}); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        began = time.monotonic()
        assert end_within(child, seconds=1.0, grace=0.5) == (code, False)
        assert time.monotonic() - began < 1.5


def test_a_budget_of_seconds_is_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "here" / "experiments" / "results")
    began = time.monotonic()
    command = ["reproduce", "unet_scenes", "--seeds", "7,", "--budget", "0.2", "--workdir", str(tmp_path / "runs")]
    assert cli.main(command) == 0
    assert time.monotonic() - began < 12.5
    assert "interrupted (the next call resumes)" in capsys.readouterr().out
