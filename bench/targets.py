"""What the bench holds the gate to: each target with what was measured, met or missed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.measure import middle


@dataclass(frozen=True)
class Target:
    """A figure and the most that it may be."""

    words: str
    measured: float
    limit: float

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def __str__(self) -> str:
        return f"{'met' if self.met else 'MISSED':6} {self.words}: {self.measured:.3g} (at most {self.limit:g})"


def targets(results: Mapping[str, Any]) -> list[Target]:
    """Return the targets of all cases that were run."""
    return [*_idle(results.get("idle", {})), *_apply(results.get("apply")), *_herd(results.get("herd"))]


def _idle(idle: Mapping[str, Any]) -> Iterator[Target]:
    for count, tools in idle.items():
        gate, alembic = tools["gate"], tools["alembic"]
        words = f"nothing to do, {int(count):,} revisions: "
        yield Target(f"{words}wall time, of Alembic's", middle(gate) / middle(alembic), 0.125)
        yield Target(f"{words}peak memory, of Alembic's", middle(gate, "peak_mib") / middle(alembic, "peak_mib"), 0.35)
    if {"3", "10000"} <= idle.keys():
        longest, shortest = middle(idle["10000"]["gate"]), middle(idle["3"]["gate"])
        yield Target("nothing to do: wall time with 10,000 revisions, of that with 3", longest / shortest, 1.2)


def _apply(apply: Mapping[str, Any] | None) -> Iterator[Target]:
    if apply:
        ratio = middle(apply["gate"]) / middle(apply["alembic"])
        yield Target("1,000 revisions applied, journal on: wall time, of Alembic's", ratio, 1.1)


def _herd(herd: Mapping[str, Any] | None) -> Iterator[Target]:
    if herd:
        # That every start ended with 0 is a condition of there being figures.
        yield Target(f"{herd['size']} starts at head, all ended with 0: locks and writes", herd["at head"]["locks and writes"], 0)
        applied = herd["one revision behind"]["times applied"]
        yield Target(f"{herd['size']} starts, one revision behind, all ended with 0: times applied, away from 1", abs(applied - 1), 0)
