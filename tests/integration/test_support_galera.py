"""The cluster that other tests stand on is one database on three nodes, also after a node was lost."""

import pymysql
import pytest


def test_what_one_node_commits_the_others_have(galera):
    first, second, third = galera.nodes
    database = first.create_database()
    database.query("CREATE TABLE t (i INT PRIMARY KEY)")
    database.seen_from(second).query("INSERT INTO t VALUES (1)")
    schemas = [database.seen_from(node).schema() for node in (first, second, third)]
    assert schemas[0] == schemas[1] == schemas[2]
    assert schemas[2]["rows"] == {"t": [(1,)]}


def test_a_node_that_is_cut_off_refuses_work_and_catches_up_when_healed(galera):
    first, _, third = galera.nodes
    database = first.create_database()
    galera.cut_off(third)
    database.query("CREATE TABLE t (i INT PRIMARY KEY)")
    with pytest.raises(pymysql.err.OperationalError, match="not yet prepared"):
        database.seen_from(third).query("SELECT i FROM t")
    galera.heal(third)
    assert list(database.seen_from(third).schema()["tables"]) == ["t"]


def test_a_killed_node_rejoins(galera):
    first, second, _ = galera.nodes
    database = first.create_database()
    second.kill()
    database.query("CREATE TABLE t (i INT PRIMARY KEY)")
    galera.rejoin(second)
    assert list(database.seen_from(second).schema()["tables"]) == ["t"]
