"""Case "container": nothing to do in the image itself, which gets a tenth of a core, as a usual limit has it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bench.measure import environment, run
from bench.stage import Stage
from tests.support import containers
from tests.support.machine import CannotInstall

TENTH = "--cpus=0.1"
CLOCK = "from the engine's `StartedAt` to its `FinishedAt`"

# Python's start with nothing to run shows what the engine and the interpreter take of the rest.
STARTS = {
    "gate": (None, ()),
    "alembic": ("/opt/alembic-gate/bin/alembic", ("upgrade", "head")),
    "python": ("/usr/local/bin/python", ("-SPc", "pass")),
}


def measure(stage: Stage) -> dict[str, Any]:
    """Return the seconds that each start takes, and by what it was limited."""
    if stage.quick:
        return {"left out": "a quick run builds no image"}
    try:
        return {"limit": f"`podman run {TENTH}`, {CLOCK}", "wall_seconds": _in_the_image(stage)}
    except (CannotInstall, AssertionError) as reason:
        # Its last line is what the engine said; the ones before have the command, and the database's URL in it.
        why = str(reason).strip().splitlines()[-1]
        limit = f"outside of a container ({why}), stopped by signals for 90 ms of each 100"
        return {"limit": limit, "wall_seconds": _held_back(stage)}


def _rounds(stage: Stage, seconds: Callable[[str], float]) -> dict[str, list[float]]:
    rounds = [{name: seconds(name) for name in STARTS} for _ in range(max(1, stage.runs // 10))]
    return {name: [round(each[name], 4) for each in rounds] for name in STARTS}


def _in_the_image(stage: Stage) -> dict[str, list[float]]:
    with containers.engine():
        image, env = containers.gate_image(), stage.database().env()

        def seconds(name: str) -> float:
            entrypoint, arguments = STARTS[name]
            container = containers.start_container(image, *arguments, env=env, entrypoint=entrypoint, options=[TENTH])
            assert container.wait() == 0, container.logs()
            (state,) = json.loads(containers.podman("inspect", "--format=[{{json .State}}]", container.id).stdout)
            container.remove()
            return (_moment(state["FinishedAt"]) - _moment(state["StartedAt"])).total_seconds()

        seconds("gate")
        return _rounds(stage, seconds)


def _held_back(stage: Stage) -> dict[str, list[float]]:
    """Do by signals what the kernel does under a quota, where the engine has none to give."""
    folder, database = stage.new_folder(), stage.database()
    commands = {"python": stage.arena.interpreter("-c", "pass")}
    for tool in stage.gate_and_alembic:
        tool.write(folder / tool.name, ["DO 0"])
        commands[tool.name] = tool.command(folder / tool.name, database)
        run(commands[tool.name])

    def seconds(name: str) -> float:
        command = commands[name]
        words = ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *command.words]
        process = subprocess.Popen(words, env=environment(command), cwd=command.cwd, stderr=subprocess.DEVNULL)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        started = time.perf_counter()
        while process.poll() is None:
            for number, pause in ((signal.SIGCONT, 0.01), (signal.SIGSTOP, 0.09)):
                process.send_signal(number)
                time.sleep(pause if process.poll() is None else 0)
        return time.perf_counter() - started

    return _rounds(stage, seconds)


def _moment(text: str) -> datetime:
    """Read the engine's time, which has nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
