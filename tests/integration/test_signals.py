"""SIGTERM and SIGINT end a job at once while it waits, and end its statement while one runs (I6, I3)."""

import time
from signal import SIGINT, SIGTERM, Signals

import pytest

from tests.integration.scenes import PEOPLE, gate_lock_of, processes_of, running, until
from tests.support.database import Database
from tests.support.ports import free_port
from tests.support.projects import revision_source

pytestmark = [pytest.mark.I6, pytest.mark.parametrize(("signal", "code"), [(SIGTERM, 143), (SIGINT, 130)])]

AT_ONCE_SECONDS = 2  # well below the second that one wait inside the server takes, and a loaded machine's delay

SLEEPER = revision_source(
    "s1",
    None,
    'op.execute("CREATE TABLE one (n INT)")\nop.execute("INSERT INTO one VALUES (1)")\n'
    'op.execute("CREATE TABLE slow AS SELECT SLEEP(6) AS n")',
)


def test_a_job_that_waits_for_its_server_ends_at_once(database: Database, new_project, signal: Signals, code: int):
    job = new_project(database, PEOPLE).start(DATABASE_URL=f"mysql://u:p@127.0.0.1:{free_port()}/d")
    job.until_logged("waiting for database")
    job.process.send_signal(signal)
    started = time.monotonic()
    job.ends(code)
    assert time.monotonic() - started < AT_ONCE_SECONDS


def test_a_job_that_waits_for_its_turn_ends_at_once(database: Database, new_project, signal: Signals, code: int):
    with gate_lock_of(database):
        job = new_project(database, PEOPLE).start()
        job.until_logged("waiting for its turn")
        job.process.send_signal(signal)
        started = time.monotonic()
        job.ends(code)
    assert time.monotonic() - started < AT_ONCE_SECONDS


@pytest.mark.I3
def test_a_long_statement_is_ended_on_the_server_and_the_next_start_finishes(
    database: Database, new_project, signal: Signals, code: int
):
    project = new_project(database, [SLEEPER])
    job = project.start()
    until(lambda: running(database, "SLEEP(6)"), "the slow statement runs")
    job.process.send_signal(signal)
    job.ends(code, seconds=4)
    until(lambda: not processes_of(database), "nothing of the job is left on the server", seconds=5)

    project.ends(0)
    assert database.query("SELECT COUNT(*) FROM one") == ((1,),)
    assert project.versions() == {"s1"}
