"""What the tests of a cluster have in common: revisions whose rows tell what happened, what each node has."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.integration.scenes import until
from tests.support.leased import Balancer, Striker
from tests.support.projects import revision_source, write_project

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
# Succeeds as often as it is run: only the counter would tell that it ran twice.
REPEATABLE = """
op.execute("UPDATE counter SET n = n + 1")
op.execute("CREATE OR REPLACE VIEW v AS SELECT n FROM counter")
"""
NEWEST = """
op.execute("CREATE TABLE newest (i INT PRIMARY KEY)")
"""


def history_of(folder, *bodies):
    """Write a project whose revisions r1, r2, … do what the bodies say."""
    named = enumerate(bodies, 1)
    return write_project(folder, [revision_source(f"r{i}", f"r{i - 1}" if i > 1 else None, body) for i, body in named])


def outcome(database, cluster):
    """What the database holds, after checking that no node sees it differently, and the states in the journal."""
    cluster.wait_until_alike()
    first, *others = (database.seen_from(node).schema() for node in cluster.nodes)
    assert others == [first, first]
    return first["rows"], database.query("SELECT revision, state FROM alembic_gate_revision ORDER BY revision")


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


# -- what holds on every cluster, whatever it is made of --------------------------------------------------------------


def database_on(cluster):
    """Create a database, and return it once every node has it."""
    fresh = cluster.nodes[0].create_database()
    cluster.wait_until_alike()
    return fresh


def assert_many_jobs_apply_each_revision_once(cluster, start, history, jobs, rounds):
    """Start jobs over all nodes at once, again and again."""
    for _ in range(rounds):
        database = database_on(cluster)
        started = [start(database, cluster.nodes[i % 3], history) for i in range(jobs)]
        ended = [job.wait() for job in started]
        assert [job.code for job in ended] == [0] * jobs, [job.said for job in ended]
        assert outcome(database, cluster) == (ROWS, APPLIED)
        assert sum(job.said.count("applied 'r2'") for job in ended) == 1
        database.drop()


def assert_a_frozen_job_does_nothing_more(cluster, start, history, places, successor_on, at_once):
    """Freeze a job on the first node after each of these answers, and thaw it when another job has taken over."""

    def freeze_after(place):
        first, database = cluster.nodes[0], database_on(cluster)
        with Striker(first, FROZEN_AFTER[place]) as proxy:
            frozen = start(database, first, history, port=proxy.port)
            proxy.wait_until_struck(frozen)
            successor = start(database, cluster.nodes[successor_on], history).wait()
            frozen.thaw()
            ended = frozen.wait()
        found = outcome(database, cluster)
        database.drop()
        return {"successor": successor.code, "frozen": ended.code, "found": found}, successor.said + ended.said

    with ThreadPoolExecutor(at_once) as pool:
        results = dict(zip(places, pool.map(freeze_after, places), strict=True))
    expected = {"successor": 0, "frozen": 13, "found": (ROWS, APPLIED)}
    wrong = {place: result for place, result in results.items() if result[0] != expected}
    assert not wrong


def assert_a_node_that_lags_is_waited_for(cluster, database, start, folder):
    """Lead env.py to a node that does not have yet what the look and the lock have seen on another."""
    first, _, third = cluster.nodes
    older = history_of(folder / "older", FIRST, REPEATABLE)
    newer = history_of(folder / "newer", FIRST, REPEATABLE, NEWEST)
    assert start(database, first, history_of(folder / "oldest", FIRST)).wait().code == 0
    cluster.wait_until_alike()
    with stopped_applying(third) as go_on:
        assert start(database, first, older).wait().code == 0
        assert database.seen_from(third).query("SELECT n FROM counter") == ((0,),), "the third node does not lag"
        with Balancer([first, first, third]) as balancer:
            late = start(database, first, newer, port=balancer.port)
            until(lambda: not late.runs() or is_working_for(third, database.user))
            go_on()
            ended = late.wait()
    assert ended.code == 0, ended.said
    assert "applying 1 of 1: 'r3'" in ended.said
    assert outcome(database, cluster)[0]["counter"] == [("times", 1)]
