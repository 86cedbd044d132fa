"""Where a job is struck: every statement at every moment, or a fixed sample of them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from signal import SIGKILL, Signals
from typing import Any

from tests.crash.history import History
from tests.crash.unencrypted import Unencrypted
from tests.support.proxy import Moment, Strike

UPGRADE = ("upgrade",)
DOWNGRADE = ("downgrade", "base")


@dataclass(frozen=True)
class Route:
    """What a job is to do: one history, upwards or downwards, on one server."""

    server: Unencrypted
    history: History
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.server.kind} {self.history.name} {' '.join(self.argv)}"


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: the statements that it sent, and what it left."""

    route: Route
    statements: tuple[str, ...]
    left: Any


@dataclass(frozen=True)
class Point:
    """The strikes of successive runs: one for the first job, and perhaps one for each that was started after it."""

    reference: Reference
    strikes: tuple[Strike, ...]

    def __str__(self) -> str:
        where = ", then ".join(f"{one.signal.name} at {one.n} {one.moment.value}" for one in self.strikes)
        return f"({self.reference.route}: {where})"


def every_point(reference: Reference, signal: Signals = SIGKILL) -> Iterator[Point]:
    """Yield every statement of the undisturbed run at each of the three moments."""
    for n, moment in itertools.product(range(1, len(reference.statements) + 1), Moment):
        yield Point(reference, (Strike(n, moment, signal),))


def spread_out(reference: Reference, count: int, signal: Signals = SIGKILL) -> Iterator[Point]:
    """Yield a fixed sample: `count` statements evenly spread, the moments in turn."""
    for strike in spread_out_strikes(len(reference.statements), count, signal):
        yield Point(reference, (strike,))


def spread_out_strikes(statements: int, count: int, signal: Signals = SIGKILL) -> Iterator[Strike]:
    """Yield `count` strikes evenly spread over so many statements, the moments in turn."""
    moments = list(Moment)
    for index in range(count):
        # Which moment comes first depends on the history, so that not all samples begin alike.
        yield Strike(1 + int((index + 0.5) * statements / count), moments[(statements + index) % len(moments)], signal)
