"""A server as far as recovery can see it: transactions, implicit commits, atomic DDL, and death at any moment (I3).

It speaks a few statements: tables with columns, and a counter that shows how often something was done.
"""

import copy
import re
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pymysql

from alembic_gate.durable import DurableRevision
from alembic_gate.journal import Row

REVISION = "r1"


class Moment(Enum):
    """When the job dies, seen from one of its round trips."""

    BEFORE = "before the server has it"
    HALFWAY = "the server dies between the implicit commit and the DDL"
    AFTER = "the server has done it, and the answer is lost"


class Killed(BaseException):
    """The job is no more."""


@dataclass
class State:
    """What is on disk, or would be after a commit."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    journal: dict[str, Any] | None = None
    applied: bool = False


class Server:
    """One database and the one connection that migrates it."""

    def __init__(self) -> None:
        self.committed = State()
        self.working: State | None = None
        self.trips = 0
        self.strike: tuple[int, Moment] | None = None

    def round_trip(self, work: Any, *, implicit_commit: bool = False) -> None:
        """Do what a statement does, and die where it was ordered."""
        self.trips += 1
        moment = self.strike[1] if self.strike and self.strike[0] == self.trips else None
        if moment is Moment.BEFORE:
            raise Killed
        if implicit_commit:
            self.commit()
        if moment is Moment.HALFWAY:
            raise Killed
        work()
        if moment is Moment.AFTER:
            raise Killed

    @property
    def now(self) -> State:
        """The transaction's own view; opens one."""
        if self.working is None:
            self.working = copy.deepcopy(self.committed)
        return self.working

    def commit(self) -> None:
        if self.working is not None:
            self.committed, self.working = self.working, None

    def hang_up(self) -> None:
        """The connection is gone: what was not committed is rolled back."""
        self.working, self.trips, self.strike = None, 0, None

    def send(self, statement: str) -> None:
        """Take one statement of the revision."""
        if match := re.match(r"UPDATE counter .* '(\w+)'", statement):
            self.round_trip(lambda: self.now.counters.update({match[1]: self.now.counters.get(match[1], 0) + 1}))
        elif statement == "COMMIT":
            self.round_trip(self.commit)
        elif statement == "ROLLBACK":
            self.round_trip(lambda: setattr(self, "working", None))
        else:
            self.round_trip(lambda: self._ddl(statement), implicit_commit=True)

    def _ddl(self, statement: str) -> None:
        tables = self.now.tables
        verb, rest = statement.split(" TABLE ")
        name, _, more = rest.partition(" ")
        if verb == "CREATE":
            tables[name] = ["id"]
        elif verb == "DROP":
            del tables[name]
        elif verb == "ALTER" and more.startswith("ADD"):
            tables[name].append(more.split()[1])
        elif verb == "ALTER":
            tables[name].remove(more.split()[2])
        elif verb == "RENAME":
            for one in rest.split(", "):
                old, new = one.split(" TO ")
                tables[new] = tables.pop(old)
        self.commit()

    # -- what the journal needs of a connection -----------------------------------------------------------------------

    def execute(self, statement: str, _parameters: Any = None) -> None:
        """Answer `SHOW CREATE TABLE`, as the cursor that takes fingerprints."""
        name = statement.rpartition(" ")[2].strip("`")
        if name not in self.now.tables:
            raise pymysql.err.ProgrammingError(1146, f"Table '{name}' doesn't exist")
        self._row = (name, f"CREATE TABLE {name} {sorted(self.now.tables[name])}")

    def fetchone(self) -> tuple[str, str]:
        return self._row


class Writer:
    """Writes the journal's row into the server's transaction, as `journal.Writer` does with SQL."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.is_committed = False

    def checkpoint(self, position: int, digest: str, old: bytes, new: bytes, statement: Any, touched: Any) -> None:
        def write() -> None:
            before = self._server.now.journal
            answers = (before["answers"] + new) if self.is_committed and before else old + new
            self._server.now.journal = {
                "position": position,
                "digest": digest,
                "statement": statement,
                "fingerprint": touched,
                "answers": answers,
            }

        self._server.round_trip(write)

    def close(self, _position: int, _digest: str) -> None:
        self._server.round_trip(lambda: setattr(self._server.now, "journal", None))


def start(server: Server, program: list[str], strike: tuple[int, Moment] | None = None) -> None:
    """Run a revision from its top, as a start of the job does; raises Killed, and what recovery refuses."""
    server.strike = strike
    try:
        if server.committed.applied:
            return
        revision = DurableRevision(session_on(server), Writer(server), REVISION, row_of(server), 1 << 20)  # type: ignore[arg-type]
        cursor = SimpleNamespace(rowcount=1, lastrowid=0, description=None)
        for statement in program:
            revision.execute(statement, None, cursor, lambda statement=statement: server.send(statement))
        revision.assert_complete()
        server.round_trip(lambda: setattr(server.now, "applied", True))
        revision.close()
        server.round_trip(server.commit)
    finally:
        server.hang_up()


def session_on(server: Server) -> Any:
    lock = SimpleNamespace(assert_held=lambda: None, on_cluster=False, settings=SimpleNamespace(lock_timeout_seconds=0))
    return SimpleNamespace(cursor=server, lock=lock, end_statement=lambda: None, commits_by_itself=lambda: False)


def row_of(server: Server) -> Row | None:
    journal = server.committed.journal
    if journal is None:
        return None
    return SimpleNamespace(state="running", in_flight_was_refused=False, **journal)  # type: ignore[return-value]
