"""The journal: one row a revision, so that the next start knows what a killed one has committed (I3).

Checkpoints are written on the migration connection, in the very transaction that the next implicit or explicit commit
closes. What a row says is therefore exactly what is committed; only whether the statement in flight was done must be
seen from its fingerprint.
"""

import json
from collections.abc import Callable, Collection
from typing import Any

from alembic_gate.exits import ScriptChanged
from alembic_gate.fingerprint import Fingerprint
from alembic_gate.glance import JOURNAL_TABLE, names
from alembic_gate.graph import closure
from alembic_gate.lock import GateLock, who
from alembic_gate.project import Script, Scripts
from alembic_gate.report import log
from alembic_gate.settings import Settings

_CREATE = f"""CREATE TABLE IF NOT EXISTS `{JOURNAL_TABLE}` (
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
    failed INT NULL COMMENT 'the statement that the server refused',
    host VARCHAR(255) NOT NULL,
    started_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    KEY state (state)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='alembic-gate: what was applied, and how far'"""

_COLUMNS = (
    "revision, parents, floor, checksum, direction, state, position, digest, statement, fingerprint, answers, host"
)
_OVERWRITE = ", ".join(f"{column} = VALUES({column})" for column in _COLUMNS.split(", ")[1:])
_IS_OPEN = "state IN ('running', 'failed')"

Run = Callable[..., Any]


class Row:
    """An open row of the journal, as it is committed."""

    def __init__(self, values: Collection[Any]) -> None:
        (self.revision, _, _, _, self.direction, self.state, self.position, self.digest,
         self.statement, fingerprint, answers, self.host, self.error, failed) = values  # fmt: skip
        self.fingerprint: Fingerprint = json.loads(fingerprint or "{}")
        self.answers: bytes = answers or b""
        # Not so where a later statement, or the script itself, failed: the one in flight had been done by then.
        self.in_flight_was_refused = self.state == "failed" and failed == self.position + 1


def ensure_table(lock: GateLock) -> None:
    """Create the journal where it does not exist."""
    lock.assert_held(ask=True)
    lock.rows(_CREATE)


def read_open_rows(run: Run) -> list[Row]:
    """The interrupted revisions, read through `run(statement)`."""
    return [Row(values) for values in run(f"SELECT {_COLUMNS}, error, failed FROM `{JOURNAL_TABLE}` WHERE {_IS_OPEN}")]


def changed_scripts(scripts: Scripts, current: Collection[str], run: Run) -> list[str]:
    """The applied revisions whose scripts are not what they were when they were applied."""
    rows = run(f"SELECT revision, checksum FROM `{JOURNAL_TABLE}` WHERE state IN ('applied', 'adopted')")
    return scripts.changed(dict(rows), closure(scripts.graph, current))


def assert_scripts_unchanged(settings: Settings, scripts: Scripts, current: Collection[str], run: Run) -> None:
    """Warn about edited scripts of applied revisions, or raise ScriptChanged (23) where the settings say so."""
    changed = changed_scripts(scripts, current, run)
    if changed and settings.changed_script == "fail":
        raise ScriptChanged(f"edited since they were applied: {names(changed)}")
    if changed:
        log.warning("edited since they were applied: %s; new databases will differ from this one", names(changed))


def adopt(lock: GateLock, scripts: Scripts, current: Collection[str]) -> None:
    """Note the revisions that the plain `alembic` command has applied (I7)."""
    known = {revision for (revision,) in lock.rows(f"SELECT revision FROM `{JOURNAL_TABLE}`")}
    new = sorted((closure(scripts.graph, current) & scripts.graph.keys()) - known)
    if new:
        more = (who(), "upgrade", "adopted", lock.rows("SELECT UTC_TIMESTAMP(6)")[0][0])
        columns = "revision, parents, floor, checksum, host, direction, state, started_at"
        # PyMySQL sends many rows at once where VALUES is nothing but placeholders.
        statement = f"INSERT INTO `{JOURNAL_TABLE}` ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        with lock.transaction() as cursor:
            cursor.executemany(statement, [(*_facts(scripts, scripts.by_revision[one]), *more) for one in new])


def _facts(scripts: Scripts, script: Script) -> tuple[str, ...]:
    return script.revision, " ".join(scripts.graph[script.revision]), script.floor, script.checksum


