"""What a crash test works with: a rig for every core, reference runs made once, the figures of all that was tried."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.crash.compare import differences
from tests.crash.jobs import Entrypoint, ForkServer
from tests.crash.points import Point, Reference, Route
from tests.crash.rig import Rig, run_again_counted, run_undisturbed
from tests.crash.verdict import Outcome, Tally, try_point, try_there_and_back
from tests.support.proxy import Strike


class Lab:
    """Tries points on all cores, with jobs of one kind: "gate" or "plain"."""

    def __init__(self, directory: Path, kind: str = "gate") -> None:
        self._directory = directory
        self._lanes = os.cpu_count() or 1
        self._rigs = [Rig(ForkServer(kind), directory / f"rig{number}") for number in range(self._lanes)]
        self._free: SimpleQueue[Rig] = SimpleQueue()
        for rig in self._rigs:
            self._free.put(rig)
        self._references: dict[tuple[str, str, tuple[str, ...]], Reference] = {}
        self._tallies: dict[str, Tally] = {}

    def close(self) -> None:
        """End the fork servers."""
        for rig in self._rigs:
            rig.close()

    @contextmanager
    def rig(self) -> Iterator[Rig]:
        """Lend out a rig."""
        rig = self._free.get()
        try:
            yield rig
        finally:
            self._free.put(rig)

    @cached_property
    def entrypoint_rig(self) -> Rig:
        """A rig whose jobs are interpreters of their own."""
        return Rig(Entrypoint(), self._directory / "entrypoint")

    @cached_property
    def plain_rig(self) -> Rig:
        """A rig whose jobs are plain Alembic."""
        rig = Rig(ForkServer("plain"), self._directory / "plain")
        self._rigs.append(rig)
        return rig

    def reference(self, route: Route) -> Reference:
        """Run the route undisturbed, the first time that it is asked for; twice, to see that it does the same again."""
        key = (route.server.kind, route.history.name, route.argv)
        if key not in self._references:
            with self.rig() as rig:
                self._references[key] = run_undisturbed(rig, route)
                again = run_undisturbed(rig, route)
            first = self._references[key]
            assert again.left == first.left, differences(first.left, again.left)
            assert len(again.statements) == len(first.statements)
        return self._references[key]

    def statements_after(self, reference: Reference, strike: Strike) -> tuple[str, ...]:
        """Return the statements of the start that follows the strike."""
        with self.rig() as rig:
            return run_again_counted(rig, reference, strike)

    def try_one(self, point: Point, label: str, rig: Rig | None = None) -> Outcome:
        """Try a point, on any rig unless one is given, and count it under the label."""
        return self._counted(label, [self._with(rig, try_point, point)])[0]

    def try_all(self, points: Iterable[Point], label: str) -> list[Outcome]:
        """Try the points on all cores and count them under the label."""
        with ThreadPoolExecutor(self._lanes) as pool:
            return list(pool.map(lambda point: self.try_one(point, label), points))

    def try_there_and_back(self, there: Iterable[Point], back: Iterable[Point], label: str) -> list[Outcome]:
        """Try the points of an upgrade and those of the downgrade, two by two while there are two."""

        def attempt(pair: tuple[Point | None, Point | None]) -> Sequence[Outcome]:
            if None in pair:
                return [self.try_one(point, label) for point in pair if point]
            return self._counted(label, self._with(None, try_there_and_back, *pair))

        with ThreadPoolExecutor(self._lanes) as pool:
            return list(chain.from_iterable(pool.map(attempt, zip_longest(there, back))))

    def _with(self, rig: Rig | None, attempt: Callable[..., Any], *points: Any) -> Any:
        if rig is not None:
            return attempt(rig, *points)
        with self.rig() as free:
            return attempt(free, *points)

    def _counted(self, label: str, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        tally = self._tallies.setdefault(label, Tally())
        for outcome in outcomes:
            tally.add(outcome)
        return outcomes

    def figures(self) -> Iterator[str]:
        """Yield a line for each label and server."""
        for label, tally in self._tallies.items():
            for line in tally.lines():
                yield f"{label}, {line}"
