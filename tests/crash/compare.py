"""Compares what two runs left behind: everything by value, generated keys by rank."""

from typing import Any

from pymysql.cursors import DictCursor

from tests.crash.history import History
from tests.support.database import Database


def what_is_left(database: Database, history: History) -> dict[str, Any]:
    """Return schema and rows of the database, in a form in which equal means equal for an application."""
    left = dict(database.schema())
    left["rows"] = {table: rows for table, rows in left["rows"].items() if table not in history.generated}
    left["rows by rank"] = {
        table: _ranked(rows, history.generated[table])
        for table in history.generated
        if (rows := _rows(database, table)) is not None
    }
    return left


def _rows(database: Database, table: str) -> list[dict[str, Any]] | None:
    known = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
    if not database.query(known, table):
        return None
    with database.connect(cursorclass=DictCursor) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM `{table}`")
        return list(cursor.fetchall())


def _ranked(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    ranks = {column: sorted({row[column] for row in rows if row.get(column) is not None}) for column in columns}
    ranked = [
        {name: ranks[name].index(value) if value in ranks.get(name, ()) else value for name, value in row.items()}
        for row in rows
    ]
    return sorted(ranked, key=repr)


def differences(expected: Any, found: Any, where: str = "") -> str:
    """Say where two dumps differ, one line for each place."""
    if expected == found:
        return ""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted({*expected, *found}, key=repr)
        parts = (differences(expected.get(key), found.get(key), f"{where}/{key}") for key in keys)
        return "\n".join(part for part in parts if part)
    return f"    {where.lstrip('/')}\n      undisturbed: {expected!r}\n      here:        {found!r}"
