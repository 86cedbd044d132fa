"""Exit codes 20 and 21: a revision fails or is interrupted; the next image goes on, or a person is asked (I3, I6)."""

import json
import signal

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql, running, until
from tests.support.database import Database
from tests.support.projects import revision_source

pytestmark = [pytest.mark.I3, pytest.mark.I6]

BEGINNING = (
    'op.execute("CREATE TABLE item (id INT PRIMARY KEY, n INT NOT NULL)")\n'
    'op.execute("INSERT INTO item VALUES (1, 0)")\n'
    'op.execute("ALTER TABLE item ADD a INT")\n'
    'op.execute("UPDATE item SET n = n + 1")\n'
)


def failing(statement: str, rest: str = "") -> str:
    return revision_source("f1", None, f"{BEGINNING}{statement}\n{rest}")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ('op.execute("ALTER TABLE item DROP COLUMN missing")', "ALTER TABLE item DROP COLUMN missing"),
        ('op.execute("INSERT INTO item (id, n) VALUES (1, 9)")', "1062"),
        ('op.execute("NO SUCH STATEMENT")', "1064"),
        ("raise RuntimeError('the script gave up')", "the script gave up"),
        ("op.add_column('item', nonsense)", "nonsense"),
    ],
    ids=["ddl", "dml", "syntax", "raise", "python"],
)
def test_a_mended_script_is_resumed_where_it_failed(database: Database, new_project, statement: str, words: str):
    project = new_project(database, [failing(statement)])
    message = project.folder / "termination-log"
    message.touch()
    said = project.ends(20, GATE_TERMINATION_LOG=str(message))
    assert words in last_line(said)
    assert "'f1'" in last_line(said)
    assert words in message.read_text()
    assert "Traceback" not in said
    assert project.journal() == {"f1": "failed"}
    (interrupted,) = json.loads(project.gate("status", "--json").stdout)["interrupted"]
    assert (interrupted["revision"], interrupted["state"]) == ("f1", "failed")
    assert words in interrupted["error"]

    project.ends(20)  # the same script fails the same way, and does nothing twice
    project.write(failing('op.execute("UPDATE item SET n = n + 10")', 'op.execute("ALTER TABLE item ADD b INT")'))
    project.ends(0)
    assert database.query("SELECT * FROM item") == ((1, 11, None, None),)
    assert project.journal() == {"f1": "applied"}


def test_an_id_that_the_version_table_cannot_take_is_said_and_goes_on_once_it_can(database: Database, new_project):
    long = "an_id_of_more_characters_than_alembic_has_room_for"
    project = new_project(
        database, [PEOPLE[0], revision_source(long, "a1", "op.execute('CREATE TABLE item (id INT)')")]
    )
    for _ in range(2):
        said = last_line(project.ends(20))
        assert long in said
        assert "1406" in said
        assert "version_num" in said
    database.query("ALTER TABLE alembic_version MODIFY version_num VARCHAR(100) NOT NULL")
    project.ends(0)
    assert project.versions() == {long}


@on_mysql
def test_a_version_that_somebody_else_moved_in_mid_run_is_said(database: Database, new_project):
    pause = (
        'import pathlib, time\npathlib.Path("here").touch()\nwhile not pathlib.Path("go").exists(): time.sleep(0.02)'
    )
    script = f"op.execute('ALTER TABLE people ADD visits INT')\n{pause}"
    project = new_project(database, [PEOPLE[0], revision_source("a2", "a1", script), revision_source("a3", "a2")])
    job = project.start()
    until((project.folder / "here").exists, f"the version can be moved: {job.log}")
    database.query("UPDATE alembic_version SET version_num = 'a2'")
    (project.folder / "go").touch()
    assert "moved the version" in last_line(job.ends(30))
    assert "applied 'a3'" in project.ends(0)
    assert project.journal() == {"a1": "applied", "a2": "applied", "a3": "applied"}


@on_mysql
def test_a_revision_that_fails_before_anything_is_committed_leaves_nothing(database: Database, new_project):
    project = new_project(
        database, [*PEOPLE, revision_source("a3", "a2", 'op.execute("INSERT INTO people VALUES (1)")')]
    )
    assert "Nothing of this revision is committed" in project.ends(20)
    project.write(revision_source("a3", "a2", 'op.execute("DELETE FROM people")'))
    project.ends(0)
    assert project.versions() == {"a3"}


@on_mysql
def test_a_script_that_was_mended_in_its_committed_part_is_refused(database: Database, new_project):
    project = new_project(database, [failing('op.execute("NO SUCH STATEMENT")')])
    project.ends(20)
    project.write(revision_source("f1", None, BEGINNING.replace("n INT NOT NULL", "n BIGINT NOT NULL")))
    said = last_line(project.ends(21))
    assert "statement 1" in said
    assert "repair" in said


@on_mysql
def test_savepoints_have_other_numbers_in_the_next_start_and_are_the_same(database: Database, new_project):
    nested = 'with op.get_bind().begin_nested():\n    op.execute("UPDATE people SET name = CONCAT(name, 1)")\n'
    third = nested + 'op.execute("ALTER TABLE people ADD a INT")\n'
    project = new_project(
        database,
        [PEOPLE[0], revision_source("a2", "a1", nested), revision_source("a3", "a2", third + "raise RuntimeError")],
    )
    project.ends(20)
    project.write(revision_source("a3", "a2", third))
    project.ends(0)
    assert database.query("SELECT name FROM people WHERE id = 1") == (("ada11",),)


