"""The journal costs little: 500 one-table revisions take at most 1.15 times what plain Alembic takes."""

import statistics
import time

import pytest

from tests.support.database import Database
from tests.support.projects import revision_source

REVISIONS = 500
RUNS = 3
AT_MOST = 1.15


@pytest.mark.timeout(300)
def test_five_hundred_revisions_under_the_journal_are_nearly_as_quick_as_without(database: Database, new_project):
    history = [
        revision_source(
            f"r{i:03}", f"r{i - 1:03}" if i else None, f'op.execute("CREATE TABLE t{i} (id INT PRIMARY KEY)")'
        )
        for i in range(REVISIONS)
    ]
    took: dict[str, list[float]] = {"gate": [], "plain": []}
    for _ in range(RUNS):
        for who in took:
            fresh = database.server.create_database()
            project = new_project(fresh, history)
            started = time.monotonic()
            if who == "gate":
                project.ends(0, timeout=120)
            else:
                project.alembic("upgrade", "head")
            took[who].append(time.monotonic() - started)
            assert project.versions() == {f"r{REVISIONS - 1:03}"}
            fresh.drop()
    ratios = [gate / plain for gate, plain in zip(took["gate"], took["plain"], strict=True)]
    print(f"{database.server.kind}: {statistics.median(ratios):.3f} of plain Alembic's time, {took}")
    assert statistics.median(ratios) <= AT_MOST, took
