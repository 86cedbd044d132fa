"""Starts jobs as processes that can be killed: by the thousand by a fork server, or one by one as `entrypoint.py`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 60
"""Longest that one job may take here: the slowest history takes a second, a busy machine is forgiven much."""


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit code (negative: the signal that killed it), and all that it printed."""

    code: int
    output: str


class Job(Protocol):
    """A job that was started."""

    pid: int

    def wait(self) -> Ended:
        """Wait until the process has ended; one that does not end in time is killed, and ends with -9."""


class Starter(Protocol):
    """Something that starts jobs, one at a time."""

    def start(self, argv: Sequence[str], env: Mapping[str, str], directory: Path) -> Job:
        """Start a job in `directory` with this environment and nothing else in it."""

    def close(self) -> None:
        """Let go of what starting jobs needs."""


class ForkServer:
    """Starts jobs of one kind ("gate" or "plain") from a process that has imported everything already."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forkserver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, argv: Sequence[str], env: Mapping[str, str], directory: Path) -> "ForkedJob":
        """Fork a job."""
        output = directory / "job.log"
        output.unlink(missing_ok=True)
        order = {
            "kind": self._kind,
            "argv": list(argv),
            "env": dict(env),
            "directory": str(directory),
            "output": str(output),
        }
        assert self._server.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: reading its answer says so
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
        return ForkedJob(self.answer()["pid"], output, self)

    def answer(self) -> dict[str, int]:
        """Read the fork server's next answer."""
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with {self._server.wait()}: see its traceback above")
        told: dict[str, int] = json.loads(line)
        return told

    def close(self) -> None:
        """End the fork server."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=RUN_SECONDS)
        self._server.stdout.close()


@dataclass
class ForkedJob:
    """A job that the fork server forked."""

    pid: int
    _output: Path
    _server: ForkServer

    def wait(self) -> Ended:
        """Wait until the job has ended."""
        alarm = threading.Timer(RUN_SECONDS, os.kill, (self.pid, signal.SIGKILL))
        alarm.start()
        try:
            status = self._server.answer()["status"]
        finally:
            alarm.cancel()
        return Ended(status, self._output.read_text(errors="replace") if self._output.exists() else "")


class Entrypoint:
    """Starts every job as what the image starts: a fresh interpreter that runs `entrypoint.py`."""

    def start(self, argv: Sequence[str], env: Mapping[str, str], directory: Path) -> "FreshJob":
        """Start an interpreter."""
        output = directory / "job.log"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "entrypoint.py"), *argv],
                cwd=directory,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        return FreshJob(process.pid, output, process)

    def close(self) -> None:
        """Nothing is kept."""


@dataclass
class FreshJob:
    """A job in an interpreter of its own."""

    pid: int
    _output: Path
    _process: subprocess.Popen[bytes]

    def wait(self) -> Ended:
        """Wait until the job has ended."""
        try:
            code = self._process.wait(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return Ended(code, self._output.read_text(errors="replace"))
