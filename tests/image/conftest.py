"""The images under test, built once a run by a real engine."""

from collections.abc import Iterator

import pytest

from tests.support import containers
from tests.support.machine import require


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[None]:
    """A container engine with the base image; what the tests make there is removed at the end."""
    require(containers.engine_environment)
    require(containers.ensure_base_image)
    with containers.engine():
        yield


@pytest.fixture(scope="session")
def image() -> str:
    """The default image: the gate with the seed's models and migrations."""
    return containers.gate_image()


@pytest.fixture(scope="session")
def bare_image() -> str:
    """The gate alone, to build FROM."""
    return containers.bare_gate_image()
