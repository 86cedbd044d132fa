"""On a multi-primary replication group one job works at a time, and each revision happens once (I2, I3).

Two nodes that run the same ALTER at once do not refuse one of them: all three end in the state ERROR, read-only.
"""

from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL

import pytest

from alembic_gate import lock, settings
from alembic_gate.exits import LockLost, LockTimeout
from tests.integration.clustered import (
    APPLIED,
    FIRST,
    FROZEN_AFTER,
    ROWS,
    SECOND,
    THIRD,
    assert_a_frozen_job_does_nothing_more,
    assert_a_node_that_lags_is_waited_for,
    assert_many_jobs_apply_each_revision_once,
    database_on,
    history_of,
    is_working_for,
    outcome,
)
from tests.integration.scenes import until
from tests.support.gate import run_gate
from tests.support.leased import Striker
from tests.support.proxy import Moment

pytestmark = pytest.mark.I2

ROUNDS = 4
JOBS = 6
AT_ONCE = 6  # nearly all of the time a lease is waited for
# Where it has not written anything yet, one place is enough.
PLACES = FROZEN_AFTER.keys() - {"env.py has connected", "a look into the journal"}
# Some three seconds on an idle machine, twice what it takes to take over; the other nodes then repeat it.
WIDE = """
op.execute("CREATE TABLE wide (i INT PRIMARY KEY)")
op.execute("INSERT INTO wide WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000)"
           " SELECT i + 1000 * n FROM s, (VALUES ROW(0), ROW(1)) AS t (n)")
"""
ALTER = "ALTER TABLE wide ADD COLUMN c INT UNSIGNED AS (CRC32(REPEAT(i, 300000))) STORED"
LONG_ALTER = f"""
op.execute("UPDATE counter SET n = n + 1")
op.execute("{ALTER}")
op.execute("UPDATE counter SET n = n * 2 + 1")
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The three revisions, as a project."""
    return history_of(tmp_path_factory.mktemp("history"), FIRST, SECOND, THIRD)


@pytest.fixture
def database(group):
    """A fresh database of the group, on all of its nodes."""
    fresh = database_on(group)
    yield fresh
    fresh.drop()


@pytest.fixture(autouse=True)
def every_node_stays(group):
    """Whatever happens in a test, no node leaves the group for it."""
    yield
    question = "SELECT member_state FROM performance_schema.replication_group_members"
    states = [node.query(question) for node in group.nodes]
    assert states == [(("ONLINE",),) * 3] * 3, group.nodes[0].log_end()


def holds_the_lease(job, database):
    """Tell whether it is this job's turn."""
    owner = database.query("SELECT owner FROM alembic_gate_lease WHERE part = 'heartbeat' AND token <> ''")
    return owner and owner[0][0].endswith(f"pid {job.pid}")


def test_the_lease_is_chosen_by_itself_in_a_group(database, history):
    ended = run_gate(env={**database.env(), "ALEMBIC_CONFIG": str(history), "GATE_LOG_LEVEL": "debug"})
    assert ended.returncode == 0, ended.stderr
    assert "the lease lock" in ended.stderr
    assert database.query("SELECT DISTINCT token, node FROM alembic_gate_lease") == (("", ""),), "it was given back"


def test_six_jobs_at_once_over_all_nodes_apply_each_revision_once(group, start, history):
    assert_many_jobs_apply_each_revision_once(group, start, history, JOBS, ROUNDS)


def test_a_frozen_job_does_nothing_more_when_another_took_over(group, start, history):
    assert_a_frozen_job_does_nothing_more(group, start, history, PLACES, 1, AT_ONCE)


@pytest.mark.I3
def test_behind_a_load_balancer_a_node_that_lags_is_waited_for(group, database, start, tmp_path):
    assert_a_node_that_lags_is_waited_for(group, database, start, tmp_path)


@pytest.mark.I3
@pytest.mark.parametrize("successor_on", [1, 0], ids=["other-node", "same-node"])
def test_the_alter_of_a_killed_job_is_waited_for(successor_on, group, database, start, tmp_path):
    first, successor_node = group.nodes[0], group.nodes[successor_on]
    long = history_of(tmp_path, FIRST, WIDE, LONG_ALTER)
    with Striker(first, ALTER.__eq__, Moment.JUST_AFTER, SIGKILL) as proxy:
        killed = start(database, first, long, port=proxy.port, lease_seconds=1)
        until(lambda: database.query("SHOW TABLES LIKE 'ledger'"))
        successor = start(database, successor_node, long, lease_seconds=1)
        proxy.wait_until_struck(killed)
    until(lambda: holds_the_lease(successor, database))
    assert is_working_for(first, database.user), "the ALTER had ended before anybody took over"
    ended = successor.wait()
    assert ended.code == 0, ended.said
    assert "statement 2 of 'r3' was done" in ended.said
    assert outcome(database, group)[0]["counter"] == [("times", 3)]


