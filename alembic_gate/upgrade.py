"""The story of a run: wait, look, lock, plan, recover, apply, read back; each a call whose name says it."""

from contextlib import closing

from alembic_gate import connect, glance, wait
from alembic_gate.exits import NotAtTarget
from alembic_gate.graph import Standing
from alembic_gate.report import log
from alembic_gate.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from alembic_gate.apply import Migration


def upgrade(settings: Settings, target: str) -> None:
    """Bring the database to `target`; returns only when it was read back there (I1), or is provably ahead."""
    if wait.until_usable(settings, lambda left: is_settled(settings, target, left, to_write=True)):
        return
    from alembic_gate import lock

    with lock.acquire(settings) as gate:
        if is_settled(settings, target, settings.wait_timeout_seconds, to_write=True):
            return
        from alembic_gate.apply import Migration

        migration = Migration(settings, gate, "upgrade", target)
        migration.run()  # plan, recover what was interrupted, apply what is pending
        read_back(migration)


def downgrade(settings: Settings, target: str) -> None:
    """Take the database back to `target`: the same lock, journal and recovery; never by itself."""
    from alembic_gate import lock
    from alembic_gate.apply import Migration

    wait.until_usable(settings, lambda left: is_settled(settings, "", left, to_write=True))
    with lock.acquire(settings) as gate:
        migration = Migration(settings, gate, "downgrade", target)
        migration.run()
        read_back(migration)


def is_settled(settings: Settings, target: str, left: float, *, to_write: bool) -> bool:
    """Look at the database; True, said aloud, when nothing is left to do. An empty target always has something to do.

    Raises what `wait` tells apart, RevisionUnknown and GraphBroken.
    """
    with closing(connect.connect(settings.database, quick=True, connect_timeout=left, read_timeout=left)) as connection:
        sight = glance.look(connection)
        verdict = glance.judge(settings, sight, target, connection) if target else (Standing.BEHIND, "")
        if verdict is None:
            from alembic_gate.apply import judge_by_alembic

            verdict = judge_by_alembic(settings, sight, target, connection)
        said = glance.assert_startable(settings, *verdict)
        if said and settings.changed_script == "fail" and sight.journal:
            from alembic_gate import journal, status

            journal.assert_scripts_unchanged(settings, status.scripts_of(settings), sight.versions, connection.rows)
        if said:
            log.info("%s", said)
        elif to_write:
            glance.assert_writable(connection)
        return bool(said)


def read_back(migration: "Migration") -> None:
    """Read the version from the database once more, on another connection than the one that wrote it (I1)."""
    found = {version for (version,) in migration.lock.rows(f"SELECT version_num FROM {migration.version_table}")}
    words = glance.names(found) or "base"
    if found != migration.heads:
        raise NotAtTarget(
            f"the database is at {words} and should be at {glance.names(migration.heads) or 'base'}",
            meaning="env.py did not commit, or somebody else moved the version at the same time",
            advice="Look at env.py's transactions, then start again",
        )
    log.info("the database is at %s, read back", words)
