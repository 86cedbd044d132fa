"""The close of a revision rides on the next one's CREATE TABLE, whatever lies between the two (I3, I1)."""

import re
from signal import SIGTERM

import pytest

from tests.integration.scenes import Project, last_line, on_mysql, open_transaction_on, processes_of, until
from tests.support.database import Database
from tests.support.projects import ENV_PY, revision_source

pytestmark = [pytest.mark.I3, on_mysql]

EACH_BY_ITSELF = ENV_PY.replace(
    "(connection=connection)", "(connection=connection, transactional_ddl=True, transaction_per_migration=True)"
)
BLOCK = "with op.get_context().autocommit_block():\n    "
ORM = "from sqlalchemy.orm import Session\nwith Session(op.get_bind()) as session:\n    session.execute(sa.text({!r}))"
PAUSE = 'import pathlib, time\npathlib.Path("here").touch()\nwhile not pathlib.Path("go").exists(): time.sleep(0.02)\n'


def create(table: str, columns: str = "id INT PRIMARY KEY") -> str:
    return f'op.execute("CREATE TABLE {table} ({columns})")'


def chain(*upgrades: str) -> list[str]:
    return [
        revision_source(f"r{number}", f"r{number - 1}" if number else None, upgrade)
        for number, upgrade in enumerate(upgrades)
    ]


RAW_ROLLBACK = "op.get_bind().connection.rollback()\n"
SEEN_ELSEWHERE = """\
engine = sa.create_engine(op.get_bind().engine.url, poolclass=sa.pool.NullPool)
with engine.connect() as connection:
    assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "r0"
"""
HOOK = """\
def hook(ctx, step, heads, run_args):
    if step.up_revision_id == "r2" and not __import__("pathlib").Path("go").exists():
        raise RuntimeError("no")
"""
HOOKED = HOOK + ENV_PY.replace("(connection=connection)", "(connection=connection, on_version_apply=hook)")

BETWEEN = {
    "nothing": [create("a"), "pass", "pass", create("b"), "pass"],
    "a commit, then an autocommit block": [create("a") + "\nop.get_bind().commit()", BLOCK + create("b"), create("c")],
    "a rollback, then an autocommit block": [ORM.format("SELECT 1"), BLOCK + create("b"), create("c")],
    "an autocommit block": [create("a"), create("b") + "\n" + BLOCK + create("c"), BLOCK + "pass", create("d")],
    "a rollback": [create("a"), "op.get_bind().rollback()\n" + create("b"), "op.get_bind().rollback()", create("c")],
    "a rollback past SQLAlchemy": [create("a"), RAW_ROLLBACK + create("b"), RAW_ROLLBACK, create("c"), RAW_ROLLBACK],
    "a look from elsewhere": [create("a"), SEEN_ELSEWHERE + create("b")],
    "a failure that is caught": [create("a"), f"try:\n    {create('a')}\nexcept Exception:\n    pass", create("b")],
}


@pytest.mark.parametrize("env_py", [ENV_PY, EACH_BY_ITSELF], ids=["usual", "transaction for each"])
@pytest.mark.parametrize("between", BETWEEN)
def test_every_revision_is_closed_and_said_in_order(database: Database, new_project, between: str, env_py: str):
    project = new_project(database, chain(*BETWEEN[between]), env_py=env_py)
    said = project.ends(0)
    revisions = [f"r{number}" for number in range(len(BETWEEN[between]))]
    assert project.journal() == dict.fromkeys(revisions, "applied")
    words = re.findall(r"^info +(applying|applied)\b.*?'(r\d)'", said, re.MULTILINE)
    assert words == [(word, name) for name in revisions for word in ("applying", "applied")]
    assert "nothing to do" in project.ends(0)


@pytest.mark.parametrize("script", ['raise RuntimeError("no")', create("a"), create("b", "id NO_TYPE")])
def test_the_revision_before_a_failing_one_is_complete(database: Database, new_project, script: str):
    project = new_project(database, chain(create("a"), script))
    assert "applied 'r0'" in project.ends(20)
    assert project.versions() == {"r0"}
    assert project.journal()["r0"] == "applied"
    project.ends(20)
    project.write(*chain(create("a"), create("b"))[1:])
    project.ends(0)


