"""Exit code 13: lock or connection lost in mid-run; nothing is started after that, and the next start converges."""

import pytest

from tests.integration.scenes import Project, gate_lock_of, processes_of, until
from tests.support.database import Database
from tests.support.projects import revision_source

pytestmark = [pytest.mark.I2, pytest.mark.I6]

# It stops between two statements until it is let go.
PAUSING = [
    revision_source(
        "p1",
        None,
        'op.execute("CREATE TABLE counter (n INT NOT NULL)")\n'
        'op.execute("INSERT INTO counter VALUES (1)")\n'
        'op.execute("ALTER TABLE counter ADD a INT")\n'
        "import pathlib, time\n"
        'pathlib.Path("here").touch()\n'
        'while not pathlib.Path("go").exists(): time.sleep(0.02)\n'
        'op.execute("UPDATE counter SET n = n + 10")\n'
        'op.execute("ALTER TABLE counter ADD b INT")\n'
        'op.execute("UPDATE counter SET n = n + 100")',
    )
]
DONE_SO_FAR = ((1, None),)
IN_THE_END = ((111, None, None),)


def paused(project: Project):
    """A job between two of its statements, with its connections: the lock's and the migration's."""
    job = project.start()
    until((project.folder / "here").exists, f"between two statements: {job.log}")
    lock, migration = (row[0] for row in processes_of(project.database))
    return job, lock, migration


def kill(database: Database, *connections: int) -> None:
    for number in connections:
        database.server.query(f"KILL {number}")
    until(lambda: not {row[0] for row in processes_of(database)} & {*connections}, "the server has ended them")


@pytest.mark.parametrize("lost", ["the lock", "the migration connection", "both"])
def test_a_lost_connection_ends_the_run_before_the_next_statement(database: Database, new_project, lost: str):
    project = new_project(database, PAUSING)
    job, lock, migration = paused(project)
    kill(database, *{"the lock": [lock], "the migration connection": [migration], "both": [lock, migration]}[lost])
    (project.folder / "go").touch()
    assert "Traceback" not in job.ends(13)
    assert database.query("SELECT * FROM counter") == DONE_SO_FAR
    project.ends(0)
    assert database.query("SELECT * FROM counter") == IN_THE_END


def test_a_lock_that_another_session_took_meanwhile_is_noticed_before_the_next_statement(
    database: Database, new_project
):
    project = new_project(database, PAUSING)
    job, lock, _ = paused(project)
    kill(database, lock)
    with gate_lock_of(database):
        (project.folder / "go").touch()
        job.ends(13)
        assert database.query("SELECT * FROM counter") == DONE_SO_FAR
    project.ends(0)
    assert database.query("SELECT * FROM counter") == IN_THE_END


def test_a_server_that_goes_down_in_mid_run_ends_it_with_13(patient_database: Database, new_project):
    project = new_project(patient_database, PAUSING)
    job, *_ = paused(project)
    patient_database.server.kill()
    (project.folder / "go").touch()
    assert "Traceback" not in job.ends(13)
    patient_database.server.start()
    project.ends(0)
    assert patient_database.query("SELECT * FROM counter") == IN_THE_END
