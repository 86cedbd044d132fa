"""Exit codes 22, 23 and 24: what the scripts of this image know, against what the database and its journal know."""

import json
import re

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql
from tests.support.database import Database
from tests.support.projects import revision_source

pytestmark = pytest.mark.I6

NEWER = revision_source("a3", "a2", 'op.execute("ALTER TABLE people ADD seen DATE")')
FLOORED = revision_source("a3", "a2", 'op.execute("ALTER TABLE people DROP visits")', header='gate_floor = "a3"')


def an_older_image(database: Database, new_project, newer: str = NEWER):
    """A project that lacks the revision which a newer image has applied."""
    project = new_project(database, [*PEOPLE, newer])
    project.ends(0)
    project.forget("a3")
    return project


def test_an_older_image_starts_on_a_database_that_is_provably_ahead_and_says_so(database: Database, new_project):
    project = an_older_image(database, new_project)
    before = database.schema()
    for verb in ("upgrade", "wait", "status"):
        assert "ahead" in project.ends(0, verb)
    assert json.loads(project.gate("status", "--json").stdout)["ahead"] is True
    assert database.schema() == before
    assert project.versions() == {"a3"}


@on_mysql
def test_an_older_image_is_refused_where_the_settings_say_so(database: Database, new_project):
    project = an_older_image(database, new_project)
    for verb in ("upgrade", "wait", "status"):
        assert "GATE_WHEN_AHEAD" in last_line(project.ends(22, verb, GATE_WHEN_AHEAD="fail"))


@on_mysql
def test_an_image_below_the_floor_of_a_newer_revision_is_refused(database: Database, new_project):
    project = an_older_image(database, new_project, FLOORED)
    for verb in ("upgrade", "wait", "status"):
        assert "as old as this one" in last_line(project.ends(22, verb))


@on_mysql
def test_an_image_at_the_floor_of_a_newer_revision_starts(database: Database, new_project):
    project = an_older_image(database, new_project, FLOORED.replace('gate_floor = "a3"', 'gate_floor = "a2"'))
    assert "ahead" in project.ends(0)


def test_a_revision_that_nobody_here_knows_is_refused(database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.ends(0)
    database.query("UPDATE alembic_version SET version_num = 'zzzz'")
    for verb in ("upgrade", "wait", "status"):
        said = last_line(project.ends(22, verb))
        assert "'zzzz'" in said
    assert project.versions() == {"zzzz"}


@on_mysql
@pytest.mark.I7
def test_a_newer_revision_that_plain_alembic_applied_proves_nothing(database: Database, new_project):
    project = new_project(database, [*PEOPLE, NEWER])
    project.ends(0, GATE_TARGET="a2")
    project.alembic("upgrade", "head")
    project.forget("a3")
    project.ends(22)


@on_mysql
def test_a_newer_image_at_work_or_interrupted_does_not_stop_an_older_one(database: Database, new_project):
    project = new_project(database, [*PEOPLE, NEWER.replace('DATE")', 'DATE")\n    raise RuntimeError("half way")')])
    project.ends(20)
    project.forget("a3")
    assert "'a3'" in project.ends(0, "wait")


@on_mysql
def test_a_downgrade_from_a_revision_that_this_image_lacks_is_refused(database: Database, new_project):
    project = an_older_image(database, new_project)
    project.ends(22, "downgrade", "base")
    assert project.versions() == {"a3"}


# -- 23: changed scripts ----------------------------------------------------------------------------------------------


@on_mysql
def test_an_edited_script_of_an_applied_revision_is_a_warning_or_23(database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.ends(0)
    project.write(PEOPLE[0] + "# a harmless comment\n")
    assert re.search(r"changed: +a1", project.ends(0, "status"))
    assert "'a1'" in last_line(project.ends(23, GATE_CHANGED_SCRIPT="fail"))
    project.write(NEWER)
    said = project.ends(23, GATE_CHANGED_SCRIPT="fail")
    assert "'a1'" in last_line(said)
    assert project.versions() == {"a2"}, "nothing was applied"
    said = project.ends(0)
    assert re.search(r"warning.*'a1'", said)
    assert project.versions() == {"a3"}


@on_mysql
@pytest.mark.I7
def test_a_script_that_was_applied_by_plain_alembic_counts_from_its_adoption_on(database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.alembic("upgrade", "a1")
    project.ends(0)
    project.ends(0, GATE_CHANGED_SCRIPT="fail")
    project.write(PEOPLE[0] + "# a harmless comment\n")
    project.ends(23, GATE_CHANGED_SCRIPT="fail")


# -- 24: broken graphs ------------------------------------------------------------------------------------------------

BROKEN = {
    "two heads": ([*PEOPLE, revision_source("b2", "a1")], "2 heads"),
    "missing parent": ([*PEOPLE, revision_source("b2", "gone")], "'gone'"),
    "cycle": ([*PEOPLE, revision_source("c1", "c2"), revision_source("c2", "c1")], "c1"),
    "cycle below a head": (
        [revision_source("c1", "c2"), revision_source("c2", "c1"), revision_source("c3", "c2")],
        "c",
    ),
    "own parent": ([*PEOPLE, revision_source("c1", "c1")], "c1"),
}


@on_mysql
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_graph_ends_with_24_before_anything_is_touched(database: Database, new_project, case: str):
    revisions, words = BROKEN[case]
    project = new_project(database, revisions)
    said = project.ends(24)
    assert words in last_line(said)
    assert "Traceback" not in said
    assert not database.schema()["tables"].keys() - {"alembic_version"}
    # Also where only Alembic can read the scripts.
    project.write(revision_source("z9", None, header="globals()['x'] = 1\nrevision = str('z9')"))
    project.ends(24)


@on_mysql
def test_two_heads_are_fine_where_both_are_wanted(database: Database, new_project):
    project = new_project(database, BROKEN["two heads"][0])
    project.ends(0, GATE_TARGET="heads")
    assert project.versions() == {"a2", "b2"}
    assert "nothing to do" in project.ends(0, GATE_TARGET="heads")
