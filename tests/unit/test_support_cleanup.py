"""A test run that is killed leaves neither processes nor folders."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.gate import ROOT

RUN = """
import subprocess, sys, time
from pathlib import Path
from tests.support import cleanup
folder = Path(sys.argv[1]) / "data"
folder.mkdir()
cleanup.remove_with_us(folder)
server = subprocess.Popen(["sleep", "600"], start_new_session=True)
cleanup.end_with_us(server.pid)
print(server.pid, flush=True)
{end}
"""


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie is nobody's server any more; where nothing reaps orphans it stays in the table.
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("end", ["time.sleep(600)", "raise SystemExit(1)"], ids=["killed", "exited"])
def test_nothing_is_left_behind(tmp_path, end):
    run = subprocess.Popen([sys.executable, "-c", RUN.format(end=end), tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    server = int(run.stdout.readline())
    if "sleep" in end:
        assert not ended(server)
        run.send_signal(signal.SIGKILL)
    run.wait(30)
    run.stdout.close()
    deadline = time.monotonic() + 30
    while not ended(server) or (tmp_path / "data").exists():
        assert time.monotonic() < deadline, "the process or the folder is still there"
        time.sleep(0.02)
