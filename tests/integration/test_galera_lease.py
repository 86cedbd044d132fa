"""On a Galera cluster one job works at a time, and each revision happens once (I2, I3): against three real nodes."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL

import pytest

from tests.support.gate import run_gate
from tests.support.leased import Balancer, Job, Striker
from tests.support.projects import revision_source, write_project
from tests.support.proxy import Moment

pytestmark = pytest.mark.I2

ROUNDS = 10
JOBS = 6
JOURNAL = "`alembic_gate_revision`"

# Every statement shows in the rows whether it happened, and the counter shows how often and in which order.
FIRST = """
op.execute("CREATE TABLE counter (name VARCHAR(20) PRIMARY KEY, n INT NOT NULL)")
op.execute("CREATE TABLE ledger (what VARCHAR(50), n INT, PRIMARY KEY (what, n))")
op.execute("INSERT INTO counter VALUES ('times', 0)")
"""
SECOND = """
op.execute("INSERT INTO ledger VALUES ('r2 begins', 1)")
op.execute("UPDATE counter SET n = n + 1")
op.execute("ALTER TABLE ledger ADD COLUMN a INT")
op.execute("UPDATE counter SET n = n * 2 + 1")
op.execute("CREATE INDEX ix_what ON ledger (what)")
op.execute("INSERT INTO ledger SELECT 'r2 ends', n, 1 FROM counter")
"""
# All of these DDL statements succeed a second time as well: only the rows would tell.
THIRD = """
op.execute("CREATE TABLE scratch (i INT PRIMARY KEY)")
op.execute("INSERT INTO scratch VALUES (1)")
op.execute("TRUNCATE TABLE scratch")
op.execute("INSERT INTO scratch VALUES (2)")
op.execute("UPDATE counter SET n = n * 3 + 1")
op.execute("CREATE OR REPLACE VIEW v AS SELECT what FROM ledger")
op.execute("UPDATE counter SET n = n * 5 + 1")
op.execute("DROP TABLE IF EXISTS nowhere")
op.execute("UPDATE counter SET n = n * 7 + 1")
"""
ROWS = {
    "alembic_version": [("r3",)],
    "counter": [("times", (((1 * 2 + 1) * 3 + 1) * 5 + 1) * 7 + 1)],
    "ledger": [("r2 begins", 1, None), ("r2 ends", 3, 1)],
    "scratch": [(2,)],
}
APPLIED = (("r1", "applied"), ("r2", "applied"), ("r3", "applied"))

# After which answer a job is frozen; what the server has of it then is all that it ever gets. It was tried everywhere;
# these are the places at which something else holds it back.
FROZEN_AFTER = {
    "env.py has connected": lambda statement: statement.startswith("SET AUTOCOMMIT"),
    "the fence is entered": lambda statement: statement.startswith("SET SESSION lock_wait_timeout"),
    "a look into the journal": lambda statement: "WHERE state IN ('applied', 'adopted')" in statement,
    "the checkpoint of a DDL": lambda statement: JOURNAL in statement and "ALTER TABLE ledger" in statement,
    "a DDL": lambda statement: statement.startswith("CREATE INDEX"),
    "a DDL that spoils the rest if it is repeated": lambda statement: statement.startswith("TRUNCATE"),
    "a write, its transaction open": lambda statement: "n * 3 + 1" in statement,
    "the last write of a revision": lambda statement: JOURNAL in statement and "'upgrade', 'applied'" in statement,
}
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
# Succeeds as often as it is run: only the counter would tell that it ran twice.
REPEATABLE = """
op.execute("UPDATE counter SET n = n + 1")
op.execute("CREATE OR REPLACE VIEW v AS SELECT n FROM counter")
"""
NEWEST = """
op.execute("CREATE TABLE newest (i INT PRIMARY KEY)")
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


@pytest.fixture
def start():
    """A starter of jobs; what still runs at the end of the test, frozen or not, is killed."""
    jobs = []

    def start(database, node, config, **settings):
        jobs.append(Job(database, node, config, **settings))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()


def history_of(folder, *bodies):
    """Write a project whose revisions r1, r2, … do what the bodies say."""
    named = enumerate(bodies, 1)
    return write_project(folder, [revision_source(f"r{i}", f"r{i - 1}" if i > 1 else None, body) for i, body in named])


def outcome(database, galera):
    """What the database holds, after checking that no node sees it differently, and the states in the journal."""
    first, *others = (database.seen_from(node).schema() for node in galera.nodes)
    assert others == [first, first]
    return first["rows"], database.query("SELECT revision, state FROM alembic_gate_revision ORDER BY revision")


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
        found = outcome(database, galera)
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
    assert outcome(database, galera) == (ROWS, APPLIED)


def test_six_jobs_at_once_over_all_nodes_apply_each_revision_once(galera, start, history):
    for _ in range(ROUNDS):
        database = galera.nodes[0].create_database()
        jobs = [start(database, galera.nodes[i % 3], history) for i in range(JOBS)]
        ended = [job.wait() for job in jobs]
        assert [job.code for job in ended] == [0] * JOBS, [job.said for job in ended]
        assert outcome(database, galera) == (ROWS, APPLIED)
        assert sum(job.said.count("applied 'r2'") for job in ended) == 1
        database.drop()


def test_a_job_on_a_node_that_is_cut_off_ends_and_the_majority_finishes(galera, database, start, tmp_path):
    first, _, third = galera.nodes
    slow = history_of(tmp_path, FIRST, SLOW)
    cut_off = start(database, third, slow, lease_seconds=3)
    wait_for(lambda: "c5" in columns(database, first, "scratch"))
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


@pytest.mark.I3
def test_behind_a_load_balancer_a_node_that_lags_is_waited_for(galera, database, start, tmp_path):
    first, _, third = galera.nodes
    older = history_of(tmp_path / "older", FIRST, REPEATABLE)
    newer = history_of(tmp_path / "newer", FIRST, REPEATABLE, NEWEST)
    assert start(database, first, history_of(tmp_path / "oldest", FIRST)).wait().code == 0
    outcome(database, galera)  # has arrived everywhere
    with stopped_applying(third) as go_on:
        assert start(database, first, older).wait().code == 0
        assert database.seen_from(third).query("SELECT n FROM counter") == ((0,),), "the third node does not lag"
        # The look and the lock see the second revision; env.py is led to the node that does not have it yet.
        with Balancer([first, first, third]) as balancer:
            late = start(database, first, newer, port=balancer.port)
            wait_for(lambda: not late.runs() or is_working_for(third, database.user))
            go_on()
            ended = late.wait()
    assert ended.code == 0, ended.said
    assert "applying 1 of 1: 'r3'" in ended.said
    assert outcome(database, galera)[0]["counter"] == [("times", 1)]


@contextmanager
def stopped_applying(node):
    """Hold back what the other nodes write, until the function that is given is called, or the body ends."""
    connection = node.admin()
    with connection, connection.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        yield lambda: cursor.execute("UNLOCK TABLES")


def is_working_for(node, user):
    """Tell whether the node has a statement of that account in hand."""
    return any(row[1] == user and row[4] == "Query" for row in node.query("SHOW PROCESSLIST"))


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


def wait_for(condition, timeout_seconds=30):
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)
