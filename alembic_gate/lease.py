"""The gate lock on a cluster (I2): a row that all nodes share, with a token, an expiry and a heartbeat.

Two rows, because a checkpoint locks the holder's row until its transaction ends, and the heartbeat must not wait for
that. Taking over changes both, so a transaction of the former holder cannot commit any more: on another node it is
aborted by certification, on the same node the takeover waits for it.

The fence stays local to a node. Galera orders a DDL before it runs; Group Replication after, and two that meet end the
whole group. So a checkpoint notes its node, and whoever comes next asks that very node whether the fence is free.
"""

import copy
import secrets
import time
from contextlib import suppress
from typing import Any

from alembic_gate import connect
from alembic_gate.classify import DEADLOCK, LOCK_WAIT_TIMEOUT, error_number
from alembic_gate.exits import LockLost
from alembic_gate.glance import LEASE_TABLE
from alembic_gate.lock import KEEP_ALIVE_SECONDS, POLL_SECONDS, GateLock, who
from alembic_gate.settings import Settings

LEASE_SECONDS = 20
# Taken over only when it was also seen unchanged for longer than a heartbeat takes: after a long ALTER, for which a
# cluster holds back all commits, a healthy holder comes late too.
LEASE_UNCHANGED_SECONDS = 2 * KEEP_ALIVE_SECONDS

_CREATE = f"""CREATE TABLE IF NOT EXISTS `{LEASE_TABLE}` (
    part VARCHAR(9) NOT NULL PRIMARY KEY COMMENT 'holder, or heartbeat',
    token CHAR(32) NOT NULL DEFAULT '' COMMENT 'of the job that holds the lease; empty when nobody does',
    owner VARCHAR(255) NOT NULL DEFAULT '',
    expires DATETIME(6) NULL,
    step BIGINT NOT NULL DEFAULT 0 COMMENT 'checkpoints written under leases',
    node VARCHAR(270) NOT NULL DEFAULT '' COMMENT 'where a DDL of a job may still run, on Group Replication; else empty'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='alembic-gate: whose turn it is, on a cluster'"""

# A server under the name that the other members of a group reach it by.
_NODE = "CONCAT(COALESCE(NULLIF(@@report_host, ''), @@hostname), ':', @@report_port)"
_IN_GROUP = "SHOW GLOBAL VARIABLES WHERE Variable_name = 'group_replication_group_name' AND Value <> ''"
# A frozen node accepts connections and never answers.
_NODE_ANSWERS_SECONDS = 5


