"""The server dies under the job, and comes back while the next job waits for it: that one finishes."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.compare import what_is_left
from tests.crash.history import DETERMINISTIC, SLOW_ALTER
from tests.crash.jobs import Ended
from tests.crash.lab import Lab
from tests.crash.points import UPGRADE, Point, Route, spread_out
from tests.crash.rig import Rig, fresh_database, run_undisturbed
from tests.crash.unencrypted import Unencrypted
from tests.support.database import Database
from tests.support.servers import Kind, Server

ROWS = 2**18
"""Enough to copy for a second or more."""

PROGRESS = (0.0, 0.5, 0.9)
"""How far the ALTER has come when the server dies; a sample takes the middle one."""

SERVER_IS_GONE = (10, 13)
"""Unavailable, while it waits or looks; the lock is lost, once it had it."""

TRIES = 5
"""On a busy machine an ALTER may be over sooner than the last one was."""

NewServer = Callable[..., Server]


@pytest.mark.parametrize("progress", PROGRESS)
def test_alter_that_died_with_its_server_is_finished(
    lab: Lab, new_server: NewServer, server_kind: Kind, every: bool, progress: float
) -> None:
    if not every and progress != PROGRESS[1]:
        pytest.skip("part of the whole crash matrix only: make test-crash")
    server = new_server(server_kind)
    route = Route(Unencrypted(server), SLOW_ALTER, UPGRADE)
    with lab.rig() as rig:
        undisturbed, seconds = run_to_the_end(rig, route)
        database = die_in_the_alter(rig, server, route, progress * seconds)
        assert finish_when_the_server_is_back(rig, server, database, route).code == 0
        assert what_is_left_of_big(database) == undisturbed


def test_server_killed_at_a_statement(lab: Lab, new_server: NewServer, server_kind: Kind, every: bool) -> None:
    server = new_server(server_kind)
    with lab.rig() as rig:
        reference = run_undisturbed(rig, Route(Unencrypted(server), DETERMINISTIC[0], UPGRADE))
        for point in spread_out(reference, 6 if every else 1):
            die_and_come_back(rig, server, point)


def die_and_come_back(rig: Rig, server: Server, point: Point) -> None:
    """Strike the server instead of the job, start it again under the next job, and compare."""
    reference = point.reference
    database = fresh_database(rig, reference.route)
    ended, proxy = rig.run(database, reference.route, point.strikes[0], server_pid=server.pid)
    server.kill()
    assert ended.code in SERVER_IS_GONE, f"{point}, at {proxy.struck}\n{ended.output}"
    ended = finish_when_the_server_is_back(rig, server, database, reference.route)
    assert ended.code == 0, f"{point}, at {proxy.struck}\n{ended.output}"
    assert what_is_left(database, reference.route.history) == reference.left, f"{point}, at {proxy.struck}"


def finish_when_the_server_is_back(rig: Rig, server: Server, database: Database, route: Route) -> Ended:
    """Start a job while there is no server, then the server."""
    job = rig.start(database, route)
    server.start()
    return job.wait()


def run_to_the_end(rig: Rig, route: Route) -> tuple[Any, float]:
    """Run undisturbed; return what is left, and how long the ALTER takes."""
    database = with_a_big_table(fresh_database(rig, route))
    job = rig.start(database, route)
    wait_for_alter(database)
    began = time.monotonic()
    while alters(database):
        time.sleep(0.01)
    seconds = time.monotonic() - began
    ended = job.wait()
    assert ended.code == 0, ended.output
    return what_is_left_of_big(database), seconds


def die_in_the_alter(rig: Rig, server: Server, route: Route, after_seconds: float) -> Database:
    """Kill the server so long after the ALTER began, and return the database that this leaves."""
    for _ in range(TRIES):
        database = with_a_big_table(fresh_database(rig, route))
        job = rig.start(database, route)
        wait_for_alter(database)
        time.sleep(after_seconds)
        if alters(database):
            server.kill()
            ended = job.wait()
            assert ended.code in SERVER_IS_GONE, ended.output
            return database
        job.wait()
    raise AssertionError(f"the ALTER was over within {after_seconds} s each time")


def with_a_big_table(database: Database) -> Database:
    """Make the table that takes a while to copy, and return the database."""
    database.query("CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, filler CHAR(100) NOT NULL DEFAULT 'x')")
    database.query("INSERT INTO big () VALUES ()")
    for _ in range(ROWS.bit_length() - 1):
        database.query("INSERT INTO big (filler) SELECT filler FROM big")
    return database


def what_is_left_of_big(database: Database) -> Any:
    """Return what is left, with the big table's rows summed up."""
    rows = database.query("SELECT COUNT(*), MIN(added), MAX(added) FROM big")
    database.query("TRUNCATE big")
    return rows, what_is_left(database, SLOW_ALTER)


def wait_for_alter(database: Database) -> None:
    """Return once the server works on the ALTER."""
    deadline = time.monotonic() + 30
    while not alters(database):
        assert time.monotonic() < deadline, "the ALTER never began"


def alters(database: Database) -> bool:
    """Tell whether the server works on the ALTER now."""
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'ALTER%COPY'"
    return bool(database.query(running)[0][0])
