"""Strikes a job at a point, starts the next one, and judges what came of it."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from signal import SIGKILL

from tests.crash.compare import differences, what_is_left
from tests.crash.jobs import Ended
from tests.crash.points import Point
from tests.crash.rig import Rig, fresh_database
from tests.support.database import Database
from tests.support.proxy import Proxy, Strike

CONVERGED_CODE = 0
REFUSED_CODE = 21
SHOWN_POINTS = 20
SHOWN_LINES = 25


class Verdict(Enum):
    """What a strike led to.

    STUCK: the next start failed, other than by refusing. WRONG: it ended with 0 and what is left differs, or the struck
    job ended in a way of its own. MISSED: the job had ended before it got to the point, so that nothing was tried.
    """

    CONVERGED = "converged"
    REFUSED = "refused"
    STUCK = "stuck"
    WRONG = "wrong"
    MISSED = "missed"


@dataclass(frozen=True)
class Outcome:
    """The verdict on a point, the statements that were struck, and the evidence when it is a bad one."""

    point: Point
    verdict: Verdict
    struck: tuple[str, ...]
    evidence: str = ""

    def __str__(self) -> str:
        struck = "".join(f"\n    struck: {' '.join(text.split())}" for text in self.struck)
        return f"{self.verdict.value} {self.point}{struck}\n{self.evidence}"


class Tally:
    """Counts verdicts for each server; the figure that the crash tests print."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Verdict]] = {}
        self._one_at_a_time = threading.Lock()

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        with self._one_at_a_time:
            kind = outcome.point.reference.route.server.kind
            self._counts.setdefault(kind, Counter())[outcome.verdict] += 1

    def lines(self) -> Iterator[str]:
        """Yield one line a server."""
        for kind, counts in self._counts.items():
            figures = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
            yield f"{kind}: {counts.total()} points tried, {figures}"


def try_point(rig: Rig, point: Point) -> Outcome:
    """Try a point in a database of its own; a bad one's database is kept."""
    database = fresh_database(rig, point.reference.route)
    return _drop_unless_bad(database, _try_in(rig, database, point))


def try_there_and_back(rig: Rig, there: Point, back: Point) -> tuple[Outcome, Outcome]:
    """Try an upgrade's point and, in the database that it leads to, a downgrade's: that spares an undisturbed upgrade.

    Where either goes wrong, the way back is tried alone, so that a point that is reported can be repeated alone.
    """
    database = fresh_database(rig, there.reference.route)
    upgraded = _try_in(rig, database, there)
    if upgraded.verdict is not Verdict.CONVERGED:
        return _drop_unless_bad(database, upgraded), try_point(rig, back)
    together = _drop_unless_bad(database, _try_in(rig, database, back))
    if together.verdict is Verdict.CONVERGED:
        return upgraded, together
    alone = try_point(rig, back)
    if alone.verdict is together.verdict:
        return upgraded, alone
    return upgraded, replace(together, evidence=f"    only after {there}\n{together.evidence}")


def _try_in(rig: Rig, database: Database, point: Point) -> Outcome:
    """Run and strike as often as the point says, then run once more and judge."""
    route = point.reference.route
    struck: list[str] = []
    for strike in point.strikes:
        ended, proxy = rig.run(database, route, strike)
        struck.append(proxy.struck or "nothing: the job had ended before")
        if outcome := _judge_struck(point, tuple(struck), ended, strike, proxy):
            return outcome
    return _judge_last(point, tuple(struck), rig.start(database, route).wait(), database)


def _drop_unless_bad(database: Database, outcome: Outcome) -> Outcome:
    if outcome.verdict not in {Verdict.STUCK, Verdict.WRONG}:
        database.drop()
    return outcome


def _judge_struck(point: Point, struck: tuple[str, ...], ended: Ended, strike: Strike, proxy: Proxy) -> Outcome | None:
    if proxy.struck is None:
        if ended.code == CONVERGED_CODE and len(struck) == 1:
            return Outcome(point, Verdict.MISSED, (), f"    it ended with 0 after {len(proxy.statements)} statements")
        allowed = {CONVERGED_CODE, REFUSED_CODE}
    elif strike.signal is SIGKILL:
        allowed = {-SIGKILL}
    else:
        allowed = {CONVERGED_CODE, 128 + strike.signal}
    if ended.code in allowed:
        return None
    return Outcome(point, Verdict.WRONG, struck, f"the struck job ended with {ended.code}\n{_last_lines(ended)}")


def _judge_last(point: Point, struck: tuple[str, ...], ended: Ended, database: Database) -> Outcome:
    if ended.code == REFUSED_CODE:
        return Outcome(point, Verdict.REFUSED, struck, _last_lines(ended))
    if ended.code != CONVERGED_CODE:
        evidence = f"    the next start ended with {ended.code}\n{_last_lines(ended)}"
        return Outcome(point, Verdict.STUCK, struck, evidence)
    left = what_is_left(database, point.reference.route.history)
    if left == point.reference.left:
        return Outcome(point, Verdict.CONVERGED, struck)
    evidence = f"    in {database.name}:\n{differences(point.reference.left, left)}\n{_last_lines(ended)}"
    return Outcome(point, Verdict.WRONG, struck, evidence)


def _last_lines(ended: Ended) -> str:
    return "\n".join(f"    | {line}" for line in ended.output.splitlines()[-SHOWN_LINES:])


def assert_all_converged(outcomes: Iterable[Outcome]) -> None:
    """Raise with every bad point: where it is, which statement was struck, and what came of it."""
    assert_all(outcomes, {Verdict.CONVERGED})


def assert_all(outcomes: Iterable[Outcome], allowed: set[Verdict]) -> None:
    """Raise unless every verdict is among those allowed."""
    bad = [outcome for outcome in outcomes if outcome.verdict not in allowed]
    shown = "\n".join(str(outcome) for outcome in bad[:SHOWN_POINTS])
    assert not bad, f"{len(bad)} points went wrong\n{shown}"
