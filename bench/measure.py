"""Measure processes from outside: wall time, processor time, peak memory; one after the other or all at once."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tests.support.machine import ensure_gnu_time

TIMEOUT_SECONDS = 300
KEPT = ("PATH", "HOME", "LANG")

Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Command:
    """A program to start, with nothing in its environment but what is said here and what every program needs."""

    words: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")


@dataclass(frozen=True)
class Run:
    """What one start took."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


class CommandFailed(Exception):
    """What was to be measured did not end with 0."""


def run(command: Command) -> Run:
    """Run a program to its end; raises CommandFailed.

    A process inherits the peak of the memory of whoever forked it, and Python is large. So GNU time forks it, which
    takes one megabyte, and asks the kernel for the peak; the millisecond that this takes is in every figure alike.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.NamedTemporaryFile("r") as peak:
        words = [ensure_gnu_time(), "--quiet", "--format=%M", f"--output={peak.name}", *command.words]
        started = time.perf_counter()
        process = subprocess.Popen(
            words, env=environment(command), cwd=command.cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, not by subprocess
        if process.returncode:
            output.seek(0)
            raise CommandFailed(f"{command.words}: {process.returncode}\n{output.read()[-2000:]}")
        return Run(wall, usage.ru_utime + usage.ru_stime, int(peak.read()) / 1024)


def environment(command: Command) -> dict[str, str]:
    """Return all that a program finds in its environment."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | dict(command.env)


def interleaved(commands: Mapping[str, Command], runs: int) -> dict[str, Figures]:
    """Run all in turn, `runs` times after one that does not count: a change of the machine's pace meets all alike."""
    for command in commands.values():
        run(command)
    rounds = [{name: run(command) for name, command in commands.items()} for _ in range(runs)]
    return {name: figures([each[name] for each in rounds]) for name in commands}


def herd(command: Command, size: int) -> list[Run]:
    """Start the program `size` times at once; raises CommandFailed if one of them fails."""
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(run, [command] * size))


def figures(runs: Sequence[Run]) -> Figures:
    """Turn runs into lists, one for each thing measured."""
    rows = [asdict(each) for each in runs]
    return {name: [round(row[name], 5) for row in rows] for name in rows[0]}


def middle(measured: Mapping[str, Sequence[float]], name: str = "wall_seconds") -> float:
    """Return the median of what was measured."""
    return median(measured[name])


def seconds(value: float) -> str:
    """Return a duration in words, with three digits."""
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"
