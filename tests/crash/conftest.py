"""Fixtures of the crash tests, and the figure that they print."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.lab import Lab
from tests.crash.unencrypted import Unencrypted
from tests.support.servers import Server

HERE = Path(__file__).parent
FIGURES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the invariant that everything here defends."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.I3)


@pytest.fixture(scope="session")
def every(request: pytest.FixtureRequest) -> bool:
    """Whether every point is wanted, or a fixed sample."""
    return bool(request.config.getoption("--crash-points") == "all")


@pytest.fixture(scope="session")
def target(server: Server) -> Unencrypted:
    """The run's MySQL, then its MariaDB, without TLS."""
    return Unencrypted(server)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """What the crash tests work with; its figures are printed at the end of the run."""
    made = Lab(tmp_path_factory.mktemp("crash"))
    yield made
    request.config.stash[FIGURES] = list(made.figures())
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was tried and what came of it, for each server."""
    if figures := terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.section("struck, and started again")
        for line in figures:
            terminalreporter.write_line(line)