class LeaseLock(GateLock):
    """The gate lock as a lease."""

    on_cluster = True

    def __init__(self, settings: Settings, connection: connect.Connection) -> None:
        super().__init__(settings, connection)
        self.token = secrets.token_hex(16)
        self._seen: tuple[tuple[str, Any], float] = ("", None), 0.0
        self._elsewhere = ""
        self._node = _NODE if self.rows(_IN_GROUP) else "''"
        self._until = f"UTC_TIMESTAMP(6) + INTERVAL {LEASE_SECONDS} SECOND"
        self.rows("SET SESSION innodb_lock_wait_timeout = 2")
        see_all_writes_before_reading(connection)
        self.rows(_CREATE)

    def try_to_acquire(self) -> bool:
        try:
            if self._is_free() and self._take():
                return True
        except connect.Error as error:
            if error_number(error) not in (LOCK_WAIT_TIMEOUT, DEADLOCK):
                raise
            # A frozen job of this node has the holder's row locked. Not so where the lease was free, or is taken.
            if self._seen[0][0] and self._heartbeat()[:2] == self._seen[0] and self._is_free():
                self.end_idle_fence_holder()
        time.sleep(POLL_SECONDS / 2)
        return False

    def _heartbeat(self, suffix: str = "") -> tuple[str, Any, int]:
        columns = "token, expires, expires < UTC_TIMESTAMP(6)"
        rows = self.rows(f"SELECT {columns} FROM {LEASE_TABLE} WHERE part = 'heartbeat' {suffix}")
        return rows[0] if rows else ("", None, 1)

    def _is_free(self) -> bool:
        """Tell whether nobody holds the lease, or its holder has been silent for too long."""
        token, expires, expired = self._heartbeat()
        if self._seen[0] != (token, expires):
            self._seen = (token, expires), time.monotonic()
        return not token or (bool(expired) and time.monotonic() - self._seen[1] > LEASE_UNCHANGED_SECONDS)

    def _take(self) -> bool:
        """Take the lease if nobody was quicker; the transaction of whoever comes second fails or finds it taken."""
        self.rows("START TRANSACTION")
        try:
            free = self._heartbeat("FOR UPDATE")[:2] == self._seen[0]
            for part, expires in (("holder", "NULL"), ("heartbeat", self._until)) if free else ():
                row = f"(part, token, owner, expires) VALUES (%s, %s, %s, {expires})"
                change = "token = VALUES(token), owner = VALUES(owner), expires = VALUES(expires)"
                self.rows(f"INSERT INTO {LEASE_TABLE} {row} ON DUPLICATE KEY UPDATE {change}", part, self.token, who())
            self.rows("COMMIT")
        except connect.Error:
            with suppress(connect.Error):
                self.rows("ROLLBACK")
            raise
        return free and self.is_mine()

    def holder(self) -> str:
        rows = self.rows(f"SELECT owner, expires FROM {LEASE_TABLE} WHERE part = 'heartbeat' AND token <> ''")
        return f"{rows[0][0]}, lease until {rows[0][1]} UTC" if rows else "nobody any more"

    def is_mine(self) -> bool:
        with self.cursor() as cursor:
            where = "WHERE part = 'heartbeat' AND token = %s"
            cursor.execute(f"UPDATE {LEASE_TABLE} SET expires = {self._until} {where}", (self.token,))
            return bool(cursor.rowcount == 1)

    def is_seen_from(self, cursor: Any) -> bool:
        cursor.execute("SELECT DATABASE()")
        if not self.is_our_database(cursor.fetchone()[0]):
            return False
        cursor.execute("SHOW TABLES LIKE %s", (LEASE_TABLE.replace("_", r"\_"),))
        if cursor.fetchone() is None:
            return False
        # Locking, because Alembic may have opened a snapshot before the lease was seen here.
        cursor.execute(f"SELECT token FROM {LEASE_TABLE} WHERE part = 'holder' FOR UPDATE")
        return bool(cursor.fetchone() == (self.token,))

    def check_in_transaction(self, cursor: Any) -> None:
        """Write the holder's row in the current transaction, which then cannot commit after a takeover."""
        where = "WHERE part = 'holder' AND token = %s"
        try:
            table = self.table(LEASE_TABLE)
            cursor.execute(f"UPDATE {table} SET step = step + 1, node = {self._node} {where}", (self.token,))
            if cursor.rowcount == 1:
                return
        except Exception as error:
            if error_number(error) not in (LOCK_WAIT_TIMEOUT, DEADLOCK):
                raise
        raise LockLost("the lease is lost: another job took it over")

    def give_back(self) -> None:
        node = f"IF(%s OR (node = {self._node} AND IS_FREE_LOCK(%s)), '', node)"
        statement = f"UPDATE {LEASE_TABLE} SET node = {node}, token = '' WHERE token = %s"
        parameters = (self.is_over, self.fence, self.token)
        if not self._interrupted:
            self.rows(statement, *parameters)
            return
        with connect.connect(self.settings.database) as second:
            second.rows(statement, *parameters)

    def is_fence_free(self) -> bool:
        self._elsewhere = ""
        if not super().is_fence_free():
            return False
        where = f"WHERE part = 'holder' AND node NOT IN ('', {self._node})"
        former = self.rows(f"SELECT node FROM {LEASE_TABLE} {where}")
        return not former or self._is_fence_free_on(former[0][0])

    def fence_holder(self) -> str:
        return self._elsewhere or super().fence_holder()

    def _is_fence_free_on(self, node: str) -> bool:
        """Ask another node, which alone knows of a DDL that it has not done yet; False where it cannot be asked."""
        database = copy.copy(self.settings.database)
        database.host, _, port = node.rpartition(":")
        database.port = int(port)
        database.options = {name: value for name, value in database.options.items() if name != "unix_socket"}
        try:
            with connect.connect(database, read_timeout=_NODE_ANSWERS_SECONDS) as connection:
                there = GateLock(self.settings, connection)
                is_the_one = there.rows(f"SELECT {_NODE}") == [(node,)]
                if is_the_one and there.is_fence_free():
                    return True
                self._elsewhere = f"{there.fence_holder() if is_the_one else 'another server'} on node {node}"
        except (connect.Error, LockLost) as error:
            self._elsewhere = f"node {node}, which does not answer ({error}): start the job there (docs/recovery.md)"
        return False


def see_all_writes_before_reading(connection: Any) -> None:
    """Make reads of this session wait for every write that the cluster ordered before; on Galera a running DDL too.

    https://mariadb.com/docs/galera-cluster/reference/galera-cluster-system-variables#wsrep_sync_wait
    """
    for statement in ("SET SESSION wsrep_sync_wait = 15", "SET SESSION group_replication_consistency = 'BEFORE'"):
        with suppress(Exception):
            connection.cursor().execute(statement)