def settle(lock: GateLock, row: Row, state: str, position: int | None = None) -> bool:
    """Give an open row another state, or a position that a person vouches for; False when it is not as it was read."""
    changes, values = "finished_at = UTC_TIMESTAMP(6)", [state]
    if position is not None:
        changes, values = "position = %s, digest = '', statement = NULL, fingerprint = NULL", [state, str(position)]
    where = "WHERE revision = %s AND state = %s AND position = %s"
    with lock.transaction() as cursor:
        statement = f"UPDATE `{JOURNAL_TABLE}` SET state = %s, {changes}, host = %s {where}"
        cursor.execute(statement, (*values, who(), row.revision, row.state, row.position))
        return bool(cursor.rowcount == 1)


def note_failure(lock: GateLock, revision: str, error: str, failed: int) -> int:
    """Mark an open row as failed, in the statement that the server refused (0 where it was none).

    Returns the position committed, -1 where nothing of the revision is committed.
    """
    where = f"WHERE revision = %s AND {_IS_OPEN}"
    with lock.transaction() as cursor:
        changes = "state = 'failed', error = %s, failed = %s"
        cursor.execute(f"UPDATE `{JOURNAL_TABLE}` SET {changes} {where}", (error[:4000], failed, revision))
        cursor.execute(f"SELECT position FROM `{JOURNAL_TABLE}` {where}", (revision,))
        row = cursor.fetchone()
    return int(row[0]) if row else -1


class Writer:
    """Writes rows on the migration connection, one revision after the other; commits nothing itself."""

    def __init__(self, lock: GateLock, cursor: Any, scripts: Scripts) -> None:
        self._lock, self._cursor, self._scripts = lock, cursor, scripts
        self._table = lock.table(JOURNAL_TABLE)
        self._who = who()
        self._revision: tuple[str, ...] = ()
        # The row of the revision that is complete and not written yet, if there is one.
        self.closing: list[tuple[str, list[Any]]] = []
        # Whether the row is committed as it was written last, so that an UPDATE of what has changed is enough. Not so
        # after a statement that failed: whether its implicit commit took place is not known.
        self.is_committed = False

    def open(self, script: Script, direction: str) -> None:
        """Turn to another revision; nothing is written before its first checkpoint."""
        self._revision, self.is_committed = (*_facts(self._scripts, script), direction), False

    def checkpoint(
        self, position: int, digest: str, old: bytes, new: bytes, statement: str | None, touched: Fingerprint
    ) -> None:
        """Write how far the current transaction has come, and what is about to be sent; answers are `old` + `new`."""
        in_flight = (statement, json.dumps(touched) if statement else None)
        if not self.is_committed:
            self._write(self._row("running", position, digest, *in_flight, old + new))
            return
        self._lock.check_in_transaction(self._cursor)
        self._cursor.execute(
            f"UPDATE {self._table} SET state = 'running', position = %s, digest = %s, statement = %s, fingerprint = %s,"
            " answers = CONCAT(COALESCE(answers, ''), %s) WHERE revision = %s",
            (position, digest, *in_flight, new, self._revision[0]),
        )

    def close(self, position: int, digest: str) -> None:
        """Note that the revision is complete; written with the next checkpoint, or by `write_close`."""
        state = "applied" if self._revision[-1] == "upgrade" else "reverted"
        self.closing.append(self._row(state, position, digest))

    def write_close(self) -> None:
        """Write it in the transaction that also moves `alembic_version`."""
        self._write()

    def _row(self, state: str, position: int, digest: str, *in_flight: Any) -> tuple[str, list[Any]]:
        """One row's SQL and parameters; what can hold no quote stands in the SQL, as escaping takes time."""
        *names, checksum, direction = self._revision
        known = f"'{checksum}', '{direction}', '{state}', {position:d}, '{digest}'"
        rest, finished = ("%s, %s, %s", "NULL") if in_flight else ("NULL, NULL, NULL", "UTC_TIMESTAMP(6)")
        return f"(%s, %s, %s, {known}, {rest}, %s, UTC_TIMESTAMP(6), {finished})", [*names, *in_flight, self._who]

    def _write(self, *rows: tuple[str, list[Any]]) -> None:
        rows = (*self.closing, *rows)
        written = ", ".join(sql for sql, _ in rows)
        self._lock.check_in_transaction(self._cursor)
        self._cursor.execute(
            f"INSERT INTO {self._table} ({_COLUMNS}, started_at, finished_at) VALUES {written}"
            f" ON DUPLICATE KEY UPDATE {_OVERWRITE}, error = NULL, finished_at = VALUES(finished_at)",
            [value for _, values in rows for value in values],
        )
        self.closing = []
