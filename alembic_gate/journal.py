"""The journal: one row a revision, so that the next start knows what a killed one has committed (I3).

Checkpoints are written on the migration connection, in the very transaction that the next implicit or explicit commit
closes. What a row says is therefore exactly what is committed; only whether the statement in flight was done must be
seen from its fingerprint.
"""

import json
from typing import Any

from alembic_gate.exits import ScriptChanged
from alembic_gate.fingerprint import Fingerprint
from alembic_gate.glance import JOURNAL_TABLE, names
from alembic_gate.lock import GateLock, who
from alembic_gate.project import Script, Scripts
from alembic_gate.report import log
from alembic_gate.settings import Settings

CREATE = f"""CREATE TABLE IF NOT EXISTS `{JOURNAL_TABLE}` (
    revision VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    parents TEXT NOT NULL COMMENT 'what it needs first, separated by blanks',
    floor VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'gate_floor: images whose head is older must not start',
    checksum CHAR(64) NOT NULL COMMENT 'SHA-256 of the script',
    direction VARCHAR(9) NOT NULL COMMENT 'upgrade or downgrade',
    state VARCHAR(9) NOT NULL COMMENT 'running, failed, applied, reverted, adopted, abandoned',
    position INT NOT NULL DEFAULT 0 COMMENT 'statements committed',
    digest VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'of those statements; empty: a person vouches for the position',
    statement LONGTEXT NULL COMMENT 'in flight after the position',
    fingerprint LONGTEXT NULL COMMENT 'what that statement touches, before it ran',
    answers LONGBLOB NULL COMMENT 'what the server answered up to the position',
    error TEXT NULL,
    host VARCHAR(255) NOT NULL,
    started_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    KEY state (state)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='alembic-gate: what was applied, and how far'"""

_COLUMNS = "revision, parents, floor, checksum, direction, state, position, digest, statement, fingerprint, answers, error, host"


class Row:
    """A row of the journal, as it is committed."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        (self.revision, parents, self.floor, self.checksum, self.direction, self.state, self.position, self.digest,
         self.statement, fingerprint, answers, self.error, self.host) = values  # fmt: skip
        self.parents: tuple[str, ...] = tuple(parents.split())
        self.fingerprint: Fingerprint = json.loads(fingerprint) if fingerprint else {}
        self.answers: bytes = answers or b""

    @property
    def is_open(self) -> bool:
        return self.state in ("running", "failed")


def ensure_table(lock: GateLock) -> None:
    """Create the journal where it does not exist; the migration connection must have no transaction open."""
    lock.query(CREATE)


def read_rows(run: Any, where: str = "1 = 1") -> list[Row]:
    """Read rows through `run(statement)`."""
    return [Row(values) for values in run(f"SELECT {_COLUMNS} FROM `{JOURNAL_TABLE}` WHERE {where}")]


def read_checksums(run: Any) -> dict[str, str]:
    """The checksum of each script as it was applied."""
    rows = run(f"SELECT revision, checksum FROM `{JOURNAL_TABLE}` WHERE state IN ('applied', 'adopted')")
    return dict(rows)


def assert_scripts_unchanged(settings: Settings, scripts: Scripts, applied: set[str], run: Any) -> None:
    """Warn about edited scripts of applied revisions, or raise ScriptChanged (23) where the settings say so."""
    changed = scripts.changed(read_checksums(run), applied)
    if changed and settings.changed_script == "fail":
        raise ScriptChanged(f"edited since they were applied: {names(changed)}")
    if changed:
        log.warning("edited since they were applied: %s; new databases will differ from this one", names(changed))


def adopt(lock: GateLock, scripts: Scripts, applied: set[str]) -> int:
    """Note the revisions that the plain `alembic` command has applied (I7); returns how many."""
    known = {revision for (revision,) in lock.query(f"SELECT revision FROM `{JOURNAL_TABLE}`")}
    new = [scripts.by_revision[revision] for revision in sorted(applied - known) if revision in scripts.by_revision]
    for start in range(0, len(new), 500):
        batch = new[start : start + 500]
        row = "(%s, %s, %s, %s, 'upgrade', 'adopted', %s, UTC_TIMESTAMP(6))"
        values: list[object] = []
        for script in batch:
            values += [script.revision, " ".join(script.needs), script.floor, script.checksum, who()]
        lock.query(
            f"INSERT INTO `{JOURNAL_TABLE}` (revision, parents, floor, checksum, direction, state, host, started_at)"
            f" VALUES {', '.join([row] * len(batch))}",
            *values,
        )
    return len(new)


def settle(lock: GateLock, row: Row, state: str, error: str | None = None) -> bool:
    """Give an open row another state, on the lock's connection; False when it is no longer as it was read."""
    connection = lock.connection
    lock.assert_held()
    with connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        lock.check_in_transaction(cursor)
        cursor.execute(
            f"UPDATE `{JOURNAL_TABLE}` SET state = %s, error = %s, finished_at = UTC_TIMESTAMP(6), host = %s"
            " WHERE revision = %s AND state = %s AND position = %s",
            (state, error, who(), row.revision, row.state, row.position),
        )
        settled = bool(cursor.rowcount == 1)
        cursor.execute("COMMIT")
    return settled


