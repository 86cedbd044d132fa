"""The proxy that the crash tests believe: it counts right, and each moment is what its name says."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from tests.support.database import Database
from tests.support.proxy import CLIENT_SSL, LARGEST_PAYLOAD, Moment, Proxy, Strike
from tests.support.servers import Kind, Server

CLIENT = """
import os, pymysql, sys
host, port, user, password, name, *statements = sys.argv[1:]
connection = pymysql.connect(host=host, port=int(port), user=user, password=password, database=name, ssl_disabled=True,
                             autocommit=True)
with connection.cursor() as cursor:
    for statement in statements:
        cursor.execute(statement)
        while cursor.nextset():
            pass
        print("answered", flush=True)
"""
NewServer = Callable[..., Server]

SETS = 1
"""PyMySQL's own statement before the first of ours: SET AUTOCOMMIT."""


@pytest.fixture
def counted(database: Database) -> Database:
    """A database with a table `seen` to leave a mark in."""
    database.query("CREATE TABLE seen (n INT)")
    return database


def run_client(database: Database, proxy: Proxy, *statements: str) -> tuple[int, int]:
    """Run a client through the proxy; return its exit code and how many answers it saw."""
    arguments = [database.server.host, str(proxy.port), database.user, database.password, database.name, *statements]
    client = subprocess.Popen([sys.executable, "-c", CLIENT, *arguments], stdout=subprocess.PIPE, text=True)
    proxy.aim(client.pid)
    output, _ = client.communicate(timeout=30)
    return client.returncode, output.count("answered")


def marks(database: Database) -> list[int]:
    """Return what reached the server, once no connection of the client's is left there."""
    others = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    while database.query(others)[0][0]:
        time.sleep(0.01)
    return [row[0] for row in database.query("SELECT n FROM seen ORDER BY n")]


def inserts(count: int) -> list[str]:
    """Return statements that leave one mark each."""
    return [f"INSERT INTO seen VALUES ({n})" for n in range(1, count + 1)]


def test_undisturbed_client_notices_nothing_and_every_statement_is_counted_in_order(counted: Database) -> None:
    with Proxy(counted.server.host, counted.server.port) as proxy:
        assert run_client(counted, proxy, *inserts(3), "SELECT n, n FROM seen", "SELECT 1") == (0, 5)
    assert proxy.statements[SETS:] == [*inserts(3), "SELECT n, n FROM seen", "SELECT 1"]
    assert proxy.struck is None


@pytest.mark.parametrize(
    ("moment", "reached"), [(Moment.BEFORE, [1]), (Moment.JUST_AFTER, [1, 2]), (Moment.ANSWERED, [1, 2])]
)
def test_statement_reaches_the_server_unless_the_kill_comes_before(
    counted: Database, moment: Moment, reached: list[int]
) -> None:
    with Proxy(counted.server.host, counted.server.port, Strike(SETS + 2, moment)) as proxy:
        code, answers = run_client(counted, proxy, *inserts(3))
    assert (code, answers) == (-signal.SIGKILL, 1)
    assert proxy.struck == "INSERT INTO seen VALUES (2)"
    assert marks(counted) == reached


def test_answered_waits_for_the_whole_reply_of_a_slow_statement_with_several_results(counted: Database) -> None:
    body = "BEGIN SELECT 1; SELECT 2, NULL, ''; DO SLEEP(0.3); INSERT INTO seen VALUES (9); END"
    counted.query(f"CREATE PROCEDURE several () {body}")
    with Proxy(counted.server.host, counted.server.port, Strike(SETS + 1, Moment.ANSWERED)) as proxy:
        assert run_client(counted, proxy, "CALL several()") == (-signal.SIGKILL, 0)
        assert counted.query("SELECT n FROM seen") == ((9,),)


@pytest.mark.parametrize("moment", Moment)
def test_failing_statement_is_an_answer_too(counted: Database, moment: Moment) -> None:
    with Proxy(counted.server.host, counted.server.port, Strike(SETS + 1, moment)) as proxy:
        assert run_client(counted, proxy, "DROP TABLE never_made") == (-signal.SIGKILL, 0)
    assert proxy.struck == "DROP TABLE never_made"


@pytest.mark.parametrize("moment", Moment)
def test_sigterm_lets_everything_pass_on(counted: Database, moment: Moment) -> None:
    ends_itself = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
    with Proxy(counted.server.host, counted.server.port, Strike(SETS + 1, moment, signal.SIGTERM)) as proxy:
        arguments = [counted.server.host, str(proxy.port), counted.user, counted.password, counted.name, *inserts(1)]
        client = subprocess.Popen([sys.executable, "-c", ends_itself + CLIENT, *arguments], stdout=subprocess.PIPE)
        proxy.aim(client.pid)
        client.communicate(timeout=30)
    assert client.returncode == 143
    assert set(marks(counted)) <= {1}


def test_statements_are_counted_over_all_connections(counted: Database) -> None:
    proxy = Proxy(counted.server.host, counted.server.port)
    with proxy, connect_through(proxy, counted) as one, connect_through(proxy, counted) as other:
        for number, connection in enumerate((one, other, one)):
            connection.cursor().execute(f"SELECT {number}")
    assert [text for text in proxy.statements if text.startswith("SELECT")] == ["SELECT 0", "SELECT 1", "SELECT 2"]


def test_statement_and_row_of_more_than_16_mib_pass_whole(new_server: NewServer, server_kind: Kind) -> None:
    database = new_server(server_kind, options=["--max-allowed-packet=64M"]).create_database()
    long = "x" * (2 * LARGEST_PAYLOAD)
    proxy = Proxy(database.server.host, database.server.port)
    with proxy, connect_through(proxy, database, max_allowed_packet=1 << 26) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT '{long}'")
        assert cursor.fetchone() == (long,)
    assert sum(text.startswith("SELECT 'xxx") for text in proxy.statements) == 1


def connect_through(proxy: Proxy, database: Database, **settings: Any) -> "pymysql.Connection[Any]":
    """Connect to the database by way of the proxy."""
    return pymysql.connect(
        host="127.0.0.1",
        port=proxy.port,
        user=database.user,
        password=database.password,
        database=database.name,
        **{"ssl_disabled": True, **settings},
    )


def test_client_that_asks_for_tls_is_named_as_the_mistake_it_is(database: Database) -> None:
    packet = (CLIENT_SSL | 0x0200).to_bytes(4, "little") + bytes(28)
    proxy = Proxy(database.server.host, database.server.port)
    proxy.__enter__()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.recv(4096)
        client.sendall(len(packet).to_bytes(3, "little") + bytes([1]) + packet)
        assert client.recv(4096) == b""
    with pytest.raises(RuntimeError, match="ssl_disabled=true"):
        proxy.__exit__()
