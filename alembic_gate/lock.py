"""One job at a time (I2): the gate lock, which jobs queue for, and the fence on the connection that runs the statements.

1. Who holds the gate lock may look, decide and write the journal.
2. Who holds the fence as well may run statements of revisions. The server frees the fence only when the connection is
   gone and its last statement has ended, so a dead job's ALTER keeps everybody out.
3. The gate lock is `GET_LOCK` on one server, and a row on a cluster, where `GET_LOCK` is local to a node.
4. A job that lost the gate lock starts nothing more.
"""

import hashlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alembic_gate import connect, wait
from alembic_gate.classify import error_number, is_lost_connection
from alembic_gate.exits import LockLost, LockTimeout
from alembic_gate.glance import LEASE_TABLE, query
from alembic_gate.report import log
from alembic_gate.settings import Settings

# One wait inside the server; short, so that a signal and a lost connection are noticed.
POLL_SECONDS = 1
# A third of what makes the server drop a silent connection, so that one lost packet costs no lock.
KEEP_ALIVE_SECONDS = 5
# A frozen or vanished job loses its gate lock after this time; longer than any pause of a healthy process.
SILENCE_SECONDS = 30
# A lease is taken over when it has expired and was seen unchanged for longer than a heartbeat takes.
LEASE_SECONDS = 20
LEASE_UNCHANGED_SECONDS = 2 * KEEP_ALIVE_SECONDS

_LOCK_WAIT_TIMEOUT, _DEADLOCK = 1205, 1213
_GONE = (1094, 1095)

_CREATE_LEASE = f"""CREATE TABLE IF NOT EXISTS `{LEASE_TABLE}` (
    part VARCHAR(9) NOT NULL PRIMARY KEY COMMENT 'holder, or heartbeat',
    token CHAR(32) NOT NULL DEFAULT '' COMMENT 'of the job that holds the lease; empty when nobody does',
    owner VARCHAR(255) NOT NULL DEFAULT '',
    expires DATETIME(6) NULL,
    step BIGINT NOT NULL DEFAULT 0 COMMENT 'checkpoints written under leases'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='alembic-gate: whose turn it is, on a cluster'"""


def who() -> str:
    """This job, for people: host (in Kubernetes the pod), image if it says so, process."""
    image = os.environ.get("IMAGE_NAME", "")
    return f"{socket.gethostname()}{f' ({image})' if image else ''} pid {os.getpid()}"[:255]


