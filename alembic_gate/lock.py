"""One job at a time (I2): the gate lock, which jobs queue for, and the fence on the connection that runs statements.

1. Who holds the gate lock may look, decide and write the journal.
2. Who holds the fence as well may run statements of revisions. The server frees the fence only when the connection is
   gone and its last statement has ended, so a dead job's ALTER keeps everybody out.
3. The gate lock is `GET_LOCK` on one server, and a row on a cluster (lease.py), where `GET_LOCK` is local to a node.
4. A job that lost the gate lock starts nothing more.

https://dev.mysql.com/doc/refman/en/locking-functions.html
"""

import hashlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alembic_gate import connect, wait
from alembic_gate.classify import DEADLOCK, LOCK_WAIT_TIMEOUT, error_number, is_lost_connection
from alembic_gate.exits import GateStop, LockLost, LockTimeout, Terminated
from alembic_gate.report import log
from alembic_gate.settings import Settings

# One wait inside the server; short, so that a signal and a lost connection are noticed.
POLL_SECONDS = 1
# Well below what makes the server drop a silent connection, so that one lost packet costs no lock.
KEEP_ALIVE_SECONDS = 5
# A frozen or vanished job loses its gate lock after this time; longer than any pause of a healthy process.
SILENCE_SECONDS = 30


def who() -> str:
    """This job, for people: host (in Kubernetes the pod), image if it says so, process."""
    image = os.environ.get("IMAGE_NAME", "")
    return f"{socket.gethostname()}{f' ({image})' if image else ''} pid {os.getpid()}"[:255]


