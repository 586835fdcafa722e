"""What a page is: its sections, their keys and defaults, complete and locked.

`page(...)` fills every section with its component's defaults, so that any key can be overridden and a misspelt one is
an error that names the near miss. Nothing here imports jax; a component's own keys may.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict, FieldReference, config_dict

from experiments.errors import PageError, near
from experiments.pages.component import Component, as_tuples, find

# Sections that name a component. Any but `task` and `data` may instead be keyed by player or network:
# model=dict(generator=dict(name=...), critic=dict(name=...)); `frozen` always is, by the role of each network.
# A field of a network may be a network: model=dict(name="retinanet", backbone=dict(name="resnet", depth=18)).
COMPONENTS = ("model", "frozen", "task", "data", "optimizer", "schedule")

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
        sampler="shuffled",  # which examples make a batch
        augment=(),  # e.g. ("pad_crop(4)", "flip"); drawn on the device, per example
        evaluate_augment=(),  # of validation and test, once and for all per example: ("binarise",)
        scale="standardise",  # or "unit" [0, 1], "symmetric" [-1, 1]
        resident="auto",  # the whole set on the device: "auto" (when it fits), "yes", "no"
        cache="",  # a folder that keeps the pictures decoded; empty: they are decoded in every epoch
        num_classes=config_dict.placeholder(int),  # where given, checked against the data set
        classes_of="",  # the field whose names are the classes, where several have names: "masks"
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
        samples=80,  # drawn at each evaluation, of a task that makes images
        init_from="",  # a work directory to take parameters from
        init_except=(),  # patterns of parameter paths not to take
    ),
    "frozen": dict(weights=""),  # of each network: a work directory, or a file
    "evaluate": dict(  # of each set, by name
        split="test",
        name="",  # another data set; empty: the page's
        every=0,  # steps; 0: only at the end
        also=(),  # measures besides the task's
    ),
    "track": dict(to=("tensorboard",), project="fovea"),  # trackers; also "wandb", "mlflow"
    "devices": dict(
        kind="auto",  # "pmap", or "mesh"
        fsdp=1,  # of a mesh: how many devices share the parameters
        peak_operations=0.0,  # of one device a second, for time/utilisation; 0: as known of its kind
    ),
}
SECTIONS = (
    "paper",
    "model",
    "frozen",
    "task",
    "data",
    "optimizer",
    "schedule",
    "train",
    "evaluate",
    "devices",
    "track",
)
KEYED = ("frozen", "evaluate")  # sections of named entries: none by default


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
        if not isinstance(sections[name], Mapping | ConfigDict):
            raise PageError(f"{name}={sections[name]!r} is not a section: write {name}=dict(…)")
    config = ConfigDict({name: _section(name, sections.get(name, {})) for name in SECTIONS})
    return config.lock()


def components(kind: str, section: Mapping[str, Any]) -> dict[str, tuple[Component, dict[str, Any]]]:
    """key -> (component, its keys) of a section; the key of a single component is "model"."""
    keyed = {"model": section} if "name" in section else section
    return {key: (find(kind, part["name"]), keys_of(part)) for key, part in keyed.items()}


def keys_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a component's section without its name."""
    return {key: value for key, value in part.items() if key != "name"}


def is_component(value: Any) -> bool:
    """Whether the value of a key is a component inside another."""
    return isinstance(value, Mapping | ConfigDict) and "name" in value


def every_component(page: ConfigDict) -> Iterator[Component]:
    """All components of a page, and those inside them."""
    for kind in COMPONENTS:
        left = list(components(kind, page[kind]).values())
        while left:
            component, keys = left.pop()
            yield component
            left += [(find(kind, part["name"]), keys_of(part)) for part in keys.values() if is_component(part)]


def _section(name, given):
    if name in KEYED:
        if not all(isinstance(part, Mapping | ConfigDict) for part in given.values()):
            raise PageError(f"{name}: a section of named entries, as in {name}=dict(this=dict(…))")
        return {key: entry(name, key, part) for key, part in given.items()}
    if name not in COMPONENTS:
        return _fill(name, PLAIN[name], given)
    if "name" in given or name in ("task", "data"):
        return component_section(name, given)
    if not given:
        raise PageError(f"the page has no section {name!r}")
    return {key: component_section(name, part, [key]) for key, part in given.items()}


def entry(section: str, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a section of KEYED, complete."""
    if section in COMPONENTS:
        return component_section(section, given, [key])
    options = (
        find("data", given["name"], f"{section}.{key}").defaults() if given.get("name") else {}
    )  # of a set's own source
    return _fill(f"{section}.{key}", {**PLAIN[section], **options}, given)


def component_section(kind: str, given: Mapping[str, Any], below: Sequence[str] = ()) -> dict[str, Any]:
    """The complete section of a component at `kind.below`, with the networks inside it."""
    where = ".".join([kind, *below])
    if "name" not in given:
        raise PageError(f"{where} has no name")
    found = find(kind, given["name"], where)
    # Fields that hold a network, as they are annotated or as the page gives them.
    networks = found.networks()
    networks |= {key: False for key in found.parameters() if is_component(given.get(key))}
    for key, required in networks.items():
        if required and key not in given:
            raise PageError(f"{where}.{key} has no name: {given['name']} needs a network there")
    inner = {key: component_section(kind, given[key], [*below, key]) for key in networks if given.get(key) is not None}
    own = {key: value for key, value in given.items() if key not in inner}
    plain = PLAIN[kind] if len(below) == (kind in KEYED) and kind in PLAIN else {}
    defaults = {key: value for key, value in found.defaults().items() if key not in inner}
    return {"name": given["name"], **_fill(where, {**plain, **defaults}, keys_of(own)), **inner}


def _fill(where, defaults, given):
    """The defaults of a section, updated with what the page gives."""
    # A copy: a placeholder is a reference, and would carry one page's value into the next.
    known = ConfigDict(copy.deepcopy(defaults))
    for key, value in given.items():
        if key not in known:
            raise PageError(f"{where}: unknown key {key!r}{near(key, known)}")
        set_key(known, key, value, f"{where}.{key}={value!r}")
    return dict(known.items(preserve_field_references=True))


def set_key(node, key, value, what):
    """node[key] = value; raises PageError unless it has the type of the default. An int is accepted for a float."""
    value = as_tuples(value)
    kind = node.get_type(key)
    if kind is ConfigDict:
        raise PageError(f"{what}: {key} is a section: set its name, or one of its keys")
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