@on_mysql
def test_a_failed_downgrade_is_resumed_too(database: Database, new_project):
    def second(end: str) -> str:
        back = 'op.execute("UPDATE people SET name = CONCAT(name, 0)")\nop.execute("ALTER TABLE people DROP visits")\n'
        return revision_source("a2", "a1", 'op.execute("ALTER TABLE people ADD visits INT")', back + end)

    project = new_project(database, [PEOPLE[0], second('op.execute("NO SUCH STATEMENT")')])
    project.ends(0)
    assert "NO SUCH STATEMENT" in last_line(project.ends(20, "downgrade", "a1"))
    project.write(second('op.execute("UPDATE people SET name = CONCAT(name, 1)")'))
    project.ends(0, "downgrade", "a1")
    assert database.query("SELECT name FROM people ORDER BY id") == (("ada01",), ("小明01",))
    assert project.versions() == {"a1"}


@on_mysql
def test_an_upgrade_first_finishes_a_downgrade_that_was_interrupted(database: Database, new_project):
    back = 'op.execute("ALTER TABLE people DROP visits")\nraise RuntimeError("once")'
    up = 'op.execute("ALTER TABLE people ADD visits INT")'
    project = new_project(database, [PEOPLE[0], revision_source("a2", "a1", up, back)])
    project.ends(0)
    project.ends(20, "downgrade", "a1")
    project.write(revision_source("a2", "a1", up, back.replace('raise RuntimeError("once")', "")))
    project.ends(0)
    assert project.versions() == {"a2"}
    assert database.query("SELECT visits FROM people") == ((None,), (None,))


# -- what a revision may not do ---------------------------------------------------------------------------------------


def test_writing_on_a_connection_of_its_own_is_refused(database: Database, new_project):
    writes = "with op.get_bind().engine.begin() as other:\n    other.execute(sa.text({!r}))"
    project = new_project(
        database, [PEOPLE[0], revision_source("a2", "a1", writes.format("INSERT INTO people (name) VALUES ('eve')"))]
    )
    assert "connection of its own" in last_line(project.ends(20))
    assert len(database.query("SELECT * FROM people")) == 2
    project.write(revision_source("a2", "a1", writes.format("SELECT COUNT(*) FROM people")))
    project.ends(0)


# -- 21: a person is asked ---------------------------------------------------------------------------------------------

TEMPORARY = revision_source(
    "t1",
    None,
    'op.execute("CREATE TABLE item (id INT)")\n'
    'op.execute("CREATE TEMPORARY TABLE kept AS SELECT 1 AS id")\n'
    'op.execute("CREATE TABLE slow AS SELECT SLEEP(1) AS s")\n'
    'op.execute("INSERT INTO item SELECT id FROM kept")',
)


def test_temporary_tables_that_died_with_their_session_are_a_reason_to_ask(database: Database, new_project):
    project = new_project(database, [TEMPORARY])
    job = project.start()
    until(lambda: running(database, "CREATE TABLE slow"), "the DDL after the temporary table")
    job.process.send_signal(signal.SIGKILL)
    job.wait()
    said = last_line(project.ends(21))
    assert "kept" in said
    assert "repair" in said
    assert project.versions() == set()


CALLING = [
    revision_source("p1", None, 'op.execute("CREATE TABLE item (n INT)")\nop.execute("INSERT INTO item VALUES (0)")'),
    revision_source(
        "p2",
        "p1",
        'op.execute("CREATE PROCEDURE work() BEGIN UPDATE item SET n = n + 1;'
        ' CREATE TABLE w AS SELECT SLEEP(1); END")\n'
        'op.execute("CALL work()")\n'
        'op.execute("UPDATE item SET n = n + 10")\n'
        'op.execute("ALTER TABLE item ADD a INT")',
    ),
]


@pytest.fixture
def interrupted(database: Database, new_project):
    """A project whose job was killed in a procedure, which nobody but a person can judge."""
    project = new_project(database, CALLING)
    job = project.start()
    until(lambda: running(database, "CREATE TABLE w"), "the procedure's DDL")
    job.process.send_signal(signal.SIGKILL)
    job.wait()
    until(lambda: not running(database, "CREATE TABLE w"), "the server has ended it")
    return project


def test_a_procedure_that_was_interrupted_is_never_guessed_about(interrupted):
    for _ in range(2):
        said = last_line(interrupted.ends(21))
        assert "CALL work()" in said
        assert "--done" in said
    shown = interrupted.ends(0, "repair")
    assert "CALL work()" in shown
    assert "p2" in shown


def test_a_person_says_that_it_was_done_and_the_next_start_goes_on_after_it(database: Database, interrupted):
    interrupted.ends(0, "repair", "--done")
    interrupted.ends(0)
    assert database.query("SELECT * FROM item") == ((11, None),)


def test_a_person_says_that_it_was_not_done_and_the_next_start_does_it(database: Database, interrupted):
    database.query("DROP TABLE w")
    database.query("UPDATE item SET n = 0")
    interrupted.ends(0, "repair", "--not-done")
    interrupted.ends(0)
    assert database.query("SELECT * FROM item") == ((11, None),)


def test_a_person_abandons_the_run_and_the_next_start_begins_anew(database: Database, interrupted):
    database.query("DROP TABLE w")
    database.query("UPDATE item SET n = 0")
    database.query("DROP PROCEDURE work")
    interrupted.ends(0, "repair", "--abandon")
    interrupted.ends(0)
    assert database.query("SELECT * FROM item") == ((11, None),)