def test_a_job_whose_connection_broke_leaves_word_where_its_statement_runs(group, database):
    first, second, _ = group.nodes
    elsewhere = database.seen_from(second)
    with ThreadPoolExecutor(1) as pool, database.connect() as migration, migration.cursor() as cursor:

        def run_until_the_connection_breaks():
            with lock.acquire(settings.read(database.env())) as held:
                cursor.execute("SELECT GET_LOCK(%s, 0)", (held.fence,))
                with held.transaction():
                    running.append(pool.submit(cursor.execute, "DO SLEEP(4)"))
                raise LockLost("the migration connection was lost")

        running = []
        with pytest.raises(LockLost):
            run_until_the_connection_breaks()
        group.wait_until_alike()
        hurried = settings.read(elsewhere.env() | {"GATE_LOCK_TIMEOUT_SECONDS": "1"})
        with pytest.raises(LockTimeout, match=f"on node {first.host}:{first.port}"), lock.acquire(hurried):
            pass
        assert not running[0].done()
        with lock.acquire(settings.read(elsewhere.env())):
            assert running[0].done()
    assert elsewhere.query("SELECT DISTINCT token, node FROM alembic_gate_lease") == (("", ""),)


@pytest.mark.I3
def test_a_node_that_died_with_its_job_is_waited_for(group, database, start, history):
    first, second, _ = group.nodes
    elsewhere = database.seen_from(second)
    with Striker(first, lambda statement: statement.startswith("CREATE INDEX"), Moment.JUST_AFTER, SIGKILL) as proxy:
        killed = start(database, first, history, port=proxy.port)
        proxy.wait_until_struck(killed)
        first.kill()
    successor = start(database, second, history)
    until(lambda: holds_the_lease(successor, elsewhere))
    assert elsewhere.query("SELECT state FROM alembic_gate_revision WHERE revision = 'r2'") == (("running",),)
    group.rejoin(first)
    ended = successor.wait()
    assert ended.code == 0, ended.said
    assert outcome(database, group) == (ROWS, APPLIED)


@pytest.mark.I3
def test_a_planned_change_of_primary_waits_for_the_alter_of_a_killed_job(group, start, tmp_path):
    first, second, _ = group.nodes
    long = history_of(tmp_path, FIRST, WIDE, LONG_ALTER)
    with group.single_primary(), ThreadPoolExecutor(1) as pool:
        database = database_on(group)
        with Striker(first, ALTER.__eq__, Moment.JUST_AFTER, SIGKILL) as proxy:
            proxy.wait_until_struck(start(database, first, long, port=proxy.port))
        assert is_working_for(first, database.user)
        changing = pool.submit(group.make_primary, second)
        ended = start(database, second, long).wait()
        changing.result()
        assert ended.code == 0, ended.said
        assert "statement 2 of 'r3' was done" in ended.said
        elsewhere = database.seen_from(second)
        assert outcome(elsewhere, group)[0]["counter"] == [("times", 3)]
        elsewhere.drop()


@pytest.mark.I3
def test_a_primary_that_died_with_its_job_is_succeeded(group, start, tmp_path):
    first, second, _ = group.nodes
    long = history_of(tmp_path, FIRST, WIDE, LONG_ALTER)
    with group.single_primary():
        database = database_on(group)
        with Striker(first, ALTER.__eq__, Moment.JUST_AFTER, SIGKILL) as proxy:
            proxy.wait_until_struck(start(database, first, long, port=proxy.port))
        assert is_working_for(first, database.user)
        first.kill()
        elsewhere = database.seen_from(second)
        ended = start(elsewhere, second, long).wait()
    group.rejoin(first)
    assert ended.code == 0, ended.said
    assert "statement 2 of 'r3' was not done" in ended.said
    assert outcome(elsewhere, group)[0]["counter"] == [("times", 3)]
    elsewhere.drop()


def test_a_node_that_cannot_be_asked_keeps_others_out_until_a_person_says_otherwise(group, database):
    elsewhere = database.seen_from(group.nodes[1])
    with lock.acquire(settings.read(database.env())):
        pass
    database.query("UPDATE alembic_gate_lease SET node = 'gone.invalid:3306' WHERE part = 'holder'")
    group.wait_until_alike()
    hurried = settings.read(elsewhere.env() | {"GATE_LOCK_TIMEOUT_SECONDS": "1"})
    with pytest.raises(LockTimeout, match=r"node gone\.invalid:3306, which does not"), lock.acquire(hurried):
        pass
    elsewhere.query("UPDATE alembic_gate_lease SET node = '' WHERE part = 'holder'")
    with lock.acquire(hurried):
        pass
