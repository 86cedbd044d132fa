"""Counts tests per kind and says what ran and what was skipped: a pytest plugin, and a summary over all runs for CI.

Other tests put figures of theirs into `.reports/NAME.json`; the summary shows them as they are.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.gate import ROOT

KINDS = ("unit", "integration", "crash", "image", "k8s")
OUTCOMES = ("passed", "failed", "skipped")
REPORTS = ROOT / ".reports"


def kind_of(path: Path) -> str:
    """Return which folder below tests/ the file is in."""
    relative = path.relative_to(ROOT / "tests") if path.is_relative_to(ROOT / "tests") else path
    return relative.parts[0]


def keep(name: str, figures: Mapping[str, object]) -> None:
    """Put figures into `.reports/NAME.json`."""
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


class Figures:
    """Collects outcomes while tests run; prints them, and keeps them for CI in `.reports/tests-NAME.json`."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._started = time.monotonic()
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._seconds: dict[str, float] = defaultdict(float)
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by its call, or by the phase that kept it from being called."""
        kind = kind_of(ROOT / report.location[0])
        self._seconds[kind] += report.duration
        if report.when == "call" or report.outcome != "passed":
            self._counts[kind][report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            self._reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, and write it down when the run has a name."""
        terminalreporter.section("figures")
        for kind in sorted(self._counts, key=lambda name: KINDS.index(name) if name in KINDS else len(KINDS)):
            terminalreporter.write_line(f"{kind:12} {counted(self._counts[kind])}, {self._seconds[kind]:.1f} s")
        if self._name:
            figures = {
                "seconds": round(time.monotonic() - self._started, 1),
                "tests": {kind: dict(counts) for kind, counts in self._counts.items()},
                "skips": dict(self._reasons),
            }
            keep(f"tests-{self._name}", figures)


def summary() -> str:
    """Return what is in `.reports`, from all runs since it was emptied, as text."""
    lines: list[str] = []
    reasons: Counter[str] = Counter()
    for path in sorted(REPORTS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not path.name.startswith("tests-"):
            lines.append(f"{path.stem}: {json.dumps(content)}")
            continue
        run = path.stem.removeprefix("tests-")
        lines += [f"run '{run}', {kind}: {counted(counts)}" for kind, counts in content["tests"].items()]
        reasons.update(content["skips"])
    lines += [f"skipped {count} times: {reason}" for reason, count in reasons.items()] or ["skipped: nothing"]
    stages = REPORTS / "stages.txt"
    if stages.exists():
        rows = [line.split() for line in stages.read_text(encoding="utf-8").splitlines()]
        lines += [f"make {name}: {seconds} s, exit code {code}" for name, seconds, code in rows]
    return "\n".join(lines)


def counted(counts: Mapping[str, int]) -> str:
    """Return the counts of one kind as words."""
    return ", ".join(f"{counts.get(outcome, 0)} {outcome}" for outcome in OUTCOMES)


if __name__ == "__main__":
    print(summary())
