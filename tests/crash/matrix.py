"""Kills a job at chosen points, starts the next one, and judges what came of it (I3)."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from signal import SIGKILL, Signals
from typing import Any

from tests.crash.compare import differences, what_is_left
from tests.crash.history import BEFORE_ANY_REVISION, History
from tests.crash.jobs import Ended, Starter
from tests.support.proxy import Moment, Proxy, Strike
from tests.support.servers import Database, Server

UPGRADE = ("upgrade",)
DOWNGRADE = ("downgrade", "base")
CONVERGED_CODE = 0
REFUSED_CODE = 21
COPIED_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


class Verdict(Enum):
    """What a kill led to. MISSED: the job had ended before it got to the point, so that nothing was tried."""

    CONVERGED = "converged"
    REFUSED = "refused"
    WRONG = "wrong"
    MISSED = "missed"


@dataclass(frozen=True)
class Route:
    """What a job is to do: one history, upwards or downwards, on one server."""

    server: Server
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


@dataclass(frozen=True)
class Outcome:
    """The verdict on a point, the statements that were struck, and the evidence when it is a bad one."""

    point: Point
    verdict: Verdict
    struck: tuple[str, ...]
    evidence: str = ""

    def __str__(self) -> str:
        struck = "".join(f"\n    struck: {' '.join(text.split())[:300]}" for text in self.struck)
        return f"{self.verdict.value} {self.point}{struck}\n{self.evidence}"


class Tally:
    """Counts verdicts for each server; the figure that the crash tests print."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Verdict]] = {}
        self._order = threading.Lock()

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        with self._order:
            kind = outcome.point.reference.route.server.kind
            self._counts.setdefault(kind, Counter())[outcome.verdict] += 1

    def lines(self) -> Iterator[str]:
        """Yield one line a server."""
        for kind, counts in sorted(self._counts.items()):
            figures = ", ".join(f"{verdict.value} {counts[verdict]}" for verdict in Verdict)
            yield f"{kind}: points tried {counts.total()}, {figures}"


