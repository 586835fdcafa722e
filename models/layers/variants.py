"""A row of a table of variants, in which a network's own fields have precedence."""

import types
from collections.abc import Mapping

from models.errors import choose


def resolve(network, variants: Mapping[str, Mapping]) -> types.SimpleNamespace:
    """The row `variants[network.variant]`, with each value replaced by the network's field of that name if it is set.

    A field that is 0 or "" is not set. Raises ModelError for an unknown variant.
    """
    row = choose(variants, "variant", network.variant)
    return types.SimpleNamespace(**{field: getattr(network, field) or value for field, value in row.items()})
