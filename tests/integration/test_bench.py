"""The bench runs on a real server, and its figures can be trusted (I4)."""

import subprocess
import sys

import pytest

from bench.measure import Command, CommandFailed, run
from tests.support import machine
from tests.support.gate import ROOT
from tests.support.servers import software

MEBIBYTES = 1024**2


def test_a_quick_run_prints_what_was_measured_beside_each_target() -> None:
    machine.require(lambda: software("mysql"))
    machine.require(machine.ensure_gnu_time)
    command = [sys.executable, "-m", "bench", "--quick", "--case", "idle"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr  # one start beside other tests proves nothing about speed
    assert "nothing to do, 3 revisions: wall time, of Alembic's: 0." in ended.stdout
    assert "nothing to do, 3 revisions: peak memory, of Alembic's: 0." in ended.stdout
    assert ended.returncode == ("MISSED" in ended.stdout)


def test_peak_memory_is_the_program_s_own_and_not_the_one_of_a_large_parent() -> None:
    machine.require(machine.ensure_gnu_time)
    ballast = bytearray(100 * MEBIBYTES)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert run(Command(["true"])).peak_mib < 5
    assert 50 < run(Command([sys.executable, "-c", f"b'x' * {50 * MEBIBYTES}"])).peak_mib < 80
    assert ballast


def test_what_ends_with_an_error_is_not_measured() -> None:
    machine.require(machine.ensure_gnu_time)
    with pytest.raises(CommandFailed, match="nobody"):
        run(Command(["sh", "-c", "echo nobody >&2; exit 3"]))
