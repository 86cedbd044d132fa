"""Look at a database in one round trip and say where it stands (I4): no lock, no write, no SQLAlchemy, no Alembic."""

from collections.abc import Sequence

from alembic_gate import connect, project
from alembic_gate.classify import error_number
from alembic_gate.exits import RevisionUnknown
from alembic_gate.graph import Graph, Standing, assert_sound, standing, wanted
from alembic_gate.settings import Settings

VERSION_TABLE = "alembic_version"
JOURNAL_TABLE = "alembic_gate_revision"
LEASE_TABLE = "alembic_gate_lease"

_NO_SUCH_TABLE = 1146

# As bytes, because a UNION of the two tables' collations may be refused (1267, 1271).
_VERSIONS = f"SELECT CAST(version_num AS BINARY), '' FROM `{VERSION_TABLE}`"
_OPEN = f"SELECT CAST(revision AS BINARY), CAST(state AS BINARY) FROM `{JOURNAL_TABLE}` WHERE state IN ('running', 'failed')"


class Sight:
    """What one look at the database saw."""

    def __init__(self, versions: frozenset[str], interrupted: dict[str, str], journal: bool) -> None:
        self.versions = versions
        self.interrupted = interrupted
        self.journal = journal


def look(connection: "connect.Connection[connect.Cursor]") -> Sight:
    """Read the versions and the journal's open rows; one round trip once both tables exist."""
    try:
        rows = query(connection, f"{_VERSIONS} UNION ALL {_OPEN}")
        journal = True
    except connect.Error as error:
        if error_number(error) != _NO_SUCH_TABLE:
            raise
        rows, journal = [], False
        for statement in (_VERSIONS, _OPEN):
            try:
                rows += query(connection, statement)
                journal = statement is _OPEN
            except connect.Error as missing:
                if error_number(missing) != _NO_SUCH_TABLE:
                    raise
    versions = frozenset(_text(name) for name, state in rows if not state)
    return Sight(versions, {_text(name): _text(state) for name, state in rows if state}, journal)


def is_writable(connection: "connect.Connection[connect.Cursor]") -> bool:
    """Tell whether the server takes writes; a primary in failover is read-only for a moment."""
    return query(connection, "SELECT @@global.read_only + @@global.innodb_read_only")[0][0] == 0


def judge(
    settings: Settings, sight: Sight, target: str, connection: "connect.Connection[connect.Cursor]"
) -> tuple[Standing, str] | None:
    """Say where the database stands to `target`, and in words; None where it takes Alembic to tell.

    Raises GraphBroken when the scripts are no history.
    """
    known = project.known_heads(settings.config) if target in ("head", "heads") else None
    if known is not None and known == sight.versions and not sight.interrupted:
        return Standing.AT_TARGET, f"at {names(known)}"
    scripts = project.load(settings.config)
    if scripts is None:
        return None
    assert_sound(scripts.graph, scripts.heads)
    revisions = wanted(scripts.graph, scripts.heads, target)
    if revisions is None:
        return None
    return judge_graph(sight, scripts.graph, scripts.heads, revisions, connection)


def judge_graph(
    sight: Sight,
    scripts: Graph,
    heads: Sequence[str] | frozenset[str],
    revisions: set[str],
    connection: "connect.Connection[connect.Cursor]",
) -> tuple[Standing, str]:
    """Say where the database stands to `revisions`, asking the journal only where the scripts do not know enough."""
    ours = sorted(revision for revision in sight.interrupted if revision in scripts)
    if ours:
        return Standing.BEHIND, f"revision {names(ours)} is interrupted"
    foreign = sight.interrupted.keys() - scripts.keys()
    unknown = sight.versions - scripts.keys()
    if not foreign and not unknown:
        place = standing(scripts, revisions, heads, sight.versions, {}, {})
        return place, f"at {names(sight.versions) or 'base'}"
    lineage, floors = read_lineage(connection) if sight.journal else ({}, {})
    # A newer image is at work on, or was interrupted in, a revision that builds on ours: ahead in the making.
    place = standing(scripts, revisions, heads, sight.versions | foreign, lineage, floors)
    return place, f"at {names(sight.versions)}" + (f", interrupted in {names(foreign)}" if foreign else "")


def assert_startable(settings: Settings, place: Standing, words: str) -> str | None:
    """Return what to say when an older image may start; None when there is work; raises RevisionUnknown (22)."""
    if place is Standing.AT_TARGET:
        return f"the database is at target ({words}), nothing to do"
    if place is Standing.BEHIND:
        return None
    if place is Standing.UNKNOWN:
        raise RevisionUnknown(f"the database is {words}, which this image does not know and the journal does not prove")
    if place is Standing.BELOW_FLOOR:
        raise RevisionUnknown(
            f"the database is {words}, and a revision there says that images as old as this one must not start",
            meaning="Its gate_floor is newer than this image's head",
        )
    if settings.when_ahead == "fail":
        raise RevisionUnknown(
            f"the database is ahead of this image ({words}), and GATE_WHEN_AHEAD=fail",
            meaning="A newer image has upgraded it; this one's head is among the ancestors",
        )
    return f"the database is ahead of this image ({words}): a newer image has upgraded it, nothing to do"


def read_lineage(connection: "connect.Connection[connect.Cursor]") -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The journal's graph: revision -> what it needs, and revision -> its gate_floor."""
    rows = query(connection, f"SELECT revision, parents, floor FROM `{JOURNAL_TABLE}`")
    lineage = {revision: tuple(parents.split()) for revision, parents, _ in rows}
    return lineage, {revision: floor for revision, _, floor in rows if floor}


def query(connection: "connect.Connection[connect.Cursor]", statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
    """Run one statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def names(revisions: object) -> str:
    """Revision ids, quoted, in a fixed order, for a message."""
    return ", ".join(f"'{revision}'" for revision in sorted(revisions))  # type: ignore[call-overload]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
