"""A test's own database: how to reach it as its user, and what is in it, told in a form that can be compared."""

import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pymysql

if TYPE_CHECKING:
    from tests.support.servers import Server

Rows = tuple[tuple[Any, ...], ...]
Schema = dict[str, dict[str, Any]]

JOURNALS = "alembic_gate_"
HARD_TO_QUOTE = "p@ss:w/rd%?#&+= "  # every password is a test of somebody's quoting
DUMP_LOCK_SECONDS = 30

# What differs between two databases that are the same for their users.
COUNTERS = re.compile(r" AUTO_INCREMENT=\d+")
EVENT_START = re.compile(r"STARTS '[^']*'")


class Database:
    """A database `name` on `server`, with the account `user` that may do everything in it and nothing elsewhere."""

    def __init__(self, server: "Server", name: str) -> None:
        self.server = server
        self.name = name
        self.user = f"u_{name}"
        self.password = HARD_TO_QUOTE + secrets.token_urlsafe(6)

    @classmethod
    def create(cls, server: "Server", name: str) -> "Database":
        """Create the database and its accounts; `localhost` too, for data folders that carry an anonymous one."""
        database = cls(server, name)
        pattern = name.replace("_", r"\_")  # in GRANT an underscore is a wildcard
        with server.admin() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
            for host in ("%", "localhost"):
                cursor.execute("CREATE USER %s@%s IDENTIFIED BY %s", (database.user, host, database.password))
                cursor.execute(f"GRANT ALL ON `{pattern.replace('%', '%%')}`.* TO %s@%s", (database.user, host))
        return database

    def seen_from(self, server: "Server") -> "Database":
        """Return the same database as another node of a cluster has it."""
        other = Database(server, self.name)
        other.password = self.password
        return other

    def __repr__(self) -> str:
        return f"<database {self.name} on {self.server!r}>"

    @property
    def url(self) -> str:
        """The value of DATABASE_URL."""
        account = f"{self.user}:{quote(self.password, safe='')}"
        return f"mysql+pymysql://{account}@{self.server.host}:{self.server.port}/{self.name}"

    def env(self) -> dict[str, str]:
        """Return the environment that points a job to this database."""
        return {"DATABASE_URL": self.url}

    def parts(self) -> dict[str, str]:
        """Return the same as one variable for each part, as a Secret has it."""
        return {
            "MYSQL_HOST": self.server.host,
            "MYSQL_PORT": str(self.server.port),
            "MYSQL_DATABASE": self.name,
            "MYSQL_USER": self.user,
            "MYSQL_PASSWORD": self.password,
        }

    def connect(self, **settings: Any) -> "pymysql.Connection[Any]":
        """Connect as the database's own user."""
        account: dict[str, Any] = {"user": self.user, "password": self.password, "database": self.name}
        return pymysql.connect(host=self.server.host, port=self.server.port, **{**account, **settings})

    def query(self, sql: str, *parameters: object) -> Rows:
        """Run one statement as the database's user, commit, and return its rows."""
        with self.connect(autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return tuple(cursor.fetchall())

    def schema(self) -> Schema:
        """Return all definitions and rows except the gate's own tables; equal for equal databases of any name."""
        with self.server.admin(database=self.name) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET SESSION lock_wait_timeout = {DUMP_LOCK_SECONDS}")
            if self.server.kind == "mariadb":
                # On a cluster's node: look only once everything that another node committed before has arrived.
                cursor.execute("SET SESSION wsrep_sync_wait = 15")
            return _Dump(cursor, self).everything()

    def drop(self) -> None:
        """Remove the database and its accounts, and first every connection that would keep it locked."""
        with self.server.admin() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (self.user,))
            for (session,) in cursor.fetchall():
                try:
                    cursor.execute(f"KILL {session}")
                except pymysql.err.OperationalError as error:
                    if error.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:
                        raise
            cursor.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
            cursor.execute("DROP USER IF EXISTS %s@'%%', %s@'localhost'", (self.user, self.user))


class _Dump:
    def __init__(self, cursor: "pymysql.cursors.Cursor", database: Database) -> None:
        self._cursor = cursor
        self._database = database

    def everything(self) -> Schema:
        tables = self._names("tables", "table_name", "table_schema", "table_type <> 'VIEW'")
        tables = [name for name in tables if not name.startswith(JOURNALS)]
        views = self._names("views", "table_name", "table_schema")
        routines = self._rows(
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = %s ORDER BY 1, 2"
        )
        return {
            "database": {"create": self._definition("DATABASE", self._database.name, 1)},
            "tables": {name: self._definition("TABLE", name, 1) for name in tables},
            "views": {name: self._definition("VIEW", name, 1) for name in views},
            "triggers": {name: self._definition("TRIGGER", name, 2) for name in self._triggers()},
            "routines": {f"{kind} {name}": self._definition(kind, name, 2) for kind, name in routines},
            "events": {name: self._definition("EVENT", name, 3) for name in self._names("events", "event_name")},
            "rows": {name: sorted(self._rows(f"SELECT * FROM `{name}`", bound=False), key=repr) for name in tables},
        }

    def _triggers(self) -> list[str]:
        # In the order in which they fire, which is part of what a table does.
        rows = self._rows(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"
            " ORDER BY event_object_table, event_manipulation, action_timing, action_order"
        )
        return [name for (name,) in rows]

    def _names(self, view: str, column: str, schema: str | None = None, condition: str = "TRUE") -> list[str]:
        schema = schema or column.replace("_name", "_schema")
        rows = self._rows(
            f"SELECT {column} FROM information_schema.{view} WHERE {schema} = %s AND {condition} ORDER BY 1"
        )
        return [name for (name,) in rows]

    def _definition(self, kind: str, name: str, column: int) -> str:
        (row,) = self._rows(f"SHOW CREATE {kind} `{name}`", bound=False)
        text = COUNTERS.sub("", str(row[column]))
        if kind == "EVENT":
            text = EVENT_START.sub("STARTS '(then)'", text)
        return text.replace(self._database.user, "(user)").replace(self._database.name, "(database)")

    def _rows(self, sql: str, *, bound: bool = True) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql, (self._database.name,) if bound else None)
        return list(self._cursor.fetchall())