class GateLock:
    """The gate lock as `GET_LOCK` on a connection of its own.

    https://dev.mysql.com/doc/refman/en/locking-functions.html
    """

    on_cluster = False

    def __init__(self, settings: Settings, connection: Any) -> None:
        self.settings = settings
        self.connection = connection
        self.name = _lock_name("gate", settings.database.name)
        self.fence = _lock_name("fence", settings.database.name)
        self.schema = "`{}`".format(settings.database.name.replace("`", "``"))
        self._mutex = threading.Lock()
        self._released = threading.Event()
        self._lost = ""
        self.connection_id: int = self.query("SELECT CONNECTION_ID()")[0][0]
        self.query(f"SET SESSION wait_timeout = {SILENCE_SECONDS}")

    def query(self, statement: str, *parameters: object) -> list[Any]:
        """Run one statement on the lock's own connection; raises LockLost when that is gone."""
        try:
            with self._mutex:
                return query(self.connection, statement, *parameters)
        except connect.Error as error:
            if is_lost_connection(error):
                self._lost = self._lost or "its connection broke"
                raise LockLost(f"the gate lock on '{self.settings.database.name}' is lost: {self._lost}") from error
            raise

    def try_to_acquire(self) -> bool:
        return bool(self.query("SELECT GET_LOCK(%s, %s)", self.name, POLL_SECONDS)[0][0] == 1)

    def holder(self) -> str:
        """Who holds the lock, as far as this account may see."""
        return self.connection_holding(self.name)

    def connection_holding(self, name: str) -> str:
        number = self.query("SELECT IS_USED_LOCK(%s)", name)[0][0]
        if number is None:
            return "nobody any more"
        row = self.process(number)
        return f"connection {number}" + (f" of {row[1]}@{row[2]}, {row[4]} for {row[5]} s" if row else "")

    def process(self, number: int) -> Any:
        """The process list's row of a connection: (id, user, host, db, command, seconds, state, info), or None."""
        return next((row for row in self.query("SHOW FULL PROCESSLIST") if row[0] == number), None)

    def others(self) -> str:
        """Who else is connected to the database, as far as this account may see; the longest first."""
        rows = [row for row in self.query("SHOW FULL PROCESSLIST") if _same_name(row[3], self.settings.database.name)]
        rows = sorted((row for row in rows if row[0] != self.connection_id), key=lambda row: -row[5])[:5]
        return ", ".join(f"connection {row[0]} of {row[1]}@{row[2]} ({row[4]}, {row[5]} s)" for row in rows)

    def is_mine(self) -> bool:
        """Ask the server whether this job still holds the lock, and keep it."""
        return bool(self.query("SELECT IS_USED_LOCK(%s) = CONNECTION_ID()", self.name)[0][0])

    def is_seen_from(self, cursor: Any) -> bool:
        """Tell whether another connection looks at the same server and database as this lock."""
        cursor.execute("SELECT IS_USED_LOCK(%s), DATABASE()", (self.name,))
        number, database = cursor.fetchone()
        return number == self.connection_id and _same_name(database, self.query("SELECT DATABASE()")[0][0])

    def check_in_transaction(self, cursor: Any) -> None:
        """Make the transaction that `cursor` is in depend on the lock: nothing to do, the fence does it."""

    def keep(self) -> None:
        """Keep the lock from a thread until it is released."""
        threading.Thread(target=self._keep, name="gate-lock", daemon=True).start()

    def _keep(self) -> None:
        while not self._released.wait(KEEP_ALIVE_SECONDS):
            try:
                if not self.is_mine():
                    self._lost = "another job took it over"
            except LockLost:
                pass
            except connect.Error as error:
                if error_number(error) not in (_LOCK_WAIT_TIMEOUT, _DEADLOCK):
                    self._lost = f"it could not be kept ({error_number(error)})"
            if self._lost:
                return

    def assert_held(self) -> None:
        """Raise LockLost when the lock is known to be lost."""
        if self._lost:
            raise LockLost(f"the gate lock on '{self.settings.database.name}' is lost: {self._lost}")

    def release(self) -> None:
        self._released.set()
        if not self._lost:
            with suppress(connect.Error, LockLost):
                self._give_back()
        with suppress(connect.Error):
            self.connection.close()

    def _give_back(self) -> None:
        if self.query("SELECT RELEASE_LOCK(%s)", self.name)[0][0] != 1:
            log.warning("the gate lock was no longer ours when it was to be released")

    def is_fence_free(self) -> bool:
        """Tell whether no connection is fenced in, waiting a moment for it."""
        if self.query("SELECT GET_LOCK(%s, %s)", self.fence, POLL_SECONDS)[0][0] != 1:
            return False
        self.query("SELECT RELEASE_LOCK(%s)", self.fence)
        return True

    def end_idle_fence_holder(self) -> None:
        """End the connection of a job that lost the gate lock, unless a statement runs on it.

        It is frozen or cut off; ended, its open transaction is rolled back and it can send nothing more.
        """
        number = self.query("SELECT IS_USED_LOCK(%s)", self.fence)[0][0]
        row = self.process(number) if number is not None else None
        if row is not None and row[4] == "Sleep":
            log.warning("ending connection %d: idle, left behind by a job that lost its lock", number)
            try:
                self.query(f"KILL {int(number)}")
            except connect.Error as error:
                if error_number(error) not in _GONE:
                    raise
                log.warning("connection %d cannot be ended (%d)", number, error_number(error))


