"""What an error means for the wait: each one that the issue names, and nothing permanent that waiting could heal."""

import socket
import ssl

import pymysql
import pytest

from alembic_gate.classify import Kind, classify, error_number, is_lost_connection


def server_error(number: int, words: str = "said by the server") -> pymysql.err.OperationalError:
    return pymysql.err.OperationalError(number, words)


def wrapped(original: Exception) -> pymysql.err.OperationalError:
    """An OSError as PyMySQL hands it on."""
    error = pymysql.err.OperationalError(2003, f"Can't connect to MySQL server on 'db' ({original})")
    error.original_exception = original
    return error


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(1040, id="too many connections"),
        pytest.param(1203, id="too many connections of this user"),
        pytest.param(1226, id="hourly limit of this user"),
        pytest.param(1047, id="cluster node not ready"),
        pytest.param(1053, id="shutting down"),
        pytest.param(1290, id="read-only in a failover"),
        pytest.param(1792, id="read-only transaction"),
        pytest.param(1836, id="read-only mode"),
        pytest.param(2002, id="no socket"),
        pytest.param(2003, id="refused"),
        pytest.param(2006, id="gone away"),
        pytest.param(2013, id="lost"),
        pytest.param(3032, id="offline mode"),
    ],
)
def test_what_passes_by_waiting_is_transient(number):
    assert classify(server_error(number))[0] is Kind.TRANSIENT


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(1044, id="no access to the database"),
        pytest.param(1045, id="wrong password"),
        pytest.param(1049, id="unknown database"),
        pytest.param(1130, id="host not allowed"),
        pytest.param(1142, id="no privilege"),
        pytest.param(1251, id="old authentication"),
        pytest.param(1524, id="plugin not loaded"),
        pytest.param(1698, id="access denied without password"),
        pytest.param(1820, id="password expired"),
        pytest.param(2059, id="plugin not supported"),
        pytest.param(3118, id="account locked"),
        pytest.param(4151, id="account locked on MariaDB"),
        pytest.param(3159, id="TLS wanted"),
    ],
)
def test_what_waiting_cannot_heal_is_permanent(number):
    assert classify(server_error(number))[0] is Kind.PERMANENT


@pytest.mark.parametrize(
    "error", [server_error(1064), server_error(9999), pymysql.err.OperationalError(), RuntimeError("?")], ids=repr
)
def test_what_nobody_foresaw_is_unknown_and_told(error):
    kind, said = classify(error)
    assert kind is Kind.UNKNOWN
    assert said


@pytest.mark.parametrize(
    "original",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        OSError(113, "No route to host"),
        socket.gaierror(-2, "Name or service not known"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
    ],
    ids=repr,
)
def test_a_network_that_is_not_there_yet_is_transient_and_says_what_is_wrong(original):
    kind, said = classify(wrapped(original))
    assert kind is Kind.TRANSIENT
    assert str(original.args[-1]) in said


def test_a_certificate_that_does_not_verify_is_permanent():
    original = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    original.verify_message = "self-signed certificate in certificate chain"
    kind, said = classify(wrapped(original))
    assert kind is Kind.PERMANENT
    assert "self-signed certificate" in said


def test_what_the_server_said_is_in_the_words():
    assert "Access denied for user 'u'" in classify(server_error(1045, "Access denied for user 'u'@'h'"))[1]
    assert "1045" in classify(server_error(1045))[1]


@pytest.mark.parametrize("number", [1053, 1927, 2006, 2013, 4031])
def test_a_connection_that_is_gone_leaves_its_statement_open(number):
    assert is_lost_connection(server_error(number))


def test_a_connection_that_was_closed_on_our_side_is_gone_too():
    assert is_lost_connection(pymysql.err.InterfaceError(0, ""))


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (server_error(3101, "Plugin instructed the server to rollback the current transaction."), 1213),
        (server_error(1180, "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT"), 1213),
        (server_error(1180, "Got error 28 - 'No space left on device' during COMMIT"), 1180),
        (server_error(3797, "Error while waiting for group transactions commit"), 1205),
        (server_error(3796, "cannot be used on the current member state"), 1047),
    ],
)
def test_group_replication_and_galera_say_the_same_in_other_words(error, number):
    assert error_number(error) == number


@pytest.mark.parametrize("number", [1064, 1205, 1213, 1317, 1290])
def test_a_statement_that_was_refused_left_the_connection_alone(number):
    assert not is_lost_connection(server_error(number))


@pytest.mark.parametrize(("error", "number"), [(server_error(1045), 1045), (ValueError("x"), 0), (ValueError(), 0)])
def test_the_number_of_an_error_is_its_first_argument(error, number):
    assert error_number(error) == number
