"""The journal costs little: 500 one-table revisions take at most 1.15 times what plain Alembic takes."""

import time
from statistics import median

import pytest

from tests.support.database import Database
from tests.support.figures import keep
from tests.support.projects import revision_source

REVISIONS = 500
AT_MOST = 1.15
# A machine's pace sways: only the two of one round can be compared, and the round in the middle counts.
ROUNDS = 7


@pytest.mark.timeout(300)
def test_five_hundred_revisions_under_the_journal_are_nearly_as_quick_as_without(database: Database, new_project):
    project = new_project(
        database,
        [
            revision_source(
                f"r{i:03}", f"r{i - 1:03}" if i else None, f'op.execute("CREATE TABLE t{i} (id INT PRIMARY KEY)")'
            )
            for i in range(REVISIONS)
        ],
    )
    upgrades = {"gate": lambda: project.ends(0, timeout=120), "plain": lambda: project.alembic("upgrade", "head")}
    took: dict[str, list[float]] = {who: [] for who in upgrades}
    for number in range(ROUNDS):
        for who in sorted(took, reverse=bool(number % 2)):
            database.server.query(f"DROP DATABASE `{database.name}`")
            database.server.query(f"CREATE DATABASE `{database.name}`")
            started = time.monotonic()
            upgrades[who]()
            took[who].append(time.monotonic() - started)
            assert project.versions() == {f"r{REVISIONS - 1:03}"}
    ratio = median(gate / plain for gate, plain in zip(took["gate"], took["plain"], strict=True))
    keep(f"journal-{database.server.kind}", {"of plain Alembic's time": round(ratio, 3), "limit": AT_MOST})
    assert ratio <= AT_MOST, took