def test_the_revision_before_one_whose_hook_fails_is_complete(database: Database, new_project):
    project = new_project(database, chain(create("a"), create("b"), "pass", create("c")), env_py=HOOKED)
    assert "RuntimeError: no" in project.ends(1)
    assert project.versions() == {"r1"}
    assert project.journal()["r1"] == "applied"
    (project.folder / "go").touch()
    project.ends(0)


# -- the connection is lost between the two ----------------------------------------------------------------------------

GOES_ON = {
    "a statement": 'op.execute("INSERT INTO a VALUES (1)")',
    "a CREATE TABLE": create("b"),
    "a commit": 'op.get_bind().commit()\nop.execute("INSERT INTO a VALUES (1)")',
    "statements whose errors are caught": "for number in (1, 2):\n    try:\n"
    '        op.execute(f"INSERT INTO a VALUES ({number})")\n    except Exception:\n        op.get_bind().rollback()',
}


def paused(project: Project):
    job = project.start()
    until((project.folder / "here").exists, f"between two revisions: {job.log}")
    return job


@pytest.mark.I6
@pytest.mark.parametrize("what", GOES_ON)
def test_a_migration_connection_lost_between_two_revisions_ends_with_13(database: Database, new_project, what: str):
    project = new_project(database, chain(create("a"), PAUSE + GOES_ON[what], create("c")))
    job = paused(project)
    _lock, (migration, *_) = processes_of(database)
    database.server.query(f"KILL {migration}")
    until(lambda: len(processes_of(database)) == 1, "the server has ended it")
    (project.folder / "go").touch()
    assert "Traceback" not in job.ends(13)
    project.ends(0)
    assert set(project.journal().values()) == {"applied"}


@pytest.mark.I6
def test_a_signal_between_two_revisions_leaves_both_to_the_next_start(database: Database, new_project):
    project = new_project(database, chain(create("a"), PAUSE + create("b")))
    job = paused(project)
    job.process.send_signal(SIGTERM)
    job.ends(143)
    (project.folder / "go").touch()
    project.ends(0)
    assert project.journal() == {"r0": "applied", "r1": "applied"}


def test_a_create_table_that_waits_for_a_metadata_lock_keeps_nobody_waiting_for_the_close(
    database: Database, new_project
):
    child = create("child", "id INT, FOREIGN KEY (id) REFERENCES parent (id)")
    project = new_project(database, chain(create("parent"), create("a"), child))
    project.ends(0, "upgrade", "r0")
    with open_transaction_on(database, "parent"):
        job = project.start(GATE_METADATA_LOCK_SECONDS="1")
        job.until_logged("waits for a metadata lock")
        assert "applied 'r1'" in job.log
        assert project.versions() == {"r1"}
    job.ends(0)


# -- the list of tables ------------------------------------------------------------------------------------------------


def test_a_table_in_another_database_is_not_looked_for_in_this_one(database: Database, new_project):
    other = database.server.create_database()
    other.query("CREATE TABLE b (n INT)")
    database.server.query(f"GRANT ALL ON {other.name}.* TO '{database.user}'@'%'")
    project = new_project(
        database, chain(create("a"), f'op.execute("USE {other.name}")\n{create("b1")}\n{create("b")}')
    )
    for _ in range(2):
        assert "1050" in last_line(project.ends(20))
    other.drop()


def test_a_table_that_somebody_made_since_the_snapshot_is_seen(database: Database, new_project):
    project = new_project(database, chain(create("a"), f'op.execute("SELECT * FROM a")\n{PAUSE}{create("b")}'))
    job = paused(project)
    database.query("CREATE TABLE b (n INT)")
    (project.folder / "go").touch()
    for said in (job.ends(20), project.ends(20)):
        assert "1050" in last_line(said)


# -- a script that ends the process ------------------------------------------------------------------------------------


@pytest.mark.I1
def test_a_revision_that_exits_with_0_is_a_failed_one(database: Database, new_project):
    project = new_project(database, chain(create("a"), "import sys\nsys.exit(0)"))
    assert "'r1'" in last_line(project.ends(20))
    assert project.journal()["r0"] == "applied"


@pytest.mark.I1
def test_an_env_py_that_exits_with_0_is_not_at_the_target(database: Database, new_project):
    project = new_project(database, chain(create("a")), env_py="import sys\nsys.exit(0)")
    project.ends(1)