class LeaseLock(GateLock):
    """The gate lock as a row that the cluster shares, with an expiry by the server's clock and a heartbeat.

    Two rows, because a checkpoint locks the holder's row until its transaction ends, and the heartbeat must not wait for
    that. Taking over changes both, so a transaction of the former holder cannot commit any more: on another node it is
    aborted by certification, on the same node the takeover waits for it.
    """

    on_cluster = True

    def __init__(self, settings: Settings, connection: Any) -> None:
        super().__init__(settings, connection)
        self.token = secrets.token_hex(16)
        self._seen: tuple[Any, float] = (None, 0.0)
        self.query("SET SESSION innodb_lock_wait_timeout = 2")
        see_all_writes_before_reading(self.connection.cursor())
        self.query(_CREATE_LEASE)

    def try_to_acquire(self) -> bool:
        try:
            if self._is_free():
                return self._take()
        except connect.Error as error:
            if error_number(error) not in (_LOCK_WAIT_TIMEOUT, _DEADLOCK):
                raise
            self.end_idle_fence_holder()
        time.sleep(POLL_SECONDS / 2)
        return False

    def _is_free(self) -> bool:
        """Tell whether nobody holds the lease, or its holder has been silent for too long."""
        rows = self.query(
            f"SELECT token, expires, expires < UTC_TIMESTAMP(6) FROM `{LEASE_TABLE}` WHERE part = 'heartbeat'"
        )
        if not rows or not rows[0][0]:
            return True
        token, expires, expired = rows[0]
        if self._seen[0] != (token, expires):
            self._seen = (token, expires), time.monotonic()
        return bool(expired) and time.monotonic() - self._seen[1] > LEASE_UNCHANGED_SECONDS

    def _take(self) -> bool:
        """Take the lease if nobody was quicker; the transaction of whoever comes second fails or finds it taken."""
        self.query("START TRANSACTION")
        try:
            rows = self.query(f"SELECT token, expires FROM `{LEASE_TABLE}` WHERE part = 'heartbeat' FOR UPDATE")
            if rows and rows[0][0] and self._seen[0] != tuple(rows[0]):
                self.query("ROLLBACK")
                return False
            until = f"UTC_TIMESTAMP(6) + INTERVAL {LEASE_SECONDS} SECOND"
            for part, expires in (("holder", "NULL"), ("heartbeat", until)):
                self.query(
                    f"INSERT INTO `{LEASE_TABLE}` (part, token, owner, expires) VALUES (%s, %s, %s, {expires})"
                    f" ON DUPLICATE KEY UPDATE token = %s, owner = %s, expires = {expires}",
                    *(part, self.token, who(), self.token, who()),
                )
            self.query("COMMIT")
        except connect.Error:
            with suppress(connect.Error):
                self.query("ROLLBACK")
            raise
        return self.is_mine()

    def holder(self) -> str:
        rows = self.query(f"SELECT owner, expires FROM `{LEASE_TABLE}` WHERE part = 'heartbeat' AND token <> ''")
        return f"{rows[0][0]}, lease until {rows[0][1]} UTC" if rows else "nobody any more"

    def is_mine(self) -> bool:
        with self._mutex, self.connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE `{LEASE_TABLE}` SET expires = UTC_TIMESTAMP(6) + INTERVAL {LEASE_SECONDS} SECOND"
                " WHERE part = 'heartbeat' AND token = %s",
                (self.token,),
            )
            return bool(cursor.rowcount == 1)

    def is_seen_from(self, cursor: Any) -> bool:
        see_all_writes_before_reading(cursor)
        cursor.execute("SELECT DATABASE()")
        if not _same_name(cursor.fetchone()[0], self.query("SELECT DATABASE()")[0][0]):
            return False
        cursor.execute("SHOW TABLES LIKE %s", (LEASE_TABLE.replace("_", r"\_"),))
        if cursor.fetchone() is None:
            return False
        cursor.execute(f"SELECT token FROM `{LEASE_TABLE}` WHERE part = 'holder' FOR UPDATE")
        row = cursor.fetchone()
        return row is not None and row[0] == self.token

    def check_in_transaction(self, cursor: Any) -> None:
        """Write the holder's row in the current transaction, which then cannot commit after a takeover."""
        try:
            cursor.execute(
                f"UPDATE {self.schema}.`{LEASE_TABLE}` SET step = step + 1 WHERE part = 'holder' AND token = %s",
                (self.token,),
            )
        except Exception as error:
            if error_number(error) not in (_LOCK_WAIT_TIMEOUT, _DEADLOCK):
                raise
            raise LockLost("the lease is lost: another job took it over") from error
        if cursor.rowcount != 1:
            raise LockLost("the lease is lost: another job took it over")

    def _give_back(self) -> None:
        self.query(f"UPDATE `{LEASE_TABLE}` SET token = '' WHERE token = %s", self.token)


