"""A server as far as recovery can see it: transactions, implicit commits, atomic DDL, and death at any moment (I3).

It speaks a few statements: tables with columns, and a counter that shows how often something was done. A program may
be several revisions, with NEXT between them.
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
from alembic_gate.session import Session

NEXT = "the next revision"


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
    applied: int = 0


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
        if statement == NEXT:
            return
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
        """Answer `SHOW TABLES` and `SHOW CREATE TABLE`, as the cursor that takes fingerprints."""
        if statement == "SHOW TABLES":
            self._rows = [(name,) for name in self.now.tables]
            return
        name = statement.rpartition(" ")[2].strip("`")
        if name not in self.now.tables:
            raise pymysql.err.ProgrammingError(1146, f"Table '{name}' doesn't exist")
        self._row = (name, f"CREATE TABLE {name} {sorted(self.now.tables[name])}")

    def fetchone(self) -> tuple[str, str]:
        return self._row

    def fetchall(self) -> list[tuple[str]]:
        return self._rows


class Writer:
    """Writes the journal's open row into the server's transaction, as `journal.Writer` does with SQL."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.is_committed = False
        self.closing = False

    def open(self, script: Any, _direction: str) -> None:
        self._revision, self.is_committed = script.revision, False

    def checkpoint(self, position: int, digest: str, old: bytes, new: bytes, statement: Any, touched: Any) -> None:
        def write() -> None:
            before = self._server.now.journal
            self._server.now.journal = {
                "revision": self._revision,
                "position": position,
                "digest": digest,
                "statement": statement,
                "fingerprint": touched,
                "answers": (before["answers"] + new) if self.is_committed and before else old + new,
            }

        self._server.round_trip(write)
        self.closing = False

    def close(self, _position: int, _digest: str) -> None:
        self.closing = True

    def write_close(self) -> None:
        self._server.round_trip(lambda: setattr(self._server.now, "journal", None))
        self.closing = False


class SimulatedSession(Session):
    """The session as it is, on the simulated server."""

    def __init__(self, server: Server) -> None:
        limits = SimpleNamespace(lock_timeout_seconds=0, journal_limit_bytes=1 << 20)
        self.lock: Any = SimpleNamespace(assert_held=lambda: None, on_cluster=False, settings=limits)
        self.cursor, self.writer = server, Writer(server)  # type: ignore[assignment]
        self.owns_transaction, self.on_committed = True, lambda: None
        self._tables, self._tables_until = set(), 0.0

    def run(self, statement: str, *_parameters: object) -> Any:
        if statement == "COMMIT":
            self.cursor.round_trip(self.cursor.commit)
        else:
            self.cursor.execute(statement)
        return self.cursor

    def commits_by_itself(self) -> bool:
        return False


def revisions(program: list[str]) -> list[list[str]]:
    """Split a program into its revisions."""
    found: list[list[str]] = [[]]
    for statement in program:
        if statement == NEXT:
            found.append([])
        else:
            found[-1].append(statement)
    return found


def start(server: Server, program: list[str], strike: tuple[int, Moment] | None = None) -> None:
    """Run what is not applied of a program, as a start of the job does; raises Killed, and what recovery refuses."""
    server.strike = strike
    try:
        session = SimulatedSession(server)
        cursor = SimpleNamespace(rowcount=1, lastrowid=0, description=None)
        for number, statements in list(enumerate(revisions(program)))[server.committed.applied :]:
            script: Any = SimpleNamespace(revision=str(number))
            revision = DurableRevision(session, script, "upgrade", row_of(server, script.revision))
            for statement in statements:
                revision.execute(statement, None, cursor, lambda statement=statement: server.send(statement))
            revision.assert_complete()
            server.round_trip(lambda number=number: setattr(server.now, "applied", number + 1))
            revision.close()
            if not revision.is_all_committed:
                session.settle()
        session.settle()
    finally:
        server.hang_up()


def row_of(server: Server, revision: str) -> Row | None:
    journal = server.committed.journal
    if journal is None or journal["revision"] != revision:
        return None
    facts = {name: value for name, value in journal.items() if name != "revision"}
    return SimpleNamespace(state="running", in_flight_was_refused=False, **facts)  # type: ignore[return-value]
