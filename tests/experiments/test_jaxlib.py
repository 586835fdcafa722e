"""The locked jaxlib computes what others get wrong on the CPU, and known faults of other versions are avoided."""

import os
import subprocess
import sys

import jaxlib
import pytest

from experiments.build.compilation_faults import (
    FUSION_FLAG,
    check_reductions,
    processor_features,
    safe_flags,
    without_preferences,
)
from experiments.errors import PageError

WRONG_SUM = """
import jax, jax.numpy as jnp, numpy as np
x = np.arange(32769 * 3, dtype=np.float32).reshape(32769, 3) / 1000
m = np.arange(9, dtype=np.float32).reshape(3, 3)
got = jax.jit(jax.vmap(lambda r: jnp.sum((m @ r) ** 2)))(x)
np.testing.assert_allclose(got, ((x @ m.T) ** 2).sum(1), rtol=1e-5)
"""
CRASH = """
import jax, jax.numpy as jnp, numpy as np
a, b = np.random.default_rng(0).normal(size=(2, 3, 1, 2, 2, 8, 8, 8)).astype(np.float32)
got = jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(a, b)
np.testing.assert_allclose(got, (a * b).sum(3), rtol=1e-5, atol=1e-5)
"""
AFTER_A_LOAD = """
import jax, jax.numpy as jnp
from experiments.build.compilation import keep_compiled
keep_compiled()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((64, 64))).block_until_ready()
print(len(hits))
"""
FEATURES = b"\x12\x40+64bit,+avx2,+avx512bf16,+avx512f,+prefer-no-gather,+prefer-no-scatter,-amx-avx512,-xop\x52\x01"
PROCESSOR = processor_features("model name\t: x\nflags\t\t: fpu avx2 avx512f avx512_bf16\n\nflags\t\t: fpu\n")


def fresh(program, **environment):
    """A process with jax's own settings, on the CPU."""
    inherited = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS" and not key.startswith("JAX_")}
    environment = {**inherited, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.run([sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("program", [WRONG_SUM, CRASH], ids=["sum of squares in vmap", "products at rank 7"])
def test_the_installed_jaxlib_reduces_correctly(program):
    done = fresh(program)
    assert done.returncode == 0, done.stderr


def test_loading_compiled_programs_prints_nothing(tmp_path):
    runs = [fresh(AFTER_A_LOAD, XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)]
    assert [run.stderr for run in runs] == ["", ""]
    assert int(runs[0].stdout) == 0 < int(runs[1].stdout)


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0"])
def test_faulty_versions_reduce_without_fusion_on_the_cpu(version):
    added = f"{FUSION_FLAG}=-reduce"
    assert safe_flags(version, {}, None, accelerator=False) == added
    assert safe_flags(version, {"XLA_FLAGS": "--a=1"}, "cpu", accelerator=True) == f"--a=1 {added}"


@pytest.mark.parametrize("version", ["0.10.1", "0.10.3", "0.11.1", "0.10.20"])
def test_other_versions_are_left_alone(version):
    assert safe_flags(version, {}, None, accelerator=False) is None


def test_flags_of_the_user_and_of_accelerators_are_left_alone():
    assert safe_flags("0.10.2", {"XLA_FLAGS": f"{FUSION_FLAG}="}, None, accelerator=False) is None
    assert safe_flags("0.10.2", {}, "cuda,cpu", accelerator=False) is None
    assert safe_flags("0.10.2", {}, None, accelerator=True) is None


def test_a_cpu_in_place_of_an_accelerator_is_refused_where_it_would_compute_wrongly(monkeypatch):
    """A CUDA plugin is installed, so no flag was added, but there is no device."""
    check_reductions()
    monkeypatch.setattr(jaxlib, "__version__", "0.10.2")
    monkeypatch.setenv("XLA_FLAGS", "")
    with pytest.raises(PageError, match=r"jaxlib 0\.10\.2 .* no accelerator: set JAX_PLATFORMS=cpu"):
        check_reductions()
    monkeypatch.setenv("XLA_FLAGS", f"{FUSION_FLAG}=-reduce")
    check_reductions()


def test_preferences_are_dropped_with_avx512_that_the_processor_has():
    quiet = b"\x12\x40+64bit,+avx2,-avx512bf16,-avx512f,-prefer-no-gather,-prefer-no-scatter,-amx-avx512,-xop\x52\x01"
    assert without_preferences(FEATURES, PROCESSOR) == quiet
    assert without_preferences(b"machine code +avx512f", PROCESSOR) == b"machine code +avx512f"


@pytest.mark.parametrize("missing", ["avx512f", "avx512bf16"])
def test_a_feature_that_the_processor_lacks_is_still_reported(missing):
    assert without_preferences(FEATURES, PROCESSOR - {missing}) == FEATURES
