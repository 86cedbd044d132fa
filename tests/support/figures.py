"""Counts tests per kind and says at the end of a run what ran, what was skipped and why (a pytest plugin)."""

import json
import time
from collections import Counter, defaultdict
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
            counts = ", ".join(f"{self._counts[kind][outcome]} {outcome}" for outcome in OUTCOMES)
            terminalreporter.write_line(f"{kind:12} {counts}, {self._seconds[kind]:.1f} s")
        if self._name:
            REPORTS.mkdir(exist_ok=True)
            figures = {
                "seconds": round(time.monotonic() - self._started, 1),
                "tests": {kind: dict(counts) for kind, counts in self._counts.items()},
                "skips": dict(self._reasons),
            }
            (REPORTS / f"tests-{self._name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
