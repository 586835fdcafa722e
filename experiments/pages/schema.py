"""Pages: one screen of configuration per experiment, complete and locked.

`page(...)` fills every section with its component's defaults, so that any key can be overridden and a misspelt one is
an error that names the near miss. Nothing here imports jax; a component's own keys may.
"""

import ast
import copy
import importlib.util
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference, FrozenConfigDict, config_dict

from experiments.errors import PageError, near
from experiments.pages.component import Component, find

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
STORED = "config.json"  # the page of a run, in its work directory
LOCK = "lock"  # held by the process that trains there; says which it is, and how the last one ended
SUMMARY = "summary.json"  # its final numbers: there when, and only when, the run has ended

# Sections that name a component. Any but `task` and `data` may instead be keyed by player or network:
# model=dict(generator=dict(name=...), critic=dict(name=...)).
COMPONENTS = ("model", "task", "data", "optimizer", "schedule")

# Sections, and keys of component sections, that belong to no component.
PLAIN = {
    "paper": dict(
        title="",
        year=0,
        table="",  # where in the paper the number stands
        metric="",  # as the record names it: "test/error"
        published=config_dict.placeholder(float),
        tolerance=0.0,
        steps=0,  # of the published recipe: fewer here and the ledger says 'shortened'
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
        num_classes=config_dict.placeholder(int),  # stated: checked against the data set
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
    "track": dict(to=("tensorboard",), project="fovea"),  # who follows the run; also "wandb", "mlflow"
    "devices": dict(kind="auto", fsdp=1),  # "pmap", or "mesh" where `fsdp` devices share the parameters
}
SECTIONS = ("paper", "model", "task", "data", "optimizer", "schedule", "train", "devices", "track")


def page(**sections: Mapping[str, Any]) -> ConfigDict:
    """A complete, locked page.

    Args:
      **sections: as in `SECTIONS`; a component's section has its `name` and whatever differs from its defaults.

    Raises:
      PageError: an unknown section, component or key, or a value of the wrong type.
    """
    for name in sections:
        if name not in SECTIONS:
            raise PageError(f"unknown section {name!r}{near(name, SECTIONS)}")
    config = ConfigDict({name: _section(name, sections.get(name, {})) for name in SECTIONS})
    return config.lock()


def load(name: str) -> ConfigDict:
    """The page called `name` ("lenet5_digits") or standing in the file `name`."""
    module = _module(name)
    if not hasattr(module, "get_config"):
        raise PageError(f"{locate(name)} defines no get_config()")
    return module.get_config()


def search(name: str) -> dict[str, Any]:
    """What the page's own `sweep()` says is to be searched, named as the options of `fovea sweep`; {} without one."""
    module = _module(name)
    return module.sweep() if hasattr(module, "sweep") else {}


def _module(name):
    path = locate(name)
    spec = importlib.util.spec_from_file_location(f"fovea_page_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locate(name: str) -> pathlib.Path:
    """The file of a page. Raises PageError with the near miss."""
    if name.endswith(".py") or "/" in name:
        path = pathlib.Path(name)
        if path.is_file():
            return path
        raise PageError(f"there is no page {name}")
    found = next(CONFIGS.rglob(f"{name}.py"), None) if name.isidentifier() and name != "__init__" else None
    if found is None:
        raise PageError(f"unknown config page {name!r}{near(name, pages())}")
    return found


def anywhere(name: str) -> str:
    """The name of a page, or the path of its file, as it is understood in every folder."""
    path = locate(name)
    return name if path.is_relative_to(CONFIGS) else str(path.absolute())


def pages() -> list[str]:
    """The short names of all pages."""
    return sorted(p.stem for p in CONFIGS.rglob("*.py") if p.stem != "__init__")


def summary(name: str) -> str:
    """The first line of a page's docstring, without running it."""
    return (ast.get_docstring(ast.parse(locate(name).read_text())) or "").partition("\n")[0]


def check_sections(overrides: Iterable[tuple[str, str]]) -> None:
    """Raises PageError if an override names no section; needs no component."""
    for path, _ in overrides:
        name, _, key = path.partition(".")
        if name not in SECTIONS:
            raise PageError(f"--config.{path}: unknown section {name!r}{near(name, SECTIONS)}")
        if not key:
            raise PageError(f"--config.{path}: name a key, as in --config.{name}.key=value")


def override(config: ConfigDict, overrides: Iterable[tuple[str, str]]) -> ConfigDict:
    """A copy of `config` with ("section.key", "text") applied, names first: a new name brings its own defaults."""
    overrides = list(overrides)
    check_sections(overrides)
    names = [o for o in overrides if o[0].endswith(".name")]
    config = copy.deepcopy(config)  # with its placeholders, which know their type
    for path, text in names:
        *parents, _ = path.split(".")
        kind = parents[0]
        if kind not in COMPONENTS:
            raise PageError(f"--config.{path}: {kind} has no name")
        _node(config, parents, path)
        new = ConfigDict(_component(kind, {"name": text}, parents[1:]))
        with config.unlocked():
            node = config if len(parents) == 1 else _node(config, parents[:-1], path)
            if kind == "data":  # the splits and the augmentation are the experiment's, not the source's
                for key in PLAIN["data"]:
                    new[key] = config.data[key]
            node[parents[-1]] = new
    for path, text in overrides:
        if path.endswith(".name"):
            continue
        node, key = _place(config, path)
        _set(node, key, _parse(text, node, key, f"--config.{path}"), f"--config.{path}={text}")
    return config.lock()


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The form in which pages are stored and compared: plain, JSON-able, tuples as lists."""
    plain = config.to_dict() if isinstance(config, ConfigDict | FrozenConfigDict) else config
    return json.loads(json.dumps(plain))


def difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line per key in which two canonical pages differ. Where a run runs and who follows it is no difference."""
    a, b = flat(stored), flat(given)
    keys = [k for k in dict.fromkeys([*a, *b]) if not k.startswith(("devices.", "track."))]
    missing = object()
    show = lambda x: "absent" if x is missing else repr(x)
    return [
        f"{k}: stored {show(a.get(k, missing))}, given {show(b.get(k, missing))}"
        for k in keys
        if a.get(k, missing) != b.get(k, missing)
    ]


def hyperparameters(config: ConfigDict) -> dict[str, int | float | bool | str]:
    """The page as trackers show it: flat, without what is said of the paper; tuples as text."""
    shown = {key: value for key, value in flat(canonical(config)).items() if not key.startswith(("paper.", "track."))}
    text = lambda value: ", ".join(map(str, value)) if isinstance(value, list) else value
    return {key: text(value) for key, value in shown.items() if value is not None}


def from_canonical(stored: Mapping[str, Any]) -> ConfigDict:
    """The page that was stored, complete with defaults that are younger than it."""
    return page(**{name: _drop_none(section) for name, section in stored.items()})


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What was stored, canonical, with the defaults of keys that are younger than it."""
    return canonical(from_canonical(stored))


def check_stored(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Raises PageError if a work directory holds another page, or one that is not readable."""
    path = workdir / STORED
    if not path.exists():
        return
    try:
        stored = completed(json.loads(path.read_text()))
    except ValueError as error:
        raise PageError(f"{path} is not readable: {error}") from error
    if differing := difference(stored, canonical(config)):
        raise PageError(
            f"{workdir} was trained with another page; {'; '.join(differing)}"
            " (another --workdir, or --fork to go on with the page given)"
        )


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
        return _component(name, given)
    if not given:
        raise PageError(f"the page has no section {name!r}")
    return {key: _component(name, part, [key]) for key, part in given.items()}


def _component(kind, given, below=()):
    where = ".".join([kind, *below])
    if "name" not in given:
        raise PageError(f"{where} has no name")
    found = find(kind, given["name"])
    return {"name": given["name"], **_fill(where, found.defaults(), given)}


def _fill(where, defaults, given):
    """Defaults, with what the page gives laid over them."""
    # A copy: a placeholder is a reference, and would carry one page's value into the next.
    known = ConfigDict({**copy.deepcopy(PLAIN.get(where, {})), **defaults})
    for key, value in given.items():
        if key == "name":
            continue
        if key not in known:
            raise PageError(f"{where}: unknown key {key!r}{near(key, known)}")
        _set(known, key, value, f"{where}.{key}={value!r}")
    return dict(known.items(preserve_field_references=True))


def _set(node, key, value, what):
    """node[key] = value, if it is of the type that the key has by default; an int will do for a float."""
    value = tuple(value) if isinstance(value, list) else value
    kind = node.get_type(key)
    optional = isinstance(dict(node.items(preserve_field_references=True))[key], FieldReference)
    try:
        if (value is None and not optional) or (isinstance(value, bool) and kind is not bool):
            raise TypeError
        if isinstance(value, tuple):  # its elements are alike, as far as one can tell
            kinds = {type(x) for x in node[key] or ()}
            kinds |= {int} if kinds == {float} else set()
            if kinds and not all(isinstance(x, tuple(kinds)) for x in value):
                raise TypeError
        node[key] = value
    except (TypeError, ValueError) as error:
        name = {int: "an int", str: "a text"}.get(kind, f"a {kind.__name__}")
        like = f" like {node[key]!r}" if node[key] not in (None, "", ()) else ""
        raise PageError(f"{what}: {key} is {name}{like}") from error


def kind(config: ConfigDict, path: str) -> type:
    """The type of "section.key", as overrides have to be of. Raises PageError for a key that there is not."""
    check_sections([(path, "")])
    node, key = _place(config, path)
    return node.get_type(key)


def _place(config, path):
    """The section in which "section.key" stands, and its key there."""
    *parents, key = path.split(".")
    node = _node(config, parents, path)
    if key not in node:
        raise PageError(f"--config.{path}: unknown key {key!r}{near(key, node)}")
    return node, key


def _node(config, parents, path):
    node = config
    for i, key in enumerate(parents):
        if not isinstance(node, ConfigDict) or key not in node:
            raise PageError(f"--config.{path}: unknown key {key!r}{near(key, node)}")
        node = node[key]
        if not isinstance(node, ConfigDict):
            raise PageError(f"--config.{path}: {'.'.join(parents[: i + 1])} has no keys")
    return node


def _parse(text, node, key, where):
    """The value that `text` stands for, given the type of the key that it is for."""
    kind = node.get_type(key)
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise PageError(f"{where}={text}: {key} is a bool: true or false")
        return text.lower() == "true"
    if kind is tuple:
        return _parse_tuple(text)
    value = _literal(text)
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parse_tuple(text):
    """ "1,2", "(1, 2)", "pad_crop(4), flip" or, where that is no Python, whatever stands between commas."""
    source = f"({text},)"
    try:
        elements = ast.parse(source, mode="eval").body.elts
    except SyntaxError:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if len(elements) == 1 and isinstance(elements[0], ast.Tuple | ast.List):
        elements = elements[0].elts
    return tuple(_literal(ast.get_source_segment(source, element)) for element in elements)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train.seed": 0, …} of nested sections."""
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def _drop_none(section):
    return {k: _drop_none(v) if isinstance(v, Mapping) else v for k, v in section.items() if v is not None}
