"""Look at a database in one round trip and say where it stands (I4): no lock, no write, no SQLAlchemy, no Alembic."""

from collections import namedtuple
from collections.abc import Collection

from alembic_gate import connect, project
from alembic_gate.classify import NO_SUCH_TABLE, error_number
from alembic_gate.exits import RevisionUnknown
from alembic_gate.graph import Standing, assert_sound, standing, wanted
from alembic_gate.settings import Settings

VERSION_TABLE = "alembic_version"
JOURNAL_TABLE = "alembic_gate_revision"
LEASE_TABLE = "alembic_gate_lease"

# As bytes, because a UNION of the two tables' collations may be refused (1267, 1271).
_VERSIONS = f"SELECT CAST(version_num AS BINARY), '' FROM `{VERSION_TABLE}`"
_OPEN = f"SELECT CAST(revision AS BINARY), state FROM `{JOURNAL_TABLE}` WHERE state IN ('running', 'failed')"


# What one look at the database saw: the versions, the revisions that are interrupted, whether there is a journal.
Sight = namedtuple("Sight", "versions interrupted journal")


def look(connection: connect.Connection) -> Sight:
    """Read the versions and the journal's open rows; one round trip once both tables exist."""
    rows = _rows_if_table(connection, f"{_VERSIONS} UNION ALL {_OPEN}")
    journal = rows is not None
    if rows is None:
        opened = _rows_if_table(connection, _OPEN)
        journal = opened is not None
        rows = (_rows_if_table(connection, _VERSIONS) or []) + (opened or [])
    versions = frozenset(name.decode() for name, state in rows if not state)
    return Sight(versions, frozenset(name.decode() for name, state in rows if state), journal)


def _rows_if_table(connection: connect.Connection, statement: str) -> list[tuple[bytes, bytes]] | None:
    try:
        return connection.rows(statement)
    except connect.Error as error:
        if error_number(error) != NO_SUCH_TABLE:
            raise
        return None


def judge(settings: Settings, sight: Sight, target: str, connection: connect.Connection) -> tuple[Standing, str] | None:
    """Say where the database stands to `target`, and in words; None where it takes Alembic to tell.

    Raises GraphBroken when the scripts are no history.
    """
    known = project.known_heads(settings.config) if target in ("head", "heads") else None
    if known is not None and known == sight.versions and not sight.interrupted:
        return Standing.AT_TARGET, f"at {names(known)}"
    scripts = project.load(settings.config)
    if scripts is None:
        return None
    assert_sound(scripts.graph)
    revisions = wanted(scripts.graph, scripts.heads, target)
    return judge_graph(sight, scripts, revisions, connection) if revisions is not None else None


def judge_graph(
    sight: Sight, scripts: project.Scripts, revisions: Collection[str], connection: connect.Connection
) -> tuple[Standing, str]:
    """Say where the database stands to `revisions`, asking the journal only where the scripts do not know enough."""
    graph = scripts.graph
    if ours := sight.interrupted & graph.keys():
        return Standing.BEHIND, f"revision {names(ours)} is interrupted"
    foreign, journal = sight.interrupted - graph.keys(), []
    if sight.journal and (foreign or sight.versions - graph.keys()):
        journal = connection.rows(f"SELECT revision, parents, floor FROM `{JOURNAL_TABLE}`")
    lineage = {revision: parents.split() for revision, parents, _ in journal}
    floors = {revision: floor for revision, _, floor in journal}
    # A newer image is at work on, or was interrupted in, a revision that builds on ours: ahead in the making.
    place = standing(graph, revisions, scripts.heads, sight.versions | foreign, lineage, floors)
    words = f"at {names(sight.versions)}" if sight.versions else "at base"
    return place, words + (f", interrupted in {names(foreign)}" if foreign else "")


def assert_startable(settings: Settings, place: Standing, words: str) -> str | None:
    """Return what to say when an older image may start; None when there is work; raises RevisionUnknown (22)."""
    if place is Standing.AT_TARGET:
        return f"the database is at target ({words}), nothing to do"
    if place is Standing.BEHIND:
        return None
    if place is Standing.UNKNOWN:
        raise RevisionUnknown(f"the database is {words}, which this image does not know and the journal does not prove")
    if place is Standing.BELOW_FLOOR:
        what = f"the database is {words}, and a revision there says that images as old as this one must not start"
        raise RevisionUnknown(what, meaning="Its gate_floor is newer than this image's head")
    if settings.when_ahead == "fail":
        what = f"the database is ahead of this image ({words}), and GATE_WHEN_AHEAD=fail"
        raise RevisionUnknown(what, meaning="A newer image has upgraded it; this one's head is among the ancestors")
    return f"the database is ahead of this image ({words}): a newer image has upgraded it, nothing to do"


def names(revisions: Collection[str]) -> str:
    """Revision ids, quoted, in a fixed order, for a message."""
    return ", ".join(f"'{revision}'" for revision in sorted(revisions))
