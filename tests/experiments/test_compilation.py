"""Compiled programs are kept between processes, where the user wants them or else in the user's cache."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax
from experiments.build.parts import Parts
from experiments.pages.catalogue import load
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None)
Parts(load("mlp_digits")).initial_state()
print(len(hits), jax.config.jax_compilation_cache_dir)
"""


def start(tmp_path, **environment):
    """(programs found in the cache, its folder) of a fresh process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = {**inherited, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
    command = [sys.executable, "-W", "error", "-P", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hits, folder = done.stdout.split()
    return int(hits), folder


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    hits, folder = start(tmp_path)
    assert hits == 0 and folder.startswith(str(tmp_path / "cache" / "fovea" / "jax"))
    assert start(tmp_path)[0] > 0


def test_what_the_user_set_holds(tmp_path):
    assert start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))[1] == str(tmp_path / "own")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("kind", ["file", "nowhere"])
def test_without_a_place_for_it_nothing_is_kept(tmp_path, kind):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" if kind == "file" else "/proc/nowhere"
    assert start(tmp_path, XDG_CACHE_HOME=str(place)) == (0, "None")
