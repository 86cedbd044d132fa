"""The servers that other tests stand on do what those tests take for granted."""

import ssl

import pymysql
import pytest

from tests.support.tls import Authority

TABLES = """
CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20))
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id))
CREATE VIEW names AS SELECT name FROM parent
CREATE TRIGGER shout BEFORE INSERT ON parent FOR EACH ROW SET NEW.name = UPPER(NEW.name)
CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1
CREATE EVENT later ON SCHEDULE EVERY 1 DAY DO DELETE FROM child
INSERT INTO parent (name) VALUES ('a'), ('b')
"""


def fill(database, statements=TABLES):
    for statement in statements.strip().splitlines():
        database.query(statement)


def test_databases_filled_alike_have_equal_schemas(server):
    one, other = server.create_database(), server.create_database("another")
    fill(one)
    fill(other)
    assert one.schema() == other.schema()
    assert one.schema()["rows"]["parent"] == [(1, "A"), (2, "B")]
    for part in ("tables", "views", "triggers", "routines", "events"):
        assert one.schema()[part], part
    one.drop()
    other.drop()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE parent ADD note TEXT",
        "UPDATE parent SET name = 'c' WHERE id = 1",
        "DROP TRIGGER shout",
        "DROP VIEW names",
        "DROP FUNCTION one",
        "DROP EVENT later",
        "CREATE INDEX i ON parent (name)",
    ],
)
def test_every_change_shows_in_the_schema(database, change):
    fill(database)
    before = database.schema()
    database.query(change)
    assert database.schema() != before


def test_journals_of_the_gate_are_no_part_of_the_schema(database):
    before = database.schema()
    database.query("CREATE TABLE alembic_gate_revision (id INT)")
    assert database.schema() == before


def test_a_user_sees_nothing_of_another_database(server, database):
    other = server.create_database()
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        database.connect(database=other.name)
    other.drop()


def test_the_certificate_is_verified_by_the_right_authority_alone(database, tmp_path):
    settings = {"ssl_verify_cert": True, "ssl_verify_identity": True}
    with database.connect(ssl_ca=str(database.server.ca), **settings) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone()[1]
    with pytest.raises(pymysql.err.OperationalError, match="CERTIFICATE_VERIFY_FAILED") as refused:
        database.connect(ssl_ca=str(Authority(tmp_path).ca), **settings)
    assert isinstance(refused.value.__context__, ssl.SSLError)


def test_data_survives_a_kill_and_the_port_stays(new_server, server_kind):
    server = new_server(server_kind)
    database, port = server.create_database(), server.port
    fill(database)
    before = database.schema()
    server.kill()
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        database.connect()
    server.start()
    assert server.port == port
    assert database.schema() == before


def test_a_frozen_server_does_not_answer_until_it_is_thawed(new_server, server_kind):
    server = new_server(server_kind)
    database = server.create_database()
    server.freeze()
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        database.connect(connect_timeout=1, read_timeout=1)
    server.thaw()
    assert database.query("SELECT 1") == ((1,),)
