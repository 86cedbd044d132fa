"""SIGTERM and SIGINT: end at once while waiting; while a statement runs, end the statement first.

Being stopped is an ordinary case, so it may happen anywhere: what is committed and noted at that instant is what a kill
would have left, and the next start goes on from there (I3).
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from alembic_gate.exits import Terminated

# KILL QUERY on an idle connection does nothing, so the one that comes too early for the statement is said again.
KILL_AGAIN_SECONDS = 0.5

_received: int | None = None
_end_statement: Callable[[], None] | None = None


def install() -> None:
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, _on_signal)


def received() -> Terminated | None:
    """The signal that asked this process to end, if one did."""
    return None if _received is None else Terminated(_received)


def raise_if_received() -> None:
    if ended := received():
        raise ended


@contextmanager
def statement(end_statement: Callable[[], None]) -> Iterator[None]:
    """While the body waits for the server, a signal calls `end_statement` until it ends, then raises Terminated."""
    global _end_statement
    raise_if_received()
    _end_statement = end_statement
    try:
        yield
    finally:
        _end_statement = None
        raise_if_received()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    global _received
    if _received is not None:
        return
    _received = number
    if _end_statement is None:
        raise Terminated(number)
    import threading

    threading.Thread(target=_end_statements, name="end-statement", daemon=True).start()


def _end_statements() -> None:
    import time

    while (end := _end_statement) is not None:
        end()
        time.sleep(KILL_AGAIN_SECONDS)
