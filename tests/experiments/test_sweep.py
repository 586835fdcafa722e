"""`fovea sweep`: what is searched, who works on it, and what is left of it when they are killed."""

import gc
import json
import os
import pathlib
import pickle
import shutil
import signal
import socket
import subprocess
import time

import jax
import numpy as np
import pytest

from data.source import Source
from experiments.build.parts import Parts
from experiments.commands import sweep as sweep_command
from experiments.errors import PageError
from experiments.launch import FOVEA, Job, Where, submit
from experiments.pages.catalogue import load, locate
from experiments.pages.overrides import override
from experiments.pages.stored import canonical
from experiments.runs.workdir import state
from experiments.sweeps import attend as attending
from experiments.sweeps import figures
from experiments.sweeps import worker as worker_module
from experiments.sweeps.attend import attend, conclude
from experiments.sweeps.spaces import combinations, space, spaces
from experiments.sweeps.sweep import Plan, Sweep, begin
from experiments.sweeps.worker import Worker
from training.loop import Interrupted
from training.records import read
from training.stop import StopSignal

PAGE = "mlp_digits"
SMALL = {"steps": 8, "log_every": 4, "evaluate_every": 4, "checkpoint_every": 4, "batch_size": 32}
OVER = {"schedule.peak": "log:1e-4..1e-1", "optimizer.b1": "0.8..0.95"}


def planned(trials=4, over=OVER, small=SMALL, **changes) -> Plan:
    overrides = [[f"train.{key}", str(value)] for key, value in small.items()]
    known = dict(metric="validation/accuracy", goal="max", sampler="random", pruner="none", seed=0, storage="")
    config = canonical(override(load(PAGE), overrides))
    return Plan(PAGE, overrides, config, dict(over), trials=trials, study="a study", **{**known, **changes})


def worked(folder, plan, slots=8) -> dict:
    """The results of a sweep that this process has worked on."""
    sweep = begin(folder, plan)
    Worker(sweep, slots).work(lambda boundary: False)
    return sweep.results()


def states(results) -> list[str]:
    return [trial["state"] for trial in results["trials"]]


# What is searched.


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("schedule.peak", "log:1e-4..1e-1", dict(low=1e-4, high=1e-1, log=True)),
        ("schedule.peak", "0.1..0.2", dict(low=0.1, high=0.2)),
        ("train.steps", "log:8..512", dict(low=8, high=512, log=True, whole=True)),
        ("train.batch_size", "32, 64", dict(choices=("32", "64"))),
        ("optimizer.clip_norm", "0.5..2", dict(low=0.5, high=2)),
        ("optimizer.name", "adam,sgd", dict(choices=("adam", "sgd"))),
    ],
)
def test_spaces(key, text, expected):
    found = space(key, text, load(PAGE))
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("schedule.peek", "1..2", "--over schedule.peek: unknown key 'peek': did you mean 'peak'?"),
        ("shedule.peak", "1..2", "--over shedule.peak: unknown section 'shedule': did you mean 'schedule'?"),
        ("schedule.peak", "2..1", "the range is empty: 2 is not less than 1"),
        ("schedule.peak", "log:0..1", "log spaces need positive bounds, not 0"),
        ("schedule.peak", "a..b", "'a..b' is not like 1e-4..1e-1"),
        ("schedule.peak", "1,,2", "a space is log:LOW..HIGH, LOW..HIGH or A,B,C"),
        ("schedule.peak", "1,1", "duplicate value"),
        ("schedule.peak", "0.1,1e-1", "duplicate value 1e-1"),
        ("train.steps", "8..9.5", "train.steps is an int"),
        ("train.steps", "8,many", "steps is an int"),
    ],
)
def test_a_space_that_is_none(key, text, line):
    with pytest.raises(PageError) as error:
        space(key, text, load(PAGE))
    assert line in str(error.value) and str(error.value).startswith(f"--over {key}")


