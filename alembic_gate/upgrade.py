"""The story of a run: wait, look, lock, plan, recover, apply, read back; each a call whose name says it."""

from contextlib import closing
from typing import Any

from alembic_gate import connect, glance, lock, project, wait
from alembic_gate.exits import NotAtTarget
from alembic_gate.graph import closure
from alembic_gate.report import log
from alembic_gate.settings import Settings


def upgrade(settings: Settings, target: str) -> None:
    """Bring the database to `target`; returns only when it was read back there (I1), or is provably ahead."""
    if wait.until_usable(settings, lambda left: is_settled(settings, target, left, writes=True)):
        return
    with lock.acquire(settings) as gate:
        if is_settled(settings, target, settings.wait_timeout_seconds, writes=True):
            return
        migration = plan(settings, gate, "upgrade", target)
        migration.run()  # recover what was interrupted, then apply what is pending
        read_back(migration)


def downgrade(settings: Settings, target: str) -> None:
    """Take the database back to `target`: the same lock, journal and recovery; never by itself."""
    wait.until_usable(settings, lambda left: assert_writable(settings, left))
    with lock.acquire(settings) as gate:
        migration = plan(settings, gate, "downgrade", target)
        migration.run()
        read_back(migration)


def is_settled(settings: Settings, target: str, left: float, *, writes: bool) -> bool:
    """Look at the database; True when nothing is left to do, said aloud. Raises the transient and permanent errors that
    `wait` tells apart, and RevisionUnknown."""
    with closing(connect.connect(settings.database, quick=True, connect_timeout=left, read_timeout=left)) as connection:
        sight = glance.look(connection)
        verdict = glance.judge(settings, sight, target, connection)
        said = glance.assert_startable(settings, *verdict) if verdict else None
        if said:
            if settings.changed_script == "fail" and sight.journal:
                _assert_unchanged(settings, sight, connection)
            log.info("%s", said)
            return True
        if writes:
            _assert_writable(connection)
        return False


def assert_writable(settings: Settings, left: float) -> None:
    """Raise 1290, which `wait` knows to be transient, while the server is read-only."""
    with closing(connect.connect(settings.database, quick=True, connect_timeout=left, read_timeout=left)) as connection:
        glance.query(connection, "SELECT 1")
        _assert_writable(connection)


def _assert_writable(connection: Any) -> None:
    if not glance.is_writable(connection):
        raise connect.OperationalError(1290, "the server is read-only")


def _assert_unchanged(settings: Settings, sight: glance.Sight, connection: Any) -> None:
    scripts = project.load(settings.config)
    if scripts is None:
        from alembic_gate.apply import open_project

        scripts = open_project(settings)[2]
    from alembic_gate import journal

    journal.assert_scripts_unchanged(
        settings, scripts, closure(scripts.graph, sight.versions), lambda statement: glance.query(connection, statement)
    )


def plan(settings: Settings, gate: lock.GateLock, direction: str, target: str) -> Any:
    """Load Alembic, now that there is work, and the project's scripts with it."""
    from alembic_gate.apply import Migration

    return Migration(settings, gate, direction, target)


def read_back(migration: Any) -> None:
    """Read the version from the database once more, on another connection than the one that wrote it (I1)."""
    rows = migration.lock.query(f"SELECT version_num FROM {migration.version_table}")
    found = {version for (version,) in rows}
    if found != migration.heads:
        raise NotAtTarget(
            f"the database is at {glance.names(found) or 'base'} and should be at {glance.names(migration.heads) or 'base'}",
            meaning="env.py did not commit, or somebody else moved the version at the same time",
            advice="Look at env.py's transactions, then start again",
        )
    log.info("the database is at %s, read back", glance.names(found) or "base")
