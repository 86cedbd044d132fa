"""On a Galera cluster one job works at a time, and each revision happens once (I2, I3): against three real nodes."""

import re
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL

import pytest

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
    history_of,
    outcome,
)
from tests.integration.scenes import until
from tests.support.gate import run_gate
from tests.support.leased import Striker
from tests.support.proxy import Moment

pytestmark = pytest.mark.I2

ROUNDS = 10
JOBS = 6
# Long enough for a job to be cut off in the middle of it.
SLOW = """
import time
op.execute("CREATE TABLE scratch (i INT PRIMARY KEY)")
for i in range(60):
    op.execute(f"UPDATE counter SET n = n + {i}")
    op.execute(f"ALTER TABLE scratch ADD COLUMN c{i} INT")
    time.sleep(0.05)
"""
# Some four seconds on an idle machine: what is stored in each row takes most of a millisecond to compute.
ROWS_TO_ALTER = 6000
WIDE = f"""
op.execute("CREATE TABLE wide (i INT PRIMARY KEY) AS SELECT seq AS i FROM seq_1_to_{ROWS_TO_ALTER}")
"""
ALTER = "ALTER TABLE wide ADD COLUMN c CHAR(40) AS (SHA1(REPEAT(i, 100000))) PERSISTENT"
LONG_ALTER = f"""
op.execute("UPDATE counter SET n = n + 1")
op.execute("{ALTER}")
op.execute("UPDATE counter SET n = n * 2 + 1")
"""
AT_ONCE = 4  # nearly all of the time a lease is waited for


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The three revisions, as a project."""
    return history_of(tmp_path_factory.mktemp("history"), FIRST, SECOND, THIRD)


@pytest.fixture
def database(galera):
    """A fresh database of the cluster."""
    fresh = galera.nodes[0].create_database()
    yield fresh
    fresh.drop()


def test_the_lease_is_chosen_by_itself_on_a_cluster(database, history):
    ended = run_gate(env={**database.env(), "ALEMBIC_CONFIG": str(history), "GATE_LOG_LEVEL": "debug"})
    assert ended.returncode == 0, ended.stderr
    assert "the lease lock" in ended.stderr
    assert database.query("SELECT DISTINCT token FROM alembic_gate_lease") == (("",),), "the lease was given back"


@pytest.mark.parametrize("successor_on", [1, 0], ids=["other-node", "same-node"])
def test_a_frozen_job_does_nothing_more_when_another_took_over(successor_on, galera, start, history):
    assert_a_frozen_job_does_nothing_more(galera, start, history, FROZEN_AFTER, successor_on, AT_ONCE)


def test_six_jobs_at_once_over_all_nodes_apply_each_revision_once(galera, start, history):
    assert_many_jobs_apply_each_revision_once(galera, start, history, JOBS, ROUNDS)


@pytest.mark.I3
def test_behind_a_load_balancer_a_node_that_lags_is_waited_for(galera, database, start, tmp_path):
    assert_a_node_that_lags_is_waited_for(galera, database, start, tmp_path)


def test_a_job_killed_on_one_node_is_finished_by_the_next_on_another(galera, database, start, history):
    first, second, _ = galera.nodes
    with Striker(first, lambda statement: statement.startswith("CREATE INDEX"), Moment.JUST_AFTER, SIGKILL) as proxy:
        killed = start(database, first, history, port=proxy.port)
        proxy.wait_until_struck(killed)
    successor = start(database, second, history).wait()
    assert successor.code == 0, successor.said
    assert "applying 1 of 1: 'r2' (), interrupted after 4 committed statements" in successor.said
    assert outcome(database, galera) == (ROWS, APPLIED)


def test_a_job_on_a_node_that_is_cut_off_ends_and_the_majority_finishes(galera, database, start, tmp_path):
    first, _, third = galera.nodes
    slow = history_of(tmp_path, FIRST, SLOW)
    cut_off = start(database, third, slow, lease_seconds=3)
    until(lambda: "c5" in columns(database, first, "scratch"))
    queued = start(database, third, slow, lease_seconds=3, GATE_LOCK_TIMEOUT_SECONDS="3")
    on_majority = start(database, first, slow, lease_seconds=3)
    try:
        galera.cut_off(third)
        ended, also_ended, successor = cut_off.wait(), queued.wait(), on_majority.wait()
    finally:
        galera.heal(third)
    assert ended.code == 13, ended.said
    assert also_ended.code in {10, 12, 13}, also_ended.said
    assert successor.code == 0, successor.said
    assert "interrupted after" in successor.said
    (rows, states), told = outcome(database, galera), sum(range(60))
    assert rows["counter"] == [("times", told)]
    assert states == APPLIED[:2]


def test_a_long_alter_keeps_its_lease_and_those_who_wait_keep_waiting(galera, database, start, tmp_path):
    first, second, _ = galera.nodes
    long = history_of(tmp_path, FIRST, WIDE, LONG_ALTER)
    is_alter = ALTER.__eq__
    with sync_waits_give_up_after(galera, "PT1S"), Striker(first, is_alter, Moment.JUST_AFTER, SIGCONT) as proxy:
        holder = start(database, first, long, lease_seconds=1, port=proxy.port)
        proxy.wait_until_struck(holder)
        waiting = [start(database, node, long, lease_seconds=1) for node in (first, second)]
        ended = [job.wait() for job in (holder, *waiting)]
    assert [job.code for job in ended] == [0, 0, 0], [job.said for job in ended]
    assert float(re.search(r"applied 'r3' in ([\d.]+) s", ended[0].said)[1]) > 2, "the ALTER was no longer than a lease"
    assert outcome(database, galera)[0]["counter"] == [("times", 3)]


def columns(database, node, table):
    """The columns of a table as a node has them; none where the table does not exist."""
    question = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s"
    return {name for (name,) in database.seen_from(node).query(question, table)}


@contextmanager
def sync_waits_give_up_after(galera, time):
    """Shorten the half minute for which a read waits for the writes before it, on all nodes."""
    for node in galera.nodes:
        node.query(f"SET GLOBAL wsrep_provider_options = 'repl.causal_read_timeout={time}'")
    yield
    for node in galera.nodes:
        node.query("SET GLOBAL wsrep_provider_options = 'repl.causal_read_timeout=PT30S'")
