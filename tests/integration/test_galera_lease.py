"""On a Galera cluster one job works at a time, and each revision happens once (I2, I3): against three real nodes."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL

import pytest

from tests.integration.clustered import (
    APPLIED,
    FIRST,
    FROZEN_AFTER,
    NEWEST,
    REPEATABLE,
    ROWS,
    SECOND,
    THIRD,
    history_of,
    is_working_for,
    outcome,
    stopped_applying,
)
from tests.integration.scenes import until
from tests.support.gate import run_gate
from tests.support.leased import Balancer, Striker
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
    def freeze_after(place):
        first, successor_node = galera.nodes[0], galera.nodes[successor_on]
        database = first.create_database()
        with Striker(first, FROZEN_AFTER[place]) as proxy:
            frozen = start(database, first, history, port=proxy.port)
            proxy.wait_until_struck(frozen)
            successor = start(database, successor_node, history).wait()
            frozen.thaw()
            ended = frozen.wait()
        found = outcome(database, galera.nodes)
        database.drop()
        return {"successor": successor.code, "frozen": ended.code, "found": found}, successor.said + ended.said

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(FROZEN_AFTER, pool.map(freeze_after, FROZEN_AFTER), strict=True))
    expected = {"successor": 0, "frozen": 13, "found": (ROWS, APPLIED)}
    wrong = {place: result for place, result in results.items() if result[0] != expected}
    assert not wrong


def test_a_job_killed_on_one_node_is_finished_by_the_next_on_another(galera, database, start, history):
    first, second, _ = galera.nodes
    with Striker(first, lambda statement: statement.startswith("CREATE INDEX"), Moment.JUST_AFTER, SIGKILL) as proxy:
        killed = start(database, first, history, port=proxy.port)
        proxy.wait_until_struck(killed)
    successor = start(database, second, history).wait()
    assert successor.code == 0, successor.said
    assert "applying 1 of 1: 'r2' (), interrupted after 4 committed statements" in successor.said
    assert outcome(database, galera.nodes) == (ROWS, APPLIED)


def test_six_jobs_at_once_over_all_nodes_apply_each_revision_once(galera, start, history):
    for _ in range(ROUNDS):
        database = galera.nodes[0].create_database()
        jobs = [start(database, galera.nodes[i % 3], history) for i in range(JOBS)]
        ended = [job.wait() for job in jobs]
        assert [job.code for job in ended] == [0] * JOBS, [job.said for job in ended]
        assert outcome(database, galera.nodes) == (ROWS, APPLIED)
        assert sum(job.said.count("applied 'r2'") for job in ended) == 1
        database.drop()


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
    (rows, states), told = outcome(database, galera.nodes), sum(range(60))
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
    assert outcome(database, galera.nodes)[0]["counter"] == [("times", 3)]


@pytest.mark.I3
def test_behind_a_load_balancer_a_node_that_lags_is_waited_for(galera, database, start, tmp_path):
    first, _, third = galera.nodes
    older = history_of(tmp_path / "older", FIRST, REPEATABLE)
    newer = history_of(tmp_path / "newer", FIRST, REPEATABLE, NEWEST)
    assert start(database, first, history_of(tmp_path / "oldest", FIRST)).wait().code == 0
    outcome(database, galera.nodes)  # has arrived everywhere
    with stopped_applying(third) as go_on:
        assert start(database, first, older).wait().code == 0
        assert database.seen_from(third).query("SELECT n FROM counter") == ((0,),), "the third node does not lag"
        # The look and the lock see the second revision; env.py is led to the node that does not have it yet.
        with Balancer([first, first, third]) as balancer:
            late = start(database, first, newer, port=balancer.port)
            until(lambda: not late.runs() or is_working_for(third, database.user))
            go_on()
            ended = late.wait()
    assert ended.code == 0, ended.said
    assert "applying 1 of 1: 'r3'" in ended.said
    assert outcome(database, galera.nodes)[0]["counter"] == [("times", 1)]


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
