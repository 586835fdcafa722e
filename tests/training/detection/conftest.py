"""What torchvision computes, for the tests of parts."""

import jax
import pytest

from tests.models.parity import golden


@pytest.fixture(scope="module")
def stored():
    return golden("detection")


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield
