"""See whether a DDL in flight was done: compare what the server shows of the objects that it touches, before and now.

Rests on DDL being atomic one statement at a time (https://dev.mysql.com/doc/refman/en/atomic-ddl.html,
https://mariadb.com/docs/server/reference/sql-statements/data-definition/atomic-ddl).
"""

import hashlib
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

from alembic_gate.classify import error_number
from alembic_gate.statements import is_call, is_drop, is_rename_in_a_circle, is_repeatable, targets

Fingerprint = dict[str, str]

ABSENT = "absent"
_WHOLE_SCHEMA = "schema"

# Unknown table, view, trigger, routine, event, database, sequence.
_MISSING = {1049, 1051, 1146, 1305, 1360, 1539, 4091}
# What rows, not definitions, change.
_VOLATILE = re.compile(r"\sAUTO_INCREMENT=\d+")
# SHOW CREATE TRIGGER and its kind: the time of creation and the client's character sets follow the definition.
_DEFINING_COLUMNS = 3


class Verdict(Enum):
    DONE = "done"
    NOT_DONE = "not done"
    UNSURE = "unsure"


def take(cursor: Any, statement: str) -> Fingerprint:
    """Digest what a DDL touches, on the connection that runs it; one round trip for each object."""
    touched = targets(statement)
    return take_again(cursor, [_WHOLE_SCHEMA] if touched is None else touched)


def take_again(cursor: Any, before: Iterable[str]) -> Fingerprint:
    """Digest the same objects as `before`."""
    return {
        label: _whole_schema(cursor) if label == _WHOLE_SCHEMA else _shown(cursor, *label.split(" ", 1))
        for label in before
    }


def compare(statement: str, before: Fingerprint, now: Fingerprint, *, failed: bool = False) -> Verdict:
    """Decide from the fingerprints whether a DDL was done; `failed` when the server answered it with an error. Pure."""
    changed = [label for label in before if before[label] != now.get(label)]
    if not changed:
        # Tables alike but for their names may have changed them in a circle, which looks like nothing.
        definitions = [definition for definition in before.values() if definition != ABSENT]
        alike = is_rename_in_a_circle(statement) and len(set(definitions)) < len(definitions)
        harmless = (is_repeatable(statement) and not alike) or (failed and not is_call(statement))
        return Verdict.NOT_DONE if harmless else Verdict.UNSURE
    if is_call(statement) or (_WHOLE_SCHEMA in before and not is_repeatable(statement)):
        return Verdict.UNSURE
    if is_drop(statement) and any(now[label] != ABSENT for label in before):
        return Verdict.UNSURE
    return Verdict.DONE


def _shown(cursor: Any, kind: str, name: str) -> str:
    try:
        cursor.execute(f"SHOW CREATE {kind} {name}")
        row = cursor.fetchone()
    except Exception as error:
        number = error_number(error)
        if number in _MISSING:
            return ABSENT
        if number in (1356, 1449, 1347, 1227, 1142):
            return f"error {number}"
        raise
    # Without the object's own name, so that a table is the same under another one.
    own_name = name.rpartition(".")[2]
    return _digest([_VOLATILE.sub("", str(part)).replace(own_name, "", 1) for part in row[1:_DEFINING_COLUMNS]])


def _whole_schema(cursor: Any) -> str:
    parts: list[str] = []
    cursor.execute("SHOW FULL TABLES")
    for table, *_ in cursor.fetchall():
        if not table.startswith("alembic_gate_"):
            quoted = table.replace("`", "``")
            parts += [table, _shown(cursor, "TABLE", f"`{quoted}`")]
    for kind, columns in (
        ("TRIGGER", "EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_STATEMENT, ACTION_TIMING"),
        ("ROUTINE", "ROUTINE_TYPE, DTD_IDENTIFIER, ROUTINE_DEFINITION, SQL_DATA_ACCESS, ROUTINE_COMMENT"),
        ("EVENT", "EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, STATUS, EVENT_COMMENT"),
    ):
        table = f"information_schema.{kind}S WHERE {kind}_SCHEMA = DATABASE()"
        cursor.execute(f"SELECT {kind}_NAME, {columns} FROM {table} ORDER BY 1, 2")
        parts += [str(row) for row in cursor.fetchall()]
    return _digest(parts)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