class GateLock:
    """The gate lock as `GET_LOCK` on a connection of its own."""

    on_cluster = False

    def __init__(self, settings: Settings, connection: connect.Connection) -> None:
        self.settings, self.connection = settings, connection
        self.schema = "`{}`".format(settings.database.name.replace("`", "``"))
        self.gate, self.fence = _lock_name("gate", settings), _lock_name("fence", settings)
        self._mutex = threading.RLock()
        self._released = threading.Event()
        self.is_over = False  # whether every statement of this job is known to have been answered
        self._lost = ""
        self._interrupted = False
        self.connection_id: int = self.rows("SELECT CONNECTION_ID()")[0][0]
        self.rows(f"SET SESSION wait_timeout = {SILENCE_SECONDS}")

    def table(self, name: str) -> str:
        """A table of ours in a statement with parameters, on a connection whose revision may have said USE."""
        return f"{self.schema}.`{name}`".replace("%", "%%")

    def rows(self, statement: str, *parameters: object) -> list[Any]:
        """Run one statement on the lock's own connection; raises LockLost when that is gone."""
        with self.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """The lock's own connection, for this thread alone."""
        with self._mutex:
            try:
                with self.connection.cursor() as cursor:
                    yield cursor
            except connect.Error as error:
                if not is_lost_connection(error):
                    raise
                self._lost = self._lost or "its connection broke"
                raise LockLost(f"the gate lock on {self.schema} is lost: {self._lost}") from error
            except Terminated:
                # The answer to what was sent last may still come: nothing more can be asked on this connection.
                self._interrupted = True
                self.connection.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A transaction that commits only while the lock is held."""
        self.assert_held()
        with self.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            try:
                self.check_in_transaction(cursor)
                yield cursor
                cursor.execute("COMMIT")
            except Exception:
                cursor.execute("ROLLBACK")
                raise

    def try_to_acquire(self) -> bool:
        return bool(self.rows("SELECT GET_LOCK(%s, %s)", self.gate, POLL_SECONDS)[0][0] == 1)

    def is_mine(self) -> bool:
        """Ask the server whether this job still holds the lock, and keep it."""
        return bool(self.rows("SELECT IS_USED_LOCK(%s) = CONNECTION_ID()", self.gate)[0][0])

    def holder(self) -> str:
        """Who holds the lock, as far as this account may see."""
        return self.connection_holding(self.gate)[1]

    def check_in_transaction(self, cursor: Any) -> None:
        """Make the transaction that `cursor` is in depend on the lock; here the fence does that."""

    def is_seen_from(self, cursor: Any) -> bool:
        """Tell whether another connection looks at the same server and database as this lock."""
        cursor.execute("SELECT IS_USED_LOCK(%s), DATABASE()", (self.gate,))
        number, database = cursor.fetchone()
        return number == self.connection_id and self.is_our_database(database)

    def give_back(self) -> None:
        """Let the next job in at once; a closed connection has done so by itself."""
        if not self._interrupted and self.rows("SELECT RELEASE_LOCK(%s)", self.gate)[0][0] != 1:
            log.warning("the gate lock was no longer ours when it was to be released")

    # -- the same for both kinds ------------------------------------------------------------------------------------

    def is_our_database(self, name: str | None) -> bool:
        ours: str = self.rows("SELECT DATABASE()")[0][0]
        return name is not None and name.casefold() == ours.casefold()

    def connection_holding(self, name: str) -> tuple[Any, str]:
        """Which connection holds a lock: its row in the process list if this account may see it, and in words."""
        number = self.rows("SELECT IS_USED_LOCK(%s)", name)[0][0]
        row = next((row for row in self.rows("SHOW FULL PROCESSLIST") if row[0] == number), None)
        return row, _in_words(row) if row else f"connection {number}" if number else "nobody any more"

    def fence_holder(self) -> str:
        return self.connection_holding(self.fence)[1]

    def others(self) -> str:
        """Who else is connected to the database, as far as this account may see; the longest first."""
        rows = [row for row in self.rows("SHOW FULL PROCESSLIST") if self.is_our_database(row[3])]
        rows.sort(key=lambda row: -int(row[5] or 0))
        ours = {self.connection_id, self.rows("SELECT IS_USED_LOCK(%s)", self.fence)[0][0]}
        return ", ".join(_in_words(row) for row in rows if row[0] not in ours) or "none that this account may see"

    def keep(self) -> None:
        """Keep the lock from a thread until it is released."""
        threading.Thread(target=self._keep, name="gate-lock", daemon=True).start()

    def _keep(self) -> None:
        while not self._lost and not self._released.wait(KEEP_ALIVE_SECONDS):
            try:
                if not self.is_mine() and not self._released.is_set():
                    self._lost = "another job took it over"
            except LockLost:
                pass
            except connect.Error as error:
                if error_number(error) not in (LOCK_WAIT_TIMEOUT, DEADLOCK):
                    self._lost = f"it could not be kept ({error_number(error)})"

    def assert_held(self, *, ask: bool = False) -> None:
        """Raise LockLost when the lock is lost; the server is asked with `ask`, and where it has hung up."""
        try:
            if (ask or self._has_been_spoken_to()) and not self.is_mine():
                self._lost = self._lost or "another job took it over"
        except connect.Error as error:
            self._lost = self._lost or f"the server does not answer for it ({error_number(error)})"
        if self._lost:
            raise LockLost(f"the gate lock on {self.schema} is lost: {self._lost}")

    def _has_been_spoken_to(self) -> bool:
        """Tell whether the server said something unasked, such as its farewell; costs no round trip."""
        if self._lost or not self._mutex.acquire(blocking=False):
            return False  # the thread that keeps the lock is asking already
        try:
            sock = getattr(self.connection, "_sock", None)
            return sock is None or bool(select.select([sock], [], [], 0)[0])
        finally:
            self._mutex.release()

    def release(self) -> None:
        self._released.set()
        with suppress(connect.Error, LockLost):
            if not self._lost:
                self.give_back()
        with suppress(connect.Error):
            self.connection.close()

    def is_fence_free(self) -> bool:
        """Tell whether no connection is fenced in, waiting a moment for it."""
        self.assert_held()
        if self.rows("SELECT GET_LOCK(%s, %s)", self.fence, POLL_SECONDS)[0][0] == 1:
            self.rows("SELECT RELEASE_LOCK(%s)", self.fence)
            return True
        self.end_idle_fence_holder()
        return False

    def end_idle_fence_holder(self) -> None:
        """End the connection of a job that lost the gate lock, unless a statement runs on it.

        It is frozen or cut off; ended, its open transaction is rolled back and it can send nothing more.
        """
        row, words = self.connection_holding(self.fence)
        if row is not None and row[4] == "Sleep":
            log.warning("ending %s, left behind by a job that lost its lock", words)
            try:
                self.rows(f"KILL {int(row[0])}")
            except connect.Error as error:
                if error_number(error) not in (1094, 1095):  # no such thread, and not its owner
                    raise
                log.warning("%s cannot be ended (%d)", words, error_number(error))


@contextmanager
def acquire(settings: Settings) -> Iterator[GateLock]:
    """Hold the gate lock, with no fence left of a former job, for the time of the body.

    Raises LockTimeout, saying who holds it; LockLost; DatabaseUnavailable.
    """
    deadline = time.monotonic() + settings.lock_timeout_seconds
    lock = wait.until_usable(settings, lambda left: _open(settings, left))
    try:
        _poll(lock.try_to_acquire, lock.holder, "its turn, as another job is at work", deadline)
        lock.keep()
        _poll(lock.is_fence_free, lock.fence_holder, "a statement of a dead job to end", deadline)
        try:
            yield lock
        except GateStop as stop:
            lock.is_over = not isinstance(stop, LockLost)
            raise
        lock.is_over = True
    finally:
        lock.release()


def _open(settings: Settings, left: float) -> GateLock:
    connection = connect.connect(settings.database, connect_timeout=left)
    connect.keep_alive(connection)
    kind = settings.lock if settings.lock != "auto" else kind_for(connection)
    log.debug("using the %s lock", kind)
    if kind == "session":
        return GateLock(settings, connection)
    from alembic_gate.lease import LeaseLock

    return LeaseLock(settings, connection)


def kind_for(connection: connect.Connection) -> str:
    """A lease where several nodes take writes: Galera, and Group Replication in multi-primary mode."""
    names = ("wsrep_on", "wsrep_provider", "group_replication_group_name", "group_replication_single_primary_mode")
    rows = connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN {names}")
    value = {name.lower(): str(setting).upper() for name, setting in rows}
    galera = value.get("wsrep_on") == "ON" and value.get("wsrep_provider") not in (None, "", "NONE")
    single_primary = value.get("group_replication_single_primary_mode", "ON") == "ON"
    return "lease" if galera or (value.get("group_replication_group_name") and not single_primary) else "session"


def _poll(succeeds: Callable[[], bool], holder: Callable[[], str], what: str, deadline: float) -> None:
    """Try until it succeeds; one message at the third try, so that a short wait is silent."""
    started = time.monotonic()
    tries = 0
    while True:
        words = "somebody that the server does not name now"
        # On a cluster any question may have to wait for a long ALTER, and time out: not our turn yet.
        with _time_outs_ignored():
            if succeeds():
                return
        tries += 1
        if tries == 3 or time.monotonic() >= deadline:
            with _time_outs_ignored():
                words = holder()
        if tries == 3:
            log.info("waiting for %s (%s)", what, words)
        if time.monotonic() >= deadline:
            raise LockTimeout(f"waited {time.monotonic() - started:.0f} s for {what}; held by {words}")


@contextmanager
def _time_outs_ignored() -> Iterator[None]:
    try:
        yield
    except connect.Error as error:
        if error_number(error) not in (LOCK_WAIT_TIMEOUT, DEADLOCK):
            raise


def _lock_name(part: str, settings: Settings) -> str:
    """A name within the 64 characters that MySQL allows, readable as long as it fits."""
    name = f"alembic_gate.{part}.{settings.database.name}"
    return name if len(name) <= 64 else f"alembic_gate.{part}.{hashlib.sha1(name.encode()).hexdigest()}"


def _in_words(row: Any) -> str:
    number, user, host, _, command, seconds, *_ = row
    return f"connection {number} of {user}@{host} ({command} for {seconds} s)"
