"""What a run notes of where it comes from: the code to the last change, the machine, the versions."""

import importlib.metadata
import json
import platform
import subprocess
import sys

import pytest

from experiments.runs import provenance


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of code with one commit, which takes the place of ours."""
    root = tmp_path / "repository"
    (root / "models").mkdir(parents=True)
    (root / "models" / "a.py").write_text("a = 1\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "-m", "a")
    monkeypatch.setattr(provenance, "ROOT", root)
    yield root
    provenance._code.cache_clear()


def git(root, *words) -> str:
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout


def noted(workdir) -> list[dict]:
    provenance._code.cache_clear()  # as in a process that begins
    provenance.note(workdir)
    return json.loads((workdir / provenance.ENVIRONMENT).read_text())


def test_changes_that_are_in_no_commit_are_kept(repository, tmp_path):
    (repository / "models" / "a.py").write_text("a = 2\n")
    (repository / "models" / "new.py").write_text("b = 1\n")
    (repository / "notes.txt").write_text("no code\n")
    (start,) = noted(tmp_path)
    assert start["commit"] == git(repository, "rev-parse", "--short=10", "HEAD").strip() + "+dirty"
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", repository, clone)
    git(clone, "apply", tmp_path / start["diff"])
    assert (clone / "models" / "a.py").read_text() == "a = 2\n"
    assert (clone / "models" / "new.py").read_text() == "b = 1\n"
    assert not (clone / "notes.txt").exists()


def test_a_clean_commit_has_no_difference(repository, tmp_path):
    (start,) = noted(tmp_path)
    assert start["commit"] == git(repository, "rev-parse", "--short=10", "HEAD").strip()
    assert start["diff"] is None and not list(tmp_path.glob("*.diff"))


def test_a_start_is_noted_where_it_differs(repository, tmp_path):
    assert len(noted(tmp_path)) == len(noted(tmp_path)) == 1
    (repository / "models" / "a.py").write_text("a = 3\n")
    first, second = noted(tmp_path)
    assert (first["diff"], second["diff"]) == (None, next(tmp_path.glob("*.diff")).name)


def test_a_long_difference_is_cut(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "LONGEST", 100)
    (repository / "models" / "a.py").write_text("a = 2\n" * 1000)
    (start,) = noted(tmp_path)
    assert len((tmp_path / start["diff"]).read_bytes()) < 200


def test_a_run_notes_its_machine(trained):
    (start,) = json.loads((trained / provenance.ENVIRONMENT).read_text())
    assert (start["host"], start["processes"], start["devices"]) == (platform.node(), 1, {"cpu": 8})
    assert start["packages"]["jax"] == importlib.metadata.version("jax")
    assert "packages" not in json.loads((trained / "summary.json").read_text())


def test_no_password_is_noted(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fovea", "sweep", "--storage", "postgresql://me:secret@host/db"])
    (start,) = noted(tmp_path)
    assert start["command"][-1] == "postgresql://me:…@host/db"
