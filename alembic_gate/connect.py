"""Open bare PyMySQL connections with as little as a start needs (I4).

Left out until needed: `cryptography` (a login without TLS whose password the server has not cached), the system's CA
bundle (only where a certificate is verified), and the round trip of SET NAMES (the handshake says it already).
"""

import sys
from types import SimpleNamespace

from alembic_gate.settings import Database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The import of cryptography takes longer than all the rest of a start that finds nothing to do; PyMySQL can do without.
# Of traceback it wants one function, for a text that nobody reads.
_stubs = {"cryptography": None, "traceback": SimpleNamespace(format_exc=str)}
_left_out: "dict[str, Any]" = {name: stub for name, stub in _stubs.items() if name not in sys.modules}
sys.modules.update(_left_out)
try:
    import pymysql
    from pymysql.connections import Connection as PyMySQLConnection
finally:
    for _name in _left_out:
        del sys.modules[_name]

# A server that accepts the TCP connection but does not greet is as good as down; below the shortest sensible time-out.
CONNECT_TIMEOUT_SECONDS = 5

Error = pymysql.err.Error
OperationalError = pymysql.err.OperationalError


class Connection(PyMySQLConnection):
    """A connection whose queries are one call."""

    def rows(self, statement: str, *parameters: object) -> "list[tuple[Any, ...]]":
        """Run one statement and return its rows."""
        with self.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def _create_ssl_ctx(self, sslp: "Any") -> "Any":
        """PREFERRED verifies nothing, so PyMySQL need not read the CA bundle for it."""
        return sslp or _context_without_verification()


class QuickConnection(Connection):
    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """The handshake has asked for utf8mb4, and the glance compares nothing but ASCII."""


def connect(
    database: Database, *, quick: bool = False, connect_timeout: float | None = None, read_timeout: float | None = None
) -> Connection:
    """Open a connection in autocommit mode; `quick` takes the server's own mode and saves the round trips.

    Raises what PyMySQL raises (see `classify`).
    """
    patience = int(database.options.get("connect_timeout", CONNECT_TIMEOUT_SECONDS))
    arguments: dict[str, Any] = {
        "read_timeout": read_timeout,
        **database.options,
        "connect_timeout": min(patience, connect_timeout or patience),
        # As bytes, or the socket would load a codec for names that are no ASCII.
        "host": database.host.encode() if database.host.isascii() else database.host,
        "port": database.port,
        "database": database.name,
        "user": database.user,
        "password": database.password.encode(),
        "autocommit": None if quick else True,
        **_tls_arguments(database),
    }
    kind = QuickConnection if quick else Connection
    try:
        return kind(**arguments)
    except RuntimeError as error:
        if "cryptography" not in str(error):
            raise
        # `caching_sha2_password` wants RSA where there is no TLS and no cached login.
        import importlib

        from pymysql import _auth

        importlib.reload(_auth)
        return kind(**arguments)


def keep_alive(connection: "Any") -> None:
    """Let the kernel notice a vanished server within a minute, also while a long statement runs."""
    import socket

    sock = getattr(connection, "_sock", None)
    if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
        for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _tls_arguments(database: Database) -> "dict[str, Any]":
    """PyMySQL's arguments for the TLS mode; none for PREFERRED, which PyMySQL does by itself."""
    tls = database.tls
    if tls.mode == "DISABLED":
        return {"ssl_disabled": True}
    if tls.mode == "PREFERRED" and not (tls.cert or tls.cipher):
        return {}
    context = _context_without_verification()
    if tls.mode in ("VERIFY_CA", "VERIFY_IDENTITY"):
        import ssl

        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = tls.mode == "VERIFY_IDENTITY"
        # The authority that MySQL makes for itself lacks what VERIFY_X509_STRICT (the default since 3.13) asks for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cafile=tls.ca, capath=tls.capath)
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    if tls.cipher:
        context.set_ciphers(tls.cipher)
    return {"ssl": context}


def _context_without_verification() -> "Any":
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
