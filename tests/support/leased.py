"""Starts jobs whose lease runs out within seconds, strikes one at a chosen statement, or balances its connections."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals
from typing import Any

from tests.support.database import Database
from tests.support.gate import KEPT, ROOT
from tests.support.ports import clients_of
from tests.support.proxy import Moment, Packet, Proxy, Strike
from tests.support.servers import POLL_SECONDS, Server

CHUNK = 64 * 1024
SCRIPT = [sys.executable, str(ROOT / "tests" / "support" / "short_lease.py")]
LEASE_SECONDS = 1.5  # a heartbeat every 0.4 s: a job that only lacks the processor for a moment keeps its lease
RUN_SECONDS = 60


@dataclass
class Ended:
    """How a job ended, and what it said."""

    code: int
    said: str


class Job:
    """A gate in a process of its own, on one node of a cluster, its lease a short one unless told otherwise.

    `port` is where a proxy or a balancer listens that leads there. `settings` are environment variables.
    """

    def __init__(
        self,
        database: Database,
        node: Server,
        config: Path,
        *words: str,
        port: int | None = None,
        lease_seconds: float = LEASE_SECONDS,
        **settings: str,
    ) -> None:
        address = f"{node.host}:{node.port}"
        url = database.seen_from(node).url.replace(address, f"{node.host}:{port or node.port}")
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env |= {"DATABASE_URL": f"{url}?ssl_disabled=true", "ALEMBIC_CONFIG": str(config)}
        env |= {"SHORT_LEASE_SECONDS": str(lease_seconds), **settings}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._process = subprocess.Popen([*SCRIPT, *words], env=env, cwd=ROOT, text=True, **pipes)
        self.pid = self._process.pid

    def wait(self, timeout_seconds: float = RUN_SECONDS) -> Ended:
        """Wait until the job has ended; one that does not end in time is killed, and ends with -9."""
        try:
            said, _ = self._process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        return Ended(self._process.returncode, said)

    def kill(self) -> None:
        """End the job with SIGKILL, also one that is frozen; a job that has ended is left as it is."""
        if self.runs():
            self._process.kill()
            self._process.communicate()

    def freeze(self) -> None:
        """Stop the job where it stands."""
        self._process.send_signal(SIGSTOP)

    def thaw(self) -> None:
        """Let a stopped job go on."""
        self._process.send_signal(SIGCONT)

    def runs(self) -> bool:
        """Tell whether the job has not ended."""
        return self._process.poll() is None


class Striker(Proxy):
    """A proxy that strikes at the first statement that `chosen` knows, wherever in the run that is."""

    def __init__(
        self, node: Server, chosen: Callable[[str], bool], moment: Moment = Moment.ANSWERED, signal: Signals = SIGSTOP
    ) -> None:
        super().__init__(node.host, node.port)
        self._chosen = chosen
        self._moment = moment
        self._signal = signal
        self._struck = threading.Event()

    def pass_on_statement(self, packet: Packet, server: socket.socket) -> bool:
        """Choose the statement, and leave the striking to the proxy."""
        if self._strike is None and self._chosen(packet.payload[1:].decode("utf-8", "replace")):
            self._strike = Strike(len(self.statements) + 1, self._moment, self._signal)
        return super().pass_on_statement(packet, server)

    def strike(self) -> None:
        """Strike, and let the test know."""
        super().strike()
        self._struck.set()

    def wait_until_struck(self, job: Job) -> None:
        """Aim at the job and return once it was struck; raises AssertionError where it never sends that statement."""
        self.aim(job.pid)
        while not self._struck.wait(POLL_SECONDS):
            assert job.runs(), f"the job ended before its statement was sent: {job.wait()}"


class Balancer:
    """Leads each new connection to the next node of a list, and to the last one when the list is at its end."""

    def __init__(self, nodes: Sequence[Server]) -> None:
        self._nodes = list(nodes)
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "Balancer":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        for client in clients_of(self._listener):
            node = self._nodes.pop(0) if len(self._nodes) > 1 else self._nodes[0]
            server = socket.create_connection((node.host, node.port))
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
