"""The fingerprint of a page changes with what its numbers depend on, and with nothing else."""

import itertools
import re
import shutil

import pytest

from experiments.pages import load, override
from experiments.runs import fingerprint as module
from experiments.runs.fingerprint import ROOT, fingerprint


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """The rooms, in a folder without history."""
    root = tmp_path_factory.mktemp("rooms")
    for room in ("models", "training", "data", "experiments"):
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return root


@pytest.fixture
def digits(rooms, tmp_path):
    """digits(page, file, change) -> the fingerprint after `change`, text -> text, of a file of the copy."""

    copies = itertools.count()

    def call(name, file, change):
        other = tmp_path / str(next(copies))  # a new one for each call: what was read of a folder is kept
        shutil.copytree(rooms, other)
        before = (other / file).read_text()
        assert change(before) != before, f"nothing was changed in {file}"
        (other / file).write_text(change(before))
        return fingerprint(load(name), other)

    return call


def in_every_function(text):
    return re.sub(r"^(\s*)return ", r"\1pass\n\1return ", text, flags=re.M)


@pytest.mark.parametrize(
    ("name", "file", "changed"),
    [
        ("lenet5_digits", "models/classification/lenet.py", True),
        ("lenet5_digits", "data/digits.py", True),
        ("lenet5_digits", "data/augment/geometric.py", True),
        ("lenet5_digits", "training/step.py", True),
        ("unet_scenes", "training/step.py", True),
        ("gan_gaussians", "training/step.py", True),
        ("gan_gaussians", "experiments/evaluation/samples.py", True),
        ("resnet50_imagenet", "models/classification/resnet.py", True),
        ("lenet5_digits", "models/classification/resnet.py", False),
        ("lenet5_digits", "models/generative/vae.py", False),
        ("lenet5_digits", "training/tasks/gan.py", False),
        ("lenet5_digits", "training/pictures.py", False),
        ("lenet5_digits", "training/records.py", False),
        ("lenet5_digits", "training/trackers.py", False),
        ("lenet5_digits", "experiments/build/frozen.py", False),
        ("texture_flower", "experiments/build/frozen.py", True),
        ("lenet5_digits", "experiments/evaluation/samples.py", False),
        ("lenet5_digits", "experiments/runs/run.py", False),
        ("lenet5_digits", "experiments/ledger/rows.py", False),
        ("lenet5_digits", "experiments/configs/classification/mlp_digits.py", False),
    ],
)
def test_code_that_is_changed(digits, rooms, name, file, changed):
    assert fingerprint(load(name), rooms) == fingerprint(load(name))
    assert (digits(name, file, in_every_function) != fingerprint(load(name))) is changed


@pytest.mark.parametrize("name", ["lenet5_digits", "unet_scenes", "gan_gaussians", "ddpm_cifar10", "vae_mnist"])
def test_a_new_line_in_any_table_makes_no_row_stale(digits, name):
    tables = {
        "models/__init__.py": "MODELS",
        "training/tasks/__init__.py": "TASKS",
        "training/__init__.py": "OPTIMIZERS",
        "data/table.py": "SOURCES",
        "data/augment/table.py": "AUGMENTATIONS",
        "experiments/evaluation/table.py": "MEASURES",
        "models/layers/norm.py": "NORMS",
        "models/layers/activations.py": "ACTIVATIONS",
    }
    for file, table in (*tables.items(), ("data/table.py", "SAMPLERS")):
        line = r'\1\n    "another": "somewhere.else:another",'
        add = lambda text, table=table, line=line: re.sub(rf"^({table}\b[^=]*= \{{)$", line, text, flags=re.M)
        assert digits(name, file, add) == fingerprint(load(name)), file
    schedule = lambda text: text.replace("SCHEDULES = {", 'SCHEDULES = {\n    "another": "training.schedules:another",')
    assert digits(name, "training/__init__.py", schedule) == fingerprint(load(name))


@pytest.mark.parametrize(
    "file",
    [
        "training/losses.py",
        "training/metrics/sums.py",
        "training/schedules.py",
        "training/trackers.py",
        "data/augment/color.py",
    ],
)
def test_a_definition_beside_others_makes_no_row_stale(digits, file):
    add = lambda text: text + "\n\ndef another(x):\n    return 2 * x\n"
    assert digits("unet_scenes", file, add) == fingerprint(load("unet_scenes"))


@pytest.mark.parametrize(
    ("name", "file", "table", "word"),
    [
        ("gan_gaussians", "training/tasks/gan.py", "LOSSES", "non_saturating"),
        ("vae_mnist", "training/likelihoods.py", "LIKELIHOODS", "bernoulli"),
    ],
)
def test_only_the_line_that_the_page_names_counts_in_a_table_of_functions(digits, name, file, table, word):
    add = lambda text: text.replace(f"{table} = {{", f'{table} = {{\n    "another": None,')
    assert digits(name, file, add) == fingerprint(load(name))
    change = lambda text: re.sub(rf'    "{word}": (.*)', rf'    "{word}": 0 or \1', text)
    assert digits(name, file, change) != fingerprint(load(name))


def test_prose_makes_no_row_stale(digits):
    comment = lambda text: re.sub(r'"""(.)', r'"""More: \1', text).replace(
        "\n    return ", "\n    # why\n\n    return "
    )
    assert digits("lenet5_digits", "training/step.py", comment) == fingerprint(load("lenet5_digits"))


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("train.seed", "1", False),
        ("devices.kind", "mesh", False),
        ("data.augment", "()", True),
        ("schedule.peak", "1e-4", True),
        ("train.judge_samples", "10", True),
    ],
)
def test_a_recipe_that_is_changed(key, value, changed):
    page = load("lenet5_digits")
    assert (fingerprint(override(page, [(key, value)])) != fingerprint(page)) is changed


def test_what_is_left_out_exists():
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in (*module._SHOWN, *module._OF_SECTION))


def test_a_module_that_a_package_imports_when_asked_counts(rooms, tmp_path):
    root = tmp_path / "lazy"
    shutil.copytree(rooms, root)
    (root / "training" / "lazy").mkdir()
    lazy = "def __getattr__(name):\n    from training.lazy import inner\n\n    return getattr(inner, name)\n"
    (root / "training" / "lazy" / "__init__.py").write_text(lazy)
    (root / "training" / "lazy" / "inner.py").write_text(
        "def mine(x):\n    return x\n\n\ndef other(x):\n    return x\n"
    )
    (root / "training" / "user.py").write_text("from training import lazy\n\n\ndef use(x):\n    return lazy.mine(x)\n")
    found = module.reached([("training.user", "use")], frozenset(), root)
    assert ("training.lazy.inner", "mine") in found and ("training.lazy.inner", "other") not in found
