"""The images under test, built once a run by a real engine."""

from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def image(engine: ModuleType) -> str:
    """The default image: the gate with the seed's models and migrations."""
    return str(engine.gate_image())


@pytest.fixture(scope="session")
def bare_image(engine: ModuleType) -> str:
    """The gate alone, to build FROM."""
    return str(engine.bare_gate_image())
