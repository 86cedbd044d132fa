"""Makes up histories: revisions of a few operations each, drawn from a closed set, valid in their order."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.crash.history import History

HEAD = """\
\"\"\"Made up.\"\"\"

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError, IntegrityError

revision = "g{number}"
down_revision = {parent}


class Regret(Exception):
    pass


def upgrade():
    bind = op.get_bind()
    names = lambda table: {{column["name"] for column in sa.inspect(bind).get_columns(table)}}
"""
FIRST_LINES = ['op.execute("CREATE TABLE serial (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(20))")']
COUNT = "op.execute(\"UPDATE tally SET n = n * 2 + 1 WHERE name = 'first'\")"


@dataclass
class Schema:
    """What exists at this place of the history: so that every operation drawn is a valid one."""

    columns: dict[str, list[str]] = field(default_factory=dict)
    indexes: list[tuple[str, str]] = field(default_factory=list)
    made: int = 0

    def number(self) -> int:
        """Return a number that no other name and no other row has."""
        self.made += 1
        return self.made


Draw = Callable[[st.SearchStrategy[Any]], Any]
Operation = Callable[[Draw, Schema], list[str]]


def count(_draw: Draw, _schema: Schema) -> list[str]:
    return [COUNT]


def create_table(_draw: Draw, schema: Schema) -> list[str]:
    table = f"t{schema.number()}"
    schema.columns[table] = []
    return [f'op.execute("CREATE TABLE {table} (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 1) CHARSET utf8mb4")']


def insert(draw: Draw, schema: Schema) -> list[str]:
    return [f'op.execute("INSERT INTO {_table(draw, schema)} (id, a) VALUES ({schema.number()}, {schema.made})")']


def insert_many(draw: Draw, schema: Schema) -> list[str]:
    table, rows = _table(draw, schema), [{"id": schema.number(), "a": 2}, {"id": schema.number(), "a": 3}]
    return [f'op.bulk_insert(sa.table("{table}", sa.column("id"), sa.column("a")), {rows})']


def insert_with_generated_key(draw: Draw, schema: Schema) -> list[str]:
    return [
        "key = bind.execute(sa.text(\"INSERT INTO serial (note) VALUES ('新 100%')\")).lastrowid",
        *add_column(draw, schema),
        "bind.execute(sa.text(\"UPDATE serial SET note = 'used' WHERE id = :key\"), {'key': key})",
    ]


def update(draw: Draw, schema: Schema) -> list[str]:
    return [f'op.execute("UPDATE {_table(draw, schema)} SET a = a * 3")']


def delete(draw: Draw, schema: Schema) -> list[str]:
    return [f'op.execute("DELETE FROM {_table(draw, schema)} ORDER BY id LIMIT 1")']


def add_column(draw: Draw, schema: Schema) -> list[str]:
    table, column = _table(draw, schema), f"c{schema.number()}"
    schema.columns[table].append(column)
    return [f'op.add_column("{table}", sa.Column("{column}", sa.Integer, server_default="{schema.made}"))']


def drop_column(draw: Draw, schema: Schema) -> list[str]:
    table = _table(draw, schema)
    if not schema.columns[table]:
        return add_column(draw, schema)
    column = draw(st.sampled_from(schema.columns[table]))
    schema.columns[table].remove(column)
    return [f'op.drop_column("{table}", "{column}")']


def drop_column_after_reading_it(draw: Draw, schema: Schema) -> list[str]:
    table = _table(draw, schema)
    column = draw(st.sampled_from(schema.columns[table])) if schema.columns[table] else None
    if column is None:
        return update(draw, schema)
    schema.columns[table].remove(column)
    return [
        f'for row in bind.execute(sa.text("SELECT id, {column} FROM {table} ORDER BY id")).all():',
        f'    op.execute(f"UPDATE {table} SET a = a + {{row[1]}} WHERE id = {{row[0]}}")',
        f'op.drop_column("{table}", "{column}")',
    ]


def add_column_if_missing(draw: Draw, schema: Schema) -> list[str]:
    table, column = _table(draw, schema), f"c{schema.number()}"
    schema.columns[table].append(column)
    return [
        f'if "{column}" not in names("{table}"):',
        f'    op.add_column("{table}", sa.Column("{column}", sa.Integer, server_default="9"))',
        f'    op.execute("UPDATE {table} SET a = a + 1")',
    ]


def add_column_by_prepared_statement(draw: Draw, schema: Schema) -> list[str]:
    table, column = _table(draw, schema), f"c{schema.number()}"
    schema.columns[table].append(column)
    look = f"table_schema = DATABASE() AND table_name = '{table}' AND column_name = '{column}'"
    decide = f"SELECT IF(COUNT(*) = 0, 'ALTER TABLE {table} ADD COLUMN {column} INT DEFAULT 4', 'DO 0')"
    return [
        f'op.execute("SET @s = ({decide} FROM information_schema.columns WHERE {look})")',
        *(f'op.execute("{text}")' for text in ("PREPARE p FROM @s", "EXECUTE p", "DEALLOCATE PREPARE p")),
    ]


def forgive_a_failure(draw: Draw, schema: Schema) -> list[str]:
    failing = draw(
        st.sampled_from(["INSERT INTO tally VALUES ('first', 0)", f"DROP INDEX none_such ON {_table(draw, schema)}"])
    )
    return ["try:", f'    op.execute("{failing}")', "except DBAPIError:", f"    {COUNT}"]


def create_index(draw: Draw, schema: Schema) -> list[str]:
    table, index = _table(draw, schema), f"ix{schema.number()}"
    schema.indexes.append((table, index))
    return [f'op.create_index("{index}", "{table}", ["a"])']


def drop_index(draw: Draw, schema: Schema) -> list[str]:
    if not schema.indexes:
        return create_index(draw, schema)
    table, index = schema.indexes.pop()
    return [f'op.drop_index("{index}", table_name="{table}")']


def replace_view(_draw: Draw, schema: Schema) -> list[str]:
    return [f'op.execute("CREATE OR REPLACE VIEW v AS SELECT n + {schema.number()} AS n FROM tally")']


def rename_table(draw: Draw, schema: Schema) -> list[str]:
    table, renamed = _table(draw, schema), f"t{schema.number()}"
    schema.columns[renamed] = schema.columns.pop(table)
    schema.indexes = [(renamed if of == table else of, index) for of, index in schema.indexes]
    return [f'op.rename_table("{table}", "{renamed}")']


def drop_table(draw: Draw, schema: Schema) -> list[str]:
    if len(schema.columns) < 2:
        return create_table(draw, schema)
    table = _table(draw, schema)
    del schema.columns[table]
    schema.indexes = [(of, index) for of, index in schema.indexes if of != table]
    return [f'op.execute("DROP TABLE {table}")']


def keep_a_savepoint(_draw: Draw, _schema: Schema) -> list[str]:
    return ["with bind.begin_nested():", f"    {COUNT}"]


def regret_a_savepoint(_draw: Draw, _schema: Schema) -> list[str]:
    return [
        "try:",
        "    with bind.begin_nested():",
        f"        {COUNT}",
        "        raise Regret",
        "except Regret:",
        f"    {COUNT}",
    ]


def leave_the_transaction(draw: Draw, schema: Schema) -> list[str]:
    inside = [COUNT, *add_column(draw, schema), COUNT]
    return ["with op.get_context().autocommit_block():", *(f"    {line}" for line in inside)]


def loosen_the_session(draw: Draw, schema: Schema) -> list[str]:
    table = _table(draw, schema)
    loose = [f"op.execute(\"INSERT INTO {table} (id, a) VALUES ({schema.number()}, '7 apples')\")" for _ in range(2)]
    return [
        "op.execute(\"SET SESSION sql_mode = ''\")",
        loose[0],
        *add_column(draw, schema),
        loose[1],
        'op.execute("SET SESSION sql_mode = DEFAULT")',
    ]


OPERATIONS: list[Operation] = [
    count,
    create_table,
    insert,
    insert_many,
    insert_with_generated_key,
    update,
    delete,
    add_column,
    drop_column,
    drop_column_after_reading_it,
    add_column_if_missing,
    add_column_by_prepared_statement,
    forgive_a_failure,
    create_index,
    drop_index,
    replace_view,
    rename_table,
    drop_table,
    keep_a_savepoint,
    regret_a_savepoint,
    leave_the_transaction,
    loosen_the_session,
]


def _table(draw: Draw, schema: Schema) -> str:
    return str(draw(st.sampled_from(sorted(schema.columns))))


@dataclass(frozen=True)
class MadeUp:
    """The lines of each revision's `upgrade`."""

    revisions: tuple[tuple[str, ...], ...]

    def write(self, directory: Path) -> History:
        """Write the revisions to `directory` and return them as a history."""
        directory.mkdir(parents=True)
        for number, lines in enumerate(self.revisions, start=1):
            parent = repr(f"g{number - 1}") if number > 1 else None
            body = textwrap.indent("\n".join(lines), "    ")
            (directory / f"g{number}.py").write_text(HEAD.format(number=number, parent=parent) + body + "\n")
        return History(directory.name, directory, generated={"serial": ("id",)})

    def __str__(self) -> str:
        return "\n".join(
            f"g{number}:\n" + textwrap.indent("\n".join(lines), "    ")
            for number, lines in enumerate(self.revisions, start=1)
        )


@st.composite
def histories(draw: Draw) -> MadeUp:
    """Draw one to three revisions of one to six operations each."""
    schema = Schema()
    revisions = []
    lines = [*FIRST_LINES, *create_table(draw, schema), *insert_many(draw, schema)]
    for _ in range(draw(st.integers(1, 3))):
        for operation in draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=6)):
            lines += operation(draw, schema)
        revisions.append(tuple(lines))
        lines = []
    return MadeUp(tuple(revisions))
