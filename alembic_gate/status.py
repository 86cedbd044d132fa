"""Read-only verbs: where the database stands (`status`), what is pending (`plan`), and waiting for others (`wait`)."""

import sys
import time
from collections.abc import Collection
from typing import Any

from alembic_gate import connect, glance, journal, project, wait
from alembic_gate.exits import ExitCode, NotAtTarget
from alembic_gate.graph import Standing, assert_sound, closure, in_order, wanted
from alembic_gate.project import Scripts
from alembic_gate.report import log
from alembic_gate.settings import Settings
from alembic_gate.statements import summary
from alembic_gate.upgrade import look, see

# A job that migrates takes seconds at least; each look is one connection and one round trip.
LOOK_AGAIN_SECONDS = 1.0


def wait_until_at_target(settings: Settings) -> None:
    """Look again and again; raises NotAtTarget when the time is up, and what `upgrade` raises about the database."""
    deadline = time.monotonic() + settings.wait_timeout_seconds
    said = False
    while not wait.until_usable(settings, lambda left: look(settings, settings.target, left, to_write=False)):
        if not said:
            log.info("waiting for '%s' to be upgraded to '%s'", settings.database.name, settings.target)
            said = True
        if time.monotonic() >= deadline:
            limit = f"{settings.wait_timeout_seconds:g} s"
            raise NotAtTarget(f"'{settings.database.name}' was not at '{settings.target}' within {limit}")
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
            words = f"{row['direction']} of {row['revision']}, {row['state']} after {row['position']} statements"
            in_flight = f", in flight: {summary(row['statement'])}" if row["statement"] else ""
            print(f"interrupted: {words}{in_flight}" + (f", error: {row['error']}" if row["error"] else ""))
        print(f"{'standing:':12} {found['standing']}")
    sys.stdout.flush()
    said = glance.assert_startable(settings, place, found["standing"])
    return ExitCode.AT_TARGET if said else ExitCode.NOT_AT_TARGET


def _survey(settings: Settings, left: float) -> tuple[dict[str, Any], Standing]:
    scripts = scripts_of(settings)
    with connect.connect(settings.database, connect_timeout=left) as connection:
        sight, heads = see(settings, connection), scripts.heads
        place, words = glance.judge_graph(sight, scripts, heads, connection)
        rows = journal.read_open_rows(connection.rows) if sight.journal else []
        changed = journal.changed_scripts(scripts, sight.versions, connection.rows) if sight.journal else []
    facts = ("revision", "direction", "state", "position", "statement", "error", "host")
    found = {
        "database": settings.database.name,
        "current": sorted(sight.versions),
        "head": sorted(heads),
        "pending": [] if sight.versions - scripts.graph.keys() else _pending(scripts, heads, sight.versions),
        "interrupted": [{fact: getattr(row, fact) for fact in facts} for row in rows],
        "ahead": place is Standing.AHEAD,
        "changed": changed,
        "standing": f"{place.value} ({words})",
    }
    return found, place


def plan(settings: Settings, *, sql: bool) -> None:
    """Print the pending revisions in order, with the SQL of env.py's offline mode on request."""
    scripts = scripts_of(settings)
    target: Collection[str] | None = wanted(scripts.graph, scripts.heads, settings.target)
    if target is None:
        from alembic_gate.alembic_project import revisions_named

        target = revisions_named(settings)

    def sight(left: float) -> glance.Sight:
        with connect.connect(settings.database, connect_timeout=left) as connection:
            return see(settings, connection)

    current = wait.until_usable(settings, sight).versions
    pending = _pending(scripts, target, current)
    log.info("%d pending from %s", len(pending), glance.names(current) or "base")
    if sql:
        from alembic_gate.alembic_project import print_sql

        print_sql(settings, current)
    else:
        sys.stdout.writelines(f"{revision}\n" for revision in pending)
    sys.stdout.flush()


def scripts_of(settings: Settings) -> Scripts:
    """The image's revisions, by Alembic where their text cannot be read; raises GraphBroken."""
    scripts = project.load(settings.config)
    if scripts is None:
        from alembic_gate.alembic_project import open_project

        scripts = open_project(settings)[2]
    assert_sound(scripts.graph)
    return scripts


def _pending(scripts: Scripts, target: Collection[str], current: Collection[str]) -> list[str]:
    return in_order(scripts.graph, closure(scripts.graph, target) - closure(scripts.graph, current))
