"""The migration connection, as the revisions' statements need it: commits, the list of tables, ending a statement."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from alembic_gate import connect
from alembic_gate.journal import Writer
from alembic_gate.lock import GateLock
from alembic_gate.project import Scripts

_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
# How long somebody else's new table may stay unseen: it takes that, and a kill within it, to take theirs for ours.
TABLES_SECONDS = 1


class Session:
    """One connection, from the moment that Alembic asks for the revisions to run until the last is committed."""

    def __init__(self, dialect: Any, dbapi_connection: Any, lock: GateLock, scripts: Scripts) -> None:
        self.dialect, self.dbapi_connection, self.lock = dialect, dbapi_connection, lock
        self.cursor = dbapi_connection.cursor()
        self.writer = Writer(lock, self.cursor, scripts)
        self.connection_id = self.run("SELECT CONNECTION_ID()").fetchone()[0]
        self.owns_transaction = False  # else env.py commits
        self.on_committed: Callable[[], None] = lambda: None
        self._tables: set[str] = set()
        self._tables_until = 0.0

    def run(self, statement: str, *parameters: object) -> Any:
        """Run a statement of our own and return the cursor."""
        self.cursor.execute(statement, parameters or None)
        return self.cursor

    def commits_by_itself(self) -> bool:
        """Tell whether a DML statement sent now is a transaction of its own."""
        try:
            autocommit = self.dialect.detect_autocommit_setting(self.dbapi_connection)
        except NotImplementedError:
            autocommit = self.run("SELECT @@autocommit").fetchone()[0] == 1
        return autocommit and not getattr(self.dbapi_connection, "server_status", 0) & _IN_TRANSACTION

    def settle(self) -> None:
        """Commit the last revision, where that has waited for the first statement of the next one."""
        if self.writer.closing:
            self.writer.write_close()
            self.commit()

    def commit(self) -> None:
        if self.owns_transaction:
            self.run("COMMIT")
            self.on_committed()

    def before_rollback(self, call: Callable[[], None]) -> None:
        """Have something done before a script rolls back on the driver's connection, which SQLAlchemy does not see."""
        rollback = self.dbapi_connection.rollback

        def call_and_roll_back() -> None:
            call()
            rollback()

        with suppress(AttributeError):  # the adapters of asynchronous drivers take no attribute
            self.dbapi_connection.rollback = call_and_roll_back

    def end_statement(self) -> None:
        """End the statement that runs here, from a second connection to the same server.

        Behind a load balancer it may be another server, where the number is a stranger's: the fence tells.
        """
        with suppress(connect.Error), connect.connect(self.lock.settings.database) as second:
            if second.rows("SELECT IS_USED_LOCK(%s)", self.lock.fence)[0][0] == self.connection_id:
                second.rows(f"KILL QUERY {int(self.connection_id)}")

    def lacks(self, table: str) -> bool:
        """Tell whether the database lacks a table (its quoted name), by a list that is read again after a second."""
        if time.monotonic() > self._tables_until:
            names = [name.casefold().replace("`", "``") for name, *_ in self.run("SHOW TABLES").fetchall()]
            self._tables = {f"`{name}`" for name in names}
            self._tables_until = time.monotonic() + TABLES_SECONDS
        return table.casefold() not in self._tables

    def note_done(self, created: str | None) -> None:
        """Keep the list of tables right after a statement that may have changed it."""
        if created:
            self._tables.add(created.casefold())
        else:
            self._tables_until = 0.0
