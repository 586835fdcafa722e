"""Runs trained as one program are the runs trained alone."""

import json

import jax
import pytest

from experiments.build.parts import Parts
from experiments.pages.overrides import override
from experiments.pages.schema import page as make_page
from experiments.runs.run import Run
from experiments.runs.together import Program, Trial, signature
from training import loop
from training.records import read

# These programs run longer than they compile.
pytestmark = pytest.mark.usefixtures("optimised")

TINY = dict(
    model=dict(name="lenet5"),
    task=dict(name="classification", label_smoothing=0.1),
    data=dict(name="digits", size=32, train="train[:30%]", validation="train[95%:]", test="", augment=("pad_crop(2)",)),
    optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
    schedule=dict(name="cosine", peak=0.05, warmup_steps=2),
    train=dict(batch_size=8, steps=20, log_every=5, evaluate_every=10, checkpoint_every=10, evaluate_batch_size=32),
    devices=dict(kind="mesh"),
)
NUMBERS = [
    {},
    {"schedule.peak": "0.01", "task.label_smoothing": "0.0", "optimizer.momentum": "0.5"},
    {"optimizer.weight_decay": "0.01", "schedule.warmup_steps": "7"},
]
SEEDS = [{"train.seed": "3"}, {"train.seed": "4", "schedule.peak": "0.01"}]


def tiny(**changes):
    sections = {name: {**section, **changes.get(name, {})} for name, section in TINY.items()}
    return make_page(**sections)


def together(root, page, changes, slots=None, stop=lambda boundary: False, watch=None, outcomes=None):
    """Trains `page` with each of `changes` as one program, in folders of their numbers."""
    outcomes = {} if outcomes is None else outcomes
    first = Run(Parts(page), root / "0")
    trials = (
        Trial(
            first.sibling(override(page, change.items()), root / str(i)),
            watch=watch and (lambda done, numbers, i=i: watch(i, done, numbers)),
            ended=lambda outcome, i=i: outcomes.__setitem__(i, outcome),
            draw=False,
        )
        for i, change in enumerate(changes)
    )
    Program(first, slots or len(changes)).train(trials, stop)
    return outcomes


def alone(root, page, changes):
    for i, change in enumerate(changes):
        Run(Parts(override(page, change.items())), root / str(i)).train()


def leaves(workdir, page, step):
    state, _, _ = Run(Parts(page), workdir).restore(step)
    return jax.tree.leaves((state.params, state.stats, state.opt_state, state.ema))


def difference(root, page, i, step):
    """The largest difference of any number of run `i`'s state, relative to what is largest."""
    pair = (leaves(root / where / str(i), page, step) for where in ("together", "alone"))
    return max(abs(a - b).max() / max(1.0, abs(b).max()) for a, b in zip(*pair, strict=True) if a.size)


def differences(root, page, changes, step):
    return [difference(root, page, i, step) for i in range(len(changes))]


@pytest.fixture
def float64():
    yield dict(dtype="float64", param_dtype="float64")
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        (NUMBERS, dict(name="lenet5")),
        (NUMBERS + SEEDS, dict(name="lenet5")),
        (
            [{"model.dropout_rate": "0.1"}, {"model.dropout_rate": "0.4"}],
            dict(name="resnet_cifar", depth=8, dropout_rate=0.2),
        ),
    ],
    ids=["numbers", "seeds", "dropout and batch statistics"],
)
def test_in_float64_twenty_steps_are_the_same(tmp_path, float64, changes, model):
    page = tiny(train=dict(**TINY["train"], **float64, ema=0.9), model=model)
    outcomes = together(tmp_path / "together", page, changes)
    assert [outcomes[i]["step"] for i in range(len(changes))]
    alone(tmp_path / "alone", page, changes)
    assert max(differences(tmp_path, page, changes, step=20)) < 1e-9
    for i in range(len(changes)):
        ours, theirs = (read(tmp_path / where / str(i)) for where in ("together", "alone"))
        same = lambda record: {k: v for k, v in record.items() if not k.startswith(("time/", "memory/"))}
        for a, b in zip(map(same, ours), map(same, theirs), strict=True):
            assert a.keys() == b.keys()
            assert all(v == b[k] if isinstance(v, str) else v == pytest.approx(b[k], rel=1e-9) for k, v in a.items())


