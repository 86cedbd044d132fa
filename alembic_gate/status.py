"""Read-only verbs: where the database stands (`status`), what is pending (`plan`), and waiting for others (`wait`)."""

import sys
import time
from contextlib import closing
from typing import Any

from alembic_gate import connect, glance, journal, project, wait
from alembic_gate.exits import BadUsage, ExitCode, NotAtTarget
from alembic_gate.graph import Standing, assert_sound, closure, in_order, wanted
from alembic_gate.report import log
from alembic_gate.settings import Settings
from alembic_gate.statements import summary
from alembic_gate.upgrade import is_settled

# A job that migrates takes seconds at least; each look is one connection and one round trip.
LOOK_AGAIN_SECONDS = 1.0


def wait_until_at_target(settings: Settings) -> None:
    """Look again and again; raises NotAtTarget when the time is up, and what `upgrade` raises about the database."""
    deadline = time.monotonic() + settings.wait_timeout_seconds
    said = False
    while not wait.until_usable(settings, lambda left: is_settled(settings, settings.target, left, writes=False)):
        if not said:
            log.info("waiting for '%s' to be upgraded to '%s'", settings.database.name, settings.target)
            said = True
        if time.monotonic() >= deadline:
            raise NotAtTarget(
                f"'{settings.database.name}' was not at '{settings.target}' within {settings.wait_timeout_seconds:g} s"
            )
        time.sleep(LOOK_AGAIN_SECONDS)


def status(settings: Settings, *, as_json: bool) -> int:
    """Print where the database stands; the exit code is 0 at head or allowed ahead, else NOT_AT_TARGET or 22."""
    found, place = wait.until_usable(settings, lambda left: _survey(settings, left))
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    else:
        for name in ("current", "head", "pending", "changed"):
            print(f"{name + ':':12} {' '.join(found[name]) or '-'}")
        for row in found["interrupted"]:
            print(
                f"interrupted: {row['direction']} of {row['revision']} after {row['position']} committed statements"
                + (f", in flight: {summary(row['statement'])}" if row["statement"] else "")
                + (f", error: {row['error']}" if row["error"] else "")
            )
        print(f"{'standing:':12} {found['standing']}")
    sys.stdout.flush()
    if glance.assert_startable(settings, place, found["standing"]):
        return ExitCode.AT_TARGET
    return ExitCode.NOT_AT_TARGET


def _survey(settings: Settings, left: float) -> tuple[dict[str, Any], Standing]:
    with closing(connect.connect(settings.database, connect_timeout=left)) as connection:

        def run(statement: str) -> Any:
            return glance.query(connection, statement)

        scripts = scripts_of_image(settings)
        target = wanted(scripts.graph, scripts.heads, "heads") or set()
        sight = glance.look(connection)
        place, words = glance.judge_graph(sight, scripts.graph, scripts.heads, target, connection)
        applied = closure(scripts.graph, sight.versions)
        rows = journal.read_rows(run, "state IN ('running', 'failed')") if sight.journal else []
        checksums = journal.read_checksums(run) if sight.journal else {}
    unknown = bool(sight.versions - scripts.graph.keys())
    interrupted = [
        {
            "revision": row.revision,
            "direction": row.direction,
            "state": row.state,
            "position": row.position,
            "statement": row.statement,
            "error": row.error,
            "host": row.host,
        }
        for row in rows
    ]
    found = {
        "database": settings.database.name,
        "current": sorted(sight.versions),
        "head": sorted(scripts.heads),
        "pending": [] if unknown else _pending(scripts, target, sight.versions),
        "interrupted": interrupted,
        "ahead": place is Standing.AHEAD,
        "changed": scripts.changed(checksums, applied),
        "standing": f"{place.value} ({words})",
    }
    return found, place


def plan(settings: Settings, *, sql: bool) -> None:
    """Print the pending revisions in order, with the SQL of env.py's offline mode on request."""
    scripts = scripts_of_image(settings)
    target = wanted(scripts.graph, scripts.heads, settings.target)
    if target is None:
        from alembic_gate.apply import open_project

        directory = open_project(settings)[1]
        target = {script.revision for script in directory.get_revisions(settings.target) if script}
        if not target:
            raise BadUsage(f"the target '{settings.target}' names no revision")

    def look(left: float) -> glance.Sight:
        with closing(connect.connect(settings.database, quick=True, connect_timeout=left)) as connection:
            return glance.look(connection)

    sight = wait.until_usable(settings, look)
    pending = _pending(scripts, target, sight.versions)
    log.info("%d pending from %s", len(pending), glance.names(sight.versions) or "base")
    if sql:
        from alembic_gate.apply import print_sql

        print_sql(settings, sight.versions)
    else:
        for revision in pending:
            print(revision)
    sys.stdout.flush()


def scripts_of_image(settings: Settings) -> project.Scripts:
    """The image's revisions, by Alembic where their text cannot be read; raises GraphBroken."""
    scripts = project.load(settings.config)
    if scripts is None:
        from alembic_gate.apply import open_project

        scripts = open_project(settings)[2]
    assert_sound(scripts.graph, scripts.heads)
    return scripts


def _pending(scripts: project.Scripts, target: set[str], current: frozenset[str]) -> list[str]:
    applied = closure(scripts.graph, current)
    return in_order(scripts.graph, closure(scripts.graph, target) - applied)