def test_a_grid_wants_values():
    page = load(PAGE)
    assert combinations(spaces({"optimizer.name": "adam,sgd", "train.seed": "1,2"}, page))[1] == {
        "optimizer.name": "adam",
        "train.seed": "2",
    }
    with pytest.raises(PageError, match="a grid needs values"):
        combinations(spaces({"schedule.peak": "0.1..0.2"}, page))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--over schedule.peek=1..2", "--over schedule.peek: unknown key 'peek': did you mean 'peak'?"),
        ("--over schedule.peak=2..1", "--over schedule.peak=2..1: the range is empty"),
        ("", "--over KEY=SPACE is required"),
        ("--over schedule.peak=1..2 --metric validation/acuracy", "did you mean 'validation/accuracy'?"),
        ("--over schedule.peak=1..2 --metric validation/per_class_accuracy", "the page never reports it"),
        ("--over schedule.peak=1..2 --metric test/accuracy", "--metric test/accuracy: the page never reports it"),
        ("--over schedule.peak=1..2 --goal up", "--goal up: there is max, min"),
        (
            "--over schedule.peak=1..2 --metric train/gradient_norm",
            "--goal min or max is required: neither is known to be better for train/gradient_norm",
        ),
        ("--over schedule.peak=1..2 --sampler tpa", "--sampler tpa: did you mean 'tpe'?"),
        ("--over schedule.peak=1..2 --sampler grid", "a grid needs values"),
        ("--over schedule.peak=1..2 --trials 0", "--trials 0 is less than 1"),
        ("--over schedule.peak=1..2 --hosts 2", "--hosts 2: a trial has one host"),
        ("--over schedule.peak=1..2 --devices 2", "--devices 2: jax finds no accelerator on this machine"),
        ("--over schedule.peak=1..2 --storage mysqll://x/y", "--storage mysqll://x/y: a URL like postgresql://"),
        (
            "--over schedule.peak=1..2 --storage postgresql://me:secret@127.0.0.1:1/db",
            "--storage postgresql://me:…@127.0.0.1:1/db cannot be reached",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(fovea, tmp_path, monkeypatch, arguments, line):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    result = fovea("sweep", "--config", PAGE, "--workdir", tmp_path / "sweep", *arguments.split())
    assert result.code == 2 and line in result.error and result.error.count("\n") == 1 and "secret" not in result.error
    assert not (tmp_path / "sweep" / "sweep.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--over schedule.peak", "argument --over: 'schedule.peak' is not like"),
        ("--vectorize some", "argument --vectorize: 'some' is not auto, no, or a number of trials"),
    ],
)
def test_arguments_that_are_none(fovea, tmp_path, capsys, arguments, line):
    with pytest.raises(SystemExit) as left:
        fovea("sweep", "--config", PAGE, "--workdir", tmp_path, *arguments.split())
    assert left.value.code == 2 and line in capsys.readouterr().err


def test_the_folder_of_another_sweep(tmp_path):
    begin(tmp_path, planned())
    before = (tmp_path / "sweep.json").read_text()
    others = {
        "over: stored": planned(over={"optimizer.b1": "0.8..0.95"}),
        "train.steps: stored 8, given 4": planned(small={**SMALL, "steps": 4}),
        "goal: stored 'max', given 'min'": planned(goal="min"),
    }
    for line, plan in others.items():
        with pytest.raises(PageError, match=line):
            begin(tmp_path, plan)
    assert (tmp_path / "sweep.json").read_text() == before
    assert begin(tmp_path, planned(trials=9)).limit == 9  # of these there may be more
    with pytest.raises(PageError, match="is not a sweep: cannot read"):
        Sweep(tmp_path / "nowhere")


# Who works on it.


