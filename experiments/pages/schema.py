"""What a page is: its sections, their keys and defaults, complete and locked.

`page(...)` fills every section with its component's defaults, so that any key can be overridden and a misspelt one is
an error that names the near miss. Nothing here imports jax; a component's own keys may.
"""

import copy
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference, config_dict

from experiments.errors import PageError, near
from experiments.pages.component import Component, find

# Sections that name a component. Any but `task` and `data` may instead be keyed by player or network:
# model=dict(generator=dict(name=...), critic=dict(name=...)).
COMPONENTS = ("model", "task", "data", "optimizer", "schedule")

# Sections, and keys of component sections, that belong to no component.
PLAIN = {
    "paper": dict(
        title="",
        year=0,
        table="",  # where in the paper the number is
        metric="",  # its name in the record: "test/error"
        published=config_dict.placeholder(float),
        tolerance=0.0,
        steps=0,  # of the published recipe; with fewer here the ledger's row is 'shortened'
        parameters=config_dict.placeholder(int),  # as published: `fovea show` compares
        macs=config_dict.placeholder(int),  # multiply-adds of one example
        note="",
    ),
    "data": dict(
        train="train",
        validation="",  # chooses the best checkpoint; empty: the last one is final
        test="test",
        augment=(),  # e.g. ("pad_crop(4)", "flip"); drawn on the device, per example
        evaluate_augment=(),  # of validation and test, once and for all per example: ("binarise",)
        scale="standardise",  # or "unit" [0, 1], "symmetric" [-1, 1]
        resident="auto",  # the whole set on the device: "auto" (when it fits), "yes", "no"
        num_classes=config_dict.placeholder(int),  # where given, checked against the data set
    ),
    "train": dict(
        batch_size=128,  # global, over all devices and microbatches
        steps=1000,
        seed=0,
        accumulate=1,  # microbatches per update
        steps_per_call=1,  # per dispatch; must divide every interval
        dtype="float32",  # of the computation: "bfloat16", "float64"
        param_dtype="float32",
        ema=0.0,  # decay of the moving average of the parameters; 0: none
        ema_players=(),  # empty: all of them
        log_every=50,
        evaluate_every=500,
        checkpoint_every=500,
        evaluate_batch_size=256,
        judge="",  # of samples, at the end: a classifier's work directory, "inception:FILE.npz" or "pixels"
        judge_samples=10_000,
        init_from="",  # a work directory to take parameters from
        init_except=(),  # patterns of parameter paths not to take
    ),
    "track": dict(to=("tensorboard",), project="fovea"),  # trackers; also "wandb", "mlflow"
    "devices": dict(kind="auto", fsdp=1),  # "pmap", or "mesh" where `fsdp` devices share the parameters
}
SECTIONS = ("paper", "model", "task", "data", "optimizer", "schedule", "train", "devices", "track")


def page(**sections: Mapping[str, Any]) -> ConfigDict:
    """A complete, locked page.

    Args:
      **sections: as in `SECTIONS`; a component's section has its `name` and the keys that differ from its defaults.

    Raises:
      PageError: an unknown section, component or key, or a value of the wrong type.
    """
    for name in sections:
        if name not in SECTIONS:
            raise PageError(f"unknown section {name!r}{near(name, SECTIONS)}")
    config = ConfigDict({name: _section(name, sections.get(name, {})) for name in SECTIONS})
    return config.lock()


def components(kind: str, section: Mapping[str, Any]) -> dict[str, tuple[Component, dict[str, Any]]]:
    """key -> (component, its keys) of a section; the key of a single component is "model"."""
    keyed = {"model": section} if "name" in section else section
    return {
        key: (find(kind, part["name"]), {k: v for k, v in part.items() if k != "name"}) for key, part in keyed.items()
    }


def _section(name, given):
    if name not in COMPONENTS:
        return _fill(name, {}, given)
    if "name" in given or name in ("task", "data"):
        return component_section(name, given)
    if not given:
        raise PageError(f"the page has no section {name!r}")
    return {key: component_section(name, part, [key]) for key, part in given.items()}


def component_section(kind, given, below=()):
    where = ".".join([kind, *below])
    if "name" not in given:
        raise PageError(f"{where} has no name")
    found = find(kind, given["name"])
    return {"name": given["name"], **_fill(where, found.defaults(), given)}


def _fill(where, defaults, given):
    """The defaults of a section, updated with what the page gives."""
    # A copy: a placeholder is a reference, and would carry one page's value into the next.
    known = ConfigDict({**copy.deepcopy(PLAIN.get(where, {})), **defaults})
    for key, value in given.items():
        if key == "name":
            continue
        if key not in known:
            raise PageError(f"{where}: unknown key {key!r}{near(key, known)}")
        set_key(known, key, value, f"{where}.{key}={value!r}")
    return dict(known.items(preserve_field_references=True))


def set_key(node, key, value, what):
    """node[key] = value; raises PageError unless it has the type of the default. An int is accepted for a float."""
    value = tuple(value) if isinstance(value, list) else value
    kind = node.get_type(key)
    optional = isinstance(dict(node.items(preserve_field_references=True))[key], FieldReference)
    try:
        if (value is None and not optional) or (isinstance(value, bool) and kind is not bool):
            raise TypeError
        if isinstance(value, tuple):  # of elements of one type, where the default shows which
            kinds = {type(x) for x in node[key] or ()}
            kinds |= {int} if kinds == {float} else set()
            if kinds and not all(isinstance(x, tuple(kinds)) for x in value):
                raise TypeError
        node[key] = value
    except (TypeError, ValueError) as error:
        name = {int: "an int", str: "a text"}.get(kind, f"a {kind.__name__}")
        like = f" like {node[key]!r}" if node[key] not in (None, "", ()) else ""
        raise PageError(f"{what}: {key} is {name}{like}") from error
