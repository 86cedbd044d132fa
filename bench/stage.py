"""The stage on which all cases run: one server, the installed tools, and how often each is started."""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.arena import Arena
from bench.peers import Tool
from tests.support.database import Database
from tests.support.servers import Server

# Commits reach the kernel, not the disk: what is measured is the tools, and not this machine's disk.
OPTIONS = ("--performance-schema=ON", "--max-connections=151")


@dataclass(frozen=True)
class Stage:
    """What a case needs; `quick` asks for the smallest that shows that it works."""

    server: Server
    folder: Path
    arena: Arena
    runs: int
    quick: bool

    @functools.cached_property
    def gate_and_alembic(self) -> tuple[Tool, Tool]:
        gate, alembic = peers.gate_and_alembic(self.arena)
        return gate, alembic

    @functools.cached_property
    def others(self) -> tuple[list[Tool], dict[str, str]]:
        """The other tools, and why some are missing; none of them in a quick run, which must not download them."""
        return ([], {}) if self.quick else peers.others()

    @functools.cached_property
    def tools(self) -> list[Tool]:
        """All that are measured, Alembic second."""
        return [*self.gate_and_alembic, *self.others[0]]

    def database(self) -> Database:
        return self.server.create_database("bench")

    def empty(self, database: Database) -> None:
        """Drop all tables; the account stays."""
        self.server.query(f"DROP DATABASE `{database.name}`")
        self.server.query(f"CREATE DATABASE `{database.name}` CHARACTER SET utf8mb4")

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


@contextmanager
def stage(runs: int, *, quick: bool) -> Iterator[Stage]:
    """Set everything up, and take it down."""
    server = Server("mysql", options=OPTIONS).start()
    try:
        with tempfile.TemporaryDirectory(prefix="alembic-gate-bench-") as folder:
            yield Stage(server, Path(folder), Arena.build(Path(folder)), runs, quick)
    finally:
        server.remove()