class Rig:
    """One lane of work: starts jobs one after another, each against a database of its own."""

    def __init__(self, starter: Starter, directory: Path) -> None:
        self._starter = starter
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Let go of the starter."""
        self._starter.close()

    def run(self, database: Database, route: Route, strike: Strike | None = None) -> tuple[Ended, Proxy]:
        """Run a job through a proxy that strikes it, or only counts."""
        with Proxy(database.server.host, database.server.port, strike) as proxy:
            job = self._starter.start(route.argv, self._environment(database, route, proxy.port), self._directory)
            proxy.aim(job.pid)
            ended = job.wait()
        return ended, proxy

    def run_directly(self, database: Database, route: Route) -> Ended:
        """Run a job against the server itself."""
        env = self._environment(database, route, database.server.port)
        return self._starter.start(route.argv, env, self._directory).wait()

    def _environment(self, database: Database, route: Route, port: int) -> Mapping[str, str]:
        address = f"{database.server.host}:{database.server.port}"
        assert address in database.url, f"'{database.url}' does not name its server as '{address}'"
        through = database.url.replace(address, f"{database.server.host}:{port}")
        return {
            **COPIED_ENVIRONMENT,
            "DATABASE_URL": f"{through}{'&' if '?' in through else '?'}ssl_disabled=true",
            "ALEMBIC_CONFIG": str(route.history.lay_out(self._directory)),
        }


_one_at_a_time = threading.Lock()


def fresh_database(rig: Rig, route: Route) -> Database:
    """Create a database in which the route can begin: for a downgrade, an undisturbed upgrade lies behind it."""
    with _one_at_a_time:
        database = route.server.create_database("crash")
    with database.connect(autocommit=True) as connection, connection.cursor() as cursor:
        for statement in BEFORE_ANY_REVISION:
            cursor.execute(statement)
    if route.argv != UPGRADE:
        ended = rig.run_directly(database, replace(route, argv=UPGRADE))
        assert ended.code == CONVERGED_CODE, f"{route}: the undisturbed upgrade ended with {ended.code}\n{ended.output}"
    return database


def run_undisturbed(rig: Rig, route: Route) -> Reference:
    """Run the route through a proxy that only counts, and note what it left."""
    database = fresh_database(rig, route)
    ended, proxy = rig.run(database, route)
    assert ended.code == CONVERGED_CODE, f"{route}: the undisturbed run ended with {ended.code}\n{ended.output}"
    left = what_is_left(database, route.history)
    database.drop()
    return Reference(route, tuple(proxy.statements), left)


def every_point(reference: Reference, signal: Signals = SIGKILL) -> Iterator[Point]:
    """Yield every statement of the undisturbed run at each of the three moments."""
    for n, moment in itertools.product(range(1, len(reference.statements) + 1), Moment):
        yield Point(reference, (Strike(n, moment, signal),))


def spread_out(points: Sequence[Point], count: int) -> list[Point]:
    """Take a fixed sample, evenly spread over the points, all moments in turn."""
    if len(points) <= count:
        return list(points)
    step = len(points) / count
    return [points[int(index * step)] for index in range(count)]


def try_point(rig: Rig, point: Point) -> Outcome:
    """Run, strike, run again until a run is left alone; then judge."""
    reference = point.reference
    database = fresh_database(rig, reference.route)
    struck: list[str] = []
    for strike in point.strikes:
        ended, proxy = rig.run(database, reference.route, strike)
        if proxy.struck is None and ended.code == CONVERGED_CODE and not struck:
            database.drop()
            return Outcome(point, Verdict.MISSED, (), f"it ended with 0 after {len(proxy.statements)} statements")
        struck.append(proxy.struck or "nothing: this start had ended before")
        if unexpected := unexpected_end(ended, strike, proxy):
            return Outcome(point, Verdict.WRONG, tuple(struck), unexpected)
    ended = rig.run_directly(database, reference.route)
    outcome = judge(point, tuple(struck), ended, database)
    if outcome.verdict is not Verdict.WRONG:
        database.drop()
    return outcome


def unexpected_end(ended: Ended, strike: Strike, proxy: Proxy) -> str:
    """Say what is wrong with the way that a struck job ended; nothing if nothing is."""
    if proxy.struck is None:
        allowed = {CONVERGED_CODE, REFUSED_CODE}
    elif strike.signal is SIGKILL:
        allowed = {-SIGKILL}
    else:
        allowed = {CONVERGED_CODE, 128 + strike.signal}
    return "" if ended.code in allowed else f"the struck job ended with {ended.code}\n{tail(ended.output)}"


def judge(point: Point, struck: tuple[str, ...], ended: Ended, database: Database) -> Outcome:
    """Compare what the last run left with what the undisturbed run left."""
    if ended.code == REFUSED_CODE:
        return Outcome(point, Verdict.REFUSED, struck, tail(ended.output))
    if ended.code != CONVERGED_CODE:
        return Outcome(point, Verdict.WRONG, struck, f"the next start ended with {ended.code}\n{tail(ended.output)}")
    left = what_is_left(database, point.reference.route.history)
    if left != point.reference.left:
        found = differences(point.reference.left, left)
        return Outcome(point, Verdict.WRONG, struck, f"in {database.name}:\n{found}\n{tail(ended.output)}")
    return Outcome(point, Verdict.CONVERGED, struck)


def try_all(rigs: Sequence[Rig], points: Iterable[Point], tally: Tally) -> list[Outcome]:
    """Try the points on all rigs side by side, count them, and return the outcomes."""
    free: SimpleQueue[Rig] = SimpleQueue()
    for rig in rigs:
        free.put(rig)

    def attempt(point: Point) -> Outcome:
        rig = free.get()
        try:
            outcome = try_point(rig, point)
        finally:
            free.put(rig)
        tally.add(outcome)
        return outcome

    with ThreadPoolExecutor(len(rigs)) as pool:
        return list(pool.map(attempt, points))


def tail(text: str, lines: int = 25) -> str:
    """Return the last lines."""
    return "\n".join(f"    | {line}" for line in text.splitlines()[-lines:])