def test_what_it_leaves(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Source, "description", "digits: 1,797 images")
    results = worked(tmp_path, planned(trials=6))
    assert capsys.readouterr().err.count("digits: 1,797 images") == 1  # once for all trials
    assert states(results) == ["complete"] * 6 and len({str(t["params"]) for t in results["trials"]}) == 6
    for trial in results["trials"]:
        workdir = tmp_path / "trials" / f"{trial['number']:04}"
        assert state(workdir) == "finished"
        values = [r["validation/accuracy"] for r in read(workdir) if "validation/accuracy" in r]
        assert trial["value"] == max(values) and len(values) == 2
        assert json.loads((workdir / "config.json").read_text())["schedule"]["peak"] == trial["params"]["schedule.peak"]
        assert not any(name.startswith("test/") for r in read(workdir) for name in r)
    best = max(results["trials"], key=lambda trial: trial["value"])
    assert results["best"] == best["number"]
    each = [trial["seconds"] for trial in results["trials"]]
    assert max(each) <= results["seconds"] < sum(each)  # side by side
    conclude(Sweep(tmp_path))
    assert {"parallel.png", "slices.png", "importance.png"} <= {path.name for path in tmp_path.iterdir()}
    assert "6 complete" in capsys.readouterr().out
    (tmp_path / "importance.png").unlink()
    monkeypatch.setattr(figures, "slices", lambda *_: 1 / 0)
    conclude(Sweep(tmp_path))
    said = capsys.readouterr()
    assert "6 complete" in said.out and "no picture slices: ZeroDivisionError" in said.err
    assert (tmp_path / "importance.png").exists()
    page = load(str(tmp_path / "best.py"))
    assert page.schedule.peak == best["params"]["schedule.peak"] and page.train.steps == 8 and page.data.test == "test"
    importance = json.loads((tmp_path / "results.json").read_text())["importance"]
    assert importance.keys() == OVER.keys() and sum(importance.values()) == pytest.approx(1)


THREE = {"model.activation": "relu,tanh,gelu"}


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "grid"])
def test_a_finite_space_is_tried_once_and_ends(tmp_path, sampler):
    results = worked(tmp_path, planned(trials=32, over=THREE, sampler=sampler, small={**SMALL, "steps": 4}))
    assert sorted(trial["params"]["model.activation"] for trial in results["trials"]) == ["gelu", "relu", "tanh"]
    assert Sweep(tmp_path).ended()


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_setting_is_tried_twice(tmp_path, sampler):
    """More trials than TPE draws at random, in a space that leaves three of 18 settings untried."""
    over = {"model.activation": "relu,tanh,gelu", "schedule.peak": "0.1,0.01", "train.batch_size": "16..18"}
    sweep = begin(tmp_path, planned(trials=15, over=over, sampler=sampler))
    seen = []
    while (trial := sweep.take()) is not None:
        seen.append(trial.params)
        sweep.report(trial, 4, float(trial.params["schedule.peak"]))
        sweep.tell(trial)
    assert len(seen) == 15 and len({str(sorted(params.items())) for params in seen}) == 15
    # The search still prefers what was good: it is not a list that is worked off.
    assert sum(params["schedule.peak"] == "0.1" for params in seen) >= 7


def test_settings_are_repeated_where_seeds_are_asked_for(tmp_path):
    sweep = begin(tmp_path, planned(trials=32, over={**THREE, "train.seed": "0..1"}))
    assert sweep.limit == 6


