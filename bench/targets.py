"""What the bench holds the gate to: each target with what was measured, met or missed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.idle import SHORTEST
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

    @property
    def verdict(self) -> str:
        return "met" if self.met else "MISSED"

    def __str__(self) -> str:
        return f"{self.verdict:6} {self.words}: {self.measured:.3g} (at most {self.limit:g})"


def targets(results: Mapping[str, Any]) -> list[Target]:
    """Return the targets of all cases that were run."""
    return [*_idle(results.get("idle", {})), *_apply(results.get("apply", {})), *_herd(results.get("herd"))]


def _idle(idle: Mapping[str, Any]) -> Iterator[Target]:
    for count, tools in idle.items():
        gate, alembic = tools["gate"], tools["alembic"]
        words = f"nothing to do, {int(count):,} revisions: "
        yield Target(f"{words}wall time, of Alembic's", middle(gate) / middle(alembic), 0.125)
        yield Target(f"{words}peak memory, of Alembic's", middle(gate, "peak_mib") / middle(alembic, "peak_mib"), 0.35)
    if longest := idle.get("10000"):
        ratio = middle(longest["gate"]) / middle(longest[SHORTEST])
        yield Target("nothing to do: wall time with 10,000 revisions, of that with 3", ratio, 1.2)


def _apply(apply: Mapping[str, Any]) -> Iterator[Target]:
    for count, tools in apply.items():
        words = f"{int(count):,} revisions applied, journal on: wall time, of Alembic's"
        yield Target(words, middle(tools["gate"]) / middle(tools["alembic"]), 1.1)


def _herd(herd: Mapping[str, Any] | None) -> Iterator[Target]:
    if herd:
        at_head, behind = herd["at head"]["figures"], herd["one revision behind"]["figures"]
        words = f"{herd['size']} starts at once"
        for where, figures in (("at head", at_head), ("one revision behind", behind)):
            yield Target(f"{words}, {where}: not ended with 0", herd["size"] - figures["ended with 0"], 0)
        yield Target(f"{words}, at head: locks and writes", at_head["locks and writes"], 0)
        applied = behind["CREATE TABLE of the pending revision"]
        yield Target(f"{words}, one revision behind: runs of that revision beside the first", abs(applied - 1), 0)
