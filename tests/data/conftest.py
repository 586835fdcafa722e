"""What tests of the data room share."""

import pytest

from data.fields import Field
from data.source import Info

# The fields of the batches that these tests make, by the names that the sources of this repository give them.
KINDS = {
    "image": dict(kind="image"),
    "target": dict(kind="image"),
    "masks": dict(kind="mask"),
    "instances": dict(kind="mask", fill=0),
    "weight_map": dict(kind="map"),
    "label": dict(kind="label"),
}


@pytest.fixture(scope="session")
def declared():
    """batch -> the Info that declares its arrays."""

    def declare(batch, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)) -> Info:
        fields = {k: Field(shape=x.shape[1:], dtype=x.dtype.name, **KINDS[k]) for k, x in batch.items() if k in KINDS}
        return Info(fields, mean, std)

    return declare
