"""Starts, kills, freezes and restarts real, throw-away MySQL and MariaDB servers on loopback."""

import functools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pymysql

from tests.support import cleanup, machine
from tests.support.database import Database
from tests.support.ports import free_port
from tests.support.tls import Authority

Kind = Literal["mysql", "mariadb"]
KINDS: tuple[Kind, ...] = ("mysql", "mariadb")

READY_SECONDS = 90  # a server takes one or two; a loaded machine, or recovery after a kill, may take many more
STOP_SECONDS = 60
SETTLED_SECONDS = 60  # Galera suspects a silent node after 5 s and gives it up after 15
POLL_SECONDS = 0.02
ROOM_IN_MEMORY = 4 * 1024**3  # below that much free, data folders go to disk
LOG_LINES = 25
CLIENT_ERRORS = 2000  # from here on the error is the client's own: no server has spoken

# Survives a kill of the server (what a commit wrote is with the kernel), not of the machine: nothing here kills that.
FAST = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
MARIADB_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "fill_help_tables.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mysql_sys_schema.sql",
)


class ServerFailed(Exception):
    """The server ended, or did not answer in time; the message has the end of its log."""


@dataclass(frozen=True)
class Software:
    """An unpacked server: how to run it, and a data folder as it is right after installation."""

    kind: Kind
    root: Path
    binary: str

    def command(self, data: Path) -> list[str]:
        """Return the start of every command line for the server on `data`."""
        user = ["--user=root"] if os.geteuid() == 0 else []
        return [
            *machine.program(self.root, self.binary),
            "--no-defaults",
            *user,
            f"--basedir={self.root / 'usr'}",
            f"--datadir={data}",
        ]

    @functools.cached_property
    def version(self) -> str:
        """What the server's program says of itself, such as `9.7.4-2`."""
        said = subprocess.run(
            [*self.command(Path("/nowhere")), "--version"], capture_output=True, text=True, check=True
        )
        return said.stdout.partition(" Ver ")[2].split()[0]

    def copy_data_to(self, data: Path) -> None:
        """Make `data` a fresh data folder, from a copy kept in the cache."""
        fresh = machine.CACHE / "data" / f"{self.root.name}-{self.version}"
        with machine.one_at_a_time(f"data-{self.root.name}"):
            if not fresh.exists():
                partial = fresh.with_name(f"{fresh.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                self._initialise(partial)
                # Every copy must make an identity of its own.
                (partial / "auto.cnf").unlink(missing_ok=True)
                partial.rename(fresh)
        subprocess.run(["cp", "-a", "--reflink=auto", str(fresh), str(data)], check=True)

    def _initialise(self, data: Path) -> None:
        command = self.command(data)
        statements = b""
        if self.kind == "mysql":
            command += ["--initialize-insecure"]
        else:
            command += ["--bootstrap", "--enforce-storage-engine=", "--max-allowed-packet=8M"]
            tables = self.root / "usr/share/mysql"
            statements = b"create database mysql;\nuse mysql;\nset @auth_root_socket=null;\n"
            statements += b"".join((tables / name).read_bytes() for name in MARIADB_TABLES)
        done = subprocess.run(command, input=statements, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            end = "\n".join(done.stdout.decode(errors="replace").splitlines()[-LOG_LINES:])
            raise ServerFailed(f"a fresh data folder for {self.kind} cannot be made:\n{end}")


@functools.cache
def software(kind: Kind) -> Software:
    """Return the server program of that kind, installed on first need; raises CannotInstall."""
    if kind == "mysql":
        return Software(kind, machine.ensure_mysql(), "usr/sbin/mysqld")
    return Software(kind, machine.ensure_mariadb(), "usr/sbin/mariadbd")


class Server:
    """One server process with a data folder, a port and a certificate authority of its own.

    `options` are given at every start. `fast` spares the flush to disk at each commit and keeps the data in memory
    where there is room. The port is known, and stays the same, from construction on, so that a test may let
    something wait for a server that is not yet there.
    """

    host = "127.0.0.1"

    def __init__(
        self, kind: Kind, *, fast: bool = True, options: Sequence[str] = (), program: Software | None = None
    ) -> None:
        self.kind = kind
        self.software = program or software(kind)
        self.port = free_port()
        self.options = [*(FAST if fast else ()), *options]
        self.folder = _make_folder(in_memory=fast)
        self.authority = Authority(self.folder / "tls")
        self.ca = self.authority.ca
        self.data = self.folder / "data"
        self.socket = self.folder / "s"
        self.log = self.folder / "log"
        self._certificate, self._key = self.authority.issue("server")
        self._process: subprocess.Popen[bytes] | None = None
        self.software.copy_data_to(self.data)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.software.version} on port {self.port}>"

    @property
    def pid(self) -> int:
        """The process id; only while the server runs."""
        assert self._process, f"{self!r} is not running"
        return self._process.pid

    def start(
        self, extra_args: Sequence[str] = (), *, wait: bool = True, environment: Mapping[str, str] | None = None
    ) -> "Server":
        """Start the process and, unless told not to, wait until it takes connections; raises ServerFailed."""
        assert self._process is None, f"{self!r} is running already"
        command = [*self.software.command(self.data), *self._own_options(), *self.options, *extra_args]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
            )
        cleanup.end_with_us(self._process.pid)
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Return once the server takes connections on its port; raises ServerFailed."""
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                raise ServerFailed(f"{self!r} has ended:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self!r} does not answer after {timeout_seconds} s:\n{self.log_end()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Shut the server down in good order; a server that is not running is left as it is."""
        if self._process:
            self.thaw()
            self._process.terminate()
            try:
                self._settle(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the server with SIGKILL, as the kernel's out-of-memory killer would."""
        if self._process:
            self._process.kill()
            self._settle()

    def freeze(self) -> None:
        """Stop the process where it stands: connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End the server and delete its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self, **settings: Any) -> "pymysql.Connection[Any]":
        """Connect as root, with autocommit, over the Unix socket: it works whatever is wrong with the port or TLS."""
        defaults: dict[str, Any] = {"user": "root", "autocommit": True, "connect_timeout": 10}
        return pymysql.connect(unix_socket=str(self.socket), **{**defaults, **settings})

    def query(self, sql: str, *parameters: object) -> tuple[tuple[Any, ...], ...]:
        """Run one statement as root and return its rows."""
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return tuple(cursor.fetchall())

    def create_database(self, prefix: str = "t") -> Database:
        """Create an empty database with an account of its own that may do everything there and nothing elsewhere."""
        return Database.create(self, f"{prefix}_{secrets.token_hex(4)}")

    def log_end(self) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def _own_options(self) -> list[str]:
        own = [
            f"--port={self.port}",
            f"--bind-address={self.host}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            # A MariaDB that starts removes the temporary tables that it finds, those of its neighbour too.
            f"--tmpdir={self.folder}",
            f"--ssl-ca={self.ca}",
            f"--ssl-cert={self._certificate}",
            f"--ssl-key={self._key}",
            # As managed services set it: else accounts without SUPER may not create triggers while a binary log is on.
            "--log-bin-trust-function-creators=ON",
        ]
        return [*own, "--mysqlx=OFF", "--secure-file-priv=NULL"] if self.kind == "mysql" else own

    def _answers(self) -> bool:
        # The port opens last; whoever is turned away there (too many connections, a wrong host) still met a server.
        try:
            pymysql.connect(host=self.host, port=self.port, user="root", connect_timeout=5).close()
        except pymysql.err.OperationalError as error:
            return int(error.args[0]) < CLIENT_ERRORS
        return True

    def _settle(self, timeout_seconds: float | None = None) -> None:
        assert self._process
        self._process.wait(timeout_seconds)
        cleanup.has_ended(self._process.pid)
        self._process = None


def wait_until_settled(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Return once a cluster is as it should be; raises ServerFailed with what `otherwise` says then."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ServerFailed(f"after {SETTLED_SECONDS} s: {otherwise()}")
        time.sleep(POLL_SECONDS)


def _make_folder(*, in_memory: bool) -> Path:
    memory = Path("/dev/shm")
    roomy = in_memory and memory.is_dir() and shutil.disk_usage(memory).free > ROOM_IN_MEMORY
    folder = Path(tempfile.mkdtemp(prefix="alembic-gate-", dir=memory if roomy else None))
    cleanup.remove_with_us(folder)
    return folder
