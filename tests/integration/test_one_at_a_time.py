"""One job at a time (I2): jobs queue, a dead job's statement keeps the next one waiting, a frozen one stops."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pymysql
import pytest

from alembic_gate import settings
from alembic_gate.session import Session
from tests.integration.scenes import PEOPLE, Project, gate_lock_of, last_line, on_mysql, running, until
from tests.support.database import Database
from tests.support.gate import ROOT
from tests.support.projects import revision_source

pytestmark = pytest.mark.I2

# What each revision does exactly once, or the count shows it.
COUNTED = [
    revision_source(
        "c1", None, 'op.execute("CREATE TABLE counter (n INT NOT NULL)")\nop.execute("INSERT INTO counter VALUES (0)")'
    ),
    revision_source(
        "c2",
        "c1",
        'op.execute("UPDATE counter SET n = n + 1")\n'
        'op.execute("ALTER TABLE counter ADD a INT")\n'
        'op.execute("UPDATE counter SET n = n + 10")',
    ),
    revision_source("c3", "c2", 'op.execute("UPDATE counter SET n = n + 100")'),
]


def count(database: Database) -> int:
    return database.query("SELECT n FROM counter")[0][0]


def test_twelve_starts_at_once_apply_each_revision_once(database: Database, new_project):
    project = new_project(database, COUNTED)
    with ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(project.gate, timeout=120) for _ in range(12)]
        ended = [job.result() for job in jobs]
    assert [job.returncode for job in ended] == [0] * 12, [last_line(job.stderr) for job in ended]
    assert count(database) == 111
    for revision in ("c1", "c2", "c3"):
        assert sum(f"applied '{revision}'" in job.stderr for job in ended) == 1


@pytest.mark.I6
def test_a_job_that_waits_in_vain_for_its_turn_says_who_holds_the_lock(database: Database, new_project):
    project = new_project(database, PEOPLE)
    with gate_lock_of(database) as holder:
        began = time.monotonic()
        said = last_line(project.ends(12, GATE_LOCK_TIMEOUT_SECONDS="1"))
        assert time.monotonic() - began >= 1
    assert f"connection {holder} of {database.user}" in said
    assert database.schema()["tables"] == {}


def test_a_job_goes_on_when_its_turn_comes(database: Database, new_project):
    project = new_project(database, PEOPLE)
    with gate_lock_of(database):
        job = project.start()
        job.until_logged("waiting for its turn")
    job.ends(0)
    assert project.versions() == {"a2"}


def test_a_job_whose_turn_comes_after_the_work_is_done_does_nothing(database: Database, new_project):
    project = new_project(database, COUNTED)
    with gate_lock_of(database):
        job = project.start()
        job.until_logged("waiting for its turn")
        project.alembic("upgrade", "head")
    said = job.ends(0)
    assert "at target" in said
    assert "applying" not in said
    assert count(database) == 111


# A DDL that the server works on for three seconds, whoever is still there to listen.
SLOW = [
    revision_source(
        "s1",
        None,
        'op.execute("CREATE TABLE busy (a INT)")\n'
        'op.execute("INSERT INTO busy VALUES (1), (1), (1), (1), (1), (1), (1), (1), (1), (1), (1), (1)")',
    ),
    revision_source(
        "s2",
        "s1",
        'op.execute("UPDATE busy SET a = a + 1")\n'
        'op.execute("CREATE TABLE slow AS SELECT SLEEP(0.25) AS s FROM busy")\n'
        'op.execute("UPDATE busy SET a = a + 10")',
    ),
]


def test_the_next_job_waits_until_the_orphaned_ddl_of_a_killed_one_has_ended(database: Database, new_project):
    project = new_project(database, SLOW)
    project.ends(0, GATE_TARGET="s1")
    first = project.start()
    orphan = until(lambda: running(database, "CREATE TABLE slow"), "the DDL is running")
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    second = project.start()
    second.until_logged("applying")
    assert not running(database, "CREATE TABLE slow"), "the server still works on it"
    said = second.ends(0)
    assert f"connection {orphan}" in said or "waiting for a statement of a dead job" not in said
    assert "was done: CREATE TABLE slow" in said
    assert database.query("SELECT DISTINCT a FROM busy") == ((12,),)
    assert project.versions() == {"s2"}


@pytest.mark.I6
def test_a_job_that_waits_in_vain_for_a_dead_jobs_statement_ends_with_12(database: Database, new_project):
    project = new_project(database, PEOPLE)
    with database.connect() as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (f"alembic_gate.fence.{database.name}",))

        def work() -> None:
            with suppress(pymysql.err.OperationalError):
                cursor.execute("SELECT SLEEP(30)")

        busy = threading.Thread(target=work)
        busy.start()
        number = until(lambda: running(database, "SLEEP"))
        said = last_line(project.ends(12, GATE_LOCK_TIMEOUT_SECONDS="1"))
        assert f"connection {number}" in said
        assert "statement of a dead job" in said
        assert running(database, "SLEEP") == number, "it is not ours to kill"
        database.server.query(f"KILL QUERY {number}")
        busy.join()


# A job as it is shipped, but for the time after which the server forgets a silent one.
IMPATIENT = """
import sys
sys.path.insert(0, {root!r})
from alembic_gate import cli, lock
lock.SILENCE_SECONDS, lock.KEEP_ALIVE_SECONDS = 3, 1
sys.exit(cli.main(["upgrade"]))
"""


def start_impatient(project: Project, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT.format(root=str(ROOT))],
        env=project.database.env() | env,
        cwd=project.folder,
        stderr=subprocess.PIPE,
        text=True,
    )


FROZEN = [
    COUNTED[0],
    revision_source(
        "c2",
        "c1",
        'op.execute("UPDATE counter SET n = n + 1")\n'
        'op.execute("ALTER TABLE counter ADD a INT")\n'
        "import pathlib, time\n"
        'pathlib.Path("here").touch()\n'
        'time.sleep(0.01 if pathlib.Path("go").exists() else 1)\n'
        'op.execute("UPDATE counter SET n = n + 10")\n'
        'op.execute("ALTER TABLE counter ADD b INT")\n'
        'op.execute("UPDATE counter SET n = n + 100")',
    ),
]


@pytest.mark.I6
def test_a_frozen_job_that_was_overtaken_executes_nothing_more_and_ends_with_13(database: Database, new_project):
    project = new_project(database, FROZEN)
    first = start_impatient(project)
    until((project.folder / "here").exists, "between two statements")
    first.send_signal(signal.SIGSTOP)
    (project.folder / "go").touch()
    try:
        said = project.ends(0, timeout=60)
        assert "applied 'c2'" in said
        assert "was done: ALTER TABLE counter ADD a INT" in said
        overtaken = database.schema()
    finally:
        first.send_signal(signal.SIGCONT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 13, said
    assert "Traceback" not in said
    assert database.schema() == overtaken
    assert count(database) == 111


def test_a_job_that_was_frozen_for_a_moment_goes_on(database: Database, new_project):
    project = new_project(database, FROZEN)
    job = project.start()
    until((project.folder / "here").exists, "between two statements")
    job.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    job.process.send_signal(signal.SIGCONT)
    job.ends(0)
    assert count(database) == 111


def test_jobs_on_two_databases_of_one_server_do_not_wait_for_each_other(server, database: Database, new_project):
    other = server.create_database("other")
    with gate_lock_of(database):
        new_project(other, PEOPLE).ends(0, GATE_LOCK_TIMEOUT_SECONDS="0")
    other.drop()


@on_mysql
def test_a_database_with_the_longest_name_has_locks_of_its_own(server, new_project):
    """A name of a lock has no room for all of it."""
    database = Database(server, "n" * 64)
    database.user = "u_longest"
    server.query(f"CREATE DATABASE {database.name}")
    server.query("CREATE USER u_longest@'%%' IDENTIFIED BY %s", database.password)
    server.query(f"GRANT ALL ON {database.name}.* TO u_longest@'%'")
    new_project(database, PEOPLE).ends(0)
    database.drop()


@pytest.mark.parametrize("fenced_in", [False, True], ids=["a stranger", "ours"])
def test_only_the_statement_behind_our_fence_is_ended(database: Database, fenced_in: bool):
    """Behind a load balancer the second connection may reach another server, where our number is a stranger's."""
    ours = Session.__new__(Session)
    ours.lock = SimpleNamespace(settings=settings.read(database.env()), fence="alembic_gate.fence.test")  # type: ignore[assignment]
    with database.connect() as connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        if fenced_in:
            cursor.execute("SELECT GET_LOCK('alembic_gate.fence.test', 0)")
        ours.connection_id = connection.thread_id()
        asleep = pool.submit(lambda: cursor.execute("SELECT SLEEP(1.5)") and cursor.fetchall())
        sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(%'"
        until(lambda: database.query(sleeping)[0][0])
        ours.end_statement()
        try:
            was_ended = asleep.result() == ((1,),)  # what SLEEP returns when it is interrupted
        except pymysql.err.OperationalError:
            was_ended = True
    assert was_ended == fenced_in
