"""Decide what a connection error means for the wait: transient, permanent or unknown. Pure.

Server errors: https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
"""

from enum import Enum

from alembic_gate.exits import DatabaseRefuses, DatabaseUnavailable, GateStop


class Kind(Enum):
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


NOT_READY, NO_SUCH_TABLE, LOCK_WAIT_TIMEOUT, DEADLOCK = 1047, 1146, 1205, 1213
# Group Replication's words for what Galera says as above: a transaction lost against another node's (at COMMIT; in an
# implicit commit), what a read has to wait for did not arrive in time, and the node is not in the group at the moment.
_OTHER_WORDS = {3101: DEADLOCK, 1180: DEADLOCK, 3797: LOCK_WAIT_TIMEOUT, 3796: NOT_READY}
_DEADLOCK_AT_COMMIT = "error 149 "

# Starting, stopping, full, busy, read-only in a failover, cluster node not ready, connection gone.
_NOT_NOW = (1040, 1047, 1053, 1080, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290, 1317, 1792, 1836)
TRANSIENT = (*_NOT_NOW, 1927, 2002, 2003, 2005, 2006, 2013, 2055, 3032, 3168, 4031)
# Wrong credentials, grants, database, host, authentication plugin or TLS; an expired or locked account.
PERMANENT = (1044, 1045, 1049, 1130, 1142, 1227, 1251, 1524, 1698, 1820, 1862, 2026, 2059, 3118, 3159, 3955, 4151)
LOST = (1047, 1053, 1080, 1152, 1927, 2006, 2013, 2055, 4031)


def error_number(error: BaseException) -> int:
    """The server's or the client's error number, 0 where there is none."""
    number = error.args[0] if error.args else 0
    if number == 1180 and _DEADLOCK_AT_COMMIT not in str(error):
        return 1180
    return _OTHER_WORDS.get(number, number) if isinstance(number, int) else 0


def classify(error: BaseException) -> tuple[Kind, str]:
    """Say whether waiting can help, and what was said.

    PyMySQL wraps every OSError in 2003 and keeps the original; a certificate that does not verify is an OSError too.
    """
    original = getattr(error, "original_exception", None)
    if original is not None:
        classes = [kind.__name__ for kind in type(original).__mro__]
        if "SSLCertVerificationError" in classes:
            return Kind.PERMANENT, f"the server's certificate does not verify: {original.verify_message}"
        if "SSLError" in classes:
            return Kind.UNKNOWN, f"the TLS handshake failed: {original}"
        return Kind.TRANSIENT, f"no server answers ({getattr(original, 'strerror', None) or original})"
    number = error_number(error)
    known = Kind.PERMANENT if number in PERMANENT else Kind.TRANSIENT if number in TRANSIENT else Kind.UNKNOWN
    said = error.args[1] if len(error.args) > 1 else error
    return known, f"{said} ({number})" if number else f"{type(error).__name__}: {said}"


def refusal(error: BaseException, where: str = "") -> GateStop:
    """What the server said where no step of the run explains it, as a condition."""
    kind, said = classify(error)
    condition = DatabaseRefuses if kind is Kind.PERMANENT else DatabaseUnavailable
    return condition(where + said)


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether the connection is gone, so that nothing is known about the statement that was on its way."""
    return type(error).__name__ == "InterfaceError" or error_number(error) in LOST
