"""Decide what a connection error means for the wait: transient, permanent or unknown. Pure.

Server errors: https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
"""

from enum import Enum


class Kind(Enum):
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


TRANSIENT: dict[int, str] = {
    1040: "too many connections",
    1047: "this cluster node is not ready for queries",
    1053: "the server is shutting down",
    1080: "the server is shutting down",
    1129: "the server blocks this host after too many connection errors",
    1152: "the connection was aborted",
    1158: "the network broke while reading",
    1159: "the network timed out while reading",
    1160: "the network broke while writing",
    1161: "the network timed out while writing",
    1203: "this user has too many connections",
    1205: "a lock was not given in time",
    1213: "a deadlock",
    1226: "this user is over one of its hourly limits",
    1290: "the server is read-only",
    1317: "the query was interrupted",
    1792: "the server is read-only",
    1836: "the server is read-only",
    1927: "the connection was killed",
    2002: "no server answers",
    2003: "no server answers",
    2005: "the host name cannot be resolved",
    2006: "the server has gone away",
    2013: "the connection was lost",
    2055: "the connection was lost",
    3032: "the server is in offline mode",
    3168: "the server is not available",
    4031: "the server closed an idle connection",
}

PERMANENT: dict[int, str] = {
    1044: "the account has no access to this database",
    1045: "user name or password is wrong",
    1049: "the database does not exist",
    1130: "this host is not allowed to connect",
    1142: "the account lacks a privilege",
    1227: "the account lacks a privilege",
    1251: "the server's authentication method is not supported",
    1524: "the server's authentication plugin is not loaded",
    1698: "user name or password is wrong",
    1820: "the account's password must be changed first",
    1862: "the account's password has expired",
    2026: "TLS is required but the server does not offer it, or they do not agree",
    2059: "the server's authentication plugin is not supported",
    3118: "the account is locked",
    3159: "the server wants TLS",
    3955: "the account is locked after failed logins",
    4151: "the account is locked",
}


def error_number(error: BaseException) -> int:
    """The server's or the client's error number, 0 where there is none."""
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def classify(error: BaseException) -> tuple[Kind, str]:
    """Say whether waiting can help, and what the error usually means.

    PyMySQL wraps every OSError in 2003 and keeps the original; a certificate that does not verify is an OSError too.
    """
    original = getattr(error, "original_exception", None)
    names = [kind.__name__ for kind in type(original).__mro__]
    if "SSLCertVerificationError" in names:
        return Kind.PERMANENT, f"the server's certificate does not verify: {original.verify_message}"  # type: ignore[union-attr]
    if "gaierror" in names:
        return Kind.TRANSIENT, "the host name cannot be resolved"
    number = error_number(error)
    if number in PERMANENT:
        return Kind.PERMANENT, PERMANENT[number]
    if number in TRANSIENT:
        if number == 2003 and isinstance(original, OSError):
            return Kind.TRANSIENT, f"{TRANSIENT[2003]} ({original.strerror or original})"
        return Kind.TRANSIENT, TRANSIENT[number]
    if "ssl.SSLError" in f"{type(original).__module__}.{type(original).__name__}":
        return Kind.UNKNOWN, f"the TLS handshake failed: {original}"
    return Kind.UNKNOWN, f"{type(error).__name__} {' '.join(map(str, error.args))}"


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether the connection is gone, so that nothing is known about the statement that was on its way."""
    if type(error).__name__ == "InterfaceError":
        return True
    return error_number(error) in (1053, 1080, 1152, 1927, 2006, 2013, 2055, 4031)
