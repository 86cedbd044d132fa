"""Fixtures of the integration tests: projects, and a server whose settings a test may change."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scenes import Project
from tests.support import leased, machine
from tests.support.database import Database
from tests.support.servers import Kind, Server, software

# So that what is asserted there is shown as in a test.
pytest.register_assert_rewrite("tests.integration.clustered")

NewProject = Callable[..., Project]


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[NewProject]:
    """A factory: `new_project(database, revisions, env_py=…)`; jobs still running at the end are killed."""
    made: list[Project] = []

    def make(database: Database, revisions: Sequence[str] = (), env_py: str | None = None) -> Project:
        made.append(Project(tmp_path / f"project{len(made)}", database, revisions, env_py))
        return made[-1]

    yield make
    for project in made:
        project.end_jobs()


@pytest.fixture(scope="session")
def patient_server(server_kind: Kind) -> Iterator[Server]:
    """A second server of each kind, that a test may stop, and whose global settings it may change and must restore."""
    machine.require(lambda: software(server_kind))
    server = Server(server_kind).start()
    yield server
    server.remove()


@pytest.fixture
def patient_database(patient_server: Server) -> Iterator[Database]:
    """A fresh database on it."""
    fresh = patient_server.create_database()
    yield fresh
    fresh.drop()


@pytest.fixture
def start() -> Iterator[Callable[..., leased.Job]]:
    """A starter of jobs on a cluster; what still runs at the end of the test, frozen or not, is killed."""
    jobs: list[leased.Job] = []

    def start(database: Database, node: Server, config: Path, **settings: Any) -> leased.Job:
        jobs.append(leased.Job(database, node, config, **settings))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