def test_a_sweep_that_is_shorter_than_asked_says_so(fovea, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.sweeps.attend.work", lambda sweep, vectorize: 0)
    over = ["--over", "model.activation=relu,tanh,gelu"]
    found = fovea("sweep", "--config", PAGE, "--workdir", tmp_path / "a", *over)
    assert "32 trials would repeat settings: there are 3, and each is tried once" in found.error
    assert "--over train.seed=0..4" in found.error
    found = fovea("sweep", "--config", PAGE, "--workdir", tmp_path / "b", "--trials", 3, *over)
    assert "would repeat" not in found.error


def test_a_score_that_is_not_a_number_is_never_the_best_trial(tmp_path):
    sweep = begin(tmp_path, planned(trials=3, over=THREE))
    for values in ((0.5, np.nan), (np.nan, np.nan), (np.inf, 0.25)):
        trial = sweep.take()
        for step, value in enumerate(values, 1):
            sweep.report(trial, step, value)
        sweep.tell(trial)
    results = sweep.write()
    assert [trial["value"] for trial in results["trials"]] == [0.5, None, 0.25] and results["best"] == 0
    assert results["trials"][1]["why"] == "it never reported a finite validation/accuracy"


def test_together_they_reach_what_they_reach_one_by_one(tmp_path):
    pair = [worked(tmp_path / name, planned(), slots) for name, slots in (("together", 8), ("alone", 1))]
    for one, other in zip(*(results["trials"] for results in pair), strict=True):
        assert one["params"] == other["params"] and one["value"] == pytest.approx(other["value"], abs=0.03)


def test_keys_that_make_another_program(tmp_path):
    """Of each kind as many as fit are trained together; values that do not go together fail, and say why."""
    over = {"optimizer.name": "adam,sgd", "train.seed": "0,1,2", "optimizer.b1": "0.8..0.9"}
    results = worked(tmp_path, planned(trials=8, over=over))
    for trial in results["trials"]:
        sgd = trial["params"]["optimizer.name"] == "sgd"
        assert trial["state"] == ("failed" if sgd else "complete")
        assert ("unknown key 'b1'" in trial["why"]) if sgd else (trial["why"] is None)
    assert set(states(results)) == {"failed", "complete"}


def test_of_many_kinds_the_programs_are_forgotten(tmp_path, monkeypatch):
    """A process that keeps them all is killed after some hundred."""
    monkeypatch.setattr(worker_module, "GROUPS", 2)
    left = []

    def show(number, done):
        if done is None:
            gc.collect()
            left.append(len(jax.devices()[0].client.live_executables()))

    sweep = begin(tmp_path, planned(trials=4, over={"train.batch_size": "16,24,32,40"}, sampler="grid"))
    Worker(sweep, 1, show).work(lambda boundary: False)
    assert states(sweep.results()) == ["complete"] * 4
    assert left[0] < left[1] > left[2] < left[3]


def test_a_network_that_cannot_be(tmp_path):
    over = {"model.activation": "relu,rleu", "train.seed": "0,1"}
    results = worked(tmp_path, planned(trials=4, over=over, sampler="grid"))
    assert states(results) == ["complete"] * 2 + ["failed"] * 2
    assert "did you mean 'relu'?" in results["trials"][2]["why"]


def test_whatever_a_network_raises_stops_no_other(tmp_path, monkeypatch):
    def parts(page):
        if page.model.activation == "tanh":
            raise ZeroDivisionError("of a kind")
        return Parts(page)

    monkeypatch.setattr(worker_module, "Parts", parts)
    results = worked(tmp_path, planned(trials=2, over={"model.activation": "tanh,relu"}, sampler="grid"))
    assert states(results) == ["failed", "complete"] and results["trials"][0]["why"] == "of a kind"


def test_a_grid_is_done_once(tmp_path):
    over = {"schedule.peak": "0.001,0.01", "train.seed": "0,1"}
    sweep = begin(tmp_path, planned(trials=32, over=over, sampler="grid"))
    sweep.study.enqueue_trial(combinations(sweep.spaces)[0])  # by a worker that was killed just then
    results = worked(tmp_path, sweep.plan)
    tried = [(trial["params"]["schedule.peak"], trial["params"]["train.seed"]) for trial in results["trials"]]
    assert tried == [(0.001, 0), (0.001, 1), (0.01, 0), (0.01, 1)] and states(results) == ["complete"] * 4


@pytest.mark.parametrize("slots", [1, 8])
def test_a_trial_that_breaks_says_why_and_stops_no_other(tmp_path, slots):
    over = {"schedule.peak": "1e30,0.01,0.001"}
    results = worked(tmp_path, planned(trials=3, over=over, sampler="grid"), slots)
    assert states(results) == ["failed", "complete", "complete"]
    assert "at step" in results["trials"][0]["why"] and results["best"] in (1, 2)


@pytest.mark.parametrize("slots", [1, 8])
def test_what_lags_behind_is_pruned(tmp_path, slots):
    over = {"schedule.peak": ",".join([*(f"{0.01 + i / 1000:g}" for i in range(9)), *("1e-9", "2e-9")])}
    small = {**SMALL, "steps": 12}
    results = worked(tmp_path, planned(trials=11, over=over, sampler="grid", pruner="median", small=small), slots)
    assert states(results)[9:] == ["pruned"] * 2 and results["trials"][10]["step"] < 12
    assert state(tmp_path / "trials" / "0010") == "pruned"
    assert results["best"] < 9


def test_a_study_that_would_run_code(tmp_path):
    """CMA-ES keeps its state pickled."""
    sweep = begin(tmp_path, planned(trials=3, over={"schedule.peak": "1e-3..1e-1"}, sampler="cmaes"))

    class Bomb:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "exploded",)

    trial = sweep.take()
    sweep.report(trial, 8, 0.5)
    sweep.study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", pickle.dumps(Bomb()).hex())
    sweep.tell(trial)
    with pytest.raises(PageError, match=r"no state of CMA-ES but pathlib"):
        sweep.take()
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
@pytest.mark.parametrize("pruner", ["hyperband", "asha"])
def test_samplers_and_pruners(tmp_path, sampler, pruner):
    results = worked(tmp_path, planned(trials=3, sampler=sampler, pruner=pruner))
    assert set(states(results)) <= {"complete", "pruned"} and len(results["trials"]) == 3


