"""Components by name: the line of a table, "module:attribute", the keys of a page and their defaults.

Nothing here imports jax; looking up a component's defaults imports the component's own module.
"""

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from data.options import parameters as flat
from experiments.errors import PageError, near


def table(kind: str) -> Mapping[str, Any]:
    """The table of a kind of component; see each room's `__init__.py`."""
    module, attribute = {
        "model": ("models", "MODELS"),
        "frozen": ("models", "MODELS"),
        "task": ("training.tasks", "TASKS"),
        "data": ("data", "SOURCES"),
        "optimizer": ("training", "OPTIMIZERS"),
        "schedule": ("training", "SCHEDULES"),
    }[kind]
    return getattr(importlib.import_module(module), attribute)


_OF_NETWORKS = {"num_classes", "headless", "vocabulary", "shape", "dtype", "param_dtype", "axis_name", "parent", "name"}
# Arguments that the builder supplies and no page sets.
_SUPPLIED = {
    "model": _OF_NETWORKS,
    "frozen": _OF_NETWORKS,
    "task": {"networks", "info", "shape", "scale", "gather"},
    "data": {"argument", "split"},
    "schedule": {"step", "steps"},
}


@dataclasses.dataclass(frozen=True)
class Component:
    """A line of a table: what to call, and with which fixed arguments."""

    kind: str
    target: str  # "module:attribute"
    fixed: Mapping[str, Any]

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def parameters(self) -> dict[str, inspect.Parameter]:
        return flat(self.load()) if self.kind == "data" else dict(inspect.signature(self.load()).parameters)

    def supplied(self) -> set[str]:
        """The arguments that the builder supplies and this component accepts."""
        return _SUPPLIED.get(self.kind, set()) & self.parameters().keys()

    def defaults(self) -> dict[str, Any]:
        """The page keys of this component with their defaults; None becomes a typed placeholder."""
        if self.kind == "optimizer":
            from training.optimizers import optimizer_defaults

            # By its name in the table: a target that is not optax's may not be named by a page.
            name = next((name for name, target in table(self.kind).items() if target == self.target), self.target)
            return {key: _key(value, Any) for key, value in optimizer_defaults(name).items()}
        hints = _hints(self.load())
        taken = _SUPPLIED[self.kind] | self.fixed.keys() | self.networks().keys()
        return {
            name: _key(parameter.default, hints.get(name, parameter.annotation))
            for name, parameter in self.parameters().items()
            if name not in taken and parameter.default is not inspect.Parameter.empty
        }

    def networks(self) -> dict[str, bool]:
        """The fields that hold a network of their own, annotated `nn.Module`, and whether each is required."""
        if self.kind not in ("model", "frozen"):
            return {}
        hints, taken = _hints(self.load()), _SUPPLIED[self.kind] | self.fixed.keys()
        return {
            name: parameter.default is inspect.Parameter.empty
            for name, parameter in self.parameters().items()
            if name not in taken and any(map(_is_network, (hints.get(name), *typing.get_args(hints.get(name)))))
        }


def find(kind: str, name: str, where: str = "") -> Component:
    """The component called `name`; for data, the part before the colon ("tfds" of "tfds:mnist").

    Args:
      where: the path of its section, for the error: "model.backbone"; empty: `kind`.

    Raises PageError for a name that the table of the kind does not have.
    """
    lines = table(kind)
    word = name.partition(":")[0] if kind == "data" else name
    if kind == "optimizer" and ":" in name:  # any function of optax: "optax:yogi"
        return Component(kind, name, {})
    if word not in lines:
        raise PageError(f"{where or kind}.name={name!r} is unknown{near(word, lines)}")
    line = lines[word]
    target, fixed = (line, {}) if isinstance(line, str) else line
    return Component(kind, target, fixed)


def _hints(target) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):
        return {}


def as_tuples(value):
    """Lists, which JSON and pages may have, as tuples, at any depth: fields of networks have to be hashable."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def _is_network(hint) -> bool:
    """Whether a type is a module of flax, told by name so that nothing is imported for the question."""
    return any(
        (base.__module__, base.__qualname__) == ("flax.linen.module", "Module") for base in getattr(hint, "__mro__", ())
    )


def _key(value, hint):
    """The value of a key; None becomes a placeholder of the annotated type, which a ConfigDict lets be overridden."""
    if value is not None:
        return as_tuples(value)
    types = [t for t in typing.get_args(hint) if t is not type(None)]
    return config_dict.placeholder(types[0] if types and isinstance(types[0], type) else float)
