"""A server as the crash tests talk to it: without TLS, because setting that up takes longer than a whole point."""

import secrets
from typing import Any

import pymysql

from tests.support.database import Database
from tests.support.servers import Server


class Unencrypted:
    """The part of a running server that a crash test needs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.kind = server.kind
        self.host = server.host
        self.port = server.port

    def admin(self, **settings: Any) -> "pymysql.Connection[Any]":
        """Connect as root."""
        return self._server.admin(**{"ssl_disabled": True, **settings})

    def create_database(self) -> Database:
        """Create an empty database with an account of its own."""
        return _Database.create(self, f"crash_{secrets.token_hex(4)}")  # type: ignore[arg-type]


class _Database(Database):
    @property
    def url(self) -> str:
        return f"{super().url}?ssl_disabled=true"

    def connect(self, **settings: Any) -> "pymysql.Connection[Any]":
        return super().connect(**{"ssl_disabled": True, **settings})

    def drop(self) -> None:
        """Remove the database and its account; every job that used them has ended."""
        with self.server.admin() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {self.name}")
            cursor.execute(f"DROP USER '{self.user}'@'%', '{self.user}'@'localhost'")
