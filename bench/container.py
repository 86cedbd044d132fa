"""Case "container": nothing to do in the image itself, which gets a tenth of a core, as a usual limit has it."""

import contextlib
import json
import os
import re
import signal
import time
from datetime import datetime
from typing import Any

from bench.stage import Stage
from tests.support import containers
from tests.support.database import Database
from tests.support.machine import CannotInstall

TENTH = "--cpus=0.1"

# Python's start with nothing to run shows what the engine and the interpreter take of the rest.
STARTS = {
    "gate": (None, ()),
    "alembic": ("/opt/alembic-gate/bin/alembic", ("upgrade", "head")),
    "python": ("/usr/local/bin/python", ("-SPc", "pass")),
}


def measure(stage: Stage) -> dict[str, Any]:
    """Return the seconds from the engine's "started" to its "finished", or why there are none."""
    if stage.quick:
        return {"left out": "a quick run builds no image"}
    try:
        with containers.engine():
            image, database = containers.gate_image(), stage.database()
            assert containers.run_container(image, env=database.env()).returncode == 0
            quota = containers.run_container(image, env=database.env(), options=[TENTH]).returncode == 0
            rounds = [
                {name: _seconds(name, image, database, quota=quota) for name in STARTS}
                for _ in range(max(1, stage.runs // 3))
            ]
    except (CannotInstall, AssertionError) as reason:
        return {"left out": str(reason)[:300]}
    return {
        "limit": f"`podman run {TENTH}`" if quota else "stopped by signals for nine tenths of the time: no quota here",
        "wall_seconds": {name: [each[name] for each in rounds] for name in STARTS},
    }


def _seconds(name: str, image: str, database: Database, *, quota: bool) -> float:
    entrypoint, arguments = STARTS[name]
    options = [TENTH] if quota else []
    container = containers.start_container(
        image, *arguments, env=database.env(), entrypoint=entrypoint, options=options
    )
    if not quota:
        _hold_back(int(containers.podman("inspect", "--format={{.State.Pid}}", container.id).stdout))
    assert container.wait() == 0, container.logs()
    (state,) = json.loads(containers.podman("inspect", "--format=[{{json .State}}]", container.id).stdout)
    container.remove()
    return round((_moment(state["FinishedAt"]) - _moment(state["StartedAt"])).total_seconds(), 4)


def _hold_back(pid: int) -> None:
    """Let a process run for 10 ms of each 100, which is what the kernel does under a quota of a tenth."""
    with contextlib.suppress(ProcessLookupError):
        while pid:
            for number, seconds in ((signal.SIGSTOP, 0.09), (signal.SIGCONT, 0.01)):
                os.kill(pid, number)
                time.sleep(seconds)


def _moment(text: str) -> datetime:
    """Read the engine's time, which has nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
