"""Runs the gate, or plain Alembic, as a process of its own that inherits nothing but what a test gives it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = [sys.executable, str(ROOT / "entrypoint.py")]
ALEMBIC = [sys.executable, "-m", "alembic"]
KEPT = ("PATH", "HOME", "LANG")


def run_gate(
    *args: str, env: Mapping[str, str], cwd: Path = ROOT, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `entrypoint.py` to its end and return its code and output; after `timeout` seconds it is killed."""
    return _run([*ENTRYPOINT, *args], env, cwd, timeout)


def start_gate(*args: str, env: Mapping[str, str], cwd: Path = ROOT, **settings: Any) -> "subprocess.Popen[str]":
    """Start `entrypoint.py` and return at once; the caller waits for it or ends it."""
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*ENTRYPOINT, *args], env=_clean(env), cwd=cwd, text=True, **{**piped, **settings})


def run_alembic(
    *args: str, env: Mapping[str, str], cwd: Path = ROOT, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the plain `alembic` command, the way a developer does."""
    return _run([*ALEMBIC, *args], env, cwd, timeout)


def run_script(source: str, *, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python as a process of its own, which finds the gate's package."""
    return _run([sys.executable, "-c", source], {"PYTHONPATH": str(ROOT), **env}, cwd, 60)


def _run(command: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=_clean(env), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
    )


def _clean(env: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ} | dict(env)
