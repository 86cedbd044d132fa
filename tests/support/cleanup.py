"""Ends the processes and removes the folders that a run started, also when the run itself is killed.

A watchman process holds the other end of a pipe. When the pipe closes, however that came about, it kills what is still
on its list. The kernel's "signal me when my parent dies" would not do: servers lose it when they change their user.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SETTLING_SECONDS = 20  # for the watchman to remove folders; they are small and in memory or on a local disk


class _Watchman:
    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal must not reach it
        )
        atexit.register(self._dismiss)

    def tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _dismiss(self) -> None:
        # A forked copy of the run ends here too; the list is not its to settle.
        if os.getpid() == self._owner and self._process.stdin:
            self._process.stdin.close()
            self._process.wait(SETTLING_SECONDS)


_watchman: _Watchman | None = None


def _tell(line: str) -> None:
    global _watchman
    if _watchman is None:
        _watchman = _Watchman()
    _watchman.tell(line)


def end_with_us(pid: int) -> None:
    """Have the process `pid` killed at the latest when this process ends."""
    _tell(f"+pid {pid}")


def has_ended(pid: int) -> None:
    """Take `pid` off the list, before its number can be given to another process."""
    _tell(f"-pid {pid}")


def remove_with_us(folder: Path) -> None:
    """Have `folder` removed when this process ends, after the processes on the list."""
    _tell(f"+dir {folder}")


def _watch() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, int] = {}
    folders: list[str] = []
    for line in sys.stdin:
        verb, what = line.rstrip("\n").split(" ", 1)
        if verb == "+dir":
            folders.append(what)
        elif verb == "+pid":
            with contextlib.suppress(ProcessLookupError):
                processes[int(what)] = os.pidfd_open(int(what))
        elif int(what) in processes:
            os.close(processes.pop(int(what)))
    for handle in processes.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch()
