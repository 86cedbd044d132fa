"""Move `alembic_version` as Alembic does, by statements that are text already.

Alembic builds each of them anew and has it compiled, which takes longer than all that the journal does for a revision:
docs/decisions/0018-heads-as-text.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime import migration
from sqlalchemy.exc import DataError

from alembic_gate.exits import NotAtTarget, RevisionFailed


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
        try:
            found = connection.exec_driver_sql(statement.format(table), versions).rowcount
        except DataError as error:
            raise RevisionFailed(
                f"{table} cannot take the revision '{versions[0]}': {error.orig}",
                meaning="Alembic makes that column for ids of 32 characters",
                advice="Widen the column `version_num`, then start again: the journal knows where to go on",
            ) from error
        if found != 1:
            raise NotAtTarget(
                f"{table} has {found} rows where '{versions[-1]}' was to be moved",
                meaning="Somebody else moved the version at the same time",
                advice="Look at what else migrates this database, then start again",
            )


@contextmanager
def versions_as_text() -> Iterator[None]:
    """Let Alembic's runs use it for the time of the body."""
    alembics = migration.HeadMaintainer

    def heads_of(context: migration.MigrationContext, heads: Any) -> migration.HeadMaintainer:
        # A column that the project adds may have a default that only SQLAlchemy knows.
        return (HeadsAsText if len(context._version.columns) == 1 else alembics)(context, heads)

    migration.HeadMaintainer = heads_of  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        migration.HeadMaintainer = alembics  # type: ignore[misc]
