"""The arrows between rooms: each part of the code imports only what its place allows, also inside functions."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = {
    "models": {"models"},
    "data": {"data"},
    "training": {"training", "models.interfaces"},  # what a network may be asked is written there
    "experiments": {"models", "data", "training", "experiments"},
}
# Of experiments, from left to right: a room imports itself and what is right of it.
ORDER = (
    "cli",
    "commands",
    "report",
    "ledger",
    "bench",
    "sweeps",
    "launch",
    "runs",
    "rehearse",
    "evaluation",
    "build",
    "weights",
    "explain",
    "pages",
    "terminal",
    "errors",
)
WITHOUT_JAX = (
    "experiments.pages.catalogue",
    "experiments.pages.overrides",
    "experiments.pages.schema",
    "experiments.pages.stored",
    "experiments.runs.workdir",
    "experiments.runs.fingerprint",
    "experiments.report.gather",
    "experiments.report.render",
    "experiments.ledger.rows",
    "experiments.launch",
    "experiments.launch.local",
    "experiments.launch.printed",
    "experiments.launch.slurm",
    "experiments.launch.ray",
    "experiments.sweeps.sweep",
    *(f"experiments.commands.{path.stem}" for path in (ROOT / "experiments/commands").glob("[!_]*.py")),
)


def imported(path: pathlib.Path) -> set[str]:
    """The modules that a file imports anywhere; `from experiments.pages import schema` is experiments.pages.schema."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relative to itself"
            inner = {alias.name for alias in node.names if is_module(f"{node.module}.{alias.name}")}
            found |= {f"{node.module}.{name}" for name in inner}
            found |= {node.module} if len(inner) < len(node.names) else set()
    return found


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def files(room: str) -> list[pathlib.Path]:
    found = [path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts]
    assert found, room
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    for path in files(room):
        ours = {name for name in imported(path) if name.partition(".")[0] in {*ROOMS, "tests"}}
        assert not {name for name in ours if not {name, name.partition(".")[0]} & ROOMS[room]}, path


def test_models_need_nothing_but_jax():
    allowed = {"models", "jax", "flax", "numpy", *sys.stdlib_module_names}
    for path in files("models"):
        assert {name.partition(".")[0] for name in imported(path)} <= allowed, path


def place(module: str) -> str:
    """The room of a module of experiments; pages of configs are users of `pages`, like any page."""
    return module.split(".")[1]


def test_the_rooms_of_experiments_import_to_the_right():
    rooms = {path.relative_to(ROOT / "experiments").parts[0].removesuffix(".py") for path in files("experiments")}
    assert rooms - {"configs", "__init__"} == set(ORDER), "every room has its place in the order"
    for path in files("experiments"):
        room = path.relative_to(ROOT / "experiments").parts[0].removesuffix(".py")
        names = [name for name in imported(path) if name.startswith("experiments.")]
        if room == "configs":
            assert {place(name) for name in names} <= {"pages", "configs"}, path
        elif room in ORDER:
            allowed = ORDER[ORDER.index(room) :]
            assert {place(name) for name in names} <= set(allowed), path


def test_pages_and_everything_right_of_build_know_no_other_room():
    """Tables of the other rooms are text: only the look-up of a component imports them."""
    for path in [*files("experiments/pages"), *files("experiments/configs"), ROOT / "experiments/errors.py"]:
        rooms = {name.partition(".")[0] for name in imported(path)} & ROOMS.keys() - {"experiments"}
        assert rooms <= ({"training", "data"} if path.name == "component.py" else set()), path


def test_what_lists_and_reads_imports_no_jax():
    script = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    script += "    assert 'jax' not in sys.modules, name"
    subprocess.run([sys.executable, "-c", script, *WITHOUT_JAX], cwd=ROOT, check=True)


def test_operations_on_images_know_nothing_of_data_sets():
    """They are functions of arrays, for augmentation and for whatever else works on images."""
    for path in files("data/images"):
        ours = {name for name in imported(path) if name.partition(".")[0] in ROOMS}
        assert all(name.startswith("data.images") for name in ours), path
