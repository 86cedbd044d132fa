"""Fixtures that every test may use: real servers, one of each kind a run, and a fresh database for each test."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support import containers, machine
from tests.support.database import Database
from tests.support.figures import KINDS as FOLDERS
from tests.support.figures import Figures, kind_of
from tests.support.galera import GaleraCluster
from tests.support.group_replication import ReplicationGroup
from tests.support.servers import KINDS, Kind, Server, software

NewServer = Callable[..., Server]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the Makefile's targets say."""
    parser.addoption("--report", metavar="NAME", help="keep the figures in .reports/tests-NAME.json")
    parser.addoption(
        "--crash-points", choices=("sample", "all"), default="sample", help="how much of the crash matrix to run"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Count the tests of this run."""
    config.pluginmanager.register(Figures(config.getoption("--report")), "figures")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cheap kinds first, and mark each test with the folder that it lives in."""
    for item in items:
        kind = kind_of(item.path)
        if kind in {"crash", "image", "k8s"}:
            item.add_marker(kind)
    items.sort(key=lambda item: FOLDERS.index(kind) if (kind := kind_of(item.path)) in FOLDERS else len(FOLDERS))


@pytest.fixture(scope="session")
def servers_of_this_run() -> Iterator[Callable[[Kind], Server]]:
    """One running server of each kind, started when first asked for."""
    running: dict[Kind, Server] = {}

    def get(kind: Kind) -> Server:
        if kind not in running:
            machine.require(lambda: software(kind))
            running[kind] = Server(kind).start()
        return running[kind]

    yield get
    for server in running.values():
        server.remove()


@pytest.fixture(scope="session", params=KINDS)
def server_kind(request: pytest.FixtureRequest) -> Kind:
    """Both kinds in turn; for tests that bring their own server by `new_server(server_kind)`."""
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="session")
def server(servers_of_this_run: Callable[[Kind], Server], server_kind: Kind) -> Server:
    """The run's MySQL, then its MariaDB. Shared: neither stop it nor change its global settings."""
    return servers_of_this_run(server_kind)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A fresh, empty database on both servers in turn."""
    fresh = server.create_database()
    yield fresh
    fresh.drop()


@pytest.fixture(scope="session")
def galera() -> Iterator[GaleraCluster]:
    """The run's cluster of three nodes. Shared: whoever freezes, kills or cuts off a node brings it back."""
    machine.require(machine.ensure_galera)
    cluster = GaleraCluster()
    yield cluster.start()
    cluster.stop()


@pytest.fixture(scope="session")
def group() -> Iterator[ReplicationGroup]:
    """The run's replication group of three nodes. Shared: whoever freezes or kills a node brings it back."""
    machine.require(lambda: software("mysql"))
    replicated = ReplicationGroup()
    yield replicated.start()
    replicated.stop()


@pytest.fixture
def new_server() -> Iterator[NewServer]:
    """A factory of servers that a test may stop, kill and configure: `new_server(kind, start=…, fast=…, options=…)`."""
    made: list[Server] = []

    def make(kind: Kind, *, start: bool = True, **settings: Any) -> Server:
        machine.require(lambda: software(kind))
        server = Server(kind, **settings)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        server.remove()


@pytest.fixture(scope="session")
def engine() -> Iterator[ModuleType]:
    """A container engine with the base image; what the tests make there is removed at the end."""
    machine.require(containers.engine_environment)
    machine.require(containers.ensure_base_image)
    with containers.engine():
        yield containers
