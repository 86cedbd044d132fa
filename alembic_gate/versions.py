"""Move `alembic_version` as Alembic does, by statements that are text already.

Alembic builds each of them anew and has it compiled, which takes longer than all that the journal does for a revision:
docs/decisions/0018-heads-as-text.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.runtime import migration
from alembic.util import CommandError


class HeadsAsText(migration.HeadMaintainer):
    """Alembic's bookkeeping of the heads; which of the three is due stays its own decision."""

    def _insert_version(self, version: str) -> None:
        self.heads.add(version)
        self._send("INSERT INTO {} (version_num) VALUES (%s)", version)

    def _delete_version(self, version: str) -> None:
        self.heads.remove(version)
        self._send("DELETE FROM {} WHERE version_num = %s", version)

    def _update_version(self, from_: str, to_: str) -> None:
        self.heads.remove(from_)
        self.heads.add(to_)
        self._send("UPDATE {} SET version_num = %s WHERE version_num = %s", to_, from_)

    def _send(self, statement: str, *versions: str) -> None:
        connection = self.context.connection
        assert connection is not None
        table = connection.dialect.identifier_preparer.format_table(self.context._version)
        found = connection.exec_driver_sql(statement.format(table), versions).rowcount
        if found != 1:
            raise CommandError(f"{table} has {found} rows where one was to be moved: {', '.join(versions)}")


@contextmanager
def versions_as_text() -> Iterator[None]:
    """Let Alembic's runs use it for the time of the body."""
    alembics = migration.HeadMaintainer
    migration.HeadMaintainer = HeadsAsText  # type: ignore[misc]
    try:
        yield
    finally:
        migration.HeadMaintainer = alembics  # type: ignore[misc]