# What is left when they are killed.


def command(folder, trials, *more, steps=400, every=100):
    small = {**SMALL, "steps": steps, "log_every": every, "evaluate_every": every, "checkpoint_every": every}
    return [
        *("sweep", "--config", PAGE, "--workdir", str(folder), "--trials", str(trials), "--sampler", "random"),
        *(f"--over={key}={text}" for key, text in OVER.items()),
        *(f"--config.train.{key}={value}" for key, value in small.items()),
        *more,
    ]


def until(condition) -> None:
    limit = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def saved(folder, number=0) -> list[int]:
    return [int(path.parent.name) for path in (folder / "trials" / f"{number:04}").glob("checkpoints/*/files.json")]


@pytest.mark.usefixtures("one_device", "nothing_stays")
@pytest.mark.parametrize("vectorize", ["auto", "no"])
def test_killed_and_started_again_it_goes_on(tmp_path, vectorize):
    """What was under way goes on from its last checkpoint, and comes out as if nothing had been."""
    arguments = command(tmp_path / "killed", 2, "--vectorize", vectorize, steps=2000)
    process = subprocess.Popen([*FOVEA, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: saved(tmp_path / "killed"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = max(saved(tmp_path / "killed"))
    assert states(Sweep(tmp_path / "killed").results())[0] == "running"
    subprocess.run([*FOVEA, *arguments], check=True, capture_output=True)
    steps = [record["step"] for record in read(tmp_path / "killed" / "trials" / "0000")]
    assert steps == sorted(steps) and 100 <= newest < 2000
    subprocess.run([*FOVEA, *command(tmp_path / "whole", 2, "--vectorize", vectorize, steps=2000)], check=True)
    killed, whole = (Sweep(tmp_path / name).results()["trials"] for name in ("killed", "whole"))
    assert [t["state"] for t in killed] == ["complete"] * 2
    assert killed[0]["params"] == whole[0]["params"] and killed[0]["value"] == whole[0]["value"]
    losses = [
        [r["train/loss"] for r in read(tmp_path / name / "trials" / "0000") if "train/loss" in r]
        for name in ("killed", "whole")
    ]
    assert losses[0] == losses[1]


@pytest.mark.usefixtures("one_device", "nothing_stays")
def test_two_workers_of_whom_one_is_killed(tmp_path):
    """Each trial is trained once; the other worker takes up what the killed one left."""
    sweep = begin(
        tmp_path, planned(trials=4, small={**SMALL, "steps": 1000, "evaluate_every": 100, "checkpoint_every": 100})
    )
    one, two = submit(
        ["sweep", "--worker", "--workdir", str(tmp_path), "--vectorize", "no"], Where(), tmp_path, copies=2
    )
    until(lambda: saved(tmp_path, 0) and saved(tmp_path, 1))
    os.kill(int(one.name.split()[-1]), signal.SIGKILL)
    assert one.wait() != 0
    assert two.wait() == 0, two.log.read_text()
    assert states(sweep.results()) == ["complete"] * 4
    assert (tmp_path / "best.py").exists() and (tmp_path / "slices.png").exists()


def test_interrupted_it_leaves_its_trials_to_others(tmp_path):
    sweep, asked = begin(tmp_path, planned(trials=2)), iter(range(100))
    with pytest.raises(Interrupted):
        Worker(sweep, 8).work(lambda boundary: next(asked) == 5)
    assert states(sweep.results()) == ["running", "running"]
    assert state(tmp_path / "trials" / "0000") == "interrupted"
    with pytest.raises(Interrupted):
        Worker(Sweep(tmp_path), 1).work(lambda boundary: True)
    Worker(Sweep(tmp_path), 1).work(lambda boundary: False)
    assert states(sweep.results()) == ["complete", "complete"]


def test_a_signal_during_one_trial_ends_the_sweep():
    with StopSignal() as of_sweep:
        with StopSignal() as of_trial:
            os.kill(os.getpid(), signal.SIGTERM)
            assert of_trial(True) and not of_sweep(True)
        assert of_sweep(True)


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, -9), 1), ((75, 2), 75)])
def test_workers_that_leave_trials(tmp_path, codes, code):
    jobs = [Job("a worker", tmp_path, "", lambda code=code: code, lambda: None) for code in codes]
    assert attend(begin(tmp_path, planned()), jobs) == code


