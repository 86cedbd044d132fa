"""Hands out TCP ports that nobody else on this machine takes while the run lasts, and those who connect to one."""

import random
import socket
from collections.abc import Iterator

# Below what Linux gives to outgoing connections, so that none of those can land on a server's port between two starts.
FIRST, LAST = 20_000, 32_000

_held: list[socket.socket] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that stays ours, between the runs of one machine, until this process ends."""
    while True:
        port = random.randrange(FIRST, LAST)
        if _is_free(port) and _reserve(port):
            return port


def clients_of(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield each connection, until the listener is shut down."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        yield client


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _reserve(port: int) -> bool:
    # An abstract Unix socket is a lock with no file: the kernel gives it back even after a SIGKILL.
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0alembic-gate-tests-port-{port}")
    except OSError:
        lock.close()
        return False
    _held.append(lock)
    return True
