"""Waiting for a usable database: as long as it may help and no longer (I6); a start goes on at once when it can."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql
from tests.support.gate import run_gate
from tests.support.ports import free_port

pytestmark = pytest.mark.I6

SHORT = {"GATE_WAIT_TIMEOUT_SECONDS": "1"}
NOTICED_WITHIN_SECONDS = 1.5  # from the moment when the database is usable


def nowhere(port: int) -> dict[str, str]:
    return {"DATABASE_URL": f"mysql://u:p@127.0.0.1:{port}/d"}


@pytest.mark.parametrize("verb", ["upgrade", "wait", "status", "plan"])
def test_a_server_that_stays_away_ends_the_wait_with_10(verb):
    began = time.monotonic()
    process = run_gate(verb, env=nowhere(free_port()) | SHORT)
    assert process.returncode == 10
    assert time.monotonic() - began >= 1
    assert "not usable within 1 s" in last_line(process.stderr)
    assert "refused" in last_line(process.stderr)


def test_a_host_name_that_does_not_resolve_yet_is_waited_for():
    process = run_gate(env={"DATABASE_URL": "mysql://u:p@db.invalid/d"} | SHORT)
    assert process.returncode == 10
    assert "waiting for" in process.stderr


def test_a_server_that_accepts_and_says_nothing_does_not_hold_the_job_for_ever():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        process = run_gate(env=nowhere(listener.getsockname()[1]) | SHORT)
        assert process.returncode == 10
        assert time.monotonic() - began < 10


def test_a_job_that_was_there_first_goes_on_as_soon_as_the_server_is(new_server, server_kind, new_project):
    server = new_server(server_kind)
    project = new_project(server.create_database(), PEOPLE)
    project.ends(0)
    server.stop()
    job = project.start()
    job.until_logged("waiting for")
    began = time.monotonic()
    project.ends(10, **SHORT)
    look_seconds = time.monotonic() - began - 1  # what a start costs on this machine, now

    server.start()
    ready = time.monotonic()
    assert "at target" in job.ends(0)
    assert time.monotonic() - ready < NOTICED_WITHIN_SECONDS + look_seconds


@contextlib.contextmanager
def every_connection_taken(server, database) -> Iterator[list]:
    """Turn the next one away; yields the connections that are in the way."""
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT @@global.max_connections")
        (before,) = cursor.fetchone()
        cursor.execute("SET GLOBAL max_connections = 10")
        taken = []
        try:
            # Fewer than the limit: the server keeps one more for administrators, and this test uses it.
            with contextlib.suppress(Exception):
                while len(taken) < 20:
                    taken.append(database.connect())
            yield taken
        finally:
            for connection in taken:
                with contextlib.suppress(Exception):
                    connection.close()
            cursor.execute(f"SET GLOBAL max_connections = {before}")


def test_a_server_with_too_many_connections_is_waited_for(patient_server, patient_database, new_project):
    project = new_project(patient_database, PEOPLE)
    with every_connection_taken(patient_server, patient_database) as taken:
        job = project.start()
        job.until_logged("(?i)waiting for.*too many connections")
        for connection in taken:
            connection.close()
        job.ends(0)
    assert project.versions() == {"a2"}


@contextlib.contextmanager
def read_only(server) -> Iterator[None]:
    server.query("SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        server.query("SET GLOBAL read_only = 0")


def test_a_read_only_server_is_waited_for_where_there_is_work(patient_server, patient_database, new_project):
    """As a primary is for a moment in a failover."""
    project = new_project(patient_database, PEOPLE)
    with read_only(patient_server):
        assert "read-only" in last_line(project.ends(10, **SHORT))
        job = project.start()
        job.until_logged("waiting for")
        assert patient_database.schema()["tables"] == {}
    job.ends(0)
    assert project.versions() == {"a2"}


def test_a_read_only_server_at_head_is_no_reason_to_wait(patient_server, patient_database, new_project):
    project = new_project(patient_database, PEOPLE)
    project.ends(0)
    with read_only(patient_server):
        assert "waiting" not in project.ends(0)
        assert "waiting" not in project.ends(0, "wait")


def test_a_server_that_restarts_while_it_is_waited_for_is_found_again(patient_server, patient_database, new_project):
    project = new_project(patient_database, PEOPLE)
    with read_only(patient_server):
        job = project.start()
        job.until_logged("waiting for")
        patient_server.stop()
        patient_server.start()  # and may be written to, as after any start
        job.ends(0)
    assert project.versions() == {"a2"}


@on_mysql
def test_what_nobody_foresaw_is_waited_for_too_and_told_in_the_end(database, new_project):
    """A statement of the account's own that the server refuses with a syntax error."""
    project = new_project(database, PEOPLE)
    said = project.ends(10, DATABASE_URL=f"{database.url}?init_command=NONSENSE", **SHORT)
    assert "1064" in last_line(said)
