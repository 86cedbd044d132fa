"""What integration tests set up again and again: a project with its database, background jobs, other sessions."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.database import Database
from tests.support.gate import run_alembic, run_gate, start_gate
from tests.support.projects import revision_source, write_project

on_mysql = pytest.mark.parametrize("server_kind", ["mysql"], indirect=True)
"""For what does not depend on the server: one of the two is enough."""

PATIENCE_SECONDS = 30  # for what takes well below a second on an idle machine

# A history of two revisions, DDL and rows.
PEOPLE = [
    revision_source(
        "a1",
        None,
        'op.execute("CREATE TABLE people (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20))")\n'
        "op.execute(\"INSERT INTO people (name) VALUES ('ada'), ('小明')\")",
        'op.execute("DROP TABLE people")',
    ),
    revision_source(
        "a2",
        "a1",
        'op.execute("ALTER TABLE people ADD visits INT NOT NULL DEFAULT 0")\n'
        'op.execute("UPDATE people SET visits = visits + 1")',
        'op.execute("ALTER TABLE people DROP visits")',
    ),
]


def until(true: Callable[[], Any], what: str = "", seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or true}"
        time.sleep(0.02)
    return found


class Job:
    """A start of the gate in the background, with its log on the way."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def until_logged(self, words: str) -> None:
        """Wait until the log says something that matches."""
        until(lambda: re.search(words, self.log) or self.process.poll() is not None, f"{words!r} in:\n{self.log}")
        assert re.search(words, self.log), f"ended with {self.process.returncode}:\n{self.log}"

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        return self.process.wait(seconds)

    def ends(self, code: int, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait for the end, which must have this code; return the log."""
        assert self.wait(seconds) == code, self.log
        return self.log


class Project:
    """An Alembic project in a folder, and the database that it is for."""

    def __init__(
        self, folder: Path, database: Database, revisions: Sequence[str] = (), env_py: str | None = None
    ) -> None:
        self.folder = folder
        self.database = database
        self.config = write_project(folder, list(revisions), env_py=env_py, url=database.url)
        self._jobs: list[Job] = []

    def write(self, *revisions: str) -> None:
        """Add revisions, or say others under the same names."""
        for source in revisions:
            name = re.search(r"^revision = '(\w+)'", source, re.MULTILINE)[1]  # type: ignore[index]
            (self.folder / f"migrations/versions/{name}.py").write_text(source, encoding="utf-8")

    def forget(self, *names: str) -> None:
        """Be an older image, which lacks these revisions."""
        for name in names:
            (self.folder / f"migrations/versions/{name}.py").unlink()

    def gate(self, *args: str, timeout: float = 60, **env: str) -> "subprocess.CompletedProcess[str]":
        return run_gate(*args, env=self.database.env() | env, cwd=self.folder, timeout=timeout)

    def ends(self, code: int, *args: str, timeout: float = 60, **env: str) -> str:
        """Run the gate to its end, which must have this code; return all that it said."""
        process = self.gate(*args, timeout=timeout, **env)
        assert process.returncode == code, process.stderr
        return process.stdout + process.stderr

    def start(self, *args: str, **env: str) -> Job:
        log = self.folder / f"job-{len(self._jobs)}.log"
        with log.open("w", encoding="utf-8") as file:
            process = start_gate(
                *args, env=self.database.env() | env, cwd=self.folder, stdout=file, stderr=subprocess.STDOUT
            )
        self._jobs.append(Job(process, log))
        return self._jobs[-1]

    def end_jobs(self) -> None:
        for job in self._jobs:
            if job.process.poll() is None:
                job.process.kill()
                job.process.wait()

    def alembic(self, *args: str, **env: str) -> str:
        """Run the plain command, which must succeed; return what it printed."""
        process = run_alembic(*args, env=env, cwd=self.folder)
        assert process.returncode == 0, process.stderr
        return process.stdout

    def versions(self, table: str = "alembic_version") -> set[str]:
        return {name for (name,) in self.database.query(f"SELECT version_num FROM {table}")}

    def journal(self) -> dict[str, str]:
        """Revision -> state."""
        return dict(self.database.query("SELECT revision, state FROM alembic_gate_revision"))


def last_line(said: str) -> str:
    return said.rstrip().splitlines()[-1]


def json_lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def processes_of(database: Database) -> list[tuple[Any, ...]]:
    """(id, command, seconds, info) of the connections of the database's user."""
    return list(
        database.server.query(
            "SELECT id, command, time, info FROM information_schema.processlist WHERE user = %s ORDER BY id",
            database.user,
        )
    )


def running(database: Database, words: str) -> int | None:
    """The connection of the database's user that runs a statement with these words."""
    found = [row[0] for row in processes_of(database) if row[3] and words in row[3]]
    return found[0] if found else None


@contextmanager
def open_transaction_on(database: Database, table: str) -> Iterator[Any]:
    """A session that has read a table and not ended its transaction: a metadata lock on it."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        cursor.fetchall()
        yield connection


@contextmanager
def gate_lock_of(database: Database, part: str = "gate") -> Iterator[int]:
    """A session that holds the gate lock, or the fence; yields its connection id."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0), CONNECTION_ID()", (f"alembic_gate.{part}.{database.name}",))
        got, number = cursor.fetchone()
        assert got == 1
        yield number


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