def move(lock: GateLock, row: Row, position: int) -> bool:
    """Set an open row to a position that a person vouches for: no digest, nothing in flight."""
    lock.assert_held()
    with lock.connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        lock.check_in_transaction(cursor)
        cursor.execute(
            f"UPDATE `{JOURNAL_TABLE}` SET state = 'running', position = %s, digest = '', statement = NULL,"
            " fingerprint = NULL, host = %s WHERE revision = %s AND state = %s AND position = %s",
            (position, who(), row.revision, row.state, row.position),
        )
        moved = bool(cursor.rowcount == 1)
        cursor.execute("COMMIT")
    return moved


def note_failure(lock: GateLock, revision: str, error: str) -> int:
    """Mark an open row as failed; returns the position committed, -1 where nothing of the revision is committed."""
    lock.query(
        f"UPDATE `{JOURNAL_TABLE}` SET state = 'failed', error = %s WHERE revision = %s AND state IN ('running', 'failed')",
        *(error[:4000], revision),
    )
    rows = lock.query(f"SELECT position FROM `{JOURNAL_TABLE}` WHERE revision = %s AND state = 'failed'", revision)
    return int(rows[0][0]) if rows else -1


class Writer:
    """Writes one revision's row on the migration connection; commits nothing itself."""

    def __init__(self, lock: GateLock, cursor: Any, script: Script, direction: str, resumed: bool) -> None:
        self._lock = lock
        self._cursor = cursor
        self._script = script
        # Qualified, because a revision may say USE.
        self._table = f"{lock.schema}.`{JOURNAL_TABLE}`"
        self._direction = direction
        # Whether the row is known to be committed as an open one, so that an UPDATE of what changed is enough.
        self._row_exists = resumed

    def checkpoint(
        self,
        position: int,
        digest: str,
        committed_answers: bytes,
        new_answers: bytes,
        statement: str | None,
        fingerprint: Fingerprint,
    ) -> None:
        """Write how far the current transaction has come, and what is about to be sent."""
        self._lock.check_in_transaction(self._cursor)
        in_flight = (statement, json.dumps(fingerprint) if statement else None)
        if self._row_exists:
            self._cursor.execute(
                f"UPDATE {self._table} SET state = 'running', position = %s, digest = %s, statement = %s,"
                " fingerprint = %s, answers = CONCAT(COALESCE(answers, ''), %s) WHERE revision = %s",
                (position, digest, *in_flight, new_answers, self._script.revision),
            )
        else:
            self._write_whole("running", position, digest, in_flight, committed_answers + new_answers)

    def close(self, position: int, digest: str) -> None:
        """Write that the revision is complete, in the transaction that also moves `alembic_version`."""
        self._lock.check_in_transaction(self._cursor)
        state = "applied" if self._direction == "upgrade" else "reverted"
        if self._row_exists:
            self._cursor.execute(
                f"UPDATE {self._table} SET state = %s, position = %s, digest = %s, statement = NULL,"
                " fingerprint = NULL, answers = NULL, error = NULL, checksum = %s, floor = %s,"
                " finished_at = UTC_TIMESTAMP(6) WHERE revision = %s",
                (state, position, digest, self._script.checksum, self._script.floor, self._script.revision),
            )
        else:
            self._write_whole(state, position, digest, (None, None), None)

    def mark_committed(self) -> None:
        self._row_exists = True

    def mark_uncertain(self) -> None:
        """A statement failed: whether its implicit commit took place is not known, so the next write is a whole one."""
        self._row_exists = False

    def _write_whole(
        self, state: str, position: int, digest: str, in_flight: tuple[str | None, str | None], answers: bytes | None
    ) -> None:
        finished = "NULL" if state == "running" else "UTC_TIMESTAMP(6)"
        self._cursor.execute(
            f"REPLACE INTO {self._table} ({_COLUMNS}, started_at, finished_at) VALUES"
            f" (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, %s, UTC_TIMESTAMP(6), {finished})",
            (
                *(self._script.revision, " ".join(self._script.needs), self._script.floor, self._script.checksum),
                *(self._direction, state, position, digest, *in_flight, answers, who()),
            ),
        )
