"""The networks of a page: modules by key, and the rates that they declare."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.errors import PageError, near
from experiments.pages.component import Component, find
from experiments.pages.schema import components, is_component, keys_of
from models.interfaces import Rated

HEADLESS = {"num_classes": 0, "headless": True}  # fields of a network that gives its features


class Networks(dict):
    """key -> module. A task that asks for one the page does not name gets a line that says so."""

    def __missing__(self, key):
        raise PageError(f"the task needs model.{key}{near(key, self)}")


def make_networks(page: ConfigDict, supplied: Mapping[str, Any]) -> Networks:
    """The networks of the sections `model` and `frozen`.

    Args:
      supplied: fields that the builder gives to the networks that have them. A frozen network gives features: it has
        neither classes nor a head.

    Raises PageError for fields that a network refuses, and for a key that is in both sections.
    """
    networks, features = Networks(), {**supplied, **HEADLESS}
    for kind, given in (("model", supplied), ("frozen", features)):
        for key, (component, fields) in components(kind, page[kind]).items():
            if key in networks:
                raise PageError(f"frozen.{key}: the section model has a network of this name")
            own = {name: value for name, value in fields.items() if name != "weights"}
            try:
                networks[key] = network(component, own, given)
            except ValueError as error:
                raise PageError(f"{kind}: {error}") from error
    return networks


def network(component: Component, fields: dict[str, Any], supplied: dict[str, Any]) -> Any:
    """The module of a component. A network inside it gives features: it has neither classes nor a head."""
    given = {name: supplied[name] for name in component.supplied() & supplied.keys()}
    inside = {**supplied, **HEADLESS}
    fields = {
        key: network(find(component.kind, value["name"]), keys_of(value), inside) if is_component(value) else value
        for key, value in fields.items()
    }
    return component.load()(**component.fixed, **fields, **given)


def model_rates(page: ConfigDict) -> dict[str, float]:
    """The dropout-like rates that the page's networks declare, by key: {"model.dropout_rate": 0.5}."""
    found = {}
    for key, (component, fields) in components("model", page.model).items():
        found |= _rates_of(component, fields, "model" if "name" in page.model else f"model.{key}")
    return found


def _rates_of(component: Component, fields: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Those of a network and of the networks inside it."""
    network = component.load()
    rates = network.rates if isinstance(network, Rated) else ()
    found = {f"{prefix}.{name}": fields[name] for name in rates if name in fields}
    for key, value in fields.items():
        if is_component(value):
            found |= _rates_of(find(component.kind, value["name"]), keys_of(value), f"{prefix}.{key}")
    return found