def test_all_at_once_as_on_an_accelerator(tmp_path, float64, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    page, changes = tiny(train=dict(**TINY["train"], **float64)), NUMBERS + SEEDS
    assert all("steps" in outcome for outcome in together(tmp_path / "together", page, changes).values())
    alone(tmp_path / "alone", page, changes)
    assert max(differences(tmp_path, page, changes, step=20)) < 1e-9


def test_in_float32_one_step_is_the_same(tmp_path):
    page = tiny(train=dict(**{**TINY["train"], "steps": 1}))
    together(tmp_path / "together", page, NUMBERS)
    alone(tmp_path / "alone", page, NUMBERS)
    assert max(differences(tmp_path, page, NUMBERS, step=1)) < 1e-3


def test_a_slot_that_is_free_takes_the_next_and_a_broken_or_pruned_run_stops_none(tmp_path, float64):
    """Two slots for five runs: one diverges, one is pruned, and those that take their slots are out of step."""
    page = tiny(train=dict(**TINY["train"], **float64))
    changes = [{"schedule.peak": "1e30"}, *NUMBERS, {"optimizer.momentum": "0.1"}]

    def watch(i, done, numbers):
        if i == 1 and done == 10 and "validation/accuracy" in numbers:
            raise loop.Pruned

    outcomes = together(tmp_path / "together", page, changes, slots=2, watch=watch)
    assert "at step" in str(outcomes[0]) and isinstance(outcomes[1], loop.Pruned)
    assert [outcomes[i]["steps"] for i in (2, 3, 4)] == [20] * 3
    ended = [json.loads((tmp_path / "together" / str(i) / "lock").read_text()).get("ended") for i in range(5)]
    assert ended[0].startswith("failed: ") and ended[1] == "pruned" and ended[2] is None
    for i in (2, 3, 4):
        Run(Parts(override(page, changes[i].items())), tmp_path / "alone" / str(i)).train()
        assert difference(tmp_path, page, i, step=20) < 1e-9


def test_interrupted_they_go_on_together_or_alone(tmp_path, float64):
    page = tiny(train=dict(**TINY["train"], **float64))
    asked = iter(range(100))
    with pytest.raises(loop.Interrupted):
        together(tmp_path / "together", page, NUMBERS[:2], stop=lambda boundary: next(asked) == 12)
    Run(Parts(override(page, NUMBERS[0].items())), tmp_path / "together" / "0").train()  # alone, from step 13
    together(tmp_path / "together", page, NUMBERS)  # the first has ended, the second goes on, the third begins
    alone(tmp_path / "alone", page, NUMBERS)
    assert max(differences(tmp_path, page, NUMBERS, step=20)) < 1e-9


def test_a_gan_whose_updates_see_their_own_batches(tmp_path, float64):
    small = dict(hidden=(8,))
    page = make_page(
        model=dict(critic=dict(name="gan_discriminator", **small), generator=dict(name="gan_generator", **small)),
        task=dict(name="gan", loss="wasserstein", updates=2, gradient_penalty=0.1),
        data=dict(name="gaussians"),
        optimizer=dict(name="adam", b1=0.0),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(
            batch_size=8,
            steps=6,
            log_every=2,
            evaluate_every=6,
            checkpoint_every=6,
            judge="pixels",
            judge_samples=64,
            **float64,
        ),
        devices=dict(kind="mesh"),
    )
    changes = [{}, {"task.gradient_penalty": "0.5", "optimizer.b1": "0.3"}, {"train.seed": "5"}]
    outcomes = together(tmp_path / "together", page, changes)
    assert all(outcomes[i]["test/judge"].startswith("pixels") for i in range(3))  # at the end, run by run
    alone(tmp_path / "alone", page, changes)
    assert max(differences(tmp_path, page, changes, step=6)) < 1e-9


def test_what_is_no_number_is_another_program():
    page = tiny()
    numbers = set(Parts(page).numbers)
    assert {"schedule.peak", "optimizer.weight_decay", "optimizer.momentum", "task.label_smoothing"} <= numbers
    same = lambda *changes: signature(override(page, changes), numbers) == signature(page, numbers)
    assert same(("schedule.peak", "1.0"), ("train.seed", "5"), ("optimizer.momentum", "0.1"))
    assert not same(("train.batch_size", "16")) and not same(("optimizer.nesterov", "true"))
    assert "model.dropout_rate" not in Parts(tiny(model=dict(name="resnet_cifar", depth=8))).numbers


def test_several_steps_per_call(tmp_path, float64):
    page = tiny(train=dict(**TINY["train"], **float64, steps_per_call=5))
    together(tmp_path / "together", page, NUMBERS + SEEDS[:1])
    alone(tmp_path / "alone", page, NUMBERS + SEEDS[:1])
    assert max(differences(tmp_path, page, NUMBERS + SEEDS[:1], step=20)) < 1e-9


def test_seeds_of_a_page(fovea, small, tmp_path):
    arguments = ("train", "--config", "mlp_digits", "--workdir", tmp_path, "--seeds")
    assert fovea(*arguments, 1, **small).code == 0
    before = (tmp_path / "seed0" / "summary.json").read_text()
    result = fovea(*arguments, 3, **small)
    assert result.code == 0 and all(f"seed {seed}" in result.out for seed in range(3))
    assert (tmp_path / "seed0" / "summary.json").read_text() == before  # what has ended is left as it is
    found = [json.loads((tmp_path / f"seed{seed}" / "summary.json").read_text()) for seed in range(3)]
    assert len({summary["test/cross_entropy"] for summary in found}) == 3
    assert (tmp_path / "seed2" / "confusion.png").exists()
    wrong = fovea(*arguments, 2, "--debug", **small)
    assert wrong.code == 2 and "--debug is for a single run: not with --seeds" in wrong.error