@contextmanager
def acquire(settings: Settings) -> Iterator[GateLock]:
    """Hold the gate lock, with no fence left of a former job, for the time of the body.

    Raises LockTimeout, saying who holds it; LockLost; DatabaseUnavailable.
    """
    deadline = time.monotonic() + settings.lock_timeout_seconds
    lock = wait.until_usable(settings, lambda left: _open(settings, left))
    try:
        _poll(lock.try_to_acquire, lock.holder, "its turn: another job is at work", settings, deadline)
        lock.keep()

        def is_fence_free() -> bool:
            lock.assert_held()
            if lock.is_fence_free():
                return True
            lock.end_idle_fence_holder()
            return False

        def fence_holder() -> str:
            return lock.connection_holding(lock.fence)

        _poll(is_fence_free, fence_holder, "a statement of a dead job to end", settings, deadline)
        yield lock
    finally:
        lock.release()


def _open(settings: Settings, left: float) -> GateLock:
    # A heartbeat may have to wait for a long ALTER of the whole cluster; a session lock's answer is immediate.
    connection = connect.connect(settings.database, connect_timeout=left)
    connect.keep_alive(connection)
    kind = settings.lock if settings.lock != "auto" else _kind_for(connection)
    log.debug("using the %s lock", kind)
    return LeaseLock(settings, connection) if kind == "lease" else GateLock(settings, connection)


def _kind_for(connection: Any) -> str:
    """A lease where several nodes take writes: Galera, and Group Replication in multi-primary mode."""
    names = ("wsrep_on", "wsrep_provider", "group_replication_group_name", "group_replication_single_primary_mode")
    rows = query(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN {names}")
    value = {name.lower(): str(setting).upper() for name, setting in rows}
    galera = value.get("wsrep_on") == "ON" and value.get("wsrep_provider", "NONE") not in ("", "NONE")
    multi_primary = value.get("group_replication_group_name") and (
        value.get("group_replication_single_primary_mode") == "OFF"
    )
    return "lease" if galera or multi_primary else "session"


def see_all_writes_before_reading(cursor: Any) -> None:
    """Make reads of this session wait for every write that the cluster has ordered before them, a running DDL too.

    https://mariadb.com/docs/galera-cluster/reference/galera-cluster-system-variables#wsrep_sync_wait
    """
    for statement in ("SET SESSION wsrep_sync_wait = 15", "SET SESSION group_replication_consistency = 'BEFORE'"):
        with suppress(Exception):
            cursor.execute(statement)


def _poll(succeeds: Any, holder: Any, what: str, settings: Settings, deadline: float) -> None:
    """Try until it succeeds; one message at the third try, so that a short wait is silent."""
    started = time.monotonic()
    tries = 0
    while not succeeds():
        tries += 1
        if tries == 3:
            log.info("waiting for %s (%s)", what, holder())
        if time.monotonic() >= deadline:
            raise LockTimeout(
                f"waited {time.monotonic() - started:.0f} s for {what} on '{settings.database.name}', held by {holder()}"
            )


def _lock_name(part: str, database: str) -> str:
    """A name within the 64 characters that MySQL allows, readable as long as it fits."""
    name = f"alembic_gate.{part}.{database}"
    return name if len(name) <= 64 else f"alembic_gate.{part}.{hashlib.sha1(database.encode()).hexdigest()}"


def _same_name(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.casefold() == other.casefold()
