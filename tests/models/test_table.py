"""The table of networks: listing is free, and every entry is a module whose fields have defaults."""

import dataclasses
import importlib
import subprocess
import sys
import typing

import flax.linen as nn
import pytest

from models import MODELS


def test_listing_imports_neither_jax_nor_flax():
    code = "import sys, models; print(sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", MODELS)
def test_entries_have_defaults(name):
    entry = MODELS[name]
    target, fixed = entry if isinstance(entry, tuple) else (entry, {})
    module, cls = target.split(":")
    target = getattr(importlib.import_module(module), cls)
    # The network that a field holds is the page's choice.
    inner = {name: nn.Module() for name, hint in typing.get_type_hints(target).items() if hint is nn.Module}
    network = target(**fixed, **inner)
    assert {field.name for field in dataclasses.fields(network)} >= {"dtype", "param_dtype"}