def test_what_workers_are_told(fovea, tmp_path, monkeypatch):
    """Each takes its share, and all of a grid is theirs."""
    told = []
    monkeypatch.setattr(sweep_command, "submit", lambda command, *rest, **more: told.append(command) or [])
    monkeypatch.setattr(attending, "attend", lambda found, jobs: told.append(found.limit) or 0)
    seeds = ",".join(map(str, range(40)))
    grid = ["--sampler", "grid", "--over", f"train.seed={seeds}", "--workers", "4"]
    assert fovea("sweep", "--config", PAGE, "--workdir", tmp_path, *grid).code == 0
    assert told[0][-2:] == ["--vectorize", "10"] and told[1] == 40


# Elsewhere.


@pytest.mark.usefixtures("one_device", "nothing_stays")
def test_on_a_ray_cluster_of_two_nodes(cluster, tmp_path, fovea):
    arguments = command(tmp_path, 4, "--on", "ray", "--address", cluster.address, "--workers", "2", steps=100)
    result = fovea(*arguments, "--vectorize", "no")
    assert result.code == 0, result.error
    assert states(Sweep(tmp_path).results()) == ["complete"] * 4
    assert all((tmp_path / name).exists() for name in ("log.txt", "log1.txt", "best.py"))


@pytest.mark.usefixtures("one_device", "nothing_stays")
def test_as_a_slurm_array(on_slurm, tmp_path):
    begin(tmp_path, planned(trials=3))
    jobs = submit(["sweep", "--worker", "--workdir", str(tmp_path)], on_slurm, tmp_path, copies=2)
    assert [job.wait() for job in jobs] == [0, 0]
    assert states(Sweep(tmp_path).results()) == ["complete"] * 3


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """The URL of a real server that runs for these tests."""
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    pytest.importorskip("psycopg")
    if not programs:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("postgresql")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    as_owner = []
    if os.getuid() == 0:  # as whom it refuses to run
        as_owner = ["runuser", "-u", "postgres", "--"]
        folder = pathlib.Path("/tmp") / f"fovea-postgresql-{os.getpid()}"
        folder.mkdir()
        shutil.chown(folder, "postgres")
    run = lambda *words: subprocess.run([*as_owner, *map(str, words)], check=True, capture_output=True, cwd="/")
    try:
        run(programs[-1] / "initdb", "-D", folder / "data", "-U", "fovea", "--auth=trust")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        run(programs[-1] / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        yield f"postgresql://fovea@127.0.0.1:{port}/postgres"
        run(programs[-1] / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_study_in_postgresql(postgresql, tmp_path):
    results = worked(tmp_path, planned(storage=postgresql))
    assert states(results) == ["complete"] * 4 and not (tmp_path / "study.journal").exists()
    again = Sweep(tmp_path)  # another worker reads the same
    assert again.results() == results and again.take() is None


def test_a_page_says_what_is_searched(fovea, tmp_path):
    source = locate(PAGE)
    page = tmp_path / "mine.py"
    page.write_text(
        source.read_text() + "\n\ndef sweep():\n    return dict(over={'schedule.peak': '0.01,0.02'}, sampler='grid')\n"
    )
    small = {f"train.{key}": value for key, value in SMALL.items()}
    result = fovea("sweep", "--config", page, "--workdir", tmp_path / "s", **small)
    assert result.code == 0 and "2 complete" in result.out and "trial 1 complete" in result.error
    assert np.isfinite([trial["value"] for trial in Sweep(tmp_path / "s").results()["trials"]]).all()
    assert fovea("ps", tmp_path / "s").out.count("finished") == 2
    page.write_text(page.read_text().replace("sampler=", "smapler="))
    wrong = fovea("sweep", "--config", page, "--workdir", tmp_path / "t", **small)
    assert wrong.code == 2 and "unknown key 'smapler': did you mean 'sampler'?" in wrong.error
