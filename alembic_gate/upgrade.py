"""The story of a run: wait, look, lock, plan, recover, apply, read back; each a call whose name says it."""

from alembic_gate import connect, glance, project, wait
from alembic_gate.exits import NotAtTarget
from alembic_gate.report import log
from alembic_gate.settings import Settings


def upgrade(settings: Settings) -> None:
    """Bring the database to the target; returns only when it was read back there (I1), or is provably ahead."""
    if not wait.until_usable(settings, lambda left: look(settings, settings.target, left, to_write=True)):
        migrate(settings, "upgrade")


def downgrade(settings: Settings) -> None:
    """Take the database back to the target: the same lock, journal and recovery; never by itself."""
    wait.until_usable(settings, lambda left: look(settings, None, left, to_write=True))
    migrate(settings, "downgrade")


def migrate(settings: Settings, direction: str) -> None:
    """Lock, look again, plan, recover, apply; and read back, on another connection than the one that wrote (I1)."""
    from alembic_gate import lock

    with lock.acquire(settings) as gate:
        if direction == "upgrade":
            with gate.cursor():
                if is_settled(settings, settings.target, gate.connection):
                    return
        from alembic_gate.apply import Migration

        migration = Migration(settings, gate, direction)
        migration.run()  # plan, recover what was interrupted, apply what is pending
        found = {version for (version,) in gate.rows(f"SELECT version_num FROM {migration.version_table}")}
        words = glance.names(found) or "base"
        if found != migration.heads:
            raise NotAtTarget(
                f"the database is at {words} and should be at {glance.names(migration.heads) or 'base'}",
                meaning="env.py did not commit, or somebody else moved the version at the same time",
                advice="Look at env.py's transactions, then start again",
            )
        migration.say_committed()  # what env.py committed by itself
        log.info("the database is at %s, read back", words)


def look(settings: Settings, target: str | None, left: float, *, to_write: bool) -> bool:
    """Open a connection and look; True when nothing is left to do for `target`. Raises what `wait` tells apart."""
    with connect.connect(settings.database, quick=True, connect_timeout=left, read_timeout=left) as connection:
        if target is not None and is_settled(settings, target, connection):
            return True
        if to_write and connection.rows("SELECT @@global.read_only + @@global.innodb_read_only")[0][0]:
            # `wait` knows it to be transient: a primary in failover is read-only for a moment.
            raise connect.OperationalError(1290, "the server is read-only")
        return False


def is_settled(settings: Settings, target: str, connection: connect.Connection) -> bool:
    """Tell whether nothing is left to do, and say so; raises RevisionUnknown, GraphBroken and ScriptChanged."""
    sight = see(settings, connection)
    verdict = glance.judge(settings, sight, target, connection)
    if verdict is None:
        from alembic_gate.alembic_project import judge_by_alembic

        verdict = judge_by_alembic(settings, sight, target, connection)
    said = glance.assert_startable(settings, *verdict)
    if said and settings.changed_script == "fail" and sight.journal:
        from alembic_gate import journal, status

        journal.assert_scripts_unchanged(settings, status.scripts_of(settings), sight.versions, connection.rows)
    if said:
        log.info(said)
    return bool(said)


def see(settings: Settings, connection: connect.Connection) -> glance.Sight:
    """Look at the database; through env.py where that names a version table of its own."""
    sight = glance.look(connection)
    if not project.has_own_version_table(settings.config):
        return sight
    from alembic_gate.alembic_project import look_by_alembic

    return look_by_alembic(settings, sight)
